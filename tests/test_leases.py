"""Locks made of names: who holds one, who is dead, and never two at once."""

import contextlib
import errno
import itertools
import json
import os
import signal
import subprocess

import pytest

from posepile.errors import UsageError, WorkError
from posepile.files import locked
from posepile.locks import holders, leases, lock_files, renewal, waiting
from posepile.locks.leases import leased
from posepile.run import results
from posepile.run.clusters.on_worker import environment_to_hand_over
from posepile.store import layout


@pytest.fixture(autouse=True)
def _leases(monkeypatch):
    monkeypatch.setenv("POSEPILE_LOCKS", "leases")


class Clock:
    """A clock that goes on only when somebody waits; what is to be done meanwhile is called."""

    def __init__(self):
        self.now, self.meanwhile = 1e6, lambda: None

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(waiting, "_LEFT", {})
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def put_lease(path, kind="lease", **facts):
    """A lease as the process of another machine would leave it, by a clock hours ahead."""
    folder = path.with_name(f"{path.name}.{kind}")
    folder.mkdir()
    record = holders.own_record(False) | {"host": "node3", "command": "posepile run coco"}
    (folder / "theirs").write_text(json.dumps(record | facts))
    os.utime(folder / "theirs", (4e9, 4e9))
    return folder / "theirs"


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# ---------------------------------------------------------------- one process after another


def test_who_is_refused_is_told_who_holds_it(tmp_path):
    lock = tmp_path / ".lock"
    with (
        locked(lock, busy="no"),
        pytest.raises(WorkError, match=rf"lock: busy \(process {os.getpid()} on .* since 20"),
        locked(lock, busy="busy"),
    ):
        pass
    with locked(lock, busy="no"):
        pass
    assert names(tmp_path) == [".lock"]


def test_sharing_keeps_off_who_wants_it_alone(tmp_path):
    lock = tmp_path / ".lock"
    with locked(lock, shared=True), locked(lock, shared=True, busy="no"):
        with pytest.raises(WorkError, match="alone"), locked(lock, busy="alone"):
            pass
        with locked(lock, shared=True, busy="who was refused left nothing"):
            pass
    with (
        locked(lock, busy="no"),
        pytest.raises(WorkError, match="shared"),
        locked(lock, shared=True, busy="shared"),
    ):
        pass
    assert names(tmp_path) == [".lock"]


@pytest.mark.parametrize("shared", [False, True])
def test_what_a_killed_process_held_is_free_at_once(tmp_path, clock, shared):
    lock = tmp_path / ".lock"
    child = os.fork()
    if child == 0:
        with locked(lock, shared=shared):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(names(tmp_path)) == 2
    before = clock.now
    with locked(lock, busy="no"):
        assert clock.now - before < 1
    assert names(tmp_path) == [".lock"]


def test_a_forked_child_gives_back_nothing(tmp_path):
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(tmp_path / ".lock", busy="no"))
        child = os.fork()
        if child == 0:
            with locked(tmp_path / ".other", busy="no"):
                stack.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert names(tmp_path) == [".lock", ".lock.lease", ".other"]


def test_a_unit_is_held_by_one(tmp_path):
    calls = []

    def stop():
        calls.append(1)
        raise KeyboardInterrupt

    with results.unit_lock(tmp_path, "a") as held:
        assert held
        with results.unit_lock(tmp_path, "a", wait=False) as same:
            assert not same
        with results.unit_lock(tmp_path, "b", wait=False) as other:
            assert other
        with pytest.raises(KeyboardInterrupt), results.unit_lock(tmp_path, "a", alive=stop):
            pass
    assert calls == [1]
    assert not any(f for _, _, files in os.walk(tmp_path) for f in files)


# ---------------------------------------------------------------- other machines


def test_another_machine_that_renews_nothing_is_dead_after_its_time(tmp_path, clock, capsys):
    put_lease(tmp_path / ".lock", seconds=90)
    before = clock.now
    with locked(tmp_path / ".lock", busy="no"):
        assert 90 < clock.now - before < 96
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "looking whether process" in said[0]
    assert "was held by process" in said[1] and "on node3" in said[1]
    assert names(tmp_path) == [".lock"]


def test_who_is_dead_is_watched_once(tmp_path, clock):
    first, second, later = (put_lease(tmp_path / name) for name in ("a", "b", "c"))
    os.utime(second, (4e9, 4e9 + holders.SECONDS / 3))  # both were not renewed for as long
    os.utime(later, (4e9, 4e9 + holders.SECONDS))  # this one was renewed meanwhile
    for name, seconds in (("a", holders.SECONDS), ("b", 0), ("c", holders.SECONDS)):
        before = clock.now
        with locked(tmp_path / name, busy="no"):
            assert seconds <= clock.now - before < seconds + 4
    assert not first.exists() and names(tmp_path) == ["a", "b", "c"]


def test_a_run_after_a_node_has_died_waits_twice_at_most(tmp_path, clock, monkeypatch):
    """Once for the lock of the run, and once in each worker, which knows nothing of that."""
    began = "another process"  # that of the run, and of its two workers
    put_lease(tmp_path / ".lock")
    units = []
    for number, name in enumerate("abc"):
        with results.unit_lock(tmp_path, name):
            (place,) = (tmp_path / "locks").glob("*/*.lease")
        units.append(put_lease(place.with_suffix(""), began=f"{began} {number // 2}"))
        units[-1].unlink()
        units[-1].parent.rmdir()
    for number, file in enumerate(units):
        put_lease(file.parent.with_suffix(""), began=f"{began} {number // 2}")
    before = clock.now
    with locked(tmp_path / ".lock", busy="no"):
        longest = clock.now - before
        for names_ in ("ab", "c"):  # two workers of the new run
            monkeypatch.setattr(waiting, "_LEFT", {})
            before = clock.now
            for name in names_:
                with results.unit_lock(tmp_path, name):
                    pass
            assert longest + clock.now - before < 2 * (holders.SECONDS + 4)


@pytest.mark.parametrize("year", [1970, 2090])
def test_another_machine_that_renews_is_alive_whatever_its_clock_says(tmp_path, clock, year):
    theirs, before = put_lease(tmp_path / ".lock"), clock.now
    times = iter(range(10**9))

    def renew():  # every other second, by a clock that may go backwards
        seconds = (year - 1970) * 31556952 - next(times)
        os.utime(theirs, (max(seconds, 0), abs(seconds)))

    clock.meanwhile = renew
    with (
        pytest.raises(WorkError, match="busy .process .* on node3 since .*: posepile run coco"),
        locked(tmp_path / ".lock", busy="busy"),
    ):
        pass
    assert clock.now - before < 2

    def end_after_an_hour():
        renew()
        if clock.now > before + 3600:
            theirs.unlink()

    clock.meanwhile = end_after_an_hour
    with locked(tmp_path / ".lock", waiting="waiting"):
        assert clock.now > before + 3600


def test_who_waits_long_looks_seldom_and_not_in_step(tmp_path, clock, monkeypatch):
    """A thousand machines wait for the one that prepares the raw files."""
    theirs, looks = put_lease(tmp_path / ".lock"), []
    listdir = os.listdir
    monkeypatch.setattr(
        waiting.os, "listdir", lambda folder: looks.append(clock.now) or listdir(folder)
    )
    begun = clock.now

    def renew():
        os.utime(theirs, (1e9, clock.now))
        if clock.now > begun + 3600:
            theirs.unlink(missing_ok=True)

    clock.meanwhile = renew
    with locked(tmp_path / ".lock"):
        pass
    pauses = [b - a for a, b in itertools.pairwise(looks)]
    longest = holders.SECONDS / renewal.RENEWALS
    assert max(pauses) <= longest and len(set(pauses)) > 100
    assert len(looks) < 2 * 3600 / longest + 300
    assert sum(look < begun + 10 for look in looks) > 10  # who waits shortly goes on soon


def test_a_lease_that_nobody_can_read_goes_after_a_while(tmp_path, clock):
    assert holders.record_of(json.dumps(holders.own_record(False)).encode())
    for text in ("", "[]", '{"pid": 3}', "\0" * 100, '{"host": 3'):
        theirs = put_lease(tmp_path / ".lock")
        theirs.write_text(text)
        before = clock.now
        with locked(tmp_path / ".lock", busy="no"):
            assert holders.SECONDS < clock.now - before < holders.SECONDS + 4


def test_a_machine_of_the_same_name_is_another(tmp_path, clock):
    """Containers, or the machine before it was started again: their processes are not ours."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    for fact in ("boot", "space"):
        facts = {"host": holders.own_record(False)["host"], "pid": gone.pid, fact: "another"}
        put_lease(tmp_path / ".lock", **facts)
        before = clock.now
        with locked(tmp_path / ".lock", busy="no"):
            assert clock.now - before > holders.SECONDS


def test_who_was_held_up_learns_that_the_lease_is_gone(tmp_path, capsys):
    asked = []
    before = signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    try:
        with (
            pytest.raises(WorkError, match="taken this lock over"),
            leased(tmp_path / ".lock"),
        ):
            (theirs,) = (tmp_path / ".lock.lease").iterdir()
            renewal.let_go(theirs)
            put_lease(tmp_path / ".lock")
            renewal.Lease._all[theirs].renew()
            assert asked == [1] and "taken this lock over" in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGTERM, before)
    assert names(tmp_path / ".lock.lease") == ["theirs"]  # only its own goes
    # Two processes at one unit make the same bytes.
    with leased(tmp_path / ".unit", vital=False):
        next((tmp_path / ".unit.lease").iterdir()).unlink()


@pytest.mark.parametrize("fails", [False, True])
def test_who_has_lost_the_lock_puts_no_archive_in_place(tmp_path, fails):
    """Another works in the same folder by now."""
    path = tmp_path / "a.barecat"
    with (
        pytest.raises(WorkError, match="taken this lock"),
        leased(tmp_path / ".lock"),
        layout.replacing_archive(path) as index,
    ):
        index.write_text("ours")
        next((tmp_path / ".lock.lease").iterdir()).unlink()
        index.write_text("theirs")
        if fails:
            raise WorkError("taken this lock over")  # as what ends the work would
    assert index.read_text() == "theirs" and not path.exists()
    with leased(tmp_path / ".lock"), contextlib.suppress(OSError):
        with layout.replacing_archive(path) as index:
            raise OSError
    assert not index.parent.exists()


@pytest.mark.parametrize("name", ["POSEPILE_LOCKS", "POSEPILE_LEASE_SECONDS"])
def test_settings_are_checked(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "often")
    with pytest.raises(UsageError, match=f"{name}=often: expected"), locked(tmp_path / ".lock"):
        pass


def test_workers_elsewhere_lock_as_their_caller_does(monkeypatch):
    monkeypatch.setenv("POSEPILE_LEASE_SECONDS", "30")
    handed = environment_to_hand_over()
    assert (handed["POSEPILE_LOCKS"], handed["POSEPILE_LEASE_SECONDS"]) == ("leases", "30")


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        ("rw,relatime shared:1 - nfs4 a:/b rw,vers=4.2,local_lock=none", False),
        ("rw,relatime - nfs a:/b rw,vers=3,nolock,local_lock=all", True),
        ("rw,flock - lustre a@tcp:/b rw,flock", False),
        ("rw - lustre a@tcp:/b rw,localflock", True),
        ("rw - fuse.sshfs a:/b rw,user_id=0", True),
        ("rw - fuse /a rw,user_id=0", True),
        ("rw - fuseblk /dev/sda1 rw", False),
        ("rw - ext4 /dev/sda1 rw", False),
        ("rw", False),
    ],
)
def test_disks_that_lock_one_machine_are_known(tmp_path, monkeypatch, line, ends):
    device = os.stat(tmp_path).st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:0 / /x rw - beegfs a rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / /data {line}\n"
    )
    monkeypatch.delenv("POSEPILE_LOCKS")
    monkeypatch.setattr(lock_files, "MOUNTS", mounts)
    lock_files._is_mounted_so.cache_clear()
    try:
        assert lock_files.locks_end_at_machine(tmp_path) == ends
    finally:
        lock_files._is_mounted_so.cache_clear()


# ---------------------------------------------------------------- machines with and without locks


@pytest.fixture
def here(monkeypatch):
    """This machine mounts the disk with locks of the system, or without."""

    def mounted(locks):
        monkeypatch.delenv("POSEPILE_LOCKS", raising=False)
        monkeypatch.setattr(lock_files, "locks_end_at_machine", lambda folder: not locks)

    return mounted


def test_a_lock_of_the_system_keeps_off_leases(tmp_path, clock, here, monkeypatch):
    here(locks=False)
    put_lease(tmp_path / ".lock", "system")
    before = clock.now
    told = "busy .process .* on node3 since .*: posepile run coco, by a lock of its system, .*all "
    with pytest.raises(WorkError, match=told), locked(tmp_path / ".lock", busy="busy"):
        pass
    with (
        pytest.raises(WorkError, match=told),
        locked(tmp_path / ".lock", shared=True, busy="busy"),
    ):
        pass
    theirs = put_lease(tmp_path / ".pack", "system", shared=True)
    with locked(tmp_path / ".pack", shared=True, busy="no"):
        pass
    for i in range(60):
        text = theirs.read_text().replace("node3", f"node{i:03d}")
        theirs.with_name(f"{i:03d}").write_text(text)
    with (
        pytest.raises(WorkError, match="node000 .*node002 .*; 58 more.$"),
        locked(tmp_path / ".pack", busy="busy"),
    ):
        pass
    assert clock.now == before
    here(locks=True)  # who has the lock knows that its other owner has ended
    with locked(tmp_path / ".lock", busy="no"), locked(tmp_path / ".pack", busy="no"):
        assert clock.now == before
    assert names(tmp_path) == [".lock", ".pack"]
    put_lease(tmp_path / ".lock", "system")
    monkeypatch.undo()
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setenv("POSEPILE_LOCKS", "leases")  # nobody else has locks of the system
    with locked(tmp_path / ".lock", busy="no"):
        assert holders.SECONDS < clock.now - before < holders.SECONDS + 4
    assert names(tmp_path) == [".lock", ".pack"]


def test_leases_keep_off_a_lock_of_the_system(tmp_path, clock, here):
    here(locks=True)
    theirs, before = put_lease(tmp_path / ".lock"), clock.now
    clock.meanwhile = lambda: os.utime(theirs, (1e9, clock.now))
    for shared in (False, True):
        with (
            pytest.raises(WorkError, match="busy .process .* on node3"),
            locked(tmp_path / ".lock", shared=shared, busy="busy"),
        ):
            pass
        assert names(tmp_path) == [".lock", ".lock.lease"]
    assert clock.now - before < 1
    clock.meanwhile = lambda: None
    with locked(tmp_path / ".lock"):  # its owner is gone
        assert names(tmp_path) == [".lock", ".lock.system"]
    assert names(tmp_path) == [".lock"]


def test_a_disk_that_takes_no_note_stops_nothing(tmp_path, here, monkeypatch):
    def put(file, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    here(locks=True)
    monkeypatch.setattr(leases, "_put", put)
    with (
        locked(tmp_path / ".lock", busy="no"),
        pytest.raises(WorkError, match="busy$"),
        locked(tmp_path / ".lock", busy="busy"),
    ):
        pass

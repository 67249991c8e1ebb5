"""Files that stand for objects of a store, tried with fsspec's local files as the store."""

import errno
import multiprocessing
import os
import resource
import signal
import stat
import threading
import time
from types import SimpleNamespace

import pytest

from posepile.errors import Shortage, UsageError, WorkError
from posepile.recipe import looked_at
from posepile.remote import contents, stand_ins, stores
from posepile.remote.on_demand import fetching
from posepile.run.worker import limit_data
from posepile.shortage import vm_bytes

pytest.importorskip("fsspec")

CONTENTS = {"a/1.mkv": os.urandom(100_000), "a/2.mkv": os.urandom(50_000), "list.csv": b"a,b\n"}


@pytest.fixture
def far(tmp_path, monkeypatch):
    """The folder that is the store, with some objects."""
    monkeypatch.setenv("POSEPILE_OBJECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "WAITS", (0,))
    folder = tmp_path / "far"
    for name, data in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    yield folder
    contents.let_go_all(f"file://{folder}")
    stand_ins._listed.clear()


def look_again(far):
    stand_ins._listed.clear()
    return stand_ins.make(f"file://{far}")


def is_there(path):
    found = os.stat(path)
    assert stat.S_IMODE(found.st_mode) in stand_ins.OURS
    return stat.S_IMODE(found.st_mode) != stand_ins.EMPTY


def stamps(folder):
    """What a plan looks at: sizes and times of files, times of folders."""
    found = {}
    for here, _, files in os.walk(folder):
        found[here] = os.stat(here).st_mtime_ns
        for file in files:
            s = os.stat(f"{here}/{file}")
            found[f"{here}/{file}"] = s.st_size, s.st_mtime_ns
    return found


def test_fetched_before_and_let_go_after(far):
    address, folder = f"file://{far}", look_again(far)
    before = stamps(folder)
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == {*CONTENTS}
    assert sum(os.stat(p).st_blocks for p in folder.rglob("*.*")) == 0
    contents.hold(address, ["a/1.mkv", "list.csv", "/etc/passwd", "none"])
    assert (folder / "a/1.mkv").read_bytes() == CONTENTS["a/1.mkv"]
    assert [is_there(folder / n) for n in CONTENTS] == [True, False, True]
    contents.hold(address, ["a/2.mkv", "list.csv"])
    assert (folder / "a/2.mkv").read_bytes() == CONTENTS["a/2.mkv"]
    assert [is_there(folder / n) for n in CONTENTS] == [False, True, True]
    assert stamps(folder) == before
    contents.let_go_all(address)
    assert not any(is_there(folder / n) for n in CONTENTS)
    assert stamps(folder) == before


def test_other_machines_make_the_same_files(far, tmp_path, monkeypatch):
    here = stamps(look_again(far))
    first = os.fspath(stand_ins.folder_for(f"file://{far}"))
    monkeypatch.setenv("POSEPILE_OBJECT_CACHE", str(tmp_path / "other"))
    second = os.fspath(look_again(far))
    assert {k.replace(second, first): v for k, v in stamps(second).items()} == here


def test_a_list_is_made_again_where_it_is_older_than_the_callers(far, tmp_path, monkeypatch):
    address, new = f"file://{far}", os.urandom(70_000)

    def on(machine, **asked):
        monkeypatch.setenv("POSEPILE_OBJECT_CACHE", str(tmp_path / machine))
        stand_ins._listed.clear()
        return stand_ins.make(address, **asked)

    on("caller")
    on("worker", since=stand_ins.listed_at(address))
    (far / "a/1.mkv").unlink()
    (far / "a/1.mkv").write_bytes(new)
    here = stamps(on("caller"))
    # The clocks of the two are an hour apart.
    began, late = stand_ins.listed_at(address), time.time() - 3600
    monkeypatch.setattr(stand_ins, "time", SimpleNamespace(time=lambda: late))
    there = on("worker", since=began)
    assert list(stamps(there).values()) == list(here.values())
    monkeypatch.setattr(stores, "look_below", None)  # is not asked again
    assert on("worker", since=began) == there
    with pytest.raises(TypeError):
        on("worker", since=began + 1)


def test_what_is_shared_is_fetched_once(far, monkeypatch):
    address = f"file://{far}"
    look_again(far)
    asked = []
    read = stores.read_range
    monkeypatch.setattr(stores, "read_range", lambda a, *x: asked.append(a) or read(a, *x))
    for name in ("a/1.mkv", "a/2.mkv", "a/1.mkv"):
        contents.hold(address, [name, "list.csv"])
    assert [a.rpartition("/")[2] for a in sorted(asked)] == ["1.mkv", "1.mkv", "2.mkv", "list.csv"]


def _hold_until_told(address, names, ready, go_on):
    contents.hold(address, names)
    ready.set()
    go_on.wait(60)


def test_what_another_process_uses_stays(far):
    address, folder = f"file://{far}", look_again(far)
    contents.hold(address, ["list.csv"])
    fork = multiprocessing.get_context("fork")
    ready, go_on = fork.Event(), fork.Event()
    other = fork.Process(
        target=_hold_until_told, args=(address, ["a/1.mkv", "list.csv"], ready, go_on)
    )
    other.start()
    assert ready.wait(60)
    contents.hold(address, ["a/1.mkv"])
    contents.let_go_all(address)
    assert is_there(folder / "a/1.mkv") and is_there(folder / "list.csv")
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    contents.let_go_all(address)
    assert not is_there(folder / "a/1.mkv") and not is_there(folder / "list.csv")


def _die_amid_reading(work):
    read = stores.read_range

    def half(address, start, size):
        data = read(address, start, size)
        if start:
            os.kill(os.getpid(), signal.SIGKILL)
        return data

    stores.PIECE, stores.read_range = 30_000, half
    work()


def test_killed_amid_fetching(far):
    address, folder = f"file://{far}", look_again(far)
    before = stamps(folder)
    other = multiprocessing.get_context("fork").Process(
        target=_die_amid_reading, args=(lambda: contents.hold(address, ["a/1.mkv"]),)
    )
    other.start()
    other.join()
    assert other.exitcode == -signal.SIGKILL and not is_there(folder / "a/1.mkv")
    contents.hold(address, ["a/1.mkv"])
    assert (folder / "a/1.mkv").read_bytes() == CONTENTS["a/1.mkv"]
    assert stamps(folder) == before


def test_the_store_has_changed(far):
    folder = look_again(far)
    (folder / "made.npz").write_bytes(b"derived here")
    first = stamps(look_again(far))
    (far / "list.csv").unlink()
    (far / "list.csv").write_bytes(b"c,d\n")  # of the same size
    (far / "a/2.mkv").unlink()
    (far / "b").mkdir()
    (far / "b/3.mkv").write_bytes(b"new")
    second = stamps(look_again(far))
    changed = {os.path.relpath(k, folder) for k in first if second.get(k) != first[k]}
    assert changed == {".", "a", "a/2.mkv", "list.csv"}
    assert {os.path.relpath(k, folder) for k in second.keys() - first} == {"b", "b/3.mkv"}
    assert (folder / "made.npz").read_bytes() == b"derived here"


def test_replaced_or_gone_after_it_was_listed(far):
    address, folder = f"file://{far}", look_again(far)
    (far / "list.csv").unlink()
    (far / "list.csv").write_bytes(b"longer than before\n")
    (far / "a/1.mkv").unlink()
    (far / "a/2.mkv").unlink()
    (far / "a/2.mkv").write_bytes(b"shorter")
    contents.hold(address, ["list.csv", "a/1.mkv", "a/2.mkv"])
    assert (folder / "a/2.mkv").read_bytes() == b"shorter"
    assert (folder / "list.csv").read_bytes() == b"longer than before\n"
    assert not (folder / "a/1.mkv").exists()
    after = stamps(folder)
    assert stamps(look_again(far))[str(folder / "list.csv")] == after[str(folder / "list.csv")]


def test_opening_fetches(far):
    address, folder = f"file://{far}", look_again(far)
    with fetching(address):
        assert open(folder / "list.csv").read() == "a,b\n"
        looked_at(folder / "a/1.mkv")
        looked_at(folder / "a")
        with pytest.raises(FileNotFoundError):
            open(folder / "none")
    assert [is_there(folder / n) for n in CONTENTS] == [True, False, True]
    contents.let_go_all(address)
    with fetching(None):
        assert not is_there(folder / "list.csv")


def test_opening_many_holds_some(far, monkeypatch):
    monkeypatch.setattr(contents, "_LAST", 1)
    address, folder = f"file://{far}", look_again(far)
    with fetching(address):
        for name, data in CONTENTS.items():
            assert (folder / name).read_bytes() == data
    assert len(contents._held) == 1 and all(is_there(folder / n) for n in CONTENTS)


@pytest.mark.parametrize("how", ["all", "of a unit"])
def test_what_is_open_keeps_its_content(far, monkeypatch, how):
    monkeypatch.setattr(contents, "_LAST", 1)
    address, folder = f"file://{far}", look_again(far)
    before = stamps(folder)
    with fetching(address), open(folder / "a/1.mkv", "rb", buffering=0) as f:
        for name, data in CONTENTS.items():
            assert (folder / name).read_bytes() == data

        def other():
            if how == "of a unit":
                contents.hold(address, ["a/1.mkv"])
            contents.let_go_all(address)

        process = multiprocessing.get_context("fork").Process(target=other)
        process.start()
        process.join()
        assert process.exitcode == 0
        assert [is_there(folder / n) for n in CONTENTS] == [False, False, True]
        assert f.read() == CONTENTS["a/1.mkv"]
    assert stamps(folder) == before
    contents.hold(address, ["a/1.mkv"])
    assert (folder / "a/1.mkv").read_bytes() == CONTENTS["a/1.mkv"]


def test_what_a_unit_needs_is_held_however_many_are_opened(far, monkeypatch):
    monkeypatch.setattr(contents, "_LAST", 1)
    address, folder = f"file://{far}", look_again(far)
    with fetching(address):
        (folder / "list.csv").read_bytes()
        contents.hold(address, ["list.csv"])
        for name in ("a/1.mkv", "a/2.mkv"):
            (folder / name).read_bytes()
    assert contents._held.keys() == {str(folder / n) for n in ("list.csv", "a/2.mkv")}


def test_threads_that_open_the_same_file(far, monkeypatch):
    address, folder = f"file://{far}", look_again(far)
    together, hold_one, found = threading.Barrier(4), contents._hold_one, []

    def hold_one_together(*asked):
        together.wait(60)
        return hold_one(*asked)

    monkeypatch.setattr(contents, "_hold_one", hold_one_together)
    with fetching(address):
        threads = [
            threading.Thread(target=lambda: found.append((folder / "list.csv").read_bytes()))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [CONTENTS["list.csv"]] * 4 and len(contents._held) == 1
    contents.let_go_all(address)
    assert not is_there(folder / "list.csv"), "some thread's lock is still there"


def test_what_is_fetched_is_told_and_let_go_if_that_fails(far):
    address, folder = f"file://{far}", look_again(far)

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        contents.hold(address, [*CONTENTS], stop)
    contents.let_go_all(address)
    assert not any(is_there(folder / n) for n in CONTENTS)


def test_too_little_memory_for_threads(far):
    """One of them would begin, get no memory, and be waited for for ever."""
    address = f"file://{far}"
    look_again(far)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            limit_data(vm_bytes("VmData") + (8 << 20))
            contents.hold(address, [*CONTENTS])
        except MemoryError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("was_there", [False, True])
def test_replaced_between_opening_and_locking(far, monkeypatch, was_there):
    address, folder = f"file://{far}", look_again(far)
    path = folder / "list.csv"
    if was_there:
        contents.hold(address, ["list.csv"])
        os.close(contents._held.pop(os.fspath(path)))
    first = contents.fcntl.LOCK_SH if was_there else contents.fcntl.LOCK_EX
    lock, before, read = contents.lock, [os.lstat(path)], []
    read_range = stores.read_range

    def replaced_first(fd, kind):
        if before and kind == first:
            was = before.pop()
            path.unlink()
            stand_ins._stand_for(path, stores.look(f"{address}/list.csv"))
            assert not os.path.samestat(was, os.lstat(path))
        return lock(fd, kind)

    monkeypatch.setattr(contents, "lock", replaced_first)
    monkeypatch.setattr(stores, "read_range", lambda *x: read.append(x) or read_range(*x))
    contents.hold(address, ["list.csv"])
    assert not before and path.read_bytes() == CONTENTS["list.csv"]
    assert len(read) == 1


def test_only_a_run_lists_the_store_anew(far, monkeypatch):
    address = f"file://{far}"
    looks, look = [], stores.look_below
    monkeypatch.setattr(stores, "look_below", lambda a: looks.append(a) or look(a))
    for options in ({"since": 0.0}, {"since": 0.0}, {"share": True}, {}, {"since": 0.0}):
        stand_ins._listed.clear()
        stand_ins.make(address, **options)
        looks.append(options)
    assert looks == [
        address,
        {"since": 0.0},
        {"since": 0.0},
        {"share": True},
        address,
        {},
        {"since": 0.0},
    ]


def test_names_that_no_file_can_have(far, monkeypatch):
    good = list(stores.look_below(f"file://{far}"))
    for name in ("../x", "a//b", "/etc/x", "a/./b", "x\0y"):
        monkeypatch.setattr(stores, "look_below", lambda a, n=name: [*good, (n, good[0][1])])
        with pytest.raises(WorkError, match="no file can have; rename it") as e:
            look_again(far)
        assert "\n" not in str(e.value)
    for name in ("a", "list.csv/x"):
        monkeypatch.setattr(stores, "look_below", lambda a, n=name: [*good, (n, good[0][1])])
        with pytest.raises(WorkError, match="an object and a folder of others"):
            look_again(far)


def test_a_mistake_is_not_taken_for_a_network_that_fails(far, monkeypatch):
    asked = []

    def mistake(system, path, **how):
        asked.append(path)
        raise TypeError("unexpected keyword argument 'ranges'")

    monkeypatch.setattr(type(stores.filesystem(f"file://{far}")), "cat_file", mistake)
    with pytest.raises(WorkError, match="TypeError: unexpected.*fsspec's configuration"):
        stores.read_range(f"file://{far}/list.csv", 0, 1)
    assert len(asked) == 1


def test_what_a_killed_process_had_copied_goes(far, tmp_path):
    address, folder = f"file://{far}/a/1.mkv", tmp_path / "copies"

    def copy():
        stores.copy_here(address, stores.look(address), folder / "1.mkv")

    for _ in range(2):
        other = multiprocessing.get_context("fork").Process(target=_die_amid_reading, args=(copy,))
        other.start()
        other.join()
        assert other.exitcode == -signal.SIGKILL and len(list(folder.iterdir())) == 1
    copy()
    assert [p.name for p in folder.iterdir()] == ["1.mkv"]
    assert (folder / "1.mkv").read_bytes() == CONTENTS["a/1.mkv"]


def test_nothing_there(far):
    with pytest.raises(WorkError, match="nothing is there"):
        look_again(far / "nowhere")


def test_the_disk_is_full(far, monkeypatch):
    pwrite = os.pwrite

    def full(fd, data, at):
        if at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, data[:4096], at)

    address, folder = f"file://{far}", look_again(far)
    before = stamps(folder)
    with monkeypatch.context() as patch, pytest.raises(Shortage, match="No space left"):
        patch.setattr(os, "pwrite", full)
        contents.hold(address, ["a/1.mkv"])
    assert stamps(folder) == before and not os.stat(folder / "a/1.mkv").st_blocks
    contents.hold(address, ["a/1.mkv"])
    assert (folder / "a/1.mkv").read_bytes() == CONTENTS["a/1.mkv"]


def test_more_files_than_can_be_open(far, monkeypatch):
    address = f"file://{far}"
    look_again(far)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (258, 258))
    with pytest.raises(UsageError, match="3 raw files.*raise ulimit -n"):
        contents.hold(address, [*CONTENTS])


def test_a_disk_without_locks(far, monkeypatch):
    def none(fd, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    look_again(far)
    monkeypatch.setattr(contents.fcntl, "flock", none)
    with pytest.raises(WorkError, match="cannot be locked.*POSEPILE_OBJECT_CACHE"):
        contents.hold(f"file://{far}", ["list.csv"])

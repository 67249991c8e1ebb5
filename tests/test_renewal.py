"""Who holds a lease renews it in time, and who waits looks at whatever lies there."""

import errno
import json
import os
import threading
import time

import pytest

from posepile.errors import WorkError
from posepile.files import locked
from posepile.locks import holders, renewal, waiting
from posepile.locks.leases import leased


def renewed_in_time(monkeypatch, path, times=3):
    """Takes a lease; returns whether its thread renewed it so often, and is to go on in time."""
    renewed, late = threading.Semaphore(0), []

    def utime(file):
        if file.parent.name != f"{path.name}.lease":
            late.append(file)  # one that this process does not hold
        elif lease := renewal.Lease._all.get(file):
            late.append(lease.next - time.monotonic() > holders.lease_seconds() / 2)
        renewed.release()

    monkeypatch.setattr(renewal.os, "utime", utime)
    with leased(path):
        return all(renewed.acquire(timeout=60) for _ in range(times)) and not any(late)


def test_leases_are_renewed_from_a_thread_until_they_end(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEPILE_LEASE_SECONDS", "1")
    assert renewed_in_time(monkeypatch, tmp_path / "a")
    with leased(tmp_path / "b"):
        child = os.fork()
        if child == 0:  # its thread has not come along, and b is not its own
            os._exit(0 if renewed_in_time(monkeypatch, tmp_path / "c") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert renewed_in_time(monkeypatch, tmp_path / "d")  # when all before have ended


@pytest.mark.parametrize(("number", "goes_on"), [(errno.ESTALE, True), (errno.EIO, False)])
def test_a_lease_that_ends_while_it_is_read_is_over(tmp_path, monkeypatch, number, goes_on):
    """A file server says that the file is stale."""
    theirs = tmp_path / ".lock.lease" / "theirs"
    theirs.parent.mkdir()
    theirs.write_text(json.dumps(holders.own_record(False) | {"host": "node3"}))

    def stale(file, *_, **__):
        theirs.unlink()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(waiting, "open", stale, raising=False)
    if goes_on:
        with leased(tmp_path / ".lock", wait="never") as held:
            assert held
    else:
        with pytest.raises(OSError, match=os.strerror(number)), leased(tmp_path / ".lock"):
            pass


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "no folder"])
def test_what_is_no_lease_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("POSEPILE_LOCKS", "leases")
    place = tmp_path / ".lock.lease"
    if kind == "no folder":
        place.touch()
    else:
        place.mkdir()
        make = {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda p: p.symlink_to("nowhere")}
        make[kind](place / "x")
    with (
        pytest.raises(WorkError, match="lock.lease.*: expected a .*, found something else.*"),
        locked(tmp_path / ".lock"),
    ):
        pass


def test_who_waits_to_know_says_so_however_often_it_looks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("POSEPILE_LEASE_SECONDS", "2")
    theirs = tmp_path / ".lock.lease" / "theirs"
    theirs.parent.mkdir()
    record = holders.own_record(False) | {"host": "node3", "seconds": 86400}
    theirs.write_text(json.dumps(record))
    now = [0.0]

    class Clock:
        monotonic = staticmethod(lambda: now[0])

        @staticmethod
        def sleep(seconds):
            now[0] += seconds
            if now[0] > 5:
                theirs.unlink(missing_ok=True)

    monkeypatch.setattr(waiting, "time", Clock)
    with leased(tmp_path / ".lock", wait="until known") as held:
        assert held
    assert capsys.readouterr().err.count("on node3") == 1

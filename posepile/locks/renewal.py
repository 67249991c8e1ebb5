"""Leases of this process: renewed from a thread until they end, or are found to be lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

from posepile.errors import WorkError
from posepile.locks.holders import lease_seconds

RENEWALS = 6  # in the time after which a lease counts as left behind


def let_go(file: Path) -> bool:
    """Ends a lease, and its folder if no other is in it; returns whether it was there."""
    try:
        file.unlink()
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(file.parent)


def lost_words(path: Path) -> str:
    """Returns what to say of a lock whose lease was lost."""
    return (
        f"{path}: another process has taken this lock over, as it was not renewed for longer "
        "than POSEPILE_LEASE_SECONDS (the machine or its disk stood still); run again, finished "
        "work is not repeated"
    )


class Lease:
    """A lease of this process, renewed until it ends."""

    _all: ClassVar[dict[Path, Lease]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _thread: ClassVar[threading.Thread | None] = None
    _wake: ClassVar[threading.Event] = threading.Event()

    def __init__(self, file: Path, path: Path, vital: bool):
        self.file, self.path, self.vital, self.pid = file, path, vital, os.getpid()
        self.lost = False
        self.pause = lease_seconds() / RENEWALS
        self.next = time.monotonic() + self.pause
        with Lease._lock:
            Lease._all[file] = self
            if Lease._thread is None:
                Lease._thread = threading.Thread(target=_renew, name="leases", daemon=True)
                Lease._thread.start()
        Lease._wake.set()

    def holds(self) -> bool:
        """Returns whether nobody has taken the lease over until now."""
        return not self.lost and self.file.exists()

    def end(self) -> None:
        """Gives the lease back."""
        if os.getpid() != self.pid:  # a child that was forked holds nothing
            return
        with Lease._lock:
            Lease._all.pop(self.file, None)
        with contextlib.suppress(OSError):
            self.lost |= not let_go(self.file)

    def renew(self) -> None:
        """Tells those who wait that the holder is there."""
        try:
            os.utime(self.file)
        except FileNotFoundError:
            before = self.lost
            with Lease._lock:  # it may have been given back meanwhile
                self.lost = self.file in Lease._all
            if self.lost and self.vital and not before:
                _stop(self.path)
        except OSError:
            pass  # the disk does not answer; it may again, and who waits sees only the time


def check_held() -> None:
    """Refuses to go on when a lease that this process works under was taken over by another.

    It is asked before a step that others could not undo: a process that stood still for longer
    than its lease lasts does not know of it yet.

    Raises:
        WorkError: A lease is gone.
    """
    with Lease._lock:
        vital = [lease for lease in Lease._all.values() if lease.vital]
    for lease in vital:
        if not lease.holds():
            raise WorkError(lost_words(lease.path))


def _renew() -> None:
    while True:
        with Lease._lock:
            leases = list(Lease._all.values())
            now = time.monotonic()
            due = [lease for lease in leases if lease.next <= now]
            pause = min((lease.next - now for lease in leases if lease not in due), default=None)
        for lease in due:
            lease.next = time.monotonic() + lease.pause
            lease.renew()
        if not due:
            Lease._wake.wait(pause)
            Lease._wake.clear()


def _stop(path: Path) -> None:
    """Ends the work under a lost lease, where somebody has said how work is ended."""
    print(lost_words(path), file=sys.stderr)
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)


def _forget() -> None:
    Lease._all, Lease._lock, Lease._thread = {}, threading.Lock(), None
    Lease._wake = threading.Event()


os.register_at_fork(after_in_child=_forget)

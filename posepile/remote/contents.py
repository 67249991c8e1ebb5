"""The contents of raw files of an object store: fetched before they are read, let go after.

A content is in the file that stands for its object, see :mod:`posepile.remote.stand_ins`, and is
locked by whoever uses it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import stat
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from posepile.errors import UsageError, WorkError
from posepile.files import disk_error, is_disk_error
from posepile.remote import stores
from posepile.remote.places import cache_folder
from posepile.remote.stand_ins import (
    EMPTY,
    FULL,
    LOOSE,
    OURS,
    closing,
    empty,
    folder_for,
    is_at,
    let_go_of,
    lock,
)
from posepile.shortage import require_memory_for_threads

THREADS = 8  # that fetch the files of one unit

_MORE_FILES = 256  # that a process may have open besides

# Of files that are fetched because they are opened, so many of the last ones are held.
_LAST = 200

SILENT_SECONDS = 600.0  # a store is silent at most, should its library not give up before

_TICK_SECONDS = 1.0

_held: dict[str, int] = {}  # the files, open and locked
_brought: deque[str] = deque()  # those of them that were opened and are no unit's


def _forget() -> None:
    """In a forked child: the parent goes on holding them."""
    for fd in _held.values():
        with contextlib.suppress(OSError):
            os.close(fd)
    _held.clear()
    _brought.clear()


os.register_at_fork(after_in_child=_forget)


def hold(address: str, names: Collection[str], alive: Callable[[], None] = lambda: None) -> None:
    """Fetches what a unit needs, and lets go what only units before it needed.

    Args:
        address: Of the folder in the store.
        names: The files, below the folder; others and absolute ones are left alone.
        alive: Is called meanwhile.

    Raises:
        WorkError: One cannot be fetched.
        Shortage: The disk is full.
        UsageError: They are more files than a process may have open.
    """
    folder = os.fspath(folder_for(address))
    wanted = {os.path.join(folder, name) for name in names}
    wanted = {path for path in wanted if path.startswith(folder + "/")}
    for path in _held.keys() - wanted:
        _let_go(Path(folder), path)
    _brought.clear()
    _make_room_for(len(wanted))
    todo = sorted(wanted - _held.keys())
    came = [0]

    def fetch(path):
        _keep(path, _hold_one(f"{address}/{path[len(folder) + 1 :]}", path, came))

    if todo:
        patiently(address, fetch, todo, alive, came)


def patiently(
    address: str,
    function: Callable[[Any], Any],
    items: Collection[Any],
    alive: Callable[[], None],
    came: list[int],
    most: float = SILENT_SECONDS,
) -> None:
    """Calls a function with each item, in threads; says meanwhile that the process is alive.

    A store that is silent is no sign that a unit is damaged, so whoever looks after the process
    must not think so; the library behind fsspec gives up at some time.

    Args:
        address: For the message.
        function: Asks the store.
        items: At least one.
        alive: Is called about once a second.
        came: Counts what has come.
        most: Seconds after which, if nothing has come, the library is not waited for.

    Raises:
        WorkError: A call has failed, or the store is silent for too long.
    """
    n_threads = min(THREADS, len(items))
    require_memory_for_threads(n_threads)
    pool, silent = ThreadPoolExecutor(n_threads), False
    try:
        waiting = {pool.submit(function, item) for item in items}
        seen, last, error = 0, time.monotonic(), None
        while waiting:
            done, waiting = wait(waiting, _TICK_SECONDS, FIRST_COMPLETED)
            alive()
            if done or came[0] > seen:
                seen, last = came[0], time.monotonic()
            elif time.monotonic() - last > most:
                silent = True
                raise stores.Silent(
                    f"{address}: the store has been silent for {most / 60:.0f} minutes; look at "
                    "the network and the address of the store, then run again"
                )
            for found in (future.exception() for future in done):
                if found is not None and error is None:
                    error = found
                    pool.shutdown(wait=False, cancel_futures=True)
                    waiting = {future for future in waiting if not future.cancelled()}
        if error is not None:
            raise error
    finally:
        pool.shutdown(wait=not silent, cancel_futures=True)


def _keep(path: str, fd: int | None) -> bool:
    """Keeps a file that is locked; False if there is none, or another thread was quicker."""
    if fd is None:
        return False
    if _held.setdefault(path, fd) == fd:
        return True
    os.close(fd)
    return False


def bring(address: str, path: str, alive: Callable[[], None] | None = None) -> None:
    """Fetches one file that is about to be opened; it stays until :func:`let_go_all`.

    Args:
        address: Of the folder in the store.
        path: The file.
        alive: Is called meanwhile; None: nobody wants to know.
    """
    folder, came = os.fspath(folder_for(address)), [0]

    def fetch(path):
        fd = _hold_one(f"{address}/{path[len(folder) + 1 :]}", path, came)
        if _keep(path, fd):
            _brought.append(path)
            if len(_brought) > _LAST:
                former = _held.pop(_brought.popleft())
                os.fchmod(former, LOOSE)  # it may still be open here
                os.close(former)

    if path in _held or not path.startswith(folder + "/"):
        return
    if alive is None:
        fetch(path)
    else:
        patiently(address, fetch, [path], alive, came)


def let_go_all(address: str) -> None:
    """Lets go of every content that nobody uses."""
    _brought.clear()
    folder = folder_for(address)
    for path in list(_held):
        _let_go(folder, path)
    for here, _, files in os.walk(folder):
        for file in files:
            path = f"{here}/{file}"
            with contextlib.suppress(OSError):
                found = os.lstat(path)
                if stat.S_IMODE(found.st_mode) in (FULL, LOOSE) and found.st_blocks:
                    with closing(os.open(path, os.O_WRONLY | os.O_CLOEXEC)) as fd:
                        let_go_of(folder, path, fd)


def _let_go(folder: Path, path: str) -> None:
    with contextlib.suppress(OSError), closing(_held.pop(path)) as fd:
        let_go_of(folder, path, fd)


def _hold_one(address: str, path: str, came: list[int]) -> int | None:
    """Returns the locked file with its content; None if none stands for an object there."""
    while True:
        try:
            if stat.S_IMODE(os.lstat(path).st_mode) not in OURS:
                return None
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as e:
            if e.errno == errno.EMFILE:
                raise UsageError(
                    f"{path}: this process has too many files open; raise ulimit -n"
                ) from None
            raise
        try:
            if _has_content(fd, path) or _fill(address, path, fd, came):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # somebody was quicker, or it is another file by now


def _has_content(fd: int, path: str) -> bool:
    """Whether it has, which is then locked."""
    if not lock(fd, fcntl.LOCK_SH):
        return False
    return stat.S_IMODE(os.fstat(fd).st_mode) in (FULL, LOOSE) and is_at(fd, path)


def _fill(address: str, path: str, fd: int, came: list[int]) -> bool:
    """Fetches the content; False if somebody else is about it or was."""
    if not lock(fd, fcntl.LOCK_EX):
        time.sleep(0.05)  # the other one may take minutes
        came[0] += 1
        return False
    found = os.fstat(fd)
    if stat.S_IMODE(found.st_mode) != EMPTY or not is_at(fd, path):
        return False
    for _ in range(2):
        size, mtime_ns = os.fstat(fd).st_size, os.fstat(fd).st_mtime_ns
        wrong = None
        try:
            try:
                _copy(address, fd, size, came)
            except (stores.Absent, stores.Silent):
                raise
            except WorkError as e:
                wrong = e  # as when it has become shorter
            now = stores.look(address)
        except stores.Absent:
            os.unlink(path)  # so that it is missing here, too
            return False
        except OSError as e:
            if is_disk_error(e):
                empty(fd, size, mtime_ns)
                raise disk_error(e, cache_folder() / "raw", "fetching") from e
            raise
        if (now.size, now.mtime_ns) != (size, mtime_ns):
            empty(fd, now.size, now.mtime_ns)
            continue
        if wrong is not None:
            raise wrong
        os.fdatasync(fd)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
        os.fchmod(fd, FULL)
        return _has_content(fd, path)
    raise WorkError(f"{address}: was replaced while it was fetched; run again")


def _copy(address, fd, size, came):
    at = 0

    def write(data):
        nonlocal at
        while data:
            done = os.pwrite(fd, data, at)
            at, data = at + done, data[done:]
        came[0] += 1

    stores.read_pieces(address, size, write)


def _make_room_for(n: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = len(_held) + n + _MORE_FILES
    if soft != resource.RLIM_INFINITY and need > soft:
        if hard != resource.RLIM_INFINITY and need > hard:
            raise UsageError(
                f"a unit has {n} raw files, and a process may have {hard} files open; raise "
                "ulimit -n"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))

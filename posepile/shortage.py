"""What the machine may be short of: memory, file handles, threads, a disk that works.

A decoder that gets no memory answers like one that is given a damaged file. Whether an error says
something of the file or of the machine is decided here and nowhere else; :mod:`posepile.errors`
asks whenever an error about a file is made.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import resource
import sqlite3
import threading
from _thread import start_new_thread
from collections.abc import Iterator

GiB = 1 << 30

# A decoder asks for less than this at once; where it could not be had, its answer means nothing.
# Chosen, not measured: over twice the largest picture that is taken, which has 400 MB in RGB.
HEADROOM = GiB
# Address space without which the libraries crash while they are imported. Measured by
# `ulimit -v N; posepile step aspset pack` without this check, on x86-64 Linux with two cores: with
# 450 to 540 MB it ended with SIGSEGV, with 563 MB and more it began its work.
START = 550_000_000
THREAD = 80_000_000  # address space that a thread takes: its stack and its heap
STACK = 16_000_000  # of it, what counts as data: the stack, and what it needs to begin
# A library that reads one file opens no more than these. Chosen, not measured.
SPARE_FILES = 8

_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK = (*_FULL, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.EREMOTEIO)
# Primary result codes of SQLite that mean the disk (IOERR, FULL, READONLY), and the whole texts
# that stand for them before Python 3.11. Names in a file may contain these words.
_SQLITE_CODES = (10, 13, 8)
_SQLITE_TEXTS = (
    "disk I/O error",
    "database or disk is full",
    "attempt to write a readonly database",
)
_SQLITE_CANNOT_OPEN = "unable to open database file"  # for want of file handles, perhaps

HANDLES = (errno.EMFILE, errno.ENFILE)

# A library's text without a number. It may quote the file, so the machine is looked at as well.
_MEMORY_WORDS = re.compile(
    r"bad[_ ]?(array_new_length|alloc)|cannot allocate|unable to allocate|failed to allocate|"
    r"insufficient memory|out of memory|not enough memory|\bMemoryError\b|failed to map segment|"
    r"memory allocation",
    re.IGNORECASE,
)
_FILE_WORDS = re.compile(r"too many open files", re.IGNORECASE)
_THREAD_WORDS = re.compile(
    r"can't start new thread|resource temporarily unavailable|pthread_create", re.IGNORECASE
)

AGAIN = "no file is at fault, and what is finished is kept: {} and run again"

# Bytes that any unit or listing may take. Chosen, not measured.
LEAST = 2_000_000_000

# What a unit may take, set in workers: bytes, and what the process had before its first unit.
_promise: tuple[int, int] = (LEAST, 0)

# The limit of memory is the process's: threads that look raise it and put it back one by one. A
# fork waits too, so that no child begins with the limit raised or the lock held.
_limit_is_ours = threading.Lock()
os.register_at_fork(
    before=_limit_is_ours.acquire,
    after_in_parent=_limit_is_ours.release,
    after_in_child=_limit_is_ours.release,
)


def promise(memory_bytes: int, before: int) -> None:
    """Says how much memory a unit may take in this process.

    A unit that needs more is to blame itself; who could not have so much is not.

    Args:
        memory_bytes: What it may take.
        before: Bytes of data that the process had reserved before its first unit.
    """
    global _promise
    _promise = memory_bytes, before


def shortage_behind(error: BaseException | None, *, in_doubt: bool = False) -> str | None:
    """Returns what the machine lacked when an error came about and what to do; None if nothing.

    Args:
        error: The error, with those that led to it.
        in_doubt: The error may come from a library that does not tell a lack of memory or of
            file handles from a damaged file: whether there is enough of both is looked at, too.
    """
    for e in _chain(error):
        number = getattr(e, "errno", None)
        # FFmpeg's numbers: what reads past the end of a file gets "input/output error", too.
        if number in DISK and not type(e).__module__.startswith("av."):
            file = f"{e.filename}: " if getattr(e, "filename", None) else ""
            return f"{file}{os.strerror(number)}; {AGAIN.format(remedy_of_disk(number))}"
        if isinstance(e, sqlite3.Error) and str(e) == _SQLITE_CANNOT_OPEN:
            lack = _lack_of_handles()
            if lack:
                return lack
        if isinstance(e, sqlite3.Error) and is_disk_error_of_sqlite(e):
            return f"{e}; {AGAIN.format('make room, or see to the disk,')}"
        if number in HANDLES:
            return _handles(number)
        if number is None and _FILE_WORDS.search(str(e)):
            lack = _lack_of_handles()
            if lack:
                return lack
        if isinstance(e, MemoryError) or number == errno.ENOMEM or _MEMORY_WORDS.search(str(e)):
            lack = _lack_of_memory(_left_of_promise())
            if lack:
                return lack
        if number == errno.EAGAIN or isinstance(e, (RuntimeError, ImportError)):
            lack = _THREAD_WORDS.search(str(e)) and _lack_of_threads()
            if lack:
                return lack
        # An interpreter without memory calls functions that return nothing and name no error.
        in_doubt = in_doubt or isinstance(e, SystemError)
    if in_doubt:
        return _lack_of_memory(HEADROOM, peak=True) or _lack_of_handles()
    return None


def is_disk_error_of_sqlite(error: sqlite3.Error) -> bool:
    """Returns whether SQLite could not write, or not read what the disk holds."""
    code = getattr(error, "sqlite_errorcode", None)  # since Python 3.11
    if code is not None:
        return code & 0xFF in _SQLITE_CODES
    # Texts of a database's own (RAISE in a trigger) come with another class.
    return isinstance(error, sqlite3.OperationalError) and str(error) in _SQLITE_TEXTS


def remedy_of_disk(number: int) -> str:
    """Returns what to do about an error of the disk.

    >>> import errno
    >>> remedy_of_disk(errno.ENOSPC)
    'make room'

    Args:
        number: One of :data:`DISK`.
    """
    if number == errno.EFBIG:
        limit = _soft(resource.RLIMIT_FSIZE)
        if limit is not None:
            return f"raise ulimit -f (it lets a file have {limit / 1e6:g} MB)"
        return "use a file system that takes files of that size"
    return "make room" if number in _FULL else "see to the disk or its mount"


def shortage_in_words(said: str) -> str | None:
    """Returns what the machine lacked by the last words of a process that has ended.

    Args:
        said: What it wrote to stderr before it had opened a raw file: no text of one is in it.
    """
    if _FILE_WORDS.search(said):
        of_system = os.strerror(errno.ENFILE).lower() in said.lower()
        return _handles(errno.ENFILE if of_system else errno.EMFILE)
    if _THREAD_WORDS.search(said):
        return _threads()
    if _MEMORY_WORDS.search(said):
        return _memory()
    return None


def shortage_by_limit(memory_bytes: int | None) -> str | None:
    """Returns by which limit a process gets less memory than it may need; None if by none.

    Where that is so, a library that crashed may have lacked memory.

    Args:
        memory_bytes: What it may need. None: nothing is known of that.
    """
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limits = [_soft(resource.RLIMIT_AS), None if hard == resource.RLIM_INFINITY else hard]
    need = 0 if memory_bytes is None else memory_bytes + HEADROOM
    return _memory() if any(limit is not None and limit < need for limit in limits) else None


def shortage_at_start() -> str | None:
    """Returns what is lacking for the imports alone, which would crash; None if nothing is."""
    limit = _soft(resource.RLIMIT_AS)
    return None if limit is None or limit >= START else _memory()


def vm_bytes(name: str) -> int:
    """Returns a line of this process's memory status in bytes, e.g. ``VmPeak``; 0 = unknown."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status", "rb") as f:
        for line in f:
            if line.startswith(name.encode() + b":"):
                return int(line.split()[1]) * 1024
    return 0


def allow_open_files(wanted: int = 4096) -> None:
    """Raises this process's own limit of open files, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def require_memory_for_threads(count: int) -> None:
    """Does nothing if so many threads can begin: one that cannot is waited for for ever.

    Raises:
        MemoryError: They cannot.
    """
    if not _can_reserve(count * THREAD) or not _can_map(count * STACK):
        raise MemoryError("Unable to allocate the stacks of threads")


# ---------------------------------------------------------------- looking


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _left_of_promise() -> int:
    """Bytes that this process should still get; 0 if a unit has taken all that it may."""
    size, before = _promise
    taken = max(0, vm_bytes("VmData") - before) if before else 0
    return max(0, size - taken)


def _lack_of_memory(need: int, *, peak: bool = False) -> str | None:
    """Says that so many bytes cannot be had; None if they can.

    Args:
        need: The bytes.
        peak: On top of the most that there ever was: what was refused may be free again.
    """
    if need <= 0:
        return None
    limit = _soft(resource.RLIMIT_AS)
    if peak and limit is not None and vm_bytes("VmPeak") + need > limit:
        return _memory()
    return None if _can_reserve(need) else _memory()


def _can_reserve(size: int) -> bool:
    """Returns whether the system would give the memory; the limit of our own does not count."""
    with _limit_is_ours:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        try:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
            return _can_map(size)
        finally:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _can_map(size: int) -> bool:
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        return True
    except (OSError, MemoryError, OverflowError):
        return False


def _lack_of_handles() -> str | None:
    opened = []
    try:
        for _ in range(SPARE_FILES):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as e:
        return _handles(e.errno) if e.errno in HANDLES else None
    finally:
        for fd in opened:
            os.close(fd)
    return None


def _lack_of_threads() -> str | None:
    try:
        start_new_thread(int, ())  # Thread.start waits for ever for one that dies of no memory
    except (RuntimeError, MemoryError):
        return _threads()
    return _lack_of_memory(HEADROOM, peak=True)


def _soft(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft


# ---------------------------------------------------------------- words


def _memory() -> str:
    limit = _soft(resource.RLIMIT_AS)
    data = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if limit is not None:
        what = f"ulimit -v lets a process have {limit / 1e9:.1f} GB of memory"
        peak = vm_bytes("VmPeak")
        what += f" and this one has had {peak / 1e9:.1f} GB" if peak else ""
        todo = "raise it, or let a unit take less (run.max_memory)"
    elif data != resource.RLIM_INFINITY:
        what = f"ulimit -d lets a process have {data / 1e9:.1f} GB of memory"
        todo = "raise it, or let a unit take less (run.max_memory)"
    else:
        what, todo = "the machine has no more memory", "use fewer workers (--jobs)"
    return f"not enough memory: {what}; {AGAIN.format(todo)}"


def _handles(number: int = errno.EMFILE) -> str:
    if number == errno.ENFILE:
        todo = AGAIN.format("use fewer workers (--jobs), or raise that limit,")
        return f"too many open files in the whole system (its limit is fs.file-max); {todo}"
    limit = _soft(resource.RLIMIT_NOFILE)
    todo = AGAIN.format("raise it, or use fewer workers (--jobs),")
    return f"too many open files: ulimit -n lets a process have {limit}; {todo}"


def _threads() -> str:
    limit = _soft(resource.RLIMIT_NPROC)
    few = "" if limit is None else f" (ulimit -u is {limit})"
    todo = AGAIN.format("raise the limit, or use fewer workers (--jobs),")
    lack = _lack_of_memory(HEADROOM, peak=True)
    return lack or f"no thread or process could be started{few}; {todo}"

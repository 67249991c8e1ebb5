"""What outlives a process or the machine: temporary files of the dead, and what a disk keeps."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import hashlib
import os
import platform
import shutil
import time
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

# What killed processes of other machines left goes after this time.
STALE_SECONDS = 24 * 3600

# More files than this are waited for by waiting for the whole disk. On ext4 on a virtual disk one
# file took 2 to 5 ms (300 of them 1.6 s), the whole disk 10 to 30 ms while nobody else wrote. That
# waits for what others have written too, though: gigabytes perhaps, which few files should not.
MOST_BY_NAME = 100

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


# ---------------------------------------------------------------- power cuts


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_all(paths: Collection[Path]) -> None:
    """Waits until files and folders that become valid together are on the disk.

    Many of them are waited for at once, by waiting for all that their disks have to write.
    """
    if len(paths) <= MOST_BY_NAME:
        for path in paths:
            sync(path)
        return
    for path in {path.stat().st_dev: path for path in paths}.values():  # one of each disk
        fd = os.open(path, os.O_RDONLY)
        try:
            syncfs(fd)
        finally:
            os.close(fd)


def sync_tree(folder: Path, top: Path | None = None) -> None:
    """Waits until a folder and all that is in it are on the disk.

    Args:
        folder: The folder.
        top: The folders above it, up to this one, have got their names since it was synced.
    """
    above = [] if top is None else [p for p in folder.parents if p == top or top in p.parents]
    sync_all([folder, *folder.rglob("*"), *above])


def syncfs(fd: int) -> None:
    """Waits until the disk that an open file lies on has everything."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:  # not on Linux
        os.sync()
    elif function(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def boot_id() -> str:
    """Returns what differs after the machine was started again; the same always where unknown.

    What was written before and never synced may then be zeros, whatever size it has.
    """
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


# ---------------------------------------------------------------- killed processes


@functools.cache
def machine() -> dict[str, str]:
    """Returns where the number of a process means the same process: ``host``, ``boot``, ``space``.

    Two containers may have one name, or the same kernel below them.
    """
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return {"host": platform.node(), "boot": boot_id(), "space": space}


def host() -> str:
    """Returns what stands for this machine in names of files; a container has its own."""
    place = f"{machine()['host']} {machine()['space']}"
    return hashlib.blake2b(place.encode(), digest_size=4).hexdigest()


def own_name() -> str:
    """Returns what stands for this process in names of files."""
    return f"{host()}-{os.getpid()}"


def own_temporary(path: Path) -> Path:
    """Returns a place beside a path to which no other process writes."""
    return path.with_name(f".{path.name}.{own_name()}-{uuid.uuid4().hex[:4]}.tmp")


def remove_left(path: Path) -> None:
    """Removes what killed processes left beside a path: of this machine, or what is a day old."""
    _remove_left(path.parent, f".{glob.escape(path.name)}.*tmp")


@functools.lru_cache(maxsize=1024)
def remove_left_once(folder: Path) -> None:
    """Removes what killed processes left in a folder, beside any path, once in this process."""
    _remove_left(folder, ".*.*-*-*.tmp")


def _remove_left(folder: Path, pattern: str) -> None:
    for left in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process removes them as well
            age = time.time() - left.stat().st_mtime
            if age > STALE_SECONDS or is_of_the_dead(left.name.split(".")[-2]):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def is_of_the_dead(name: str) -> bool:
    """Returns whether a name that begins with an :func:`own_name` is of a process that has ended.

    Of other machines that is not known, so it is false.
    """
    place, number, *_ = [*name.split("-"), ""]
    return place == host() and number.isdecimal() and process_began(int(number)) is None


def own_process() -> dict[str, Any]:
    """Returns what tells this process from all others, to be written down for them."""
    pid = os.getpid()
    return {**machine(), "pid": pid, "began": process_began(pid)}


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Returns whether a process is there; None if that cannot be told from here.

    Args:
        process: As of :func:`own_process`, read from a file: anything may be missing.
    """
    pid = process.get("pid")
    elsewhere = any(process.get(name) != value for name, value in machine().items())
    if elsewhere or not isinstance(pid, int) or pid <= 0:
        return None
    return process_began(pid) == process.get("began")


def process_began(pid: int) -> str | None:
    """Returns when a process of this machine began; None if there is none, or if it has ended.

    By the clock of the system, as text; where that is not told, ``unknown``. A number is given to
    another process in time; a number and this are not.
    """
    # One that has ended keeps its number until its parent asks how. Who inherits the processes of
    # a killed run may do so late, or never, as in a container without an init.
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat") as f:
        # The name of the program, in parentheses, may hold blanks.
        state, *rest = f.read().rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    return "unknown"

"""Files that are written whole or not at all, and what to say when a disk fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from posepile.durable import host, own_temporary, remove_left_once, sync, sync_tree
from posepile.errors import Shortage, UsageError, raise_if_shortage
from posepile.locks.lock_files import locked, locks_are_missing
from posepile.shortage import DISK, is_disk_error_of_sqlite, remedy_of_disk

__all__ = ["locked"]  # beside what is defined here

# ---------------------------------------------------------------- writing


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes a file under a temporary name beside its place and renames it.

    Args:
        path: The file; its folder is made if needed.
        data: Its content.
        durable: Wait until the content and its name are on the disk, so that a power cut cannot
            leave an empty file under the final name, or the old one.

    Raises:
        WorkError: The disk is full or cannot be written to.
    """
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    f, temporary = _open_temporary(path)
    try:
        with f, _unlinked_on_error(temporary):
            f.write(data)
            f.flush()
            if durable:
                os.fsync(f.fileno())
            os.replace(temporary, path)
        if durable:
            for folder in (path, *new):
                sync(folder.parent)
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, path) from e
        raise


@contextlib.contextmanager
def _unlinked_on_error(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _open_temporary(path: Path) -> tuple[BinaryIO, Path]:
    """Opens an empty file beside a path, which nobody else writes to while it is open.

    Its name is known rather than random, so that what a killed process left is written over. It
    is another one on each machine of a cluster, as some mounts keep locks to the machine. Where
    there are no locks at all, it is the process's own.
    """
    temporary = path.with_name(f".{path.name}.{host()}.tmp")
    while True:
        f = open(temporary, "ab")  # what is in it may still belong to another process
        try:
            fcntl.flock(f, fcntl.LOCK_EX)
            if _is_same_file(f, temporary):
                f.truncate(0)
                return f, temporary
        except OSError as e:
            if not locks_are_missing(e):
                f.close()
                raise
            f.close()
            temporary.unlink(missing_ok=True)
            remove_left_once(path.parent)
            temporary = own_temporary(path)
            return open(temporary, "wb"), temporary
        f.close()  # got its final name while we waited


def _is_same_file(f: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(f.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Writes JSON deterministically and atomically; see :func:`write_atomically`."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=plain)
    write_atomically(path, encoded_json(text + "\n"), durable=durable)


def encoded_json(text: str) -> bytes:
    """Returns JSON text as UTF-8.

    A file name that is no UTF-8 holds lone surrogates, which UTF-8 cannot; JSON escapes them.
    """
    return text.encode(errors="backslashreplace")


def plain(value: Any) -> Any:
    """Returns a JSON-serialisable form of pydantic models, paths and numpy values.

    Raises:
        TypeError: There is none.
    """
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no stable form")


def stable_hash(value: Any) -> str:
    """Returns the hex digest of JSON-serialisable data, the same on any machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_json(path: Path) -> Any:
    """Returns a bookkeeping file's content; None if it is absent or unreadable.

    Raises:
        Shortage: It may well be there, but the machine lacks what reading it needs.
    """
    try:
        with open_regular(path) as f:
            return json.load(f)
    except (OSError, ValueError, RecursionError) as e:
        raise_if_shortage(path, e)
        return None


def read_object(path: Path) -> dict[str, Any] | None:
    """Returns a bookkeeping file's object; None if it is absent, unreadable or something else."""
    content = read_json(path)
    return content if isinstance(content, dict) else None


def open_regular(path: str | os.PathLike, buffering: int = -1) -> BinaryIO:
    """Returns a file open for reading.

    >>> with open_regular("/") as f:
    ...     pass
    Traceback (most recent call last):
    IsADirectoryError: [Errno 21] Is a directory: '/'

    Args:
        path: The file.
        buffering: As of ``open``.

    Raises:
        OSError: It cannot be opened; or it is a pipe or device, for which a program would wait
            for ever, or which never ends.
    """
    # Opening a pipe that nobody writes to would wait.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        text = "Is a directory" if stat.S_ISDIR(mode) else f"is {_kind_of(mode)}, expected a file"
        raise OSError(number, text, os.fspath(path))
    return open(fd, "rb", buffering)


def _kind_of(mode: int) -> str:
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


@contextlib.contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``directory`` when the block ends without exception.

    Nothing is left after an exception; what a killed process left is removed the next time.

    Raises:
        WorkError: The disk is full.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(directory)
    new, old = unfinished(directory)
    new.mkdir()
    try:
        yield new
        sync_tree(new)
        if directory.exists():
            # Renaming cannot replace a folder that is not empty; the old one goes aside first.
            os.rename(directory, old)
            os.rename(new, directory)
            sync(directory.parent)
            shutil.rmtree(old)
        else:
            os.rename(new, directory)
            sync(directory.parent)
    except BaseException as e:
        shutil.rmtree(new, ignore_errors=True)
        if is_disk_error(e):
            raise disk_error(e, directory) from e
        raise


def unfinished(directory: Path) -> tuple[Path, Path]:
    """Returns where a folder lies while it is written, and the one it replaces meanwhile.

    Known names rather than random ones: what a killed process left is found without listing.
    """
    return (
        directory.parent / f".{directory.name}.new",
        directory.parent / f".{directory.name}.old",
    )


def remove_unfinished(directory: Path) -> None:
    """Removes what killed processes left of a folder."""
    for stale in unfinished(directory):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)


def is_left_by_macos(name: str) -> bool:
    """Returns whether a file or folder is what macOS leaves beside all others, never data.

    That is ``.DS_Store``, ``__MACOSX``, the icon of a folder, and ``._x`` for every file ``x``,
    with any suffix.
    """
    return name.startswith("._") or name in (".DS_Store", "__MACOSX", "Icon\r")


def names_in(folder: str | os.PathLike) -> frozenset[str]:
    """Returns the names in a folder, without what macOS leaves; none if there is no folder."""
    try:
        return frozenset(name for name in os.listdir(folder) if not is_left_by_macos(name))
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return frozenset()
        raise


@contextlib.contextmanager
def leaving_nothing_empty(folders: Iterable[Path], *, always: bool = False) -> Iterator[None]:
    """Removes folders that were made in the block, if it fails and they hold nothing.

    Lock files, other files without content, the settings of a variant and the list of units are
    nothing.

    Args:
        folders: What may be made in the block, with the folders above.
        always: Also if it does not fail.
    """
    new = [next((p for p in reversed((f, *f.parents)) if not p.exists()), None) for f in folders]
    failed = True
    try:
        yield
        failed = False
    finally:
        for folder in {f for f in new if f is not None and (failed or always)}:
            below = sorted(folder.rglob("*"), reverse=True)  # what is in a folder before it
            files = [p for p in below if not p.is_dir()]
            if all(map(_is_nothing, files)) and not any(map(_is_held, files)):
                # What another process puts there meanwhile stays.
                with contextlib.suppress(OSError):
                    for path in [*below, folder]:
                        (path.unlink if path in files else path.rmdir)()


def files_below(folder: Path, pattern: str) -> list[Path]:
    """Returns what lies below a folder and matches a glob pattern, sorted.

    Like ``Path.glob`` (``**`` for any number of folders), but what macOS leaves does not count.
    """
    found = sorted(folder.glob(pattern))
    return [p for p in found if not any(map(is_left_by_macos, p.relative_to(folder).parts))]


def presence() -> Callable[[Path], bool]:
    """Returns a function that says whether a file is there and lists each folder only once."""
    names = functools.cache(names_in)
    return lambda path: path.name in names(path.parent)


def own_database(path: Path) -> str:
    """Returns the address at which SQLite opens a file that nobody else knows of yet.

    Without locks, which not every disk has: there SQLite says that the database is locked.

    >>> own_database(Path("/data/a b.sqlite"))
    'file:///data/a%20b.sqlite?nolock=1'

    Args:
        path: The file; for ``sqlite3.connect(..., uri=True)``.
    """
    return f"{path.absolute().as_uri()}?nolock=1"


def _is_nothing(file: Path) -> bool:
    # What a variant was made with, and the list of units, is of no use without results.
    known = ("variant.json", "units.sqlite", "units-current.json")
    return file.name in known or file.lstat().st_size == 0


def _is_held(file: Path) -> bool:
    """Returns whether another process has locked a file or waits for the lock."""
    with open(file) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as e:
            if not locks_are_missing(e):
                raise
    return False


# ---------------------------------------------------------------- fingerprints

# Files up to this size are hashed whole; of larger ones the size and the first, middle, last MiB.
WHOLE_FILE_LIMIT = 16 << 20
SAMPLE = 1 << 20


def fingerprint(path: Path, *, whole: bool = False) -> str:
    """Returns a digest of a file's content, prefixed by how it was taken.

    ``blake2b:`` covers every byte; ``blake2b-sampled:`` (files above 16 MiB, unless ``whole``)
    the size and the first, middle and last MiB, because reading terabytes of video twice costs
    more than it finds.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open_regular(path, buffering=0) as f:
        size = os.fstat(f.fileno()).st_size
        if whole or size <= WHOLE_FILE_LIMIT:
            while chunk := f.read(SAMPLE):
                digest.update(chunk)
            return "blake2b:" + digest.hexdigest()
        digest.update(str(size).encode())
        for start in (0, (size - SAMPLE) // 2, size - SAMPLE):
            f.seek(start)
            digest.update(f.read(SAMPLE))
    return "blake2b-sampled:" + digest.hexdigest()


# ---------------------------------------------------------------- disk errors


_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def is_disk_error(error: BaseException) -> bool:
    """Returns whether the place to write to, rather than the input, is at fault."""
    if isinstance(error, sqlite3.Error):
        return is_disk_error_of_sqlite(error)
    return isinstance(error, OSError) and error.errno in (*DISK, *_FORBIDDEN)


def disk_error(error: OSError | sqlite3.Error, path: Path, doing: str = "writing") -> Shortage:
    """Returns one line about an error of the system or of SQLite while writing.

    Args:
        error: What the system says.
        path: What is written.
        doing: What failed.
    """
    free = ""
    with contextlib.suppress(OSError):
        free = f" ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free)"
    number, said = getattr(error, "errno", None), getattr(error, "strerror", None) or error
    todo = remedy_of_disk(number)
    if "full" in str(said):  # SQLite, which has no number
        todo = "make room"
    elif number in _FORBIDDEN:
        todo = "make it writable"
    return Shortage(
        f"{path}: {doing} failed: {said}{free}; nothing half-written "
        "is taken for whole: "
        f"{todo} and run again, finished work is not repeated"
    )


def require_place(place: Path, asked: str) -> None:
    """Makes the folder of a file or folder that a user wants to have, before the work is done.

    Args:
        place: What is to be written; no folder that exists.
        asked: How the user named it, such as ``--out FILE``.

    Raises:
        UsageError: Nothing can be written there.
        WorkError: The disk is full.
    """
    if os.path.isdir(place):
        raise UsageError(f"{asked}: is a folder; name a file in it")
    if os.path.lexists(place) and not os.path.isfile(place):  # it would be replaced
        raise UsageError(f"{asked}: is there and no file; name another place")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            place.lstat()  # its name may be too long
        with tempfile.TemporaryFile(dir=place.parent):
            pass
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_error(e, place) from e
        raise UsageError(
            f"{asked}: nothing can be written to {place.parent} ({e.strerror}); name another place"
        ) from None

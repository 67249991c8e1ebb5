"""Raw files in an object store: a folder here in which every object has a file that stands for it.

The file has the object's size and a time made of its date and its version, but no content: it is
sparse and takes no room. So whatever looks at names, sizes and times works as it does with files,
without a question to the store, and what depends on a file's time (the list of units, whether a
result is current) depends on the object's version.

What is to be read is fetched into the file, in place, so that no folder changes. Its mode says
what it is: :data:`EMPTY`, which nobody can read, :data:`FULL` or :data:`LOOSE`; any other file is
not ours (a recipe may derive files beside its raw data). Whoever uses a content holds a shared
lock on the file itself, which ends with the process; the content goes when an exclusive one can
be had. One that is loose may be open where nobody holds a lock: another file takes its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from posepile.errors import WorkError, stands_for
from posepile.files import (
    disk_error,
    is_disk_error,
    locked,
    names_in,
    own_temporary,
    read_json,
    write_json,
)
from posepile.remote import stores
from posepile.remote.places import cache_folder

EMPTY, FULL, LOOSE = OURS = 0o200, 0o604, 0o605

# Another share of a run believes a look at the store that is no older.
BELIEVED_SECONDS = 600

_listed: set[Path] = set()


def folder_for(address: str) -> Path:
    """Returns the folder whose files stand for the objects below an address."""
    digest = hashlib.blake2b(address.encode(), digest_size=8).hexdigest()
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in address.rpartition("/")[2])
    folder = cache_folder() / "raw" / f"{name[:80]}-{digest}" / "files"
    stands_for(folder, address)
    return folder


def make(
    address: str,
    *,
    since: float | None = None,
    share: bool = False,
    came: list[int] | None = None,
) -> Path:
    """Makes the files that stand for the objects below an address, and returns their folder.

    What was replaced or has come or gone in the store is so here.

    Args:
        address: Of a folder in a store.
        since: A look at the store of this time is enough, see :func:`listed_at`; None: only one of
            this process is.
        share: A look of the last ten minutes is enough, as all shares of a run begin together.
        came: Its number grows as objects are listed.

    Raises:
        WorkError: There is nothing, the store does not answer, or an object's name cannot be a
            file's.
    """
    folder, now = folder_for(address), time.time()
    if since is None and folder in _listed:
        return folder
    enough = now - BELIEVED_SECONDS if share else now if since is None else since
    if _is_current(address, enough):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for another process that lists {address}"
    with locked(folder.with_name(".lock"), waiting=waiting):
        if not _is_current(address, enough):
            _bring_up_to_date(address, folder, [0] if came is None else came)
            # By the clock of whoever asks: the one here may be another.
            write_json(folder.with_name("listed.json"), [address, since or now])
    _listed.add(folder)
    return folder


def listed_at(address: str) -> float:
    """Returns when somebody has last looked what is in a store, for others; 0 if nobody has."""
    found = read_json(folder_for(address).with_name("listed.json"))
    when = found[-1] if isinstance(found, list) and found else None
    return when if isinstance(when, float) else 0.0


def _is_current(address: str, enough: float) -> bool:
    found = listed_at(address)
    # A time that is to come is of a clock that was wrong.
    return found > 0 and enough <= found <= max(enough, time.time()) + BELIEVED_SECONDS


def _bring_up_to_date(address: str, folder: Path, came: list[int]) -> None:
    tops = set()
    below = stores.look_below(address)
    for top, group in itertools.groupby(below, lambda found: found[0].partition("/")[0]):
        objects = dict(group)
        came[0] += 1
        for name in objects:
            if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
                raise WorkError(
                    f"{address}: the object {name!r} has a name that no file can have; rename it"
                )
        if top in tops:
            raise _two_in_one(address, top, folder)
        tops.add(top)
        _take_away(folder, top, objects)
        for name, found in objects.items():
            came[0] += 1
            _make_one(address, folder, name, found)
    if not tops:
        raise WorkError(f"{address}: nothing is there; expected raw files, correct the address")
    for top in names_in(folder) - tops:
        _take_away(folder, top, {})
    # The time of a folder says whether files came or went; that must not depend on the machine.
    for here, folders, files in os.walk(folder):
        names = "\0".join(sorted(folders + files))
        digest = hashlib.blake2b(names.encode(errors="surrogateescape"), digest_size=7).digest()
        os.utime(here, ns=(int.from_bytes(digest, "little"),) * 2)


def _take_away(folder: Path, top: str, objects: Collection[str]) -> None:
    """Unlinks what stands for objects that are no more, in a file or folder directly below."""
    start = len(os.fspath(folder)) + 1
    inner = os.walk(folder / top, topdown=False)
    for here, folders, files in ((os.fspath(folder), [], [top]), *inner):
        for path in (f"{here}/{file}" for file in files):
            with contextlib.suppress(FileNotFoundError):
                now = os.lstat(path).st_mode
                ours = stat.S_ISREG(now) and stat.S_IMODE(now) in OURS
                if ours and path[start:] not in objects:
                    os.unlink(path)
        for name in folders:
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(f"{here}/{name}")
    with contextlib.suppress(OSError):
        os.rmdir(folder / top)


def _make_one(address: str, folder: Path, name: str, found: stores.Stat) -> None:
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _stand_for(path, found)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _two_in_one(address, name, folder) from None
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, cache_folder() / "raw") from e
        raise


def _two_in_one(address: str, name: str, folder: Path) -> WorkError:
    return WorkError(
        f"{address}: {name} is an object and a folder of others, or {folder.parent} has another "
        "file of this name, such as one that was derived; rename it"
    )


def _stand_for(path: Path, found: stores.Stat) -> None:
    try:
        now = os.lstat(path)
    except FileNotFoundError:
        _put(path, found.size, found.mtime_ns)
        return
    mode = stat.S_IMODE(now.st_mode)
    if mode not in OURS or not stat.S_ISREG(now.st_mode):
        raise FileExistsError
    if (now.st_size, now.st_mtime_ns) != (found.size, found.mtime_ns):
        if mode == EMPTY and _is_being_fetched(path):
            return  # by somebody who asks for its version afterwards
        # Whoever has the former content open keeps it, under no name.
        os.unlink(path)
        _stand_for(path, found)


def _put(path: Path, size: int, mtime_ns: int) -> None:
    temporary = own_temporary(path)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, EMPTY)
    with closing(fd):
        empty(fd, size, mtime_ns)
    os.replace(temporary, path)


def _is_being_fetched(path: Path) -> bool:
    with closing(os.open(path, os.O_WRONLY | os.O_CLOEXEC)) as fd:
        return not lock(fd, fcntl.LOCK_EX)


# ---------------------------------------------------------------- one file


def is_empty(path: str) -> bool:
    """Returns whether a file stands for an object and has no content."""
    try:
        return stat.S_IMODE(os.lstat(path).st_mode) == EMPTY
    except OSError:
        return False


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """Closes a file at the end, and lets go of its lock."""
    try:
        yield fd
    finally:
        os.close(fd)


def let_go_of(folder: Path, path: str, fd: int) -> None:
    """Takes the content of a file that is open here, if nobody else holds it."""
    if not lock(fd, fcntl.LOCK_EX):
        return
    found = os.fstat(fd)
    if stat.S_IMODE(found.st_mode) == FULL:
        empty(fd, found.st_size, found.st_mtime_ns)
    if stat.S_IMODE(found.st_mode) != LOOSE:
        return
    with contextlib.suppress(WorkError), locked(folder.with_name(".lock"), busy="is busy"):
        if is_at(fd, path):
            here = Path(path).parent
            then = os.stat(here)
            _put(Path(path), found.st_size, found.st_mtime_ns)
            os.utime(here, ns=(then.st_atime_ns, then.st_mtime_ns))


def is_at(fd: int, path: str) -> bool:
    """Returns whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def empty(fd: int, size: int, mtime_ns: int) -> None:
    """Takes the content out of a file, which is locked; it has this size and time then."""
    os.fchmod(fd, EMPTY)  # first: nobody may take for content what is going
    os.ftruncate(fd, 0)
    os.ftruncate(fd, size)
    os.utime(fd, ns=(mtime_ns, mtime_ns))


def lock(fd: int, kind: int) -> bool:
    """Returns whether the lock could be had, shared or exclusive; it does not wait.

    Raises:
        WorkError: The disk knows no locks.
    """
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as e:
        raise WorkError(
            f"{cache_folder() / 'raw'}: cannot be locked ({e.strerror}); set "
            "POSEPILE_OBJECT_CACHE to a folder on a disk of this machine"
        ) from None
    return True

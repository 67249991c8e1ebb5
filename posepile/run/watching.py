"""Which files a function looked at, so that its result can be kept until one of them changes.

Opened files, listed folders and SQLite databases are seen through Python's audit events. Questions
like ``is_file`` cause no event; they go through ``os.stat``, which is replaced while watching, and
count as a look at the folder in which the file is or is not: a file that comes or goes changes its
folder. What a C library opens by itself (``cv2.imread``, ``av.open``, ``h5py``) is not seen; who
reads so says it with :func:`posepile.recipe.looked_at`.

Both the hook and the replaced ``os.stat`` are for the whole process, so what other threads open
meanwhile would be taken for the function's. Units are therefore listed before there are worker
threads.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from posepile.errors import raise_if_shortage
from posepile.recipe import LOOKED_AT
from posepile.store.ahead import answers

_LISTING = ("os.listdir", "os.scandir")
_CODE = (".py", ".pyc", ".so")
_ACCESS = os.O_WRONLY | os.O_RDWR

THERE = "there"

_stat = os.stat
_watched: dict[str, str | None] | None = None
_hooked = False


@contextlib.contextmanager
def watching(root: Path) -> Iterator[dict[str, str | None]]:
    """Collects path -> stamp of what is opened for reading, listed or asked for meanwhile.

    For one thread at a time, while no other thread touches files; see above.

    What belongs to Python and to programs (their code, the system's folders) is left out.

    Args:
        root: The folder in which files may come and go. Of what is asked for elsewhere, only
            counts whether it is there.
    """
    global _watched, _hooked
    inside = os.path.join(os.path.abspath(root), "")
    if not _hooked:
        sys.addaudithook(_hook)  # stays for the life of the process and does nothing by itself
        _hooked = True
    outer, _watched = _watched, {}

    def seen_stat(path, *args, **kwargs):
        if isinstance(path, (str, os.PathLike)):
            _see_question(os.path.abspath(path), inside)
        return _stat(path, *args, **kwargs)

    os.stat = seen_stat
    try:
        yield _watched
    finally:
        os.stat, _watched = _stat, outer


def is_unchanged(path: str, seen: str | None) -> bool:
    """Returns whether a file or folder is as it was when it was watched."""
    return os.path.lexists(path) if seen == THERE else stamp(path) == seen


def are_unchanged(seen: Iterable[tuple[str, str | None]]) -> bool:
    """Returns whether all files and folders are as they were when they were watched."""
    return all(same for _, same in answers(lambda one: is_unchanged(*one), seen))


def stamp(path: str) -> str | None:
    """Returns size and modification time of a file or folder, None where there is none."""
    try:
        found = _stat(path)
    except OSError as e:
        raise_if_shortage(path, e)
        return None
    # The size of a folder means nothing and differs between file systems.
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return f"{size} {found.st_mtime_ns}"


def _hook(event: str, args: tuple) -> None:
    if _watched is None:
        return
    if event == "open":
        path, mode, flags = args
        writes = (isinstance(flags, int) and flags & _ACCESS) or (
            isinstance(mode, str) and set(mode) & set("wax+")
        )
        if not writes and isinstance(path, (str, os.PathLike)):
            _see(os.path.abspath(path))
    elif event in _LISTING:
        path = args[0]
        if path is None or isinstance(path, (str, os.PathLike)):
            _see(os.path.abspath(path or "."))
    elif event == "sqlite3.connect":
        path = _database_file(args[0])
        if path is not None:
            _see(path)
    elif event == LOOKED_AT:
        path = os.path.abspath(args[0])
        if _watched.get(path, THERE) == THERE:  # whatever it is, as it was said by name
            _watched[path] = stamp(path)


def _database_file(database: object) -> str | None:
    """The file of an SQLite database, None for one in memory."""
    if not isinstance(database, (str, bytes, os.PathLike)):
        return None
    name = os.fsdecode(database)
    if name.startswith("file:"):
        uri = urlsplit(name)
        name = "" if "mode=memory" in uri.query.split("&") else unquote(uri.path)
    return None if name in ("", ":memory:") else os.path.abspath(name)


def _see_question(path: str, inside: str) -> None:
    if not path.startswith(inside):
        if path not in _watched and not path.startswith(_not_watched()):
            _watched[path] = THERE if os.path.lexists(path) else None
        return
    folder = os.path.dirname(path)
    while folder not in _watched and not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    _see(folder)


def _see(path: str) -> None:
    if (
        _watched.get(path, THERE) != THERE
        or path.endswith(_CODE)
        or path.startswith(_not_watched())
    ):
        return
    _watched[path] = stamp(path)


def _not_watched() -> tuple[str, ...]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = tuple(f"{p}{os.sep}" for p in (sys.prefix, sys.base_prefix, f"{package}/ds", package))
    return (*code[:3], "/proc/", "/dev/", "/sys/", "/etc/", str(Path(os.devnull)))

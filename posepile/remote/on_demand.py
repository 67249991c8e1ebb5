"""Raw files of an object store are fetched when they are opened, for what nobody announces.

Python's audit events come before a file is opened, so it can be filled then. What a C library
opens by itself is not seen: units say which files they need, and who lists units says it with
:func:`posepile.recipe.looked_at`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from posepile.recipe import LOOKED_AT
from posepile.remote import contents, stand_ins

_WRITING = os.O_WRONLY | os.O_RDWR

_address: str | None = None
_alive: Callable[[], None] | None = None
_inside = ""
_hooked = False


@contextlib.contextmanager
def fetching(address: str | None, alive: Callable[[], None] | None = None) -> Iterator[None]:
    """Fetches meanwhile what is opened of the files that stand for objects; also in forks.

    Args:
        address: Of the folder in the store; None: raw files are on the disk, nothing is done.
        alive: Is called while a file is fetched.
    """
    global _address, _alive, _inside, _hooked
    if address is None:
        yield
        return
    if not _hooked:
        sys.addaudithook(_hook)  # stays for the life of the process and does nothing by itself
        _hooked = True
    outer = _address, _alive, _inside
    _address, _alive, _inside = address, alive, os.path.join(stand_ins.folder_for(address), "")
    try:
        yield
    finally:
        _address, _alive, _inside = outer


def _hook(event: str, args: tuple) -> None:
    if _address is None or event not in ("open", LOOKED_AT, "sqlite3.connect"):
        return
    path = args[0]
    if event == "open":
        _, mode, flags = args
        if isinstance(mode, str) and set(mode) & set("wax"):
            return
        if mode is None and isinstance(flags, int) and flags & _WRITING:
            return
    if isinstance(path, (str, bytes, os.PathLike)):
        name = os.path.abspath(os.fsdecode(path).removeprefix("file:").partition("?")[0])
        if name.startswith(_inside) and stand_ins.is_empty(name):
            contents.bring(_address, name, _alive)

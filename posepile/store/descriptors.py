"""Open shards: of all archives together no more than the system allows a process."""

from __future__ import annotations

import contextlib
import os
import resource
import weakref
from collections import OrderedDict

from posepile.files import open_regular

_MOST = 4096  # where any number is allowed


class Descriptor:
    """A file descriptor that closes when the last user lets go of it."""

    __slots__ = ("number",)

    def __init__(self, path: str | os.PathLike):
        with open_regular(path) as f:
            self.number = os.dup(f.fileno())

    def __del__(self, close=os.close):  # at the end of the process modules are empty already
        number = getattr(self, "number", None)
        if number is not None:
            close(number)


class Descriptors(OrderedDict[int, Descriptor]):
    """The open shards of one archive by number, oldest first; others may close some of them."""

    def __init__(self):
        super().__init__()
        _all.append(weakref.ref(self, _all.remove))
        _make_room(len(_all))


_all: list[weakref.ref[Descriptors]] = []


def _make_room(archives: int) -> None:
    """Lets the process have more open files where archives are many, as far as it may.

    An archive keeps its index and its table open, besides shards. Most systems give a process
    1024 files to begin with, for the sake of programs that call ``select``, and more if it asks.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or 8 * archives <= allowed:
        return
    wanted = 16 * archives if most == resource.RLIM_INFINITY else min(16 * archives, most)
    if wanted > allowed:
        with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def most_open() -> int:
    """Returns how many shards of all archives may be open; half of what is allowed is for others.

    A training job reads dozens of archives of dozens of shards each.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if allowed == resource.RLIM_INFINITY else max(1, min(allowed // 2, _MOST))


def close_some(most: int) -> None:
    """Closes shards, of archives with many of them first, until no more than ``most`` are open.

    Who is reading one at the moment reads on: it closes when they let go of it.

    Args:
        most: How many may stay open.
    """
    opened = [found for found in (ref() for ref in list(_all)) if found is not None]
    while sum(map(len, opened)) > most:
        with contextlib.suppress(KeyError):  # another thread was faster
            max(opened, key=len).popitem(last=False)

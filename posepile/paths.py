"""Where data lives: ``$DATA_ROOT`` and ``$CACHE_DIR``, read when used and never at import."""

from __future__ import annotations

import os
import re
from pathlib import Path

from posepile.errors import UsageError

__all__ = [
    "CACHE_DIR",
    "DATA_ROOT",
    "archive_path",
    "cache_dir",
    "config_dir",
    "data_root",
    "ensure_absolute",
    "is_address",
    "named_folder",
    "raw_dir",
    "relative_to_root",
    "require_data_root",
    "work_dir",
]


def data_root() -> Path:
    """Returns the root of all data.

    Raises:
        UsageError: ``DATA_ROOT`` is not set.
    """
    value = os.environ.get("DATA_ROOT")
    if not value:
        raise UsageError(
            "environment variable DATA_ROOT: not set, expected the folder that holds the "
            "datasets; set it, e.g. export DATA_ROOT=/data"
        )
    return Path(os.path.abspath(value))


def require_data_root() -> None:
    """Looks whether ``DATA_ROOT`` is a folder.

    Raises:
        UsageError: It is none.
    """
    root = data_root()
    if not os.path.isdir(root):
        there = os.path.lexists(root)
        what = "is not a folder" if there else "no such folder; make it or set another"
        raise UsageError(f"DATA_ROOT = {root}: {what}")


def cache_dir() -> Path:
    """Returns the folder of dataset pickles: ``$CACHE_DIR``, else ``$DATA_ROOT/cache``."""
    value = os.environ.get("CACHE_DIR")
    return Path(os.path.abspath(value)) if value else data_root() / "cache"


def raw_dir(name: str) -> Path:
    """Returns ``$DATA_ROOT/<name>``, where the raw files of a dataset lie."""
    return data_root() / name


def work_dir(name: str) -> Path:
    """Returns ``$DATA_ROOT/<name>_work``, parts, journal and reports of one dataset."""
    return data_root() / f"{name}_work"


def archive_path(name: str) -> Path:
    """Returns ``$DATA_ROOT/<name>.barecat``, the finished dataset."""
    return data_root() / f"{name}.barecat"


def config_dir() -> Path:
    """Returns the folder of the YAML files: ``configs/`` of the checkout or the wheel's copy."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "configs"


def named_folder(path: str | os.PathLike, named_by: str) -> Path:
    """Returns a folder that somebody has named, which is then not looked for elsewhere.

    Args:
        path: The folder.
        named_by: The option or environment variable, for the message.

    Raises:
        UsageError: There is no such folder.
    """
    if not os.path.isdir(path):
        found = "a file" if os.path.exists(path) else "no such folder"
        raise UsageError(f"{named_by}: {path}: found {found}, expected a folder; correct it")
    return Path(path)


def ensure_absolute(path: str | os.PathLike) -> Path:
    """Interprets a relative path as relative to ``DATA_ROOT``."""
    path = Path(os.fspath(path))
    return path if path.is_absolute() else data_root() / path


def is_address(path: str | os.PathLike) -> bool:
    """Returns whether a text is an address such as ``s3://bucket/key`` rather than a path.

    >>> [is_address(text) for text in ("s3://bucket/x.barecat", "/data/x.barecat", "x.barecat")]
    [True, False, False]

    Raises:
        UsageError: It holds a password, which would be in what is made from it.
    """
    found = re.match(r"([a-z][a-z0-9+.-]*://)([^/]*:[^/]*@)?", path) if type(path) is str else None
    if found is not None and found[2]:
        raise UsageError(
            f"{found[1]}<hidden>@{path[found.end() :]}: an address here holds no password, since "
            "it is kept with what is made; give it to the store's library, by its environment "
            "variables or ~/.config/fsspec"
        )
    return found is not None


def relative_to_root(path: str | os.PathLike) -> str:
    """Writes a path relative to ``DATA_ROOT`` where it lies below it, else absolute.

    What is stored in pickles, so that a data folder can be moved.
    """
    path = Path(os.path.abspath(path))
    root = os.environ.get("DATA_ROOT")
    if root:
        try:
            return path.relative_to(os.path.abspath(root)).as_posix()
        except ValueError:
            pass
    return path.as_posix()


class _LazyPath:
    """Behaves like the ``str`` that ``resolve`` gives at the moment of use.

    A subclass of ``str`` cannot do this (C code reads its content without asking), so this is
    not one; it works in f-strings, ``os.path`` and ``open``, with ``+`` and all ``str`` methods.
    """

    __slots__ = ("_name", "_resolve")

    def __init__(self, name, resolve):
        self._name = name
        self._resolve = resolve

    def __str__(self):
        return str(self._resolve())

    __fspath__ = __str__

    def __repr__(self):
        return f"<posepile.paths.{self._name}>"

    def __format__(self, spec):
        return format(str(self), spec)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(str(self), name)

    def __add__(self, other):
        return str(self) + str(other)

    def __radd__(self, other):
        return str(other) + str(self)

    def __truediv__(self, other):
        return Path(str(self)) / other

    def __contains__(self, item):
        return item in str(self)

    def __len__(self):
        return len(str(self))

    def __getitem__(self, key):
        return str(self)[key]

    def __eq__(self, other):
        return str(self) == (str(other) if isinstance(other, _LazyPath) else other)

    def __hash__(self):
        return hash(str(self))

    def __reduce__(self):
        return self._name  # pickled as a reference to the module's global


DATA_ROOT = _LazyPath("DATA_ROOT", data_root)
CACHE_DIR = _LazyPath("CACHE_DIR", cache_dir)

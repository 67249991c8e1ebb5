"""Samples of WebDataset shards: the members of a tar whose names are the same up to a dot."""

from __future__ import annotations

import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from posepile.acquire.tars import tar_members
from posepile.errors import CorruptInput, one_line
from posepile.files import is_left_by_macos
from posepile.formats.schema import AGAIN

_DAMAGE = (tarfile.TarError, zlib.error, OSError, ValueError, LookupError, ArithmeticError)

_MOST = 1 << 42  # bytes of a shard


def split_name(name: str) -> tuple[str, str]:
    """Returns the key of a member's name and its extension, which begins at the first dot.

    >>> split_name("a.b/000.data.pyd")
    ('a.b/000', 'data.pyd')
    """
    folder, base = posixpath.split(name)
    stem, _, extension = base.partition(".")
    return posixpath.join(folder, stem), extension.lower()


def samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields key and members, by extension, of the samples of a shard.

    Raises:
        CorruptInput: It is no tar, damaged, or has a member twice.
    """
    last, members = None, {}
    for name, data in _files(path):
        key, extension = split_name(name)
        if key != last:
            if members:
                yield last, members
            last, members = key, {}
        if extension in members:
            raise CorruptInput(path, f"found {name!r} twice in a sample; expected once")
        members[extension] = data
    if members:
        yield last, members


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files of a tar, what macOS leaves there aside."""
    try:
        raw = open(path, "rb")
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}") from None
    try:
        for member in tar_members(path, raw, _MOST):
            name = member.info.name
            if not member.info.isfile() or any(map(is_left_by_macos, name.split("/"))):
                continue
            with member.open() as f:
                data = f.read()
            yield name, data
    except (*_DAMAGE, EOFError) as e:
        raise CorruptInput(path, f"truncated or damaged: {one_line(e)}", hint=AGAIN) from None

"""Archives that come in several files: which these are, and reading them as one."""

from __future__ import annotations

import errno
import io
import itertools
import os
import re
import string
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from posepile.errors import CorruptInput
from posepile.files import names_in


def parts_of(archive: Path) -> list[Path]:
    """Returns the files that an archive consists of, in order; mostly just itself.

    Several are those of ``a.zip`` (its beginning is ``a.z01``, ``a.z02``, ...) and of
    ``a.zip.001`` or ``a.7z.001`` (cut into pieces: ``.002``, ``.003``, ...), or of ``a.zip.aa``
    (``.ab``, ``.ac``, ...).

    Raises:
        CorruptInput: One between others is missing.
    """
    match = re.fullmatch(_LETTERED, archive.name, re.IGNORECASE)
    if match and set(match[2]) == {"a"}:
        return _lettered_parts(archive, match[1], len(match[2]))
    if archive.suffix.lower() == ".zip":
        stem, found, first = archive.name[:-4], r"\.z(\d{2,})", "z01"
    elif archive.suffix == ".001":
        stem, found, first = archive.name[:-4], r"\.(\d{3,})", "001"
    else:
        return [archive]
    names = {}
    for name in names_in(archive.parent):
        if match := re.fullmatch(re.escape(stem) + found, name, re.IGNORECASE):
            names[int(match[1])] = name
    for number in range(1, max(names, default=0) + 1):
        if number not in names:
            width, letter = len(first.lstrip("z")), "z" * first.startswith("z")
            raise _missing(archive, f"{stem}.{letter}{number:0{width}d}")
    parts = [archive.parent / names[number] for number in sorted(names)]
    return parts if archive.suffix == ".001" else [*parts, archive]


_ENDINGS = r"zip|tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst|lz4|lzma|lz|7z|rar"

# As ``split`` names pieces: a.tar.gz.aa, a.tar.gz.ab, ...; also with "part" before the letters.
_LETTERED = rf"(.+\.(?:{_ENDINGS})[._](?:part_?)?)(?!(?:{_ENDINGS})$)([a-z]{{2,3}})"


def _lettered_parts(archive: Path, stem: str, width: int) -> list[Path]:
    """Returns the pieces whose names end in letters that count on from ``aa``."""
    pattern = re.compile(re.escape(stem) + f"[a-z]{{{width}}}")
    there = {name for name in names_in(archive.parent) if pattern.fullmatch(name)}
    letters = itertools.product(string.ascii_lowercase, repeat=width)
    names = [stem + "".join(next(letters)) for _ in there]
    for name in names:
        if name not in there:
            raise _missing(archive, name)
    return [archive.parent / name for name in names] or [archive]


def _missing(archive: Path, part: str) -> CorruptInput:
    return CorruptInput(
        archive, f"its part {part} is missing, later ones are there", hint="put it beside them"
    )


def is_archive_name(name: str) -> bool:
    """Returns whether a file is an archive by its name, or the part of one that stands for all."""
    match = re.fullmatch(_LETTERED, name, re.IGNORECASE)
    if match:
        return set(match[2]) == {"a"}
    return bool(re.fullmatch(rf".*\.({_ENDINGS})(\.001)?", name, re.IGNORECASE))


def is_later_part(path: Path) -> bool:
    """Returns whether a file is a part of an archive that goes by the name of another one."""
    suffix = path.suffix.lower()
    if re.fullmatch(r"\.z\d{2,}", suffix):
        return True
    if match := re.fullmatch(_LETTERED, path.name, re.IGNORECASE):
        first = path.with_name(match[1] + "a" * len(match[2]))
        return path != first and first.exists()
    return bool(re.fullmatch(r"\.\d{3,}", suffix)) and int(suffix[1:]) != 1


def stored_bytes(archive: Path) -> int:
    """Returns the size of an archive with all its parts."""
    return sum(part.stat().st_size for part in parts_of(archive))


def require_even(parts: Sequence[Path]) -> None:
    """Refuses pieces of which one is cut: all but the last have the same size.

    For archives without a checksum that would tell.
    """
    sizes = [part.stat().st_size for part in parts[:-1]]
    for part, size in zip(parts, sizes, strict=False):
        if size != sizes[0]:
            raise CorruptInput(
                part,
                f"truncated or damaged: a piece of {size} bytes; the first has {sizes[0]}",
                hint="put a complete copy in its place",
            )


def open_joined(parts: Sequence[Path], changed: Mapping[int, bytes] | None = None) -> BinaryIO:
    """Opens files as if they were one.

    Args:
        parts: The files in order.
        changed: What is to be read in place of what stands there, by its offset in the whole.
    """
    if len(parts) == 1 and not changed:
        return open(parts[0], "rb")
    return io.BufferedReader(_Joined(parts, changed or {}), 1 << 16)


class _Joined(io.RawIOBase):
    """Files read as one, see :func:`open_joined`."""

    def __init__(self, parts: Sequence[Path], changed: Mapping[int, bytes]):
        self._parts, self._changed = list(parts), dict(changed)
        sizes = [p.stat().st_size for p in parts]
        self._starts, self._size = [0, *itertools.accumulate(sizes)][:-1], sum(sizes)
        self._at, self._number, self._file = 0, -1, None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "seek before the beginning")  # readers rely on this kind
        self._at = base + offset
        return self._at

    def readinto(self, buffer) -> int:
        if self._at >= self._size:
            return 0
        number = bisect_right(self._starts, self._at) - 1
        if number != self._number:
            self._close_part()
            self._file, self._number = open(self._parts[number], "rb", buffering=0), number
        self._file.seek(self._at - self._starts[number])
        n = self._file.readinto(buffer)
        for offset, data in self._changed.items():
            low, high = max(offset, self._at), min(offset + len(data), self._at + n)
            if low < high:
                view = memoryview(buffer).cast("B")
                view[low - self._at : high - self._at] = data[low - offset : high - offset]
        self._at += n
        return n

    def close(self) -> None:
        self._close_part()
        super().close()

    def _close_part(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._number = None, -1

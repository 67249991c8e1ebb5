"""Archives that are cut off, as far as their ends show it."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from posepile.errors import raise_if_shortage

_TAR_BLOCK = 512


def archive_fault(path: Path) -> str | None:
    """Returns why an archive must be cut off, None if nothing shows.

    Zip archives are :func:`posepile.acquire.media.content_fault`'s. A compressed tar is read to
    its end only where its last bytes do not look like one.
    """
    if not path.name.lower().endswith(_ENDINGS):
        return None
    try:
        size = path.stat().st_size
        if not size:
            return "empty"
        with open(path, "rb") as f:
            head = f.read(_TAR_BLOCK)
        return next((c(path, size) for at, m, c in _KINDS if head[at : at + len(m)] == m), None)
    except OSError as e:
        raise_if_shortage(path, e)
        return f"not readable ({e.strerror})"


def _gzip_fault(path: Path, size: int) -> str | None:
    with open(path, "rb") as f:
        f.seek(max(size - 4, 0))
        last = f.read(4)
    # The length before compression, modulo 2 ** 32; that of a tar is a multiple of its blocks.
    if len(last) == 4 and struct.unpack("<I", last)[0] % _TAR_BLOCK == 0:
        return None
    try:
        with gzip.open(path) as f:
            while f.read(1 << 20):
                pass
    except EOFError:
        return f"cut off: {size} bytes, its end is missing"
    except (zlib.error, gzip.BadGzipFile) as e:
        return f"damaged: {e}"
    return None


def _tar_fault(path: Path, size: int) -> str | None:
    with open(path, "rb") as f:
        f.seek(max(size - _TAR_BLOCK, 0))
        end = f.read(_TAR_BLOCK)
    whole = size % _TAR_BLOCK == 0 and not any(end)
    return None if whole else f"cut off: {size} bytes, the mark of its end is missing"


def _seven_zip_fault(path: Path, size: int) -> str | None:
    with open(path, "rb") as f:
        head = f.read(32)
    if len(head) < 32:
        return f"cut off: {size} bytes"
    offset, length = struct.unpack("<QQ", head[12:28])
    end = 32 + offset + length
    return None if size >= end else f"cut off: {size} bytes of {end}"


def _xz_fault(path: Path, size: int) -> str | None:
    with open(path, "rb") as f:
        f.seek(max(size - 64, 0))
        end = f.read().rstrip(b"\0")  # padding may follow
    return None if end[-2:] == b"YZ" else f"cut off: {size} bytes, the mark of its end is missing"


# What the name ends in; what it is tells the beginning, as in an extraction.
_ENDINGS = (".tar.gz", ".tgz", ".tar", ".7z", ".tar.xz", ".txz")
_KINDS = (
    (0, b"\x1f\x8b", _gzip_fault),
    (0, b"7z\xbc\xaf\x27\x1c", _seven_zip_fault),
    (0, b"\xfd7zXZ\0", _xz_fault),
    (257, b"ustar", _tar_fault),
)

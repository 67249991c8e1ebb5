"""Pictures of labels whose pixels are numbers into a palette, read as these numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import read_bytes
from posepile.imaging.declared import AS_STORED, decode_picture

_START = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">I4sIIBBBBB")  # the first chunk of every PNG, without its checksum
_PALETTE = 3  # PNG's number for pixels that are indices; 0 is grey


def read_indices(path: Path) -> np.ndarray:
    """Returns which entry of the palette each pixel of a PNG is: uint8 ``[h, w]``.

    Libraries that show pictures hand out the colours in place of the numbers. A grey picture's
    pixels are numbers already.

    >>> from posepile.miniature.writers import write_png
    >>> palette = np.uint8([[0, 0, 0], [128, 0, 0], [128, 0, 0]])  # two of one colour
    >>> write_png(folder / "labels.png", np.uint8([[0, 1], [2, 0]]), palette)
    >>> read_indices(folder / "labels.png")
    array([[0, 1],
           [2, 0]], dtype=uint8)

    Raises:
        CorruptInput: Missing, damaged, or no PNG of 8 bits with a palette or in grey.
    """
    data = read_bytes(path)
    whole = data.startswith(_START) and len(data) >= len(_START) + _HEADER.size + 4
    length, name, width, height, depth, kind, *rest = (
        _HEADER.unpack_from(data, len(_START)) if whole else (0, b"", 0, 0, 0, 0)
    )
    if (length, name) != (13, b"IHDR") or depth != 8 or kind not in (0, _PALETTE):
        found = f"{depth} bits and colours of type {kind}" if name == b"IHDR" else "something else"
        text = f"found {found}; expected a PNG of 8 bits with a palette or in grey"
        raise CorruptInput(path, text, hint=AGAIN)
    # The same pixels, said to be grey: then the decoder leaves the numbers as they are.
    header = _HEADER.pack(length, name, width, height, depth, 0, *rest)
    chunks = _without_colors(data, len(_START) + len(header) + 4)
    grey = b"".join((_START, header, struct.pack(">I", zlib.crc32(header[4:])), *chunks))
    indices = decode_picture(grey, path, flags=AS_STORED)
    if indices is None or indices.dtype != np.uint8 or indices.ndim != 2:
        raise CorruptInput(path, "not a readable picture", hint=AGAIN)
    return indices


def _without_colors(data: bytes, at: int) -> Iterator[bytes]:
    """The chunks from a position on that are not about colours."""
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in (b"PLTE", b"tRNS", b"hIST", b"bKGD", b"sBIT"):
            yield data[at:end]
        at = end

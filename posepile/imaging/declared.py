"""The size that a picture's header declares, looked at before memory is reserved for it.

A file of a kilobyte may declare gigapixels. More than :data:`MAX_PIXELS` are refused; who has
larger pictures sets ``POSEPILE_MAX_PIXELS``.
"""

from __future__ import annotations

import os
import struct

import numpy as np

from posepile.errors import CorruptInput, UsageError, raise_if_shortage
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import read_bytes

MAX_PIXELS = 1 << 27  # 134 million, four times 8K; 400 MB in RGB
VARIABLE = "POSEPILE_MAX_PIXELS"
AS_STORED = -1  # cv2.IMREAD_UNCHANGED
# Places of width and height in 32 bits.
_FIXED = {b"\x89PNG": (16, ">2I"), b"BM": (18, "<2i"), b"\x59\xa6\x6a\x95": (4, ">2I")}
_SIZE_TAGS = 256, 257  # of TIFF
_MOST_DIRECTORIES = 16


def max_pixels() -> int:
    """Returns how many pixels a picture or frame may have."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"environment variable {VARIABLE}: {text!r}; expected a whole number")
    return int(text)


def check_size(size: tuple[int, int], name: str | os.PathLike, frame: int | None = None) -> None:
    """Refuses a picture of too many pixels.

    Args:
        size: Width and height.
        name: File named in the error.
        frame: Frame index named there.

    Raises:
        CorruptInput: It has more than :func:`max_pixels`.
    """
    width, height = size
    limit = max_pixels()
    if width * height > limit:
        raise CorruptInput(
            name,
            f"declares {width}x{height} pixels; expected at most {limit} of them",
            frame=frame,
            hint=f"if it really is that large, set {VARIABLE} to a larger number",
        )


def read_picture(path: str | os.PathLike, flags: int = AS_STORED) -> np.ndarray | None:
    """Returns a picture as ``cv2.imread`` does, None if it is none or cannot be read.

    Raises:
        CorruptInput: It declares too many pixels.
        Shortage: The disk, or a lack of file handles, keeps it from being read.
    """
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise_if_shortage(path, e)
        return None
    return decode_picture(data, path, flags=flags)


def decode_picture(
    data: bytes,
    name: str | os.PathLike,
    frame: int | None = None,
    flags: int = AS_STORED,
) -> np.ndarray | None:
    """Returns a picture as ``cv2.imdecode`` does, None if it is none.

    Args:
        data: The file's content.
        name: File named in errors.
        frame: Frame index named there.
        flags: As of OpenCV.

    Raises:
        CorruptInput: It declares too many pixels.
    """
    size = declared_size(data)
    if size is not None:
        check_size(size, name, frame)
    import cv2

    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        return None


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Returns width and height by the header; None where it is damaged or of another format.

    Known are JPEG, PNG, BMP, TIFF, WebP, Sun raster and PNM. Of others OpenCV refuses what has
    more than 2**30 pixels.
    """
    try:
        for magic, (at, code) in _FIXED.items():
            if data.startswith(magic):
                width, height = struct.unpack_from(code, data, at)
                return abs(width), abs(height)
        if data.startswith(b"\xff\xd8"):
            import simplejpeg

            height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
            return width, height
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _size_of_tiff(data, "<" if data[:1] == b"I" else ">")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _size_of_webp(data)
        if data[:1] == b"P" and data[1:2] in b"123456":
            text = b" ".join(line.partition(b"#")[0] for line in data[2:512].split(b"\n"))
            width, height = (int(word) for word in text.split()[:2])
            return width, height
    except (struct.error, ValueError, KeyError):
        pass
    return None


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """Returns width and height of a picture file by its header.

    Raises:
        CorruptInput: Missing, damaged or of a format that is not known.
    """
    size = declared_size(read_bytes(path))
    if size is None:
        raise CorruptInput(path, "no readable header; expected a picture", hint=AGAIN)
    check_size(size, path)
    return size


def size_if_readable(path: str | os.PathLike) -> tuple[int, int] | None:
    """Returns width and height of a picture file, None of one that is missing or damaged.

    For what is asked before a picture is needed: what is wrong with it is told when it is.
    """
    try:
        return picture_size(path)
    except CorruptInput:
        return None


def _size_of_tiff(data: bytes, order: str) -> tuple[int, int] | None:
    """The largest width and height among the first directories of a TIFF file.

    OpenCV decodes the first; directories that overlap could go on for hours.
    """
    largest, seen = [0, 0], set()
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    while at and at not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(at)
        (n,) = struct.unpack_from(f"{order}H", data, at)
        for k in range(n):
            tag, kind = struct.unpack_from(f"{order}2H", data, at + 2 + 12 * k)
            if tag in _SIZE_TAGS:
                code = "H" if kind == 3 else "I"
                (value,) = struct.unpack_from(f"{order}{code}", data, at + 10 + 12 * k)
                axis = _SIZE_TAGS.index(tag)
                largest[axis] = max(largest[axis], value)
        (at,) = struct.unpack_from(f"{order}I", data, at + 2 + 12 * n)
    return largest[0], largest[1]


def _size_of_webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return tuple(1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<2H", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None

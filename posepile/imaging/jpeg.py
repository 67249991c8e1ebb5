"""JPEG in and out through libjpeg-turbo, with decoding at reduced size in the DCT domain.

Reading is strict: what libjpeg only warns about (a file cut short, damaged entropy data) would
otherwise come back as an image with a grey lower part, so it is raised as ``CorruptInput``. Two
things it warns about too do no harm, and are noted instead: a missing end mark after the last
pixel, and fill bytes before it.

An EXIF orientation is never applied by itself, because annotations refer to the stored pixels in
most datasets; a reader that needs it calls :func:`read_orientation` and :func:`orient`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import simplejpeg

from posepile.errors import CorruptInput
from posepile.files import open_regular
from posepile.imaging.declared import check_size, declared_size

MAX_LEVEL = 3
NO_END_MARK = "missing end mark after the last pixel"
FILL_BYTES = "fill bytes after the last pixel"
NO_END = "broken JPEG, which has no end"
_END = b"\xff\xd9"
_NEAR_END = 1000  # some cameras write after the end


def is_jpeg(data: bytes) -> bool:
    """Whether the data begin like a JPEG file."""
    return data[:3] == b"\xff\xd8\xff"


def read_size(
    data: bytes, *, name: str | os.PathLike = "<jpeg>", frame: int | None = None
) -> tuple[int, int]:
    """Width and height of the stored image, from the header alone.

    Args:
        data: The whole file or at least its header.
        name: File named in errors.
        frame: Frame index named in errors.

    Raises:
        CorruptInput: No readable JPEG header.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as e:  # KeyError: of a colour space it does not know
        raise CorruptInput(name, f"not a readable JPEG: {e}", frame=frame, hint=_HINT) from e
    check_size((width, height), name, frame)
    return width, height


def decode(
    data: bytes,
    level: int = 0,
    *,
    colors: str = "RGB",
    plain_chroma: bool = False,
    name: str | os.PathLike = "<jpeg>",
    frame: int | None = None,
    flaws: list[str] | None = None,
) -> np.ndarray:
    """Decodes to uint8 colour, optionally at a half, a quarter or an eighth of the size.

    Grey and CMYK files come back as colour too.

    Args:
        data: The JPEG file.
        level: The result has ``ceil(side / 2**level)`` pixels per side, 0 to 3.
        colors: ``RGB``, or ``RGBX`` with an unused fourth byte (pixels aligned to four bytes).
        plain_chroma: Repeat chroma samples instead of interpolating between them, which saves a
            twelfth of the time.
        name: File named in errors.
        frame: Frame index named in errors.
        flaws: What is wrong with the file without harm to its pixels is added here, once.

    Returns:
        uint8 ``[h, w, len(colors)]``.

    Raises:
        CorruptInput: Truncated or damaged data.
    """
    check_size(declared_size(data) or (0, 0), name, frame)
    try:
        try:
            return _decode_strictly(data, level, colors, plain_chroma)
        except (ValueError, KeyError) as e:
            mended, flaw = _without_flaw(data, str(e))
            if mended is None:
                raise
            image = _decode_strictly(mended, level, colors, plain_chroma)
            if flaws is not None and flaw not in flaws:
                flaws.append(flaw)
            return image
    except (ValueError, KeyError) as e:
        raise CorruptInput(name, f"damaged or truncated JPEG: {e}", frame=frame, hint=_HINT) from e


def unfinished(path: Path) -> str | None:
    """Returns what is wrong with a JPEG that breaks off; None if it has an end.

    Only its last bytes are read. What else cannot be decoded is told when it is.

    Args:
        path: The file.

    Raises:
        CorruptInput: It cannot be read.
    """
    with open_regular(path) as f:
        f.seek(max(0, f.seek(0, os.SEEK_END) - _NEAR_END))
        return None if _END in f.read() else NO_END


def _decode_strictly(data: bytes, level: int, colors: str, plain_chroma: bool) -> np.ndarray:
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    if space in ("CMYK", "YCCK"):  # their conversion always works from the full size
        image = simplejpeg.decode_jpeg(data, "RGB")
        return _halve(image, level) if colors == "RGB" else _pad4(_halve(image, level))
    return simplejpeg.decode_jpeg(
        data,
        colors,
        fastupsample=plain_chroma,
        min_height=-(-height >> level) if level else 0,
        min_width=-(-width >> level) if level else 0,
    )


def _without_flaw(data: bytes, warning: str) -> tuple[bytes | None, str | None]:
    """Returns a file without the harmless flaw that a warning may stand for, and its name.

    Whether it was harmless is for a strict decode of the result to say. None where it cannot be.
    """
    scans, end = _walk(data)
    # Of a file that lacks whole scans nobody complains: a coarse picture is one as well
    if not scans or any(scans.values()):
        return None, None
    if end is None:  # a file that was cut and filled up with zeros has no mark either
        return (None, None) if data.endswith(b"\0\0") else (data + _END, NO_END_MARK)
    if "extraneous bytes before marker 0xd9" not in warning:
        return None, None
    # Only one and the same byte over and over is taken for fill. Damage, too, may make the picture
    # end early, but then pieces of the picture are left; and where zeros were written over its
    # end, what remains without them is too short.
    kept = data[:end].rstrip(data[end - 1 : end])
    if data[len(kept) - 1 : len(kept) + 1] == b"\xff\0":  # an escaped byte of the picture
        kept += b"\0"
    n, plain = end - len(kept), data[end - 1] == 0
    return (kept + _END, FILL_BYTES) if n >= (1 if plain else 16) else (None, None)


def _walk(data: bytes) -> tuple[dict, int | None]:
    """Returns what the scans of a file bring, and where its end mark is, None if it has none.

    Returns:
        (Component, coefficient) -> how many of its lowest bits have not come, and the position.
    """
    missing, at, progressive = {}, 2, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return missing, at
        if marker == 0xFF:  # fill before a marker
            at += 1
            continue
        body = data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
        at += 4 + len(body)
        if marker in (0xC0, 0xC1, 0xC2):
            progressive = marker == 0xC2
            # Until a scan brings it, every coefficient lacks all bits
            missing = {(c, k): 16 for c in body[6::3] for k in range(64 if progressive else 1)}
        elif marker == 0xDA and len(body) >= 4:
            first, last, bits = (*body[-3:-1], body[-1] & 15) if progressive else (0, 0, 0)
            for component in body[1:-3:2]:
                missing.update({(component, k): bits for k in range(first, last + 1)})
            found = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(data, at)
            if found is None:
                return missing, None
            at = found.start()
    return missing, len(data) - 2 if data[at:] == _END else None


def encode(image: np.ndarray, quality: int = 95) -> bytes:
    """Encodes uint8 RGB ``[h, w, 3]`` (or grey ``[h, w]``), chroma at half resolution (4:2:0).

    A fourth channel is ignored.

    4:2:0 at quality 95 is what the reference implementation stores; training crops are judged by
    their luma detail, and 4:4:4 would cost a third more bytes. Same image, same bytes.
    """
    image = np.ascontiguousarray(image)
    if image.ndim == 2:
        return simplejpeg.encode_jpeg(image[..., None], quality, "GRAY", "Gray")
    colors = "RGBX" if image.shape[2] == 4 else "RGB"
    return simplejpeg.encode_jpeg(image, quality, colors, "420")


def read_orientation(data: bytes) -> int:
    """EXIF orientation tag, 1 (as stored) to 8; 1 where there is none or it is unreadable."""
    pos = 2
    while pos + 4 <= len(data) and data[pos] == 0xFF:
        marker = data[pos + 1]
        if marker in (0xDA, 0xD9):
            break
        length = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if length < 2:
            break
        if marker == 0xE1 and data[pos + 4 : pos + 10] == b"Exif\0\0":
            return _orientation_of_tiff(data[pos + 10 : pos + 2 + length])
        pos += 2 + length
    return 1


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an image as its EXIF orientation (1 to 8) asks for; returns a view."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


_HINT = "restore the file from its archive or list it in exclusions.yaml"


def _orientation_of_tiff(tiff: bytes) -> int:
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    start = int.from_bytes(tiff[4:8], order)
    for i in range(int.from_bytes(tiff[start : start + 2], order)):
        entry = tiff[start + 2 + 12 * i : start + 14 + 12 * i]
        if len(entry) == 12 and int.from_bytes(entry[:2], order) == 0x0112:
            value = int.from_bytes(entry[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1


def _halve(image: np.ndarray, level: int) -> np.ndarray:
    import cv2

    h, w = image.shape[:2]
    size = (-(-w >> level), -(-h >> level))
    return image if level == 0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _pad4(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image, np.zeros_like(image[..., :1])], axis=-1)

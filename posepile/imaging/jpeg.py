"""JPEG in and out through libjpeg-turbo, with decoding at reduced size in the DCT domain.

Reading is strict: what libjpeg only warns about (a file cut short, damaged entropy data) would
otherwise come back as an image with a grey lower part, so it is raised as ``CorruptInput``.

An EXIF orientation is never applied by itself, because annotations refer to the stored pixels in
most datasets; a reader that needs it calls :func:`read_orientation` and :func:`orient`.
"""

from __future__ import annotations

import os

import numpy as np
import simplejpeg

from posepile.errors import CorruptInput

MAX_LEVEL = 3


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
    except ValueError as e:
        raise CorruptInput(name, f"not a readable JPEG: {e}", frame=frame, hint=_HINT) from e
    return width, height


def decode(
    data: bytes,
    level: int = 0,
    *,
    colors: str = "RGB",
    plain_chroma: bool = False,
    name: str | os.PathLike = "<jpeg>",
    frame: int | None = None,
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

    Returns:
        uint8 ``[h, w, len(colors)]``.

    Raises:
        CorruptInput: Truncated or damaged data.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space in ("CMYK", "YCCK"):  # their conversion always works from the full size
            image = simplejpeg.decode_jpeg(data, "RGB")
            return _halve(image, level) if colors == "RGB" else _pad4(_halve(image, level))
        image = simplejpeg.decode_jpeg(
            data,
            colors,
            fastupsample=plain_chroma,
            min_height=-(-height >> level) if level else 0,
            min_width=-(-width >> level) if level else 0,
        )
    except ValueError as e:
        raise CorruptInput(name, f"damaged or truncated JPEG: {e}", frame=frame, hint=_HINT) from e
    return image


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

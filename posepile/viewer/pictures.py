"""Pictures and masks of examples for other programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.errors import WorkError
from posepile.export.rows import Row, image_bytes
from posepile.imaging import jpeg


def picture_of(row: Row) -> tuple[str, bytes]:
    """Returns type and bytes of an example's picture, which other programs can read.

    What is stored as JPEG or PNG is handed out as it is; anything else is encoded.
    """
    data, _ = image_bytes(row)
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg", data
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png", data
    return "image/jpeg", jpeg.encode(row.example.get_image(), 95)


def size_of(row: Row) -> tuple[int, int]:
    """Returns width and height of an example's picture."""
    height, width = map(int, row.record.imshape)
    if not height or not width:
        height, width = row.example.get_image().shape[:2]
    return width, height


def mask_of(row: Row) -> np.ndarray | None:
    """Returns the mask of an example, uint8 ``[height, width]``, 1 = the person; None without.

    Raises:
        WorkError: It is damaged, or of another size than the picture.
    """
    mask: Any = row.record.mask
    if mask is None:
        return None
    import rlemasklib

    width, height = size_of(row)
    try:
        pixels = (rlemasklib.decode(dict(mask)) > 0).astype(np.uint8)
    except Exception as e:
        raise WorkError(
            f"{row.record.image_path}: its mask cannot be decoded ({type(e).__name__}); "
            "`posepile verify` tells what else is damaged"
        ) from e
    if pixels.shape != (height, width):
        raise WorkError(
            f"{row.record.image_path}: found a mask of {pixels.shape[1]} x {pixels.shape[0]}, "
            f"expected {width} x {height} as the picture"
        )
    return pixels

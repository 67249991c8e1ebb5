"""Pictures as a sensor has them: one colour per pixel, in binary PGM files of 8 bits."""

from __future__ import annotations

import os
import re

import cv2
import numpy as np

from posepile.errors import CorruptInput
from posepile.imaging.declared import check_size

# By the colours of the first two pixels of the first two rows. OpenCV's old names are of others.
_CODES = {
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
}
_HEAD = re.compile(rb"P5\s(?:#[^\n]*\n|\s)*(\d{1,6})\s(?:#[^\n]*\n|\s)*(\d{1,6})\s+(\d{1,6})\s")


def demosaiced(
    data: bytes, mosaic: str, name: str | os.PathLike, frame: int | None = None
) -> np.ndarray:
    r"""Returns the picture of a PGM file that holds a mosaic: uint8 RGB ``[h, w, 3]``.

    >>> data = b"P5\n2 2\n255\n" + bytes([60, 200, 30, 60])
    >>> demosaiced(data, "grbg", "0.pgm").shape
    (2, 2, 3)

    Args:
        data: The file's content.
        mosaic: As of :class:`posepile.recipe.Stills`.
        name: File named in errors.
        frame: Frame index named there.

    Raises:
        CorruptInput: Another kind of file, or not as long as its header says.
    """
    head = _HEAD.match(data)
    if head is None or int(head[3]) != 255:
        found = f"found {data[:15]!r}; expected the header of a binary PGM file of 8 bits"
        raise CorruptInput(name, found, frame=frame)
    width, height = int(head[1]), int(head[2])
    check_size((width, height), name, frame)
    n = len(data) - head.end()
    if n != width * height or not n:
        found = f"found {n} bytes of pixels; expected {width} x {height}"
        raise CorruptInput(name, found, frame=frame, hint="fetch it again")
    pixels = np.frombuffer(data, np.uint8, offset=head.end()).reshape(height, width)
    return cv2.cvtColor(pixels, _CODES[mosaic])

"""Objects cut out of photographs, with soft masks, to be put over others."""

from __future__ import annotations

import cv2
import numpy as np


def cut_out(
    image: np.ndarray, mask: np.ndarray, erosion: int = 8, rim: float = 0.75
) -> tuple[np.ndarray, np.ndarray]:
    """Returns an object at half its size, and how much of each pixel is it.

    >>> mask = np.pad(np.ones((20, 20), np.uint8), 6)
    >>> half, soft = cut_out(np.zeros((32, 32, 3), np.uint8), mask)
    >>> half.shape, soft.dtype, soft[16, 16], soft[4, 16], soft[0, 0]
    ((16, 16, 3), dtype('float32'), 1.0, 0.75, 0.0)

    Args:
        image: uint8 ``[h, w, 3]``, around the object.
        mask: Its pixels, not 0 there: ``[h, w]``. Where it touches the border of the image it may
            go on, so there is no rim.
        erosion: Size of the ellipse whose erosion leaves what is whole.
        rim: What the other pixels of the object are.

    Returns:
        uint8 ``[h/2, w/2, 3]``, and float32 ``[h/2, w/2]`` from 0 to 1.
    """
    mask = np.uint8(mask != 0)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (erosion, erosion))
    soft = np.where(cv2.erode(mask, ellipse) < mask, np.float32(rim), mask).astype(np.float32)
    size = tuple(max(1, round(n / 2)) for n in mask.shape[::-1])
    half, soft = (cv2.resize(np.ascontiguousarray(a), size, interpolation=cv2.INTER_AREA)
                  for a in (image, soft))  # fmt: skip
    return half, soft

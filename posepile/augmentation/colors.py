"""Other colours, blur and compression."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from posepile.augmentation.params import AugmentationParams

# Luma and the two differences of colour of ITU-R BT.601, whose plane hues turn in.
_TO_LUMA = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_FROM_LUMA = np.linalg.inv(_TO_LUMA)
_GREY = 127.5  # what contrast leaves as it is


def color_matrix(brightness: float, contrast: float, saturation: float, hue: float) -> np.ndarray:
    """All changes of colour in one matrix, float32 ``[3, 4]``, for 8-bit RGB and a 1.

    Args:
        brightness: Added, of white.
        contrast: Factor, around the middle grey.
        saturation: Factor.
        hue: Turn, degrees.
    """
    angle = math.radians(hue)
    c, s = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = _FROM_LUMA @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ _TO_LUMA
    matrix = np.empty((3, 4), np.float32)
    matrix[:, :3] = contrast * turn
    matrix[:, 3] = (1 - contrast) * _GREY + 255 * brightness
    return matrix


def change_colors(
    picture: np.ndarray, params: AugmentationParams, rng: np.random.Generator
) -> np.ndarray:
    """A picture in other colours, blurred and compressed as is drawn, uint8 RGB.

    The same number of random numbers is drawn whatever the picture is.
    """
    chances, values = rng.random((2, 8)).tolist()
    if chances[0] < params.color:
        picture = cv2.transform(
            picture,
            color_matrix(
                params.brightness * (2 * values[0] - 1),
                params.contrast ** (2 * values[1] - 1),
                params.saturation ** (2 * values[2] - 1),
                params.hue * (2 * values[3] - 1),
            ),
        )
    if chances[1] < params.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), max(params.blur_sigma * values[4], 0.1))
    if chances[2] < params.jpeg:
        import simplejpeg

        low, high = params.jpeg_quality
        quality = low + int(values[5] * (high - low + 1))
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, "RGB", "420")
        picture = simplejpeg.decode_jpeg(data, "RGB")
    return picture

"""RGB to the planes of a video: BT.709, limited range, chroma at half resolution."""

from __future__ import annotations

import cv2
import numpy as np

_MATRIX = np.array(
    [[0.1826, 0.6142, 0.0620], [-0.1006, -0.3386, 0.4392], [0.4392, -0.3989, -0.0403]], np.float32
)


def to_yuv(image: np.ndarray) -> np.ndarray:
    """Converts RGB ``[..., 3]``, 0 to 255, to Y, U, V of the same resolution: float32."""
    return np.asarray(image, np.float32) @ _MATRIX.T + np.float32([16, 128, 128])


def to_yuv420(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts RGB to Y, U and V planes as cameras write them.

    A chroma sample lies at an even column, between two rows: 1-2-1 filter across, mean down.

    Args:
        image: uint8 ``[h, w, 3]`` of even size.
    """
    # Colours are averaged before they are converted: four times less to convert.
    rows = np.add(image[::2], image[1::2], dtype=np.uint16)
    even, odd = rows[:, ::2], rows[:, 1::2]
    mixed = 2 * even + odd
    mixed[:, 1:] += odd[:, :-1]
    mixed[:, :1] += even[:, :1]
    matrix = np.hstack([_MATRIX, [[16], [128], [128]]])
    chroma = cv2.transform(mixed.astype(np.float32) / 8, matrix[1:])
    u, v = chroma.round().astype(np.uint8).transpose(2, 0, 1)
    return cv2.transform(image, matrix[:1]), u, v

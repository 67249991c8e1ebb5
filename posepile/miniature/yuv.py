"""RGB to the planes of a video: BT.709, limited range, chroma at half resolution."""

from __future__ import annotations

import numpy as np

_MATRIX = np.array(
    [[0.1826, 0.6142, 0.0620], [-0.1006, -0.3386, 0.4392], [0.4392, -0.3989, -0.0403]], np.float32
)


def to_yuv(image: np.ndarray) -> np.ndarray:
    """Converts uint8 RGB ``[..., 3]`` to Y, U, V of the same resolution: float32 ``[..., 3]``."""
    return image.astype(np.float32) @ _MATRIX.T + np.float32([16, 128, 128])


def to_yuv420(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts RGB to Y, U and V planes as cameras write them.

    A chroma sample lies at an even column, between two rows: 1-2-1 filter across, mean down.

    Args:
        image: uint8 ``[h, w, 3]`` of even size.
    """
    yuv = to_yuv(image)
    chroma = (yuv[::2, :, 1:] + yuv[1::2, :, 1:]) / 2
    before = chroma[:, np.maximum(np.arange(0, image.shape[1], 2) - 1, 0)]
    chroma = (before + 2 * chroma[:, ::2] + chroma[:, 1::2]) / 4
    return tuple(p.round().astype(np.uint8) for p in (yuv[..., 0], chroma[..., 0], chroma[..., 1]))


def planes(i420: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns views of the Y, U and V planes of an I420 array ``[3 h / 2, w]``."""
    h, w = i420.shape[0] * 2 // 3, i420.shape[1]
    u, v = i420[h:].reshape(2, h // 2, w // 2)
    return i420[:h], u, v

"""Points in pictures: projections, the box of joints, inside or not.

Pixel centres lie at integers, so a picture of width w reaches from -0.5 to w - 0.5.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import deltacamera


def project(camera: deltacamera.Camera, points: np.ndarray) -> np.ndarray:
    """Returns points in pixels, NaN where missing, behind the camera or beyond the lens.

    Computed by the camera itself in float32, like everywhere else where the pixels of a point are
    asked for: half a thousandth of a pixel.

    Args:
        camera: The camera.
        points: ``[..., 3]`` millimetres.

    Returns:
        float64 ``[..., 2]``.
    """
    points = np.asarray(points)
    flat = points.reshape(-1, 3).astype(np.float32)
    with warnings.catch_warnings():  # NaN is a missing point
        warnings.simplefilter("ignore", RuntimeWarning)
        pixels = np.array(camera.world_to_image(flat), np.float64)
    return pixels.reshape(*points.shape[:-1], 2)


def inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns which points ``[..., 2]`` lie in a picture of that width and height; NaN do not."""
    points = np.asarray(points)
    return ((points >= -0.5) & (points <= np.array(size) - 0.5)).all(axis=-1)


def box_of_points(
    points: np.ndarray, size: tuple[int, int] | None = None, expand: float = 1.0
) -> np.ndarray:
    """Returns the box of a person's joints: around them, expanded, then clipped to the picture.

    Args:
        points: ``[..., J, 2]`` pixels; those that are not finite do not count.
        size: Width and height of the picture; None = not clipped.
        expand: Factor on width and height about the centre.

    Returns:
        float32 ``[..., 4]`` x, y, width, height. NaN where there is no box: no point, all of them
        in one row or column, or the box is outside the picture.
    """
    points = np.asarray(points, np.float32)
    missing = ~np.isfinite(points).all(axis=-1, keepdims=True)
    low = np.where(missing, np.float32(np.inf), points).min(axis=-2, initial=np.inf)
    high = np.where(missing, np.float32(-np.inf), points).max(axis=-2, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        extent = high - low
        center = low + extent / 2
        extent = extent * np.float32(expand)
        low = center - extent / 2
        if size is not None:
            high = np.minimum(low + extent, np.float32(size) - np.float32(0.5))
            low = np.maximum(low, np.float32(-0.5))
            extent = high - low
        box = np.concatenate([low, extent], axis=-1)
        box[~((extent > 0) & np.isfinite(box[..., :2])).all(axis=-1)] = np.nan
    return box

"""Poses that are only known relative to themselves, and the pixels in which they were found.

Networks that find people in single pictures tell their poses in metres about the hips, in axes
that differ from release to release.
"""

from __future__ import annotations

import os

import numpy as np

from posepile.errors import CorruptInput


def tell_axes(
    where: str | os.PathLike, poses: np.ndarray, pixels: np.ndarray, least: float
) -> tuple[np.ndarray, float]:
    """Returns the signs ``[3]`` that turn poses into the axes of the camera, by their pixels.

    Either the axes are ours, or x is to the left and y up; z is forward in both, as no axes are
    those of a mirror.

    >>> poses = np.random.default_rng(0).normal(size=(5, 13, 3))
    >>> signs, weakest = tell_axes("a.json", poses, -100 * poses[..., :2] + 300, 0.5)
    >>> signs.tolist(), round(weakest, 3)
    ([-1.0, -1.0, 1.0], 1.0)

    Args:
        where: File, for the message.
        poses: ``[n, J, 3]``, NaN = missing; those with a missing joint do not count.
        pixels: ``[n, J, 2]``, likewise.
        least: Correlation of both that is needed along x and along y.

    Returns:
        Signs, and the weaker one of the two correlations (1 if there is no pose).

    Raises:
        CorruptInput: The correlations are weaker, or of different signs.
    """
    whole = np.isfinite(poses).all(axis=(1, 2)) & np.isfinite(pixels).all(axis=(1, 2))
    if not whole.any():
        return np.ones(3), 1.0
    poses, pixels = (a[whole] - a[whole].mean(axis=1, keepdims=True) for a in (poses, pixels))
    x, y = (np.corrcoef(poses[..., k].ravel(), pixels[..., k].ravel())[0, 1] for k in (0, 1))
    weakest = float(min(abs(x), abs(y)))
    if not weakest >= least or x * y < 0:
        raise CorruptInput(
            where,
            f"along x and y, poses and pixels correlate by {x:.2f} and {y:.2f}; expected "
            f"{least:g} or more of both, or -{least:g} or less",
            hint="are they of one release, and in the order of its joints and axes?",
        )
    return np.array([np.sign(x), np.sign(y), 1.0]), weakest


def place_poses(poses: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Returns poses that are only known relative to themselves where a camera sees them.

    Each is moved by the translation that brings its joints nearest to the rays of their pixels.

    >>> pose = np.array([[[0.0, 0, 0], [300, 0, 0], [0, 500, 125]]])
    >>> pixels = np.array([[[320.0, 240], [370, 240], [320, 320]]])
    >>> matrix = [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
    >>> place_poses(pose, pixels, matrix)[0, :, 2].round().tolist()
    [3000.0, 3000.0, 3125.0]

    Args:
        poses: ``[n, J, 3]`` in the directions of the camera's axes, NaN = missing.
        pixels: ``[n, J, 2]``, NaN = missing.
        intrinsics: ``[3, 3]``, a pinhole.

    Returns:
        ``[n, J, 3]`` in camera axes; NaN of whom fewer than three joints are known in both, or who
        would be behind the camera.
    """
    matrix, poses = np.asarray(intrinsics, np.float64), np.asarray(poses, np.float64)
    rays = (np.asarray(pixels) - matrix[:2, 2]) / matrix[[0, 1], [0, 1]]
    placed = np.full_like(poses, np.nan)
    for k, (pose, ray) in enumerate(zip(poses, rays, strict=True)):
        known = np.isfinite(pose).all(axis=1) & np.isfinite(ray).all(axis=1)
        if known.sum() < 3:
            continue
        # (x + tx) = ray_x (z + tz), and likewise in y
        rows = np.zeros((2, known.sum(), 3))
        rows[0, :, 0] = rows[1, :, 1] = 1
        rows[..., 2] = -ray[known].T
        moved = ray[known] * pose[known, 2:] - pose[known, :2]
        translation = np.linalg.lstsq(rows.reshape(-1, 3), moved.T.ravel())[0]
        if (pose[known, 2] + translation[2] > 0).all():
            placed[k] = pose + translation
    return placed

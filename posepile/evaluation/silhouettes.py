"""Silhouettes of meshes, as pixels of a picture."""

from __future__ import annotations

import cv2
import numpy as np


def _draw_silhouette(points: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the pixels whose centres lie in a projected triangle, or on its edge.

    Args:
        points: ``[V, 2]`` pixels, centres at integers; faces with a NaN are not drawn.
        faces: ``[F, 3]`` indices of points.
        size: Width and height.

    Returns:
        bool ``[h, w]``.
    """
    width, height = size
    corners = np.asarray(points, np.float64)[np.asarray(faces)]
    corners = corners[np.isfinite(corners).all(axis=(1, 2))]
    x, y = corners[..., 0], corners[..., 1]
    first = np.clip(np.ceil(y.min(axis=1)), 0, height).astype(np.int64)
    last = np.clip(np.floor(y.max(axis=1)), -1, height - 1).astype(np.int64)
    count = np.maximum(last - first + 1, 0)
    # Every row of pixels that a face meets: where its edges cross it, left and right.
    face = np.repeat(np.arange(len(corners)), count)
    row = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count) + first[face]
    left, right = np.full(len(face), np.inf), np.full(len(face), -np.inf)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        ya, yb = y[face, a], y[face, b]
        crosses = (np.minimum(ya, yb) <= row) & (row <= np.maximum(ya, yb))
        with np.errstate(invalid="ignore", divide="ignore"):
            at = x[face, a] + (row - ya) / (yb - ya) * (x[face, b] - x[face, a])
        level = ya == yb
        for end in (np.where(level, x[face, a], at), np.where(level, x[face, b], at)):
            left = np.where(crosses, np.minimum(left, end), left)
            right = np.where(crosses, np.maximum(right, end), right)
    begin = np.clip(np.ceil(left), 0, width).astype(np.int64)
    end = np.clip(np.floor(right), -1, width - 1).astype(np.int64)
    row, begin, end = (v[begin <= end] for v in (row, begin, end))
    steps = np.bincount(row * (width + 1) + begin, minlength=height * (width + 1))
    steps -= np.bincount(row * (width + 1) + end + 1, minlength=height * (width + 1))
    return np.cumsum(steps.reshape(height, width + 1), axis=1)[:, :width] > 0


def draw_meshes(
    vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Returns the silhouettes of meshes in the frame of a camera: bool ``[n, h, w]``.

    >>> mesh = np.array([[[0.0, 0, 2000], [60, 0, 2000], [0, 60, 2000]]])
    >>> lens = np.array([[100.0, 0, 1.5], [0, 100, 1.5], [0, 0, 1]])
    >>> int(draw_meshes(mesh, np.array([[0, 1, 2]]), lens, (8, 8)).sum())
    6

    Args:
        vertices: ``[n, V, 3]``; faces with a vertex behind the camera are not drawn.
        faces: ``[F, 3]``.
        intrinsics: ``[3, 3]``, pixels; without distortion.
        size: Width and height.
    """
    pixels = pinhole(vertices, intrinsics)
    return np.stack([_draw_silhouette(points, faces, size) for points in pixels])


def pinhole(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Returns points in the frame of a camera as pixels ``[..., 2]``, in double precision.

    >>> pinhole(np.array([0.0, 500, 2000]), np.array([[100.0, 0, 1.5], [0, 100, 1.5], [0, 0, 1]]))
    array([ 1.5, 26.5])

    Args:
        points: ``[..., 3]``; NaN behind the camera.
        intrinsics: ``[3, 3]``.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        pixels = points @ np.asarray(intrinsics, np.float64).T
        return np.where(points[..., 2:] > 0, pixels[..., :2] / pixels[..., 2:], np.nan)


def crop_masks(
    masks: np.ndarray, centers: np.ndarray, sides: np.ndarray, size: int = 256
) -> np.ndarray:
    """Returns square crops of masks, nearest neighbours: bool ``[n, size, size]``.

    The middle of the square comes to pixel ``size / 2``.

    >>> mask = np.eye(4, dtype=bool)
    >>> bool((crop_masks(mask[None], np.array([[2, 2]]), np.array([4]), 4)[0] == mask).all())
    True

    Args:
        masks: bool ``[n, h, w]``.
        centers: x, y of the squares ``[n, 2]``, pixels.
        sides: Of the squares ``[n]``, pixels.
        size: Of the crops.
    """
    crops = []
    for mask, (x, y), scale in zip(masks, centers, size / sides, strict=True):
        matrix = np.array([[scale, 0, size / 2 - scale * x], [0, scale, size / 2 - scale * y]])
        crop = cv2.warpAffine(mask.astype(np.uint8), matrix, (size, size), flags=cv2.INTER_NEAREST)
        crops.append(crop > 0)
    return np.stack(crops)

"""Joints that are told to be wrong by bones of odd lengths, or by how far from others they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def joints_of_odd_bones(
    joints: np.ndarray, edges: Iterable[tuple[int, int]], share: tuple[float, float], mm: float
) -> np.ndarray:
    """Returns which joints are wrong, so that bones are too long or too short: bool ``[n, J]``.

    A joint between bones is, if all of these are odd. Of an odd bone that is left its end is, if
    the skeleton ends there, else both ends.

    >>> joints = np.array([[[0, 0, 0], [x, 0, 0]] for x in (400.0, 410.0, 0.0)])
    >>> joints_of_odd_bones(joints, [(0, 1)], share=(0.5, 1.25), mm=80).tolist()[1:]
    [[False, False], [True, True]]

    Args:
        joints: ``[n, J, 3]`` of one person over time, NaN = missing.
        edges: Pairs of joints.
        share: Of its median length in all frames, the least and the most that is no fault.
        mm: Neither is a smaller difference, in the joints' unit.
    """
    ends = np.array(list(edges), int).reshape(-1, 2)
    lengths = np.linalg.norm(joints[:, ends[:, 0]] - joints[:, ends[:, 1]], axis=-1)
    known = np.isfinite(lengths)
    pairs = zip(lengths.T, known.T, strict=True)
    median = np.array([np.median(bone[k]) if k.any() else np.nan for bone, k in pairs])
    low, high = np.outer(share, median)
    odd = known & ((lengths < low) | (lengths > high)) & (abs(lengths - median) > mm)
    of_bone = np.eye(joints.shape[1], dtype=int)[ends].sum(axis=1)
    n_odd = odd @ of_bone
    wrong = (n_odd == known @ of_bone) & (n_odd > 1)
    left = odd & ~wrong[:, ends].any(axis=-1)
    last = of_bone * (of_bone.sum(axis=0) == 1)
    blamed = np.where(last.any(axis=1, keepdims=True), last, of_bone)
    return wrong | (left @ blamed > 0)


def middle_of_joints(joints: np.ndarray) -> np.ndarray:
    """Returns the mean of the joints that are known, NaN where none is.

    >>> middle_of_joints(np.array([[1.0, 2, 3], [3, 4, 5], [np.nan] * 3])).tolist()
    [2.0, 3.0, 4.0]

    Args:
        joints: ``[..., J, 3]``, NaN = missing.
    """
    known = np.isfinite(joints).all(axis=-1, keepdims=True)
    n = known.sum(axis=-2)
    return np.where(known, joints, 0).sum(axis=-2) / np.where(n, n, np.nan)


def without_strays(points: np.ndarray, limit: float) -> tuple[np.ndarray, float]:
    """Returns points without those far from the middle of the others, and the share of these.

    >>> points = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [90, 0, 0]]])
    >>> kept, share = without_strays(points, 10)
    >>> kept[0, :, 0].tolist(), share
    ([0.0, 1.0, 2.0, nan], 0.25)

    Args:
        points: ``[n, J, 3]``, NaN = missing.
        limit: Largest distance allowed, in their unit.
    """
    known = np.isfinite(points).all(axis=-1)
    seen = known.any(axis=1)
    middle = np.full((len(points), 1, 3), np.nan)
    middle[seen, 0] = np.nanmedian(points[seen], axis=1)
    stray = np.linalg.norm(points - middle, axis=-1) > limit
    share = float(stray.sum() / max(known.sum(), 1))
    return np.where(stray[..., None], np.nan, points), share

"""Which of the predicted people is which of the true ones, in one picture."""

from __future__ import annotations

import numpy as np


def match_greedily(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray,
    *,
    n_joints: int = 24,
    least_iou: float = 0.1,
    ends_early: bool = True,
) -> np.ndarray:
    """Returns the prediction matched to each true person: int ``[m]``, -1 = none.

    Pairs are gone through by the spectral norm of the differences of their first joints, the
    smallest first. A pair whose boxes overlap too little is rejected. True people that are not
    valid are met like others but take no prediction away. This is AGORA's official matching.

    Args:
        pred: 2D joints ``[k, J, 2]``; boxes are those of all of them, in whole pixels.
        true: ``[m, K, 2]``.
        valid: bool ``[m]``: who can be found.
        n_joints: First joints that are compared.
        least_iou: Overlap of the boxes of a pair that may match.
        ends_early: End when matches and rejected pairs together are as many as predictions, as
            the official program does; good pairs may be left then.
    """
    pred, true = np.asarray(pred, np.float64), np.asarray(true, np.float64)
    valid, result = np.asarray(valid, bool), np.full(len(true), -1)
    if not len(pred) or not len(true):
        return result
    difference = pred[:, None, :n_joints] - true[None, :, :n_joints]
    order = np.argsort(np.linalg.norm(difference, 2, axis=(-2, -1)).ravel(), kind="stable")
    overlaps = _box_ious(pred, true)
    used, closed, rejected = np.zeros(len(pred), bool), np.zeros(len(true), bool), 0
    for p, t in zip(*np.unravel_index(order, overlaps.shape), strict=True):
        if closed.all() or (ends_early and used.sum() + rejected >= len(pred)):
            break
        if overlaps[p, t] < least_iou:
            rejected += 1
            closed[t] |= not valid[t]
        elif not used[p] and not closed[t]:
            closed[t] = True
            if valid[t]:
                used[p], result[t] = True, p
    return result


def _box_ious(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Overlap ``[k, m]`` of the boxes of points, which hold the pixels of both their ends."""
    (low, high), (other_low, other_high) = (
        (points.min(axis=1), points.max(axis=1)) for points in (pred, true)
    )
    shared = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low) + 1
    shared = np.maximum(shared, 0).prod(axis=-1)
    areas, other_areas = (high - low + 1).prod(axis=-1), (other_high - other_low + 1).prod(axis=-1)
    return shared / (areas[:, None] + other_areas - shared)

"""Agreement of silhouettes: intersection over union, as mean of ratios or ratio of sums."""

from __future__ import annotations

import numpy as np


def overlap_pixels(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels of intersection and of union of each image: two int ``[...]``.

    Of images of different sizes, call it one by one and stack the numbers.

    Args:
        pred: Non-zero = person, ``[..., H, W]``.
        true: ``[..., H, W]``.
    """
    pred, true = np.asarray(pred).astype(bool), np.asarray(true).astype(bool)
    if pred.shape != true.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth {true.shape}")
    axes = (-2, -1)
    return np.count_nonzero(pred & true, axis=axes), np.count_nonzero(pred | true, axis=axes)


def silhouette_ious(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Returns the IoU (0..1) of each image, NaN where both silhouettes are empty.

    Their mean is the mIOU.

    >>> silhouette_ious(np.array([50, 0]), np.array([100, 0])).tolist()
    [0.5, nan]

    Args:
        intersection: As from :func:`overlap_pixels`.
        union: As from there.
    """
    intersection, union = np.asarray(intersection, np.float64), np.asarray(union, np.float64)
    return np.where(union > 0, intersection / np.where(union > 0, union, 1.0), np.nan)


def pooled_iou(intersection: np.ndarray, union: np.ndarray) -> float:
    """Returns the IoU (0..1) of the pixels of all images together; NaN if there are none.

    Args:
        intersection: As from :func:`overlap_pixels`.
        union: As from there.
    """
    return float(silhouette_ious(np.sum(intersection), np.sum(union)))

"""Pose errors and their averages.

What is missing, once for all functions:

* a joint whose truth is missing (any coordinate NaN) or that ``valid`` excludes is **not
  counted**;
* a joint that counts but has no finite prediction has error **infinity**: distances become
  infinite and :func:`pck` counts a miss, so that leaving joints out can never help;
* a mean over nothing is NaN.

Units are those of the input; coordinates of any numeric type (float16, integers) give the values
of float64. ``average="joint"`` is the mean over all counted joints of all poses,
``average="pose"`` the mean over poses of each pose's own mean (poses without a counted joint do
not count). Both agree when every pose has the same number of counted joints.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from posepile.metrics.align import align, as_poses

Average = Literal["joint", "pose"]


def joint_errors(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Euclidean distance per joint: ``[..., J]``, NaN = not counted, inf = prediction missing.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``, same shape.
        valid: bool ``[..., J]``, None = all.

    Raises:
        ValueError: The shapes differ.
    """
    pred, true = as_poses(pred), as_poses(true)
    if pred.shape != true.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth {true.shape}")
    counted = np.isfinite(true).all(axis=-1)
    if valid is not None:
        if np.shape(valid) != true.shape[:-1]:
            raise ValueError(f"valid has shape {np.shape(valid)}, joints {true.shape[:-1]}")
        counted &= np.asarray(valid, bool)
    predicted = np.isfinite(pred).all(axis=-1)
    both = (counted & predicted)[..., None]
    distance = np.linalg.norm(np.where(both, pred, 0) - np.where(both, true, 0), axis=-1)
    return np.where(counted, np.where(predicted, distance, np.inf), np.nan)


def mpjpe(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
) -> float:
    """Mean per-joint position error.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
    """
    return _average(joint_errors(pred, true, valid), average)


def pa_mpjpe(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
    plain_scale: bool = False,
) -> float:
    """MPJPE after Procrustes alignment of each pose on its counted joints.

    A pose with fewer than ``D`` counted joints cannot be aligned and is not counted; a pose with
    enough counted joints but too few predicted ones has infinite error.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
        plain_scale: As in :func:`posepile.metrics.align.similarity_transform`.
    """
    true = as_poses(true)
    counted = np.isfinite(true).all(axis=-1)
    if valid is not None:
        counted &= np.asarray(valid, bool)
    counted &= (counted.sum(axis=-1) >= true.shape[-1])[..., None]
    moved = align(pred, true, counted, plain_scale=plain_scale)
    return _average(joint_errors(moved, true, counted), average)


def pck(
    pred: np.ndarray,
    true: np.ndarray,
    threshold: float = 150.0,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
) -> float:
    """Share (0..1) of counted joints whose error is at most ``threshold``.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        threshold: Largest error that is a hit, inclusive.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
    """
    errors = joint_errors(pred, true, valid)
    return _average(np.where(np.isnan(errors), np.nan, errors <= threshold), average)


def auc(
    pred: np.ndarray,
    true: np.ndarray,
    max_threshold: float = 150.0,
    steps: int = 31,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
) -> float:
    """Mean PCK over evenly spaced thresholds from 0 to ``max_threshold``, both included.

    31 steps to 150 mm is what MPI-INF-3DHP uses. For datasets whose official evaluator has no
    AUC, report the number as **unofficial**.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        max_threshold: Last threshold.
        steps: Number of thresholds.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
    """
    errors = joint_errors(pred, true, valid)
    thresholds = np.linspace(0.0, max_threshold, steps)
    # The number of thresholds at or above the error, looked up instead of compared one by one.
    hits = steps - np.searchsorted(thresholds, errors, side="left")
    return _average(np.where(np.isnan(errors), np.nan, hits / steps), average)


def mpjve(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    fps: float = 1.0,
) -> float:
    """Mean per-joint velocity error of one sequence.

    Velocity is the difference of consecutive entries times ``fps``; a joint counts in a pair of
    entries when it counts in both. Gaps between entries are not seen: pass one stretch at a time
    where that matters.

    Args:
        pred: ``[T, J, D]``.
        true: ``[T, J, D]``.
        valid: bool ``[T, J]``, None = all.
        fps: Entries per second.

    Returns:
        Mean over counted joints and pairs, in units per second.
    """
    pred, true = as_poses(pred), as_poses(true)
    pair = None if valid is None else np.asarray(valid, bool)[1:] & np.asarray(valid, bool)[:-1]
    return fps * mpjpe(np.diff(pred, axis=0), np.diff(true, axis=0), pair)


def _average(values: np.ndarray, average: Average) -> float:
    counted = ~np.isnan(values)
    if average == "pose":
        n = counted.sum(axis=-1)
        total = np.where(counted, values, 0.0).sum(axis=-1, dtype=np.float64)
        values = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        counted = n > 0
    elif average != "joint":
        raise ValueError(f"average is {average!r}, expected 'joint' or 'pose'")
    return float(np.mean(values[counted], dtype=np.float64)) if counted.any() else float("nan")

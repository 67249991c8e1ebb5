"""Shares of joints or poses whose error is small enough, and areas under their curves.

Functions of ``errors`` give one value (0..1) per error, NaN where the error is NaN, so that they
can be averaged in any way; an infinite error is a miss at every threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posepile.metrics.errors import mean_error
from posepile.metrics.means import Average


def hits(errors: np.ndarray, threshold: float, *, strict: bool = False) -> np.ndarray:
    """Returns 1 where an error is within the threshold, 0 where it is not.

    Args:
        errors: Any shape.
        threshold: Largest error that is a hit.
        strict: The threshold itself is a miss.
    """
    errors = np.asarray(errors, np.float64)
    found = (errors < threshold if strict else errors <= threshold).astype(np.float64)
    np.copyto(found, np.nan, where=np.isnan(errors))
    return found


def mean_hits(
    errors: np.ndarray, thresholds: Sequence[float], *, strict: bool = False
) -> np.ndarray:
    """Returns the share of thresholds at which each error is a hit; its mean is the AUC.

    Args:
        errors: Any shape.
        thresholds: In any order. MPI-INF-3DHP has ``np.arange(31) * 5`` and ``strict``, where the
            threshold 0 is always a miss; without it: ``thresholds[1:]``.
        strict: A threshold itself is a miss.
    """
    errors = np.asarray(errors, np.float64)
    steps = np.sort(np.asarray(thresholds, np.float64))
    # The number of thresholds at or above the error, looked up instead of compared one by one.
    share = np.arange(len(steps), -1, -1) / len(steps)
    found = share[np.searchsorted(steps, errors, side="right" if strict else "left")]
    np.copyto(found, np.nan, where=np.isnan(errors))
    return found


def trapezoid_hits(
    errors: np.ndarray, thresholds: Sequence[float], *, strict: bool = False
) -> np.ndarray:
    """Returns the area of each error under its step of hits, by the trapezoidal rule.

    The mean is the trapezoidal area under the PCK curve, over the length of the thresholds; the
    3DPW challenge has ``np.arange(200)``.

    Args:
        errors: Any shape.
        thresholds: Increasing.
        strict: A threshold itself is a miss.
    """
    errors = np.asarray(errors, np.float64)
    steps = np.asarray(thresholds, np.float64)
    widths = np.zeros(len(steps))  # of the threshold's own share of the area
    widths[1:] += np.diff(steps) / 2
    widths[:-1] += np.diff(steps) / 2
    area = np.append(np.cumsum(widths[::-1])[::-1], 0.0) / (steps[-1] - steps[0])
    found = area[np.searchsorted(steps, errors, side="right" if strict else "left")]
    np.copyto(found, np.nan, where=np.isnan(errors))
    return found


def area_3dhp(errors: np.ndarray, maximum: float = 150.0, steps: int = 30) -> np.ndarray:
    """Returns ``max(0, 1 - floor(steps * e / maximum + 1) / (steps + 1))`` of each error.

    The closed form of :func:`mean_hits` at ``0, maximum / steps, .. maximum``, strict. Where an
    error lies on a threshold to the last digit, rounding may put it on the other side.

    Args:
        errors: Any shape.
        maximum: Last threshold.
        steps: Number of thresholds after 0.
    """
    errors = np.asarray(errors, np.float64)
    return np.maximum(0.0, 1 - np.floor(steps * errors / maximum + 1) / (steps + 1))


def area_in_bins(errors: np.ndarray, maximum: float = 199.0, bins: int = 50) -> np.ndarray:
    """Returns ``max(0, 1 - (floor(e / maximum * bins) + 0.5) / bins)`` of each error.

    The exact area (:func:`area_under_line`) of errors that are moved to the middle of their bin.

    Args:
        errors: Any shape.
        maximum: Last threshold.
        bins: Number of bins up to it.
    """
    errors = np.asarray(errors, np.float64)
    return np.maximum(0.0, 1 - (np.floor(errors / maximum * bins) + 0.5) / bins)


def area_under_line(errors: np.ndarray, maximum: float) -> np.ndarray:
    """Returns ``max(0, 1 - e / maximum)`` of each error: the area with all thresholds there are.

    Args:
        errors: Any shape.
        maximum: Last threshold.
    """
    return np.maximum(0.0, 1 - np.asarray(errors, np.float64) / maximum)


def worst_errors(errors: np.ndarray) -> np.ndarray:
    """Returns the largest error among the counted joints of each pose: ``[...]``, NaN if none.

    Args:
        errors: ``[..., J]``, NaN = not counted.
    """
    errors = np.asarray(errors, np.float64)
    return np.fmax.reduce(errors, axis=-1, initial=np.nan)


def pck(
    pred: np.ndarray,
    true: np.ndarray,
    threshold: float = 150.0,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
    strict: bool = False,
    root: int | Sequence[int] | None = None,
) -> float:
    """Share (0..1) of counted joints whose error is at most ``threshold``.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> pred[3] += 200
    >>> pck(pred, true, 150)
    0.75

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        threshold: Largest error that is a hit.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
        strict: The threshold itself is a miss.
        root: As in :func:`posepile.metrics.pose_errors`.
    """

    def value(errors):
        return hits(errors, threshold, strict=strict)

    return mean_error(pred, true, valid, average=average, value=value, root=root)


def auc(
    pred: np.ndarray,
    true: np.ndarray,
    max_threshold: float = 150.0,
    steps: int = 31,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
    strict: bool = False,
    zero: bool = True,
    root: int | Sequence[int] | None = None,
) -> float:
    """Mean PCK over evenly spaced thresholds from 0 to ``max_threshold``, both included.

    31 steps to 150 mm is what MPI-INF-3DHP uses (``strict`` there). For datasets whose official
    evaluator has no AUC, report the number as **unofficial**.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> round(auc(pred, true), 3)
    0.677

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        max_threshold: Last threshold.
        steps: Number of thresholds, that at 0 included.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
        strict: A threshold itself is a miss.
        zero: Count the threshold 0.
        root: As in :func:`posepile.metrics.pose_errors`.
    """
    thresholds = np.linspace(0.0, max_threshold, steps)[0 if zero else 1 :]

    def value(errors):
        return mean_hits(errors, thresholds, strict=strict)

    return mean_error(pred, true, valid, average=average, value=value, root=root)


def cps(
    pred: np.ndarray,
    true: np.ndarray,
    threshold: float = 150.0,
    valid: np.ndarray | None = None,
    *,
    scale: bool = True,
    strict: bool = False,
) -> float:
    """Correct pose score: share (0..1) of poses whose worst joint is near after Procrustes.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> wrong = pred + [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 400]]
    >>> cps(np.stack([pred, wrong]), np.stack([true, true]), 50)
    0.5

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        threshold: Largest error of a joint in a correct pose.
        valid: bool ``[..., J]``, None = all: joints that are aligned and counted.
        scale: Solve for scale too.
        strict: The threshold itself is a miss.
    """

    def value(errors):
        return hits(worst_errors(errors), threshold, strict=strict)[:, None]

    alignment = "similarity" if scale else "rigid"
    return mean_error(pred, true, valid, value=value, alignment=alignment)


def cps_auc(
    pred: np.ndarray,
    true: np.ndarray,
    maximum: float = 300.0,
    valid: np.ndarray | None = None,
    *,
    scale: bool = True,
) -> float:
    """Area (0..1) under the curve of :func:`cps` from 0 to ``maximum``, exactly.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        maximum: Last threshold.
        valid: bool ``[..., J]``, None = all.
        scale: Solve for scale too.
    """

    def value(errors):
        return area_under_line(worst_errors(errors), maximum)[:, None]

    alignment = "similarity" if scale else "rigid"
    return mean_error(pred, true, valid, value=value, alignment=alignment)

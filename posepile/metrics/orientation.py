"""Errors of orientations: angles between rotations."""

from __future__ import annotations

import numpy as np

from posepile.metrics.means import Average, mean_value
from posepile.metrics.planes import as_poses


def orientation_errors_deg(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    turn: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the geodesic angle between rotations in degrees: ``[..., P]``.

    NaN = not counted, inf = prediction missing, as in :mod:`posepile.metrics.errors`.

    Args:
        pred: Global rotation of each part ``[..., P, 3, 3]``.
        true: ``[..., P, 3, 3]``.
        valid: bool ``[..., P]``, None = all.
        turn: Rotation ``[..., 3, 3]`` that predictions are turned by first: that of
            :func:`posepile.metrics.similarity_transform` of the joints for PA-MPJAE. A pose whose
            turn is NaN (it could not be aligned) counts as missing.
    """
    pred, true = as_poses(pred), as_poses(true)
    if pred.shape != true.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth {true.shape}")
    if turn is not None:
        pred = as_poses(turn)[..., None, :, :] @ pred
    between = np.swapaxes(pred, -1, -2) @ true
    # Both sine and cosine: each alone is blind near one end of 0..180 degrees.
    skew = between - np.swapaxes(between, -1, -2)
    sine = np.sqrt(skew[..., 0, 1] ** 2 + skew[..., 0, 2] ** 2 + skew[..., 1, 2] ** 2)
    angle = np.degrees(np.arctan2(sine, np.trace(between, axis1=-2, axis2=-1) - 1))
    counted = np.isfinite(true).all(axis=(-1, -2))
    if valid is not None:
        counted &= np.asarray(valid, bool)
    predicted = np.isfinite(pred).all(axis=(-1, -2))
    return np.where(counted, np.where(predicted, angle, np.inf), np.nan)


def mpjae_deg(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    turn: np.ndarray | None = None,
    average: Average = "joint",
) -> float:
    """Returns the mean of :func:`orientation_errors_deg`.

    >>> turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    >>> round(mpjae_deg(np.stack([turned, np.eye(3)]), np.stack([np.eye(3)] * 2)), 6)
    45.0

    Args:
        pred: ``[..., P, 3, 3]``.
        true: ``[..., P, 3, 3]``.
        valid: bool ``[..., P]``, None = all.
        turn: As there.
        average: Mean over parts or over poses.
    """
    return mean_value(orientation_errors_deg(pred, true, valid, turn=turn), average)

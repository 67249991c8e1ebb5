"""Errors of motion through the world: drift over chunks and whole sequences, sliding feet.

Functions are of one sequence; values of several are concatenated and averaged. What is missing:
as in :mod:`posepile.metrics.errors`.
"""

from __future__ import annotations

import numpy as np

from posepile.metrics.align import similarity_transform, transform_points
from posepile.metrics.errors import joint_errors
from posepile.metrics.planes import as_poses


def chunk_errors(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    chunk: int = 100,
    fit_frames: int | None = None,
) -> np.ndarray:
    """Returns errors per joint after one similarity per chunk of the sequence: ``[T, J]``.

    The mean is WA-MPJPE where the similarity is fitted on the whole chunk, W-MPJPE where it is
    fitted on its first two frames. The last chunk may be shorter.

    Args:
        pred: ``[T, J, 3]`` in the world.
        true: ``[T, J, 3]`` in the world.
        valid: bool ``[T, J]``, None = all.
        chunk: Frames of a chunk.
        fit_frames: First frames of a chunk that are fitted; None = all of them.
    """
    pred, true = as_poses(pred), as_poses(true)
    mask = np.ones(true.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    moved = np.empty_like(pred)
    for start in range(0, len(true), chunk):
        rows = slice(start, start + chunk)
        fitted = slice(start, min(start + (fit_frames or chunk), start + chunk))
        found = similarity_transform(
            *(x[fitted].reshape(-1, 3) for x in (pred, true)), mask[fitted].reshape(-1)
        )
        moved[rows] = transform_points(pred[rows].reshape(-1, 3), *found).reshape(pred[rows].shape)
    return joint_errors(moved, true, mask)


def w_errors(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None, *, chunk: int = 100
) -> np.ndarray:
    """Returns :func:`chunk_errors` fitted on the first two frames; the mean is W-MPJPE.

    Args:
        pred: ``[T, J, 3]`` in the world.
        true: ``[T, J, 3]`` in the world.
        valid: bool ``[T, J]``, None = all.
        chunk: Frames of a chunk.
    """
    return chunk_errors(pred, true, valid, chunk=chunk, fit_frames=2)


def wa_errors(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None, *, chunk: int = 100
) -> np.ndarray:
    """Returns :func:`chunk_errors` fitted on whole chunks; the mean is WA-MPJPE.

    >>> true = np.random.default_rng(0).normal(size=(10, 4, 3))
    >>> wa_errors(2 * true + 5, true).shape, round(float(wa_errors(2 * true + 5, true).mean()), 6)
    ((10, 4), 0.0)

    Args:
        pred: ``[T, J, 3]`` in the world.
        true: ``[T, J, 3]`` in the world.
        valid: bool ``[T, J]``, None = all.
        chunk: Frames of a chunk.
    """
    return chunk_errors(pred, true, valid, chunk=chunk)


def rte_percent(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the root trajectory error of each frame, in percent of the true path: ``[T]``.

    The predicted track is moved onto the true one rigidly, without scale; the distance is divided
    by the length of the whole true path.

    >>> true = np.arange(5.0)[:, None] * [100, 0, 0]
    >>> rte_percent(true * 1.1, true).round(6).tolist()
    [5.0, 2.5, 0.0, 2.5, 5.0]

    Args:
        pred: Track of the root in the world ``[T, 3]``.
        true: ``[T, 3]``.
    """
    pred, true = as_poses(pred), as_poses(true)
    found = similarity_transform(pred, true, scale=False)
    errors = joint_errors(transform_points(pred, *found), true)
    known = true[np.isfinite(true).all(axis=-1)]
    path = np.linalg.norm(np.diff(known, axis=0), axis=-1).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * errors / path


def foot_sliding(pred: np.ndarray, true: np.ndarray, threshold: float) -> np.ndarray:
    """Returns how far predicted points move per frame while the true ones stand: ``[T - 1, P]``.

    NaN where the true point moves; inf where it stands and the prediction is missing. EMDB's
    points are the SMPL vertices 3216, 3387, 6617 and 6787, and the threshold is 10 mm.

    Args:
        pred: Points of the feet in the world ``[T, P, 3]``.
        true: ``[T, P, 3]``.
        threshold: Per frame: what moves less, stands.
    """
    pred, true = as_poses(pred), as_poses(true)
    if pred.shape != true.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth {true.shape}")
    stands = np.linalg.norm(np.diff(true, axis=0), axis=-1) < threshold
    with np.errstate(invalid="ignore"):
        moves = np.linalg.norm(np.diff(pred, axis=0), axis=-1)
    return np.where(stands, np.where(np.isfinite(moves), moves, np.inf), np.nan)

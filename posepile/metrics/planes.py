"""Poses as planes of coordinates ``[D, J, n]``, in which sums over joints run over many poses.

The inner part of alignment and of errors: ten times faster than loops over matrices ``[J, D]``,
whose rows are too short for numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from posepile.metrics.rotation_fit import fit_rotation

# Numbers of a batch that is worked on at a time: its temporary arrays stay in the cache.
BATCH_NUMBERS = 100_000


def as_poses(poses: ArrayLike) -> np.ndarray:
    """Returns poses in float64, in which no difference or square of coordinates overflows.

    Args:
        poses: Coordinates of any numeric type; masked ones are missing and become NaN.
    """
    if isinstance(poses, np.ma.MaskedArray):
        return poses.astype(np.float64).filled(np.nan)
    # In one order of memory, so that sums run the same way whatever the layout.
    return np.asarray(poses, np.float64, order="C")


def batches(shape: Sequence[int]) -> Iterator[slice]:
    """Yields slices of the first axis that hold about ``BATCH_NUMBERS`` numbers each.

    Of an empty array there is one, so that what is made of it has its shape.

    Args:
        shape: Of the array to be cut.
    """
    size = max(1, BATCH_NUMBERS // max(1, int(np.prod(shape[1:]))))
    for start in range(0, max(shape[0], 1), size):
        yield slice(start, start + size)


def planes(poses: np.ndarray) -> np.ndarray:
    """Returns a copy of poses ``[n, J, D]`` as ``[D, J, n]``, the longer of J and n innermost."""
    poses = as_poses(poses)
    if poses.shape[1] <= poses.shape[0]:
        return poses.transpose(2, 1, 0).copy(order="C")
    return poses.transpose(2, 0, 1).copy(order="C").transpose(0, 2, 1)


def finite_points(points: np.ndarray) -> np.ndarray:
    """Returns which points have all their coordinates: bool ``[J, n]``."""
    finite = np.isfinite(points[0])
    for plane in points[1:]:
        finite &= np.isfinite(plane)
    return finite


def used_points(pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None) -> np.ndarray | None:
    """Returns points that are finite on both sides and valid: bool ``[J, n]``, None = all."""
    with np.errstate(invalid="ignore", over="ignore"):
        # One number tells that nothing is missing; a sum that overflows costs time only.
        clean = np.isfinite(pred.sum() + true.sum())
    if clean:
        return valid
    used = finite_points(pred) & finite_points(true)
    return used if valid is None else used & valid


def without_root(points: np.ndarray, root: int | Sequence[int]) -> np.ndarray:
    """Returns points less the root, or the mean of several: ``[D, J, n]``."""
    with np.errstate(invalid="ignore", over="ignore"):
        if np.ndim(root) == 0:
            return points - points[:, [root]]
        return points - points[:, list(root)].mean(axis=1, keepdims=True)


def solve_similarity(
    source: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray | None,
    *,
    scale: bool = True,
    plain_scale: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns :func:`posepile.metrics.similarity_transform` of planes ``[D, J, n]``.

    Args:
        source: Points that are moved.
        target: Points they are moved to.
        valid: bool ``[J, n]``, None = all.
        scale: Solve for scale.
        plain_scale: As there.

    Returns:
        Factors ``[n]``, rotations ``[D, D, n]``, shifts ``[D, n]``.
    """
    dim, n_points, n = source.shape
    used = used_points(source, target, valid)
    if used is None:
        n_used = np.full(n, n_points)
    else:
        n_used = used.sum(axis=0)
        source, target = np.where(used, source, 0.0), np.where(used, target, 0.0)
    count = np.maximum(n_used, 1)
    source_mean, target_mean = source.sum(axis=1) / count, target.sum(axis=1) / count
    source, target = source - source_mean[:, None], target - target_mean[:, None]
    if used is not None:
        source, target = np.where(used, source, 0.0), np.where(used, target, 0.0)
    product = np.einsum("djn,ejn->den", target, source)
    rotation, total = fit_rotation(product, plain=plain_scale)
    factor = np.ones(n)
    if scale:
        spread = np.einsum("djn,djn->n", source, source)
        factor = np.where(spread > 0, total / np.where(spread > 0, spread, 1.0), 1.0)
    shift = target_mean - factor * np.einsum("den,en->dn", rotation, source_mean)
    undetermined = n_used < dim
    if undetermined.any():
        factor[undetermined], rotation[..., undetermined] = np.nan, np.nan
        shift[:, undetermined] = np.nan
    return factor, rotation, shift


def move_points(
    points: np.ndarray, factor: np.ndarray, rotation: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Returns points ``[D, J, n]`` moved by similarities as of :func:`solve_similarity`."""
    moved = np.einsum("den,ejn->djn", factor * rotation, points)
    moved += shift[:, None]
    return moved


def solve_scale(pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Returns :func:`posepile.metrics.scale_factor` of planes ``[D, J, n]``: ``[n]``."""
    used = used_points(pred, true, valid)
    if used is not None:
        pred, true = np.where(used, pred, 0.0), np.where(used, true, 0.0)
    with np.errstate(all="ignore"):
        square = np.einsum("djn,djn->n", pred, pred)
        factor = np.einsum("djn,djn->n", pred, true) / square
    # Squares of numbers that are tiny or huge: divided by the largest coordinate first.
    odd = ~((square > 1e-200) & (square < 1e200))
    if odd.any():
        size = np.abs(pred[..., odd]).max(axis=(0, 1), initial=0)
        unit = pred[..., odd] / np.where(size > 0, size, 1.0)
        square = np.einsum("djn,djn->n", unit, unit)
        product = np.einsum("djn,djn->n", unit, true[..., odd])
        with np.errstate(all="ignore"):
            factor[odd] = np.where(size > 0, product / square / size, 1.0)
    if used is not None:
        factor[~used.any(axis=0)] = np.nan
    return factor


def distances(pred: np.ndarray, true: np.ndarray, counted: np.ndarray | None) -> np.ndarray:
    """Returns distances of points ``[D, J, n]``: ``[J, n]``.

    NaN = not counted (or truth missing), inf = prediction missing.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        difference = pred - true
        errors = np.sqrt(np.einsum("djn,djn->jn", difference, difference))
    odd = ~np.isfinite(errors)
    if odd.any():
        known = finite_points(true)
        np.copyto(errors, np.nan, where=~known)
        odd &= known
    if odd.any():
        # Few as a rule: predictions that are missing, and distances whose squares overflow.
        predicted = finite_points(pred[:, odd])
        with np.errstate(over="ignore"):
            far = np.hypot.reduce(np.where(predicted, difference[:, odd], 0.0), axis=0)
        errors[odd] = np.where(predicted, far, np.inf)
    if counted is not None:
        np.copyto(errors, np.nan, where=~counted)
    return errors

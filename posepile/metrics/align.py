"""Bringing one pose onto another before they are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def as_poses(poses: ArrayLike) -> np.ndarray:
    """Returns poses in float64, in which no difference or square of coordinates overflows.

    Args:
        poses: Coordinates of any numeric type; masked ones are missing and become NaN.
    """
    if isinstance(poses, np.ma.MaskedArray):
        return poses.astype(np.float64).filled(np.nan)
    return np.asarray(poses, np.float64)


def root_relative(poses: np.ndarray, root: int) -> np.ndarray:
    """Subtracts the root joint from every joint; a pose whose root is missing becomes all NaN.

    Args:
        poses: ``[..., J, D]``.
        root: Index of the root joint.
    """
    poses = as_poses(poses)
    return poses - poses[..., root : root + 1, :]


def similarity_transform(
    source: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    scale: bool = True,
    plain_scale: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least-squares similarity (Procrustes, Umeyama 1991) from ``source`` to ``target``.

    Rotation never contains a reflection. Only points that are finite on both sides and marked
    valid take part; a pose with fewer than ``D`` of them gets NaN everywhere, since its rotation
    is not determined. Where all source points coincide, scale is 1.

    Args:
        source: ``[..., J, D]``.
        target: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        scale: Solve for scale; otherwise it is 1.
        plain_scale: Where the best orthogonal matrix was a reflection, take the scale from the
            plain sum of singular values, as some official evaluators do, instead of counting the
            last one negatively, which is the least-squares solution.

    Returns:
        ``(s [...], R [..., D, D], t [..., D])`` in float64 with ``target ~ s R source + t``.
    """
    source, target = as_poses(source), as_poses(target)
    used = np.isfinite(source).all(-1) & np.isfinite(target).all(-1)
    if valid is not None:
        used &= np.asarray(valid, bool)
    n = used.sum(axis=-1)
    count = np.maximum(n, 1)[..., None, None]
    weight = used[..., None]
    source = np.where(weight, source, 0.0)
    target = np.where(weight, target, 0.0)
    source_mean = source.sum(axis=-2, keepdims=True) / count
    target_mean = target.sum(axis=-2, keepdims=True) / count
    source = np.where(weight, source - source_mean, 0.0)
    target = np.where(weight, target - target_mean, 0.0)

    u, sv, vt = np.linalg.svd(np.swapaxes(target, -1, -2) @ source)
    # The sign of each factor apart: the determinant of the product may round to 0.999..
    sign = np.sign(np.linalg.det(u)) * np.sign(np.linalg.det(vt))
    vt = vt.copy()
    vt[..., -1, :] *= sign[..., None]
    rotation = u @ vt

    factor = np.ones(n.shape)
    if scale:
        total = sv.sum(axis=-1)
        if not plain_scale:
            total = total - (1 - sign) * sv[..., -1]
        spread = np.square(source).sum(axis=(-1, -2))
        factor = np.where(spread > 0, total / np.where(spread > 0, spread, 1.0), 1.0)
    shift = target_mean[..., 0, :] - factor[..., None] * np.einsum(
        "...ij,...j->...i", rotation, source_mean[..., 0, :]
    )
    undetermined = n < rotation.shape[-1]
    factor = np.where(undetermined, np.nan, factor)
    rotation = np.where(undetermined[..., None, None], np.nan, rotation)
    shift = np.where(undetermined[..., None], np.nan, shift)
    return factor, rotation, shift


def align(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    scale: bool = True,
    plain_scale: bool = False,
    single: bool = False,
) -> np.ndarray:
    """Each predicted pose moved onto its truth by :func:`similarity_transform`.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``: joints that determine the alignment; all are transformed.
        scale: As in :func:`similarity_transform`.
        plain_scale: As in :func:`similarity_transform`.
        single: Apply it in float32, as a 4x4 matrix to points ``[..., J, 3]``, as some official
            evaluators do; some 18 m from the origin that alone moves points by micrometres.
    """
    s, rotation, t = similarity_transform(pred, true, valid, scale=scale, plain_scale=plain_scale)
    if single:
        matrix = np.zeros((*s.shape, 4, 4), np.float32)
        matrix[..., :3, :3], matrix[..., :3, 3] = s[..., None, None] * rotation, t
        matrix[..., 3, 3] = 1
        points = as_poses(pred).astype(np.float32)
        points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
        return (points @ np.swapaxes(matrix, -1, -2))[..., :3]
    moved = as_poses(pred) @ np.swapaxes(rotation, -1, -2)
    return s[..., None, None] * moved + t[..., None, :]

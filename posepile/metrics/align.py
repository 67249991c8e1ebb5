"""Bringing one pose onto another before they are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posepile.metrics.planes import as_poses, batches, planes, solve_scale, solve_similarity


def root_relative(poses: np.ndarray, root: int | Sequence[int]) -> np.ndarray:
    """Subtracts the root joint from every joint; a pose whose root is missing becomes all NaN.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> root_relative(true, 3)[0].tolist()
    [-100.0, 0.0, 0.0]

    Args:
        poses: ``[..., J, D]``.
        root: Index of the root joint, or of several whose mean is the root, such as both hips.
    """
    poses = as_poses(poses)
    if np.ndim(root) == 0:
        return poses - poses[..., root : root + 1, :]
    return poses - poses[..., list(root), :].mean(axis=-2, keepdims=True)


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

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> scale, rotation, translation = similarity_transform(pred, true)
    >>> round(float(scale), 6), translation.round(6).tolist()
    (1.0, [-30.0, -0.0, -40.0])

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
    *shape, n_points, dim = np.broadcast_shapes(source.shape, target.shape)
    source, target = (
        np.broadcast_to(x, (*shape, n_points, dim)).reshape(-1, n_points, dim)
        for x in (source, target)
    )
    if valid is not None:
        valid = np.broadcast_to(np.asarray(valid, bool), (*shape, n_points)).reshape(-1, n_points)
    n = len(source)
    factor, rotation, shift = np.empty(n), np.empty((n, dim, dim)), np.empty((n, dim))
    for part in batches(source.shape):
        mask = None if valid is None else valid[part].T
        found = solve_similarity(
            planes(source[part]), planes(target[part]), mask, scale=scale, plain_scale=plain_scale
        )
        factor[part], rotation[part], shift[part] = (np.moveaxis(x, -1, 0) for x in found)
    return factor.reshape(shape), rotation.reshape(*shape, dim, dim), shift.reshape(*shape, dim)


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

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> align(2 * pred, true).round(6).tolist() == true.tolist()
    True

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
    return transform_points(pred, s, rotation, t)


def transform_points(
    points: np.ndarray, factor: np.ndarray, rotation: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Returns points moved by a similarity, such as vertices by that of their joints.

    Args:
        points: ``[..., N, D]``.
        factor: ``[...]``.
        rotation: ``[..., D, D]``.
        shift: ``[..., D]``.
    """
    # Small matrices are multiplied eight times faster when they lie in order.
    matrix = np.ascontiguousarray(np.swapaxes(factor[..., None, None] * rotation, -1, -2))
    moved = as_poses(points) @ matrix
    moved += shift[..., None, :]
    return moved


def scale_factor(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Returns the factor by which a prediction fits its truth best, without moving it: ``[...]``.

    ``sum(pred * true) / sum(pred * pred)``, as N-MPJPE has it; poses are to be root-relative. It
    is negative for a pose that looks the other way, and 1 where all predicted points are zero.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all. Only points finite on both sides take part; NaN
            where there is none.
    """
    pred, true = as_poses(pred), as_poses(true)
    *shape, n_points, dim = true.shape
    if valid is not None:
        valid = np.asarray(valid, bool).reshape(-1, n_points).T
    arrays = (planes(x.reshape(-1, n_points, dim)) for x in (pred, true))
    return solve_scale(*arrays, valid).reshape(shape)

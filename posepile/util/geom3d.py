"""Poses in space: which joints and bones there are, scales, under the names of before."""

from __future__ import annotations

import numpy as np

from posepile.joint_info import JointInfo, get_joint2bone_mat


def are_joints_valid(coords: np.ndarray) -> np.ndarray:
    """Returns which joints have all their coordinates, bool ``[..., J]`` of ``[..., J, D]``."""
    return ~np.isnan(coords).any(axis=-1)


def are_bones_plausible(
    poses: np.ndarray,
    reference_bone_lengths: np.ndarray,
    joint_info: JointInfo | None = None,
    relsmall_thresh: float = 0.1,
    relbig_thresh: float = 3,
    absbig_thresh: float = 150,
    joints2bones_matrix: np.ndarray | None = None,
) -> np.ndarray:
    """Returns which bones are about as long as they should be.

    A bone is implausible if it is both out of proportion and off by many millimetres; one of
    whose ends is missing is plausible.

    Args:
        poses: ``[..., J, 3]``, NaN = missing.
        reference_bone_lengths: ``[n_edges]``, such as ``train_bones`` of a dataset.
        joint_info: The skeleton, or ``joints2bones_matrix``.
        relsmall_thresh: Shorter than this share of the reference is out of proportion.
        relbig_thresh: So is longer than this multiple of it.
        absbig_thresh: Difference in the unit of the poses from which on it counts.
        joints2bones_matrix: ``[n_edges, J]`` as of :func:`posepile.joint_info.get_joint2bone_mat`.

    Returns:
        bool ``[..., n_edges]``.
    """
    matrix = get_joint2bone_mat(joint_info) if joints2bones_matrix is None else joints2bones_matrix
    complete = are_joints_valid(poses)[..., None, :] | (np.asarray(matrix) == 0)
    lengths = np.linalg.norm(matrix @ np.nan_to_num(poses), axis=-1)
    lengths[~complete.all(axis=-1)] = np.nan
    reference = np.asarray(reference_bone_lengths)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = lengths / reference
        odd = (ratio < relsmall_thresh) | (ratio > relbig_thresh)
        return ~(odd & (np.abs(lengths - reference) > absbig_thresh))


def get_scale(poses: np.ndarray, keepdims: bool = False) -> np.ndarray:
    """Returns the root mean square over joints and axes of poses ``[..., J, D]``."""
    return np.sqrt(np.square(poses).mean(axis=(-2, -1), keepdims=keepdims))


def scale_align_to_true(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns predicted poses, relative to their root, at the scale of the true ones."""
    return pred * (get_scale(true, keepdims=True) / get_scale(pred, keepdims=True))


def unit_vector(vectors: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns vectors at length 1; NaN where a vector has none."""
    with np.errstate(invalid="ignore"):
        return vectors / np.linalg.norm(vectors, axis=axis, keepdims=True)

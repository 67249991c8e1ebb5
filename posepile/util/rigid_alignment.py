"""Procrustes alignment under the names of before; the code is in :mod:`posepile.metrics`."""

from __future__ import annotations

import numpy as np

from posepile.metrics.align import similarity_transform, transform_points


def rigid_align(
    coords_pred: np.ndarray,
    coords_true: np.ndarray,
    *,
    joint_validity_mask: np.ndarray | None = None,
    scale_align: bool = False,
    reflection_align: bool = False,
) -> np.ndarray:
    """Returns a predicted pose moved onto the true one, by the joints that are valid.

    Args:
        coords_pred: ``[J, 3]``.
        coords_true: ``[J, 3]``.
        joint_validity_mask: bool ``[J]``; None = all.
        scale_align: Also scale.
        reflection_align: Also take the mirror image where that fits better.

    Returns:
        ``[J, 3]``; the prediction as it is where fewer than three joints are valid.
    """
    pred, true = np.asarray(coords_pred), np.asarray(coords_true)
    mask = np.ones(len(pred), bool) if joint_validity_mask is None else joint_validity_mask
    candidates = [pred, pred * [-1, 1, 1]] if reflection_align else [pred]
    aligned = []
    for candidate in candidates:
        found = similarity_transform(candidate, true, mask, scale=scale_align)
        aligned.append(transform_points(candidate, *found))
    errors = [np.square(a - true)[mask].sum() for a in aligned]
    if not np.isfinite(errors).all():
        return pred
    return aligned[int(np.argmin(errors))]


def rigid_align_many(
    coords_pred: np.ndarray,
    coords_true: np.ndarray,
    *,
    joint_validity_mask: np.ndarray | None = None,
    scale_align: bool = False,
    reflection_align: bool = False,
) -> np.ndarray:
    """Returns poses ``[n, J, 3]``, each moved as by :func:`rigid_align`."""
    masks = [None] * len(coords_pred) if joint_validity_mask is None else joint_validity_mask
    return np.stack(
        [
            rigid_align(
                pred,
                true,
                joint_validity_mask=mask,
                scale_align=scale_align,
                reflection_align=reflection_align,
            )
            for pred, true, mask in zip(coords_pred, coords_true, masks, strict=True)
        ]
    )

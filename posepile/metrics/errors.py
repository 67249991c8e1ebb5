"""Pose errors and their averages.

What is missing, once for all functions:

* a joint whose truth is missing (any coordinate NaN) or that ``valid`` excludes is **not
  counted**: its value is NaN;
* a joint that counts but has no finite prediction has error **infinity**: distances become
  infinite and :func:`posepile.metrics.pck` counts a miss, so that leaving joints out can never
  help;
* a mean over nothing is NaN.

Units are those of the input; coordinates of any numeric type (float16, integers) give the values
of float64. :func:`pose_errors` gives one value per joint, of which any average can be made;
``average="joint"`` is the mean over all counted joints of all poses, ``average="pose"`` the mean
over poses of each pose's own mean (poses without a counted joint do not count). Both agree when
every pose has the same number of counted joints. Vertices are points like joints: MVE (also
called PVE or MPVPE) is :func:`mpjpe` of ``[..., V, 3]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from posepile.metrics.means import Average, RunningMean
from posepile.metrics.planes import (
    as_poses,
    batches,
    distances,
    move_points,
    planes,
    solve_scale,
    solve_similarity,
    used_points,
    without_root,
)

Alignment = Literal["none", "scale", "rigid", "similarity"]
Fit = Literal["counted", "all"]


def joint_errors(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Euclidean distance per joint: ``[..., J]``, NaN = not counted, inf = prediction missing.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> pred[3] = np.nan
    >>> joint_errors(pred, true).tolist()
    [50.0, 50.0, 50.0, inf]

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``, same shape.
        valid: bool ``[..., J]``, None = all.

    Raises:
        ValueError: The shapes differ.
    """
    return pose_errors(pred, true, valid)


def pose_errors(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    root: int | Sequence[int] | None = None,
    alignment: Alignment = "none",
    fit: Fit = "counted",
    plain_scale: bool = False,
) -> np.ndarray:
    """Euclidean distance per joint after alignment: ``[..., J]`` as of :func:`joint_errors`.

    A pose with fewer than ``D`` counted joints cannot be rotated onto its truth and is not
    counted (NaN); a pose with enough counted joints but too few predicted ones has infinite
    error.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> pose_errors(pred, true, root=0).tolist()
    [0.0, 0.0, 0.0, 0.0]

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``, same shape.
        valid: bool ``[..., J]``, None = all.
        root: Joint that is subtracted from both, or several whose mean is; None = none. A pose
            whose true root is missing is not counted, even where ``valid`` excludes no more
            than the root; one whose predicted root is missing has infinite error.
        alignment: What is solved for, per pose: nothing; the scale alone (N-MPJPE); rotation and
            translation; these and scale (PA-MPJPE).
        fit: Solved on the joints that count, or on all that are known on both sides.
        plain_scale: As in :func:`posepile.metrics.align.similarity_transform`.

    Raises:
        ValueError: The shapes differ.
    """
    pred, true, valid, shape = _flat(pred, true, valid)
    errors = np.empty(true.shape[:2])
    for part in batches(true.shape):
        errors[part] = _errors(
            pred[part],
            true[part],
            None if valid is None else valid[part],
            root=root,
            alignment=alignment,
            fit=fit,
            plain_scale=plain_scale,
        )
    return errors.reshape(shape)


def mpjpe(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
    root: int | Sequence[int] | None = None,
) -> float:
    """Mean per-joint position error; of vertices it is the MVE.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> mpjpe(pred, true), mpjpe(pred, true, root=0)
    (50.0, 0.0)

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
        root: As in :func:`pose_errors`.
    """
    return mean_error(pred, true, valid, average=average, root=root)


def pa_mpjpe(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
    scale: bool = True,
    fit: Fit = "counted",
    plain_scale: bool = False,
) -> float:
    """MPJPE after Procrustes alignment of each pose on its counted joints.

    A pose with fewer than ``D`` counted joints cannot be aligned and is not counted; a pose with
    enough counted joints but too few predicted ones has infinite error.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> round(pa_mpjpe(2 * pred, true), 6)
    0.0

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
        scale: Solve for scale too.
        fit: As in :func:`pose_errors`.
        plain_scale: As in :func:`posepile.metrics.align.similarity_transform`.
    """
    alignment: Alignment = "similarity" if scale else "rigid"
    facts = {"alignment": alignment, "fit": fit, "plain_scale": plain_scale}
    return mean_error(pred, true, valid, average=average, **facts)


def n_mpjpe(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    root: int | Sequence[int] | None = None,
    average: Average = "joint",
) -> float:
    """MPJPE after each pose was scaled by its :func:`posepile.metrics.align.scale_factor`.

    >>> true = np.array([[0.0, 0, 0], [0, 0, 100], [0, 50, 100], [100, 0, 0]])
    >>> pred = true + [30.0, 0, 40]
    >>> round(n_mpjpe(2 * pred, true, root=0), 6)
    0.0

    Args:
        pred: ``[..., J, D]``, root-relative unless ``root`` is given.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        root: As in :func:`pose_errors`.
        average: Mean over joints or over poses.
    """
    return mean_error(pred, true, valid, average=average, root=root, alignment="scale")


def mean_error(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    average: Average = "joint",
    value: Callable[[np.ndarray], np.ndarray] | None = None,
    **facts: Any,
) -> float:
    """Returns the mean of :func:`pose_errors`, or of what is made of them, in flat memory.

    Args:
        pred: ``[..., J, D]``.
        true: ``[..., J, D]``.
        valid: bool ``[..., J]``, None = all.
        average: Mean over joints or over poses.
        value: Function from errors ``[n, J]`` to values ``[n, J]`` or ``[n, 1]``; None = errors.
        **facts: As the keywords of :func:`pose_errors`.
    """
    mean = RunningMean(average)
    pred, true, valid, _ = _flat(pred, true, valid)
    for part in batches(true.shape):
        mask = None if valid is None else valid[part]
        errors = _errors(pred[part], true[part], mask, **facts)
        mean.add(errors if value is None else value(errors))
    return mean.result()


def _flat(pred, true, valid):
    """Arrays as ``[n, J, D]`` (mask ``[n, J]``) and the shape ``[..., J]`` they had."""
    pred, true = (x if isinstance(x, np.ndarray) else as_poses(x) for x in (pred, true))
    if pred.shape != true.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth {true.shape}")
    shape = true.shape[:-1]
    if valid is not None:
        if np.shape(valid) != shape:
            raise ValueError(f"valid has shape {np.shape(valid)}, joints {shape}")
        valid = np.asarray(valid, bool).reshape(-1, shape[-1])
    n = int(np.prod(shape[:-1]))
    return pred.reshape(n, *true.shape[-2:]), true.reshape(n, *true.shape[-2:]), valid, shape


def _errors(
    pred, true, valid, root=None, alignment="none", fit="counted", plain_scale=False
) -> np.ndarray:
    """Errors ``[n, J]`` of poses ``[n, J, D]``."""
    pred, true, counted = planes(pred), planes(true), None if valid is None else valid.T
    if root is not None:
        pred, true = without_root(pred, root), without_root(true, root)
    if alignment in ("rigid", "similarity"):
        counted = used_points(true, true, counted)
        dim, n_points, n = true.shape
        if counted is not None:
            counted = counted & (counted.sum(axis=0) >= dim)
        elif n_points < dim:
            counted = np.zeros((n_points, n), bool)
        facts = {"scale": alignment == "similarity", "plain_scale": plain_scale}
        found = solve_similarity(pred, true, counted if fit == "counted" else None, **facts)
        with np.errstate(invalid="ignore"):
            pred = move_points(pred, *found)
    elif alignment == "scale":
        with np.errstate(invalid="ignore"):
            pred = pred * solve_scale(pred, true, counted if fit == "counted" else None)
    elif alignment != "none":
        raise ValueError(f"alignment is {alignment!r}; expected none, scale, rigid or similarity")
    return distances(pred, true, counted).T

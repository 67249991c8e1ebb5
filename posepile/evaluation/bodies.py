"""Figures of body models beside each other: joints, vertices, rotations, motion in the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from posepile.evaluation.meshes import LSP14_OF_H36M, regressed
from posepile.metrics import (
    area_in_bins,
    foot_sliding,
    hits,
    joint_errors,
    orientation_errors_deg,
    pose_errors,
    rte_percent,
    similarity_transform,
    transform_points,
    w_errors,
    wa_errors,
    worst_errors,
)

# Of SMPL's joints, those whose orientation is compared, and those whose shares are.
SMPL_PARTS = (0, 1, 2, 4, 5, 16, 17, 18, 19)
SMPL_LIMBS = (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21)


def centred(bodies: Mapping[str, np.ndarray], *root: int) -> dict[str, np.ndarray]:
    """Returns bodies whose lengths are relative to a joint, or to the middle of several.

    >>> bodies = {"joints": np.ones((1, 24, 3)), "orientations": np.ones((1, 24, 3, 3))}
    >>> float(centred(bodies, 1, 2)["joints"].max())
    0.0

    Args:
        bodies: As of :func:`posed_bodies`; without joints nothing is changed.
        *root: Joints.
    """
    if "joints" not in bodies:
        return dict(bodies)
    center = bodies["joints"][:, list(root)].mean(axis=1, keepdims=True)
    moved = {k: bodies[k] - center for k in ("joints", "vertices") if k in bodies}
    return {**bodies, **moved}


def body_figures(
    pred: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns errors of joints, vertices and rotations, as they are and after Procrustes.

    Each pose is aligned by its joints (similarity), and so are its vertices and rotations.

    >>> body = {"joints": np.random.default_rng(0).normal(0, 300, (2, 24, 3))}
    >>> {name: values.shape for name, values in body_figures(body, body).items()}
    {'MPJPE_mm': (2, 24), 'PA-MPJPE_mm': (2, 24)}

    Args:
        pred: As of :func:`centred`; what either side lacks is left out.
        true: Likewise.

    Returns:
        ``MPJPE_mm`` ``[n, J]``, ``MVE_mm`` ``[n]`` (mean over vertices), ``MPJAE_deg`` ``[n, P]``,
        and each with ``PA-`` before it.
    """
    there = [name for name in ("joints", "vertices") if name in pred and name in true]
    figures = {}
    fit = similarity_transform(pred["joints"], true["joints"]) if "joints" in there else None
    for name, figure in (("joints", "MPJPE_mm"), ("vertices", "MVE_mm")):
        if name in there:
            figures[figure] = joint_errors(pred[name], true[name])
        if name in there and fit:
            aligned = transform_points(pred[name], *fit)
            figures[f"PA-{figure}"] = joint_errors(aligned, true[name])
    figures |= {
        key: figures[key].mean(axis=1) for key in ("MVE_mm", "PA-MVE_mm") if key in figures
    }
    if "orientations" in pred and "orientations" in true:
        parts = pred["orientations"], true["orientations"]
        figures["MPJAE_deg"] = orientation_errors_deg(*parts)
        if fit:
            figures["PA-MPJAE_deg"] = orientation_errors_deg(*parts, turn=fit[1])
    return figures


def lsp14_figures(
    pred: np.ndarray, true: np.ndarray, regressor: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns errors of LSP's 14 joints and of vertices, relative to the regressor's pelvis.

    >>> mesh = np.random.default_rng(0).normal(size=(1, 330, 3))
    >>> found = lsp14_figures(mesh + 5, mesh, np.full((17, 330), 1 / 330))
    >>> {name: float(values.max().round(6)) for name, values in found.items()}
    {'MPJPE_mm': 0.0, 'PA-MPJPE_mm': 0.0, 'PVE_mm': 0.0}

    Args:
        pred: Vertices ``[n, V, 3]``, millimetres.
        true: Likewise.
        regressor: As of :func:`posepile.evaluation.meshes.read_h36m_regressor`.

    Returns:
        ``MPJPE_mm`` and ``PA-MPJPE_mm`` ``[n, 14]``, ``PVE_mm`` ``[n]``.
    """
    joints = [regressed(regressor, side) for side in (pred, true)]
    sides = zip((pred, true), joints, strict=True)
    meshes = [vertices - pelvis[:, :1] for vertices, pelvis in sides]
    points = [side[:, list(LSP14_OF_H36M)] - side[:, :1] for side in joints]
    return {
        "MPJPE_mm": joint_errors(*points),
        "PA-MPJPE_mm": pose_errors(*points, alignment="similarity"),
        "PVE_mm": joint_errors(*meshes).mean(axis=1),
    }


def in_batches(
    function: Callable[..., Mapping[str, np.ndarray]],
    *sides: Mapping[str, np.ndarray],
    size: int = 256,
) -> dict[str, np.ndarray]:
    """Returns what a function gives of some entries at a time, joined: meshes are large.

    >>> in_batches(lambda a: {"x": a["x"] ** 2}, {"x": np.arange(5)}, size=2)["x"].tolist()
    [0, 1, 4, 9, 16]

    Args:
        function: Gets the sides with some of their entries; returns arrays of these.
        *sides: Arrays ``[n, ...]``, of predictions and of truth.
        size: Entries at a time.
    """
    n = len(next(iter(sides[0].values())))
    cuts = [slice(start, start + size) for start in range(0, n, size)]
    parts = [function(*({k: v[cut] for k, v in side.items()} for side in sides)) for cut in cuts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def world_figures(
    pred: np.ndarray,
    true: np.ndarray,
    tracks: tuple[np.ndarray, np.ndarray],
    n_joints: int = 24,
) -> dict[str, np.ndarray]:
    """Returns WHAM's and SLAHMR's errors of motion in the world, frame by frame of a sequence.

    >>> points = np.random.default_rng(0).normal(0, 300, (5, 28, 3))
    >>> found = world_figures(points, points, (points[:, 0], points[:, 0]))
    >>> float(found["WA-MPJPE_mm"].max().round(6)), found["foot-sliding_mm"].shape
    (0.0, (4, 4))

    Args:
        pred: Joints, then points of the feet, ``[T, n_joints + P, 3]``, millimetres.
        true: Likewise; feet stand still where they move less than 10 mm from frame to frame.
        tracks: Predicted and true path of the root, ``[T, 3]`` each.
        n_joints: Number of joints.
    """
    cuts = slice(n_joints), slice(n_joints, None)
    joints, feet = ([side[:, cut] for side in (pred, true)] for cut in cuts)
    return {
        "W-MPJPE_mm": w_errors(*joints),
        "WA-MPJPE_mm": wa_errors(*joints),
        "RTE_percent": rte_percent(*tracks),
        "foot-sliding_mm": foot_sliding(*feet, threshold=10),
    }


def limb_figures(figures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the shares that PosePile's evaluations of SMPL's joints print, in percent.

    They are of 12 joints of the limbs: within 50 mm; area up to 199 mm in 50 bins; poses of which
    none is further than 125 mm after Procrustes.

    >>> errors = {"MPJPE_mm": np.full((2, 24), 60.0), "PA-MPJPE_mm": np.full((2, 24), 40.0)}
    >>> [float(values.mean()) for values in limb_figures(errors).values()]
    [0.0, 69.0, 100.0]

    Args:
        figures: ``MPJPE_mm`` and ``PA-MPJPE_mm`` ``[n, 24]``.
    """
    errors, fitted = (figures[name][:, SMPL_LIMBS] for name in ("MPJPE_mm", "PA-MPJPE_mm"))
    return {
        "PCK50_percent": 100 * hits(errors, 50),
        "AUC50_percent": 100 * area_in_bins(errors),
        "NCPS125_percent": 100 * hits(worst_errors(fitted), 125),
    }

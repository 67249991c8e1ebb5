"""Joints of SMPL beside the 25 key points of OpenPose (BODY_25), as two datasets have them.

Key points have the suffix ``_coco``; ``lfoo`` and ``rfoo`` are big toes and ``ltoe`` and ``rtoe``
small toes among them. The pelvis comes last in both groups. Lengths are millimetres.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from posepile.bodies import models
from posepile.bodies.joints import SMPL_JOINT_NAMES

# In OpenPose's order.
BODY25_NAMES = (
    "nose,neck,rsho,relb,rwri,lsho,lelb,lwri,pelv,rhip,rkne,rank,lhip,lkne,lank,reye,leye,rear,"
    "lear,lfoo,ltoe,lhee,rfoo,rtoe,rhee"
).split(",")
_LIMBS = [BODY25_NAMES.index(s + j) for s in "rl" for j in "sho elb wri hip kne ank".split()]
_SMPL_LIMBS = [SMPL_JOINT_NAMES.index(BODY25_NAMES[j]) for j in _LIMBS]
_SMPL_ORDER = [*range(1, 24), 0]
_BODY25_ORDER = [*range(8), *range(9, 25), 8]
JOINT_NAMES = [SMPL_JOINT_NAMES[j] for j in _SMPL_ORDER]
JOINT_NAMES += [f"{BODY25_NAMES[j]}_coco" for j in _BODY25_ORDER]
_EDGES = "nose-neck-pelv-rhip-rkne-rank-rfoo-rtoe,rank-rhee,nose-reye-rear,neck-rsho-relb-rwri"
EDGES = "head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri-rhan,"
EDGES += re.sub(r"\w+", r"\g<0>_coco", _EDGES)
NO_MODEL = "no joints of the body, since the SMPL file was not found"
FAR_OFF = "no joints and parameters of the body, which was fitted elsewhere than its key points"
UNCHECKED = "fit of the body that was not checked, since key points are missing"


def clean_points(points: np.ndarray) -> np.ndarray:
    """Returns key points ``[..., 3]`` with NaN for those that are zero or have an unknown number.

    >>> clean_points([[0, 0, 0], [1, 0, 2]])[:, 0].tolist()
    [nan, 1.0]
    """
    points = np.array(points, np.float64)
    points[~points.any(axis=-1) | ~np.isfinite(points).all(axis=-1)] = np.nan
    return points


def fitted(
    root: Path, gender: str, params: Mapping | None, points: np.ndarray, limit: float
) -> tuple[np.ndarray, str, float]:
    """Returns both groups of joints as they are packed, and whether they belong together.

    >>> joints, note, apart = fitted(folder, "male", None, np.ones((1, 25, 3)), limit=100)
    >>> joints.shape, note == NO_MODEL, apart
    ((1, 49, 3), True, nan)

    Args:
        root: Raw folder, see :func:`posepile.bodies.models.models_below`.
        gender: As of :func:`posepile.bodies.models.body_joints`.
        params: Fits as there, or None if there are none. Poses of SMPL-H are taken without the
            hands, which for SMPL are two joints that stay as they are.
        points: Key points ``[n, 25, 3]`` in OpenPose's order, mm, NaN = missing.
        limit: Fits that are further from their key points than this are left out.

    Returns:
        Joints ``[n, 49, 3]``; what users must know of them; and how far joints of limbs are from
        key points of that name, in the median: NaN if there is no pair.
    """
    if params is not None and np.shape(params["pose"])[-1] == 156:
        pose = np.array(params["pose"])[..., :72]
        pose[..., 66:] = 0
        params = {**params, "pose": pose}
    smpl = None if params is None else _model_joints(root, gender, params)
    apart = np.nan if smpl is None else _limbs_apart(smpl, points)
    note = NO_MODEL if smpl is None else FAR_OFF if apart > limit else ""
    body = np.full((*points.shape[:-2], 24, 3), np.nan) if note else smpl
    if np.isnan(apart):
        note = note or UNCHECKED
    both = body[..., _SMPL_ORDER, :], points[..., _BODY25_ORDER, :]
    return np.concatenate(both, axis=-2).astype(np.float32), note, apart


def _model_joints(root: Path, gender: str, params: Mapping) -> np.ndarray | None:
    # Joints [n, 24, 3] of SMPL, or None if the model file is not on the disk.
    place = {"models_root": models.models_below(root)}
    if models.find_body_model("smpl", gender, **place) is None:
        return None
    return 1000 * models.body_joints("smpl", gender, params, **place).astype(np.float64)


def _limbs_apart(smpl: np.ndarray, points: np.ndarray) -> float:
    limbs = smpl[..., _SMPL_LIMBS, :] - points[..., _LIMBS, :]
    off = np.linalg.norm(limbs, axis=-1)
    off = off[np.isfinite(off)]
    return float(np.median(off)) if off.size else np.nan

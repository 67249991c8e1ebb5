"""Joints and kinematic trees of the SMPL family, as data."""

from __future__ import annotations

import numpy as np

_BODY = (
    "pelv,lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,"
    "lsho,rsho,lelb,relb,lwri,rwri"
).split(",")
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_HANDS = [f"{side}{finger}{k}" for side in "lr" for finger in _FINGERS for k in (1, 2, 3)]

SMPL_JOINT_NAMES = (*_BODY, "lhan", "rhan")
SMPLH_JOINT_NAMES = (*_BODY, *_HANDS)
SMPLX_JOINT_NAMES = (*_BODY, "jaw", "leye", "reye", *_HANDS)

# What the smplx library gives: eyes are those on the surface, which it appends like toes and tips
# of fingers, hence other names for the eyeballs. 51 landmarks of the face follow.
SMPLX_OUTPUT_NAMES = (
    *(*_BODY, "jaw", "leyehf", "reyehf", *_HANDS),
    *"nose,reye,leye,rear,lear,lto2,lto3,lhee,rto2,rto3,rhee".split(","),
    *(f"{side}{tip}" for side in "lr" for tip in ("thu", "index", "middle", "ring", "pinky")),
)

# Vertices of SMPL-X that it takes for those behind the joints of the model.
SMPLX_SURFACE_VERTICES = (
    *(9120, 9929, 9448, 616, 6, 5770, 5780, 8846, 8463, 8474, 8635),
    *(5361, 4933, 5058, 5169, 5286, 8079, 7669, 7794, 7905, 8022),
)
# 21 points of each hand in OpenPose's order: wrist, then thumb, index, middle, ring and little
# finger, each with its tip. Below 55 they are joints of SMPL-X, else vertices.
SMPLX_HANDS = (
    (20, 37, 38, 39, 5361, 25, 26, 27, 4933, 28, 29, 30, 5058, 34, 35, 36, 5169, 31, 32, 33, 5286),
    (21, 52, 53, 54, 8079, 40, 41, 42, 7669, 43, 44, 45, 7794, 49, 50, 51, 7905, 46, 47, 48, 8022),
)
SMPLX_LANDMARK_NAMES = (
    *(*(f"reyebrow{k}" for k in (1, 2, 3, 4, 5)), *(f"leyebrow{k}" for k in (5, 4, 3, 2, 1))),
    *"nose1,nose2,nose3,nose4,rnose2,rnose1,nosemiddle,lnose1,lnose2".split(","),
    *(*(f"reye{k}" for k in (1, 2, 3, 4, 5, 6)), *(f"leye{k}" for k in (4, 3, 2, 1, 6, 5))),
    *"rmouth1,rmouth2,rmouth3,mouthtop,lmouth3,lmouth2,lmouth1,lmouth5,lmouth4".split(","),
    *"mouthbottom,rmouth4,rmouth5,rlip1,rlip2,toplip,llip2,llip1,llip3,bottomlip,rlip3".split(","),
)

_BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)


def _hand_parents(wrist: int, first: int) -> tuple[int, ...]:
    return tuple(p for f in range(5) for p in (wrist, first + 3 * f, first + 3 * f + 1))


# Parent of every joint, always one that comes before it; -1 = the root.
SMPL_PARENTS = (*_BODY_PARENTS, 20, 21)
# Where the part of the body ends that begins at a joint: at its one child, else itself.
SMPL_PART_ENDS = tuple(
    SMPL_PARENTS.index(j) if SMPL_PARENTS.count(j) == 1 else j for j in range(24)
)
SMPLH_PARENTS = (*_BODY_PARENTS, *_hand_parents(20, 22), *_hand_parents(21, 37))
SMPLX_PARENTS = (*_BODY_PARENTS, 15, 15, 15, *_hand_parents(20, 25), *_hand_parents(21, 40))

JOINT_NAMES = {"smpl": SMPL_JOINT_NAMES, "smplh": SMPLH_JOINT_NAMES, "smplx": SMPLX_JOINT_NAMES}
PARENTS = {"smpl": SMPL_PARENTS, "smplh": SMPLH_PARENTS, "smplx": SMPLX_PARENTS}

# Joints of every kind of body model: that many rotation vectors make a pose.
N_JOINTS = {"smpl": 24, "smplh": 52, "smplh16": 52, "smplx": 55, "smplxlh": 55, "smplxmoyo": 55}
GENDERS = ("male", "female", "neutral")


def global_rotations(pose: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    """Returns the rotation of every joint in the world, float64 ``[..., J, 3, 3]``.

    >>> global_rotations(np.zeros((7, 72)), SMPL_PARENTS).shape
    (7, 24, 3, 3)

    Args:
        pose: Rotation vectors relative to the parent joint, ``[..., J, 3]`` or ``[..., 3J]``.
        parents: Parent of every joint.
    """
    from scipy.spatial.transform import Rotation

    pose = np.asarray(pose, np.float64)
    n = len(parents)
    leading = pose.shape[:-2] if pose.shape[-2:] == (n, 3) else pose.shape[:-1]
    local = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*leading, n, 3, 3)
    rotations = local.copy()
    for j, parent in enumerate(parents):
        if parent >= 0:
            rotations[..., j, :, :] = rotations[..., parent, :, :] @ local[..., j, :, :]
    return rotations

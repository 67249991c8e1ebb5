"""What the published texts leave open about the 54 landmarks, decided on the data.

* Landmarks 0..51 are the SMPL-H joints in the model's order: the distance from a joint to its
  parent is then the same in all frames of an identity.
* The spliced pose really is the pose of the landmarks: turned back by the parent's rotation, every
  bone is then the same vector in all frames of an identity.
* Landmarks 52, 53 are the two eyes: in the frame of the head they are then two constant,
  mirror-symmetric points in front of it, and which of them is the left one can be seen.
* Which way is up.

Metres throughout; SMPL axes (x to the body's left, y up, z to the front) in the head's frame.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from posepile.bodies.joints import SMPLH_JOINT_NAMES, SMPLH_PARENTS
from posepile.errors import CorruptInput

N_JOINTS = 52
NECK, HEAD, ANKLES = 12, 15, (7, 8)
RIGID_SPREAD = 1e-3
EYE_SYMMETRY = 5e-3
EYE_HALF_DISTANCE = (0.015, 0.06)


def bone_spread(landmarks: np.ndarray) -> tuple[float, int]:
    """Returns the largest change of a bone's length over the frames of one identity.

    Args:
        landmarks: ``[n, 54, 3]`` metres, n frames.

    Returns:
        (largest minus smallest length in metres of the worst bone, index of its child joint);
        (0, 1) for a single frame, from which nothing can be said.
    """
    children = np.arange(1, N_JOINTS)
    parents = np.array(SMPLH_PARENTS[1:])
    lengths = np.linalg.norm(landmarks[:, children] - landmarks[:, parents], axis=-1)
    spread = np.ptp(lengths, axis=0)
    worst = int(np.argmax(spread))
    return float(spread[worst]), worst + 1


def check_bones(landmarks: np.ndarray, where: str) -> float:
    """Makes sure that landmarks 0..51 are SMPL-H joints in order; returns the spread in metres.

    Raises:
        CorruptInput: Some bone is not rigid.
    """
    spread, child = bone_spread(landmarks)
    if not spread < RIGID_SPREAD:
        parent = SMPLH_JOINT_NAMES[SMPLH_PARENTS[child]]
        raise CorruptInput(
            where,
            f"the distance of landmark {child} ({SMPLH_JOINT_NAMES[child]}) from its parent "
            f"{parent} changes by {1000 * spread:.1f} mm over {len(landmarks)} frames (expected "
            f"< {1000 * RIGID_SPREAD:.0f} mm): landmarks 0..51 are not the SMPL-H joints in order",
            hint="the joint order this recipe assumes does not hold for these files",
        )
    return spread


def global_rotations(poses: np.ndarray) -> np.ndarray:
    """Rotation of every joint in the world: ``[n, 52, 3, 3]`` from ``[n, 156]`` vectors."""
    n = len(poses)
    local = np.array([cv2.Rodrigues(v)[0] for v in poses.reshape(-1, 3).astype(np.float64)])
    local = local.reshape(n, N_JOINTS, 3, 3)
    rotations = local.copy()
    for j in range(1, N_JOINTS):
        rotations[:, j] = rotations[:, SMPLH_PARENTS[j]] @ local[:, j]
    return rotations


def pose_residual(landmarks: np.ndarray, rotations: np.ndarray) -> tuple[float, int]:
    """How far the landmarks are from being moved by the pose, over the frames of one identity.

    Args:
        landmarks: ``[n, 54, 3]`` metres.
        rotations: ``[n, 52, 3, 3]`` of :func:`global_rotations`.

    Returns:
        (largest distance in metres of a turned-back bone from its mean over the frames, index of
        that bone's child joint).
    """
    parents = np.array(SMPLH_PARENTS[1:])
    bones = landmarks[:, 1:N_JOINTS] - landmarks[:, parents]
    rest = np.einsum("njba,njb->nja", rotations[:, parents], bones)
    off = np.linalg.norm(rest - rest.mean(axis=0), axis=-1).max(axis=0)
    worst = int(np.argmax(off))
    return float(off[worst]), worst + 1


def find_eyes(landmarks: np.ndarray, rotations: np.ndarray) -> tuple[tuple[int, int] | None, str]:
    """Identifies landmarks 52 and 53 over the frames of one identity.

    Args:
        landmarks: ``[n, 54, 3]`` metres.
        rotations: ``[n, 52, 3, 3]``.

    Returns:
        ((index of the left eye, index of the right eye), description), or (None, why not).
    """
    from_joints = np.linalg.norm(
        landmarks[:, N_JOINTS:, None] - landmarks[:, None, :N_JOINTS], axis=-1
    )
    spread = np.ptp(from_joints, axis=0)  # [2, 52]
    nearest = [SMPLH_JOINT_NAMES[int(j)] for j in np.argmin(spread, axis=1)]
    if len(landmarks) > 1 and np.max(spread[:, HEAD]) >= RIGID_SPREAD:
        return None, (
            f"landmarks 52, 53 are not rigid with the head (change by "
            f"{1000 * np.max(spread[:, HEAD]):.1f} mm); steadiest with {' and '.join(nearest)}"
        )
    in_head = np.einsum(
        "nba,nkb->nka", rotations[:, HEAD], landmarks[:, N_JOINTS:] - landmarks[:, None, HEAD]
    )
    if np.max(np.ptp(in_head, axis=0)) >= 2 * EYE_SYMMETRY:
        return None, "landmarks 52, 53 keep their distance from the head but do not turn with it"
    a, b = in_head.mean(axis=0)
    low, high = EYE_HALF_DISTANCE
    mirrored = np.max(np.abs(a - b * (-1, 1, 1))) < EYE_SYMMETRY
    if not (mirrored and low < abs(a[0]) < high and a[2] > 0):
        return None, (
            "landmarks 52, 53 are rigid with the head but no mirrored pair of eyes: at "
            f"{np.round(1000 * a)} and {np.round(1000 * b)} mm from joint head (x left, z front)"
        )
    order = (52, 53) if a[0] > 0 else (53, 52)
    return order, f"landmarks {order[0]}, {order[1]} are the left and the right eye"


def estimate_up(landmarks: Iterable[np.ndarray]) -> tuple[tuple[int, int, int] | None, float]:
    """Estimates the up direction from many samples.

    Args:
        landmarks: ``[n, 54, 3]`` arrays, metres.

    Returns:
        (axis as a unit vector, share): the mean of (neck - middle of ankles), each of length one,
        snapped to an axis; None where no axis dominates.
    """
    towards = np.concatenate([p[:, NECK] - p[:, ANKLES].mean(axis=1) for p in landmarks])
    mean = (towards / np.linalg.norm(towards, axis=-1, keepdims=True)).mean(axis=0)
    axis = int(np.argmax(np.abs(mean)))
    share = float(np.abs(mean[axis]))
    # Lying and bent-over bodies shorten the mean, but only within the symmetric horizontal plane.
    if share < 0.3 or share < 2 * float(np.sort(np.abs(mean))[1]):
        return None, share
    up = [0, 0, 0]
    up[axis] = int(np.sign(mean[axis]))
    return tuple(up), share


def check_up(
    landmarks: list[np.ndarray], declared: tuple[float, float, float], where: str
) -> float:
    """Compares the estimate with the declared up direction; returns the estimate's share.

    Raises:
        CorruptInput: The data clearly say another direction.
    """
    up, share = estimate_up(landmarks)
    if up is not None and up != tuple(declared) and sum(map(len, landmarks)) >= 20:
        raise CorruptInput(
            where,
            f"the bodies stand along {up}, but {tuple(declared)} is declared as up",
            hint="set WORLD_UP in posepile/ds/synthego/main.py to what the data say",
        )
    return share

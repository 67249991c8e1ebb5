"""An actor that moves: a skeleton, or parameters and surface of an SMPL-like body.

The kinematics are written out here in plain numpy, for readers to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from posepile.miniature.skeleton import FIXED_TO, PARENTS, REST, TURNING

# Turns the actor's axes (x left, y up, z front) into those of a world with this axis up.
_STANDING = {
    "y": np.eye(3),
    "-y": np.diag([1.0, -1, -1]),
    "z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
}


@dataclass(frozen=True)
class Motion:
    """Poses over time.

    Attributes:
        rotvecs: ``[n, 24, 3]`` axis-angle of the turning joints (SMPL order) relative to their
            parents, the pelvis relative to the world.
        positions: ``[n, 3]`` millimetres, of the pelvis in the world.
    """

    rotvecs: np.ndarray
    positions: np.ndarray


def move(
    n: int,
    seed: int = 0,
    *,
    up: str = "z",
    at: Sequence[float] = (0, 0, 0),
    turned: float = 0,
    step_mm: float = 38.0,
    swing: float = 0.22,
) -> Motion:
    """Returns an actor stepping to their left, one arm up and one down, limbs swinging.

    No pose is like its mirror image. From one frame to the next every joint moves by about
    ``step_mm``, hands and feet by some more; of the frames, motion-adaptive selection at 100 mm
    keeps about half.

    >>> motion = move(12, up="-y", at=(0, 0, 4000))
    >>> pose_skeleton(motion, ["pelv"]).shape
    (12, 1, 3)

    Args:
        n: Number of frames.
        seed: Of the small differences between actors.
        up: Axis of the world that points up: ``y``, ``-y`` or ``z``.
        at: Where the pelvis is in the middle of the motion, millimetres.
        turned: Degrees by which the actor is turned to their left from where they would face
            without: along z of the world (``up`` = ``y``), -z (``-y``), -y (``z``).
        step_mm: Sideways, per frame.
        swing: Radians by which limbs swing.
    """
    rng = np.random.default_rng(seed)
    phase, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.30, 0.36)
    i = np.arange(n)
    wave, other = np.sin(pace * i + phase), np.cos(pace * i + phase)
    turns = {
        "lhip": (-0.10 + 0.3 * swing * wave, 0, 0.22),
        "rhip": (-0.45 + 0.6 * swing * other, 0, -0.30),
        "lkne": (0.15, 0, 0),
        "rkne": (0.55 + 0.8 * swing * wave, 0, 0),
        "spin": (0, 0.08 + 0.2 * swing * wave, 0.04),
        "head": (0.05, 0.25 + 0.5 * swing * other, 0),
        "lsho": (0, -0.30, 0.55 + swing * wave),
        "rsho": (0, 0.45, 0.85 + swing * other),
        "lelb": (0, -0.15, 0.55 + swing * other),
        "relb": (0, 0.75 + swing * wave, -0.20),
        "lwri": (0, 0, 0.15),
    }
    rotvecs = np.zeros((n, len(TURNING), 3))
    for name, turn in turns.items():
        for axis, angle in enumerate(turn):
            rotvecs[:, TURNING.index(name), axis] = angle
    rotvecs[:, 1:] += rng.normal(0, 0.015, (1, len(TURNING) - 1, 3))
    standing = _STANDING[up] @ matrix([0, np.radians(turned), 0])
    for k in range(n):
        rotvecs[k, 0] = rotvec(standing @ matrix([0, 0.10 * wave[k], 0]))
    along = np.stack([i - (n - 1) / 2, 0.15 * wave, 0.2 * i], axis=1) * step_mm
    positions = along @ standing.T + np.asarray(at, float)
    return Motion(rotvecs, positions)


def pose_skeleton(
    motion: Motion,
    names: Sequence[str],
    height: float = 1.0,
    more: Mapping[str, tuple[np.ndarray, str]] | None = None,
) -> np.ndarray:
    """Returns joints of a moving actor.

    >>> pose_skeleton(move(12), ["pelv", "head", "lwri"]).shape
    (12, 3, 3)

    Args:
        motion: As :func:`move` gives it.
        names: Joints; a name that the skeleton lacks gives NaN.
        height: Factor on the size of the actor.
        more: Further points: name -> where it is at rest and the joint that turns it, such as
            :data:`posepile.miniature.details.DETAILS`.

    Returns:
        ``[n, J, 3]`` millimetres, world coordinates.
    """
    rest = np.array([REST[name] for name in TURNING]) * 1000 * height
    places = {**(more or {}), **{n: (REST[n], FIXED_TO.get(n, n)) for n in names if n in REST}}
    joints = np.full((len(motion.positions), len(names), 3), np.nan)
    for k, (rotvecs, position) in enumerate(zip(motion.rotvecs, motion.positions, strict=True)):
        posed, rotations = pose_tree(rest, PARENTS, rotvecs)
        for j, name in enumerate(names):
            if name in places:
                at, to = places[name]
                holder = TURNING.index(to)
                offset = at * 1000 * height - rest[holder]
                joints[k, j] = posed[holder] + rotations[holder] @ offset + position
    return joints


def body_rotvecs(motion: Motion, k: int, n_joints: int) -> np.ndarray:
    """Returns pose ``k`` for a body model of so many joints: axis-angle ``[n_joints, 3]``.

    SMPL has 24 joints; SMPL-H (52) and SMPL-X (55) share 22 of them, the others stay as they are.

    >>> body_rotvecs(move(12), 3, 24).shape
    (24, 3)
    """
    rotvecs = np.zeros((n_joints, 3))
    shared = 24 if n_joints == 24 else 22
    rotvecs[:shared] = motion.rotvecs[k, :shared]
    return rotvecs


def pose_tree(
    rest: np.ndarray, parents: Sequence[int], rotvecs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics of one pose.

    >>> rest = np.array([[0.0, 0, 0], [0, 0, 1]])
    >>> joints, rotations = pose_tree(rest, [-1, 0], np.array([[np.pi / 2, 0, 0], [0, 0, 0]]))
    >>> joints.round(6).tolist()[1], rotations.shape
    ([0.0, -1.0, 0.0], (2, 3, 3))

    Args:
        rest: ``[J, 3]`` joints of the rest pose; the root stays where it is.
        parents: Parent of each joint, lower than itself; -1 for the root.
        rotvecs: ``[J, 3]`` axis-angle relative to the parent.

    Returns:
        Joints ``[J, 3]`` and their rotations relative to the rest pose ``[J, 3, 3]``.
    """
    joints, rotations = np.array(rest, float), np.empty((len(parents), 3, 3))
    for j, p in enumerate(parents):
        rotations[j] = matrix(rotvecs[j])
        if p >= 0:
            rotations[j] = rotations[p] @ rotations[j]
            joints[j] = joints[p] + rotations[p] @ (rest[j] - rest[p])
    return joints, rotations


def pose_body(
    model: dict[str, np.ndarray],
    rotvecs: np.ndarray,
    betas: np.ndarray,
    trans: np.ndarray | None = None,
    expression: np.ndarray | None = None,
    *,
    vertices: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Poses a body model as its official implementation does, in the unit of the model (metres).

    >>> from posepile.miniature.bodies import make_model
    >>> joints, vertices = pose_body(make_model("smpl"), np.zeros((24, 3)), np.zeros(10))
    >>> joints.shape, vertices.shape
    ((24, 3), (330, 3))

    Args:
        model: As :func:`posepile.miniature.bodies.make_model` gives it.
        rotvecs: ``[J, 3]`` axis-angle; where the stored hand pose is relative to the mean hand
            pose, add ``hands_meanl`` and ``hands_meanr`` before.
        betas: Shape.
        trans: Added after posing.
        expression: SMPL-X: follows directly upon 10 shape components.
        vertices: Whether to compute them.

    Returns:
        Joints ``[J, 3]`` and vertices ``[V, 3]`` (or None).
    """
    m = {k: np.asarray(v, np.float64) for k, v in model.items() if k != "posedirs"}
    blend = np.zeros(m["shapedirs"].shape[2])
    blend[: len(betas)] = betas
    if expression is not None:
        blend[10 : 10 + len(expression)] = expression
    shaped = m["v_template"] + m["shapedirs"] @ blend
    rest = m["J_regressor"] @ shaped
    parents = m["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    joints, rotations = pose_tree(rest, parents, np.reshape(rotvecs, (-1, 3)))
    offset = np.zeros(3) if trans is None else np.asarray(trans, float)
    if not vertices:
        return joints + offset, None
    local = np.array([matrix(r) for r in np.reshape(rotvecs, (-1, 3))[1:]])
    bent, posedirs = shaped.copy(), np.asarray(model["posedirs"])
    bending = posedirs.any(axis=(1, 2))  # in a large model, few vertices do
    bent[bending] += posedirs[bending].astype(np.float64) @ (local - np.eye(3)).reshape(-1)
    moved = np.einsum("jab,vb->vja", rotations, bent)
    moved += joints - np.einsum("jab,jb->ja", rotations, rest)
    return joints + offset, np.einsum("vj,vja->va", m["weights"], moved) + offset


def matrix(rotation_vector: Sequence[float]) -> np.ndarray:
    """Returns the rotation matrix ``[3, 3]`` of an axis-angle vector.

    >>> matrix([0, 0, np.pi / 2]).round(6).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return cv2.Rodrigues(np.asarray(rotation_vector, np.float64).reshape(3, 1))[0]


def rotvec(rotation: np.ndarray) -> np.ndarray:
    """Returns the axis-angle vector ``[3]`` of a rotation matrix.

    >>> rotvec(matrix([0.0, 0.5, 0.0])).round(6).tolist()
    [0.0, 0.5, 0.0]
    """
    return cv2.Rodrigues(np.asarray(rotation, np.float64))[0].ravel()

"""What joints of moving bodies say about the labels, without a body model: order, pose, up."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from posepile.bodies.joints import JOINT_NAMES, PARENTS
from posepile.errors import CorruptInput


def check_bones(
    where: str | os.PathLike,
    joints: np.ndarray,
    rotations: np.ndarray,
    family: str,
    *,
    max_stretch: float,
    max_off: float,
) -> tuple[float, float]:
    """Makes sure that joints of one body are those of its kinematic tree, and posed by its pose.

    The length of every bone is then the same in all frames, and so is the bone itself once it is
    turned back by the rotation of its parent.

    >>> joints = np.tile(np.arange(24.0)[:, None], (5, 1, 3))
    >>> rotations = np.tile(np.eye(3), (5, 24, 1, 1))
    >>> check_bones("a.pkl", joints, rotations, "smpl", max_stretch=0.01, max_off=0.01)
    (0.0, 0.0)

    Args:
        where: File, for messages.
        joints: ``[n, J, 3]`` in any unit.
        rotations: Of the joints in the world ``[n, J, 3, 3]``, see
            :func:`posepile.bodies.joints.global_rotations`.
        family: ``smpl``, ``smplh`` or ``smplx``, whose joints these are, in that order.
        max_stretch: Largest change of a bone's length over the frames.
        max_off: Largest distance of a bone, turned back, from its mean over the frames.

    Returns:
        The largest change of a length and the largest distance found.

    Raises:
        CorruptInput: One of the two is larger than allowed. The message names the joint.
    """
    if not len(joints):
        return 0.0, 0.0
    above = np.array(PARENTS[family][1:])
    bones = joints[:, 1:] - joints[:, above]
    rest = np.einsum("njba,njb->nja", rotations[:, above], bones)
    stretch = np.ptp(np.linalg.norm(bones, axis=-1), axis=0)
    off = np.linalg.norm(rest - rest.mean(axis=0), axis=-1).max(axis=0)
    if not (stretch.max() <= max_stretch and off.max() <= max_off):
        k = int(np.argmax(off if stretch.max() <= max_stretch else stretch))
        child, parent = JOINT_NAMES[family][k + 1], JOINT_NAMES[family][above[k]]
        raise CorruptInput(
            where,
            f"the distance of joint {child} from its parent {parent} changes by {stretch[k]:.3g} "
            f"over {len(joints)} frames, and the pose puts it {off[k]:.3g} away; expected at most "
            f"{max_stretch:g} and {max_off:g}",
            hint="joints are in another order, or the pose is not that of these joints",
        )
    return float(stretch.max()), float(off.max())


def check_model_joints(
    where: str | os.PathLike,
    joints: np.ndarray,
    published: np.ndarray,
    limit_mm: float,
    frames: Sequence[int],
) -> float:
    """Returns how far joints of a posed body model are from the published ones at most, mm.

    >>> check_model_joints("a.pkl", np.ones((1, 24, 3)), np.ones((1, 24, 3)), 5, [8])
    0.0

    Args:
        where: File and person, for the message.
        joints: Of the model, ``[n, J, 3]`` millimetres.
        published: Likewise.
        limit_mm: Largest distance allowed.
        frames: Number of each of the n.

    Raises:
        CorruptInput: A joint is further off.
    """
    off = np.linalg.norm(np.asarray(joints, np.float64) - published, axis=-1)
    worst = float(off.max(initial=0))
    if worst > limit_mm:
        k, j = np.unravel_index(np.argmax(off), off.shape)
        raise CorruptInput(
            where,
            f"the body model puts joint {j} of frame {frames[k]} {worst:.1f} mm from its place in "
            f"the file; expected at most {limit_mm:g} mm",
            hint="gender, shape or translation are not of these joints, or the model file is "
            "another release",
        )
    return worst


def check_up(
    where: str | os.PathLike,
    towards_head: np.ndarray,
    world_up: Sequence[float],
    *,
    least: int = 20,
) -> None:
    """Makes sure that bodies stand along the declared up vector, where they clearly stand.

    >>> check_up("a.pkl", np.tile([0.1, -1.5, 0], (30, 1)), (0, -1, 0))
    >>> check_up("a.pkl", np.tile([0.1, -1.5, 0], (30, 1)), (0, 0, 1))
    Traceback (most recent call last):
    posepile.errors.CorruptInput: a.pkl: ...

    Args:
        where: File, for messages.
        towards_head: Of every body ``[n, 3]``, e.g. from the middle of its ankles to its neck.
        world_up: Unit vector along an axis of the world.
        least: Fewest bodies from which anything is concluded.

    Raises:
        CorruptInput: They stand along another axis.
    """
    towards = np.asarray(towards_head, np.float64)
    towards = towards[np.isfinite(towards).all(axis=-1)]
    if len(towards) < least:
        return
    mean = (towards / np.linalg.norm(towards, axis=-1, keepdims=True)).mean(axis=0)
    second, share = np.sort(np.abs(mean))[1:]
    axis = int(np.argmax(np.abs(mean)))
    up = np.eye(3)[axis] * np.sign(mean[axis])
    # Lying and bent-over bodies shorten the mean, but only within the symmetric horizontal plane.
    if share >= max(0.3, 2 * second) and not np.array_equal(up, world_up):
        raise CorruptInput(
            where,
            f"bodies stand along {up.astype(int).tolist()} (mean of {len(towards)}: "
            f"{np.round(mean, 2).tolist()}); expected along {list(world_up)}",
            hint="axes are not those that the recipe declares as world_up",
        )


def check_standing(
    where: str | os.PathLike, joints: np.ndarray, names: Sequence[str], world_up: Sequence[float]
) -> None:
    """Makes sure that heads are above the middle of the ankles, see :func:`check_up`.

    >>> joints = np.tile([[0, 1.5, 0], [-0.1, 0, 0], [0.1, 0, 0]], (5, 1, 1))
    >>> check_standing("a.c3d", joints, ["head", "lank", "rank"], (0, 1, 0))

    Args:
        where: File, for messages.
        joints: ``[..., J, 3]`` of some bodies, at least five; NaN = missing.
        names: Of the joints, ``head``, ``lank`` and ``rank`` among them.
        world_up: As for :func:`check_up`.

    Raises:
        CorruptInput: They stand along another axis.
    """
    head, *ankles = (list(names).index(name) for name in ("head", "lank", "rank"))
    upwards = joints[..., head, :] - joints[..., ankles, :].mean(axis=-2)
    check_up(where, upwards.reshape(-1, 3), world_up, least=5)

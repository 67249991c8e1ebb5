"""Checks of joints without a body model: planted faults are found and named."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posepile.bodies.checks import check_bones, check_up
from posepile.bodies.joints import SMPL_PARENTS, global_rotations
from posepile.errors import CorruptInput

LIMITS = {"max_stretch": 1, "max_off": 5}


def posed(seed=0, n=6):
    """Joints (mm) of a random skeleton in random poses, by the textbook, and the poses."""
    rng = np.random.default_rng(seed)
    pose, offsets = rng.normal(0, 0.6, (n, 24, 3)), rng.normal(0, 150, (24, 3))
    joints = np.zeros((n, 24, 3))
    for k in range(n):
        turns = []
        for j, parent in enumerate(SMPL_PARENTS):
            local = Rotation.from_rotvec(pose[k, j]).as_matrix()
            turns.append(local if parent < 0 else turns[parent] @ local)
            if parent >= 0:
                joints[k, j] = joints[k, parent] + turns[parent] @ offsets[j]
    return joints, pose


def test_joints_of_the_pose_pass():
    joints, pose = posed()
    rotations = global_rotations(pose, SMPL_PARENTS)
    stretch, off = check_bones("f", joints, rotations, "smpl", **LIMITS)
    assert max(stretch, off) < 1e-9


def swap(joints, pose):
    joints[:, [18, 4]] = joints[:, [4, 18]]


def turn(joints, pose):
    pose[2, 4, 0] += 0.8


def transpose(joints, pose):
    pose *= -1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (swap, r"a\.json: the distance of joint \w+ from its parent \w+ changes by \d+"),
        (turn, "joint (lank|ltoe) from its parent .*, and the pose puts it [1-9]"),
        (transpose, "the pose puts it"),
    ],
)
def test_faults_are_named(fault, message):
    joints, pose = posed()
    fault(joints, pose)
    rotations = global_rotations(pose, SMPL_PARENTS)
    with pytest.raises(CorruptInput, match=message):
        check_bones("a.json", joints, rotations, "smpl", **LIMITS)


def test_up():
    rng = np.random.default_rng(0)
    standing = np.array([0, 0, 1.4]) + rng.normal(0, 0.3, (30, 3))
    standing[3] = np.nan
    check_up("f", standing, (0, 0, 1))
    with pytest.raises(
        CorruptInput, match=r"f: bodies stand along \[0, 0, 1\] .* along \[0, 1, 0"
    ):
        check_up("f", standing, (0, 1, 0))
    with pytest.raises(CorruptInput, match="expected along"):
        check_up("f", standing, (0, 0, -1))
    check_up("f", standing[:15], (0, 1, 0))  # too few
    check_up("f", rng.normal(0, 1, (300, 3)), (0, 1, 0))  # lying anywhere


def test_a_stretched_bone_is_found_even_where_the_pose_allows_more():
    joints, pose = posed()
    hand = joints[3, 22] - joints[3, 20]
    joints[3, 22] += 3 * hand / np.linalg.norm(hand)
    rotations = global_rotations(pose, SMPL_PARENTS)
    with pytest.raises(CorruptInput, match="joint lhan from its parent lwri changes by 3 over 6"):
        check_bones("f", joints, rotations, "smpl", **LIMITS)
    stretch, off = check_bones("f", joints, rotations, "smpl", **(LIMITS | {"max_stretch": 4}))
    assert stretch == pytest.approx(3)
    assert off == pytest.approx(2.5)

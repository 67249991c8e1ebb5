"""Left and right, limbs of both sides, boxes of the joints' size, masks where the person is."""

import numpy as np
import pytest
import rlemasklib
from test_plausible import H36M, LIMBS, TURNS, pose

from posepile.errors import CorruptInput
from posepile.geometry.sides import CLEAR_MM, front
from posepile.joint_info import JointInfo
from posepile.miniature import actor
from posepile.stages.plausible import CheckParams, refuse_unfit
from posepile.stages.sides import refuse_wrong_sides
from posepile.stages.silhouettes import MASK_ELSEWHERE, check_masks, on_mask
from posepile.stages.views import box_fits, check_views

PARAMS = CheckParams()
NAMES = "pelv neck head lsho lelb lwri rsho relb rwri lhip lkne lank ltoe rhip rkne rank rtoe"
SMPL = JointInfo(NAMES.replace(" ", ","), "lhip-lkne-lank-ltoe")
INDEX = {name: j for j, name in enumerate(SMPL.names)}
BENT = {**TURNS, "bent over": {"lhip": (-2.0, 0, 0), "rhip": (-2.0, 0, 0), "pelv": (2.0, 0, 0)}}


@pytest.mark.parametrize("turns", BENT.values(), ids=BENT)
def test_whatever_people_do_they_have_a_front(turns):
    rng = np.random.default_rng(0)
    coords = pose(turns, 6, names=SMPL.names) @ actor.matrix([0.4, 2.0, -1.0]).T
    coords = coords + rng.normal(0, 15, coords.shape)
    assert (front(coords, INDEX) > CLEAR_MM).all()
    refuse_wrong_sides("a.mkv", coords, SMPL, PARAMS)
    mirrored = coords * np.array([-1, 1, 1])
    with pytest.raises(CorruptInput, match=r"a\.mkv: knees, toes or noses .* in 6 of 6 poses"):
        refuse_wrong_sides("a.mkv", mirrored, SMPL, PARAMS)


def test_nothing_is_said_of_straight_legs_and_of_few_poses():
    coords = pose(TURNS["standing"], 6)
    assert not front(coords, {name: j for j, name in enumerate(H36M.names)}).any()
    sitting = pose(TURNS["seated"], 6) * np.array([-1, 1, 1])
    refuse_wrong_sides("a.mkv", sitting[:2], H36M, PARAMS)
    sitting[:4] = np.nan
    refuse_wrong_sides("a.mkv", sitting, H36M, PARAMS)
    refuse_wrong_sides("a.mkv", np.zeros((0, 17, 3)), H36M, PARAMS)
    refuse_wrong_sides("a.mkv", np.zeros((5, 0, 3)), H36M, PARAMS)  # of parameters alone
    refuse_wrong_sides("a.mkv", np.zeros((5, 3, 3)), JointInfo("a,b,c"), PARAMS)


def test_crossed_legs_have_no_front():
    coords = np.full((5, len(SMPL.names), 3), np.nan)
    for side, x in (("l", 1), ("r", -1)):  # lotus: shins across, each ankle on the other thigh
        leg = {"hip": (90, -60, 0), "kne": (370, -110, 300), "ank": (-10, -30, 250)}
        for name, place in leg.items():
            coords[:, INDEX[side + name]] = np.array(place) * (x, 1, 1)
    assert not front(coords, INDEX).any()
    refuse_wrong_sides("a.mkv", coords, SMPL, PARAMS)


def test_some_poses_may_be_measured_badly():
    coords = pose(TURNS["crouching"], 10)
    coords[:8] *= np.array([-1, 1, 1])
    refuse_wrong_sides("a.mkv", coords, H36M, PARAMS)
    coords[8] *= np.array([-1, 1, 1])
    with pytest.raises(CorruptInput, match="in 9 of 10 poses; expected at most 80%"):
        refuse_wrong_sides("a.mkv", coords, H36M, PARAMS)
    refuse_wrong_sides("a.mkv", coords, H36M, CheckParams(max_backwards=1))


@pytest.mark.parametrize(
    "name", sorted(TURNS.keys() - {"tai-chi"})
)  # its arm is bent too far to tell
def test_joints_of_one_arm_are_not_exchanged(name):
    coords = pose(TURNS[name], 5)
    a, b = H36M.names.index("relb"), H36M.names.index("rwri")
    coords[:, [a, b]] = coords[:, [b, a]]
    with pytest.raises(CorruptInput, match=r"lsho-elb is 0\.\d+ times as long as rsho"):
        refuse_wrong_sides("a.mkv", coords, H36M, PARAMS)


PERSON = np.stack([500 + 8 * np.arange(17.0), 200 + 20 * np.arange(17.0)], axis=1)  # 128 x 320


@pytest.mark.parametrize(
    ("box", "expand", "low", "high"),
    [
        ((484, 184, 160, 352), 1, 0.99, 1),
        ((468, 149, 192, 422), 1.2, 0.97, 1),
        ((404, 8, 320, 704), 1, 0.2, 0.3),  # twice as large
        ((404, 8, 320, 704), 2, 0.99, 1),
        ((900, 184, 160, 352), 1, 0, 0),
    ],
)
def test_boxes_are_as_large_as_people(box, expand, low, high):
    partly = PERSON.copy()
    partly[3] = np.nan
    fits = box_fits([PERSON, partly], [box, box], expand)
    assert (low <= fits).all() and (fits <= high).all()


def test_people_are_whole_if_their_limbs_are_in_the_picture():
    box = np.float32([484, 184, 160, 352])
    below, hidden = PERSON + np.array([0, 700]), PERSON.copy()
    hidden[LIMBS[:3]] = np.nan
    people = [(PERSON, box), (below, box + np.float32([0, 700, 0, 0])), (hidden, box)]
    _, found = check_views(people, (1920, 1080), LIMBS, PARAMS)
    assert [whole for _, whole in found.values()] == [True, False, False]


def test_half_of_the_people_must_fit():
    refuse_unfit("a.mkv", [0.3, 0.5, 0.6], 0.4, "x", "y")
    refuse_unfit("a.mkv", [0.1, 0.1], 0.4, "x", "y")
    refuse_unfit("a.mkv", [], 0.4, "x", "y")
    with pytest.raises(CorruptInput, match=r"half of 3 people have at most 30% of x; .*check\.y"):
        refuse_unfit("a.mkv", [0.3, 0.5, 0.1], 0.4, "x", "y")


def silhouette(x, y, w, h, size=(90, 120)):
    pixels = np.zeros(size, np.uint8)
    pixels[y : y + h, x : x + w] = 1
    return rlemasklib.encode(np.asfortranarray(pixels))


def test_points_on_a_mask_are_those_of_the_pixels():
    pixels = np.random.default_rng(3).random((9, 13)) > 0.6
    mask = rlemasklib.encode(np.asfortranarray(pixels.astype(np.uint8)))
    y, x = np.mgrid[:9, :13]
    found = on_mask(np.stack([x.ravel(), y.ravel()], axis=1), mask, 0)
    assert (found.reshape(9, 13) == pixels).all()
    far = np.array([[-3.0, 4.0], [50.0, 4.0]])
    assert (on_mask(far, mask, 0) == pixels[4, [0, 12]]).all()


def test_masks_are_in_boxes_and_around_joints():
    joints = np.stack([np.full(5, 30.0), np.linspace(20, 60, 5)], axis=1)
    box = np.array([20, 10, 20, 60], np.float32)
    mine, others = silhouette(22, 12, 16, 50), silhouette(70, 12, 16, 50)
    behind, empty = silhouette(20, 10, 20, 5), silhouette(0, 0, 0, 0)
    people = [(joints, box, m) for m in (mine, others, behind, empty, None)]
    faults, shares = check_masks([*people, (None, box, mine)], PARAMS)
    assert {i: reason for i, (reason, _) in faults.items()} == {1: MASK_ELSEWHERE}
    assert faults[1][1] == "the mask at [70, 12, 16, 50] and the box [20, 10, 20, 60] share 0%"
    assert shares == [1.0, 0.0]

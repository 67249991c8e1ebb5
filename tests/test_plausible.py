"""The check of every selected person-frame: what people do passes, what cannot be does not."""

import json
import re
import struct

import numpy as np
import pytest
from aspset_kit import plain_c3d
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_kit import copy_raw, crop_units

from posepile.config import load_config
from posepile.ds import dataset_names, load_recipe
from posepile.errors import CorruptInput
from posepile.joint_info import JointInfo
from posepile.miniature import actor
from posepile.recipe import Track
from posepile.stages import examples, plausible, poses, views
from posepile.stages.limbs import Bones
from posepile.stages.plausible import CheckParams, refuse_if_many
from posepile.stages.poses import check_poses
from posepile.stages.select import Selected
from posepile.stages.views import check_views

H36M = load_recipe("h36m").SPEC.joint_info
TURNS = {  # joint -> axis-angle; the actor looks along z, y is up, x is their left
    "standing": {},
    "lying": {"pelv": (-1.57, 0, 0)},
    "on their hands": {"pelv": (3.14, 0, 0), "lsho": (0, 0, 1.5), "rsho": (0, 0, -1.5)},
    "seated": {
        "lhip": (-1.6, 0, 0), "rhip": (-1.6, 0, 0), "lkne": (1.6, 0, 0), "rkne": (1.6, 0, 0),
    },
    "crouching": {
        "lhip": (-2.3, 0, 0), "rhip": (-2.3, 0, 0), "lkne": (2.6, 0, 0), "rkne": (2.6, 0, 0),
        "bell": (0.6, 0, 0), "spin": (0.6, 0, 0), "neck": (0.6, 0, 0),
    },
    "tai-chi": {
        "lhip": (-1.3, 0.6, 0.9), "rhip": (-0.5, 0, -0.2), "lkne": (0.4, 0, 0),
        "rkne": (1.1, 0, 0),
        "lsho": (0, -1.4, 0.3), "rsho": (0, 0.9, 1.2), "lelb": (0, -1.1, 0), "relb": (0, 2.0, 0),
    },
    "somersault": {
        "pelv": (2.2, 1.1, 0), "lhip": (-2.5, 0, 0), "rhip": (-2.5, 0, 0), "lkne": (2.4, 0, 0),
        "rkne": (2.4, 0, 0), "bell": (0.7, 0, 0), "spin": (0.5, 0, 0), "thor": (0.5, 0, 0),
    },
}  # fmt: skip


def pose(turns, n=1, height=1.0, names=H36M.names):
    """Joints ``[n, J, 3]`` of the studio's actor, who is 1.74 m tall, on their way."""
    rotvecs = np.zeros((n, len(actor.TURNING), 3))
    for name, turn in turns.items():
        rotvecs[:, actor.TURNING.index(name)] = turn
    along = np.outer(np.arange(n), [180.0, 30, 0]) + np.array([500, 900, 4000])
    return actor.pose_skeleton(actor.Motion(rotvecs, along), names, height)


def faults(coords, joint_info=H36M, **keys):
    return check_poses(coords, joint_info, CheckParams(), **keys)


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("metres", [0.8, 1.74, 2.2])
def test_people_may_do_what_they_like(turns, metres):
    assert faults(pose(turns, 5, metres / 1.74)) == {}


def test_all_of_it_in_one_sequence():
    poses = np.concatenate([pose(turns) for turns in TURNS.values()])
    assert faults(poses) == {}


@pytest.mark.parametrize("name", ["amarv", "egoexo4d", "genebody", "panoptic", "surreal"])
def test_skeletons_of_datasets_have_bones_of_human_length(name):
    joint_info = load_recipe(name).SPEC.joint_info
    coords = pose(TURNS["tai-chi"], 4, names=[n.split("_")[0] for n in joint_info.names])
    assert np.isfinite(coords).mean() > 0.3
    assert faults(coords, joint_info) == {}


DATASETS = sorted(n for n in dataset_names() if load_recipe(n).SPEC.kind == "3d")


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("one_person", [True, False])
def test_whole_tracks_are_of_human_stature(name, one_person):
    joint_info = load_recipe(name).SPEC.joint_info
    names = [n.split("_")[0] for n in joint_info.names]

    def found(metres):
        coords = pose(TURNS["tai-chi"], 6, metres / 1.74, names=names)
        coords += np.random.default_rng(0).normal(0, 3 * metres, coords.shape)
        coords[2] = np.nan
        return faults(coords, joint_info, one_person=one_person)

    assert found(0.8) == found(2.2) == found(1.74) == {}
    for metres in (0.5, 3.0, 0.3 * 1.74):
        reasons = found(metres)
        assert set(reasons) == {0, 1, 3, 4, 5}
        assert {reason for reason, _ in reasons.values()} == {poses.STATURE}
    text = r"arms and legs are those of somebody of 2\.[89] m, expected 0\.59 to 2\.5"
    assert re.fullmatch(text, found(3.0)[0][1])


def test_children_have_short_legs():
    coords = pose({}, 5, 0.8 / 1.74)
    for side in "lr":
        hip, knee, ankle = (H36M.names.index(side + n) for n in ("hip", "kne", "ank"))
        coords[:, ankle] += 0.2 * (coords[:, hip] - coords[:, ankle])
        coords[:, knee] += 0.2 * (coords[:, hip] - coords[:, knee])
    assert faults(coords) == {}


def test_an_arm_alone_has_no_stature():
    coords = pose({}, 5, 3 / 1.74)
    legs = [j for j, n in enumerate(H36M.names) if n[1:] in ("hip", "kne", "ank")]
    assert {reason for reason, _ in faults(coords).values()} == {poses.STATURE}
    coords[:, legs] = np.nan
    assert len(faults(coords)) == 5  # two arms do
    coords[:, H36M.names.index("lwri")] = np.nan
    assert faults(coords) == {}


def shift(joint, by):
    def change(coords):
        coords[7, joint] += by

    return change


def flip_exponent(coords):
    value = np.float32(coords[7, 3, 2])
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    coords[7, 3, 2] = struct.unpack("<f", struct.pack("<I", bits ^ (1 << 29)))[0]


@pytest.mark.parametrize(
    ("change", "reason", "text"),
    [
        (lambda c: np.copyto(c, c / 1000), poses.ONE_PLACE, "within 1.5 mm"),
        (
            lambda c: np.copyto(c, c / 10),
            poses.BONE_LENGTH,
            "rsho-relb is 27 mm long, expected 65 to 642",
        ),
        (lambda c: np.copyto(c, c * 25.4), poses.BONE_LENGTH, "mm long, expected"),
        (lambda c: np.copyto(c, c * 1000), poses.FAR, "a coordinate is 4"),
        (lambda c: c.__setitem__((7, 3, 2), -2.9e21), poses.FAR, "is 2.9e+21 mm"),
        (lambda c: c.__setitem__((7, 3, 2), np.inf), poses.INFINITE, "infinite"),
        (shift(7, [0, 700, 0]), poses.BONE_CHANGE, "in the median of the track"),
        (shift(2, [0, -700, 0]), poses.BONE_LENGTH, "rkne-rank is"),
        (flip_exponent, poses.FAR, "e+22 mm"),
        (lambda c: np.copyto(c, c[:, ::-1].copy()), poses.BONE_LENGTH, "mm long"),
    ],
    ids="metres centimetres inches 1000x far infinite head leg exponent order".split(),
)
def test_what_cannot_be(change, reason, text):
    coords = pose(TURNS["tai-chi"], 20)
    assert faults(coords) == {}
    before = coords.copy()
    change(coords)
    found = faults(coords)
    assert set(found) == set(np.flatnonzero((coords != before).any(axis=(1, 2))))
    assert found[7][0] == reason and text in found[7][1], found[7]


def test_missing_joints_are_no_fault_and_hide_none():
    coords = pose(TURNS["seated"], 9)
    coords[3] = np.nan
    coords[:, 5] = np.nan
    assert faults(coords) == {}
    coords[6, 2] += 900
    assert set(faults(coords)) == {6}
    assert faults(np.full((4, 17, 3), np.nan)) == faults(np.empty((0, 17, 3))) == {}
    assert faults(np.empty((3, 0, 3)), JointInfo("")) == {}


def test_unrelated_pictures_may_show_people_of_any_size():
    coords = np.concatenate([pose({}, 4), pose({}, 2, 0.45)])
    assert set(faults(coords)) == {4, 5}
    assert faults(coords, one_person=False) == {}


def test_far_from_the_origin_where_the_dataset_says_so():
    coords = pose({}, 4) + 3e6
    assert set(faults(coords)) == {0, 1, 2, 3}
    assert faults(coords, far_from_origin=True) == {}


def test_unknown_joint_names():
    info = JointInfo("a,b,c,d,e", "a-b-c-d-e")
    coords = np.zeros((3, 5, 3)) + 500 * np.arange(5)[:, None] / 3**0.5
    assert faults(coords, info) == {}
    assert {reason for reason, _ in faults(3 * coords, info).values()} == {poses.BONE_LENGTH}


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(TURNS)),
    st.floats(0.5, 1.2),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(-9e5, 9e5), min_size=3, max_size=3),
    st.randoms(use_true_random=False),
)
def test_place_direction_and_gaps_do_not_matter(name, height, turn, place, random):
    rotation = actor.matrix(turn)
    coords = pose(TURNS[name], 6, height) @ rotation.T + np.array(place)
    coords += np.random.default_rng(random.randrange(99)).normal(0, 5, coords.shape)
    for _ in range(random.randrange(20)):
        coords[random.randrange(6), random.randrange(17)] = np.nan
    assert faults(coords) == {}


LIMBS = Bones.of(H36M).limbs
PLACED = np.stack([500 + np.arange(17.0), 200 + 20 * np.arange(17.0)], axis=1)  # 17 x 320


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((480, 180, 60, 360), None),
        ((480, 180, 60, 150), None),  # what is to be seen of somebody behind a wall
        ((400, 100, 300, 800), None),
        ((508, 360, 1, 1), views.BOX_TOO_SMALL),
        ((0, 0, 1900, 1900), views.BOX_TOO_LARGE),
        ((900, 180, 60, 360), views.OUTSIDE_BOX),
        (None, None),
    ],
)
def test_boxes(box, reason):
    box = None if box is None else np.array(box, np.float32)
    params = CheckParams(joints_in_box=0.05)
    found, _ = check_views([(PLACED, box)], (1920, 1080), LIMBS, params)
    assert found.get(0, (None,))[0] == reason


@pytest.mark.parametrize(
    ("dx", "box", "reason"),
    [
        (-520, (-0.5, 395, 9, 30), views.LEAVING),
        (-520, (7, 395, 9, 30), views.NOT_IN_PICTURE),
        (-900, (-0.5, 395, 9, 30), views.NOT_IN_PICTURE),
        (-512, (-0.5, 438, 5, 24), None),  # some joints are in the picture
    ],
)
def test_who_leaves_the_picture_makes_nobody_else_doubtful(dx, box, reason):
    points = PLACED + np.array([dx, 0])
    found, _ = check_views([(points, np.array(box))], (1920, 1080), LIMBS, CheckParams())
    assert found.get(0, (None,))[0] == reason
    assert reason != views.LEAVING or not reason.startswith(plausible.IMPLAUSIBLE)


def test_people_of_a_frame_are_told_apart():
    box = np.array([480, 180, 60, 360], np.float32)
    away, missing = PLACED + np.array([900, 0]), np.full((17, 2), np.nan)
    outside = PLACED + np.array([3000, 0])
    people = [(None, box), (PLACED, None), (PLACED, box), (away, box), (missing, box)]
    found, shares = check_views([*people, (outside, box)], (1920, 1080), LIMBS, CheckParams())
    nowhere = views.NOT_IN_PICTURE
    reasons = {i: reason for i, (reason, _) in found.items()}
    assert reasons == {3: views.OUTSIDE_BOX, 4: nowhere, 5: nowhere}
    assert shares == {2: (1.0, True)}
    assert (
        found[3][1]
        == "0 of 17 joints in the picture are in or near the box [480.0, 180.0, 60.0, 360.0]"
    )


def test_two_visible_joints_do_not_make_a_box_wrong():
    face = np.full((17, 2), np.nan)
    face[[7, 8]] = [[500, 100], [503, 104]]
    box = np.array([300, 180, 500, 800], np.float32)
    found = check_views([(face, box)], (1920, 1080), LIMBS, CheckParams())
    assert found == ({}, {0: (0.0, False)})


@pytest.mark.parametrize(
    ("n", "bad", "limit", "refused"),
    [
        (100, 20, 0.2, False), (100, 21, 0.2, True), (5, 2, 0.2, False), (5, 3, 0.2, True),
        (2, 2, 0.2, True), (1, 1, 0.2, True), (100, 100, 1.0, False), (100, 3, 0.0, True),
        (100, 0, 0.0, False),
    ],
)  # fmt: skip
def test_how_many_are_too_many(n, bad, limit, refused):
    dropped = {poses.FAR: bad, "no box in the annotations": 60}
    params = CheckParams(max_share=limit)
    if not refused:
        refuse_if_many("a.mkv", n, dropped, "frame 3, person 0: x", params)
        return
    line = (
        f"{bad} of {n} person-frames that can be judged are implausible "
        "\\(mostly: more than a kilometre"
    )
    with pytest.raises(CorruptInput, match=line):
        refuse_if_many("a.mkv", n, dropped, "frame 3, person 0: x", params)


# ---------------------------------------------------------------- ASPset's raw files


@pytest.fixture
def aspset(raw_miniature, tmp_path):
    """A copy of the raw files."""
    return copy_raw(raw_miniature("aspset"), tmp_path / "raw")


def crop(root, out, **keys):
    """Counts of the validation clip, and what was refused of it."""
    outcome = crop_units("aspset", root, out, ["*/bbbb-0016-left"], **keys)
    return outcome.total(), outcome.refused


def test_intrinsics_of_another_resolution_are_refused(aspset, tmp_path):
    for path in aspset.rglob("cameras/*/*.json"):
        camera = json.loads(path.read_text())
        matrix = np.reshape(camera["intrinsic_matrix"], (3, 4)).astype(float)
        matrix[:2] /= 2
        path.write_text(json.dumps(camera | {"intrinsic_matrix": matrix.ravel().tolist()}))
    _, (message,) = crop(aspset, tmp_path)
    assert re.search(r"\.mkv: camera: the principal point .* is 25% of a .* picture away", message)


def test_one_flipped_bit_costs_one_frame(aspset, tmp_path):
    before, _ = crop(aspset, tmp_path)
    path = next(aspset.rglob("bbbb-0016.c3d"))
    data = bytearray(path.read_bytes())
    points = plain_c3d(path)
    at = data.index(np.float32(points[0]).tobytes()[:4])
    data[at + 3] ^= 0x20  # an exponent's bit
    path.write_bytes(data)
    assert not np.array_equal(plain_c3d(path)[0], points[0])
    after, _ = crop(aspset, tmp_path)
    assert (after.selected, after.examples) == (before.selected + 1, before.examples)
    assert sum(n for r, n in after.dropped.items() if r.startswith(plausible.IMPLAUSIBLE)) == 1


def test_a_mirroring_camera_is_refused(aspset, tmp_path):
    def mirror(sequences):
        for sequence in sequences:
            camera = sequence.camera.copy()
            camera.R = camera.R * np.float32([[-1], [1], [1]])
            sequence.camera = camera
        return sequences

    _, (message,) = crop(aspset, tmp_path, change=mirror)
    assert "mkv: camera: the rotation is a reflection" in message


def test_limits_belong_to_the_key_of_results():
    looser = load_config("coco", load_recipe("coco").Options, ["check.max_share=1"])
    strict = load_config("coco", load_recipe("coco").Options)
    assert examples.identity(looser) != examples.identity(strict)


def test_a_foot_at_the_plane_of_the_camera_makes_no_box_too_small():
    near = PLACED.copy()
    near[LIMBS[0]] = [9626, 33873]
    box = np.array([480, 180, 60, 360], np.float32)
    assert check_views([(near, box)], (1920, 1080), LIMBS, CheckParams())[0] == {}


def test_joints_of_limbs_that_are_there_twice_make_no_body_whole():
    points = np.concatenate([PLACED, PLACED])
    points[[1, 2, 4, 5, 18, 19, 21, 22], 1] = 5000  # knees and ankles
    box, limbs = np.array([480, 180, 60, 360], np.float32), np.concatenate([LIMBS, LIMBS + 17])
    ((_, whole),) = check_views([(points, box)], (1920, 1080), limbs, CheckParams())[1].values()
    assert not whole


def test_two_lengths_of_a_bone_have_no_usual_one():
    coords = pose({}, 50)
    coords[:, 7:10] = np.nan
    coords[3, 8:10], coords[4, 8:10] = pose({}, 50)[3, 8:10], pose({}, 50)[4, 8:10]
    coords[4, 9] += [0, 400, 0]
    assert faults(coords) == {}


@pytest.mark.parametrize("statures", [(2.0, 1.0), (-1.0, 2.0), (70.0, 230.0)])
def test_statures_are_metres_in_order(statures):
    with pytest.raises(ValueError, match="statures"):
        CheckParams(statures=statures)


def test_a_camera_without_a_place_is_refused(aspset, tmp_path):
    def lose(sequences):
        for sequence in sequences:
            sequence.camera = sequence.camera.copy()
            sequence.camera.t = np.float32([np.nan, 0, 0])
        return sequences

    _, (message,) = crop(aspset, tmp_path, change=lose)
    assert "mkv: camera: found it at [nan, 0.0, 0.0]" in message


def test_a_person_who_is_there_twice_is_dropped_once():
    coords, other = pose(TURNS["seated"], 5), pose({}, 5) + 900
    twice = np.where(np.arange(5)[:, None, None] == 3, coords, other)
    missing = np.full((5, 17, 3), np.nan)
    tracks = [
        Track(np.arange(5), person, world_coords=c)
        for person, c in enumerate((coords, twice, missing, missing))
    ]
    selected = [Selected(k, track, k) for k in range(5) for track in tracks]
    found = examples.people_twice(selected)
    assert found == {13: (examples.TWICE, "has the joints of person 0")}

"""What is planted into a few sequences, rule by rule, gets the right name; the rest gets none."""

import cv2
import numpy as np
import pytest
import rlemasklib
import walkers

from posepile.datasets2d import Pose2DDataset, Pose2DExample
from posepile.joint_info import JointInfo
from posepile.store.opening import open_dataset
from posepile.suspects.collecting import Collector
from posepile.suspects.found import CODES
from posepile.suspects.search import find_suspects
from posepile.suspects.whole import Run, Whole

JPEG = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()
ALL = [f"S{k % 3}/walk{k}/cam{view}" for k in range(6) for view in range(2)]
ONE = ALL[2:3]
BOTH = ALL[2:4]  # views of one recording
SOME = slice(20, 26)


@pytest.fixture(scope="module")
def recordings():
    return walkers.made_up(60, views=2, recordings=6)


def without_masks(recording):
    recording.masks[:] = [None] * len(recording.masks)


def shifted(pixels, down=0):
    def change(recording):
        recording.cameras[:, 11] += pixels
        recording.cameras[:, 14] += down

    return change


def exchanged(*joints, where=slice(None)):
    left, right = ([walkers.INDEX[side + joint] for joint in joints] for side in "lr")

    def change(recording):
        recording.world[where, left + right] = recording.world[where, right + left]

    return change


def scaled(factor):
    return lambda recording: walkers.scaled(recording, factor)


def longer_forearm(recording):
    elbow, wrist = (recording.world[:, walkers.INDEX["l" + j]] for j in ("elb", "wri"))
    wrist += 0.5 * (wrist - elbow)
    elbow, wrist = (recording.world[:, walkers.INDEX["r" + j]] for j in ("elb", "wri"))
    wrist += 0.5 * (wrist - elbow)


def one_mirrored(recording):
    """The person is at the side of the picture, and the mask at the other."""
    recording.cameras[:, 11] -= 80
    recording.boxes[:, 0] -= 80
    masks = [np.roll(rlemasklib.decode(mask), -80, axis=1) for mask in recording.masks]
    masks[30] = np.ascontiguousarray(masks[30][:, ::-1])
    recording.masks[:] = [rlemasklib.encode(mask) for mask in masks]
    recording.boxes[30, 0] = walkers.SIDE - 1 - recording.boxes[30, 0] - recording.boxes[30, 2]


def slightly_elsewhere(recording):
    if recording.name.endswith("cam0"):
        recording.world += np.float32([12, 0, 0])


def both(*changes):
    def change(recording):
        for one in changes:
            one(recording)

    return change


# Change -> to which sequences, of which, and what is said of those.
PLANTED = {
    "all shifted": (shifted(15), ALL, ALL, "shifted_camera", "in all sequences"),
    "all shifted far": (shifted(30), ALL, ALL, "shifted_camera", "in all sequences"),
    "all shifted down": (shifted(0, 20), ALL, ALL, "shifted_camera", "in all sequences"),
    "half shifted": (shifted(8), ALL[:6], ALL, "shifted_camera", "in the whole sequence"),
    "one of two shifted": (shifted(12), ALL[:1], ALL[:2], "shifted_camera", "whole sequence"),
    "boxes shifted": (
        both(without_masks, shifted(25)), ALL, ALL, "shifted_camera", "in all sequences",
    ),
    "too tall, alone": (scaled(1.6), ALL[:1], ALL[:1], "wrong_scale", " mm tall"),
    "too small, alone": (scaled(0.4), ALL[:1], ALL[:1], "wrong_scale", " mm tall"),
    "forearms of a sequence": (
        longer_forearm, BOTH, ALL, "odd_bone", "times as long as in other sequences",
    ),
    "one picture mirrored": (one_mirrored, ONE, ALL, "mirrored_image", "mirror image of the mask"),
    "another world": (
        slightly_elsewhere, BOTH, ALL, "views_differ", "in the median of the sequence",
    ),
    "legs exchanged": (
        exchanged("kne", "ank", "toe"), BOTH, ALL, "swapped_sides",
        "legs cross the body in 100 % of the sequence's poses",
    ),
    "legs exchanged for a while": (
        exchanged("kne", "ank", "toe", where=SOME), BOTH, ALL, "swapped_sides",
        "legs cross the body, and hip to kne is wrong by",
    ),
    "arms exchanged for a while": (
        exchanged("elb", "wri", where=SOME), BOTH, ALL, "swapped_sides",
        "arms cross the body, and sho to elb is wrong by",
    ),
}  # fmt: skip


def kinds_in(recordings, tmp_path):
    """Returns (kind, sequence) -> its first reason."""
    walkers.pack(recordings, tmp_path / "walkers.barecat", JPEG)
    suspects = find_suspects(open_dataset(tmp_path / "walkers.barecat"), 0)
    return {(g.kind, g.sequence): suspects.reason(g.worst) for g in suspects.groups()}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_gets_its_name(recordings, tmp_path, name):
    change, where, of, kind, reason = PLANTED[name]
    some = walkers.copied([r for r in recordings if r.name in of])
    for recording in some:
        if recording.name in where:
            change(recording)
    found = kinds_in(some, tmp_path)
    assert set(found) == {(kind, sequence) for sequence in where}, found
    assert all(reason in text for text in found.values()), found


@pytest.mark.parametrize("n", [1, 2, 12])
def test_nothing_is_said_of_what_is_right(recordings, tmp_path, n):
    assert kinds_in(recordings[:n], tmp_path) == {}


@pytest.mark.parametrize("angle", [30, 40, 50])
def test_crossed_legs_are_no_exchanged_ones(recordings, tmp_path, angle):
    """Each leg is turned in its hip to the other side: knees cross, thighs keep their length."""
    (recording,) = walkers.copied(recordings[:1])
    hips, knees = (recording.world[SOME, walkers.INDEX["l" + j]] for j in ("hip", "kne"))
    across = hips - recording.world[SOME, walkers.INDEX["rhip"]]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    ahead = np.cross(across, hips - knees)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    for side, sign in (("l", -1), ("r", 1)):
        hip = recording.world[SOME, walkers.INDEX[side + "hip"]].copy()
        for joint in ("kne", "ank", "toe"):
            place = recording.world[SOME, walkers.INDEX[side + joint]]
            for k, axis in enumerate(ahead):
                turn, _ = cv2.Rodrigues(axis * np.radians(sign * angle))
                place[k] = hip[k] + turn @ (place[k] - hip[k])
    apart = (recording.world[SOME, walkers.INDEX["lank"]]
             - recording.world[SOME, walkers.INDEX["rank"]])  # fmt: skip
    assert ((apart * across).sum(axis=1) < -100).all()
    assert "swapped_sides" not in {kind for kind, _ in kinds_in([recording], tmp_path)}


@pytest.mark.parametrize("stature", [1200, 2290])
def test_a_size_unlike_that_of_the_dataset(stature):
    """Of people who are not known, or are in one recording only."""
    out = Collector()
    whole = Whole([Run(np.array([k]), k, mm, {}) for k, mm in enumerate([1700] * 5 + [stature])])
    whole.sizes(np.full(6, -1), np.arange(6), out)
    ((kind, positions, *_),) = out.kept()
    assert (kind, positions.tolist()) == (CODES["wrong_scale"], [5])
    assert [*out.texts] == ["the person is {:.2f} times as large as the median of the dataset"]


def test_polygons_and_masks_of_another_size(recordings, tmp_path):
    """What lies beyond what the source picture covers says nothing, nor do such masks."""
    walkers.pack(recordings[:1], tmp_path / "walkers.barecat", JPEG)
    dataset = open_dataset(tmp_path / "walkers.barecat")
    examples = [ex.load(load_image=False) for ex in dataset.examples[0]]
    for example in examples:  # legs and hips are not in the picture
        example.valid_poly = np.float32([[0, 0], [320, 0], [320, 120], [0, 120]])
        upper = rlemasklib.decode(example.mask)
        upper[120:] = 0
        example.mask = rlemasklib.encode(upper)
        x, y, w, _ = example.bbox
        example.bbox = np.float32([x, y, w, 120 - y])
    assert find_suspects(type(dataset)(dataset.joint_info, examples), 0).counts() == {}
    for example in examples:
        example.valid_poly = None
    found = find_suspects(type(dataset)(dataset.joint_info, examples), 0).counts()
    assert set(found) >= {"outside_mask", "outside_box"}
    for example in examples:
        example.mask = rlemasklib.encode(np.ones((50, 320), np.uint8))
        example.bbox = np.float32([10, 10, 300, 300])
    assert find_suspects(type(dataset)(dataset.joint_info, examples), 0).counts() == {}


def test_a_table_in_all_sequences_is_no_shift(recordings, tmp_path):
    some = walkers.copied(recordings)
    for recording in some:
        masks = [rlemasklib.decode(mask).copy() for mask in recording.masks]
        for mask in masks:
            mask[190:] = 0
        recording.masks[:] = [rlemasklib.encode(mask) for mask in masks]
    assert "shifted_camera" not in {kind for kind, _ in kinds_in(some, tmp_path)}


def person_2d(rng):
    names = "nose,leye,reye,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank"
    x = [0, 8, -8, 30, -30, 45, -45, 50, -50, 18, -18, 20, -20, 20, -20]
    y = [0, -8, -8, 40, 40, 80, 80, 120, 120, 130, 130, 190, 190, 250, 250]
    coords = np.stack([x, y], axis=1) + np.array([160, 40]) + rng.normal(0, 1.5, (len(x), 2))
    return names.split(","), coords.astype(np.float32)


def test_photographs():
    rng = np.random.default_rng(0)
    examples = []
    for k in range(60):
        names, coords = person_2d(rng)
        if k == 17:  # all sides exchanged: the face tells
            left = [i for i, name in enumerate(names) if name[0] == "l"]
            right = [names.index("r" + names[i][1:]) for i in left]
            coords[left + right] = coords[right + left]
        if k == 18:  # hips alone
            a, b = names.index("lhip"), names.index("rhip")
            coords[[a, b]] = coords[[b, a]] + [[-30, 0], [30, 0]]
        box = np.float32([100, 20, 120, 290])
        example = Pose2DExample(f"people/{k:03d}.jpg", coords, box)
        example.imshape, example.frame, example.person = (330, 330), 0, 0
        example.sequence = f"photo{k}"
        examples.append(example)
    dataset = Pose2DDataset(JointInfo(names, "lsho-lelb-lwri,lhip-lkne-lank"), examples)
    suspects = find_suspects(dataset, 0)
    assert sorted(suspects.positions.tolist()) == [17, 18]
    assert {suspects.kind(i) for i in range(2)} == {"swapped_sides"}
    assert "left eye" in suspects.reason(suspects.positions.tolist().index(17))

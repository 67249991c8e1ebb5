"""Planted errors are found and named; what is right is left alone."""

from pathlib import Path

import cv2
import deltacamera
import numpy as np
import pytest
import rlemasklib
import walkers
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.datasets2d import Pose2DDataset
from posepile.joint_info import JointInfo
from posepile.store.coords import SparseCoords
from posepile.store.example_list import as_example_list
from posepile.store.opening import open_dataset
from posepile.suspects.batches import Sequences, _pieces, batches
from posepile.suspects.collecting import Collector, ranked
from posepile.suspects.found import KINDS
from posepile.suspects.kernels import decode
from posepile.suspects.search import find_suspects

JPEG = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()

# What is planted into real-sized sequences: sequence -> the kind that must be named.
PLANTED = {
    "S0/walk0/cam1": "swapped_sides",
    "S1/walk1/cam1": "shifted_camera",
    "S2/walk2/cam0": "wrong_scale",
    "S2/walk2/cam1": "wrong_scale",
    "S0/walk3/cam0": "mirrored_image",
    "S1/walk4/cam0": "off_by_frames",
    "S1/walk4/cam1": "off_by_frames",
    "S2/walk5/cam0": "swapped_sides",  # in a single picture
}


def planted(recordings):
    by = {recording.name: recording for recording in walkers.copied(recordings)}
    walkers.swapped(by["S0/walk0/cam1"])
    walkers.shifted(by["S1/walk1/cam1"], 5)
    for view in range(2):
        walkers.scaled(by[f"S2/walk2/cam{view}"], 1.1)
        walkers.late(by[f"S1/walk4/cam{view}"], 1)
    walkers.mirrored(by["S0/walk3/cam0"])
    walkers.swapped(by["S2/walk5/cam0"], [77])
    return list(by.values())


@pytest.fixture(scope="module")
def recordings():
    return walkers.made_up(420, views=2, recordings=12)


@pytest.fixture(scope="module")
def clean(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("clean") / "walkers.barecat"
    walkers.pack(recordings, path, JPEG)
    return open_dataset(path)


@pytest.fixture(scope="module")
def wrong(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("wrong") / "walkers.barecat"
    walkers.pack(planted(recordings), path, JPEG)
    dataset = open_dataset(path)
    return dataset, find_suspects(dataset, "train")


def some(dataset, *names):
    """Examples of some sequences, in memory."""
    return [ex.load(load_image=False) for ex in dataset.examples[0].where(sequence=list(names))]


def with_examples(dataset, examples):
    return type(dataset)(dataset.joint_info, examples)


def kinds_of(suspects):
    return {(group.kind, group.sequence) for group in suspects.groups()}


def test_what_is_right_is_left_alone(clean):
    suspects = find_suspects(clean, "train")
    assert suspects.n == 10_080
    assert len(suspects) == 0, suspects.counts()


@pytest.mark.parametrize("kind", sorted(set(PLANTED.values())))
def test_planted_errors_are_on_the_first_page(wrong, kind):
    _, suspects = wrong
    assert suspects.n == 10_080
    first = {(suspects.kind(i), suspects.sequence_names[suspects.sequences[i]]) for i in range(20)}
    page = {(kind_, name) for kind_, name in first if PLANTED.get(name) == kind_}
    assert kind in {kind_ for kind_, _ in page}
    # Of the sequences that are wrong as a whole, and of the single picture, all are there.
    wanted = {name for name, own in PLANTED.items() if own == kind and kind != "wrong_scale"}
    assert wanted <= {name for _, name in page}


def test_nothing_else_is_named(wrong):
    _, suspects = wrong
    assert kinds_of(suspects) == {(kind, name) for name, kind in PLANTED.items()}


def test_the_single_picture_is_found(wrong):
    dataset, suspects = wrong
    (group,) = (g for g in suspects.groups() if g.sequence == "S2/walk5/cam0")
    row = np.flatnonzero(dataset.examples[0].mask(sequence="S2/walk5/cam0"))[77]
    assert suspects.positions[group.members].tolist() == [row]
    assert group.total == 420
    assert group.worst < 20


def test_reasons_name_what_was_measured(wrong):
    _, suspects = wrong
    reasons = {suspects.kind(i): suspects.reason(i) for i in range(len(suspects) - 1, -1, -1)}
    assert "frames later" in reasons["off_by_frames"]
    assert "1.10 times as large" in reasons["wrong_scale"]
    assert "in 100 % of the sequence's poses" in reasons["swapped_sides"]
    assert " % of the person's size" in reasons["shifted_camera"]
    assert "more of the joints" in reasons["mirrored_image"]


def test_arrays_are_aligned_and_worst_is_first(wrong):
    _, suspects = wrong
    dtypes = {"positions": np.int32, "kinds": np.int8, "scores": np.float32, "values": np.float32}
    for name, dtype in dtypes.items():
        array = getattr(suspects, name)
        assert array.dtype == dtype
        assert len(array) == len(suspects)
    assert (suspects.scores > 1 - 0.1).all()
    for group in suspects.groups():
        scores = suspects.scores[group.members]
        assert (np.diff(scores) <= 0).all()
    assert sum(suspects.counts().values()) == len(suspects)
    first = [*suspects.iter_first(50)]
    assert len({suspects.positions[i] for i in first}) == 50


def test_frames_before_are_told_from_frames_after(recordings, tmp_path):
    some_ = walkers.copied([r for r in recordings if r.name.startswith("S1")])
    for recording in some_:
        if "walk4" in recording.name:
            walkers.late(recording, -2)
            recording.masks[:] = [None] * len(recording.masks)  # boxes alone tell
    walkers.pack(some_, tmp_path / "walkers.barecat", JPEG)
    suspects = find_suspects(open_dataset(tmp_path / "walkers.barecat"), 0)
    assert {kind for kind, name in kinds_of(suspects) if "walk4" in name} == {"off_by_frames"}
    assert "frames earlier" in suspects.reason(0)


def test_arms_alone(clean):
    examples = some(clean, "S0/walk0/cam0")
    arms = [walkers.INDEX[side + joint] for side in "lr" for joint in ("sho", "elb", "wri")]
    coords = examples[50].world_coords.copy()
    coords[arms] = coords[walkers.SWAP[arms]]
    examples[50].world_coords = coords
    suspects = find_suspects(with_examples(clean, examples), 0)
    assert suspects.kind(0) == "swapped_sides"
    assert suspects.positions[0] == 50


def test_straight_legs_are_told_by_their_neighbours(clean):
    """Without knees and toes nothing says where the front is."""
    keep = [name for name in walkers.INDEX if name[1:] not in ("kne", "toe") and name != "nose"]
    rows = [walkers.INDEX[name] for name in keep]
    joints = JointInfo(keep, "pelv-lhip-lank,pelv-neck-head,neck-lsho-lelb-lwri")
    examples = some(clean, "S0/walk0/cam0")
    for k, example in enumerate(examples):
        coords = example.world_coords[walkers.SWAP] if 200 <= k < 205 else example.world_coords
        example.world_coords = np.ascontiguousarray(coords[rows])
    suspects = find_suspects(type(clean)(joints, examples), 0)
    assert suspects.counts()["swapped_sides"] == 5
    assert sorted(suspects.positions[suspects.kinds == 0]) == [200, 201, 202, 203, 204]


@pytest.mark.parametrize("n", [4, 8])
def test_a_short_sequence_with_exchanged_sides(clean, n):
    """Knees alone tell where the front is, not far enough to do so in one pose."""
    keep = [name for name in walkers.INDEX if name[1:] != "toe" and name != "nose"]
    rows = [walkers.INDEX[name] for name in keep]
    joints = JointInfo(keep, "pelv-lhip-lkne-lank,pelv-neck-head,neck-lsho-lelb-lwri")

    def found(swap, n):
        examples = some(clean, "S0/walk0/cam0")[::47][:n]
        for k, example in enumerate(examples):
            coords = example.world_coords[walkers.SWAP] if k in swap else example.world_coords
            example.world_coords = np.ascontiguousarray(coords[rows])
        return find_suspects(type(clean)(joints, examples), 0).counts().get("swapped_sides", 0)

    assert found([], n) == 0
    assert found(range(n), n) == n
    assert found(range(n // 2), n) < n
    assert found(range(3), 3) < 3


def change(examples, k, joint, by):
    coords = examples[k].world_coords.copy()
    coords[walkers.INDEX[joint]] += np.float32(by)
    examples[k].world_coords = coords


def test_jumps_and_bones(clean):
    examples = some(clean, "S0/walk0/cam0")
    change(examples, 30, "lwri", (0, 900, 0))
    for k, example in enumerate(examples):
        if k == 100:
            example.world_coords = example.world_coords + np.float32([700, 0, 0])
    suspects = find_suspects(with_examples(clean, examples), 0)
    found = {(suspects.kind(i), int(suspects.positions[i])) for i in range(len(suspects))}
    assert ("odd_bone", 30) in found
    assert ("jump", 30) in found
    assert ("jump", 100) in found
    assert not {k for kind, k in found if kind != "outside_mask"} - {30, 100}
    i = next(i for i in range(len(suspects)) if suspects.kind(i) == "odd_bone")
    assert "lelb-lwri is" in suspects.reason(i)


def test_uneven_sides_and_upside_down(clean):
    examples = some(clean, "S0/walk0/cam0")
    for example in examples:
        coords = example.world_coords.copy()
        knee, ankle, toe = (walkers.INDEX["l" + name] for name in ("kne", "ank", "toe"))
        coords[[ankle, toe]] += 0.2 * (coords[ankle] - coords[knee])
        example.world_coords = coords
    turned = examples[7].world_coords * np.float32([1, -1, -1])
    examples[7].world_coords = turned + np.float32([0, 0, 1800])
    suspects = find_suspects(with_examples(clean, examples), 0)
    found = {(suspects.kind(i), int(suspects.positions[i])) for i in range(len(suspects))}
    assert ("upside_down", 7) in found
    assert suspects.counts()["uneven_sides"] == 420


def test_the_same_pose_twice(clean):
    examples = some(clean, "S0/walk0/cam0", "S1/walk1/cam0")
    examples[40].world_coords = examples[39].world_coords.copy()
    suspects = find_suspects(with_examples(clean, examples), 0)
    assert [(suspects.kind(i), suspects.positions[i]) for i in range(len(suspects))] == [
        ("duplicate", 40)
    ]


def test_masks_of_somebody_else(clean):
    examples = some(clean, "S0/walk0/cam0")
    elsewhere = np.zeros((walkers.SIDE, walkers.SIDE), np.uint8)
    elsewhere[100:250, 5:60] = 1
    examples[3].mask = rlemasklib.encode(elsewhere)
    background = np.ones((walkers.SIDE, walkers.SIDE), np.uint8)
    background[100:200, 100:200] = 0
    examples[5].mask = rlemasklib.encode(background)
    examples[9].bbox = np.float32([5, 5, 40, 60])
    suspects = find_suspects(with_examples(clean, examples), 0)
    found = {(suspects.kind(i), int(suspects.positions[i])) for i in range(len(suspects))}
    assert {("outside_mask", 3), ("cut_mask", 5), ("outside_box", 9)} <= found
    assert {k for _, k in found} == {3, 5, 9}


def test_annotations_that_the_camera_does_not_see(clean):
    examples = some(clean, "S0/walk0/cam0")
    for k, example in enumerate(examples):
        seen = example.camera.world_to_image(example.world_coords)
        example.coords2d = np.asarray(seen + (60 if k == 12 else 0), np.float32)
    suspects = find_suspects(with_examples(clean, examples), 0)
    assert ("reprojection", 12) in {
        (suspects.kind(i), int(suspects.positions[i])) for i in range(len(suspects))
    }


@pytest.fixture
def bent(clean):
    """Examples of two sequences; some are seen through a lens."""
    examples = some(clean, "S0/walk0/cam0", "S0/walk0/cam1")
    for k in range(400, 440):
        own = examples[k].camera
        examples[k].camera = deltacamera.Camera(
            rot_world_to_cam=own.R,
            intrinsic_matrix=own.intrinsic_matrix,
            optical_center=own.t,
            world_up=own.world_up,
            image_shape=(walkers.SIDE, walkers.SIDE),
            distortion_model=deltacamera.BrownConradyEx(np.float32([60 - (k > 430), 0, 0, 0, 0])),
        )
    return examples


def test_annotations_are_seen_through_the_lens(clean, bent):
    for k, example in enumerate(bent):
        seen = example.camera.world_to_image(example.world_coords) + (60 if k == 412 else 0)
        example.coords2d = np.asarray(seen, np.float32)
    suspects = find_suspects(with_examples(clean, bent), 0)
    assert {(suspects.kind(i), suspects.positions[i]) for i in range(len(suspects))} >= {
        ("reprojection", 412)
    }
    assert suspects.counts()["reprojection"] == 1


def test_lenses_of_a_batch(clean, bent):
    dataset = with_examples(clean, bent)
    examples = as_example_list(dataset.examples[0])
    (batch,) = batches(examples, Sequences.of(examples), dataset.joint_info)
    for run in batch.runs():
        seen = batch.project(batch.world[run], run)
        for k in range(0, 420, 3):
            own = bent[batch.positions[run][k]].camera
            assert np.allclose(own.world_to_image(batch.world[run][k]), seen[k], atol=0.01)


def test_cameras_with_different_poses(recordings, tmp_path):
    some_ = walkers.copied([r for r in recordings if r.name.startswith("S0")])
    some_[0].world += np.float32([120, 0, 0])
    walkers.pack(some_, tmp_path / "walkers.barecat", JPEG)
    suspects = find_suspects(open_dataset(tmp_path / "walkers.barecat"), 0)
    views = {name for kind, name in kinds_of(suspects) if kind == "views_differ"}
    assert views == {some_[0].name, some_[1].name}


def test_cameras_that_do_not_see_the_same_joints(recordings, tmp_path):
    """Poses are compared by the joints that all cameras have."""
    some_ = walkers.copied([r for r in recordings if r.name.startswith("S0")])
    some_[0].world[:, walkers.INDEX["lank"]] = np.nan
    some_[1].world[:, walkers.INDEX["rwri"]] = np.nan
    some_[2].world[:100, walkers.INDEX["rkne"]] = np.nan
    some_[2].world += np.float32([120, 0, 0])
    walkers.pack(some_, tmp_path / "walkers.barecat", JPEG)
    suspects = find_suspects(open_dataset(tmp_path / "walkers.barecat"), 0)
    views = {name for kind, name in kinds_of(suspects) if kind == "views_differ"}
    assert views == {some_[2].name, some_[3].name}
    reasons = [suspects.reason(i) for i in range(len(suspects))]
    assert {reason for reason in reasons if "cameras that saw" in reason and " 60 mm" in reason}


def test_merged_skeletons(clean):
    """Each example has the joints of its own dataset; here of the second of two."""
    names = [f"{name}_{dataset}" for dataset in "ab" for name in walkers.INDEX]
    edges = [(a + k, b + k) for k in (0, 19) for a, b in walkers.JOINTS.stick_figure_edges]
    examples = some(clean, "S0/walk0/cam0")
    for k, example in enumerate(examples):
        coords = example.world_coords[walkers.SWAP] if k == 50 else example.world_coords
        both = np.full((38, 3), np.nan, np.float32)
        both[19:] = coords
        example.world_coords = SparseCoords(both)
    suspects = find_suspects(type(clean)(JointInfo(names, edges), examples), 0)
    assert [(suspects.kind(i), suspects.positions[i]) for i in range(len(suspects))] == [
        ("swapped_sides", 50)
    ]


def test_examples_without_a_joint(clean):
    examples = some(clean, "S0/walk0/cam0")[:30]
    for example in examples:
        example.world_coords = np.full((19, 3), np.nan, np.float32)
    assert len(find_suspects(with_examples(clean, examples), 0)) == 0


def test_nothing_there():
    dataset = Pose2DDataset(JointInfo(["nose"], ""), [])
    suspects = find_suspects(dataset, "test")
    assert (len(suspects), suspects.n, suspects.groups(), suspects.counts()) == (0, 0, [], {})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_masks_are_drawn_as_they_are_meant(seed, w, h, share):
    mask = (np.random.default_rng(seed).random((h, w)) < share).astype(np.uint8)
    counts = np.frombuffer(rlemasklib.encode(mask)["counts"], np.uint8)
    out = np.full(w * h, 7, np.uint8)
    assert decode(counts, 0, len(counts), out)
    assert np.array_equal(out.reshape(w, h).T, mask)
    if w * h > 1:  # of another size
        assert not decode(counts, 0, len(counts), out[:-1].copy())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.integers(1, 64))
def test_damaged_masks_end(data, n):
    decode(np.frombuffer(data, np.uint8), 0, len(data), np.zeros(n, np.uint8))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 60))
def test_pieces_hold_everything_once(lengths, room):
    starts = np.cumsum([0, *lengths])
    pieces = [*_pieces(starts, room)]
    assert [a for a, _, _ in pieces] == [0, *(b for _, b, _ in pieces[:-1])]
    assert pieces[-1][1] == starts[-1]
    for a, b, cuts in pieces:
        assert 0 < b - a <= room
        assert cuts[0] == 0
        assert cuts[-1] == b - a
        # Whole sequences, but for those that are too long.
        if b not in starts:
            assert len(cuts) == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 200))
def test_no_kind_and_no_sequence_fills_the_first_page(seed, n):
    rng = np.random.default_rng(seed)
    sequences = Sequences(
        (np.arange(n) // 10).astype(np.int32), [f"s{k}" for k in range(n)], np.zeros(n)
    )
    out = Collector()
    kinds = [*KINDS][:5]
    for kind in kinds:
        positions = rng.permutation(n)[: rng.integers(1, n + 1)]
        scores = 1 + rng.random(len(positions)) * 5
        out.add(kind, positions, scores, scores, "{:.2f} times")
    suspects = ranked(out, sequences, np.arange(n))
    worst = {}
    for i in range(len(suspects)):
        key = suspects.kind(i), suspects.sequences[i]
        worst.setdefault(key, []).append(suspects.scores[i])
    assert all(np.all(np.diff(scores) <= 0) for scores in worst.values())
    heads = len(worst)
    first = [(suspects.kind(i), suspects.sequences[i]) for i in range(heads)]
    assert len(set(first)) == heads
    assert {kind for kind, _ in first[:20]} == set(kinds) if heads >= 20 else True
    assert sorted(np.concatenate([g.members for g in suspects.groups()])) == [
        *range(len(suspects))
    ]


def test_kinds_are_documented():
    text = (Path(__file__).parent.parent / "docs" / "SUSPECTS.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []

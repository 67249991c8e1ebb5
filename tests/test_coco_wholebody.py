import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stills_kit import annotation, changed, crops, dropped, load

from posepile.ds.coco_wholebody import main
from posepile.errors import CorruptInput
from posepile.shapes import coco, coco_people, faces_hands

TRAIN = "coco_wholebody_train_v1.0.json"
WHOLE = "train2017/000000040083_00.jpg"
# Which point of a mirrored face is which, as those who augment pictures of faces have it
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("coco_wholebody")


def part(names):
    return [main.SPEC.joint_info.ids[name] for name in names]


def test_who_is_taken_and_the_rest_counted(root):
    sequences = load(main, root)
    assert sorted(crops(sequences)) == [
        WHOLE, "train2017/000000040083_02.jpg",
        "val2017/000000000785_00.jpg", "val2017/000000000785_03.jpg",
    ]  # fmt: skip
    assert dropped(sequences) == {
        coco.SMALL: 1, coco.FEW_LABELLED: 1, coco_people.CROWD: 1
    }  # fmt: skip


def test_parts_follow_the_body_in_order(root):
    data = json.loads((root / TRAIN).read_text())
    person = annotation(data, 1000)
    joints = crops(load(main, root))[WHOLE]
    lists = ["keypoints", *(f"{p}_kpts" for p in ("foot", "face", "lefthand", "righthand"))]
    expected = np.concatenate([np.reshape(person[key], (-1, 3)) for key in lists])
    assert len(expected) == len(joints) == 133
    np.testing.assert_allclose(joints, expected[:, :2], atol=1e-4)
    assert set(person["face_kpts"][2::3]) == {1.0}
    names = main.SPEC.joint_info.names
    assert names[17:23] == "ltoe ltoe2 lhee rtoe rtoe2 rhee".split()
    assert (names[23], names[31], names[91], names[112], names[132]) == (
        "rface1", "chin", "lhan1", "rhan1", "rhan21"
    )  # fmt: skip


def test_left_and_right_of_a_face_mirror_each_other():
    info = main.SPEC.joint_info
    assert [info.mirror_mapping[23 + k] - 23 for k in range(68)] == MIRRORED
    assert [info.mirror_mapping[91 + k] for k in range(42)] == [*range(112, 133), *range(91, 112)]


def test_an_invalid_part_is_not_labelled_whatever_its_list_holds(root, tmp_path):
    def spoil(data):
        annotation(data, 1000).update(face_valid=False, foot_kpts=[0, 0, 0] * 3 + [9, 400, 2] * 3)

    joints = crops(load(main, changed(root, tmp_path, TRAIN, spoil)))[WHOLE]
    assert np.isnan(joints[part(faces_hands.FACE)]).all()
    # A valid foot may hold points of zeros.
    assert np.isnan(joints[part(["ltoe", "ltoe2", "lhee"])]).all()
    assert np.isfinite(joints[part(["rtoe", "rtoe2", "rhee", *faces_hands.HANDS])]).all()


@pytest.mark.parametrize("v", [0.3, 1, 1.0, 2, 2.0])
def test_any_visibility_above_0_is_labelled(root, tmp_path, v):
    def spoil(data):
        annotation(data, 1000)["face_kpts"][2::3] = [v] * 34 + [0] * 34

    joints = crops(load(main, changed(root, tmp_path, TRAIN, spoil)))[WHOLE]
    labelled = np.isfinite(joints[part(faces_hands.FACE), 0])
    assert labelled.tolist() == [True] * 34 + [False] * 34


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2]), min_size=17, max_size=17), st.floats(1, 400))
def test_the_body_is_counted_and_all_points_are_measured(v, width):
    points = [x for k in v for x in (5, 5, k)] + [5 + width, 5, 1.0] + [9, 9, 0] * 115
    labelled = sum(k > 0 for k in v)
    wide = (width if labelled else 0) * 1.25 >= 200
    expected = v.count(2) >= 17 / 3 and labelled >= 17 / 2 and wide
    assert (main.why_not({"keypoints": points}, [], main.Options()) is None) == expected


def exchanged(data, part):
    """Exchanges left and right of a part that has a list for each, or an order that does so."""
    for person in data["annotations"]:
        if part == "hand":
            for key in ("kpts", "valid"):
                left, right = f"lefthand_{key}", f"righthand_{key}"
                person[left], person[right] = person[right], person[left]
        else:
            key, order = part
            given = np.reshape(person[f"{key}_kpts"], (-1, 3))
            person[f"{key}_kpts"] = given[order].ravel().tolist()


EYES = [*range(36), *range(42, 48), *range(36, 42), *range(48, 68)]
CONTOUR = [*range(16, -1, -1), *range(17, 68)]
HALPE_FEET = [0, 3, 1, 4, 2, 5]  # left and right by turns


@pytest.mark.parametrize(
    ("part", "word"),
    [("hand", "hands"), (("foot", HALPE_FEET), "feet"), (("face", EYES), "eyes"),
     (("face", CONTOUR), "contours")],
)  # fmt: skip
def test_parts_of_the_other_side_are_refused(root, tmp_path, monkeypatch, part, word):
    monkeypatch.setattr(faces_hands, "FEWEST", 4)
    (sequence,) = load(main, root, phases=["train2017"]).values()
    assert sequence.checks[f"{word}_at_other_side"] == 0
    copy = changed(root, tmp_path, TRAIN, lambda data: exchanged(data, part))
    with pytest.raises(CorruptInput, match=f"points of {word} at the joint of the other side"):
        load(main, copy)
    assert load(main, copy, max_other_side=1)


def test_photographs_with_exchanged_names_are_refused(root, tmp_path):
    def spoil(data):
        for person in data["annotations"]:
            person["keypoints"][::3] = [x + 400 for x in person["keypoints"][::3]]

    with pytest.raises(CorruptInput, match="of joints and boxes beyond the border"):
        load(main, changed(root, tmp_path, TRAIN, spoil))


def test_face_and_hands_have_edges():
    edges = {tuple(sorted(e)) for e in main.SPEC.joint_info.stick_figure_edges}
    assert {(23, 24), (38, 39), (91, 92), (91, 108), (112, 113), (131, 132)} <= edges
    assert not {(39, 40), (90, 91), (111, 112), (95, 96)} & edges
    names = main.SPEC.joint_info.names
    assert {frozenset((names[a], names[b])) for a, b in edges} >= {
        frozenset(("rank", "rhee")), frozenset(("lhee", "ltoe2")), frozenset(("rsho", "relb"))
    }  # fmt: skip


def test_photographs_are_found_beside_it_and_annotations_below_a_folder(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "coco_wholebody")
    expected = sorted(crops(load(main, root)))
    (tmp_path / "coco").mkdir()
    (copy / "annotations").mkdir()
    for split in ("train", "val"):
        (copy / f"{split}2017").rename(tmp_path / "coco" / f"{split}2017")
        name = f"coco_wholebody_{split}_v1.0.json"
        (copy / name).rename(copy / "annotations" / name)
    assert sorted(crops(load(main, copy))) == expected
    (tmp_path / "coco" / "annotations").mkdir()
    for file in (copy / "annotations").iterdir():
        file.rename(tmp_path / "coco" / "annotations" / file.name)
    assert sorted(crops(load(main, copy))) == expected
    (copy / "annotations").rmdir()
    (tmp_path / "coco" / "annotations").rename(copy / "annotations")
    (tmp_path / "coco").rename(copy / "coco")
    assert sorted(crops(load(main, copy))) == expected
    # COCO's photographs of both are there, annotations of one.
    (copy / "annotations" / TRAIN).unlink()
    assert list(load(main, copy)) == ["val2017/000000000785"]
    (copy / "coco" / "val2017").rename(copy / "other")
    with pytest.raises(
        CorruptInput, match=r"coco_wholebody_train_v1\.0\.json: file is missing|found no folder"
    ):
        load(main, copy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"face_kpts": [5, 5, 1] * 67}, "face_kpts are not 204 finite numbers"),
        ({"foot_valid": None}, "lacks foot_valid"),
        ({"lefthand_kpts": None}, "lacks lefthand_kpts"),
        ({"foot_kpts": [1e9, 5, 1] * 6}, "key points far outside the picture"),
    ],
)
def test_a_malformed_part_costs_that_person_alone(root, tmp_path, change, reason):
    copy = changed(root, tmp_path, TRAIN, lambda data: annotation(data, 1002).update(change))
    sequences = load(main, copy, phases=["train2017"])
    assert list(crops(sequences)) == [WHOLE]
    assert dropped(sequences)[reason] == 1

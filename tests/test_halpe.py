import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stills_kit import annotation, changed, crops, dropped, load

from posepile.ds.halpe import main
from posepile.errors import CorruptInput
from posepile.shapes import coco, coco_people, faces_hands

FILE = "halpe_train_v1.json"
FIRST = "09/HICO_train2015_00000009_00.jpg"
# The pairs of the official drawing that a chain of indices does not make
BODY_PAIRS = {
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 18), (6, 18), (5, 7), (7, 9), (6, 8), (8, 10), (17, 18),
    (18, 19), (11, 19), (12, 19), (11, 13), (12, 14), (13, 15), (14, 16), (20, 24), (21, 25),
    (23, 25), (22, 24), (15, 24), (16, 25),
}  # fmt: skip
GAPS_OF_THE_FACE = {42, 47, 52, 56, 61, 67, 73}  # not joined with the next one


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("halpe")


def test_who_is_taken_and_the_rest_counted(root):
    sequences = load(main, root)
    assert sorted(crops(sequences)) == [
        FIRST, "09/HICO_train2015_00000009_01.jpg", "43/HICO_train2015_00001243_01.jpg"
    ]  # fmt: skip
    assert dropped(sequences) == {
        main.SMALL_SIDE: 1,
        coco.FEW_LABELLED: 1,
        coco.FEW_VISIBLE: 2,  # one of them since a joint lies at (0, 0)
        coco_people.UNLABELLED: 1,
    }


def test_joints_labelled_at_the_origin_are_not_labelled(root):
    person = annotation(json.loads((root / FILE).read_text()), 1000)
    lank = main.SPEC.joint_info.ids.lank
    assert person["keypoints"][3 * lank : 3 * lank + 3] == [0, 0, 2]
    joints = crops(load(main, root))[FIRST]
    assert np.isnan(joints[lank]).all()


def test_joints_without_v_are_not_labelled_wherever_they_are(root):
    person = annotation(json.loads((root / FILE).read_text()), 1000)
    points = np.reshape(person["keypoints"], (-1, 3))
    unlabelled = (points[:, 2] == 0) & points[:, :2].any(axis=1)
    assert unlabelled.sum() == 32
    joints = crops(load(main, root))[FIRST]
    assert np.isnan(joints[unlabelled]).all()
    labelled = (points[:, 2] > 0) & points[:, :2].any(axis=1)
    np.testing.assert_array_equal(joints[labelled], points[labelled, :2].astype(np.float32))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-1, 1)] * 2, st.sampled_from([0, 1, 2])), max_size=9))
def test_only_v_at_the_origin_changes(triples):
    found = main.without_origin([x for triple in triples for x in triple])
    expected = [(x, y, v if x or y else 0) for x, y, v in triples]
    assert found == [x for triple in expected for x in triple]


@pytest.mark.parametrize("keypoints", [None, "none", 0, []])
def test_who_has_no_list_of_key_points_is_not_labelled(root, tmp_path, keypoints):
    copy = changed(
        root, tmp_path, FILE, lambda data: annotation(data, 1001).update(keypoints=keypoints)
    )
    sequences = load(main, copy)
    assert len(crops(sequences)) == 2
    assert dropped(sequences)[coco_people.UNLABELLED] == 2


def test_people_of_images_that_are_not_listed_are_few_or_refused(root, tmp_path):
    copy = changed(root, tmp_path, FILE, lambda data: data["annotations"][0].update(image_id=7))
    with pytest.raises(CorruptInput, match="belongs to image 7, which is not listed; there are 1"):
        load(main, copy)


@pytest.mark.parametrize("v", [0.3, 0.9, 1, 2.0])
def test_any_visibility_above_0_is_labelled(root, tmp_path, v):
    def spoil(data):
        points = annotation(data, 1000)["keypoints"]
        points[3 * 26 + 2 : 3 * 40 : 3] = [v] * 14

    joints = crops(load(main, changed(root, tmp_path, FILE, spoil)))[FIRST]
    assert np.isfinite(joints[26:40]).all()


def test_labels_of_other_photographs_are_refused(root, tmp_path):
    def spoil(data):
        for person in data["annotations"]:
            person["bbox"][0] += 700

    with pytest.raises(CorruptInput, match="of joints and boxes beyond the border"):
        load(main, changed(root, tmp_path, FILE, spoil))


def with_eyes(data, right, left):
    """Puts the points of both eyes of a face where joints of the body are."""
    points = annotation(data, 1000)["keypoints"]
    for start, eye in ((62, right), (68, left)):
        points[3 * start : 3 * start + 18] = [*points[3 * eye : 3 * eye + 2], 2] * 6


def test_eyes_of_the_other_side_are_refused(root, tmp_path):
    leye, reye = 1, 2
    copy = changed(root, tmp_path / "1", FILE, lambda data: with_eyes(data, reye, leye))
    assert load(main, copy)["train/000000000009"].checks["eyes_at_other_side"] == 0
    copy = changed(root, tmp_path / "2", FILE, lambda data: with_eyes(data, leye, reye))
    with pytest.raises(CorruptInput, match="points of eyes at the joint of the other side"):
        load(main, copy)


def test_a_damaged_file_says_where_it_comes_from(root, tmp_path):
    copy = changed(root, tmp_path, FILE, lambda data: None)
    (copy / FILE).write_text('{"images": [')
    with pytest.raises(CorruptInput, match="not valid JSON: .*posepile plan halpe says where"):
        load(main, copy)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 2]), min_size=26, max_size=26),
    *[st.sampled_from([99, 100, 101, 300])] * 4,
)
def test_keep_rule_is_that_of_the_card(v, width, height, joints_width, joints_height):
    points = [x for k in v for x in (5, 5, k)]
    points += [5 + joints_width, 5 + joints_height, 1] + [9, 9, 0] * 109
    person = {"keypoints": points, "bbox": [0, 0, width, height]}
    labelled = sum(k > 0 for k in v)
    large = min(width, height) > 100
    large = large and labelled > 0 and min(joints_width, joints_height) > 100
    expected = v.count(2) >= 26 / 3 and labelled >= 13 and large
    assert (main.why_not(person, [], main.Options()) is None) == expected


def test_edges_are_those_of_the_official_drawing():
    face = {(k, k + 1) for k in range(26, 93) if k not in GAPS_OF_THE_FACE}
    hands = {
        (wrist if k % 4 == 1 else wrist + k - 1, wrist + k)
        for wrist in (94, 115)
        for k in range(1, 21)
    }
    edges = main.SPEC.joint_info.stick_figure_edges
    assert {tuple(sorted(edge)) for edge in edges} == BODY_PAIRS | face | hands
    assert len(edges) == len(BODY_PAIRS | face | hands)


def test_face_and_hands_are_at_their_places():
    names = main.SPEC.joint_info.names
    assert names[20:26] == "ltoe rtoe ltoe2 rtoe2 lhee rhee".split()
    assert names[26:94] == faces_hands.FACE
    assert (names[94], names[115], names[135]) == ("lhan1", "rhan1", "rhan21")


def test_the_order_of_feet_of_wholebody_is_refused(root, tmp_path, monkeypatch):
    wrong = [0, 2, 4, 1, 3, 5]  # ltoe, ltoe2, lhee, rtoe, rtoe2, rhee

    def exchange(data):
        for person in data["annotations"]:
            if person.get("keypoints"):
                feet = np.reshape(person["keypoints"][60:78], (6, 3))
                person["keypoints"][60:78] = feet[wrong].ravel().tolist()

    monkeypatch.setattr(faces_hands, "FEWEST", 6)  # of one person with both ankles
    with pytest.raises(CorruptInput, match="points of feet at the joint of the other side"):
        load(main, changed(root, tmp_path, FILE, exchange))


def test_the_validation_file_is_not_read(root, tmp_path):
    copy = changed(root, tmp_path, FILE, lambda data: None)
    (copy / "halpe_val_v1.json").write_text("no JSON")
    assert {s.split for s in load(main, copy).values()} == {"train"}


def test_categories_and_numbers_of_any_kind(root, tmp_path):
    def spoil(data):
        points = annotation(data, 1101)["keypoints"]
        points[-3:] = [1e308, -1e308, 0]  # not labelled
        data["images"][0]["file_name"] = "\0.jpg"

    copy = changed(root, tmp_path / "1", FILE, spoil)
    assert list(crops(load(main, copy))) == ["43/HICO_train2015_00001243_01.jpg"]
    copy = changed(root, tmp_path / "2", FILE, lambda data: data.update(categories=["x"]))
    with pytest.raises(CorruptInput, match=r"categories\.0: found 'x'; expected a mapping"):
        load(main, copy)

"""COCO-WholeBody: values by hand, what is refused; the reference is in tests/test_protocols.py."""

import json
import math

import pytest
from evaluation_kit import evaluate

from posepile.ds import load_evaluation
from posepile.errors import CorruptInput

LENGTHS = {
    "keypoints": 17,
    "foot_kpts": 6,
    "face_kpts": 68,
    "lefthand_kpts": 21,
    "righthand_kpts": 21,
}
PARTS = dict(zip(("body", "foot", "face", "lefthand", "righthand"), LENGTHS, strict=True))
AREA = 5000.0  # between 32**2 and 96**2: medium


def points(x=100, parts=tuple(LENGTHS), v=1):
    """The lists of somebody, with the second point of some parts at (x, 50)."""
    lists = {key: [0.0] * (3 * n) for key, n in LENGTHS.items()}
    for key in parts:
        lists[key][3:6] = x, 50, v
    return lists


def person(id, image, **more):
    facts = {"id": id, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": 1}
    facts |= {f"{part}_valid": True for part in PARTS if part != "body"}
    return facts | points() | {"bbox": [80, 20, 60, 90], "area": AREA} | more


def guess(image, x=100, score=1.0, **more):
    return {"image_id": image, "category_id": 1, "score": score} | points(x) | more


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_labels(root, people, file="coco_wholebody_val_v1.0.json"):
    return write(root / file, {"images": [{"id": 7}, {"id": 8}], "annotations": people})


@pytest.fixture
def root(tmp_path):
    """One person in each image."""
    root = tmp_path / "coco_wholebody"
    write_labels(root, [person(1, 7), person(2, 8)])
    return root


def figures(root, results, protocol="wholebody", *options):
    path = write(root.parent / "p.json", results)
    return evaluate("coco_wholebody", root, path, "--protocol", protocol, *options)["figures"]


@pytest.mark.parametrize("part", ["wholebody", *PARTS])
def test_everybody_found_is_1(root, part):
    found = figures(root, [guess(7), guess(8)], part)
    large = {"AP-large": -1, "AR-large": -1}
    assert found == pytest.approx(dict.fromkeys(found, 1.0) | large)


@pytest.mark.parametrize(
    ("part", "sigma"),
    [("body", 0.025), ("foot", 0.066), ("face", 0.043), ("lefthand", 0.022),
     ("righthand", 0.022)],
)  # fmt: skip
def test_spread_is_that_of_the_joint_and_area_that_of_the_person(root, part, sigma):
    # A similarity of 0.72 is enough at five of ten thresholds.
    away = math.sqrt(-math.log(0.72) * 2 * AREA * (2 * sigma) ** 2)
    assert figures(root, [guess(i, 100 + away) for i in (7, 8)], part)["AP"] == pytest.approx(0.5)


def test_the_whole_body_is_the_mean_of_all_labelled_joints(root):
    # One of five labelled joints is far away: 0.8 is enough at seven of ten thresholds.
    results = [guess(i) for i in (7, 8)]
    for found in results:
        found["face_kpts"][3] = 9000
    assert figures(root, results)["AR"] == pytest.approx(0.7)


def test_who_lacks_a_part_is_neither_found_nor_missed_for_it(root):
    without = {"num_keypoints": 17, **points(parts=["keypoints"])}
    write_labels(root, [person(1, 7), person(2, 8, **without)])
    for results in ([guess(7)], [guess(7), guess(8, score=0.1)]):
        assert figures(root, results, "face")["AP"] == pytest.approx(1)
    assert figures(root, [guess(7)], "body")["AR"] == pytest.approx(0.5)


def test_labels_count_by_v_alone(root):
    """An own count of the body's, and flags, say nothing of a part."""
    flags = {"face_valid": False, "foot_valid": False}
    write_labels(root, [person(1, 7, num_keypoints=0, **flags), person(2, 8, num_keypoints=0)])
    for part in ("wholebody", *PARTS):
        assert figures(root, [guess(7)], part)["AR"] == pytest.approx(0.5), part


def test_a_detection_without_the_part_is_none(root):
    """The third numbers tell; a wrong one would cost precision."""
    for nothing in (points(9000, v=0), points(parts=["keypoints"])):
        results = [guess(7, score=0.1), guess(8, score=0.1), guess(7, **nothing)]
        assert figures(root, results, "lefthand")["AP"] == pytest.approx(1)
    results = [guess(7, score=0.1), guess(8, score=0.1), guess(7, 9000, 0.9)]
    assert figures(root, results, "lefthand")["AP"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("part", ["wholebody", *PARTS])
def test_the_score_of_a_part_goes_before_score(root, part):
    results = [guess(7), guess(8), guess(7, 9000, 0.5)]
    assert figures(root, results, part)["AP"] == pytest.approx(1)
    results[2][f"{part}_score"] = 2.0
    assert figures(root, results, part)["AP"] == pytest.approx(2 / 3)
    other = "foot" if part != "foot" else "face"
    assert figures(root, results, other)["AP"] == pytest.approx(1)


def test_the_size_of_a_detection_is_that_of_its_box_or_body(root):
    """What finds nobody counts among those of its size."""
    wrong = guess(7, score=2.0)
    wrong["lefthand_kpts"][3] = 9000
    wrong["keypoints"][0:2] = 170, 0  # 170 x 50: medium
    results = [guess(7), guess(8), wrong]
    assert figures(root, results, "lefthand")["AP-medium"] == pytest.approx(2 / 3)
    wrong["keypoints"][0] = 1700
    assert figures(root, results, "lefthand")["AP-medium"] == pytest.approx(1)
    wrong["bbox"] = [0, 0, 50, 50]
    assert figures(root, results, "lefthand")["AP-medium"] == pytest.approx(2 / 3)


def test_crowds_are_neither_found_nor_missed(root):
    crowd = person(3, 7, **points(parts=()), iscrowd=1)
    write_labels(root, [person(1, 7), person(2, 8), crowd])
    beside = [guess(7, 110 + i, 0.2) for i in range(3)]
    found = figures(root, [guess(7), guess(8), *beside], "righthand")
    assert (found["AP"], found["AR"]) == pytest.approx((1, 1))


def test_labels_may_lie_in_annotations_and_be_those_of_training(root):
    write_labels(root, [person(1, 7)], "annotations/coco_wholebody_train_v1.0.json")
    assert figures(root, [guess(7)], "foot", "--split", "train")["AR"] == pytest.approx(1)


def test_absent_labels_are_refused(tmp_path):
    with pytest.raises(CorruptInput, match=r"coco_wholebody_val_v1\.0\.json"):
        figures(tmp_path / "none", [])


@pytest.mark.parametrize(
    ("row", "said"),
    [({"face_kpts": [1] * 51}, "face_kpts"), ({"wholebody_score": math.nan}, "wholebody_score"),
     ({"foot_kpts": [1, math.nan, *[1] * 16]}, "person 0, joint 17 (ltoe) of 7"),
     ({"foot_kpts": None}, "foot_kpts")],
)  # fmt: skip
def test_bad_results_are_refused_in_one_line(root, capsys, row, said):
    path = write(root.parent / "p.json", [guess(7) | row])
    argv = ["--pred-path", str(path), "--data-dir", str(root)]
    assert load_evaluation("coco_wholebody").main(argv) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(path) in error and said in error


def test_joints_of_a_part_are_named(root, capsys):
    bad = guess(7)
    bad["righthand_kpts"][4] = math.nan
    path = write(root.parent / "p.json", [bad])
    argv = ["--pred-path", str(path), "--data-dir", str(root), "--protocol", "righthand"]
    assert load_evaluation("coco_wholebody").main(argv) == 1
    assert "joint 1 (rhan2)" in capsys.readouterr().err


def test_detections_without_any_score_of_a_joint_are_refused(root):
    unscored = [guess(image, **points(v=0)) for image in (7, 8)]
    for part in ("wholebody", "body"):
        with pytest.raises(CorruptInput, match="2 detections, each without a third number above"):
            figures(root, unscored, part)
    bodies = [guess(image, **points(parts=("keypoints",))) for image in (7, 8)]
    assert figures(root, bodies, "lefthand")["AP"] == 0  # of a program without hands
    assert figures(root, [], "wholebody")["AP"] == 0


def test_labels_of_nobody_are_refused(root):
    write_labels(root, [person(1, 7, **points(v=0)), person(2, 8, iscrowd=1)])
    for part in ("wholebody", "body"):
        with pytest.raises(CorruptInput, match="nobody with labelled joints in 2 annotations"):
            figures(root, [guess(7)], part)
    assert figures(root, [guess(7)], "foot")["AP"] == -1

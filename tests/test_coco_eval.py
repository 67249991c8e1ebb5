"""COCO's key points: values by hand, what is refused; pycocotools in tests/test_protocols.py."""

import json
import math

import numpy as np
import pytest
from evaluation_kit import evaluate

from posepile.ds import load_evaluation
from posepile.errors import CorruptInput

AREA, SIGMA = 5000.0, 0.026  # between 32**2 and 96**2: medium; the nose


def person(id, image, x, **more):
    """Somebody whose nose alone is labelled."""
    points = [x, 50, 2] + [0] * 48
    facts = {"id": id, "image_id": image, "category_id": 1, "iscrowd": 0, "area": AREA}
    return facts | {"keypoints": points, "num_keypoints": 1, "bbox": [x, 20, 60, 90]} | more


def guess(image, x, score=1.0):
    return {
        "image_id": image,
        "category_id": 1,
        "keypoints": [x, 50, 1] + [0] * 48,
        "score": score,
    }


def beside(similarity):
    """How far away a nose has this similarity."""
    return math.sqrt(-math.log(similarity) * 2 * AREA * (2 * SIGMA) ** 2)


@pytest.fixture
def root(tmp_path):
    """Two images: one person in the first, two in the second."""
    people = [person(1, 7, 100), person(2, 8, 100), person(3, 8, 400)]
    content = {"images": [{"id": 7}, {"id": 8}, {"id": 9}], "annotations": people}
    content["categories"] = [{"id": 1, "name": "person"}]
    write(tmp_path / "coco" / "annotations" / "person_keypoints_val2017.json", content)
    return tmp_path / "coco"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def figures(root, results):
    return evaluate("coco", root, write(root.parent / "results.json", results))["figures"]


def test_everybody_found_is_1_whatever_the_scores_and_order(root):
    found = figures(root, [guess(8, 400, 0.3), guess(7, 100, 0.1), guess(8, 100, 0.9)])
    expected = dict.fromkeys(found, 1.0) | {"AP-large": -1, "AR-large": -1}
    assert found == pytest.approx(expected)


def test_similarity_decides_at_how_many_thresholds_somebody_is_found(root):
    # 0.72 is enough at 0.5, 0.55, 0.6, 0.65 and 0.7.
    away = beside(0.72)
    found = figures(root, [guess(i, x + away) for i, x in ((7, 100), (8, 100), (8, 400))])
    assert found["AP"] == pytest.approx(0.5) and found["AR"] == pytest.approx(0.5)
    assert (found["AP50"], found["AP75"], found["AR75"]) == pytest.approx((1, 0, 0))
    assert found["AP-medium"] == pytest.approx(0.5)


def test_missed_people_lower_recall_and_wrong_ones_precision(root):
    # Two of three are found: precision is 1 up to recall 2/3: 67 of 101 points of the curve.
    found = figures(root, [guess(7, 100), guess(8, 100)])
    assert found["AR"] == pytest.approx(2 / 3) and found["AP"] == pytest.approx(67 / 101)
    # A wrong detection of a higher score: precision is 3 / 4 at all recalls.
    right = [guess(7, 100, 0.5), guess(8, 100, 0.5), guess(8, 400, 0.5)]
    found = figures(root, [guess(9, 300, 0.9), *right])
    assert found["AR"] == 1 and found["AP"] == pytest.approx(0.75)


def test_nobody_found_is_0_and_other_images_are_named(root):
    assert figures(root, [])["AP"] == 0
    path = write(root.parent / "a.json", [guess(7, 100), guess(555, 100)])
    result = evaluate("coco", root, path)
    assert result["not_evaluated"] == {"number": 1, "first": ["555"]}
    assert result["entries"] == 3


def test_crowds_and_unlabelled_people_are_neither_found_nor_missed(root):
    file = root / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(file.read_text())
    none = {"keypoints": [0] * 51, "num_keypoints": 0}
    content["annotations"] += [person(4, 9, 300, **none), person(5, 9, 500, iscrowd=1, **none)]
    write(file, content)
    everybody = [guess(7, 100), guess(8, 100), guess(8, 400)]
    assert figures(root, everybody)["AP"] == pytest.approx(1)


def test_a_detection_is_as_large_as_its_box_else_as_its_joints(root):
    """What finds nobody counts among those of its size."""
    right = [guess(7, 100), guess(8, 100), guess(8, 400)]
    for box, expected in (([0, 0, 50, 50], 0.75), ([0, 0, 20, 20], 1), (None, 1)):
        wrong = guess(9, 300, 2.0) | {"bbox": box}  # its joints' box has 300 x 50 pixels
        found = figures(root, [wrong, *right])
        assert (found["AP"], found["AP-medium"]) == pytest.approx((0.75, expected))


def lacking(row, key):
    return {k: v for k, v in row.items() if k != key}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"annotations": []}, "expected a list"),
        ([lacking(guess(7, 1), "score")], "score"),
        ([guess(7, 1) | {"keypoints": [1] * 48}], "keypoints"),
        ([guess(7, 1) | {"image_id": "7"}], "image_id"),
        ([guess(7, 1) | {"score": math.nan}], "score"),
        ([guess(7, math.inf)], "person 0, joint 0 (nose) of 7"),
        ([guess(8, 5), guess(8, 6) | {"keypoints": [1] * 16 + [math.nan] + [1] * 34}],
         "person 1, joint 5 (lsho) of 8"),
    ],
)  # fmt: skip
def test_bad_results_are_refused_in_one_line(root, capsys, results, said):
    path = write(root.parent / "results.json", results)
    argv = ["--pred-path", str(path), "--data-dir", str(root)]
    assert load_evaluation("coco").main(argv) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(path) in error and said in error
    assert "download" not in error


def test_what_is_no_json_is_refused(root):
    path = root.parent / "results.json"
    path.write_text('[{"image_id": 7,')
    with pytest.raises(CorruptInput, match=r"results\.json: not valid JSON"):
        evaluate("coco", root, path)


def test_other_phases_have_their_own_file(root):
    with pytest.raises(CorruptInput, match=r"person_keypoints_train2014\.json"):
        evaluate("coco", root, write(root.parent / "a.json", []), "--split", "train2014")


def test_labels_of_the_miniature_are_found_as_they_are(raw_miniature, tmp_path):
    root = raw_miniature("coco")
    file = root / "annotations" / "person_keypoints_val2017.json"
    people = [p for p in json.loads(file.read_text())["annotations"] if p["num_keypoints"]]
    rows = [{k: p[k] for k in ("image_id", "category_id", "keypoints")} for p in people]
    found = figures_of(root, tmp_path, [row | {"score": 0.5} for row in rows])
    assert {v for v in found.values() if v >= 0} == {1.0} and len(people) > 1
    assert np.mean([v < 0 for v in found.values()]) < 0.5


def figures_of(root, folder, results):
    return evaluate("coco", root, write(folder / "results.json", results))["figures"]

"""CrowdPose: values by hand and what is refused; the reference is in tests/test_protocols.py."""

import json
import math

import pytest
from evaluation_kit import evaluate

from posepile.ds import load_evaluation
from posepile.errors import CorruptInput

INDICES = {7: 0.05, 8: 0.15, 9: 0.5, 10: 0.8, 11: 1.2}  # crowd index of each image


def person(id, image, joint=0, **more):
    """Somebody of whom one joint is labelled, at (100, 50)."""
    points = [0] * 42
    points[3 * joint : 3 * joint + 3] = 100, 50, 1
    facts = {"id": id, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": 1}
    return facts | {"keypoints": points, "bbox": [80, 20, 60, 90]} | more


def guess(image, x=100, score=1.0, joint=0):
    points = [0] * 42
    points[3 * joint : 3 * joint + 3] = x, 50, 1
    return {"image_id": image, "category_id": 1, "keypoints": points, "score": score}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_labels(root, people, file="json/crowdpose_test.json"):
    images = [{"id": id, "crowdIndex": index} for id, index in INDICES.items()]
    return write(root / file, {"images": images, "annotations": people})


@pytest.fixture
def root(tmp_path):
    """One person in each image."""
    root = tmp_path / "crowdpose"
    write_labels(root, [person(i + 1, image) for i, image in enumerate(INDICES)])
    return root


def figures(root, results, *options):
    return evaluate("crowdpose", root, write(root.parent / "p.json", results), *options)["figures"]


def test_everybody_found_is_1(root):
    assert [*figures(root, [guess(image) for image in INDICES]).values()] == pytest.approx([1] * 9)


@pytest.mark.parametrize(
    ("image", "official", "paper"),
    [(7, "easy", "easy"), (8, "easy", "medium"), (9, "medium", "medium"), (10, "hard", "hard"),
     (11, "hard", "hard")],
)  # fmt: skip
def test_classes_have_the_borders_of_the_program_or_of_the_paper(root, image, official, paper):
    results = [guess(other) for other in INDICES if other != image]
    for protocol, missed in (("official", official), ("paper", paper)):
        found = figures(root, results, "--protocol", protocol)
        assert found["AR"] == pytest.approx(4 / 5)
        wanting = [name for name in ("easy", "medium", "hard") if found[f"AP-{name}"] < 0.99]
        assert wanting == [missed], protocol


def test_area_is_a_share_of_the_box_and_every_joint_has_its_spread(root):
    for joint, sigma in ((0, 0.079), (4, 0.062), (7, 0.107), (12, 0.079), (13, 0.079)):
        write_labels(root, [person(i + 1, image, joint) for i, image in enumerate(INDICES)])
        # A similarity of 0.72 is enough at five of ten thresholds.
        away = math.sqrt(-math.log(0.72) * 2 * 0.53 * 60 * 90 * (2 * sigma) ** 2)
        found = figures(root, [guess(image, 100 + away, joint=joint) for image in INDICES])
        assert found["AP"] == pytest.approx(0.5) and found["AR"] == pytest.approx(0.5), joint


def test_who_has_no_limb_joint_and_crowds_are_neither_found_nor_missed(root):
    people = [person(i + 1, image) for i, image in enumerate(INDICES)]
    people.append(person(90, 7, joint=12, num_keypoints=0))  # head alone: 954 of val
    people.append(person(91, 8, keypoints=[0] * 42, num_keypoints=0, iscrowd=1))
    write_labels(root, people)
    everybody = [guess(image) for image in INDICES]
    assert [*figures(root, everybody).values()] == pytest.approx([1] * 9)
    beside = [guess(7, joint=12), guess(8, x=110, score=0.4), guess(8, x=115, score=0.3)]
    assert [*figures(root, everybody + beside).values()] == pytest.approx([1] * 9)


def test_a_class_without_people_is_minus_1(root):
    write_labels(root, [person(1, 7), person(2, 11)])
    found = figures(root, [guess(7), guess(11)])
    assert (found["AP"], found["AP-medium"], found["AP-hard"]) == pytest.approx((1, -1, 1))
    assert figures(root, [])["AP-easy"] == 0


def test_the_mended_file_goes_before_the_original(root):
    nobody = [person(1, 7, num_keypoints=0)]
    write_labels(root, nobody, "annotations/mmpose_crowdpose_test.json")
    # Nobody to find is no benchmark, and it is this file that has nobody.
    with pytest.raises(CorruptInput, match=r"mmpose_crowdpose_test\.json: found nobody with"):
        figures(root, [guess(7)])
    write_labels(root, [person(1, 8)], "annotations/mmpose_crowdpose_test.json")
    assert figures(root, [guess(7)])["AP"] == 0


def test_people_of_unlisted_images_are_counted(root):
    write_labels(root, [person(1, 7), person(2, 555)])
    path = write(root.parent / "p.json", [guess(7)])
    result = evaluate("crowdpose", root, path)
    assert result["figures"]["AP"] == pytest.approx(1)
    assert "people of images that the file does not list" in json.dumps(result)


def test_labels_without_crowd_index_or_file_are_refused(root):
    with pytest.raises(CorruptInput, match=r"crowdpose_val\.json"):
        figures(root, [], "--split", "val")
    write(root / "json/crowdpose_test.json", {"images": [{"id": 7}], "annotations": []})
    with pytest.raises(CorruptInput, match="crowdIndex"):
        figures(root, [])


@pytest.mark.parametrize(
    ("row", "said"),
    [({"keypoints": [1] * 51}, "keypoints"), ({"score": math.nan}, "score"),
     ({"keypoints": [math.nan, *[1] * 41]}, "person 0, joint 0 (lsho) of 7")],
)  # fmt: skip
def test_bad_results_are_refused_in_one_line(root, capsys, row, said):
    path = write(root.parent / "p.json", [guess(7) | row])
    argv = ["--pred-path", str(path), "--data-dir", str(root)]
    assert load_evaluation("crowdpose").main(argv) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(path) in error and said in error


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{**guess(7), "category_id": 2}], r"\[0\]\.category_id: found 2; expected 1, a person"),
        ([guess(7), {**guess(8), "category_id": 0}], r"\[1\]\.category_id: found 0"),
        ([guess(70), guess(80)], "people in 2 images, none of them among the 5 of test"),
    ],
)
def test_predictions_of_something_else_are_refused(root, results, message):
    with pytest.raises(CorruptInput, match=message):
        figures(root, results)


def test_labels_of_which_something_is_there_twice_are_refused(root):
    path = root / "json" / "crowdpose_test.json"
    for key, what in (("images", "image id 7"), ("annotations", "annotation id 1")):
        content = json.loads(path.read_text())
        content[key].append(content[key][0])
        twice = root.parent / key
        write(twice / "json" / path.name, content)
        with pytest.raises(CorruptInput, match=f"{what}: found at {key}"):
            figures(twice, [guess(7)])

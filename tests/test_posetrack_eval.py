"""Evaluation of PoseTrack18: files of predictions, options, what is refused."""

import json

import numpy as np
import pytest

from posepile.ds.posetrack import eval as evaluation

VIDEO = "003418_mpii_test"


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("posetrack")


@pytest.fixture
def perfect(root, tmp_path):
    """Predictions equal to the labels, with scores."""
    folder = tmp_path / "pred"
    folder.mkdir()
    labels = root / f"posetrack_data/annotations/val/{VIDEO}.json"
    content = json.loads(labels.read_text())
    for person in content["annotations"]:
        person["scores"] = [0.9] * 17
    (folder / labels.name).write_text(json.dumps(content))
    return folder


def run(root, folder, *options):
    """Exit code and figures of a run."""
    out = folder.parent / "result.json"
    args = ["--pred-path", str(folder), "--data-dir", str(root), "--out", str(out), *options]
    code = evaluation.main(args)
    return code, json.loads(out.read_text())["figures"] if code == 0 else None


def changed(folder, change):
    """Changes the file of predictions."""
    path = folder / f"{VIDEO}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def test_perfect_people_are_found_and_tracked(root, perfect):
    code, figures = run(root, perfect)
    assert code == 0 and set(figures.values()) == {1.0}
    code, figures = run(root, perfect, "--protocol", "mota")
    assert code == 0 and set(figures.values()) == {1.0}


def test_fifteen_key_points_by_name_in_any_order_are_the_same(root, perfect):
    def without_ears(content):
        names = content["categories"][0]["keypoints"]
        order = [j for j in reversed(range(17)) if "ear" not in names[j]]
        content["categories"][0]["keypoints"] = [names[j] for j in order]
        for person in content["annotations"]:
            points = np.reshape(person["keypoints"], (17, 3))[order]
            person |= {"keypoints": points.ravel().tolist(), "scores": [0.9] * 15}

    code, figures = run(root, changed(perfect, without_ears))
    assert code == 0 and figures["AP"] == 1 and figures["precision"] == 1


def test_people_in_ignored_regions_and_unlabelled_pictures(root, perfect):
    def more(content):
        first = content["annotations"][0]
        hidden = [20.0, 30, 1] * 17  # in the region of every labelled picture
        content["annotations"] += [
            first | {"image_id": image["id"], "keypoints": hidden, "track_id": 50}
            for image in content["images"]
        ]

    code, figures = run(root, changed(perfect, more))
    assert code == 0 and figures["precision"] == 1


def test_scores_may_lack(root, perfect):
    def without(content):
        for k, person in enumerate(content["annotations"]):
            person["scores"] = ([], None, [0.5] * 17)[k % 3]

    code, figures = run(root, changed(perfect, without))
    assert code == 0 and figures["AP"] == 1


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c["images"].pop(), "found 3 images; expected the 4 that are annotated (lacks"),
        (lambda c: c["images"].append({"id": 5}), "(has 003418_mpii_test/5)"),
        (lambda c: c["images"].append(c["images"][0]), "is there 2 times"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2]), "found 2 numbers in keypoints"),
        (lambda c: c["annotations"][0].update(scores=[1.0]), "1 scores; expected 51 and 17"),
        (lambda c: c["categories"][0]["keypoints"].remove("nose"), "key point nose"),
        (lambda c: c.update(categories=[]), "found 0 categories"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(6, float("nan")), "joint 2 (head"),
    ],
)
def test_what_is_no_prediction_is_refused(root, perfect, capsys, change, words):
    code, _ = run(root, changed(perfect, change))
    said = capsys.readouterr().err
    assert code == 1 and said.count("\n") == 1
    assert words in said
    assert "again" in said or "leave out people" in said


def test_tracks_are_needed_for_tracking_only(root, perfect, capsys):
    def lacking(content):
        content["annotations"][0].pop("track_id")

    changed(perfect, lacking)
    assert run(root, perfect)[0] == 0
    assert run(root, perfect, "--protocol", "posetrack.mota")[0] == 1
    assert "expected one of each" in capsys.readouterr().err

    def twice(content):
        people = content["annotations"]
        same = [p for p in people if p["image_id"] == people[0]["image_id"]]
        for person in same:
            person["track_id"] = 3

    changed(perfect, twice)
    assert run(root, perfect, "--protocol", "mota")[0] == 1


def test_files_that_are_missing_or_not_asked_for(root, perfect, capsys):
    (perfect / "000002_bonn_test.json").write_text("{}")
    assert run(root, perfect)[0] == 0
    assert "Predicted but not evaluated: 1, e.g. 000002_bonn_test" in capsys.readouterr().out
    assert run(root, perfect, "--split", "train")[0] == 1
    assert "000001_bonn_train.json" in capsys.readouterr().err
    assert run(root, perfect / f"{VIDEO}.json")[0] == 2
    assert "is no folder" in capsys.readouterr().err


def test_people_of_pictures_that_are_not_listed_are_refused(root, perfect, capsys):
    def elsewhere(content):
        content["annotations"][0]["image_id"] = 5

    assert run(root, changed(perfect, elsewhere)) == (1, None)
    assert (
        "1 annotations of images that are not listed, such as image 5" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(bbox_head=[5, 5, 0, 0]), "bbox_head of no size"),
        (lambda c: c["annotations"][0].update(image_id=5), "images that are not listed"),
        (lambda c: c["annotations"][0].update(keypoints=[float("nan")] * 51), "keypoints: "),
        (lambda c: c["images"].append(c["images"][0]), "found at images.0 and at images."),
    ],
)
def test_labels_that_measure_nothing_are_refused(root, perfect, tmp_path, capsys, change, message):
    copy = tmp_path / "labels"
    labels = f"posetrack_data/annotations/val/{VIDEO}.json"
    content = json.loads((root / labels).read_text())
    change(content)
    (copy / labels).parent.mkdir(parents=True)
    (copy / labels).write_text(json.dumps(content))
    assert run(copy, perfect) == (1, None)
    assert message in capsys.readouterr().err

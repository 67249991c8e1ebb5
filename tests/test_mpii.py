"""MPII: what is peculiar to its MATLAB file, and what is left out."""

import json
import math

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from posepile.config import load_config
from posepile.ds.mpii import main, miniature
from posepile.ds.mpii.main import Options
from posepile.errors import CorruptInput
from posepile.miniature import writers
from posepile.shapes import coco_people

NAMES = list(main.SPEC.joint_info.names)
FULL, EMPTY = 5808361, 60111501  # pictures


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("mpii")


def load(root, **options):
    options = Options(**options)
    units = list(main.list_units(root, options))
    return [main.load_unit(root, unit, options)[0] for unit in units]


def people(sequence):
    """(picture, rectangle) of everyone kept -> joints."""
    return {
        (int(sequence.frames.paths[frame].stem), track.person): track.image_coords[k]
        for track in sequence.tracks
        for k, frame in enumerate(track.frames)
    }


def edited(root, tmp_path, change):
    """A copy of the miniature whose annotations were changed."""
    copy = tmp_path / "mpii"
    copy.mkdir()
    (copy / "images").symlink_to(root / "images")
    release = loadmat(root / main.MAT)["RELEASE"]
    change(release[0, 0])
    writers.write_mat(copy / main.MAT, {"RELEASE": release})
    return copy


def picture(release, number):
    """Index of a picture in the MATLAB file."""
    names = [str(a["image"][0, 0]["name"][0]) for a in release["annolist"][0]]
    return names.index(f"{number:09d}.jpg")


def points_of(release, number, rectangle):
    """The array of points of a rectangle."""
    rects = release["annolist"][0, picture(release, number)]["annorect"]
    return rects[0, rectangle]["annopoints"][0, 0]["point"][0]


def test_pictures_for_training_and_people_with_enough_joints(root):
    (sequence,) = load(root)
    truth = json.loads((root / "miniature_truth.json").read_text())
    expected = truth["sequences"][""]["examples"]
    assert sorted(people(sequence)) == sorted(map(tuple, expected))
    # Of the test picture nobody is known, the one without people shows nobody.
    stems = {path.stem for path in sequence.frames.paths}
    assert "073199394" not in stems and "020439720" not in stems
    assert sequence.dropped == {main.FEW: 1, coco_people.UNLABELLED: 1}
    assert sequence.image_name(0, 2).startswith("train/") and sequence.split == "train"
    assert load(root, min_joints=1)[0].dropped[main.FEW] == 0


def test_single_people_are_numbered_from_one(root):
    (sequence,) = load(root, people="single")
    truth = json.loads((root / "miniature_truth.json").read_text())
    assert sorted(people(sequence)) == sorted(map(tuple, truth["facts"]["single"]))
    assert sequence.dropped[main.NOT_SINGLE] > 0


def test_pixels_count_from_zero_and_arrays_of_one_element_are_read(root):
    told = loadmat(root / main.MAT)["RELEASE"][0, 0]
    (sequence,) = load(root, min_joints=1)
    joints, points = people(sequence)[FULL, 1], points_of(told, FULL, 1)
    assert len(points) == 16
    for point in points:
        at = [float(point[axis].item()) - 1 for axis in ("x", "y")]
        np.testing.assert_allclose(joints[int(point["id"].item())], at, atol=1e-4)
    # One point of one person beside somebody else; a picture with one rectangle.
    one = people(sequence)[EMPTY, 1]
    assert np.flatnonzero(np.isfinite(one[:, 0])).tolist() == [NAMES.index("lsho")]
    assert (15601864, 0) in people(sequence)


def test_the_square_box_is_as_high_as_the_person_and_a_little_lower(root):
    (sequence,) = load(root, people="single")
    told = loadmat(root / main.MAT)["RELEASE"][0, 0]
    rect = told["annolist"][0, picture(told, FULL)]["annorect"][0, 1]
    side = 200 * rect["scale"].item()
    x, y = (rect["objpos"][0, 0][axis].item() - 1 for axis in ("x", "y"))
    (track,) = (t for t in sequence.tracks if t.person == 1 and FULL in
                [int(sequence.frames.paths[f].stem) for f in t.frames])  # fmt: skip
    (k,) = (k for k, f in enumerate(track.frames)
            if int(sequence.frames.paths[f].stem) == FULL)  # fmt: skip
    expected = [x - side / 2, y + 0.075 * side - side / 2, side, side]
    np.testing.assert_allclose(track.bbox[k], expected, rtol=1e-5)


@pytest.mark.parametrize("flag", ["1", 1, np.zeros((0, 0)), None, "x"])
def test_every_form_of_visibility_is_a_labelled_joint(flag):
    point = {"x": 11.0, "y": 21.0, "id": 7} | ({} if flag is None else {"is_visible": flag})
    person = main.person_of({"annopoints": {"point": point}})
    seen = 2 if str(flag) == "1" else 1
    assert person["keypoints"][21:24] == [10, 20, seen] and sum(person["keypoints"]) == 30 + seen


def test_places_and_scales_that_are_missing_give_no_box():
    assert main.square_of({}) is None
    assert main.square_of({"scale": np.zeros(0), "objpos": {"x": 1, "y": 2}}) is None
    assert main.square_of({"scale": 2.0, "objpos": np.zeros(0)}) is None
    assert main.person_of({"annopoints": np.zeros(0)})["keypoints"] == []


@pytest.mark.parametrize("key, value", [("id", 16), ("id", 0), ("x", math.nan), ("y", np.inf)])
def test_a_malformed_joint_costs_the_person(root, tmp_path, key, value):
    def change(release):
        points_of(release, FULL, 1)[3][key] = np.array([[float(value)]])

    copy = edited(root, tmp_path, change)
    (sequence,) = load(copy)
    assert (FULL, 1) not in people(sequence) and len(people(sequence)) == 4
    assert sequence.dropped["key points are not 48 finite numbers"] == 1, sequence.dropped
    assert any(
        "(the first one: annotation 2002)" in line for line in main.calibrate(copy, Options())
    )


def test_the_three_pictures_that_nobody_has_are_counted(root, tmp_path):
    def change(release):
        image = release["annolist"][0, picture(release, FULL)]["image"]
        image[0, 0]["name"] = np.array(["040348287.jpg"])

    (sequence,) = load(edited(root, tmp_path, change))
    assert len(people(sequence)) == 4
    assert sequence.dropped[main.NO_PICTURE] == 2


def test_lists_of_other_lengths_and_damaged_files_are_refused(root, tmp_path):
    def change(release):
        release["img_train"] = release["img_train"][:, :3]

    with pytest.raises(CorruptInput, match="found 3 img_train; expected 6, as there are annolist"):
        load(edited(root, tmp_path, change))
    file = tmp_path / "mpii" / main.MAT
    file.write_bytes((root / main.MAT).read_bytes()[:1000])
    with pytest.raises(CorruptInput, match="mpii_human_pose_v1_u12_1"):
        load(tmp_path / "mpii")
    file.unlink()
    with pytest.raises(CorruptInput, match=r"file is missing.*mpii_human_pose_v1_u12_2.zip"):
        load(tmp_path / "mpii")


def test_sizes_are_those_of_the_pictures(root):
    (sequence,) = load(root)
    for path, size in zip(sequence.frames.paths, sequence.frames.sizes, strict=True):
        assert cv2.imread(str(path)).shape[1::-1] == tuple(size)


def test_the_configuration_is_that_of_the_description():
    config = load_config("mpii", Options)
    assert config.detect.score == 0.5 and config.detect.iou == 0.1
    assert config.detect.expand == 1.25 and config.box.source == "detect"
    assert config.dataset.min_joints == 7  # more than 6
    assert miniature.NAMES == NAMES

"""Human3.6M: the shifted takes, names that differ, numbers that must agree."""

import shutil

import numpy as np
import pytest

from posepile.ds.h36m import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import project
from posepile.miniature import writers


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "h36m"
    shutil.copytree(raw_miniature("h36m"), target)
    return target


def units(root, **options):
    options = main.Options(**options)
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name, **options):
    unit, options = units(root, **options)[name]
    return main.load_unit(root, unit, options)[0]


def test_takes_are_those_with_videos_under_either_name(root):
    names = {name.rpartition("/")[0] for name in units(root)}
    assert names == {"S1/WalkingDog 1", "S9/Greeting", "S9/Greeting 1"}  # without _ALL
    unit, _ = units(root)["S1/WalkingDog 1/54138969"]
    assert any(path.name == "WalkDog 1.cdf" for path in unit.inputs)
    assert load(root, "S1/WalkingDog 1/54138969").tracks[0].activity == "WalkDog"
    assert len(units(root, subjects=["S9"])) == 8
    with pytest.raises(UsageError, match="no subject S2"):
        units(root, subjects=["S2"])


def test_the_shift_of_s9_is_undone_in_poses_and_boxes(root):
    for camera in main.CAMERAS:
        fixed = load(root, f"S9/Greeting/{camera}")
        as_published = load(root, f"S9/Greeting/{camera}", correct_s9=False)
        track, other = fixed.tracks[0], as_published.tracks[0]
        off = track.world_coords - other.world_coords - [-200, 0, 0]
        assert np.abs(off).max() < 1e-3
        points = project(fixed.camera, track.world_coords)
        for k in range(len(track.frames)):
            x, y, w, h = track.bbox[k]
            assert (points[k] > [x - 3, y - 3]).all() and (
                points[k] < [x + w + 3, y + h + 3]
            ).all()
        assert abs(other.bbox[0][0] - track.bbox[0][0]) > 20
    plain = load(root, "S9/Greeting 1/54138969")
    same = load(root, "S9/Greeting 1/54138969", correct_s9=False)
    np.testing.assert_array_equal(plain.tracks[0].world_coords, same.tracks[0].world_coords)


def test_functions_that_training_code_imports(root):
    zero = np.zeros((1, 3))
    for path, shift in (
        ("h36m/S9/Images/Greeting.54138969/frame_000000.jpg", -200),
        ("h36m/S9/MyPoseFeatures/D3_Positions/Waiting 1.cdf", -200),
        ("h36m/S9/Images/Greeting 1.54138969/frame_000000.jpg", 0),
        ("h36m/S11/Images/Greeting.54138969/frame_000000.jpg", 0),
    ):
        assert main.correct_world_coords(zero, path)[0, 0] == shift
    cameras = main.get_cameras(root / main.METADATA)
    assert len(cameras) == 4 and len(cameras[0]) == 11


def test_test_frames_are_those_of_the_benchmark_and_the_lens_is_the_devkits(root):
    sequence = load(root, "S9/Greeting/54138969")
    assert sequence.tracks[0].frames.tolist() == [0, 64]
    assert sequence.image_name(64, 0) == "S9/Images/Greeting.54138969/frame_000064.jpg"
    train = load(root, "S1/WalkingDog 1/60457274")
    assert np.diff(train.tracks[0].frames).tolist() == [5] * 4
    assert train.checks["projection_px"] < 0.01


def test_numbers_that_do_not_fit_together_are_named(root):
    path = root / "S9/MyPoseFeatures/D3_Positions/Greeting 1.cdf"
    writers.write_cdf(path, {"Pose": np.zeros((1, 9, 96), np.float32)})
    with pytest.raises(CorruptInput, match=r"Greeting 1\.cdf: Pose: found shape \(1, 9, 96\)"):
        load(root, "S9/Greeting 1/54138969")
    pixels = root / "S1/MyPoseFeatures/D2_Positions/WalkDog 1.54138969.cdf"
    writers.write_cdf(pixels, {"Pose": np.zeros((1, 21, 64), np.float32)})
    with pytest.raises(CorruptInput, match=r"D2_Positions.*px from its published place"):
        load(root, "S1/WalkingDog 1/54138969")
    (root / main.METADATA).write_text("<a><mapping/></a>")
    main.read_metadata.cache_clear()
    with pytest.raises(CorruptInput, match="not the devkit's metadata"):
        load(root, "S9/Greeting/54138969")
    main.read_metadata.cache_clear()

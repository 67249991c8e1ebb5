"""Readers of calibrations and key points of people's own recordings; what is found in a folder."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from own_recordings import JOINTS, LAYOUTS, make_recordings

from posepile.errors import CorruptInput, UsageError
from posepile.formats.point_files import read_points
from posepile.geometry.calibrations import read_calibration
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import project
from posepile.miniature import rig
from posepile.miniature.recordings import write_calibration, write_points
from posepile.recordings.filled import filled_files
from posepile.recordings.found import _points_pattern, _video_pattern, look_at_recordings
from posepile.recordings.labels import bones, our_joints

POINTS = np.random.default_rng(0).uniform((-700, -700, 200), (700, 700, 1600), (50, 3))


def cameras(fisheye=False):
    lens = (0.02, -0.01, 0.003, 0.001) if fisheye else (-0.1, 0.04, 0.001, -0.002, 0.01)
    return {
        name: rig.make_camera(
            (960, 720), (x, -4200, 1100), (0, 0, 900), 1000, shift=(9, -5), stretch=1.01,
            distortion=lens, fisheye=fisheye,
        )
        for name, x in (("cam_a", -900), ("b", 0), ("c 3", 900))
    }  # fmt: skip


# ---------------------------------------------------------------- calibrations


@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("anipose", "Calib.toml"),
        ("json", "calibration.json"),
        ("opencv", "folder"),
        ("easymocap", "folder"),
        ("colmap", "sparse"),
        ("colmap_binary", "sparse"),
        *(("named", f"cameras{kind}") for kind in (".yml", ".xml", ".npz")),
    ],
)
@pytest.mark.parametrize("unit", ["mm", "m"])
def test_cameras_come_back_from_every_form(tmp_path, form, place, unit):
    expected = cameras()
    if form in ("named", "easymocap"):
        expected = {name.replace(" ", ""): camera for name, camera in expected.items()}
    write_calibration(tmp_path / place, expected, {"mm": 1, "m": 1000}[unit], form)
    found = read_calibration(tmp_path / place)
    assert set(found) == set(expected)
    for name, camera in expected.items():
        ours = make_camera(name, **found[name], unit=unit)
        assert np.abs(project(ours, POINTS) - camera.project(POINTS)).max() < 0.01
        assert found[name]["size"] == (960, 720)


@pytest.mark.parametrize(("form", "place"), [("anipose", "a.toml"), ("colmap", "sparse")])
def test_fisheye_lenses(tmp_path, form, place):
    write_calibration(tmp_path / place, cameras(fisheye=True), 1, form)
    for name, camera in cameras(fisheye=True).items():
        ours = make_camera(name, **read_calibration(tmp_path / place)[name])
        assert np.abs(project(ours, POINTS) - camera.project(POINTS)).max() < 0.01


def changed(old, new):
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("form", "file", "change", "said"),
    [
        ("anipose", "a.toml", changed("translation", "where"), "'cam_a': found no translation"),
        ("anipose", "a.toml", changed('"b"', '"cam_a"'), "found two cameras 'cam_a'; expected"),
        (
            "anipose",
            "a.toml",
            changed("960.0", "-1.0"),
            r"size: found \[-1, 720\]; expected width",
        ),
        ("anipose", "a.toml", changed("[cam_0]", "[cam_0"), "not valid TOML"),
        ("anipose", "a.toml", lambda text: "", "a.toml: found no camera; expected a matrix K"),
        ("json", "a.json", changed('"R": [[', '"R": [[9'), "rotation is off by .*; expected a"),
        ("json", "a.json", changed('"K"', '"X"'), None),
        ("colmap", "images.txt", changed("cam_a.png", "b.png"), "two pictures 'b.png'; expected"),
        ("colmap", "images.txt", changed("1 0", "1 7"), "quaternion of length|camera"),
        ("colmap", "cameras.txt", changed("FULL_OPENCV", "FOV"), "camera model 'FOV'; expected S"),
        ("colmap", "cameras.txt", changed("960 720", "960"), "cameras.txt, line 2: found|param"),
        ("colmap", "cameras.txt", changed("\n2 ", "\n1 "), "found camera 1 twice; expected it"),
    ],
)
def test_damaged_calibrations(tmp_path, form, file, change, said):
    place = tmp_path / file if form != "colmap" else tmp_path
    write_calibration(place, cameras(), 1, form)
    text = (tmp_path / file).read_text()
    assert change(text) != text
    (tmp_path / file).write_text(change(text))
    if said is None:  # one camera less
        assert set(read_calibration(place)) == {"b", "c 3"}
    else:
        with pytest.raises(CorruptInput, match=said):
            read_calibration(place)


@pytest.mark.parametrize("fisheye", [False, True])
@pytest.mark.parametrize("n", [2, 3, 6, 9, 13])
def test_coefficients_that_no_lens_of_opencv_has(tmp_path, n, fisheye):
    write_calibration(tmp_path / "a.toml", cameras(), 1, "anipose")
    text = (tmp_path / "a.toml").read_text()
    numbers = ", ".join(["0.01"] * n)
    text = re.sub(r"distortions = .*", f"distortions = [{numbers}]", text)
    text = text.replace("fisheye = false", f"fisheye = {str(fisheye).lower()}")
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(CorruptInput, match=f"'cam_a': found {n} coefficients of .*; expected"):
        read_calibration(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rotation", "[90.0, 0.0, 0.0]", "vector of length 90; expected radians.*in degrees"),
        ("rotation", "[4.0, 4.0, 4.0]", "rotation vector of length 6.93; expected radians"),
        ("translation", "[true, 0.0, 3.0]", "t: found .*; expected numbers"),
        ("matrix", "[[true, 0, 3], [0, true, 2], [0, 0, true]]", "K: found .*; expected numbers"),
    ],
)
def test_numbers_that_are_none(tmp_path, key, value, said):
    write_calibration(tmp_path / "a.toml", cameras(), 1, "anipose")
    text = (tmp_path / "a.toml").read_text()
    (tmp_path / "a.toml").write_text(re.sub(f"(?m)^{key} = .*$", f"{key} = {value}", text))
    with pytest.raises(CorruptInput, match=said):
        read_calibration(tmp_path / "a.toml")


def test_several_pictures_of_one_camera_are_refused(tmp_path):
    write_calibration(tmp_path, cameras(), 1, "colmap")
    text = (tmp_path / "images.txt").read_text()
    text = text.replace("cam_a.png", "front/1.png").replace("b.png", "front/2.png")
    (tmp_path / "images.txt").write_text(text)
    with pytest.raises(CorruptInput, match="several pictures of camera 'front'; expected one"):
        read_calibration(tmp_path)


def test_binary_reconstructions_that_are_cut_short(tmp_path):
    write_calibration(tmp_path, cameras(), 1, "colmap_binary")
    for name in ("cameras.bin", "images.bin"):
        data = (tmp_path / name).read_bytes()
        for n in (0, 7, 30, len(data) - 1):
            (tmp_path / name).write_bytes(data[:n])
            with pytest.raises(CorruptInput, match="truncated|expected what .* bytes can hold"):
                read_calibration(tmp_path)
        (tmp_path / name).write_bytes(data)


# ---------------------------------------------------------------- key points


coordinate = st.one_of(st.just(np.nan), st.floats(-1e4, 1e4).map(lambda x: round(x, 3)))


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.lists(coordinate, min_size=6, max_size=6), min_size=1, max_size=5),
    form=st.sampled_from([".trc", ".csv", ".npy", ".c3d", "deeplabcut", "long"]),
)
def test_points_come_back_from_every_form(tmp_path_factory, numbers, form):
    points = np.array(numbers).reshape(-1, 2, 3)
    points[(points == 0).all(axis=-1)] = np.nan  # in every form
    if form == ".c3d":  # a point is there or not
        points[np.isnan(points).any(axis=-1)] = np.nan
    path = tmp_path_factory.mktemp("points") / f"walk{form if form[0] == '.' else '.csv'}"
    write_points(path, points, ["L_Knee", "R.Knee"], 50, form=form)
    found = read_points(path)
    assert found.points.shape == points.shape
    np.testing.assert_allclose(found.points, points, rtol=1e-6, atol=1e-4)
    if form != ".npy":
        assert found.labels == ["L_Knee", "R.Knee"]
    known = form in (".trc", ".c3d")
    assert (found.rate, found.unit) == ((50, "mm") if known else (None, None))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("a.trc", changed("PathFileType", "Path"), "line 1: found .*; expected PathFileType"),
        ("a.trc", changed("NumFrames", "Frames"), "line 2: found no NumFrames; expected it"),
        ("a.trc", changed("Neck", "Hip"), "found two points 'Hip'; expected names that differ"),
        ("a.trc", changed("\tNeck\t\t\t", ""), "line 4: found 1 markers; expected 2"),
        ("a.trc", changed("\t2.0", "\tx"), "line 7: found 'x'; expected a number"),
        ("a.trc", changed("\tmm\t", "\tinch\t"), "found the unit 'inch'; expected mm, cm or m"),
        ("a.trc", lambda t: t.rpartition("\n2\t")[0], "found 1 rows; expected 2, as in line 3"),
        ("a.csv", changed("_x", "_u"), None),
        ("a.csv", lambda t: t.replace("_x", "_u"), "expected <name>_x, _y and _z"),
        ("a.csv", changed("2.0", "two"), "line 2: found 'two'; expected a number"),
        ("a.csv", changed(",4.0,5.0,6.0,0", ""), "line 2: found 3 cells; expected 7, as in line"),
        ("a.csv", lambda t: "", "found no row; expected a header"),
        ("a.trc", changed("\n2\t", "\n3\t"), "line 8: found row 3 after row 1; expected 2"),
        ("a.trc", changed("\n2\t", "\n1\t"), "line 8: found row 1 after row 1; expected 2"),
        ("a.csv", changed(",1\n", ",2\n"), "line 3: found row 2 after row 0; expected 1"),
        ("a.csv", changed(",1\n", ",\n"), "line 3: found no number of the row; expected 1"),
        ("a.csv", changed(",0\n", ",0.5\n"), "line 2: found row 0.5; expected a whole number"),
        ("dlc.csv", changed("\n1,", "\n4,"), "line 5: found row 4 after row 0; expected 1"),
        ("long.csv", changed("1,Hip", "0,Hip"), "line 4: found 'Hip' of frame 0 again"),
        ("long.csv", changed("1,Hip", "2,Hip"), "found 4 rows; expected 2 for each of 3 frames"),
        ("dlc.csv", changed("bodyparts", "individuals"), "expected bodyparts and coords"),
    ],
)
def test_damaged_points(tmp_path, file, change, said):
    points = np.arange(12.0).reshape(2, 2, 3) + 1
    form = {"long.csv": "long", "dlc.csv": "deeplabcut"}.get(file, "")
    write_points(tmp_path / file, points, ["Hip", "Neck"], form=form)
    text = (tmp_path / file).read_text()
    assert change(text) != text
    (tmp_path / file).write_text(change(text))
    if said is None:  # a point that lacks an axis does not count
        assert read_points(tmp_path / file).labels == ["Neck"]
    else:
        with pytest.raises(CorruptInput, match=said):
            read_points(tmp_path / file)


@pytest.mark.parametrize("form", [".trc", ".csv", ".npy", ".c3d", "deeplabcut", "long"])
def test_points_at_the_origin_are_missing(tmp_path, form):
    path = tmp_path / f"a{form if form[0] == '.' else '.csv'}"
    points = np.array([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    write_points(path, points, ["Hip", "Neck"], form=form)
    lost, there = read_points(path).points[0]
    assert np.isnan(lost).all() and there.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("file", "old", "new", "first"),
    [
        ("a.trc", "\n1\t", "\n101\t", 101),
        ("a.trc", "\n1\t", "\n\t", None),
        ("a.csv", ",0\n", ",7\n", 7),
        ("dlc.csv", "\n0,", "\n7,", 7),
        ("dlc.csv", "\n0,", "\na.png,", None),
        ("long.csv", "\n0,", "\n7,", 7),
        ("a.npy", "", "", None),
    ],
)
def test_numbers_of_rows_are_read(tmp_path, file, old, new, first):
    form = {"long.csv": "long", "dlc.csv": "deeplabcut"}.get(file, "")
    write_points(tmp_path / file, np.ones((1, 2, 3)), ["Hip", "Neck"], form=form)
    if old:
        (tmp_path / file).write_text((tmp_path / file).read_text().replace(old, new))
    assert read_points(tmp_path / file).first == first


# ---------------------------------------------------------------- what is found in a folder


@pytest.mark.parametrize(
    "labels",
    [
        "Hip,LHip,RHip,LKnee,RKnee,LBigToe,RBigToe",
        "pelvis,left_hip,right_hip,left_knee,right_knee,left_foot_index,right_foot_index",
        "Hips,LeftHip,RightHip,LeftKnee,RightKnee,LeftToe,RightToe",
        "S1:root,S1:hip_l,S1:hip_r,S1:knee_l,S1:knee_r,S1:l_toe,S1:r_toe",
    ],
)
def test_joints_by_what_others_call_them(labels):
    labels = labels.split(",")
    found = our_joints([*labels, "ball", "LElbow"])  # of which there is but one side
    expected = ["pelv", "lhip", "rhip", "lkne", "rkne", "ltoe", "rtoe"]
    assert {joint: label for joint, (label, _) in found.items()} == dict(
        zip(expected, labels, strict=True)
    )
    assert bones(found) == "pelv-lhip-lkne-ltoe"


@pytest.mark.parametrize("name", LAYOUTS)
def test_patterns_of_the_usual_layouts(name):
    layout = LAYOUTS[name]
    videos = [
        Path(layout.video.replace("<take>", take).replace("<camera>", camera))
        for take in layout.takes
        for camera in layout.cameras
    ]
    pattern, takes, names = _video_pattern(videos, layout.cameras)
    assert (pattern, takes, names) == (layout.video, list(layout.takes), {})
    points = [Path(layout.keypoints.replace("<take>", take)) for take in layout.takes]
    found = _points_pattern(points, takes)
    assert found in (layout.keypoints, layout.keypoints.rpartition("/")[0] + "/*.trc")


def test_cameras_that_videos_call_otherwise():
    videos = [Path(f"jump/{name}.mp4") for name in ("GH01", "GH02")]
    pattern, takes, names = _video_pattern(videos, ["int_a", "int_b"])
    assert (pattern, takes) == ("<take>/<camera>.mp4", ["jump"])
    assert names == {"GH01": "int_a", "GH02": "int_b"}


def test_a_video_without_calibration_does_not_hide_the_takes(tmp_path):
    make_recordings(tmp_path, LAYOUTS["anipose"], n_frames=16)
    videos = tmp_path / "videos-raw"
    (videos / "jump_1-camC.mp4").write_bytes((videos / "jump_1-camB.mp4").read_bytes())
    found = look_at_recordings(tmp_path)
    assert found.recordings.video == "videos-raw/<take>-cam<camera>.mp4"
    assert found.takes == ["jump_1", "jump_2"] and found.share > 0.85
    (said,) = [line for line in found.said if "no calibration" in line]
    assert said.startswith("no calibration of camera 'C' (there: 'A', 'B'): calibrate it, say in")


def test_mirrored_key_points_are_not_chosen_axes_for_without_doubt(tmp_path):
    make_recordings(tmp_path, LAYOUTS["anipose"])
    for path in (tmp_path / "pose-3d").iterdir():
        points = read_points(path)
        write_points(path, points.points * [-1, 1, 1], points.labels)
    said = look_at_recordings(tmp_path).said
    assert any("these are probably wrong: expected 85%" in line for line in said), said


@pytest.mark.parametrize("name", ["opencv", "colmap", "freemocap"])
def test_units_and_axes_are_found(tmp_path, name):
    layout = LAYOUTS[name]
    make_recordings(tmp_path, layout, n_frames=10)
    found = look_at_recordings(tmp_path)
    facts = found.recordings
    assert (facts.video, facts.calibration) == (layout.video, layout.calibration)
    assert facts.camera_unit == {1: "mm", 1000: "m"}[layout.camera_mm]
    assert facts.axes == "xyz" and facts.rows_per_frame == layout.rows_per_frame
    assert found.up == (0, 0, 1) and found.share > 0.85
    assert list(facts.joints) == JOINTS
    # What is written down is what was found.
    written: dict = {}
    files = filled_files("gym", tmp_path, found)
    exec(files["facts.py"], written)
    splits = {layout.takes[-1]: "test"}
    assert written["RECORDINGS"] == replace(facts, splits=splits)
    assert written["SPEC"].name == "gym" and written["SPEC"].world_up == (0, 0, 1)
    told = files["README.md"].split("```")[1].splitlines()[1:]
    layout_told = [line.split("  ")[0] for line in told]
    assert "z up; millimetres" in files["README.md"] and len(layout_told) == 3
    assert layout_told == [e["path"] for e in yaml.safe_load(files["sources.yaml"])["layout"]]
    for entry in yaml.safe_load(files["sources.yaml"])["layout"]:
        path = re.sub(r"<\w+>", "*", entry["path"])
        assert sorted(tmp_path.glob(path)), path


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("videos", "found no video; expected a file in .avi"),
        ("calibration", "found no calibration; expected a toml"),
        ("pose-3d", "found no 3D key points; expected c3d, trc, csv or npy"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, lacking, said):
    make_recordings(tmp_path, LAYOUTS["pose2sim"], n_frames=3)
    for path in sorted(tmp_path.rglob("*")):
        if lacking in path.parts and path.is_file():
            path.unlink()
    with pytest.raises(UsageError, match=said):
        look_at_recordings(tmp_path)
    with pytest.raises(UsageError, match="found no such folder"):
        look_at_recordings(tmp_path / "nothing")

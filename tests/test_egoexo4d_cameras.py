"""Ego-Exo4D: the lens behind the released matrix, and the lens of the glasses."""

import json
import shutil
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from egoexo4d_kit import (
    CAM01,
    CAM02,
    EGO,
    GP01,
    SIZES,
    copy_of,
    lens_matrix,
    load,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.ds.egoexo4d import (
    aria,
    cameras,
    main,
    miniature,
)
from posepile.errors import CorruptInput
from posepile.formats import aria_files
from posepile.geometry import fitting
from posepile.geometry.pictures import project


@pytest.fixture
def raw(raw_miniature):
    return raw_miniature("egoexo4d")


@pytest.fixture
def copy(raw, tmp_path):
    """A miniature whose labels and metadata may be changed."""
    return copy_of(raw, tmp_path / "egoexo4d")


@settings(max_examples=60, deadline=None)
@given(
    f=st.floats(1480, 4500),
    k=st.tuples(*[st.floats(-a, a) for a in (0.06, 0.02, 0.01, 0.004)]),
    size=st.sampled_from(SIZES),
)
def test_the_lens_is_recovered_from_the_released_matrix(f, k, size):
    k = np.array(k)
    released = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        lens_matrix(f, size), k, size, np.eye(3), balance=0.8
    )
    angles = np.radians(np.linspace(0, 85, 500))
    bent = angles * (1 + angles**2 * np.polyval(k[::-1], angles**2))
    if (np.diff(bent) <= 0).any() or max(size) / 2 / f > bent[-1]:
        return  # no lens: it does not reach the border of the image
    matrix, found_size = cameras.recover_lens(released, k)
    assert found_size == size
    again = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        matrix, k, size, np.eye(3), balance=0.8
    )
    assert abs(again[0, 0] - released[0, 0]) <= 1e-4
    assert abs(matrix[0, 0] / f - 1) <= 1e-6
    np.testing.assert_allclose(matrix[:2, 2], np.array(size) / 2)


def test_a_lens_that_cannot_be_recovered_is_refused():
    k = np.array([0.03, -0.01, 0.009, -0.004])
    released = cameras.released_matrix(lens_matrix(1760, (3840, 2160)), k, (3840, 2160))
    off_centre = released + np.array([[0, 0, 3.0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(CorruptInput, match=r"principal point.*take_trajectory"):
        cameras.recover_lens(off_centre, k, "file, cam01")
    too_long = released * np.array([[9.0], [9.0], [1.0]])
    too_long[:2, 2] = 1920, 1080
    with pytest.raises(CorruptInput, match="no focal length"):
        cameras.recover_lens(too_long, k, "file, cam01")


@pytest.mark.parametrize("portrait", [False, True])
def test_the_camera_projects_as_the_lens_and_not_as_the_released_matrix(portrait):
    cam = miniature.gopro(12, 5, 1.5, upright=portrait)
    entry = camera_entry(cam)
    lens = cameras.exo_lens(entry, [], "here")
    assert lens.source == "recovered" and lens.size == cam.size
    points = miniature.joints_of(miniature.REPAIR)[1, miniature.BODY]
    truth = cam.project(points)
    mine = project(cameras.make_camera(lens), points)
    np.testing.assert_allclose(mine, truth, atol=0.02)
    wrong = replace(cam, intrinsics=miniature.undistorted(cam).intrinsics).project(points)
    assert np.abs(wrong - truth).max() > 50  # what combining the two would cost


def camera_entry(cam, **more):
    entry = miniature.camera_entry(cam) | more
    return {key: np.array(value).tolist() for key, value in entry.items()}


def test_gopro_calibs_blanks_and_quality(tmp_path):
    cams = {
        "cam01": miniature.gopro(10, 5, 1.7),
        "cam02": miniature.gopro(-9, 4, 1, upright=True),
    }
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, cams)
    assert ", KANNALABRANDTK3," in path.read_text()  # the blanks are there
    rows = cameras.read_gopro_calibs(path)
    assert set(rows) == {"cam01", "cam02"}, "cam03 has quality 0"
    for name, cam in cams.items():
        (row,) = rows[name]
        np.testing.assert_allclose(row.matrix, cam.intrinsics)
        np.testing.assert_allclose(row.distortion, miniature.LENS_D)
        np.testing.assert_allclose(row.rotation, cam.rotation, atol=1e-9)
        np.testing.assert_allclose(1000 * row.translation, cam.translation, atol=1e-6)
        lens = cameras.exo_lens(camera_entry(cam), [row], "here")
        assert lens.source == "gopro_calibs" and lens.size == cam.size


@pytest.mark.parametrize("quality", ["0", "-1"])
def test_cameras_that_are_not_localized_in_the_csv_are_recovered(tmp_path, quality):
    cam = miniature.gopro(10, 5, 1.7)
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, {"cam01": cam})
    path.write_text(path.read_text().replace(", 1\n", f", {quality}\n"))
    assert cameras.read_gopro_calibs(path) == {}
    # of a camera that is not localized nothing else need be there
    header, row = path.read_text().splitlines()[:2]
    names, values = header.split(","), row.split(",")
    values = [v if n.strip() in ("cam_uid", "quality") else "" for n, v in zip(names, values)]  # noqa: B905
    path.write_text(f"{header}\n{','.join(values)}\n")
    assert cameras.read_gopro_calibs(path) == {}


def test_a_csv_of_an_upright_camera_given_as_landscape_is_turned(tmp_path):
    cam = miniature.gopro(10, 5, 1.7, upright=True)
    path = tmp_path / "gopro_calibs.csv"
    size = (3840, 2160)
    lying = replace(cam, size=size, intrinsics=lens_matrix(miniature.LENS_F, size))
    miniature.write_gopro_calibs(path, {"cam01": lying})
    lens = cameras.exo_lens(camera_entry(cam), cameras.read_gopro_calibs(path)["cam01"], "here")
    assert lens.size == (2160, 3840)
    np.testing.assert_allclose(lens.matrix, cam.intrinsics)


def test_the_two_sources_must_agree(tmp_path):
    cam = miniature.gopro(10, 5, 1.7)
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, {"cam01": cam})
    (row,) = cameras.read_gopro_calibs(path)["cam01"]
    other = replace(cam, intrinsics=lens_matrix(1.002 * miniature.LENS_F, (3840, 2160)))
    with pytest.raises(CorruptInput, match=r"released fx .* gives .*allowed 0.001"):
        cameras.exo_lens(camera_entry(other), [row], "pose.json, cam01", "calibs.csv")
    moved = replace(cam, translation=cam.translation + np.array([50, 0, 0]))
    with pytest.raises(CorruptInput, match=r"pose differs from calibs.csv .*50.0 mm"):
        cameras.exo_lens(camera_entry(moved), [row], "pose.json, cam01", "calibs.csv")
    with pytest.raises(CorruptInput, match="distortion differs"):
        d = miniature.LENS_D + np.array([0, 0.002, 0, 0])
        entry = camera_entry(cam, distortion_coeffs=d)
        cameras.exo_lens(entry, [row], "pose.json, cam01", "calibs.csv")


def test_another_lens_model_or_a_broken_row_is_named(tmp_path):
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, {"cam01": miniature.gopro(10, 5, 1.7)})
    text = path.read_text()
    path.write_text(text.replace("KANNALABRANDTK3", "FISHEYE624", 1))
    with pytest.raises(CorruptInput, match=r"line 2\.intrinsics_type: found 'FISHEYE624'"):
        cameras.read_gopro_calibs(path)
    path.write_text(text.replace("3840", "wide", 1))
    with pytest.raises(CorruptInput, match="line 2, column image_width: found 'wide'"):
        cameras.read_gopro_calibs(path)


def test_the_self_check_uses_undistorted_pixels(raw):
    for unit_id in (CAM01, CAM02, GP01):
        assert load(raw, unit_id).checks["reprojection_px"] <= 0.5
    assert load(raw, EGO, ego=True).checks["reprojection_px"] <= 0.5


def test_gaps_in_the_trajectory_are_missing_poses(raw):
    sequence = load(raw, EGO, ego=True)
    gap = miniature.GAP
    assert sequence.camera(gap) is None
    assert gap not in sequence.tracks[0].frames
    assert sequence.dropped["no pose of the glasses in this frame"] == 1
    truth = miniature.glasses(miniature.REPAIR, gap + 1)  # looked up by key, not by position
    camera = sequence.camera(gap + 1)
    np.testing.assert_allclose(camera.R, truth.rotation, atol=1e-6)
    np.testing.assert_allclose(camera.t, truth.center, atol=0.01)


def test_the_lens_of_the_glasses_is_matched_or_refused():
    params = aria_files.recorded_lens(miniature.GLASSES)
    np.testing.assert_allclose(params[:3], [608.35, 714.9, 706.8])
    field = (params, aria.RECORDED_SIZE, aria.MAX_ANGLE)
    _, _, residual = fitting.fit_fisheye624("calib", *field, aria.MAX_RESIDUAL)
    assert residual <= 0.2
    rng = np.random.default_rng(0)
    rays = np.c_[rng.uniform(-0.9, 0.9, (50, 2)), np.ones(50)]
    mine = fitting.project_fisheye624(params, rays)
    theirs = miniature.Glasses((1408, 1408), np.eye(3), np.eye(3), np.zeros(3)).project(rays)
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    with pytest.raises(CorruptInput, match=r"matched only to 0\.\d\d px, allowed 0.01"):
        fitting.fit_fisheye624("another file", *field, 0.01)


def test_a_lens_that_is_not_matched_says_what_to_do(raw, monkeypatch):
    monkeypatch.setattr(aria, "MAX_RESIDUAL", 0.01)
    with pytest.raises(CorruptInput, match=rf"{miniature.REPAIR}\.json: .*dataset.ego=false"):
        load(raw, EGO, ego=True)


def test_calibration_is_found_in_the_recording(tmp_path):
    text = json.dumps(
        {
            "CameraCalibrations": [
                {
                    "Label": "camera-rgb",
                    "Projection": {
                        "Name": "FisheyeRadTanThinPrism",
                        "Params": miniature.GLASSES.tolist(),
                    },
                }
            ]
        }
    ).encode()
    path = tmp_path / "aria01_noimagestreams.vrs"
    tag = struct.pack("<I", 10) + b"calib_json" + struct.pack("<I", len(text)) + text
    path.write_bytes(b"VRS\0 the words calib_json alone are no tag" + bytes(99) + tag + bytes(999))
    np.testing.assert_array_equal(aria_files.read_aria_lens(path), miniature.GLASSES)
    path.write_bytes(bytes(5000))
    with pytest.raises(CorruptInput, match="no calib_json tag"):
        aria_files.read_aria_lens(path)


def test_glasses_without_calibration_say_what_to_download(copy):
    shutil.rmtree(copy / "aria_calib_json")
    with pytest.raises(CorruptInput, match="take_vrs_noimagestream"):
        load(copy, EGO, ego=True)
    assert any("no factory calibration" in p for p in main.doctor(copy, main.Options(ego=True)))
    assert main.doctor(copy, main.Options()) == []

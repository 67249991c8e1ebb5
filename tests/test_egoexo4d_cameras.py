"""Ego-Exo4D: the lens behind the released matrix, and the lens of the glasses."""

import dataclasses
import shutil

import cv2
import numpy as np
import pytest
from egoexo4d_kit import (
    CAM01,
    CAM02,
    EGO,
    GP01,
    SIZES,
    aria_pose,
    body_of,
    copy_of,
    lens_matrix,
    load,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.ds.egoexo4d import (
    cameras,
    main,
    miniature,
)
from posepile.errors import CorruptInput
from posepile.formats import aria_files
from posepile.geometry import fitting
from posepile.geometry.pictures import project
from posepile.geometry.rotations import quaternion_matrix
from posepile.geometry.static_lens import Released, recover_lens
from posepile.miniature import kit, writers


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
    matrix, found_size = recover(released, k)
    assert found_size == size
    again = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        matrix, k, size, np.eye(3), balance=0.8
    )
    assert abs(again[0, 0] - released[0, 0]) <= 1e-4
    assert abs(matrix[0, 0] / f - 1) <= 1e-6
    np.testing.assert_allclose(matrix[:2, 2], np.array(size) / 2)


def recover(matrix, k):
    released = Released(matrix, k, cameras.BALANCE, cameras.FULL_SIZES)
    return recover_lens("file, cam01", released, hint=cameras.GET_CALIBS)


def released_by(matrix, k, size=(3840, 2160)):
    return fitting.undistorted_matrix(matrix, k, size, 0.8)


def test_a_lens_that_cannot_be_recovered_is_refused():
    k = np.array([0.03, -0.01, 0.009, -0.004])
    released = released_by(lens_matrix(1760, (3840, 2160)), k)
    off_centre = released + np.array([[0, 0, 3.0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(CorruptInput, match=r"principal point.*take_trajectory"):
        recover(off_centre, k)
    too_long = released * np.array([[9.0], [9.0], [1.0]])
    too_long[:2, 2] = 1920, 1080
    with pytest.raises(CorruptInput, match="no focal length"):
        recover(too_long, k)


@pytest.mark.parametrize("upright", [False, True])
def test_the_camera_projects_as_the_lens_and_not_as_the_released_matrix(upright):
    cam = miniature.gopro(12, 5000, 1500, upright=upright)
    camera, undistorted = cameras.load_cameras(
        camera_entry(cam), None, "here", "cam01", main.Options()
    )
    assert camera.image_shape == cam.size[::-1]
    points = body_of(miniature.wearer(miniature.DANCE)[1])
    truth = cam.project(points)
    np.testing.assert_allclose(project(camera, points), truth, atol=0.02)
    pose, released = (cam.rotation, cam.translation), miniature.released_matrix(cam)
    straight = kit.project(points, released, *pose)
    np.testing.assert_allclose(project(undistorted, points), straight, atol=0.02)
    wrong = kit.project(points, released, *pose, np.array(cam.distortion), fisheye=True)
    assert np.abs(wrong - truth).max() > 50  # what combining the two would cost


def camera_entry(cam, d=miniature.LENS_D, released=None, shift=0.0):
    return {
        "camera_intrinsics": miniature.released_matrix(cam) if released is None else released,
        "camera_extrinsics": cam.matrix(1000)[:3] + np.eye(3, 4, 3) * shift,
        "distortion_coeffs": np.array(d),
    }


def gopro(**more):
    return miniature.gopro(10, 5000, 1700, **more)


@pytest.fixture
def csv(tmp_path):
    """Writes gopro_calibs.csv of some cameras."""

    def write(**cams):
        cams |= {"cam03": cams["cam01"]}
        writers.write_static_calibs(tmp_path / "gopro_calibs.csv", cams, bad=["cam03"])
        return tmp_path / "gopro_calibs.csv"

    return write


def test_gopro_calibs_blanks_and_quality(csv):
    cams = {"cam01": gopro(), "cam02": miniature.gopro(-9, 4000, 1000, upright=True)}
    path = csv(**cams)
    assert ", KANNALABRANDTK3," in path.read_text()  # the blanks are there
    rows = aria_files.read_static_calibs(path)
    assert set(rows) == {"cam01", "cam02"}, "cam03 has quality 0"
    for name, cam in cams.items():
        (row,) = rows[name]
        np.testing.assert_allclose(row["intrinsics"], cam.intrinsics)
        np.testing.assert_allclose(row["distortion"], miniature.LENS_D)
        np.testing.assert_allclose(row["center"], cam.center / 1000, atol=1e-9)
        to_world = quaternion_matrix(row["rotation"])
        np.testing.assert_allclose(to_world, cam.rotation.T, atol=1e-9)
        matrix, _, size = cameras.gopro_lens(
            camera_entry(cam), [row], "here", "calibs.csv", main.Options()
        )
        assert matrix.tolist() == row["intrinsics"].tolist() and size == cam.size


@pytest.mark.parametrize("quality", ["0", "-1"])
def test_cameras_that_are_not_localized_in_the_csv_are_recovered(csv, quality):
    path = csv(cam01=gopro())
    path.write_text(path.read_text().replace(", 1\n", f", {quality}\n"))
    assert aria_files.read_static_calibs(path) == {}
    # of a camera that is not localized nothing else need be there
    header, row = path.read_text().splitlines()[:2]
    names, values = header.split(","), row.split(",")
    kept = ("cam_uid", "quality")
    values = [v if n.strip() in kept else "" for n, v in zip(names, values, strict=True)]
    path.write_text(f"{header}\n{','.join(values)}\n")
    assert aria_files.read_static_calibs(path) == {}
    camera, _ = cameras.load_cameras(camera_entry(gopro()), path, "here", "cam01", main.Options())
    assert abs(camera.intrinsic_matrix[0, 0] / miniature.LENS_F - 1) < 1e-6


def test_a_csv_of_an_upright_camera_given_as_landscape_is_turned(csv):
    cam = gopro(upright=True)
    matrix = lens_matrix(miniature.LENS_F, (3840, 2160))
    lying = dataclasses.replace(cam, size=(3840, 2160), intrinsics=matrix)
    rows = aria_files.read_static_calibs(csv(cam01=lying))["cam01"]
    matrix, _, size = cameras.gopro_lens(
        camera_entry(cam), rows, "here", "calibs.csv", main.Options()
    )
    assert size == (2160, 3840)
    np.testing.assert_allclose(matrix, cam.intrinsics)


def test_the_two_sources_must_agree(csv):
    cam = gopro()
    rows = aria_files.read_static_calibs(csv(cam01=cam))["cam01"]

    def lens(limits=(), **entry):
        options = main.Options(**dict(limits))
        given = camera_entry(cam, **entry), rows, "pose, cam01", "calibs.csv"
        return cameras.gopro_lens(*given, options)

    matrix = lens_matrix(1.002 * miniature.LENS_F, (3840, 2160))
    with pytest.raises(CorruptInput, match=r"released fx .* gives .*allowed 0.001"):
        lens(released=released_by(matrix, np.array(miniature.LENS_D)))
    with pytest.raises(CorruptInput, match=r"pose differs from calibs.csv .*50.0 mm"):
        lens(shift=0.05)
    assert lens({"max_calibs_mm": 60}, shift=0.05)
    with pytest.raises(CorruptInput, match="distortion differs"):
        lens(d=miniature.LENS_D + np.array([0, 0.002, 0, 0]))


def test_another_lens_model_or_a_broken_row_is_named(csv):
    path = csv(cam01=gopro())
    text = path.read_text()
    path.write_text(text.replace("KANNALABRANDTK3", "FISHEYE624", 1))
    with pytest.raises(CorruptInput, match=r"line 2\.intrinsics_type: found 'FISHEYE624'"):
        aria_files.read_static_calibs(path)
    path.write_text(text.replace("3840", "wide", 1))
    with pytest.raises(CorruptInput, match="line 2, column image_width: found 'wide'"):
        aria_files.read_static_calibs(path)


def test_the_self_check_uses_undistorted_pixels(raw):
    for unit_id in (CAM01, CAM02, GP01, EGO):
        checks = load(raw, unit_id, ego=True).checks
        found = [value for name, value in checks.items() if name.startswith("reprojection_")]
        assert found and max(found) <= 0.5


def test_gaps_in_the_trajectory_are_missing_poses(raw):
    sequence = load(raw, EGO, ego=True)
    gap = miniature.ARIA_FRAME_WITHOUT_POSE
    assert sequence.camera(gap) is None
    assert gap not in sequence.tracks[0].frames
    assert sequence.dropped["no pose of the glasses in this frame"] == 1
    # Looked up by key, not by position.
    rotation, translation = aria_pose(miniature.REPAIR, gap + 1)
    camera = sequence.camera(gap + 1)
    np.testing.assert_allclose(camera.R, rotation, atol=1e-6)
    np.testing.assert_allclose(camera.t, -1000 * rotation.T @ translation, atol=0.01)


def test_the_lens_of_the_glasses_is_matched_or_refused(raw):
    assert load(raw, EGO, ego=True).checks["aria_lens_fit_px"] <= 0.2
    with pytest.raises(CorruptInput, match=r"matched only to 0\.\d\d px, allowed 0.01"):
        load(raw, EGO, ego=True, max_aria_lens_px=0.01)


def test_glasses_without_calibration_say_what_to_download(copy):
    shutil.rmtree(copy / "aria_calib_json")
    with pytest.raises(CorruptInput, match="take_vrs_noimagestream"):
        load(copy, EGO, ego=True)
    assert any("no factory calibration" in p for p in main.doctor(copy, main.Options(ego=True)))
    assert main.doctor(copy, main.Options()) == []

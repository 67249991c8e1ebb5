"""Projected points, points inside a picture, and the box of joints."""

import doctest
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posepile.bodies import joints
from posepile.errors import CorruptInput
from posepile.geometry import cameras, pictures, rotations
from posepile.geometry.agreement import check_same_points, find_shift
from posepile.geometry.cameras import make_camera, moving_cameras
from posepile.geometry.pictures import box_of_points, check_projection, inside, project


def test_what_is_missing_or_behind_projects_to_nan_silently():
    camera = make_camera("x", focal=500, size=(100, 80))
    points = np.array([[[0, 0, 1000.0], [np.nan, 0, 1000]], [[0, 0, -1000.0], [10, 0, 0]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = project(camera, points)
    assert pixels.dtype == np.float64
    expected = [[[49.5, 39.5], [np.nan] * 2], [[np.nan] * 2, [np.nan] * 2]]
    np.testing.assert_allclose(pixels, expected, atol=1e-5)


def test_beyond_the_lens_is_nan():
    camera = make_camera("x", focal=500, size=(100, 80), distortion=[-0.4, 0, 0, 0, 0])
    pixels = project(camera, np.array([[100.0, 0, 1000], [3000, 0, 1000]]))
    assert np.isfinite(pixels[0]).all()
    assert np.isnan(pixels[1]).all()


def test_the_edges_of_a_picture():
    points = [[-0.5, 0], [-0.51, 0], [9.5, 4.5], [9.51, 0], [0, 4.6], [np.nan, 1]]
    assert inside(points, (10, 5)).tolist() == [True, False, True, False, False, False]


def test_box_of_points():
    joints = np.array([[10, 20], [30, 60], [np.nan, 0], [np.inf, 3]])
    np.testing.assert_array_equal(box_of_points(joints), [10, 20, 20, 40])
    np.testing.assert_array_equal(box_of_points(joints, expand=1.5), [5, 10, 30, 60])
    # Expanded about its own centre, then clipped: the part outside does not move the centre
    np.testing.assert_array_equal(
        box_of_points(joints, (20, 40), 1.5), [5, 10, 19.5 - 5, 39.5 - 10]
    )
    far_left = np.array([[-20.0, 10], [10, 30]])
    np.testing.assert_array_equal(box_of_points(far_left, (20, 40)), [-0.5, 10, 10.5, 20])


@pytest.mark.parametrize(
    "joints",
    [
        np.zeros((0, 2)),
        [[np.nan, 1]],
        [[3, 4]],
        [[3, 4], [3, 9]],
        [[30, 4], [33, 9]],
        [[-9, 4], [-0.5, 9]],
    ],
)
def test_no_box(joints):
    box = box_of_points(joints, (20, 20))
    assert box.shape == (4,)
    assert np.isnan(box).all()


points = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(2, 6), st.just(2)),
    elements=st.one_of(st.floats(-500, 1500, width=32), st.just(np.nan)),
)


@settings(deadline=None)
@given(points, st.floats(1, 2))
def test_box_holds_what_is_inside(joints, expand):
    size = (640, 480)
    boxes = box_of_points(joints, size, expand)
    assert boxes.dtype == np.float32
    for person, box in zip(joints, boxes, strict=True):
        np.testing.assert_array_equal(box, box_of_points(person, size, expand))
        if np.isfinite(box).all():
            seen = person[inside(person, size)]
            assert (seen >= box[:2] - 1e-3).all()
            assert (seen <= box[:2] + box[2:] + 1e-3).all()
            assert inside(box[:2], size)
            assert inside(box[:2] + box[2:] - 1e-3, size)


def test_boxes_go_where_a_person_at_their_depth_goes():
    camera = make_camera("a", intrinsics=[[900, 0, 500], [0, 900, 400], [0, 0, 1]])
    corners = np.array([[[-200.0, -900, 4000], [200, 900, 4000]]])
    boxes = pictures.box_of_points(project(camera, corners))
    step = np.array([300.0, 50, 500])
    moved = pictures.move_boxes(camera, boxes, [[0, 0, 4000]], step)
    expected = pictures.box_of_points(project(camera, corners + step))
    np.testing.assert_allclose(moved, expected, atol=0.01)
    assert np.isnan(pictures.move_boxes(camera, boxes * np.nan, [[0, 0, 4000]], step)).all()
    assert np.isnan(pictures.box_of_mask(None)).all()


def test_check_projection():
    camera = make_camera("x", focal=500, size=(100, 80))
    points = np.array([[0, 0, 1000.0], [100, 0, 1000], [np.nan, 0, 0], [0, 0, -5]])
    pixels = np.array([[49.5, 39.5], [99.5, 39.9], [3, 3], [np.nan, 4]])
    assert check_projection("f", camera, points, pixels, 0.5) == pytest.approx(0.4, abs=1e-3)
    with pytest.raises(
        CorruptInput, match=r"f: point 1 projects 0\.4 px from .*99\.5, 39\.9.* 0\.3"
    ):
        check_projection("f", camera, points, pixels, 0.3)
    pixels[3] = 4, 4
    with pytest.raises(CorruptInput, match="point 3 projects inf px"):
        check_projection("f", camera, points, pixels, 0.5)


def test_check_projection_of_a_moving_camera():
    centers = np.array([[0, 0, 0], [50.0, 0, 0], [100, 0, 0]])
    moving = moving_cameras(
        "x", [3, 5, 6], rotation=np.repeat(np.eye(3)[None], 3, 0), center=centers, focal=500,
        size=(100, 80),
    )  # fmt: skip
    points = np.full((3, 2, 3), (0, 0, 1000.0))
    pixels = np.full((3, 2, 2), 39.5)
    pixels[..., 0] = 49.5 - centers[:, :1] / 2
    assert check_projection("f", moving, points, pixels, 0.1, frames=[3, 5, 6]) < 1e-3
    pixels[2, 1, 1] += 7
    with pytest.raises(CorruptInput, match=r"f: frame 6, point 1 projects 7 px"):
        check_projection("f", moving, points, pixels, 0.1, frames=[3, 5, 6])


@pytest.mark.parametrize("module", [cameras, pictures, rotations, joints])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_poses_without_a_row_of_2d_labels_tell_no_shift():
    camera = make_camera("x", focal=100, size=(641, 481))
    pixels = np.array([[[330.0, 240]], [[340, 240]]])
    poses = {k: np.array([[100.0 * k, 0, 1000]]) for k in (1, 2)}
    assert find_shift("a.npy", camera, poses, pixels, 5)[0] == 1
    with pytest.raises(CorruptInput, match="inf px for shift -1.*inf px for shift 1"):
        find_shift("a.npy", camera, {k + 50: pose for k, pose in poses.items()}, pixels, 5)
    with pytest.raises(CorruptInput, match="inf px for shift 0"):
        find_shift("a.npy", camera, poses, pixels[:0], 5)


def test_points_of_two_files_that_differ_are_named():
    points = np.arange(12.0).reshape(2, 2, 3)
    other = np.where(points == 10, np.nan, points)
    with pytest.raises(CorruptInput, match="point 1 of frame 8 is missing in one of the two"):
        check_same_points("a.txt", other, points, 0.5, frames=[7, 8])
    moved = np.array([[[2, 0, 0]], [[0, 0, 0]]])
    with pytest.raises(CorruptInput, match="point 0 of frame 7 is 2 from where the other file"):
        check_same_points("a.txt", points + moved, points, 0.5, frames=[7, 8])

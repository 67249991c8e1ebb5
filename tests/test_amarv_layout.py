"""AMARV: the layout manifest and the conventions it can name."""

import json

import numpy as np
import pytest
from amarv_kit import LAYOUT, options_for
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from posepile.bodies.joints import SMPLH_JOINT_NAMES
from posepile.ds.amarv import main
from posepile.ds.amarv.layout import AmarvLayout
from posepile.errors import CorruptInput, UsageError
from posepile.imaging.masks import person_rule
from posepile.shapes.described import clips, layout


@pytest.fixture
def made(raw_miniature):
    return raw_miniature("amarv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cameras")


def random_camera(seed):
    rotation = Rotation.random(random_state=seed).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.random.default_rng(seed).normal(0, 3, 3)
    return matrix


def read_camera(folder, data, frames=1, **changes):
    """The camera of view 0 that a layout with these changes finds in a file with these data."""
    (folder / "cam.json").write_text(json.dumps(data))
    part = {"path": "cam.json", "extrinsic_key": "e", "intrinsic_key": None, "fov_key": "fov"}
    raw = LAYOUT | {"camera": LAYOUT["camera"] | part | changes}
    manifest = AmarvLayout.model_validate(raw)
    return clips.load_camera(folder, manifest, layout.Clip("", "a", (0,)), 0, (640, 480), frames)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["opencv", "opengl", "blender"]),
    st.sampled_from(["world_to_camera", "camera_to_world"]),
    st.sampled_from(["m", "cm", "mm"]),
    st.sampled_from(["x", "y", "z", "-x", "-y", "-z"]),
)
def test_all_conventions_give_the_same_camera(folder, seed, axes, direction, units, up):
    """A world point keeps its pixel whatever way the same camera was written down."""
    opencv = random_camera(seed)  # world (released axes) to camera, metres
    stored = opencv.copy()
    if axes != "opencv":  # x right, y up, looking along -z
        stored[1:3] *= -1
    if direction == "camera_to_world":
        stored = np.linalg.inv(stored)
    stored[:3, 3] *= {"m": 1, "cm": 100, "mm": 1000}[units]
    changes = {"axes": axes, "direction": direction, "units": units, "world_up": up}
    camera = read_camera(folder, {"e": stored.tolist(), "fov": 60.0}, **changes)
    up_vector = np.zeros(3)
    up_vector["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    turn = np.array(clips.TO_Z_UP[up])
    np.testing.assert_allclose(turn @ up_vector, [0, 0, 1], atol=1e-12)
    assert np.isclose(np.linalg.det(turn), 1)
    points = np.random.default_rng(seed).normal(0, 2, (5, 3))
    expected = 1000 * (points @ opencv[:3, :3].T + opencv[:3, 3])
    ours = camera.world_to_camera((1000 * points @ turn.T).astype(np.float32))
    np.testing.assert_allclose(ours, expected, atol=0.02)


def test_both_stored_conventions_load_to_identical_cameras(made):
    clip = layout.Clip("CMU", "walk", (0, 1, 2, 3))
    blender = {
        "path": "{source}/{clip}_cam_blender.json",
        "extrinsic_key": "matrix_world.{view}",
        "intrinsic_key": None,
        "focal_key": "focal_mm.{view}",
        "sensor_width_mm": 36.0,
        "direction": "camera_to_world",
        "axes": "blender",
        "units": "cm",
    }
    first = AmarvLayout.model_validate(LAYOUT)
    second = AmarvLayout.model_validate(LAYOUT | {"camera": LAYOUT["camera"] | blender})
    for view in range(4):
        a, b = (clips.load_camera(made, m, clip, view, (640, 480), 6) for m in (first, second))
        np.testing.assert_allclose(a.R, b.R, atol=1e-6)
        np.testing.assert_allclose(a.t, b.t, atol=1e-2)
        np.testing.assert_allclose(a.intrinsic_matrix, b.intrinsic_matrix, atol=1e-3)


def test_field_of_view_and_moving_cameras(tmp_path):
    data = {"e": [random_camera(i).tolist() for i in range(3)], "fov": 90.0}
    camera = read_camera(tmp_path, data, frames=3, per_frame=True)
    assert camera(3) is None
    np.testing.assert_allclose(camera(1).intrinsic_matrix[:2], [[320, 0, 319.5], [0, 320, 239.5]])
    with pytest.raises(CorruptInput, match=r"\(3, 4, 4\)"):
        read_camera(tmp_path, data)
    with pytest.raises(CorruptInput, match="3, 4, 4"):
        read_camera(tmp_path, data, frames=4, per_frame=True)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([2, 2, 2, 1]), "rotation"),
        (np.diag([1, 1, -1, 1]), "rotation"),
        (np.eye(4)[:2], "3x4 or 4x4"),
        (2 * np.eye(4), "0 0 0 1"),
    ],
)
def test_matrices_that_are_no_camera(tmp_path, matrix, message):
    with pytest.raises(CorruptInput, match=message):
        read_camera(tmp_path, {"e": matrix.tolist(), "fov": 60.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rgb__kind": "movie"}, "rgb.kind"),
        ({"rgb__colour": 1}, "unknown key rgb.colour"),
        ({"camera__fov_key": "f"}, "exactly one of"),
        ({"clip_regex": "(?P<source>.+)$"}, "group clip"),
        ({"clip_regex": "(?P<clip>.+)$"}, "group view"),
        ({"mask__person_rule": "__import__('os')"}, "value > 127"),
        ({"mask__path": "{home}/x"}, "unknown {home}"),
        ({"pose": None, "body": None}, "pose or body"),
        ({"pose__frame": "camera"}, "{view}"),
        ({"amarv_layout": 2}, "amarv_layout"),
    ],
)
def test_a_wrong_manifest_is_one_line(tmp_path, changes, message):
    options = options_for(tmp_path, **changes)
    with pytest.raises(UsageError) as e:
        main.read_layout(options)
    assert message in str(e.value) and "\n" not in str(e.value)
    assert "layout.yaml" in str(e.value)


def test_mask_rules():
    image = np.array([[[0, 0, 0], [1, 1, 1], [200, 0, 0], [130, 130, 130]]], np.uint8)

    def person(rule):
        return person_rule(rule)(image)[0].tolist()

    assert person("value > 127") == [False, False, True, True]
    assert person("label in [1, 130]") == [False, True, False, True]
    assert person("color in [[200, 0, 0]]") == [False, False, True, False]


def test_joints_of_other_sets_formats_and_frames(made, tmp_path):
    joints = np.random.default_rng(0).normal(0, 1, (24, 5, 3))
    np.savez(tmp_path / "p.npz", joints=100 * joints)
    parts = LAYOUT | {
        "camera": LAYOUT["camera"] | {"world_up": "y"},
        "pose": {"path": "p.npz", "shape": "JT3", "units": "cm", "joint_names": "smpl24"},
    }
    manifest = AmarvLayout.model_validate(parts)
    got = clips.load_joints(
        tmp_path, manifest, layout.Clip("s", "c", (0,)), 0, 30.0, SMPLH_JOINT_NAMES
    )
    assert got.shape == (5, 52, 3)
    expected = 1000 * joints.swapaxes(0, 1)[:, 15] @ np.transpose(clips.TO_Z_UP["y"])
    np.testing.assert_allclose(got[:, 15], expected, atol=1e-3)
    np.testing.assert_allclose(got[:, 15, 2], 1000 * joints[15, :, 1], atol=1e-3)
    assert np.isnan(got[:, 22:]).all()


def test_boxes_of_all_formats_are_the_same(tmp_path):
    xywh = np.array([[10.0, 20, 30, 40]])
    stored = {
        "xywh": xywh,
        "xyxy": np.array([[10.0, 20, 40, 60]]),
        "cxcywh": np.array([[25.0, 40, 30, 40]]),
    }
    for form, values in stored.items():
        (tmp_path / "b.json").write_text(json.dumps({"0": values.tolist()}))
        raw = LAYOUT | {"bbox": {"path": "b.json", "format": form, "key": "{view}"}}
        manifest = AmarvLayout.model_validate(raw)
        boxes = clips.load_boxes(tmp_path, manifest, layout.Clip("", "", (0,)), 1)
        np.testing.assert_array_equal(boxes[0], xywh)

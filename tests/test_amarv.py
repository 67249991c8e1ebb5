"""AMARV: manifest, camera conventions, password, labels, splits, and every validator failure."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from posepile.bodies.models import body_joints
from posepile.config import config_dir
from posepile.ds.amarv import (
    amass,
    assemble,
    babel,
    cameras,
    clips,
    layout,
    main,
    miniature,
    unlock,
)
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.miniature.bodies import write_body_models
from posepile.stages.counts import Counts
from posepile.stages.examples import selected_examples
from posepile.stages.select import SelectParams

LAYOUT = yaml.safe_load((config_dir() / "amarv_layout.yaml").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "amarv"
    miniature.build(root)
    return root


@pytest.fixture
def root(made, tmp_path):
    target = tmp_path / "amarv"
    shutil.copytree(made, target)
    return target


def options_for(folder, **changes):
    """Options whose manifest differs from the default one in the given dotted keys."""
    raw = json.loads(json.dumps(LAYOUT))
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = raw
        for parent in parents:
            node = node[parent]
        node[last] = value
    path = folder / "layout.yaml"
    path.write_text(yaml.safe_dump(raw))
    return main.Options(layout=str(path), validate_clips=1)


# --------------------------------------------------------------------------------------------
# Cameras


def random_camera(seed):
    rotation = Rotation.random(random_state=seed).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.random.default_rng(seed).normal(0, 3, 3)
    return matrix


def part(**changes):
    return layout.CameraPart.model_validate(
        {
            "path": "x",
            "extrinsic_key": "e",
            "intrinsic_key": "k",
            "direction": "world_to_camera",
            "axes": "opencv",
            **changes,
        }
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["opencv", "opengl", "blender"]),
    st.sampled_from(["world_to_camera", "camera_to_world"]),
    st.sampled_from(["m", "cm", "mm"]),
    st.sampled_from(["x", "y", "z", "-x", "-y", "-z"]),
)
def test_all_conventions_give_the_same_camera(seed, axes, direction, units, up):
    """A world point keeps its pixel whatever way the same camera was written down."""
    opencv = random_camera(seed)  # world (released axes) to camera, metres
    stored = opencv.copy()
    if axes != "opencv":  # x right, y up, looking along -z
        stored[1:3] *= -1
    if direction == "camera_to_world":
        stored = np.linalg.inv(stored)
    stored[:3, 3] *= {"m": 1, "cm": 100, "mm": 1000}[units]
    p = part(axes=axes, direction=direction, units=units, world_up=up)
    rotation, translation = cameras.to_world_to_camera(stored, p, Path("cam.json"))
    axis = "xyz".index(up[-1])
    up_vector = np.zeros(3)
    up_vector[axis] = -1 if up[0] == "-" else 1
    turn = cameras.world_rotation(up)
    np.testing.assert_allclose(turn @ up_vector, [0, 0, 1], atol=1e-12)
    assert np.isclose(np.linalg.det(turn), 1)
    points = np.random.default_rng(seed).normal(0, 2, (5, 3))
    expected = 1000 * (points @ opencv[:3, :3].T + opencv[:3, 3])
    ours = (1000 * points @ turn.T) @ rotation.T + translation
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_both_stored_conventions_load_to_identical_cameras(made):
    clip = layout.Clip("CMU", "walk", {})
    opencv = part(extrinsic_key="extrinsics.{view}", intrinsic_key="K.{view}")
    blender = part(
        extrinsic_key="matrix_world.{view}",
        intrinsic_key=None,
        focal_key="focal_mm.{view}",
        sensor_width_mm=36.0,
        direction="camera_to_world",
        axes="blender",
        units="cm",
    )
    for view in range(4):
        a = cameras.load_camera(made / "CMU/walk_cam.json", opencv, clip, view, (960, 720))
        b = cameras.load_camera(
            made / "CMU/walk_cam_blender.json", blender, clip, view, (960, 720)
        )
        np.testing.assert_allclose(a.R, b.R, atol=1e-6)
        np.testing.assert_allclose(a.t, b.t, atol=1e-2)
        np.testing.assert_allclose(a.intrinsic_matrix, b.intrinsic_matrix, atol=1e-3)


def test_field_of_view_and_moving_cameras(tmp_path):
    data = {"e": [random_camera(i).tolist() for i in range(3)], "fov": 90.0}
    path = tmp_path / "cam.json"
    path.write_text(json.dumps(data))
    moving = part(intrinsic_key=None, fov_key="fov", per_frame=True)
    clip = layout.Clip("", "a", {})
    camera = cameras.load_camera(path, moving, clip, 0, (640, 480))
    assert len(camera) == 3 and camera(3) is None
    np.testing.assert_allclose(camera(1).intrinsic_matrix[:2], [[320, 0, 319.5], [0, 320, 239.5]])
    with pytest.raises(CorruptInput, match="per_frame is false"):
        cameras.load_camera(path, part(intrinsic_key=None, fov_key="fov"), clip, 0, (640, 480))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (2 * np.eye(4), "0 0 0 1"),
        (np.diag([2, 2, 2, 1]), "no rotation"),
        (np.diag([1, 1, -1, 1]), "no rotation"),
        (np.eye(3), "shape"),
    ],
)
def test_matrices_that_are_no_camera(matrix, message):
    with pytest.raises(CorruptInput, match=message):
        cameras.to_world_to_camera(matrix.astype(float), part(), Path("cam.json"))


# --------------------------------------------------------------------------------------------
# Manifest


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

    def pixels(rule):
        return clips.person_pixels(image, layout.Mask(path="x", person_rule=rule))[0].tolist()

    assert pixels("value > 127") == [False, False, True, True]
    assert pixels("label in [1, 130]") == [False, True, False, True]
    assert pixels("color in [[200, 0, 0]]") == [False, False, True, False]


def test_joints_of_other_sets_formats_and_frames(made, tmp_path):
    joints = np.random.default_rng(0).normal(0, 1, (24, 5, 3))
    np.savez(tmp_path / "p.npz", joints=100 * joints)
    parts = LAYOUT | {
        "camera": LAYOUT["camera"] | {"world_up": "y"},
        "pose": {"path": "p.npz", "shape": "JT3", "units": "cm", "joint_names": "smpl24"},
    }
    manifest = layout.Layout.model_validate(parts)
    got = clips.load_joints(tmp_path, manifest, layout.Clip("s", "c", {}), 0, 30.0)
    assert got.shape == (5, 52, 3)
    expected = 1000 * joints.swapaxes(0, 1)[:, 15] @ cameras.world_rotation("y").T
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
        manifest = layout.Layout.model_validate(raw)
        boxes = clips.load_boxes(tmp_path, manifest, layout.Clip("", "", {0: tmp_path}), 1)
        np.testing.assert_array_equal(boxes[0], xywh)


# --------------------------------------------------------------------------------------------
# Validator


def test_the_miniature_is_valid_and_nothing_is_read_before_that_is_known(root):
    options = main.Options(validate_clips=1)
    with pytest.raises(WorkError, match="not validated"):
        main.list_units(root, options)
    lines = "\n".join(main.calibrate(root, options))
    assert "rgb: 16 of 16 files" in lines and "stereo" in lines and "head above feet" in lines
    assert "depth: confirmed as millimetres (z)" in lines
    assert "subject KIT/10 is in train (1) and val (1)" in lines
    units = main.list_units(root, options)
    assert [u.id for u in units] == ["train/CMU/00000", "train/KIT/00000", "val/CMU/00000"]
    sequences = {s.id: s for u in units for s in main.load_unit(root, u, options)}
    assert len(sequences) == 16
    truth = json.loads((root / "miniature_truth.json").read_text())
    track = sequences["CMU/walk/v2"].tracks[0]
    assert track.activity == truth["activities"]
    assert sequences["KIT/left/v0"].tracks[0].activity == ["left"] * 6
    motion = np.load(root / "amass/CMU/01/01_01_poses.npz")
    for t in (0, 5):
        parameters = track.parameters(t)
        np.testing.assert_allclose(parameters["pose"], motion["poses"][8 + 4 * t], atol=1e-6)
        np.testing.assert_allclose(parameters["trans"], motion["trans"][8 + 4 * t], atol=1e-6)
    assert track.parameters(0)["gender"] == "female"  # stored as bytes
    mask = track.mask(3)
    assert mask["size"] == [720, 960]
    # other files are another state
    (root / "CMU/new_rgb_v0.mp4").write_bytes(b"")
    with pytest.raises(WorkError, match="not validated"):
        main.list_units(root, options)


def remove(name):
    return lambda root: (root / name).unlink()


def shorten(root):
    path = root / "CMU/sit_pose.npz"
    data = dict(np.load(path))
    np.savez(path, **data | {"joints": data["joints"][:5]})
    boxes = json.loads((root / "CMU/sit_bbox.json").read_text())
    (root / "CMU/sit_bbox.json").write_text(json.dumps({v: b[:5] for v, b in boxes.items()}))


def lay_down(root):
    for path in root.glob("*/*_pose.npz"):
        data = dict(np.load(path))
        np.savez(path, **data | {"joints": data["joints"] * (1, 1, -1) + (0, 0, 1.8)})


def swap_views(root):
    for path in root.glob("*/*_cam.json"):
        data = json.loads(path.read_text())
        data["extrinsics"] = {v: data["extrinsics"][str(3 - int(v))] for v in "0123"}
        path.write_text(json.dumps(data))


def turn_one_camera_away(root):
    for path in root.glob("*/*_cam.json"):
        data = json.loads(path.read_text())
        data["extrinsics"]["2"] = (
            np.diag([-1, 1, -1, 1]) @ np.array(data["extrinsics"]["2"])
        ).tolist()
        path.write_text(json.dumps(data))


def nothing(root):
    pass


@pytest.mark.parametrize(
    ("damage", "changes", "message"),
    [
        (remove("KIT/left_rgb_v2.mp4"), {}, "clip KIT/left has the views [0, 1, 3]"),
        (remove("KIT/left_mask_v1.mp4"), {}, "mask is missing (1 of 16"),
        (remove("CMU/sit_cam.json"), {}, "camera is missing (1 of 4"),
        (remove("name_map.json"), {}, "name_map.json: file is missing"),
        (shorten, {}, "frame counts differ (joints: 5, rgb 0: 6"),
        (nothing, {"camera__axes": "opengl"}, "reprojection test"),
        (nothing, {"camera__direction": "camera_to_world"}, "reprojection test"),
        (nothing, {"pose__units": "cm"}, "reprojection test"),
        (swap_views, {}, "reprojection test: in view"),
        (turn_one_camera_away, {}, "in view 2 no frame has four joints in the image"),
        (nothing, {"camera__world_up": "-z"}, "up test"),
        (lay_down, {"bbox": None, "mask": None}, "up test"),
        (nothing, {"camera__extrinsic_key": "rt.{view}"}, "has no 'rt'"),
        (nothing, {"pose__joint_names": "smplx55"}, "52 joints"),
        (nothing, {"clip_glob": "**/*.avi"}, "no file matches clip_glob"),
        (nothing, {"clip_glob": "**/*.mp4"}, "match clip_glob but not clip_regex"),
        (nothing, {"frame_index_base": 1}, "image numbers run from 0"),
        (nothing, {"body__start_frame_key": "joints"}, "expected one number"),
    ],
)
def test_every_failure_of_the_validator_has_a_message(root, tmp_path, damage, changes, message):
    damage(root)
    options = options_for(tmp_path, **changes)
    problems = main.doctor(root, options)
    assert any(message in p for p in problems), problems
    assert all("\n" not in p for p in problems)
    with pytest.raises(WorkError):
        main.calibrate(root, options)
    assert not (root / ".posepile").exists()


def test_hostile_and_damaged_arrays_are_refused_and_nothing_is_run(root, tmp_path):
    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was_run",)

    path = root / "CMU/sit_pose.npz"
    whole = path.read_bytes()
    for write in (
        lambda: np.savez(path, joints=np.array([Hostile()], object), start=np.array(8)),
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_bytes(b"<html>Please log in</html>"),
    ):
        write()
        with pytest.raises(CorruptInput, match=r"sit_pose\.npz: cannot be read.*extract it again"):
            layout.read_data(path)
    assert not (tmp_path / "was_run").exists()


def test_a_view_that_hardly_shows_the_person_selects_the_same_poses(made):
    """Otherwise the views would keep other frames from there on, and no longer be one moment."""
    manifest = main.read_layout(main.Options())
    clip = next(c for c in layout.find_clips(made, manifest)[0] if c.id == "CMU/walk")
    data = clips.load_clip(made, manifest, clip, None, None)
    data.boxes[1][2] = 0, 0, 5, 5
    unknown = ["unknown"] * 6
    views = [
        assemble.make_sequence(made, manifest, data, v, split="train", activity=unknown)
        for v in (0, 1)
    ]
    all_counts = [Counts(), Counts()]
    select = SelectParams(method="last", threshold_mm=100)
    kept = [
        [w.frame for w in selected_examples(s, select, [], t)]
        for s, t in zip(views, all_counts, strict=True)
    ]
    assert kept == [[0, 2, 4], [0, 4]]
    assert all_counts[1].dropped == {"fewer than 4 joints in the box": 1}


def test_listing_units_looks_at_no_single_file(root, monkeypatch):
    options = main.Options(validate_clips=1)
    main.calibrate(root, options)
    looked = []
    for name in ("is_dir", "is_file", "exists", "stat", "open"):
        real = getattr(Path, name)

        def spy(self, *args, real=real, **kwargs):
            if self.suffix == ".mp4" or self.name.endswith(("_cam.json", "_pose.npz")):
                looked.append(self)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, spy)
    units = main.list_units(root, options)
    assert len(units) == 3
    assert not looked


def test_amass_is_searched_once_in_a_process(root, monkeypatch):
    (root / "amass/CMU").rename(root / "amass/CMU_new")
    options = main.Options(validate_clips=1)
    main.calibrate(root, options)
    searched = []
    real = amass.AmassIndex._index
    monkeypatch.setattr(
        amass.AmassIndex,
        "_index",
        lambda self: searched.append(self._by_tail is None) or real(self),
    )
    amass.open_index.cache_clear()
    for unit in main.list_units(root, options):
        assert main.load_unit(root, unit, options)[0].tracks[0].parameters is not None
    assert sum(searched) == 1


def test_views_that_are_not_in_one_world_fail_the_stereo_test(root, tmp_path):
    # Each camera sees the joints where they are drawn, but stands elsewhere: only the joints of
    # each camera, not their place in the world, are right.
    for path in root.glob("*/*_pose.npz"):
        data = dict(np.load(path))
        cams = json.loads(Path(str(path).replace("_pose.npz", "_cam.json")).read_text())
        for v, matrix in cams["extrinsics"].items():
            matrix = np.array(matrix)
            data[f"v{v}"] = data["joints"] @ matrix[:3, :3].T + matrix[:3, 3]
            if v == "2":
                matrix[0, 3] += 0.5
                cams["extrinsics"][v] = matrix.tolist()
        np.savez(path, **data)
        Path(str(path).replace("_pose.npz", "_cam.json")).write_text(json.dumps(cams))
    options = options_for(tmp_path, pose__joints_key="v{view}", pose__frame="camera")
    problems = main.doctor(root, options)
    assert any("stereo test: the joints of the views differ" in p for p in problems), problems


def test_depth_that_is_not_millimetres_is_reported_and_nothing_more(root, tmp_path):
    options = options_for(tmp_path, depth__scale_to_mm=0.1)
    lines = "\n".join(main.calibrate(root, options))
    assert "depth: NOT confirmed" in lines and "probably 1" in lines


def test_depth_that_opencv_cannot_read_is_not_called_damaged(root, tmp_path, monkeypatch):
    for path in root.glob("*/*_depth_v*/*.png"):
        path.rename(path.with_suffix(".exr")).write_bytes(b"\x76\x2f\x31\x01" + bytes(100))
    options = options_for(tmp_path, depth__kind="exr")
    monkeypatch.setattr(clips.cv2, "haveImageWriter", lambda name: False)
    assert any("no OpenEXR: set depth: null" in p for p in main.doctor(root, options))
    monkeypatch.setattr(clips.cv2, "haveImageWriter", lambda name: True)
    assert any("cannot be read; extract again" in p for p in main.doctor(root, options))


def test_what_a_person_must_fetch_is_a_problem_too(root):
    shutil.rmtree(root / "babel_v1.0_release")
    (problem,) = main.doctor(root, main.Options(validate_clips=1))
    assert "BABEL labels are missing" in problem and "posepile plan amarv" in problem


def test_joints_and_parameters_from_amass_alone(root, tmp_path, monkeypatch):
    """A clip that was moved in the world: parameters and joints are moved together."""
    write_body_models(tmp_path / "models", ("smplh16",))
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(tmp_path / "models"))
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec([0.1, -0.2, 0.9]).as_matrix()
    move[:3, 3] = 0.4, -0.7, 0.2
    path = root / "CMU/walk_pose.npz"
    data = dict(np.load(path))
    np.savez(path, **data, move=move)
    options = options_for(tmp_path, pose=None, body__root_transform_key="move")
    manifest = main.read_layout(options)
    clip = next(c for c in layout.find_clips(root, manifest)[0] if c.id == "CMU/walk")
    index = amass.AmassIndex(root / "amass")
    got = clips.load_clip(root, manifest, clip, "CMU/01/01_01_poses.npz", index)
    assert got.world_coords.shape == (6, 52, 3)
    for t in (0, 5):
        joints = 1000 * body_joints("smplh", "female", got.parameters(t))
        np.testing.assert_allclose(joints[0], got.world_coords[t], atol=0.05)
    # with joints that are stored as well, parameters that do not fit them are left out
    both = options_for(tmp_path, body__root_transform_key="move")
    got = clips.load_clip(root, main.read_layout(both), clip, "CMU/01/01_01_poses.npz", index)
    assert got.parameters is None and "left out: AMASS joints are" in got.parameters_note
    # and without the body model a move cannot be put into the parameters
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(tmp_path / "nowhere"))
    got = clips.load_clip(root, main.read_layout(both), clip, "CMU/01/01_01_poses.npz", index)
    assert got.parameters(0) is None


def test_without_amass_there_are_no_parameters(root, tmp_path):
    shutil.rmtree(root / "amass")
    options = main.Options(validate_clips=1)
    assert "none: AMASS not found" in "\n".join(main.calibrate(root, options))
    unit = main.list_units(root, options)[0]
    assert main.load_unit(root, unit, options)[0].tracks[0].parameters is None


# --------------------------------------------------------------------------------------------
# BABEL


def entry(segments=(), whole=(), duration=2.0, split="train"):
    return babel.BabelEntry(1, split, duration, tuple(segments), tuple(whole))


def test_activity_at_a_time():
    e = entry([("walk", 0.0, 1.0), ("turn", 0.5, 1.5), ("walk", 0.6, 0.7), ("end", 1.8, 2.4)])
    expected = {0: "walk", 0.5: "walk|turn", 0.65: "walk|turn", 1.0: "turn", 1.6: "unknown"}
    for time, label in (expected | {1.9: "end", 2.0: "end", 2.4: "end", 2.5: "unknown"}).items():
        assert babel.activity_at(e, time) == label, time
    assert babel.activity_at(entry(whole=["a", "b", "a"]), 0.3) == "a|b"
    assert babel.activity_at(None, 0) == babel.activity_at(entry(), 0) == "unknown"


def test_babel_files_of_both_forms(tmp_path):
    def raw(**more):
        base = {"babel_sid": 7, "dur": 2.0, "feat_p": "MPIHDM05/MPI_HDM05/bk/a_poses.npz"}
        return {"7": base | more}

    first = {"labels": [{"raw_label": "r", "proc_label": "p", "act_cat": None} | times(0, 1)]}
    second = {"labels": [{"raw_label": "r", "act_cat": ["x", "y"]} | times(1, 2)]}
    (tmp_path / "train.json").write_text(json.dumps(raw(frame_ann=first, seq_ann=None)))
    (tmp_path / "extra_train.json").write_text(json.dumps(raw(frame_anns=[second], seq_anns=[])))
    (tmp_path / "test.json").write_text(json.dumps(raw(frame_ann={"labels": None}, seq_ann=None)))
    entries = babel.load_babel(tmp_path, ["train.json", "extra_train.json"])
    assert entries["MPI_HDM05/bk/a_poses.npz"].segments == (("p", 0, 1), ("x", 1, 2), ("y", 1, 2))
    only = babel.load_babel(tmp_path, ["test.json"])["MPI_HDM05/bk/a_poses.npz"]
    assert (only.split, only.segments) == ("test", ())
    with pytest.raises(CorruptInput, match=r"babel\.is\.tue"):
        babel.load_babel(tmp_path, ["val.json"])
    (tmp_path / "val.json").write_text('{"1": {"feat_p": "a/b/c"}}')
    with pytest.raises(CorruptInput, match="entry 1"):
        babel.load_babel(tmp_path, ["val.json"])


def times(start, end):
    return {"start_t": start, "end_t": end}


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 5)),
        st.sampled_from(["train", "val", "test", None]),
        min_size=1,
    )
)
def test_no_subject_is_on_two_sides(motions):
    paths = {f"{s}-{m}-{c}": f"D/{s}/{m}.npz" for s, m in motions for c in range(2)}
    entries = {f"D/{s}/{m}.npz": entry(split=v) for (s, m), v in motions.items() if v}
    splits, conflicts = babel.assign_splits(paths, entries)
    for subject in {s for s, _ in motions}:
        sides = {splits[c] for c in splits if c.startswith(f"{subject}-")}
        votes = [v for (s, _), v in sorted(motions.items()) if s == subject and v]
        assert len(sides) == 1
        if not votes:
            assert sides == {"train"}
        else:
            best = max(map(votes.count, votes))
            assert sides == {next(v for v in votes if votes.count(v) == best)}
        assert any(f"D/{subject} " in c for c in conflicts) == (len(set(votes)) > 1)


# --------------------------------------------------------------------------------------------
# Password


@pytest.fixture
def amass_tree(tmp_path):
    root = tmp_path / "amass"
    for i, name in enumerate(amass.PASSWORD_FILES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"file %d\n" % i)
    return root


def test_password_equals_that_of_a_shell(amass_tree):
    if not (shutil.which("bash") and shutil.which("md5sum")):
        pytest.skip("needs bash and md5sum")
    listing = amass_tree.parent / "list.txt"
    listing.write_text("\n".join(amass.PASSWORD_FILES) + "\n")
    script = (
        'all=""; while read -r f; do s=$(md5sum "$f"); all="$all${s%% *}"; done < ../list.txt; '
        'printf %s "$all" | md5sum'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=amass_tree, capture_output=True, text=True, check=True
    )
    assert len(amass.PASSWORD_FILES) == 19
    assert amass.archive_password(amass_tree) == done.stdout.split()[0]


def test_renamed_upper_folders_are_found(amass_tree):
    before = amass.archive_password(amass_tree)
    (amass_tree / "MPI_mosh").rename(amass_tree / "MoSh")
    (amass_tree / "BMLrub/BioMotionLab_NTroje/rub001").rename(amass_tree / "rub001")
    (amass_tree / "SSM_synced").rename(amass_tree / "SSM")
    assert amass.archive_password(amass_tree) == before
    copy = amass_tree / "other" / "00008"
    copy.mkdir(parents=True)
    shutil.copy(amass_tree / "MoSh/00008/misc_poses.npz", copy)
    with pytest.raises(WorkError, match="several files fit"):
        amass.archive_password(amass_tree)


def test_missing_amass_files_are_all_listed(amass_tree, capsys):
    (amass_tree / "SFU/0005/0005_2FeetJump001_poses.npz").unlink()
    shutil.rmtree(amass_tree / "KIT")
    assert amass.main([str(amass_tree)]) == 1
    text = capsys.readouterr().err
    assert "2 of 19" in text and "SFU/0005" in text and "KIT/KIT/10" in text


def test_archives_are_unlocked_or_the_person_is_told_how(amass_tree, tmp_path):
    root = tmp_path / "amarv"
    assert unlock.unlock(root, str(amass_tree)) == []
    (root / "archives").mkdir(parents=True)
    with zipfile.ZipFile(root / "archives" / "a.zip", "w") as z:
        z.writestr("CMU/x_pose.npz", b"1")
    assert "extracted, 1 files" in unlock.unlock(root, str(amass_tree))[0]
    assert (root / "CMU/x_pose.npz").read_bytes() == b"1"
    (root / "archives" / "b.7z").write_bytes(unlock.SEVEN_ZIP + b"rest")
    with pytest.raises(WorkError, match="7z x") as e:
        unlock.unlock(root, str(amass_tree))
    assert amass.archive_password(amass_tree) not in str(e.value)
    amass_tree.rename(tmp_path / "elsewhere")
    with pytest.raises(WorkError, match="AMASS_ROOT"):
        unlock.unlock(root, None)


def test_the_download_step_unlocks_what_a_person_put_there(made, amass_tree, tmp_path):
    """By the command, as a person runs it: archives, then BABEL, then all is there."""
    root = tmp_path / "data" / "amarv"
    (root / "archives").mkdir(parents=True)

    def step():
        return command("step", "download", "--set", f"dataset.amass_root={amass_tree}")

    def command(name, *more):
        return subprocess.run(
            [sys.executable, "-m", "posepile", name, "amarv", *more],
            env=os.environ | {"DATA_ROOT": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            check=False,
        )

    empty = step()
    plan = command("plan").stdout
    assert "https://s.kit.edu/amarv" in plan and "https://babel.is.tue.mpg.de" in plan
    doctor = command("doctor")
    assert doctor.returncode == 1 and doctor.stdout.rstrip().endswith("not ok")
    assert empty.returncode == 1 and "no file matches clip_glob" in empty.stderr
    assert "posepile plan amarv" in empty.stderr and "Traceback" not in empty.stderr
    with zipfile.ZipFile(root / "archives" / "a.zip", "w") as z:
        z.write(made / "CMU/sit_rgb_v0.mp4", "CMU/sit_rgb_v0.mp4")
    unlocked = step()
    assert (root / "CMU/sit_rgb_v0.mp4").is_file()
    assert unlocked.returncode == 1 and "BABEL labels are missing" in unlocked.stderr
    shutil.copytree(made / "babel_v1.0_release", tmp_path / "data" / "babel")
    done = step()
    assert done.returncode == 0, done.stderr
    assert "was extracted before" in done.stdout


def test_a_released_tree_of_another_form_is_as_good(root, tmp_path):
    """Nothing but the manifest says what the files are called."""
    for path in sorted(root.glob("*/*_rgb_v*.mp4")):
        view = path.stem[-1]
        path.rename(path.with_name(path.name.replace(f"_rgb_v{view}", f".cam{view}")))
    options = options_for(
        tmp_path,
        clip_glob="*/*.cam?.mp4",
        clip_regex=r"(?P<source>[^/]+)/(?P<clip>[^/]+)\.cam(?P<view>\d)\.mp4$",
        rgb__path="{source}/{clip}.cam{view}.mp4",
    )
    assert main.download(root, options) == []
    assert main.doctor(root, options) == []
    with pytest.raises(WorkError, match="no file matches clip_glob"):
        main.download(root, main.Options())


def test_an_encrypted_zip_opens_with_the_password_only(amass_tree, tmp_path):
    root = tmp_path / "amarv"
    (root / "archives").mkdir(parents=True)
    archive = root / "archives" / "a.zip"
    content = b"rendered" * 50
    archive.write_bytes(zipcrypto("CMU/x.txt", content, amass.archive_password(amass_tree)))
    unlock.unlock(root, str(amass_tree))
    assert (root / "CMU/x.txt").read_bytes() == content
    other = tmp_path / "other"
    (other / "archives").mkdir(parents=True)
    (other / "archives" / "a.zip").write_bytes(zipcrypto("CMU/x.txt", content, "wrong"))
    with pytest.raises((UsageError, CorruptInput), match="password"):
        unlock.unlock(other, str(amass_tree))
    assert not (other / "CMU").exists()


def zipcrypto(name, content, password):
    """A stored zip entry with the classic encryption, written by the format's description."""
    import binascii
    import io
    import struct

    table = []
    for i in range(256):
        c = i
        for _ in range(8):
            c = (c >> 1) ^ 0xEDB88320 if c & 1 else c >> 1
        table.append(c)
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte):
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 255]
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 255]

    for byte in password.encode():
        update(byte)
    crc = binascii.crc32(content)
    secret = bytearray()
    for byte in bytes(range(11)) + bytes([crc >> 24]) + content:
        k = keys[2] | 2
        secret.append(byte ^ (((k * (k ^ 1)) >> 8) & 255))
        update(byte)
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as z:
        z.writestr(zipfile.ZipInfo(name), content)
    raw = bytearray(plain.getvalue())
    directory = raw.index(b"PK\x01\x02")
    head = 30 + len(name)
    local, central = raw[:head], raw[directory:]
    local[6] |= 1
    local[18:22] = struct.pack("<I", len(secret))
    central[8] |= 1
    central[20:24] = struct.pack("<I", len(secret))
    end = central.index(b"PK\x05\x06")
    central[end + 16 : end + 20] = struct.pack("<I", head + len(secret))
    return bytes(local + secret + central)

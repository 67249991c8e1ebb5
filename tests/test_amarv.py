"""AMARV: units, sequences, and every failure of the validator."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from amarv_kit import options_for
from scipy.spatial.transform import Rotation

from posepile.bodies.amass import AmassIndex
from posepile.bodies.models import body_joints
from posepile.ds.amarv import main, motion
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats.arrays import read_array
from posepile.miniature.bodies import write_body_models
from posepile.shapes.described import finding, layout
from posepile.shapes.described.sequences import make_sequence
from posepile.stages.counts import Counts
from posepile.stages.examples import selected_examples
from posepile.stages.select import SelectParams


@pytest.fixture
def made(raw_miniature):
    return raw_miniature("amarv")


@pytest.fixture
def root(made, tmp_path):
    target = tmp_path / "amarv"
    shutil.copytree(made, target)
    return target


def test_the_miniature_is_valid_and_nothing_is_read_before_that_is_known(root):
    options = main.Options(validate_clips=1)
    with pytest.raises(WorkError, match="not validated"):
        list(main.list_units(root, options))
    lines = "\n".join(main.calibrate(root, options))
    assert "rgb: 16 of 16 files" in lines and "stereo" in lines and "head above feet" in lines
    assert "depth: confirmed as millimetres (z)" in lines
    assert "subject KIT/10 is in train (1) and val (1)" in lines
    units = list(main.list_units(root, options))
    assert [u.id for u in units] == ["train/CMU/00000", "train/KIT/00000", "val/CMU/00000"]
    sequences = {s.id: s for u in units for s in main.load_unit(root, u, options)}
    assert len(sequences) == 16
    truth = json.loads((root / "miniature_truth.json").read_text())
    track = sequences["CMU/walk/v2"].tracks[0]
    assert track.activity == truth["facts"]["activities"]
    assert sequences["KIT/left/v0"].tracks[0].activity == ["left"] * 6
    motion = np.load(root / "amass/CMU/01/01_01_poses.npz")
    for t in (0, 5):
        parameters = track.parameters(t)
        np.testing.assert_allclose(parameters["pose"], motion["poses"][8 + 4 * t], atol=1e-6)
        np.testing.assert_allclose(parameters["trans"], motion["trans"][8 + 4 * t], atol=1e-6)
    assert track.parameters(0)["gender"] == "female"  # stored as bytes
    mask = track.mask(3)
    assert mask["size"] == [480, 640]
    # other files are another state
    (root / "CMU/new_rgb_v0.mp4").write_bytes(b"")
    with pytest.raises(WorkError, match="not validated"):
        list(main.list_units(root, options))


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
        (nothing, {"pose__joint_names": "smplx55"}, "(6, 52, 3)"),
        (nothing, {"clip_glob": "**/*.avi"}, "no file matches clip_glob"),
        (nothing, {"clip_glob": "**/*.mp4"}, "match clip_glob but not clip_regex"),
        (nothing, {"frame_index_base": 1}, "files numbered 0 to 5"),
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
        with pytest.raises(
            CorruptInput, match=r"sit_pose\.npz.*(nothing of it was run|extract it again)"
        ):
            read_array(path, "joints", ("T", 52, 3))
    assert not (tmp_path / "was_run").exists()


def test_a_view_that_hardly_shows_the_person_selects_the_same_poses(made):
    """Otherwise the views would keep other frames from there on, and no longer be one moment."""
    manifest = main.read_layout(main.Options())
    clip = next(c for c in finding.find_clips(made, manifest)[0] if c.id == "CMU/walk")
    data = motion.load_amarv_clip(made, manifest, clip, None, None, 50)
    data.boxes[1][2] = 0, 0, 5, 5
    unknown = ["unknown"] * 6
    views = [
        make_sequence(made, manifest, data, v, split="train", activity=unknown) for v in (0, 1)
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
    units = list(main.list_units(root, options))
    assert len(units) == 3
    assert not looked


def test_amass_is_searched_once_in_a_process(root, monkeypatch):
    (root / "amass/CMU").rename(root / "amass/CMU_new")
    options = main.Options(validate_clips=1)
    main.calibrate(root, options)
    searched = []
    real = AmassIndex._index
    monkeypatch.setattr(
        AmassIndex,
        "_index",
        lambda self: searched.append(self._by_tail is None) or real(self),
    )
    motion.open_index.cache_clear()
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
    monkeypatch.setattr(layout.cv2, "haveImageWriter", lambda name: False)
    assert any("no OpenEXR: set depth: null" in p for p in main.doctor(root, options))
    monkeypatch.setattr(layout.cv2, "haveImageWriter", lambda name: True)
    assert any(
        "nothing readable; expected an EXR image; extract again" in p
        for p in main.doctor(root, options)
    )


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
    clip = next(c for c in finding.find_clips(root, manifest)[0] if c.id == "CMU/walk")
    index = AmassIndex(root / "amass")
    got = motion.load_amarv_clip(root, manifest, clip, "CMU/01/01_01_poses.npz", index, 50)
    assert got.world_coords.shape == (6, 52, 3)
    for t in (0, 5):
        joints = 1000 * body_joints("smplh", "female", got.parameters(t))
        np.testing.assert_allclose(joints[0], got.world_coords[t], atol=0.05)
    # with joints that are stored as well, parameters that do not fit them are left out
    both = options_for(tmp_path, body__root_transform_key="move")
    got = motion.load_amarv_clip(
        root, main.read_layout(both), clip, "CMU/01/01_01_poses.npz", index, 50
    )
    assert got.parameters is None and "left out: AMASS joints are" in got.parameters_note
    # and without the body model a move cannot be put into the parameters
    (tmp_path.parent / "nowhere").mkdir(exist_ok=True)
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(tmp_path.parent / "nowhere"))
    got = motion.load_amarv_clip(
        root, main.read_layout(both), clip, "CMU/01/01_01_poses.npz", index, 50
    )
    assert got.parameters is None
    assert got.parameters_note == "none: no body parameters, since the SMPL-H file was not found"


def test_without_amass_there_are_no_parameters(root, tmp_path):
    shutil.rmtree(root / "amass")
    options = main.Options(validate_clips=1)
    assert "none: AMASS not found" in "\n".join(main.calibrate(root, options))
    unit = next(main.list_units(root, options))
    track = main.load_unit(root, unit, options)[0].tracks[0]
    assert track.parameters is None and track.note == "body parameters: none: AMASS not found"


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


def test_what_was_found_good_is_not_validated_again(root, monkeypatch):
    options = main.Options(validate_clips=1)
    lines = main.calibrate(root, options)
    validated = []
    real = main.run_validation
    monkeypatch.setattr(main, "run_validation", lambda *a: validated.append(a) or real(*a))
    assert main.calibrate(root, options) == lines and not validated
    main.calibrate(root, main.Options(validate_clips=2))
    assert len(validated) == 1
    (root / "CMU/walk_rgb_v3.mp4").unlink()
    with pytest.raises(WorkError, match="clip CMU/walk has the views"):
        main.calibrate(root, options)
    assert len(validated) == 2


def test_subjects_can_be_chosen(root):
    main.calibrate(root, main.Options(validate_clips=1))

    def clips_of(subjects):
        units = main.list_units(root, main.Options(subjects=subjects))
        return sorted(f"{c['source']}/{c['name']}" for u in units for c in u.args["clips"])

    everything = ["CMU/sit", "CMU/walk", "KIT/left", "KIT/right"]
    assert clips_of(None) == everything
    assert clips_of(["KIT/10"]) == ["KIT/left", "KIT/right"]
    assert clips_of(["CMU/02", "CMU/01"]) == ["CMU/sit", "CMU/walk"]
    with pytest.raises(
        UsageError, match=r"dataset\.subjects: no subject CMU/3; did you mean CMU/0"
    ):
        clips_of(["CMU/3"])


def test_a_name_map_of_another_form_is_named(root):
    path = root / "name_map.json"
    path.write_text('{"CMU/walk": {"amass_path": "CMU/01/a.npz", "start_t": -1}}')
    (problem,) = main.doctor(root, main.Options())
    assert "name_map.json: not a map from clip to amass_path: CMU/walk.start_t: " in problem
    path.write_text("[")
    assert "name_map.json: not valid JSON" in main.doctor(root, main.Options())[0]

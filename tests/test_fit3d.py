"""Fit3D, and what the datasets of its laboratory have in common: rates, cameras, fits, tables."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posepile.acquire.plan import plan
from posepile.acquire.sources import load_sources
from posepile.ds.fit3d import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import project
from posepile.shapes import lab_json

# The card's list, typed.
JOINTS = (
    "pelv lhip lkne lank rhip rkne rank spin neck head htop lsho lelb lwri rsho relb rwri lfoo "
    "ltoe rfoo rtoe lthu lfin rthu rfin"
).split()
VIEW = "50591643"
SQUAT, WARM_UP = f"s03/squat/{VIEW}", f"s03/warm up 9/{VIEW}"


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("fit3d"), tmp_path / "fit3d")


def load(root, **options):
    lab_json.load_action.cache_clear()  # files do not change in a run
    options = main.Options(cameras=[VIEW], **options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def edit(root, name, change):
    path = root / "train/s03" / name
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def rows(root, action):
    return np.array(json.loads((root / f"train/s03/joints3d_25/{action}.json").read_text())[
        "joints3d_25"
    ])  # fmt: skip


def test_facts():
    assert main.SPEC.joint_info.names == JOINTS
    edges = {
        tuple(sorted(JOINTS[j] for j in edge)) for edge in main.SPEC.joint_info.stick_figure_edges
    }
    assert {("lank", "lfoo"), ("lthu", "lwri"), ("neck", "rsho"), ("pelv", "rhip")} <= edges
    assert {("rfin", "rwri"), ("lfoo", "ltoe"), ("head", "htop")} <= edges and len(edges) == 24


def test_one_or_four_rows_per_frame_is_decided_by_the_files(root):
    found = load(root)
    for name, every, n in ((SQUAT, 4, 8), (WARM_UP, 1, 9)):
        action, (person,) = name.split("/")[1], found[name].tracks
        expected = 1000 * rows(root, action)[::every][person.frames]
        np.testing.assert_allclose(person.world_coords, expected, atol=1e-3)
        assert set(range(n)) - set(person.frames.tolist()) == {4}  # of which nothing is known
        assert found[name].image_name(5, 0) == f"train/s03/videos/{VIEW}/{action}.mp4/000005.jpg"
        assert found[name].frames.n_frames == n and found[name].frames.mismatch_known
    halved = {"joints3d_25": rows(root, "squat")[::2].tolist()}
    edit(root, "joints3d_25/squat.json", lambda c: halved)
    with pytest.raises(CorruptInput, match=r"squat.json: found 15 rows of joints for 8 frames"):
        load(root)


def test_without_fits_the_video_tells_the_rate(root):
    shutil.rmtree(root / "train/s03/smplx")
    told = rows(root, "squat")
    more = np.concatenate([told, told[-6:]]).tolist()  # as long as the video
    edit(root, "joints3d_25/squat.json", lambda c: {"joints3d_25": more})
    found = load(root)
    for name, every in ((SQUAT, 4), (WARM_UP, 1)):
        (person,) = found[name].tracks
        assert person.parameters is None and person.note == lab_json.NO_FITS
        expected = 1000 * rows(root, name.split("/")[1])[::every][person.frames]
        np.testing.assert_allclose(person.world_coords, expected, atol=1e-3)


def test_joints_of_other_frames_than_the_fits_are_refused(root):
    edit(
        root,
        "joints3d_25/warm up 9.json",
        lambda c: {"joints3d_25": c["joints3d_25"][-1:2:-1] * 2},
    )
    with pytest.raises(CorruptInput, match=r"warm up 9.json, person 0: pelvis: \d+ mm or more"):
        load(root)
    with pytest.raises(CorruptInput, match="half of the limbs: .*dataset.max_body_mm"):
        load(root, max_pelvis_mm=1e4)


def test_frames_that_only_joints_or_fits_reach_are_counted(root):
    edit(root, "joints3d_25/warm up 9.json", lambda c: {"joints3d_25": c["joints3d_25"][:8]})
    sequence = load(root)[WARM_UP]
    assert sequence.dropped[lab_json.UNPAIRED] == 1 and sequence.frames.n_frames == 8


def test_numbers_of_rows_that_do_not_fit_are_refused(root):
    told = rows(root, "warm up 9")
    edit(root, "joints3d_25/warm up 9.json", lambda c: {
        "joints3d_25": np.concatenate([told, told[:4]]).tolist()})  # fmt: skip
    with pytest.raises(CorruptInput, match="found 13 rows of joints for 9 frames.*max_unpaired"):
        load(root)
    load(root, max_unpaired=0.5)
    edit(root, "joints3d_25/warm up 9.json", lambda c: {"joints3d_25": told.tolist()})
    (root / "train/s03/smplx/warm up 9.json").unlink()
    assert load(root)[WARM_UP].dropped[lab_json.UNPAIRED] == 2
    for kind in ("joints3d_25", "smplx"):
        shorter = json.loads((root / f"train/s03/{kind}/squat.json").read_text())
        shorter = {name: rows[: 20 if kind != "smplx" else 5] for name, rows in shorter.items()}
        edit(root, f"{kind}/squat.json", lambda c, shorter=shorter: shorter)
    with pytest.raises(CorruptInput, match=r"squat.mp4: found 9 frames.*expected about 5"):
        load(root)


def change_lens(root, change):
    path = f"camera_parameters/{VIEW}/squat.json"
    edit(root, path, lambda c: change(c, c["intrinsics_w_distortion"]))


def to_millimetres(camera, lens):
    camera["extrinsics"]["T"] = [[1000 * x for x in camera["extrinsics"]["T"][0]]]


def to_pinhole(camera, lens):
    lens |= {key: [camera["intrinsics_wo_distortion"][key]] for key in "fc"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (to_millimetres, r"people are \d+ m away in the median; expected at most 15 m"),
        (to_pinhole, "expected a lens with distortion; are these numbers of the pinhole"),
        (lambda _, lens: lens.update(k=[[0, 0, 0]], p=[[0, 0]]), "expected a lens with distort"),
    ],
)
def test_cameras_in_other_units_and_pinholes_are_refused(root, change, message):
    change_lens(root, change)
    with pytest.raises(CorruptInput, match=message):
        load(root)


def test_damaged_files_are_not_called_old_releases(root):
    path = root / "train/s03/joints3d_25/squat.json"
    path.write_text(path.read_text()[:999])
    with pytest.raises(CorruptInput) as error:
        load(root)
    assert "not valid JSON" in str(error.value) and "one person" not in str(error.value)


def test_hands_are_whole_and_turns_are_those_of_the_file(root):
    file = json.loads((root / "train/s03/smplx/squat.json").read_text())
    (person,) = load(root)[SQUAT].tracks
    body = person.parameters(3)
    parts = "global_orient body_pose jaw_pose leye_pose reye_pose left_hand_pose right_hand_pose"
    turns = np.concatenate([file[part][3] for part in parts.split()])
    found = Rotation.from_rotvec(body["pose"].reshape(55, 3)).as_matrix()
    np.testing.assert_allclose(found, turns, atol=1e-5)
    np.testing.assert_allclose(body["trans"], file["transl"][3], atol=1e-6)
    assert body["gender"] == "neutral" and "hands_mean_included" not in body
    assert body["shape"].shape == body["expression"].shape == (10,)
    edit(root, "smplx/squat.json", lambda c: c["left_hand_pose"][2][4].reverse())
    with pytest.raises(CorruptInput, match="left_hand_pose: rotation 0, 2, 4 is a reflection"):
        load(root)


def test_lenses_have_the_form_of_the_devkit_also_in_the_corners(root):
    edit(
        root,
        f"camera_parameters/{VIEW}/squat.json",
        lambda c: c["intrinsics_w_distortion"].update(p=[[0.003, -0.002]]),
    )
    numbers = json.loads((root / f"train/s03/camera_parameters/{VIEW}/squat.json").read_text())
    pose, lens = numbers["extrinsics"], numbers["intrinsics_w_distortion"]
    corners = np.array([[-0.35, -0.35, 1], [0.35, -0.35, 1], [0.3, 0.35, 1]])
    points = corners * 4 @ np.array(pose["R"]) + pose["T"]
    x, (k, p) = corners[:, :2], (np.array(lens[key][0]) for key in "kp")
    r2 = (x**2).sum(axis=1)
    radial = 1 + np.stack([r2, r2**2, r2**3], axis=1) @ k + x @ p[::-1]
    expected = (x * radial[:, None] + r2[:, None] * p[::-1]) * lens["f"][0] + lens["c"][0]
    found = project(load(root)[SQUAT].camera, 1000 * points)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_tables_of_others_and_lost_actions_are_refused(root):
    (root / "fit3d_info.json").rename(root / "info.json")
    assert len(load(root)) == 2
    shutil.copy(root / "info.json", root / "fit3d_info.json")  # one file twice is one file
    assert len(load(root)) == 2
    info = json.loads((root / "info.json").read_text())
    (root / "fit3d_info.json").write_text(json.dumps(info | {"all_camera_names": [VIEW]}))
    with pytest.raises(CorruptInput, match="the table of subjects: found here and at"):
        load(root)
    (root / "fit3d_info.json").unlink()
    text = json.dumps(info | {"train_subj_names": ["s01", "s02"]})
    (root / "info.json").write_text(text)
    with pytest.raises(CorruptInput, match=r"train_subj_names: found \['s01', 's02'\]; expected"):
        load(root)
    info["subj_to_act"]["s03"] = ["squat"]
    (root / "info.json").write_text(json.dumps(info))
    with pytest.raises(CorruptInput, match="lacks 'warm up 9' of s03"):
        load(root)
    info["subj_to_act"]["s03"] = ["squat", "warm up 9", "../squat"]
    (root / "info.json").write_text(json.dumps(info))
    with pytest.raises(CorruptInput, match=r"subj_to_act: found '../squat'; expected names"):
        load(root)
    info["subj_to_act"]["s03"] = ["squat", "warm up 9", "lunge"]
    (root / "info.json").write_text(json.dumps(info))
    units = [unit.id for unit in main.list_units(root, main.Options())]
    assert "s03/lunge/65906101" in units  # whose files are then found to be missing


def test_people_of_the_test_set_are_not_packed(root):
    units = list(main.list_units(root, main.Options()))
    assert {unit.split for unit in units} == {"train"} and len(units) == 8
    assert not any("test" in path.parts for unit in units for path in unit.inputs)
    with pytest.raises(UsageError, match="no subject s02"):
        load(root, subjects=["s02"])


def test_archives_may_extract_below_the_name(root):
    (root / "fit3d").mkdir()
    for name in ("train", "fit3d_info.json"):
        (root / name).rename(root / "fit3d" / name)
    assert set(load(root)) == {SQUAT, WARM_UP}


@pytest.mark.parametrize(("below", "table"), [(".", "fit3d_info.json"), ("fit3d", "info.json")])
def test_what_somebody_has_unpacked_is_not_asked_for(root, tmp_path, below, table):
    moved = tmp_path / "raw" / below
    moved.parent.mkdir(exist_ok=True)
    root.rename(moved)
    (moved / "fit3d_info.json").rename(moved / table)
    decisions = plan(load_sources(Path(main.__file__).with_name("sources.yaml")), tmp_path / "raw")
    assert not [d.reason for d in decisions if d.action == "manual"]

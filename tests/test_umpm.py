"""UMPM: descriptions that are no JSON, two poses per picture, missing joints, wrong ones."""

import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest

from posepile.acquire.doctor import run_doctor
from posepile.acquire.plan import plan
from posepile.acquire.sources import load_sources
from posepile.config import load_config
from posepile.ds.umpm import main
from posepile.errors import CorruptInput, UsageError
from posepile.formats.loose_json import read_loose_json
from posepile.formats.mocap_files import read_c3d
from posepile.geometry.bones import joints_of_odd_bones
from posepile.geometry.pictures import project
from posepile.miniature import writers

NAMES = "pelv neck head rsho relb rwri lsho lelb lwri rhip lhip rkne lkne rank lank".split()


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "umpm"
    shutil.copytree(raw_miniature("umpm"), target)
    return target


def load(root, id, **options):
    options = main.Options(**options)
    (unit,) = (u for u in main.list_units(root, options) if u.id == id)
    return main.load_unit(root, unit, options)[0]


def rewrite(root, change, name="p2_free_1", **more):
    path = root / f"Groundtruth/{name}_vm.c3d"
    mocap = read_c3d(path)
    points, labels = change(mocap.points), mocap.labels
    labels = [f"*{i}" for i in range(points.shape[1])]
    writers.write_c3d(path, points, labels, **{"rate": 100, "units": "mm", **more})


def test_joints_and_legs_that_alternate():
    assert main.SPEC.joint_info.names == NAMES
    pairs = {tuple(sorted((NAMES[a], NAMES[b]))) for a, b in main.EDGES}
    assert {("lank", "lkne"), ("rank", "rkne"), ("lhip", "pelv"), ("neck", "rsho")} <= pairs
    assert len(pairs) == 14


def test_recordings_in_one_folder_or_each_in_its_own(root):
    ids = {unit.id for unit in main.list_units(root, main.Options())}
    takes = ("p1_grab_3", "p2_free_1", "p3_ball_12")
    assert ids == {f"{take}/{view}" for take in takes for view in "fsrl"}


def test_recordings_unpacked_by_hand_need_no_archives(root):
    sources = load_sources(file := Path(main.__file__).with_name("sources.yaml"))
    assert [d.action for d in plan(sources, root)] == ["have"]
    own = root / "p1_grab_3"
    own.rename(root.parent / "aside")
    assert [d.action for d in plan(sources, root)] == ["have"]
    shutil.rmtree(root / "Groundtruth")
    assert [d.action for d in plan(sources, root)] == ["manual"]
    (root.parent / "aside").rename(own)
    (found,) = plan(sources, root)
    assert found.action == "manual"  # the other recordings lack theirs
    assert found.reason.endswith("Groundtruth/p<take>_vm.c3d: 0 files, 2 expected")
    missing = {f"Groundtruth/{name}_vm.c3d" for name in ("p2_free_1", "p3_ball_12")}
    assert set(run_doctor("umpm", file, root).missing) == missing


def test_names_of_recordings_that_are_not_there_are_refused(root):
    for options in ({"sequences": ["p2_fre_1"]}, {"calibrations": {"p2_fre_1": "calib_l06"}}):
        with pytest.raises(UsageError, match="no recording p2_fre_1; did you mean p2_free_1"):
            list(main.list_units(root, main.Options(**options)))


def test_pictures_with_a_gap_or_none_cost_their_view_alone(root):
    folder = root / "Video/p2_free_1_f"
    folder.mkdir()
    assert load(root, "p2_free_1/f").frames.path.name == "p2_free_1_f.avi"
    for k in (0, 2):
        writers.write_jpeg(folder / f"frame_{k:06d}.jpg", np.zeros((486, 644, 3), np.uint8))
    with pytest.raises(CorruptInput, match="no number 1 among 2 files numbered 0 to 2"):
        load(root, "p2_free_1/f")
    assert load(root, "p2_free_1/s").tracks


def test_cameras_of_descriptions_that_may_be_wrong_are_noted(root):
    told = {"calibrations": {"p2_free_1": "calib_n27"}}
    assert load(root, "p2_free_1/f").tracks[1].note[0] == main.DOUBTED
    assert load(root, "p2_free_1/f", **told).tracks[1].note[0] == ""
    assert load(root, "p3_ball_12/f").tracks[1].note[0] == ""
    path = root / "p3_ball_12.json"
    path.write_text(path.read_text().replace('"id":"p3_ball_12"', '"id":"p3_ball_11"'))
    assert load(root, "p3_ball_12/f").tracks[1].note[0] == main.DOUBTED


def test_of_two_descriptions_the_first_counts(root):
    text = (root / "p2_free_1.json").read_text()
    assert text.count('"calib"') == 2 and ",\n}" in text
    assert read_loose_json(root / "p2_free_1.json", main.TAKE)["calib"] == "calib_n27"
    other = load(root, "p2_free_1/f", calibrations={"p2_free_1": "calib_l06"})
    assert not np.allclose(other.camera.t, load(root, "p2_free_1/f").camera.t)


def test_a_description_that_cannot_be_read_costs_its_recording_alone(root):
    (root / "p2_free_1.json").write_text("{")
    with pytest.raises(CorruptInput, match=r"p2_free_1.json: not valid JSON"):
        load(root, "p2_free_1/f")
    assert load(root, "p3_ball_12/f").tracks


def test_a_description_under_another_name_is_missed(root):
    file = root / "p2_free_1.json"
    file.rename(root / "p2_free_1.json_broken")
    (lost,) = (u for u in main.list_units(root, main.Options()) if u.id == "p2_free_1/f")
    assert file in lost.inputs  # which is not there: the unit says so, the others go on


def test_a_recording_of_which_only_videos_are_left_is_missed(root):
    (root / "p2_free_1.json").rename(root / "p2_free_1.json_broken")
    (root / "Groundtruth/p2_free_1_vm.c3d").unlink()
    units = {unit.id: unit for unit in main.list_units(root, main.Options())}
    assert root / "p2_free_1.json" in units["p2_free_1/l"].inputs


def test_descriptions_and_cameras_in_two_places_cost_their_recording_alone(root):
    own = root / "p1_grab_3"
    shutil.copy(root / "p2_free_1.json", own)
    (own / "Calib").mkdir()  # nothing in it: the cameras beside it count
    assert load(root, "p2_free_1/f").tracks and load(root, "p1_grab_3/f").tracks
    (own / "p2_free_1.json").write_text((root / "p3_ball_12.json").read_text())
    shutil.copy(root / "Calib/calib_l06_f.ini", own / "Calib")
    assert load(root, "p1_grab_3/f").tracks  # the same twice
    shutil.copy(root / "Calib/calib_n27_f.ini", own / "Calib/calib_l06_f.ini")
    for id, what in (("p2_free_1/s", "recording"), ("p1_grab_3/f", "camera")):
        with pytest.raises(CorruptInput, match=f"{what}: found here and at"):
            load(root, id)
    assert load(root, "p3_ball_12/f").tracks and load(root, "p1_grab_3/s").tracks


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("bone_range=[1.25, 0.5]", "dataset.bone_range = .1.25, 0.5. is not allowed: .* smaller"),
        ("bone_range=[0.5, .inf]", r"dataset.bone_range\[1\] = inf is not allowed: .* finite"),
        ("bone_mm=.inf", "dataset.bone_mm = inf is not allowed: expected a finite number"),
        ("bone_mm=.nan", "dataset.bone_mm = nan is not allowed"),
    ],
)
def test_limits_that_check_nothing_are_refused(override, text):
    with pytest.raises(UsageError, match=text):
        load_config("umpm", main.Options, [f"dataset.{override}"])


def test_every_other_pose_belongs_to_a_picture(root):
    points = read_c3d(root / "Groundtruth/p2_free_1_vm.c3d").points
    sequence = load(root, "p2_free_1/s")
    assert [t.person for t in sequence.tracks] == [0, 1]
    second = sequence.tracks[1]
    assert 5 not in second.frames  # nothing is known of them there
    k = second.frames.tolist().index(3)
    np.testing.assert_allclose(second.world_coords[k, 2], points[6, 17], atol=0.01)


@pytest.mark.parametrize(("n_more", "refused"), [(2, False), (4, True), (-4, True)])
def test_numbers_of_pictures_and_poses(root, n_more, refused):
    def change(points):
        return np.concatenate([points, points[-n_more:]]) if n_more > 0 else points[:n_more]

    rewrite(root, change)
    if not refused:
        assert load(root, "p2_free_1/f").tracks[0].frames.max() == 6
        return
    with pytest.raises(CorruptInput, match="found [59] poses, 50 per second; expected 7"):
        load(root, "p2_free_1/f")


def test_zeros_and_nan_are_missing(root):
    first, second = load(root, "p2_free_1/f").tracks
    assert np.isnan(first.world_coords[2, 8]).all()  # a wrist, NaN in the file
    k = second.frames.tolist().index(4)
    assert np.isnan(second.world_coords[k, 7]).all()  # an elbow, zeros in the file


def test_the_end_of_a_bone_of_implausible_length_is_missing(root):
    person = load(root, "p3_ball_12/f").tracks[0]
    assert np.isnan(person.world_coords[3, 13]).all() and person.note[3]
    assert np.isfinite(person.world_coords[3, 11]).all() and not person.note[1]
    as_it_is = load(root, "p3_ball_12/f", bone_mm=300).tracks[0]
    assert np.isfinite(as_it_is.world_coords[3, 13]).all()


def test_between_two_odd_bones_the_joint_is_wrong():
    chain = np.cumsum(np.tile([[0, 0, 300.0]], (4, 1)), axis=0)
    joints = np.tile(chain, (5, 1, 1))
    joints[2, 1] += 500
    joints[3, 0] = np.nan
    joints[4, 3] += 150  # less than 1.8 times as long
    wrong = joints_of_odd_bones(joints, [(0, 1), (1, 2), (2, 3)], (0.5, 1.8), 80)
    assert wrong.nonzero()[0].tolist() == [2] and wrong[2].tolist() == [False, True, False, False]


def test_poses_are_compared_about_their_middles(root):
    person = load(root, "p2_free_1/f").tracks[0]
    np.testing.assert_allclose(np.nanmean(person.motion_coords, axis=1), 0, atol=1e-6)


def test_the_lens_has_a_fifth_number(root):
    sequence = load(root, "p2_free_1/f")
    lines = (root / "Calib/calib_n27_f.ini").read_text().splitlines()
    k1, k2, p1, p2 = map(float, lines[3].split())
    joint = sequence.tracks[0].world_coords[0, 8]
    x, y, z = sequence.camera.world_to_camera(joint[None])[0]
    x, y, fx, cx = x / z, y / z, *(float(lines[0].split()[i]) for i in (0, 2))
    r2 = x * x + y * y
    by_hand = x * (1 + k1 * r2 + k2 * r2 * r2) + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    assert project(sequence.camera, joint)[0] == pytest.approx(fx * by_hand + cx, abs=0.01)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"rate": 50}, "rate: found 50.0; expected 100.0"),
        ({"units": "inch"}, "found unit 'inch'; expected mm or cm or m"),
    ],
)
def test_another_rate_or_unit_is_refused(root, more, text):
    rewrite(root, lambda points: points, **more)
    with pytest.raises(CorruptInput, match=text):
        load(root, "p2_free_1/f")


def test_other_units_and_numbers_of_people(root):
    before = load(root, "p2_free_1/f").tracks[0].world_coords
    rewrite(root, lambda points: points / 1000, units="m")
    np.testing.assert_allclose(load(root, "p2_free_1/f").tracks[0].world_coords, before, atol=0.01)
    rewrite(root, lambda points: points[:, :20])
    with pytest.raises(CorruptInput, match="points: found 20; expected 15 or 30"):
        load(root, "p2_free_1/f")


def test_an_axis_that_is_not_up_and_joints_outside_the_picture_are_refused(root):
    rewrite(root, lambda points: points[..., [0, 2, 1]] + [0, 0, 900])
    with pytest.raises(CorruptInput, match="stand along|outside the picture"):
        load(root, "p2_free_1/f", max_outside=1)
    with pytest.raises(CorruptInput, match=r"_f.ini: .*dataset.calibrations"):
        rewrite(root, lambda points: points + 5000)
        load(root, "p2_free_1/f")


def test_pictures_of_a_packed_video(root):
    video = root / "Video/p2_free_1_f.avi"
    packed = video.with_suffix(".avi.xz")
    packed.write_bytes(lzma.compress(video.read_bytes(), preset=0))
    video.unlink()
    sequence = load(root, "p2_free_1/f")
    names = [path.name for path in sequence.frames.paths]
    assert names == [f"frame_{k:06d}.jpg" for k in range(7)]
    packed.write_bytes(packed.read_bytes()[:3000])
    with pytest.raises(CorruptInput, match="not a whole .xz file"):
        load(root, "p2_free_1/f")

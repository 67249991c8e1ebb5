"""Toyota Smarthome: order and axes of poses, placing them, splits, videos, the rendered set."""

import json
import shutil

import numpy as np
import pytest

from posepile.ds.smarthome import main
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats.lcrnet_files import read_found_people
from posepile.geometry.pictures import project
from posepile.geometry.relative import place_poses, tell_axes

FIRST, OLDER = "Cook.Cleandishes_p03_r00_v01_c01", "Readbook_p19_r00_v05_c02"


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "smarthome"
    shutil.copytree(raw_miniature("smarthome"), target)
    return target


def units(root, **options):
    options = main.Options(**{"layout": None, **options})
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name, **options):
    return main.load_unit(root, *units(root, **options)[name])


def edit(path, change):
    """Changes what is told of each person in a skeleton file."""
    told = json.loads(path.read_text())
    for people in told["frames"]:
        for person in people:
            change(person)
    path.write_text(json.dumps(told))


def test_joints_are_those_of_the_card():
    ours = "rank lank rkne lkne rhip lhip rwri lwri relb lelb rsho lsho head"  # even = right
    assert list(main.SPEC.joint_info.names) == ours.split()
    edges = {tuple(main.SPEC.joint_info.names[j] for j in e) for e in
             main.SPEC.joint_info.stick_figure_edges}  # fmt: skip
    for line in ("rank-rkne", "rkne-rhip", "rwri-relb", "relb-rsho", "rhip-lhip", "rsho-lsho"):
        assert tuple(line.split("-")) in edges or tuple(line.split("-")[::-1]) in edges, line


def test_files_have_x_of_all_joints_before_y(root):
    found = read_found_people(root / f"skeletonv12/{FIRST}_pose3d.json")
    told = json.loads((root / f"skeletonv12/{FIRST}_pose3d.json").read_text())["frames"][2][0]
    assert found.pixels[2, 12].tolist() == [told["pose2d"][12], told["pose2d"][25]]
    assert found.poses[2, 3].tolist() == pytest.approx(
        [1000 * told["pose3d"][k] for k in (3, 16, 29)]
    )
    assert found.n_frames == 9  # one less than the video
    # The other order has as many numbers; axes do not fit then.
    edit(
        root / f"skeletonv12/{FIRST}_pose3d.json",
        lambda p: p.update(pose3d=np.reshape(p["pose3d"], (3, 13)).T.ravel().tolist()),
    )
    with pytest.raises(CorruptInput, match="poses and pixels correlate by"):
        load(root, "p03/r00/c01")


@pytest.mark.parametrize("change", [{"njts": 17}, {"frames": [[{"pose2d": [0] * 26}]]}])
def test_other_files_are_refused(root, change):
    path = root / f"skeletonv12/{FIRST}_pose3d.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CorruptInput, match=r"njts|pose3d"):
        load(root, "p03/r00/c01")


def test_poses_are_put_where_the_assumed_camera_sees_them(root):
    (sequence,) = load(root, "p03/r00/c01")
    (person,), camera = sequence.tracks, sequence.camera
    found = read_found_people(root / f"skeletonv12/{FIRST}_pose3d.json")
    pixels = project(camera, person.world_coords)
    np.testing.assert_allclose(pixels, found.pixels, atol=0.01)
    assert ((person.world_coords[..., 2] > 2500) & (person.world_coords[..., 2] < 4500)).all()
    hips = person.motion_coords[:, 4:6].mean(axis=1)
    np.testing.assert_allclose(hips, 0, atol=1e-9)
    assert tuple(camera.world_up) == (0, -1, 0) and "no ground truth" in person.note
    far = load(root, "p03/r00/c01", focal=1100)[0].tracks[0].world_coords[..., 2].mean()
    assert far > 1.8 * person.world_coords[..., 2].mean()
    with pytest.raises(CorruptInput, match="pose: 2D labels lie"):
        load(root, "p03/r00/c01", focal=150, max_projection_px=1)


def test_missing_people_joints_and_last_frames_and_the_second_person(root):
    (walk,) = load(root, "p03/r01/c02")
    assert 4 not in walk.tracks[0].frames and walk.dropped == {"nobody found": 1}
    assert walk.frames.mismatch_known and walk.tracks[0].frames[-1] == 8
    (television,) = load(root, "p04/r02/c01")
    assert television.dropped == {"no joint known": 1}  # all -1
    (drink,) = load(root, "p04/r00/c05")
    assert list(drink.bystanders) == [0] and len(drink.tracks) == 1
    distance = drink.bystanders[0][0].world_coords - drink.tracks[0].world_coords[0]
    assert np.linalg.norm(distance, axis=1).min() > 500

    def lose_the_head(person):
        person["pose2d"][12] = -1

    edit(root / "skeletonv12/Walk_p03_r01_v02_c02_pose3d.json", lose_the_head)
    (walk,) = load(root, "p03/r01/c02")
    assert np.isnan(walk.tracks[0].world_coords[:, 12]).all()
    assert np.isfinite(walk.tracks[0].world_coords[:, :12]).all()


def test_version_1_1_has_other_axes_and_gives_the_same_poses(root):
    (newer,), (older,) = load(root, "p19/r00/c02"), load(root, "p19/r00/c02", skeletons="json")
    np.testing.assert_allclose(
        older.tracks[0].world_coords, newer.tracks[0].world_coords, atol=0.01
    )
    turn = np.repeat([-1, 1, 1], 13)
    edit(
        root / f"skeletonv12/{OLDER}_pose3d.json",
        lambda p: p.update(pose3d=(turn * p["pose3d"]).tolist()),
    )
    with pytest.raises(CorruptInput, match="expected 0.5 or more of both, or -0.5 or less"):
        load(root, "p19/r00/c02")


def test_axes_are_told_by_pixels_of_whole_poses_alone():
    poses = np.random.default_rng(0).normal(size=(6, 13, 3))
    pixels = 300 + 80 * poses[..., :2] * (1, 1)
    pixels[2, 5] = np.nan
    poses[2] *= -9
    assert tell_axes("a", poses, pixels, 0.9)[0].tolist() == [1, 1, 1]
    assert tell_axes("a", poses[:0], pixels[:0], 0.9)[0].tolist() == [1, 1, 1]
    with pytest.raises(CorruptInput, match="correlate"):
        tell_axes("a", poses, np.random.default_rng(1).normal(size=(6, 13, 2)), 0.9)


def test_nobody_is_placed_by_two_joints_or_behind_the_camera():
    pose, matrix = np.random.default_rng(0).normal(0, 300, (1, 5, 3)), np.diag([500.0, 500, 1])
    at = pose + np.array([100, 50, 3000])
    pixels = 500 * at[..., :2] / at[..., 2:]
    np.testing.assert_allclose(place_poses(pose, pixels, matrix), at, rtol=1e-9)
    behind = pose - np.array([100, 50, 3000])
    assert np.isnan(place_poses(pose, 500 * behind[..., :2] / behind[..., 2:], matrix)).all()
    pixels[0, 2:] = np.nan
    assert np.isnan(place_poses(pose, pixels, matrix)).all()


def test_official_splits(root):
    sides = {u.split: set() for u, _ in units(root).values()}
    for unit, _ in units(root).values():
        sides[unit.split].add(unit.id[:3])
    assert sides == {"train": {"p03", "p04"}, "val": {"p19", "p25"}, "test": {"p02", "p10"}}
    listed = {"train": 9, "val": 2, "test": 7}  # subjects of the public lists
    assert {split: len(ids) for split, ids in main.SPLITS["cs"].items()} == listed
    assert len(main.CROSS_VIEW) == len(set(main.CROSS_VIEW)) == 19
    # Cook.Cleandishes and WatchTV are not among the activities, cameras 1, 5, 2 are three sides.
    one, two = ({k: u.split for k, (u, _) in units(root, split=s).items()} for s in ("cv1", "cv2"))
    assert (
        one
        == two
        == {
            "p02/r00/c01": "train",
            "p04/r00/c05": "val",
            "p25/r53/c05": "val",
            "p03/r01/c02": "test",
            "p10/r03/c02": "test",
            "p19/r00/c02": "test",
        }
    )
    assert main.find_split("cv2", "p02", "c07") == "train"
    assert main.find_split("cv1", "p02", "c07") is None
    assert set(units(root, subjects=["p10"])) == {"p10/r03/c02"}
    with pytest.raises(UsageError, match="p01"):
        units(root, subjects=["p01"])


def test_clips_without_skeleton_and_of_the_removed_activity_are_counted(root):
    (root / f"skeletonv12/{FIRST}_pose3d.json").unlink()
    for folder, end in (("mp4", ".mp4"), ("skeletonv12", "_pose3d.json")):
        name = f"{folder}/Walk_p03_r01_v02_c02{end}"
        shutil.copy(root / name, root / name.replace("Walk", "Pour.Fromcup"))
    (lost,) = load(root, "p03/r00/c01")
    assert lost.dropped == {"clip without skeleton, or of an activity left out": 1}
    walk, removed = load(root, "p03/r01/c02")
    assert walk.id.startswith("Walk") and sum(removed.dropped.values()) == 1


def test_untrimmed_videos_have_actions_by_frame(root):
    (sequence,) = load(root, "untrimmed/P03T02C01", untrimmed=True)
    (person,) = sequence.tracks
    done = dict(zip(person.frames.tolist(), person.activity, strict=True))
    assert [done[k] for k in (12, 30, 31, 60, 61)] == [
        "Walk", "Walk", "Get_water", "Get_water", "Sit_down",
    ]  # fmt: skip
    assert not sequence.frames.mismatch_known and sequence.frames.n_frames == 100
    assert not load(root, "untrimmed/P03T02C01", untrimmed=True, min_coverage=0.7)[0].tracks
    actions = root / "Annotation/P03/P03T02C01.csv"
    actions.write_text(actions.read_text() + "Leave,70,75\n")
    person = load(root, "untrimmed/P03T02C01", untrimmed=True)[0].tracks[0]
    assert person.activity[person.frames.tolist().index(70)] == "Sit_down|Leave"
    actions.write_text(actions.read_text() + "Leave,70,101\n")
    with pytest.raises(
        CorruptInput, match="Leave from frame 70 to 101; expected frames up to 100"
    ):
        load(root, "untrimmed/P03T02C01", untrimmed=True)
    splits = {s: units(root, untrimmed=True, split=s)["untrimmed/P03T02C01"][0].split
              for s in ("cs", "cv1")}  # fmt: skip
    assert splits == {"cs": "train", "cv1": "train"}
    assert main.find_split("long cs", "P19", "C02") == "train"
    assert main.find_split("long cv", "P19", "C05") == "test"
    actions.write_text("event,start_frame,end_frame\nWalk,0,9\n")
    durations = root / "smarthome_CS_51.json"
    durations.write_text(durations.read_text().replace("100", "125"))
    with pytest.raises(CorruptInput, match="found 125 frames; expected 100"):
        load(root, "untrimmed/P03T02C01", untrimmed=True)


def test_the_rendered_set_is_read_only_when_it_is_as_the_layout_says(root):
    with pytest.raises(WorkError, match="not validated"):
        units(root, layout="smarthome_layout.yaml")
    options = main.Options()
    assert "reprojection" in "\n".join(main.calibrate(root, options))
    sequences = load(root, "train/synthetic/00000", layout=options.layout)
    assert [s.id[-2:] for s in sequences] == ["v0", "v1", "v2", "v3"]
    assert sequences[0].tracks[0].activity == ["Cook.Cleandishes"] * 4
    assert sequences[2].image_name(3, 0) == f"synthetic/{FIRST}/v2/000003.jpg"
    assert not units(root, layout=options.layout, subjects=["p02"]).keys() - {"p02/r00/c01"}
    path = root / f"synthetic/{FIRST}_pose.npz"
    np.savez(path, joints=np.load(path)["joints"] * (1, 1, -1))
    assert any("test" in problem for problem in main.doctor(root, options))

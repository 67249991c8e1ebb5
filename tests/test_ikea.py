"""IKEA ASM: views share a world, labels pair by number, missing joints, the official split."""

import json
import pickle
import shutil

import numpy as np
import pytest

from posepile.ds.ikea import main, miniature
from posepile.errors import CorruptInput
from posepile.formats.pickles import read_pickle
from posepile.geometry.pictures import project

# The card's list, typed.
JOINTS = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
).split()
TV, SHELF = miniature.TV, miniature.SHELF


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("ikea"), tmp_path / "ikea")


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def recalibrate(root, scene, view, **changes):
    path = root / "Calibration/camera_parameters.pkl"
    table = read_pickle(path)
    table[scene][view] = table[scene][view] | changes
    path.write_bytes(pickle.dumps(table))


def test_facts():
    assert main.SPEC.joint_info.names == JOINTS and len(main.SPELLED) == 17
    edges = {frozenset(JOINTS[j] for j in e) for e in main.SPEC.joint_info.stick_figure_edges}
    assert {frozenset(e.split("-")) for e in ("rank-rkne", "rhip-lhip", "lhip-lsho")} <= edges
    assert frozenset(("nose", "leye")) in edges and len(edges) == 16


def test_all_views_have_the_same_poses_in_the_world(root):
    found = load(root)
    views = [found[f"{TV}/{view}"] for view in main.VIEWS]
    assert all(s.checks["views_mm"] < 0.1 for s in views) and views[2].checks["marks_px"] < 6
    for sequence in views:
        person = sequence.tracks[0].world_coords
        np.testing.assert_allclose(person, views[1].tracks[0].world_coords, atol=0.1)
    camera = views[0].camera
    pose = json.loads((root / f"{TV}/dev1/pose3d/000020.json").read_text())["pose_keypoints_3d"]
    points = np.reshape(pose, (17, 4))[:, :3]
    lens = read_pickle(root / "Calibration/camera_parameters.pkl")["01"]["dev1"]["K"]
    expected = points @ lens.T
    world = views[0].tracks[0].world_coords[1]
    np.testing.assert_allclose(project(camera, world), expected[:, :2] / expected[:, 2:], atol=0.1)
    turned = read_pickle(root / "Calibration/camera_parameters.pkl")["01"]["dev1"]
    changes = {"T": 0 * turned["T"], "P": turned["P"] * [1, 1, 1, 0]}
    recalibrate(root, "01", "dev1", **changes)  # as if translations did not count
    with pytest.raises(CorruptInput, match="dev1 and dev2: .* have a joint .* mm apart"):
        load(root)


def test_joints_are_missing_where_confidence_is_zero_and_nowhere_else(root):
    person = load(root)[f"{TV}/dev2"].tracks[0]
    assert person.frames.tolist() == [0, 20, 21, 25]
    missing = {
        k: np.flatnonzero(np.isnan(p[:, 0])).tolist() for k, p in enumerate(person.world_coords)
    }
    assert missing == {0: [9], 1: [], 2: [], 3: [0, 4, 16]}
    assert person.world_coords[0, 0, 0] == 0  # the nose is right before that camera


def test_labels_pair_with_frames_by_number(root):
    sequence = load(root)[f"{TV}/dev3"]
    assert sequence.image_name(20, 0) == f"{TV}/dev3/images/000020.jpg"
    assert sequence.frames.path.name == "scan_video.avi"  # not what was extracted
    folder = root / TV / "dev3/pose2d"
    (folder / "000000.json").rename(folder / "000021_.json")
    (folder / "000021.json").unlink()
    (folder / "000020.json").rename(folder / "000000.json")  # marks of another frame
    (folder / "000021_.json").rename(folder / "000020.json")
    with pytest.raises(CorruptInput, match=r"marks: 2D labels lie .* px \(median\)"):
        load(root)


def test_only_marks_that_people_were_sure_of_count(root):
    path = root / TV / "dev3/pose2d/000020.json"
    pixels = main.read_marks(path)
    assert np.flatnonzero(np.isnan(pixels[:, 0])).tolist() == [3, 4]
    edit(path, tail={"position": [1, 2], "confidence": 3})
    with pytest.raises(CorruptInput, match="000020.json: found joint 'tail'; expected nose, left"):
        load(root)


def test_the_official_split_in_either_place(root):
    assert {s.id.rpartition("/")[0]: s.split for s in load(root).values()} == {
        TV: "train",
        SHELF: "test",
    }
    assert set(load(root, splits=["test"], views=["dev1"])) == {f"{SHELF}/dev1"}
    assert set(load(root, subjects=["0007"], views=["dev1"])) == {f"{TV}/dev1"}
    (root / "indexing_files").mkdir()
    (root / "test_cross_env.txt").rename(root / "indexing_files/test_cross_env.txt")
    assert len(load(root)) == 6
    (root / "train_cross_env.txt").write_text("")
    with pytest.raises(CorruptInput, match=rf"{TV}: in the split's lists: found \[\]; expected"):
        load(root)
    assert set(load(root, subjects=["0045"])) == {f"{SHELF}/{view}" for view in main.VIEWS}
    shutil.copy(root / "indexing_files/test_cross_env.txt", root)
    (root / "train_cross_env.txt").write_text(f"./{TV}/\n{TV}\n")
    assert len(load(root)) == 6
    (root / "train_cross_env.txt").write_text(f"{TV}\n{SHELF}\n")
    with pytest.raises(CorruptInput, match=rf"{SHELF}: .* found \['train', 'test'\]"):
        load(root)


def test_a_view_without_video_and_special_tests_are_passed_over(root):
    assert not any("special_test" in name for name in load(root))
    (root / TV / "dev1/images/scan_video.avi").unlink()
    (root / TV / "dev2/images/scan_video.avi").rename(root / TV / "dev2/images/Scan_Video.AVI")
    shutil.rmtree(root / SHELF / "dev2/pose3d")
    found = load(root)
    assert f"{TV}/dev1" not in found and f"{TV}/dev2" in found
    assert found["left_out"].dropped == {main.NO_VIDEO: 1, main.NO_POSES: 1}


def test_labels_that_cannot_be_read_concern_their_own_view(root):
    def alone(view, message):
        options = main.Options(subjects=["0007"])
        for unit in main.list_units(root, options):
            if unit.args["view"] == view:
                with pytest.raises(CorruptInput, match=message):
                    main.load_unit(root, unit, options)
            else:
                assert main.load_unit(root, unit, options)[0].checks["views_mm"] < 0.1

    shutil.copy(root / TV / "dev1/pose3d/000020.json", root / TV / "dev1/pose3d/20.json")
    alone("dev1", "pose3d: frame 20: found at 000020.json and at 20.json")
    (root / TV / "dev1/pose3d/20.json").unlink()
    (root / TV / "dev1/pose3d/000020.json").write_text("")
    alone("dev1", "000020.json")


def test_tables_that_contradict_themselves_are_refused(root):
    cameras = read_pickle(root / "Calibration/camera_parameters.pkl")["08"]
    lens, place = cameras["dev2"]["K"], np.ones((3, 1))
    recalibrate(root, "08", "dev2", T=place, P=lens @ np.hstack([np.eye(3), place]))
    with pytest.raises(CorruptInput, match="scene 08, dev2: has a pose; expected the origin"):
        load(root)
    recalibrate(root, "01", "dev1", T=10 * place)
    with pytest.raises(CorruptInput, match=r"scene 01, dev1: P is off K \[R|T\] by"):
        load(root, subjects=["0007"])


def test_a_scene_without_calibration_is_named(root):
    (root / TV).rename(root / TV.replace("_floor_01_", "_floor_03_"))
    (root / "train_cross_env.txt").write_text(TV.replace("_floor_01_", "_floor_03_"))
    with pytest.raises(CorruptInput, match="has no '03' of key '03.dev1'; there: 01, 02, 04"):
        load(root)

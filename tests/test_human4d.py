"""HUMAN4D: sensors on their side, two sensors in one device, which pose belongs to a picture."""

import json
import shutil

import numpy as np
import pytest

from posepile.ds.human4d import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import project
from posepile.geometry.rotations import rotvec_matrix
from posepile.miniature import writers

NAME = "S1/19-07-12-07-32-22"
OTHER = "S2/19-07-12-12-01-38"
JOINTS = """pelv spin0 spin1 spin2 spin3 neck neck2 head htop neck3 rsho relb rwri rpinkie rthu
lsho lelb lwri lpinkie lthu rhip rkne rank rfoo rtoe rtoe2 lhip lkne lank lfoo ltoe
ltoe2""".split()


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("human4d"), tmp_path / "human4d")


def units(root, **options):
    options = main.Options(**options)
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name=f"{NAME}/M72h", **options):
    unit, options = units(root, **options)[name]
    main.read_poses.cache_clear()
    return main.load_unit(root, unit, options)[0]


def edit_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    writers.write_json(path, content)


def move_poses(root, step):
    """Counts the poses of the first recording from another number."""
    folder = root / NAME / "Dump/gposes3d"
    poses = {int(path.stem): path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    folder.mkdir()
    for number, data in poses.items():
        (folder / f"{number + step}.npy").write_bytes(data)


def without_arrays(root):
    for path in (root / NAME).glob("*.npy"):
        path.unlink()


def test_joints_and_units(root):
    assert main.SPEC.joint_info.names == JOINTS and len(JOINTS) == 32
    views = [f"{name}/{view}" for name in (NAME, OTHER) for view in ("M72e", "M72h")]
    assert list(units(root)) == views
    assert list(units(root, subjects=["S2"])) == views[2:]
    with pytest.raises(UsageError, match="no subject S9"):
        units(root, subjects=["S9"])


def test_pictures_are_turned_and_cameras_with_them(root):
    sequence = load(root)
    assert sequence.frames.rot90 == 3 and set(sequence.frames.sizes) == {(720, 1280)}
    device = json.loads((root / "S1/device_repository.json").read_text())[0]
    rows = np.loadtxt(root / "S1/pose/M72h.extrinsics")
    assert device["Device"] == "M72h"
    turn = np.reshape(device["Color Depth Rotation"], (3, 3))
    point = sequence.tracks[0].world_coords[0, 12].astype(float)
    depth = rows[:3].T @ (point - rows[3])
    color = turn.T @ (depth - 1000 * np.array(device["Color Depth Translation"]))
    x, y, _ = np.reshape(device["Color Intrinsics"][0]["1280x720"], (3, 3)) @ color / color[2]
    expected = [719 - y, x]  # of the picture as it is turned, a quarter clockwise
    np.testing.assert_allclose(project(sequence.camera, point), expected, atol=0.01)
    plain = rows[:3].T @ (point - rows[3])  # without the step to the colour camera
    assert np.linalg.norm(plain - color) > 30
    assert tuple(sequence.camera.world_up) == (0, 1, 0)


def test_the_vertical_is_told_by_the_sensors(root):
    without_arrays(root)

    def turn_world(rotation):
        for path in (root / "S1/pose").iterdir():
            rows = np.loadtxt(path)
            np.savetxt(path, np.concatenate([rotation @ rows[:3], [rotation @ rows[3]]]))

    turn_world(np.eye(3)[[2, 0, 1]])
    assert tuple(load(root).camera.world_up) == (0, 0, 1)
    turn_world(rotvec_matrix(np.array([0.5, 0, 0])))
    with pytest.raises(CorruptInput, match="up is .* degrees off an axis of the world"):
        load(root)


def test_groups_belong_to_poses_by_number(root):
    sequence = load(root)
    folder = root / NAME / "Dump"
    names = [path.name for path in sequence.frames.paths]
    # A frame is a group, which all sensors share; 9 is before 10.
    assert [int(name.split("_")[0]) for name in names] == [7] * 7 + list(range(7, 16))
    # Offset 9: two groups before, and one of the others has no pose.
    assert sequence.dropped == {main.BEFORE: 2, main.NO_POSE: 1}
    assert sequence.tracks[0].frames.tolist() == [9, 10, 12, 13, 14, 15]
    pose = np.load(folder / "gposes3d/1.npy")[0][main.KEPT]
    np.testing.assert_allclose(sequence.tracks[0].world_coords[1], pose, atol=1e-3)
    assert sequence.image_name(10, 0) == f"{NAME}/Dump/color/{names[10][:-4]}.jpg"
    assert sequence.checks["projection_px"] < 0.01 and sequence.tracks[0].note == ""
    shutil.copy(folder / "color" / names[0], folder / "color/007_M72h_color_1.png")
    with pytest.raises(CorruptInput, match=r"M72h, group 7: found at 007_"):
        load(root)
    assert load(root, f"{NAME}/M72e").tracks


def test_bad_poses_stop_their_recording_and_a_bad_sensor_its_view(root):
    folder = root / NAME / "Dump/gposes3d"
    shutil.copy(folder / "3.npy", folder / "003.npy")
    with pytest.raises(CorruptInput, match=r"gposes3d: pose 3: found at 003.npy and at 3.npy"):
        load(root)
    assert load(root, f"{OTHER}/M72h").tracks
    shutil.rmtree(folder)
    with pytest.raises(CorruptInput, match=r"gposes3d: holds no <number>.npy"):
        load(root)
    (root / "S2/pose/M72e.extrinsics").write_text("")
    with pytest.raises(CorruptInput, match=r"M72e.extrinsics"):
        load(root, f"{OTHER}/M72e")
    assert tuple(load(root, f"{OTHER}/M72h").camera.world_up) == (0, 1, 0)


def test_another_offset_is_told_by_the_number_of_2d_rows(root):
    path = root / "S1/offsets.txt"
    path.write_text(path.read_text().replace("\t9\t", "\t10\t"))
    told = r"_2d.npy: found 7 groups after the offset; expected 6, as in .*offsets.txt"
    with pytest.raises(CorruptInput, match=told):
        load(root)
    without_arrays(root)
    assert load(root).tracks[0].note == main.UNCHECKED


def test_the_index_of_poses_is_decided_on_2d_arrays(root):
    before = load(root).tracks[0].world_coords
    move_poses(root, 1)
    np.testing.assert_array_equal(load(root).tracks[0].world_coords, before)
    with pytest.raises(CorruptInput, match="for shift 0"):
        load(root, pose_shift=0)
    without_arrays(root)
    with pytest.raises(CorruptInput, match="poses are numbered from 1, groups from 7"):
        load(root)
    np.testing.assert_array_equal(load(root, pose_shift=1).tracks[0].world_coords, before)
    assert load(root, pose_shift=1).tracks[0].note == ""


def test_without_2d_arrays_the_official_index_is_noted(root):
    before = load(root).tracks[0].world_coords
    without_arrays(root)
    trusted = load(root)
    assert trusted.tracks[0].note == main.UNCHECKED
    np.testing.assert_array_equal(trusted.tracks[0].world_coords, before)


def test_arrays_of_boxes_are_none_of_joints_and_two_are_refused(root):
    (array,) = (root / NAME).glob("*M72h_2d.npy")
    np.save(array.with_name(f"{array.stem}_bbox.npy"), np.zeros((3, 1, 4)))
    assert load(root).checks["projection_px"] < 0.01
    np.save(array.with_name(f"{array.stem}_old.npy"), np.load(array) + 1)
    with pytest.raises(CorruptInput, match=r"_old.npy: 2D joints: found here and at .*_2d.npy"):
        load(root)


def test_without_any_extrinsics_nothing_is_passed_over(root):
    shutil.rmtree(root / "S1/pose")
    assert f"{NAME}/M72e" in units(root)
    with pytest.raises(CorruptInput, match=r"M72e.extrinsics: file is missing"):
        load(root, f"{NAME}/M72e")
    assert load(root, f"{OTHER}/M72e").tracks


def test_cameras_of_another_convention_are_refused(root):
    rows = np.loadtxt(root / "S2/pose/M72h.extrinsics")
    path = root / "S2/pose/M72h.extrinsics"
    np.savetxt(path, np.concatenate([rows[:3].T, rows[3:]]))
    with pytest.raises(CorruptInput, match=r"M72h_2d.npy: 2D joints lie|degrees off an axis"):
        load(root, f"{OTHER}/M72h")
    np.savetxt(path, rows)

    def millimetres(devices):
        devices[0]["Color Depth Translation"] = [35, 12, -9]

    edit_json(root / "device_repository.json", millimetres)
    with pytest.raises(CorruptInput, match="M72h: the colour sensor is 38079 mm"):
        load(root, f"{OTHER}/M72h")
    edit_json(root / "device_repository.json", lambda devices: devices[0].update(Device="M72x"))
    with pytest.raises(CorruptInput, match="has no 'M72h' of key"):
        load(root, f"{OTHER}/M72h")
    (root / "S2/offsets.txt").write_text("19-01-01-00-00-00\t12\t3\n")
    with pytest.raises(CorruptInput, match="found no line; expected one offset"):
        load(root, f"{OTHER}/M72e")


def test_several_people_and_sensors_without_extrinsics(root):
    folder = root / NAME / "Dump"
    for path in (folder / "gposes3d").iterdir():
        pose = np.load(path)
        other = pose + np.array([800, 0, 0])
        np.save(path, np.concatenate([pose, other, pose / 1000]))
    shutil.copy(next((folder / "color").glob("*_M72e_*")), folder / "color/7_M72i_color_3.png")
    first, second, tiny = load(root).tracks
    assert np.abs(second.world_coords - first.world_coords - [800, 0, 0]).max() < 0.1
    sequence = load(root)
    assert sequence.image_name(9, 1).endswith("_01.jpg")
    assert tiny.unusable(0) == main.SMALL and first.unusable(0) is None
    lost = load(root, f"{NAME}/M72e").dropped
    assert lost[main.UNKNOWN_SENSOR] == 1 and main.UNKNOWN_SENSOR not in sequence.dropped

"""TotalCapture: inches and tabs, splits of the protocol, mattes, takes that are misaligned."""

import shutil

import numpy as np
import pytest

from posepile.ds.totalcapture import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import box_of_mask, box_of_points, project

ACTING, CAL = "s1/acting1/TC_S1_acting1_cam", "calibration.cal"
POSES = "vicon/S1/acting1/gt_skel_gbl_pos.txt"
NAMES = (
    "pelv spin spin1 spin2 spin3 neck head rcla rsho relb rwri lcla lsho lelb lwri rhip rkne rank "
    "lhip lkne lank"
).split()


@pytest.fixture(autouse=True)
def _nothing_remembered():
    main.read_poses.cache_clear()
    main.read_cameras.cache_clear()


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("totalcapture"), tmp_path / "totalcapture")


def units(root, **options):
    return {u.id: u for u in main.list_units(root, main.Options(**options))}


def load(root, name=f"{ACTING}1", **options):
    return main.load_unit(root, units(root)[name], main.Options(**options))[0]


def edit_poses(root, change):
    head, *rows = (root / POSES).read_text().splitlines()
    joints = np.array([row.split() for row in rows if row], float).reshape(-1, 21, 3)
    joints = change(joints)
    rows = ["\t".join(" ".join(map(str, j)) for j in pose) + "\t\n" for pose in joints.tolist()]
    (root / POSES).write_text(head + "\n" + "".join(rows))


def edit_cameras(root, change):
    lines = [line.split() for line in (root / CAL).read_text().splitlines()]
    change(lines)
    (root / CAL).write_text("\n".join(map(" ".join, lines)) + "\n\n")


def test_positions_are_inches_in_lines_that_end_with_a_tab(root):
    assert list(main.SPEC.joint_info.names) == NAMES
    lines = (root / POSES).read_text().split("\n")
    assert lines[0].endswith("\t") and len(lines[0].split("\t")) == 22 and lines[-2:] == ["", ""]
    (track,) = load(root).tracks
    ankle = [float(v) for v in lines[3].split("\t")[17].split()]
    np.testing.assert_allclose(track.world_coords[2, NAMES.index("rank")], 25.4 * np.array(ankle))
    assert 350 < np.linalg.norm(track.world_coords[0, 15] - track.world_coords[0, 16]) < 450
    (root / POSES).write_text("\n".join(lines).replace("Spine2", "Spine4"))
    with pytest.raises(CorruptInput, match="expected the names of 21 joints"):
        load(root, max_stretch_mm=2)
    (root / POSES).write_text("\n".join([*lines[:2], lines[2].rpartition(" ")[0]]))
    with pytest.raises(CorruptInput, match="found 62 numbers; expected 63"):
        load(root, max_stretch_mm=3)
    (root / POSES).write_text(lines[0] + "\n")
    with pytest.raises(CorruptInput, match="found no positions below the names"):
        load(root, max_stretch_mm=4)


def test_splits_are_those_of_the_protocol(root):
    takes = {
        "s2/rom3": "train",
        "s3/walking2": "test",
        "s3/walking3": "train",
        "s5/acting3": "test",
    }
    takes |= {"s4/freestyle3": "test", "s4/freestyle1": None}
    for take in takes:
        subject, name = take.split("/")
        path = root / f"video/{subject}/more/TC_{subject.upper()}_{name}_cam8.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "video/s4/freestyle3/TC_S4_freestyle3_cam8.mp4").unlink()
    shutil.copytree(root / "vicon/S1/acting1", root / "vicon/S4/freestyle1")
    found = units(root)
    for take, split in takes.items():
        subject, name = take.split("/")
        unit = found[f"{subject}/more/TC_{subject.upper()}_{name}_cam8"]
        assert unit.split == (split or "test")
        if split is None:
            assert main.load_unit(root, unit, main.Options())[0].dropped == {main.NO_SPLIT: 12}
    assert set(units(root, subjects=["S5"], views=[8])) == {"s5/more/TC_S5_acting3_cam8"}


def test_the_box_is_what_the_matte_has_of_the_joints_box(root):
    sequence = load(root)
    (track,), camera = sequence.tracks, sequence.camera
    assert sequence.image_name(3, 0) == f"video/{ACTING}1/000003.jpg"
    matte = box_of_mask(track.mask(3))
    joints = box_of_points(project(camera, track.world_coords[3]), main.SIZE, expand=1.25)
    low = np.maximum(matte[:2], joints[:2])
    high = np.minimum(matte[:2] + matte[2:], joints[:2] + joints[2:])
    np.testing.assert_allclose(track.bbox[3], [*low, *(high - low)], atol=1e-3)
    assert sequence.checks["joints_outside_matte"] < 0.05


def test_files_end_some_frames_before_each_other(root):
    short = load(root, f"{ACTING}2")
    assert len(short.tracks[0].frames) == 11 and short.dropped == {main.NO_MATTE: 1}
    assert short.frames.n_frames == 12 and short.frames.mismatch_known
    with pytest.raises(CorruptInput, match="cam2.mp4: holds 11 frames; expected 12"):
        load(root, f"{ACTING}2", max_lost=0)
    (root / "mattes/s1/acting1/TC_S1_acting1_cam2.mp4").unlink()
    with pytest.raises(CorruptInput, match="mattes/.*cam2.mp4"):
        load(root, f"{ACTING}2")


def test_videos_that_are_there_twice_or_not_concern_themselves_alone(root):
    at = root / "video/s1/acting1"
    shutil.copytree(at, root / "video/s1/copy")
    assert len(load(root).tracks[0].frames) == 12
    (root / "video/s1/copy/TC_S1_acting1_cam1.mp4").write_bytes(b"another")
    with pytest.raises(CorruptInput, match=r"copy/TC_S1_acting1_cam1.mp4: the video: found here"):
        load(root)
    assert len(load(root, f"{ACTING}6").tracks[0].frames) == 12
    shutil.rmtree(root / "video/s1/copy")
    (at / "TC_S1_acting1_cam1.mp4").unlink()
    (at / "TC_S1_acting1_cam2.mp4").rename(at / "tc_s1_acting1_cam2.MP4")
    assert load(root, "left_out").dropped == {main.NO_VIDEO: 1}
    assert "s1/acting1/tc_s1_acting1_cam2" in units(root)
    with pytest.raises(UsageError, match="no subject S2; .* there are: S1, S4"):
        units(root, subjects=["S2"])


def test_a_misaligned_take_is_refused(root):
    edit_poses(root, lambda joints: joints + np.array([0, 0, 25]))
    with pytest.raises(CorruptInput, match=r"mattes.*cam1\.mp4: .* of the joints project outside"):
        load(root)


def test_bones_keep_their_lengths_and_clavicles_hang_on_spine3(root):
    def longer(joints):
        joints[4, 10] += [0.9, 0, 0]
        return joints

    edit_poses(root, longer)
    with pytest.raises(CorruptInput, match=r"from RightForeArm to RightHand changes by .* mm"):
        load(root)
    parents = dict(zip(main.RAW[1:], (main.RAW[p] for p in main.PARENTS), strict=True))
    assert parents["LeftShoulder"] == parents["RightShoulder"] == parents["Neck"] == "Spine3"


def transposed(lines):
    for k in range(1, 57, 7):
        rows = np.array(lines[k + 3 : k + 6]).T.tolist()
        lines[k + 3 : k + 6] = rows


def test_cameras_are_world_to_camera_in_metres(root):
    camera = load(root, f"{ACTING}2").camera
    lines = [line.split() for line in (root / CAL).read_text().splitlines()]
    rotation, shift = np.array(lines[11:14], float), np.array(lines[14], float)
    np.testing.assert_allclose(camera.t, -1000 * rotation.T @ shift, atol=0.1)
    assert lines[10] == ["0.12"] and np.allclose(camera.distortion_model.coeffs[:2], [0.12, 0])
    edit_cameras(root, transposed)
    main.read_cameras.cache_clear()
    with pytest.raises(CorruptInput, match="outside the mask.* transposed"):
        load(root, f"{ACTING}2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.pop(20), r"line 1 is \[8.0, 1.0\], and 55 lines follow"),
        (lambda lines: lines.__setitem__(0, ["8", "2"]), "distortion order 1"),
        (lambda lines: lines[8].reverse(), "camera 2: rows and columns are"),
        (lambda lines: lines.__delitem__(slice(15, None)), "expected 8 cameras"),
    ],
)
def test_other_calibrations_are_refused(root, change, message):
    edit_cameras(root, change)
    with pytest.raises(CorruptInput, match=message):
        load(root)

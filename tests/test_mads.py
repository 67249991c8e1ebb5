"""MADS: 15 and 19 joints, missing ones, and calibrations that nobody has seen."""

import shutil

import numpy as np
import pytest

from posepile.ds.mads import main
from posepile.errors import CorruptInput, UsageError
from posepile.formats.matlab_files import read_mat
from posepile.miniature import writers

HIP_HOP, KATA = "HipHop/HipHop_HipHop1", "Kata/Kata_P3"
JOINTS = (
    "neck pelv lhip lkne lank ltoe rhip rkne rank rtoe lsho lelb lwri lhan rsho relb rwri rhan "
    "head"
).split()
FIFTEEN = ("neck pelv lhip lkne lank rhip rkne rank lsho lelb lwri rsho relb rwri head").split()


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("mads"), tmp_path / "mads")


def load(root, name=f"{HIP_HOP}_C0.avi", **options):
    options = main.Options(**options)
    units = {u.id: u for u in main.list_units(root, options)}
    return main.load_unit(root, units[name], options)[0]


def write_poses(root, cells):
    array = np.empty((1, len(cells)), object)
    for k, cell in enumerate(cells):
        array[0, k] = cell
    writers.write_mat(root / f"multi_view_data/{HIP_HOP}_GT.mat", {"GTpose2": array})


def poses(root, name=HIP_HOP):
    return [*read_mat(root / f"multi_view_data/{name}_GT.mat")["GTpose2"]]


def edit_camera(root, **values):
    path = root / "multi_view_data/HipHop/Calib_Cam0.mat"
    writers.write_mat(path, read_mat(path) | values)


def test_units_are_the_videos(root):
    options = main.Options()
    found = [unit.id for unit in main.list_units(root, options)]
    assert found == [f"{HIP_HOP}_C{k}.avi" for k in range(3)] + [
        f"{KATA}_C{k}.avi" for k in (0, 2)
    ] + ["left_out"]
    some = main.list_units(root, main.Options(movements=["Kata"], views=[2]))
    assert [unit.id for unit in some] == [f"{KATA}_C2.avi"]
    assert load(root, "left_out").dropped == {main.NO_VIDEO: 1}
    with pytest.raises(UsageError, match="dataset.movements: no movement Jazz; .* HipHop, Kata"):
        list(main.list_units(root, main.Options(movements=["Jazz"])))
    name = load(root).image_name(7, 0)
    assert name == "multi_view_data/HipHop/HipHop_HipHop1_C0.avi/000007.jpg"


def test_no_other_spelling_makes_a_video_vanish(root):
    base = root / "multi_view_data"
    for path in (base / "Kata").iterdir():
        path.rename(path.with_name(path.name.replace("_P3", " P 3").upper()))
    (base / "Kata").rename(base / "kata")
    name = "Kata/KATA P 3_C2.AVI"
    assert len(load(root, name).tracks[0].frames) == 9
    (base / "kata/kata p 3_c2.avi").write_bytes(b"another")
    with pytest.raises(CorruptInput, match="the video: found here and at"):
        load(root, name)
    (base / "kata").rename(base / "Karate")
    (base / "HipHop/HipHop_HipHop1_C0.avi").unlink()
    found = load(root, "left_out").dropped
    assert found == {main.NO_VIDEO: 1, main.NO_MOVEMENT: 3}


def test_poses_and_cameras_that_are_there_twice_concern_their_views_alone(root):
    base = root / "multi_view_data"
    paths = [base / "HipHop/HipHop_HipHop1_GT.mat", base / "Kata/Calib_Cam0.mat"]
    twins = [shutil.copy(path, path.with_name(path.name.upper())) for path in paths]
    assert load(root).tracks and load(root, f"{KATA}_C0.avi").tracks  # the same twice
    for twin in twins:
        twin.write_bytes(b"another")
    with pytest.raises(CorruptInput, match="the poses: found here and at"):
        load(root)
    with pytest.raises(CorruptInput, match="the camera: found here and at"):
        load(root, f"{KATA}_C0.avi")
    assert load(root, f"{KATA}_C2.avi").tracks


def test_of_fifteen_joints_toes_and_hands_are_missing(root):
    assert list(main.SPEC.joint_info.names) == JOINTS
    track, raw = load(root, f"{KATA}_C0.avi").tracks[0], poses(root, KATA)
    for j, name in enumerate(JOINTS):
        if name in FIFTEEN:
            expected = [pose[FIFTEEN.index(name)] for pose in raw]
            np.testing.assert_allclose(track.world_coords[:, j], expected, atol=1e-3)
        else:
            assert name[1:] in ("toe", "han") and np.isnan(track.world_coords[:, j]).all()
    write_poses(root, [*poses(root)[:3], poses(root)[3][:14]])
    with pytest.raises(CorruptInput, match="found 14 joints; expected 19 or 15"):
        load(root)


def test_missing_joints_and_frames_and_a_video_that_goes_on(root):
    sequence = load(root, f"{HIP_HOP}_C2.avi")
    (track,), video = sequence.tracks, sequence.frames
    assert track.frames.tolist() == [0, 1, 2, 3, 4, *range(6, 12)]
    assert sequence.dropped == {"no joint known": 1}
    assert np.isnan(track.world_coords[0, JOINTS.index("rhan")]).all()
    assert np.isfinite(track.world_coords[1:]).all()
    assert (video.n_frames, video.mismatch_known, video.size) == (12, True, (1024, 768))


def test_cameras_are_as_bouguets_toolbox_has_them(root):
    camera = load(root).camera
    raw = read_mat(root / "multi_view_data/HipHop/Calib_Cam0.mat")
    np.testing.assert_allclose(camera.t, -camera.R.T @ np.ravel(raw["T_ext"]), atol=0.05)
    np.testing.assert_allclose(camera.intrinsic_matrix, raw["KK"], atol=1e-3)
    assert 3000 < np.linalg.norm(camera.t) < 4500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: {"om_ext": raw["om_ext"] * [0.2, 0.2, 0.2]}, "degrees from -y"),
        (lambda raw: {"T_ext": raw["T_ext"] * [1, 1, -1]}, "100% of the joints of HipHop"),
        (lambda raw: {"fc": raw["fc"] * 1.01}, "KK is 8.6.* px from fc, cc and alpha_c"),
        (lambda raw: {"alpha_c": 0.01}, "KK is 8.6 px from"),
        (lambda raw: {"kc": raw["kc"][:4]}, "kc: found shape"),
    ],
)
def test_calibrations_that_cannot_be_right_are_refused(root, change, message):
    edit_camera(root, **change(read_mat(root / "multi_view_data/HipHop/Calib_Cam0.mat")))
    with pytest.raises(CorruptInput, match=rf"Calib_Cam0\.mat.*({message})"):
        load(root)


def test_people_stand_along_y(root):
    write_poses(root, [pose[:, [0, 2, 1]] - [0, 0, 900] for pose in 3 * poses(root)])
    with pytest.raises(CorruptInput, match=r"GT\.mat: bodies stand along \[0, 0, 1\]"):
        load(root)

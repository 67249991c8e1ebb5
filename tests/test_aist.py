"""AIST++: which frame a label is of, what is ignored, and labels of older releases."""

import json
import pickle
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from posepile.acquire.plan import plan
from posepile.acquire.sources import load_sources
from posepile.ds.aist import main
from posepile.errors import CorruptInput, UsageError
from posepile.formats.pickles import read_pickle
from posepile.stages.exclusions import load_exclusions

BREAK, FIRST = "gBR_sBM_cAll_d04_mBR0_ch01", "gBR_sBM_c01_d04_mBR0_ch01"
JOINTS = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank "
    "neck pelv"
).split()


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("aist"), tmp_path / "aist")


def units(root, **options):
    options = main.Options(**options)
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name=FIRST, **options):
    unit, options = units(root, **options)[name]
    return main.load_unit(root, unit, options)[0]


def edit(root, change, name=BREAK, folder="keypoints3d", key="keypoints3d_optim"):
    path = root / f"annotations/{folder}/{name}.pkl"
    content = read_pickle(path)
    path.write_bytes(pickle.dumps(content | {key: change(np.array(content[key]))}))


def edit_cameras(root, change):
    path = root / "annotations/cameras/setting1.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_joints_are_those_of_coco_with_two_middles(root):
    assert list(main.SPEC.joint_info.names) == JOINTS
    coords = load(root).tracks[0].world_coords
    raw = read_pickle(root / f"annotations/keypoints3d/{BREAK}.pkl")["keypoints3d_optim"]
    np.testing.assert_allclose(coords[:, :17], 10 * raw, atol=0.01)  # cm
    np.testing.assert_allclose(coords[:, 17], 5 * (raw[:, 5] + raw[:, 6]), atol=0.01)
    np.testing.assert_allclose(coords[:, 18], 5 * (raw[:, 11] + raw[:, 12]), atol=0.01)
    assert coords[:, 15:17, 1].min() > 700  # the floor is not at y = 0


def test_a_joint_that_is_missing_costs_no_more_than_itself(root):
    where = np.zeros((12, 17, 1), bool)
    where[3, [0, 11]] = where[5] = True
    edit(root, lambda joints: np.where(where, np.nan, joints))
    sequence = load(root)
    lost = np.isnan(sequence.tracks[0].world_coords).all(axis=2)
    assert sequence.tracks[0].frames.tolist() == [0, 1, 2, 3, 4, *range(6, 12)]
    assert np.argwhere(lost).tolist() == [[3, 0], [3, 11], [3, 18]]
    assert sequence.dropped["no joint known"] == 1


@pytest.mark.parametrize("rate", [Fraction(60), Fraction(60000, 1001), 59.94])
def test_labels_are_of_the_frames_that_the_filter_puts_out(rate):
    exact = Fraction(60) if rate == 60 else Fraction(60000, 1001)
    expected, n = [], 3100
    for frame in range(n):
        start, end = (k * 60 / exact for k in (frame, frame + 1))
        expected += [frame] * (end.__floor__() - start.__floor__())
    found = main.shown_frames(n, float(rate), Path("a.mp4"))
    assert found.tolist() == expected[:n]
    assert found[999] == 999 and found[1000] == (1000 if rate == 60 else 999)


def test_videos_of_another_rate_are_refused():
    for rate in (None, 50.0, 59.0):
        with pytest.raises(CorruptInput, match="expected 59.94 or 60"):
            main.shown_frames(5, rate, Path("a.mp4"))


def test_of_two_labels_of_a_frame_the_first_is_taken_and_names_are_labels(root):
    edit(root, lambda joints: np.resize(joints, (1002, 17, 3)))
    (root / f"annotations/keypoints2d/{BREAK}.pkl").unlink()
    sequence = load(root)
    assert sequence.dropped[main.REPEATED] == 1
    assert sequence.tracks[0].frames.tolist() == list(range(1001))
    assert sequence.image_name(999, 0) == f"videos/{FIRST}/000999.jpg"
    assert sequence.image_name(1000, 0) == f"videos/{FIRST}/001001.jpg"
    video = sequence.frames
    assert (video.n_frames, video.mismatch_known, video.size) == (1001, True, (1920, 1080))


def test_what_is_ignored_is_counted_and_a_bad_view_is_excluded(root):
    found = units(root)
    for name in ("gHO_sFM_cAll_d20_mHO5_ch13", "gJB_sBM_cAll_d07_mJB3_ch05"):
        assert load(root, name).dropped == {main.IGNORED: 3}
        assert not any(path.suffix == ".mp4" for path in found[name][0].inputs)
    assert not any("_d20_" in name and "cAll" not in name for name in found)
    edit(root, lambda joints: joints * np.nan, "gJB_sBM_cAll_d07_mJB3_ch05")
    assert load(root, "gJB_sBM_cAll_d07_mJB3_ch05").dropped == {main.IGNORED: 3}
    (bad,) = load_exclusions(Path(main.__file__).parent / "exclusions.yaml")
    assert load(root, bad.sequence).id == bad.sequence == "gBR_sBM_c05_d04_mBR0_ch01"


def test_splits_and_choices(root):
    assert {u.split for u, _ in units(root, subjects=["d18"]).values()} == {"test"}
    some = units(root, splits=["val"], views=[2])
    assert list(some) == ["gHO_sFM_cAll_d20_mHO5_ch13", "gWA_sFM_c02_d25_mWA2_ch11"]
    with pytest.raises(UsageError, match="no subject d99"):
        units(root, subjects=["d99"])
    (root / "annotations").rename(root / "aist_plusplus_final")
    assert FIRST in units(root)
    path = root / "aist_plusplus_final/splits/pose_val.txt"
    path.write_text("gWA_sFM_cAll_d25_mWA2_ch11\n")
    with pytest.raises(CorruptInput, match="1 sequences are not in both .*gHO_sFM_cAll_d20"):
        units(root)
    path.write_text("")
    with pytest.raises(CorruptInput, match="val: found no name; expected some in every list"):
        units(root)


@pytest.mark.parametrize("folder", main.FOLDERS)
def test_labels_that_somebody_has_unpacked_are_not_fetched(root, folder, monkeypatch):
    # A miniature has fewer files than the authors state.
    monkeypatch.setattr("posepile.acquire.tree.too_few", lambda *args: None)
    (root / "annotations").rename(root / folder)
    decisions = plan(load_sources(Path(main.__file__).with_name("sources.yaml")), root)
    found = {d.source.name: d.action for d in decisions if d.source.extract}
    assert set(found.values()) == {"have"} and len(found) == 4


def test_cameras_are_found_by_name_and_t_is_no_place(root):
    camera = load(root).camera
    assert 4300 < np.linalg.norm(camera.t[[0, 2]]) < 5400 and camera.t[2] > 4000  # c01: in front
    assert 1000 < camera.t[1] < 2000
    edit_cameras(root, lambda cameras: cameras[::-1])
    np.testing.assert_array_equal(load(root).camera.t, camera.t)
    edit_cameras(root, lambda cameras: cameras[1:])
    with pytest.raises(CorruptInput, match="expected c01 to c09"):
        load(root)


def turned(cameras):
    for camera in cameras:
        camera["translation"][2] *= -1
    return cameras


def test_labels_of_older_releases_are_refused(root):
    edit_cameras(root, turned)
    with pytest.raises(CorruptInput, match="mm behind camera c0.*before 20210209"):
        load(root)
    edit_cameras(root, turned)
    load(root)
    edit(root, lambda joints: joints * [-1, 1, 1])  # a mirror image of the world
    with pytest.raises(CorruptInput, match="in 0% of the frames; expected at least 80%"):
        load(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda joints: joints[:, :16], r"found shape \(12, 16, 3\)"),
        (lambda joints: joints[:0], "no frame among 0 in which the body is known"),
        (lambda joints: joints * np.nan, "no frame among 12 in which the body is known"),
        (lambda joints: joints[:8], r"found 12 frames; expected 8"),
        (lambda joints: joints[..., [2, 1, 0]] * [-1, 1, 1], "px .median. from the projected"),
    ],
)
def test_labels_that_do_not_fit_are_refused(root, change, message):
    edit(root, change)
    with pytest.raises(CorruptInput, match=message):
        load(root)


def test_people_stand_along_y(root):
    edit(root, lambda joints: np.resize(joints, (24, 17, 3))[..., [0, 2, 1]])
    with pytest.raises(CorruptInput, match=r"bodies stand along \[0, 0, 1\]"):
        load(root)


def write_split(root, split, *names):
    (root / f"annotations/splits/pose_{split}.txt").write_text("\n".join(names))


def test_the_dancers_of_the_test_list_are_those_divisible_by_three(root):
    lists = {
        split: (root / f"annotations/splits/pose_{split}.txt").read_text().splitlines()
        for split in ("train", "val", "test")
    }
    write_split(root, "train", *lists["train"], lists["train"][0])  # a line twice is one
    assert FIRST in units(root)
    write_split(root, "train", *lists["test"])
    write_split(root, "test", *lists["train"])
    with pytest.raises(CorruptInput, match=r"pose_\w+.txt.*dancers divisible by 3"):
        units(root)
    write_split(root, "test", *lists["test"])
    write_split(root, "train", *lists["train"], "gBR_sBM_cAll")
    mapping = root / "annotations/cameras/mapping.txt"
    mapping.write_text(mapping.read_text() + "gBR_sBM_cAll setting1\n")
    with pytest.raises(CorruptInput, match=r"pose_train.txt: holds gBR_sBM_cAll; expected names"):
        units(root)


def test_videos_are_found_whatever_their_case(root):
    video = root / f"videos/{FIRST}.mp4"
    video.rename(video.with_name(f"{FIRST.upper()}.MP4"))
    assert load(root).frames.path.name == f"{FIRST.upper()}.MP4"


def test_without_detections_cameras_must_stand_where_the_studio_has_them(root):
    assert load(root).tracks[0].note == ""
    (root / f"annotations/keypoints2d/{BREAK}.pkl").unlink()
    assert load(root).tracks[0].note == main.NOT_COMPARED

    def exchange(cameras):
        cameras[1]["name"], cameras[7]["name"] = cameras[7]["name"], cameras[1]["name"]
        return cameras

    edit_cameras(root, exchange)
    with pytest.raises(CorruptInput, match="camera 2 of 9 is at 4. degrees .*expected -45"):
        load(root)

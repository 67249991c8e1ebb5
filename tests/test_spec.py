"""SPEC-SYN: places that are solved for, rows anywhere, cameras, people who are left out."""

import shutil

import numpy as np
import pytest

from posepile.bodies.models import body_joints
from posepile.ds.spec import main
from posepile.errors import CorruptInput, WorkError
from posepile.geometry.pictures import project
from posepile.shapes.stills import SMALL
from posepile.shapes.units import UNLABELLED

# As the card lists them.
SMPL = (
    "pelv lhip rhip bell lkne rkne spin lank rank thor ltoe rtoe neck lcla rcla head lsho rsho "
    "lelb relb lwri rwri lhan rhan"
)
# Positions in BODY_25 and in SMPL, by the card.
PAIRS = {1: 12, 2: 17, 3: 19, 4: 21, 5: 16, 6: 18, 7: 20, 8: 0, 9: 2, 10: 5, 11: 8, 12: 1}
PAIRS |= {13: 4, 14: 7}

# Left and right of BODY_25's arms and legs.
SWAPPED = [0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, *range(15, 25)]


@pytest.fixture
def root(raw_miniature, tmp_path):
    """Annotations can be changed; pictures are links to those of the miniature."""
    made = tmp_path / "spec"
    shutil.copytree(raw_miniature("spec"), made, copy_function=shutil.copy)
    return made


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def relabel(root, **changes):
    path = root / "spec-syn/annotations/train.npz"
    labels = dict(np.load(path))
    for key, change in changes.items():
        labels[key] = np.array(change(labels[key].copy()))
    np.savez(path, **labels)


def test_joints_are_those_of_the_card():
    assert list(main.SPEC.joint_info.names) == SMPL.split()
    assert dict(zip(range(1, 15), main.OF_SMPL, strict=True)) == PAIRS


def test_people_of_a_picture_share_a_camera_and_are_where_they_are_seen(root):
    sequence, labels = load(root)["train/00000"], np.load(root / "spec-syn/annotations/train.npz")
    names = {(0, 0): "cam00/hdri_0_12_cam00_5_000001", (0, 1): "cam00/hdri_0_12_cam00_5_000003"}
    names[0, 2] = "cam00/hdri_0_12_cam00_5_000004"
    names[1, 0] = "cam01/hdri_0_12_cam01_5_000000"
    found = {}
    for track in sequence.tracks:
        for k, frame in enumerate(track.frames.tolist()):
            found[frame, track.person] = name = sequence.image_name(frame, track.person)
            row, camera = int(name[-10:-4]), sequence.camera(frame)
            assert np.allclose(camera.R, labels["cam_rotmat"][row]) and not np.any(camera.t)
            pixels = project(camera, track.world_coords[k])[[*PAIRS.values()]]
            seen = labels["openpose_gt"][row][[*PAIRS], :2]
            np.testing.assert_allclose(pixels, seen, atol=0.01)
            body = track.parameters(k)
            joints = body_joints("smpl", "neutral", body, models_root=root / "body_models")[0]
            np.testing.assert_allclose(1000 * joints, track.world_coords[k], atol=0.05)
            np.testing.assert_allclose(body["shape"], labels["shape"][row], rtol=1e-5)
    assert found == {key: f"spec-syn/scene1/{name}.jpg" for key, name in names.items()}
    assert sequence.frames.sizes == ((1920, 1080), (1280, 720))
    assert sequence.checks["place_px"] < 0.01 and sequence.checks["turn_deg"] < 0.01


def test_the_place_does_not_come_from_s_and_cam_trans(root):
    before = load(root)["train/00000"].tracks[0].world_coords
    relabel(root, S=lambda x: x * 7, cam_trans=lambda x: x + 9, center=lambda x: x * 0)
    np.testing.assert_array_equal(load(root)["train/00000"].tracks[0].world_coords, before)


def test_points_without_flag_do_not_count_and_few_points_tell_no_place(root):
    def far_off(points):
        points[0, [4, 7]] = [5000, 5000, 0]
        return points

    relabel(root, openpose_gt=far_off)
    assert load(root)["train/00000"].checks["place_px"] < 0.01

    def few(points):
        points[0, 6:, 2] = 0  # leaves five of those that SMPL has
        return points

    relabel(root, openpose_gt=few)
    assert load(root)["train/00000"].dropped[main.LOST] == 1


def test_small_people_are_left_out_and_counted(root):
    assert load(root)["train/00000"].dropped == {SMALL: 1}
    assert load(root, min_side=20)["train/00000"].dropped == {}


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("openpose_gt", lambda x: x[:, [*range(1, 25), 0]]),
        ("openpose_gt", lambda x: x[:, SWAPPED]),
        ("openpose_gt", lambda x: np.hstack([x[:, 3:4] * 0, x[:, 1:]]) * [1.5, 1, 1]),
        ("cam_rotmat", lambda x: x @ np.diag([1.0, -1, -1])),
        ("pose", lambda x: x * 0),
    ],
)  # fmt: skip
def test_poses_and_joints_that_do_not_fit_are_refused(root, key, change):
    relabel(root, **{key: change})
    with pytest.raises(CorruptInput, match="train/00000: of . of 5 people no place is found"):
        load(root)


def test_one_who_does_not_fit_is_left_out(root):
    def turned(pose):
        pose[3, :3] += 2
        return pose

    relabel(root, pose=turned)
    assert load(root)["train/00000"].dropped[main.LOST] == 1


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("cam_int", lambda x: x * np.array([[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]])),
        ("openpose_gt", lambda x: x + np.random.default_rng(0).normal(0, [1.5, 1.5, 0], x.shape)),
    ],
)
def test_many_who_fit_badly_are_refused_where_each_might_pass(root, key, change):
    relabel(root, **{key: change})
    with pytest.raises(CorruptInput, match=r"train/00000: \w+ is \d.* in the median; expected"):
        load(root)
    assert load(root, max_median=1)["train/00000"].checks["place_px"] < 3


@pytest.mark.parametrize(
    ("key", "at", "lost"),
    [("pose", (3, 5), 1), ("shape", (3, 0), 1), ("openpose_gt", (3, 4, 0), 0)],
)
def test_a_number_that_is_none_costs_one_person_at_most(root, key, at, lost):
    def broken(values):
        values[at] = np.nan
        return values

    relabel(root, **{key: broken})
    assert load(root)["train/00000"].dropped[main.LOST] == lost


def test_both_files_are_expected_and_a_picture_in_one_of_them(root):
    folder = root / "spec-syn/annotations"
    shutil.copy(folder / "train.npz", folder / "test.npz")
    with pytest.raises(CorruptInput, match=r"cam00_5.png: found at train.npz and at test.npz"):
        load(root)
    (folder / "train.npz").unlink()
    with pytest.raises(CorruptInput, match=r"train.npz: cannot be read: No such file"):
        load(root)


def test_the_rotation_wins_over_pitch_and_roll_and_the_difference_is_told(root):
    relabel(root, cam_pitch=lambda x: x + np.radians(7))
    sequence = load(root)["train/00000"]
    assert sequence.checks["pitch_and_roll_deg"] == pytest.approx(7, abs=0.01)
    assert sequence.checks["turn_deg"] < 0.01
    assert {note for t in sequence.tracks for note in notes_of(t)} == {main.TURNED}


def notes_of(track):
    return [track.note] if isinstance(track.note, str) else track.note


def test_nobody_is_told_of_rotations_that_agree(root):
    assert not any(any(notes_of(t)) for t in load(root)["train/00000"].tracks)


def test_shapes_that_are_all_nothing_are_refused(root):
    relabel(root, shape=lambda x: np.where(np.arange(5)[:, None] == 1, x, 0))
    assert load(root, max_median=1)["train/00000"].checks["shape_size"] > 0
    relabel(root, shape=lambda x: x * 0)
    with pytest.raises(CorruptInput, match="train/00000: shape: found 0 of everybody; expected"):
        load(root)


def test_files_that_were_exchanged_are_refused(root):
    folder = root / "spec-syn/annotations"
    train, test = (folder / f"{split}.npz" for split in ("train", "test"))
    content = train.read_bytes()
    train.write_bytes(test.read_bytes())
    test.write_bytes(content)
    with pytest.raises(CorruptInput, match="test.npz has more pictures than train.npz"):
        load(root)


def test_a_picture_of_two_cameras_costs_its_unit_alone(root):
    relabel(root, cam_int=lambda x: x * np.array([1, 2, 1, 1, 1])[:, None, None])
    options = main.Options()
    units = {unit.id: unit for unit in main.list_units(root, options)}
    assert main.load_unit(root, units["test/00000"], options)
    with pytest.raises(CorruptInput, match=r"train\.npz: cam_int: rows \[1, 3, 4\] of hdri"):
        main.load_unit(root, units["train/00000"], options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cam_int": lambda x: x * np.array([1, 2, 1, 1, 1])[:, None, None]},
         r"cam_int: rows \[1, 3, 4\] of hdri_0_12_cam00_5.png differ; expected one camera"),
        ({"cam_rotmat": lambda x: x * [1, 1, -1]}, "rotation"),
        ({"pose": lambda x: x[:, :66]}, r"pose: found shape \(5, 66\)"),
        ({"shape": lambda x: x[1:]}, "shape: found shape"),
    ],
)  # fmt: skip
def test_annotations_that_contradict_themselves_are_refused(root, change, message):
    relabel(root, **change)
    with pytest.raises(CorruptInput, match=message):
        load(root)


def test_pictures_without_rows_are_counted_and_many_refused(root):
    folder = root / "spec-syn/scene1"
    shutil.copy(folder / "hdri_0_12_cam00_5.png", folder / "more.png")
    sequence = load(root, max_unlabelled=0.5)["unlabelled/scene1"]
    assert sequence.dropped == {UNLABELLED: 1} and sequence.split == "train"
    with pytest.raises(CorruptInput, match="found no annotations of this"):
        load(root)


def test_a_name_without_a_camera_has_no_folder_for_it(tmp_path):
    path = tmp_path / "spec-syn/a/plaza_3.png"
    assert main.crop_name(tmp_path, {path: [7]}, path, 0) == "spec-syn/a/plaza_3_000007.jpg"


def test_nothing_without_the_model(root):
    shutil.rmtree(root / "body_models")
    (line,) = main.plan(root, main.Options())
    assert "basicmodel_neutral" in line and "nothing can be packed" in line
    with pytest.raises(WorkError, match="basicmodel_neutral"):
        load(root)

"""JTA: rows in any order, the published and the pictures' focal length, who is visible, up."""

import json
import shutil

import numpy as np
import pytest

from posepile.ds.jta import main
from posepile.errors import CorruptInput

JOINTS = (
    "htop,head,neck,rcla,rsho,relb,rwri,lcla,lsho,lelb,lwri,spin0,spin1,spin2,spin3,pelv,rhip,"
    "rkne,rank,lhip,lkne,lank"
).split(",")


@pytest.fixture
def root(raw_miniature, tmp_path):
    shutil.copytree(raw_miniature("jta"), tmp_path / "jta")
    return tmp_path / "jta"


def load(root, stem="train/seq_0", **options):
    options = main.Options(**options)
    (unit,) = [unit for unit in main.list_units(root, options) if unit.id == stem]
    return main.load_unit(root, unit, options)[0]


def edit(root, change, stem="train/seq_0"):
    path = root / f"annotations/{stem}.json"
    rows = np.array(json.loads(path.read_text()))
    path.write_text(json.dumps(change(rows).tolist()))


def test_joints_are_those_of_the_card_in_its_order(root):
    assert main.SPEC.joint_info.names == JOINTS
    edges = {frozenset(JOINTS[j] for j in e) for e in main.SPEC.joint_info.stick_figure_edges}
    assert {frozenset(e) for e in (("pelv", "spin3"), ("spin0", "neck"), ("lank", "lkne"))} < edges
    assert frozenset(("rhip", "rcla")) not in edges and len(edges) == 21


def test_all_512_videos_are_units_of_the_split_of_their_folder(tmp_path):
    numbers = {"train": range(256), "val": range(257, 512, 2), "test": range(256, 512, 2)}
    for split, those in numbers.items():
        (tmp_path / "annotations" / split).mkdir(parents=True)
        for n in those:
            (tmp_path / f"annotations/{split}/seq_{n}.json").touch()
        (tmp_path / f"annotations/{split}/seq_{n}.json").unlink()  # has its video alone
        (tmp_path / "videos" / split).mkdir(parents=True)
        (tmp_path / f"videos/{split}/seq_{n}.mp4").touch()
    units = list(main.list_units(tmp_path, main.Options()))
    assert len(units) == len({unit.id for unit in units}) == 512
    assert sum(unit.split == "val" for unit in units) == 128
    assert all(str(unit.inputs[1]).endswith(f"videos/{unit.id}.mp4") for unit in units)


def test_first_frame_is_number_one_and_names_have_the_id(root):
    rows = np.array(json.loads((root / "annotations/train/seq_0.json").read_text()))
    sequence = load(root)
    ids = sorted({int(n) for n in rows[:, 1]})
    track = next(t for t in sequence.tracks if t.person == ids.index(1023490))
    wanted = rows[(rows[:, 1] == 1023490) & (rows[:, 0] == 1)]
    joints = wanted[np.argsort(wanted[:, 2]), 5:8]
    assert track.frames[0] == 0
    np.testing.assert_allclose(track.world_coords[0], 1000 * joints, atol=0.01)
    assert sequence.image_name(3, ids.index(7)) == "train/seq_0/000003_007.jpg"
    assert sequence.image_name(3, track.person) == "train/seq_0/000003_1023490.jpg"
    edit(root, lambda rows: rows - np.eye(10)[0])  # counted from 0
    assert load(root, frame_zero=True).dropped[main.FRAME_ZERO] == 2
    with pytest.raises(CorruptInput, match=r"seq_0\.json: found rows of frame 0; expected from 1"):
        load(root)


def test_labels_of_a_longer_video_are_refused(root):
    edit(root, lambda rows: rows + 2 * np.eye(10)[0])
    assert len(load(root).tracks) == 2
    edit(root, lambda rows: rows + np.eye(10)[0])
    with pytest.raises(
        CorruptInput, match=r"seq_0\.mp4: holds 5 frames; expected 8, as annotated"
    ):
        load(root)


def test_a_video_of_another_split_or_without_labels_does_not_pass(root):
    (root / "annotations/train/seq_0.json").unlink()
    with pytest.raises(CorruptInput, match=r"seq_0\.json: file is missing"):
        load(root)
    for path in ("annotations/{}/seq_256.json", "videos/{}/seq_256.mp4"):
        (root / path.format("test")).rename(root / path.format("train"))
    with pytest.raises(CorruptInput, match=r"seq_256\.json: this number is not one of train"):
        load(root, "train/seq_256", splits=["train"])
    with pytest.raises(CorruptInput, match="found nothing of test; or set dataset.splits"):
        list(main.list_units(root, main.Options(splits=["test"])))
    assert load(root, "val/seq_257", splits=["train", "val"])  # goes on


def test_files_of_other_names_are_counted(root):
    shutil.copy(root / "annotations/train/seq_0.json", root / "annotations/train/seq_00.json")
    (root / "annotations/train/Seq_2.json").touch()
    (root / "videos/train/seq_2.avi").touch()
    units = {unit.id for unit in main.list_units(root, main.Options())}
    assert units == {"train/seq_0", "val/seq_257", "test/seq_256", "train/left_out"}
    assert load(root, "train/left_out").dropped == {f"{main.OTHER}Seq_2.json": 3}


def test_pictures_have_another_focal_length_than_the_rows(root):
    sequence = load(root)
    assert sequence.camera(0).intrinsic_matrix[0].tolist() == [1167, 0, 959.5]
    assert load(root, focal=1158).camera(0).intrinsic_matrix[1].tolist() == [0, 1158, 539.5]
    assert sequence.checks["projection_px"] < 0.05
    edit(root, lambda rows: np.where(np.arange(10) // 2 % 5 == 1, rows // 1, rows))  # cut
    assert sequence.checks["projection_px"] < load(root).checks["projection_px"] < 1.5


@pytest.mark.parametrize("axes", [(5, 7, 6), (6, 5, 7)])
def test_other_axes_are_refused(root, axes):
    edit(root, lambda rows: rows[:, [*range(5), *axes, 8, 9]])
    with pytest.raises(CorruptInput, match=r"seq_0\.json: point .*px from its published place"):
        load(root)


def test_hidden_is_only_what_something_else_hides(root):
    def hide(column):
        def change(rows):
            rows[(rows[:, 0] == 4) & (rows[:, 2] < 18), column] = 1
            return rows

        return change

    before = [t.frames.tolist() for t in load(root).tracks]
    edit(root, hide(9))
    assert [t.frames.tolist() for t in load(root).tracks] == before
    edit(root, hide(8))  # 4 joints are left
    sequence = load(root)
    assert all(3 not in t.frames for t in sequence.tracks)
    assert len(sequence.bystanders[3]) == 2
    assert [n for why, n in sequence.dropped.items() if "fewer than 5 joints" in why] == [2]
    assert any(3 in t.frames for t in load(root, min_visible=4).tracks)


def test_nobody_visible_is_no_fault_and_boxes_hold_visible_joints_alone(root):
    sequence = load(root, "test/seq_256")
    assert all(1 not in t.frames for t in sequence.tracks)
    boxes = np.concatenate([t.bbox for t in load(root).tracks])
    assert (boxes[:, :2] >= -0.5).all() and (boxes[:, 0] + boxes[:, 2] <= 1919.5).all()
    edit(root, lambda rows: rows[:0])
    assert load(root).tracks == []


def test_a_joint_without_row_is_missing_and_many_are_refused(root):
    sequence = load(root, "val/seq_257")
    lost = [np.argwhere(np.isnan(t.world_coords[..., 0])).tolist() for t in sequence.tracks]
    assert sorted(lost) == [[], [[1, 6]]]
    edit(root, lambda rows: rows[rows[:, 2] < 20])
    with pytest.raises(CorruptInput, match="9% of the joints of people in it have no row"):
        load(root)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [(2, 22, "joint 0 to 21"), (0, 1.5, "frame from 1"), (8, 2, "two flags"), (0, -1, "frame")],
)
def test_rows_that_cannot_be_are_refused(root, column, value, text):
    edit(root, lambda rows: np.where((np.arange(10) == column) & (rows[:, :1] == 2), value, rows))
    with pytest.raises(CorruptInput, match=rf"seq_0\.json: \[\d+\]: found .*{text}"):
        load(root)


def test_a_joint_twice_is_refused(root):
    edit(root, lambda rows: np.concatenate([rows, rows[:1]]))
    with pytest.raises(CorruptInput, match=r"person \d+, joint \d+: found 2 rows; expected one"):
        load(root)


def test_up_is_the_geometric_median_of_people(root):
    lying = np.array([[1.0, 0, 0]] + [[0, -0.8, -0.6]] * 4)
    np.testing.assert_allclose(main.median_direction(lying), [0, -0.8, -0.6], atol=0.05)
    camera = load(root).camera(0)
    assert camera.world_up[1] < -0.9 and np.linalg.norm(camera.world_up) == pytest.approx(1)
    assert load(root).camera(0) is not load(root).camera(1)
    assert load(root).camera(77).world_up.tolist() == [0, -1, 0]  # nobody is there

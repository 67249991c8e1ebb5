import json

import numpy as np
import pytest

from posepile.ds.densepose_posetrack import main
from posepile.ds.densepose_posetrack.main import Options
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.shapes import dense

LABELS = "annotations/coco/densepose_posetrack_{}2017.json"


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("densepose_posetrack")


def load(root, **options):
    options = Options(**options)
    return {u.id: main.load_unit(root, u, options)[0] for u in main.list_units(root, options)}


def people(sequence):
    """Name of the crop -> track and position of everyone kept."""
    return {
        sequence.image_name(int(frame), track.person): (track, k)
        for track in sequence.tracks
        for k, frame in enumerate(track.frames)
    }


def edited(root, tmp_path, change=lambda data: None, to=LABELS, phase="train"):
    """A copy of the miniature with a changed annotation file, by another name."""
    copy = tmp_path / "densepose_posetrack"
    (copy / to).parent.mkdir(parents=True)
    for name in ("posetrack", "UV_data"):
        (copy / name).symlink_to(root / name)
    data = json.loads((root / LABELS.format(phase)).read_text())
    change(data)
    (copy / to.format(phase)).write_text(json.dumps(data))
    return copy


def test_names_of_2017_become_places_of_2018_and_who_is_lost_is_counted(root):
    train, val = load(root).values()
    assert sorted(people(train)) == [
        f"images/train/000015_bonn_train/00000{frame}_{1000 * 100 + 100 * frame + i}.jpg"
        for frame in (2, 4)
        for i in (0, 1)
    ]
    # The part in the folder's name is not that of the annotation file.
    assert all(n.startswith("images/val/003418_mpii_test/00000") for n in people(val))
    assert (train.split, val.split) == ("train", "val")
    assert train.dropped[dense.NO_PICTURE] == 2
    paths = [path.relative_to(root).as_posix() for path in train.frames.paths]
    assert "posetrack/images/train/000015_bonn_train/000003.jpg" not in paths


def test_few_joints_are_enough_and_frames_without_dense_points_are_none(root):
    train, val = load(root).values()
    # One has joints of the arms alone; in frame 1 nobody has dense points, whatever the value.
    assert len(people(train)) == 4
    assert train.dropped[dense.NO_POINTS] == 2
    # One lacks the fields, one has a list of no points, in two frames.
    assert val.dropped[dense.NO_POINTS] >= 4


def test_the_key_counts_and_not_its_value(root, tmp_path):
    def change(data):
        for image in data["images"]:
            image["has_no_densepose"] = False

    (sequence,) = load(edited(root, tmp_path, change)).values()
    assert not people(sequence)
    # Two of them in a frame that is not there, whom nobody misses.
    assert sequence.dropped[dense.NO_POINTS] == 8
    assert dense.NO_PICTURE not in sequence.dropped


def test_points_are_where_they_were_drawn(root):
    known = json.loads((root / "miniature_truth.json").read_text())["facts"]["points"]
    found = {k: v for s in load(root).values() for k, v in people(s).items()}
    assert len(found) == len(known) == 6
    for name, (track, k) in found.items():
        points, corners, weights = track.densepose(k)
        truth = known[name.rpartition("_")[2].removesuffix(".jpg")]
        np.testing.assert_allclose(points, [t["at"] for t in truth], atol=1e-3)
        for corner, weight, t in zip(corners, weights, truth, strict=True):
            got = {int(c): w for c, w in zip(corner, weight, strict=True) if w > 1e-6}
            assert got == pytest.approx({int(v): w for v, w in t["weights"].items()}, abs=1e-6)


def test_ears_are_never_labelled_and_the_head_is_not_its_top(root):
    names = list(main.SPEC.joint_info.names)
    for sequence in load(root).values():
        for track, k in people(sequence).values():
            joints = dict(zip(names, track.image_coords[k], strict=True))
            assert np.isnan(joints["lear"]).all() and np.isnan(joints["rear"]).all()
            if np.isfinite(joints["head"]).all():
                assert joints["htop"][1] < joints["nose"][1] < joints["head"][1]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({"file_name": "images/bonn/15_bonn/00000004.jpg", "frame_id": 3},
         "train/000015_bonn/000003.jpg"),
        ({"file_name": "images/train/000342_mpii_test/000000.jpg", "frame_id": 0},
         "train/000342_mpii/000000.jpg"),
        ({"file_name": "images/bonn/15_bonn/00000004.jpg"}, None),
        ({"file_name": "images/bonn/15_bonn/00000004.jpg", "frame_id": -1}, None),
        ({"file_name": "00000004.jpg", "frame_id": 3}, None),
        ({"file_name": 4, "frame_id": 3}, None),
    ],
)  # fmt: skip
def test_names(image, name):
    assert main.new_name(image, "train") == name


def test_of_two_videos_of_one_beginning_the_right_one_is_taken(tmp_path):
    for video in ("000015_bonn", "000015_bonny_train", "000015_bonn_train"):
        (tmp_path / "train" / video).mkdir(parents=True)
    (tmp_path / "train/000015_bonny_train/000003.jpg").touch()
    assert main.place(tmp_path / "train/000015_bonn/000003.jpg", names_in) is None
    wanted = tmp_path / "train/000015_bonn_train/000003.jpg"
    wanted.touch()
    assert main.place(tmp_path / "train/000015_bonn/000003.jpg", names_in) == wanted
    assert main.place(tmp_path / "val/000015_bonn/000003.jpg", names_in) is None


def test_a_phase_whose_pictures_are_away_stops_no_other(root, tmp_path):
    copy = tmp_path / "densepose_posetrack"
    copy.mkdir()
    for name in ("annotations", "UV_data"):
        (copy / name).symlink_to(root / name)
    (copy / "posetrack/images").mkdir(parents=True)
    (copy / "posetrack/images/train").symlink_to(root / "posetrack/images/train")
    sequences = load(copy)
    by_split = {s.split: s for s in sequences.values()}
    assert by_split["train"].tracks and not by_split["val"].tracks
    assert by_split["val"].dropped[dense.NO_PICTURE] > 0
    with pytest.raises(CorruptInput, match=r"none of the \d+ pictures.*dataset\.phases"):
        load(copy, phases=["train", "val"])


def test_frames_count_from_one_number_everywhere(root, tmp_path):
    def all_later(data):
        for image in data["images"]:
            image["frame_id"] = float(image["frame_id"])

    def one_later(data):
        labelled = {person["image_id"] for person in data["annotations"]}
        image = next(i for i in data["images"][1:] if i["id"] in labelled)
        image["frame_id"] += 1

    right = {name for s in load(root, phases=["train"]).values() for name in people(s)}
    copy = edited(root, tmp_path / "a", all_later)
    assert {name for s in load(copy).values() for name in people(s)} == right
    lost = [
        s.dropped[main.OTHER_FRAME] for s in load(edited(root, tmp_path / "b", one_later)).values()
    ]
    assert sum(lost) > 0


def test_the_usual_number_counts_and_not_the_first(root, tmp_path):
    def change(data):
        data["images"][0]["frame_id"] += 7

    right = {name for s in load(root, phases=["train"]).values() for name in people(s)}
    (sequence,) = load(edited(root, tmp_path, change)).values()
    assert right > set(people(sequence)) or set(people(sequence)) == right
    assert len(people(sequence)) >= len(right) - 2


def test_no_picture_at_all_is_an_error(root, tmp_path):
    copy = edited(root, tmp_path)
    (copy / "posetrack").unlink()
    (copy / "posetrack/images/val").mkdir(parents=True)
    with pytest.raises(CorruptInput, match="found none of the 4 pictures"):
        load(copy)


@pytest.mark.parametrize(
    "name", ["densepose_only_posetrack_{}2017.json", "densepose_posetrack_{}2017.json"]
)
def test_the_file_of_labelled_frames_goes_by_other_names(root, tmp_path, name):
    copy = edited(root, tmp_path, to=f"DensePose_PoseTrack/{name}")
    (sequence,) = load(copy).values()
    assert len(people(sequence)) == 4

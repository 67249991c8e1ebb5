"""PoseTrack18: who is kept, in which frames, and what the files may hold."""

import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import rlemasklib

from posepile import cli
from posepile.acquire.doctor import run_doctor
from posepile.config import load_config
from posepile.ds.posetrack import main
from posepile.ds.posetrack.main import Options
from posepile.errors import CorruptInput
from posepile.shapes import coco_people, coco_videos, thinning
from posepile.shapes.units import unit_files

TRAIN, VAL = "train/000001_bonn_train", "val/003418_mpii_test"
LABELS = "posetrack_data/annotations"


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("posetrack")


def load(root, **options):
    options = Options(**options)
    return {
        unit.id: main.load_unit(root, unit, options)[0] for unit in main.list_units(root, options)
    }


def kept(sequence):
    """(frame in the file name, track) of everyone kept."""
    return sorted(
        (int(sequence.frames.paths[frame].stem), track.person)
        for track in sequence.tracks
        for frame in track.frames
    )


def edited(root, tmp_path, change, video=VAL):
    """A copy of the miniature with a changed annotation file."""
    copy = tmp_path / "posetrack"
    shutil.copytree(root / "posetrack_data", copy / "posetrack_data")
    (copy / "images").symlink_to(root / "images")
    path = copy / LABELS / f"{video}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return copy


def of(content, frame, track):
    """The annotation of somebody in a frame."""
    return next(
        p
        for p in content["annotations"]
        if p["image_id"] % 10000 == frame and p["track_id"] == track
    )


def test_frames_with_news_are_kept_by_the_number_in_the_file_name(root):
    truth = json.loads((root / "miniature_truth.json").read_text())
    sequences = load(root)
    assert list(sequences) == [TRAIN, VAL]
    for id, sequence in sequences.items():
        told = truth["sequences"][id]
        tracks = {i: int(track) for track, i in told["persons"].items()}
        assert kept(sequence) == sorted((frame, tracks[i]) for frame, i in told["examples"])
        assert sequence.dropped[thinning.STILL] > 0 and sequence.split == id.split("/")[0]
    # Pictures without labels are no frames; frames are in order, though the file is not.
    frames = [path.name for path in sequences[TRAIN].frames.paths]
    assert frames == [f"{k:06d}.jpg" for k in (1, 2, 3, 5, 6, 7, 8, 9)]
    name = sequences[VAL].image_name(1, 12)
    assert name == f"images/{VAL}/000001_12.jpg"


def test_neither_test_videos_nor_merged_files_nor_predictions_are_read(root):
    assert (root / LABELS / "posetrack18_val.json").is_file()
    assert (root / LABELS / "preds_val").is_dir() and (root / LABELS / "test").is_dir()
    assert [unit.id for unit in main.list_units(root, Options())] == [TRAIN, VAL]
    assert [unit.id for unit in main.list_units(root, Options(splits=["val"]))] == [VAL]


def test_the_tree_of_mmpose_is_read_as_well(root, tmp_path):
    (tmp_path / "images").symlink_to(root / "images")
    with pytest.raises(CorruptInput, match="no annotations there, nor in .*annotations/train"):
        load(tmp_path)
    shutil.copytree(root / LABELS, tmp_path / "annotations")
    assert {k: kept(v) for k, v in load(tmp_path).items()} == {
        k: kept(v) for k, v in load(root).items()
    }


def test_people_without_a_box_are_neighbours(root):
    sequence = load(root)[VAL]
    assert sequence.dropped[main.NO_BOX] == 2 + 4
    first = sequence.bystanders[0]
    assert sum(b.bbox is None and b.image_coords is not None for b in first) >= 2


def test_a_joint_that_is_newly_labelled_keeps_the_frame(root):
    frames = [frame for frame, track in kept(load(root)[TRAIN]) if track == 3]
    assert 6 in frames  # in which the left wrist is labelled first
    coords = [
        track.image_coords[[*track.frames].index(k)]
        for track in load(root)[TRAIN].tracks
        if track.person == 3
        for k in track.frames
    ]
    wrist = main.SPEC.joint_info.names.index("lwri")
    assert np.isnan(coords[0][wrist]).all() and np.isfinite(coords[-1][wrist]).all()


def test_motion_is_that_of_one_joint_in_parts_of_the_head(root, tmp_path):
    def still(content):
        """Nobody moves but for the left wrist of one of them, in the last frame."""
        for person in content["annotations"]:
            first = of(content, 0, person["track_id"])
            person["keypoints"] = [*first["keypoints"]]
            person.setdefault("bbox", first.get("bbox", [0, 0, 50, 60]))
            person["bbox_head"] = [0, 0, 30, 40]
        last = of(content, 3, 1)["keypoints"]
        last[27] += moved

    for moved, frames in ((24.9, [0]), (25.1, [0, 3])):  # half of the diagonal is 25
        (path := tmp_path / str(moved)).mkdir()
        sequence = load(edited(root, path, still))[VAL]
        assert [frame for frame, track in kept(sequence) if track == 1] == frames
        assert [frame for frame, track in kept(sequence) if track == 12] == [0]
    sequence = load(path / "posetrack", min_motion=2)[VAL]
    assert [frame for frame, track in kept(sequence) if track == 1] == [0]


def test_who_has_no_box_of_the_head_is_kept_in_every_frame(root, tmp_path):
    def change(content):
        for person in content["annotations"]:
            person["bbox_head"] = {12: None, 1: [1, 2, "x", 4], 2: [1]}[person["track_id"]]

    sequence = load(edited(root, tmp_path, change))[VAL]
    assert sequence.dropped[thinning.STILL] == 0
    assert [frame for frame, track in kept(sequence) if track == 1] == [0, 1, 2, 3]


def test_nobody_has_labelled_ears(root):
    for sequence in load(root).values():
        for track in sequence.tracks:
            assert np.isnan(track.image_coords[:, 3:5]).all()
            assert np.isfinite(track.image_coords[-1, [0, 1, 2, *range(5, 17)]]).all()


def test_visibility_is_0_or_1(root, tmp_path):
    def change(content):
        of(content, 1, 12)["keypoints"][2] = 2

    sequence = load(edited(root, tmp_path, change))[VAL]
    assert sequence.dropped["a visibility other than 0, 1"] == 1
    assert (1, 12) not in kept(sequence) and (2, 12) not in kept(sequence)


def test_regions_without_labels_are_somebody_elses(root):
    sequence = load(root)[VAL]
    assert sequence.dropped[coco_videos.REGION] == 4 and not sequence.dropped[coco_people.CROWD]
    (mask,) = (b.mask() for b in sequence.bystanders[0] if b.mask is not None)
    inside = rlemasklib.decode(mask)
    assert inside[30, 20] and not inside[200, 200]
    assert inside.shape == cv2.imread(str(sequence.frames.paths[0])).shape[:2]


def test_sizes_are_those_of_the_pictures(root, tmp_path):
    def change(content):
        for image in content["images"]:
            image |= {"width": 7, "height": 7}

    sequence = load(edited(root, tmp_path, change))[VAL]
    assert set(sequence.frames.sizes) == {(520, 340)}
    assert kept(sequence) == kept(load(root)[VAL])


def test_key_points_of_another_order_are_refused(root, tmp_path):
    def change(content):
        names = content["categories"][0]["keypoints"]
        names[1], names[2] = "left_eye", "right_eye"

    with pytest.raises(
        CorruptInput, match="key points are nose, left_eye, .*expected nose, head_b"
    ):
        load(edited(root, tmp_path, change))

    def unnamed(content):
        content["categories"][0].pop("keypoints")

    copy = edited(root, tmp_path / "b", unnamed)
    assert kept(load(copy)[VAL]) == kept(load(root)[VAL])


def test_people_whose_track_is_not_known_are_left_out(root, tmp_path):
    def change(content):
        of(content, 0, 1).pop("track_id")
        of(content, 1, 12)["track_id"] = "x"

    sequence = load(edited(root, tmp_path, change))[VAL]
    assert sequence.dropped[coco_videos.NO_TRACK] == 2
    assert (0, 1) not in kept(sequence) and (1, 12) not in kept(sequence)

    def twice(content):
        of(content, 1, 12)["track_id"] = 1

    sequence = load(edited(root, tmp_path / "b", twice))[VAL]
    assert sequence.dropped[coco_videos.TRACK_TWICE] == 2
    assert (1, 1) not in kept(sequence)

    def as_texts(content):
        for person in content["annotations"]:
            person["track_id"] = str(person["track_id"])

    assert kept(load(edited(root, tmp_path / "c", as_texts))[VAL]) == kept(load(root)[VAL])


def test_labels_of_other_frames_and_videos_are_refused(root, tmp_path):
    def shift(content):
        for image in content["images"]:
            image["id"] += 1
        for person in content["annotations"]:
            person["image_id"] += 1

    def name(text):
        def change(content):
            for image in content["images"]:
                image["file_name"] = image["file_name"].replace(f"images/{VAL}", text)

        return change

    for k, change in enumerate((shift, name(f"images/{TRAIN}"), name("/images"), name("images"))):
        message = coco_videos.OTHER_VIDEO if k else coco_videos.OTHER_FRAME
        copy = edited(root, tmp_path / str(k), change)
        with pytest.raises(CorruptInput, match=message):
            load(copy, splits=["val"])

    def one(content):
        content["images"][0]["id"] += 5000
        for person in content["annotations"]:
            person["image_id"] += 5000 * (person["image_id"] == content["images"][0]["id"] - 5000)

    sequence = load(edited(root, tmp_path / "one", one), splits=["val"])[VAL]
    assert sequence.dropped[coco_videos.OTHER_FRAME] > 0 and sequence.tracks


def test_a_video_whose_annotations_are_all_malformed_is_refused(root, tmp_path):
    def scores(content):
        for person in content["annotations"]:
            person["keypoints"][2::3] = [0.5] * 17

    with pytest.raises(CorruptInput, match="a visibility other than 0, 1"):
        load(edited(root, tmp_path, scores), splits=["val"])


@pytest.mark.parametrize(
    "regions", [[[0, 1], [2]], [[0, 1]], 7, [[0, None, 5], [1]], [[[1], 2, 3], [1]]]
)
def test_malformed_regions_and_annotations_do_not_crash(root, tmp_path, regions):
    def change(content):
        content["images"][0]["ignore_regions_x"] = regions

    copy = edited(root, tmp_path, change)
    try:
        assert kept(load(copy)[VAL]) == kept(load(root)[VAL])
    except CorruptInput as e:
        assert "ignore_regions_x" in str(e)


def test_a_missing_picture_is_named(root, tmp_path):
    copy = tmp_path / "posetrack"
    shutil.copytree(root, copy)
    (copy / f"images/{VAL}/000002.jpg").unlink()
    unit = next(unit for unit in main.list_units(copy, Options(splits=["val"])))
    assert len(unit_files(unit)["pictures"]) == 3


def test_the_configuration_is_that_of_the_description():
    config = load_config("posetrack", Options)
    assert config.detect.compare == "annotation" and config.detect.iou == 0.1
    assert config.detect.expand == 1 and config.box.source == "detect"
    assert config.detect.unmatched == "drop" and config.dataset.min_motion == 0.5


@pytest.mark.parametrize(
    "top", ["posetrack_data", "posetrack18_v0.45_public_labels/posetrack_data"]
)
@pytest.mark.parametrize("parts", [(), ("--parts", "labels-mmpose")])
def test_what_is_downloaded_is_found(root, tmp_path, monkeypatch, top, parts):
    raw = tmp_path / "posetrack"
    (raw / "archives").mkdir(parents=True)
    (raw / "images").symlink_to(root / "images")
    name = "posetrack18_v0.45_public_labels.tar.gz"
    if parts:
        name, top = "posetrack18_annotations.tar", top.removesuffix("posetrack_data").rstrip("/")
    with tarfile.open(raw / "archives" / name, "w:gz" if name.endswith("gz") else "w") as archive:
        archive.add(root / LABELS, f"{top}/annotations".lstrip("/"))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    config = ("--set", "box.source=annotation", "--set", "detect.model=none")
    with pytest.raises(SystemExit) as ended:
        cli.main(["step", "posetrack", "download", *parts, *config])
    assert ended.value.code == 0
    assert {k: kept(v) for k, v in load(raw).items()} == {
        k: kept(v) for k, v in load(root).items()
    }
    # Neither what was merged nor predictions are extracted.
    found = {path.name for path in raw.rglob("*.json") if ".posepile" not in path.parts}
    assert found == {"000001_bonn_train.json", "003418_mpii_test.json"}


def test_the_doctor_misses_labels(root, tmp_path):
    sources = main_folder() / "sources.yaml"
    assert run_doctor("posetrack", sources, root).ok
    (tmp_path / "images").symlink_to(root / "images")
    assert not run_doctor("posetrack", sources, tmp_path).ok


def main_folder():
    return Path(main.__file__).parent


def test_videos_without_labels_are_counted(root, tmp_path):
    copy = tmp_path / "posetrack"
    shutil.copytree(root, copy)
    (copy / "images/train/000002_bonn_train").mkdir()
    sequences = load(copy, splits=["train"])
    assert sequences["left_out/train"].dropped == {main.NO_LABELS: 1}


def test_pictures_with_a_region_and_nobody_are_no_frames(root, tmp_path):
    def change(content):
        content["annotations"] = [p for p in content["annotations"] if p["image_id"] % 10000 != 2]

    sequence = load(edited(root, tmp_path, change))[VAL]
    assert [path.stem for path in sequence.frames.paths] == ["000000", "000001", "000003"]
    assert sequence.dropped[coco_videos.REGION] == 3

    def nobody(content):
        content["annotations"] = []

    (sequence,) = (load(edited(root, tmp_path / "b", nobody, VAL))[k] for k in [VAL])
    assert not sequence.tracks and not sequence.frames.paths

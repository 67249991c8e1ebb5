"""GPA: which camera took a picture, rows for columns, lenses, splits, parallel lists."""

import json
import shutil

import cv2
import numpy as np
import pytest

from posepile.ds.gpa import main
from posepile.errors import CorruptInput, UsageError
from posepile.shapes.stills import NO_PIXEL, TOO_LARGE
from posepile.shapes.units import UNLABELLED

NAMES = (
    "pelv spin spi1 spi2 spi3 neck head htop rcla rsho relb rwri rhan rfin rthu rthu2 lcla lsho "
    "lelb lwri lhan lfin lthu lthu2 rhip rkne rank rfoo rtoe lhip lkne lank lfoo ltoe"
).split()


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "gpa"
    shutil.copytree(raw_miniature("gpa"), target)
    return target


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {unit.id: main.load_unit(root, unit, options)[0] for unit in units}


def rewrite(root, change):
    content = json.loads((root / main.LABELS).read_text())
    for label in content["annotations"]:
        change(label)
    (root / main.LABELS).write_text(json.dumps(content))


def cameras_of(sequences):
    found = {}
    for id, sequence in sequences.items():
        for path in sequence.frames.paths:
            found[int(path.stem)] = id.split("/")[1]
    return found


CAMERAS = {146: "1", 148: "4", 149: "1", 150: "4", 151: "1", 155: "1", 160: "4"}


def test_joints():
    assert main.SPEC.joint_info.names == NAMES
    edges = {(NAMES[a], NAMES[b]) for a, b in main.SPEC.joint_info.stick_figure_edges}
    edges |= {pair[::-1] for pair in edges}
    assert {("spi3", "lcla"), ("lwri", "lthu"), ("lthu", "lthu2"), ("lhip", "pelv")} <= edges


def test_joints_are_in_rows_of_the_file(root):
    label = json.loads((root / main.LABELS).read_text())["annotations"][0]
    sequence = load(root)["train/1/00000"]
    x, y, z = np.array(label["joint_cams"])
    np.testing.assert_allclose(sequence.tracks[0].world_coords[0, 25], [x[25], y[25], z[25]])
    camera = sequence.camera(0)
    assert (camera.R == np.eye(3)).all() and not np.any(camera.t)


def test_splits_and_what_is_left_out(root):
    sequences = load(root)
    assert {s.split for id, s in sequences.items() if id.startswith("test")} == {"test"}
    assert sequences["none/4/00000"].dropped == {main.NO_SPLIT: 1}
    (lost,) = (s for id, s in sequences.items() if id.endswith("unlabelled"))
    assert lost.dropped == {UNLABELLED: 1}
    with pytest.raises(CorruptInput, match="no annotations of this and 0 others of 9 pictures"):
        load(root, max_unlabelled=0.05)

    rewrite(root, lambda label: label.update(istrains=True, istests=True))
    with pytest.raises(CorruptInput, match="picture 0000000146 is for training and for testing"):
        load(root)


def test_a_camera_is_told_by_its_number_from_0_or_from_1(root):
    assert cameras_of(load(root)) == CAMERAS
    table = root / "Sequence_ids/cam_ids_750k.npy"
    ids = np.load(table)
    np.save(table, ids[1:])
    (root / "Sequence_ids").rename(root / "sequence_ids")
    assert cameras_of(load(root)) == CAMERAS
    np.save(root / "sequence_ids/cam_ids_750k.npy", np.roll(ids, 2))
    with pytest.raises(CorruptInput, match="a camera has 2 lenses whether .* from 0 or from 1"):
        load(root)
    with pytest.raises(CorruptInput, match="lenses do not tell whether .* from 0 or from 1"):
        load(root, max_lenses=2)
    assert load(root, max_lenses=2, first_number=1)
    np.save(root / "sequence_ids/cam_ids_750k.npy", np.arange(162))
    with pytest.raises(CorruptInput, match="pictures are of 8 cameras; expected at most 5"):
        load(root, max_cameras=5)
    np.save(root / "sequence_ids/cam_ids_750k.npy", ids[:100])
    with pytest.raises(CorruptInput, match="found 100 cameras; expected 160"):
        load(root)


def test_where_the_pinhole_does_not_fit_a_lens_can_be_given(root):
    lens = [-0.3, 0.1, 0.0, 0.0, 0.0]

    def distort(label):
        x, y, z = np.array(label["joint_cams"])
        x, y = x / z, y / z
        r2 = x * x + y * y
        k = (1 + lens[0] * r2 + lens[1] * r2 * r2) * np.array([x, y])
        label["joint_imgs_uncrop"] = (k.T * label["f"] + label["c"]).tolist()

    rewrite(root, distort)
    with pytest.raises(CorruptInput, match=r"lie [\d.]+ px \(mean\) from projected ones"):
        load(root)
    sequence = load(root, distortion={"1": lens, "4": lens})["train/1/00000"]
    assert sequence.checks["projection_px"] < 0.1 and sequence.camera(0).has_distortion()


def test_a_joint_that_is_nan_is_missing(root):
    def spoil(label):
        label["joint_cams"][2][25] = float("nan")
        if label["istests"]:
            label["joint_cams"] = [[float("nan")] * 34] * 3

    rewrite(root, spoil)
    sequences = load(root)
    joints = sequences["train/1/00000"].tracks[0].world_coords
    assert np.isnan(joints).any(axis=-1).sum(axis=1).tolist() == [1] * len(joints)
    assert np.isnan(sequences["test/1/00000"].tracks[0].world_coords).all()


def test_a_lens_that_is_nan_costs_its_unit_alone(root):
    content = json.loads((root / main.LABELS).read_text())
    content["annotations"][0]["f"] = [float("nan")] * 2
    (root / main.LABELS).write_text(json.dumps(content))
    options = main.Options()
    units = {unit.id: unit for unit in main.list_units(root, options)}
    assert main.load_unit(root, units["train/4/00000"], options)
    with pytest.raises(CorruptInput, match="camera 1, 0000000146"):
        main.load_unit(root, units["train/1/00000"], options)


def test_masks_of_nobody_and_of_everything_are_left_out(root):
    track = load(root)["train/1/00000"].tracks[0]
    assert [track.unusable(k) for k in range(3)] == [None] * 3
    for k, value in ((0, 0), (1, 255)):
        name = f"{sorted(k for k in CAMERAS if CAMERAS[k] == '1')[k]:010d}_mask.jpg"
        cv2.imwrite(str(root / main.MASKS / name), np.full((1080, 1920), value, np.uint8))
    track = load(root)["train/1/00000"].tracks[0]
    assert [track.unusable(k) for k in range(3)] == [NO_PIXEL, TOO_LARGE, None]


def test_annotations_without_picture_or_mask_are_counted(root):
    before = load(root)["train/1/00000"].frames.paths
    before[0].unlink()
    (root / main.MASKS / f"{before[2].stem}_mask.jpg").unlink()
    with pytest.raises(
        CorruptInput, match="2 of 8 annotated pictures, or what belongs to them, are"
    ):
        load(root)
    sequence = load(root, max_missing=0.3)["train/1/00000"]
    assert sequence.frames.paths == before[1:2] and sequence.dropped == {main.NO_FILE: 2}
    label = json.loads((root / main.LABELS).read_text())["annotations"][2]
    joints = sequence.tracks[0].world_coords[0]
    np.testing.assert_allclose(joints, np.transpose(label["joint_cams"]), rtol=1e-6)


def test_lenses_of_cameras_that_are_not_there_are_refused(root):
    with pytest.raises(UsageError, match="dataset.distortion: no camera 7; there are: 1, 4"):
        load(root, distortion={"7": [0.1, 0, 0, 0, 0]})


def test_lists_that_are_not_parallel_are_refused(root):
    content = json.loads((root / main.LABELS).read_text())
    content["images"].pop()
    (root / main.LABELS).write_text(json.dumps(content))
    with pytest.raises(
        CorruptInput, match="annotations: found 8 entries; expected 7, as in images"
    ):
        load(root)


def test_pictures_in_nested_folders(root):
    for folder, ending in ((main.PICTURES, ".jpg"), (main.MASKS, "_mask.jpg")):
        for path in sorted((root / folder).glob("*.jpg")):
            id = path.name[:10]
            place = root / folder / id[:6] / id[6:8] / f"{id}{ending}"
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    sequences = load(root)
    (lost,) = (s for id, s in sequences.items() if id.endswith("unlabelled"))
    assert lost.dropped == {UNLABELLED: 1}
    sequence = sequences["train/1/00000"]
    assert all(path.is_file() for path in sequence.frames.paths)
    assert sequence.tracks[0].mask(0)["size"] == [1080, 1920]

"""The same photograph in several datasets: what is stored, found, held out and said."""

import csv
import dataclasses
import json
import pickle
import subprocess
import sys

import archive_kit as kit
import cv2
import fake_dataset
import numpy as np
import pytest
from conftest import ROOT
from fake_dataset import fake  # noqa: F401  (a fixture)
from fingerprints_kit import PICTURES, changed, matches, packed

from posepile import datasets2d, datasets3d
from posepile.cli import main
from posepile.datasets2d import TRAIN, VALID, Pose2DDataset
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.imaging import fingerprints
from posepile.imaging.pictures import ArrayFrame
from posepile.merging import duplicates
from posepile.merging.merge import merge_datasets
from posepile.recipe import Sequence, Stills, Track
from posepile.stages import crop
from posepile.stages.task import StageParams
from posepile.store import packing, parts

# ---------------------------------------------------------------- datasets


def make_archive(root, name, splits, n_people=2):
    """An archive of ``{split: [image, ...]}``, everybody of whom has a crop of their own."""
    paths = []
    for unit, (split, images) in enumerate(splits.items()):
        path = root / f"{name}_work" / "parts" / f"{unit:03d}.part"
        with parts.PartWriter(path) as writer:
            for i, image in enumerate(images):
                value = None if image is None else fingerprints.of_frame(ArrayFrame(image))
                for person in range(n_people):
                    record = kit.record(name, split, unit, n_people * i + person, kind="2d")
                    record.fingerprint = value
                    writer.add(record, kit.jpeg(i))
        paths.append(path)
    packing.pack(paths, root / f"{name}.barecat", kit.spec(name, "2d"), {"sources": []})
    return datasets2d.get_dataset(root / f"{name}.barecat")


@pytest.fixture
def two(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    one = {"train": PICTURES[:8], "val": [*PICTURES[8:10], changed(PICTURES[2], quality=60)]}
    other = {
        "train": [changed(PICTURES[9], (0.05, 0, 0.1, 0), 0.7), *PICTURES[10:14]],
        "test": [PICTURES[20], changed(PICTURES[5], (0, 0, 0.03, 0.05), 1.4), PICTURES[21]],
    }
    return {
        "one": make_archive(tmp_path, "one", one),
        "other": make_archive(tmp_path, "other", other),
    }


def test_pairs_of_datasets_and_splits(two):
    found = list(duplicates.find(two))
    assert [(p.dataset, p.split, p.image, p.other_dataset, p.other_split, p.other_image)
            for p in found] == [
        ("one", "train", "one_downscaled/s0/0004.jpg", "one", "val", "one_downscaled/s1/0004.jpg"),
        ("one", "train", "one_downscaled/s0/0010.jpg",
         "other", "test", "other_downscaled/s1/0002.jpg"),
        ("one", "val", "one_downscaled/s1/0002.jpg",
         "other", "train", "other_downscaled/s0/0000.jpg"),
    ]  # fmt: skip
    assert all(0 <= p.distance < 0.1 for p in found)
    assert [p.other_dataset for p in duplicates.find({"one": two["one"]})] == ["one"]


def test_everybody_in_a_picture_of_a_test_is_held_out(two):
    masks = duplicates.held_out(two)
    assert np.flatnonzero(masks["one"]).tolist() == [4, 5, 10, 11]
    assert np.flatnonzero(masks["other"]).tolist() == [0, 1]
    assert np.flatnonzero(duplicates.held_out({"one": two["one"]})["one"]).tolist() == [4, 5]
    left = two["one"].examples[TRAIN][~masks["one"]]
    assert len(left) == 12


def test_merging_leaves_out_who_is_held_out(two):
    merged = merge_datasets(two, leave_out_held_out=True)
    assert merged.left_out == {"one": 4, "other": 2}
    assert len(merged.examples[TRAIN]) == 12 + 8
    assert not duplicates.held_out({"merged": merged})["merged"].any()


def test_pictures_without_examples_are_held_out_where_they_are_given(two, tmp_path):
    files = [tmp_path / f"{k}.png" for k in range(2)]
    for file, k in zip(files, (0, 12), strict=True):
        cv2.imwrite(str(file), changed(PICTURES[k], quality=70)[..., ::-1])
    masks = duplicates.held_out(two, pictures=iter(files))
    assert np.flatnonzero(masks["one"]).tolist() == [0, 1, 4, 5, 10, 11]
    assert np.flatnonzero(masks["other"]).tolist() == [0, 1, 6, 7]
    merged = merge_datasets(two, leave_out_held_out=True, held_out_pictures=files)
    assert merged.left_out == {"one": 6, "other": 4}
    with pytest.raises(UsageError, match="no effect without leave_out_held_out"):
        merge_datasets(two, held_out_pictures=files)
    with pytest.raises(CorruptInput, match="none.png"):
        duplicates.held_out(two, pictures=[tmp_path / "none.png"])


def test_of_plain_pictures_equal_ones_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    slope = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (120, 1, 3))
    even = np.full((120, 200, 3), 90, np.uint8)
    splits = {"train": [slope, even, slope // 2], "val": [slope, even]}
    data = {"plain": make_archive(tmp_path, "plain", splits, n_people=1)}
    (pair,) = duplicates.find(data)
    assert (pair.split, pair.other_split, pair.distance) == ("train", "val", 0)
    assert duplicates.held_out(data)["plain"].tolist() == [True, False, False]


def test_the_order_of_lists_and_changed_examples(two):
    examples = two["one"].examples[TRAIN]
    kept = examples[5].load()
    kept.activity = "changed"
    examples[5] = kept
    made = examples[11].load()
    assert made.fingerprint == examples[10].fingerprint
    examples[11] = pickle.loads(pickle.dumps(made))
    examples.shuffle(3)
    two["one"].examples[TRAIN] = examples[::2] + examples[1::2]
    masks = duplicates.held_out(two)
    names = [ex.image_path[-8:-4] for ex in two["one"].examples[TRAIN][masks["one"]]]
    assert sorted(names) == ["0004", "0005", "0010", "0011"]
    plain = Pose2DDataset(kit.JOINTS, list(two["one"].examples[TRAIN]))
    again = duplicates.held_out({"plain": plain, "other": two["other"]})["plain"]
    assert again.sum() == 2


def test_what_has_no_fingerprint_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    old = make_archive(tmp_path, "old", {"train": [None, None]})
    assert old.examples[TRAIN][0].fingerprint is None
    with pytest.raises(UsageError, match="old: has examples without .*; posepile run old makes"):
        list(duplicates.find({"a": old}))
    mixed = make_archive(tmp_path, "mixed", {"train": [PICTURES[0]], "val": [None]})
    assert mixed.examples[VALID][0].fingerprint is None
    assert len(mixed.examples[TRAIN][1].fingerprint) == 260
    with pytest.raises(UsageError, match="mixed: has examples without"):
        duplicates.held_out({"mixed": mixed})
    kit.make_archive(tmp_path, "solid")
    with pytest.raises(UsageError, match="solid: a 3D dataset"):
        list(duplicates.find({"solid": datasets3d.get_dataset(tmp_path / "solid.barecat")}))
    loaded = Pose2DDataset(kit.JOINTS, [old.examples[TRAIN][0].load()])
    with pytest.raises(UsageError, match="loaded: has examples without"):
        duplicates.held_out({"loaded": loaded})


@pytest.mark.parametrize("change", [lambda v: v[:4] + b"\x09" + v[5:], lambda v: v + b"more"])
def test_fingerprints_of_another_version_are_refused(tmp_path, monkeypatch, change):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    whole = fingerprints.of_frame
    monkeypatch.setattr(fingerprints, "of_frame", lambda frame: change(whole(frame)))
    dataset = make_archive(tmp_path, "later", {"train": PICTURES[:2], "val": PICTURES[2:4]})
    with pytest.raises(WorkError, match="later: .* another version; posepile run later makes"):
        list(duplicates.find({"later": dataset}))


def test_a_picture_is_stored_once_for_everybody_in_it(tmp_path):
    many = make_archive(tmp_path, "many", {"train": PICTURES[:3]}, n_people=20)
    columns = many.examples[TRAIN].by_source().__next__()[2].table().columns
    assert len(columns["fingerprint_strings"]) == 3 * 260
    assert columns["fingerprint"].tolist() == np.repeat(range(3), 20).tolist()
    none = make_archive(tmp_path, "none", {"train": [None]})
    columns = none.examples[TRAIN].by_source().__next__()[2].table().columns
    assert not [name for name in columns if name.startswith("fingerprint")]
    assert columns["flags"].tolist() == [2, 2] or not (columns["flags"] & 512).any()


# ---------------------------------------------------------------- making them


def people_of_the_plane(root, unit, options):
    """Two people in each picture, without 3D."""
    n, names = 4, fake_dataset.images(root / unit.id)
    tracks = []
    for person in range(2):
        points = np.array([[300, 100], [310, 240], [290, 400], [330, 400]], np.float32)
        points = np.tile(points + 90 * person, (n, 1, 1))
        box = np.tile(np.float32([270 + 90 * person, 80, 90, 350]), (n, 1))
        tracks.append(Track(np.arange(n), image_coords=points, bbox=box, person=person))
    camera = None
    return [
        Sequence(unit.id, unit.split, Stills(tuple(names)), camera, tracks,
                 lambda frame, person: f"{unit.id}/{frame:06d}_{person}.jpg")
    ]  # fmt: skip


def test_pictures_of_2d_datasets_get_one_when_they_are_cropped(fake, monkeypatch):  # noqa: F811
    module = sys.modules["posepile.ds.fake.main"]
    flat = dataclasses.replace(module.SPEC, kind="2d", world_up=None)
    monkeypatch.setattr(module, "SPEC", flat)
    monkeypatch.setattr(module, "load_unit", people_of_the_plane)
    plain = ("select.method=none", "check.enabled=false")
    fake_dataset.process_and_pack(fake, *plain)
    dataset = datasets2d.get_dataset(fake / "fake.barecat")
    found = [ex.fingerprint for ex in dataset.examples[TRAIN]]
    assert len(found) == 16 and len(set(found)) == 8 and found[::2] == found[1::2]
    raw = cv2.imread(str(fake / "fake" / "seq0" / "0.jpg"))[..., ::-1]
    same = matches(np.frombuffer(found[0], np.uint8)[None], packed(raw))
    assert same[0, 0] < 1e-3
    before = (fake / "fake.barecat").read_bytes()
    for path in (fake / "fake_work").rglob("*.part"):
        path.unlink()
    fake_dataset.process_and_pack(fake, *plain)
    assert (fake / "fake.barecat").read_bytes() == before


def test_3d_datasets_get_none(fake):  # noqa: F811
    fake_dataset.process_and_pack(fake)
    dataset = datasets3d.get_dataset(fake / "fake.barecat")
    assert {ex.fingerprint for ex in dataset.iter_examples()} == {None}


def test_only_results_of_2d_datasets_depend_on_how_they_are_made():
    made = {kind: crop.identity(StageParams(), kind) for kind in ("2d", "3d")}
    assert made["2d"].pop("fingerprints") == fingerprints.VERSION
    assert made["2d"] == made["3d"]


# ---------------------------------------------------------------- the command


def run(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        main(["duplicates", *map(str, args)])
    said = capsys.readouterr()
    return ended.value.code, said.out.splitlines(), said.err


def test_the_command_counts_and_writes(two, tmp_path, capsys):
    names = [str(tmp_path / f"{name}.barecat") for name in two]
    code, lines, _ = run(capsys, *names, "--out", tmp_path / "found.csv")
    assert code == 0
    assert f"{names[0]} train: 8 pictures" in lines
    assert f"{names[0]} train - {names[0]} val: 1 picture in 1, pairs: 1" in lines
    assert f"{names[0]} train - {names[1]} train: none in common" in lines
    with open(tmp_path / "found.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0]) == [f.name for f in dataclasses.fields(duplicates.Pair)]
    assert [row["other_split"] for row in rows] == ["val", "test", "train"]
    code, *_ = run(capsys, *names, "--out", tmp_path / "found.jsonl")
    objects = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert code == 0 and [{k: str(v) for k, v in o.items()} for o in objects] == rows
    code, lines, _ = run(capsys, names[0])
    assert (
        code == 0 and lines[-1] == f"{names[0]} train - {names[0]} val: 1 picture in 1, pairs: 1"
    )
    code, lines, _ = run(capsys, names[0], "--max-distance", "1e-9")
    assert code == 0 and lines[-1].endswith(": none in common")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["nosuch"], "unknown dataset"),
        (["coco", "coco"], "coco: named twice"),
        (["coco", "--out", "found.txt"], "expected a name that ends with .csv or .jsonl"),
        (["coco", "--max-distance", "1"], "expected a distance above 0 and below 1"),
        ([], "required: DATASET"),
    ],
)
def test_wrong_requests_end_with_2(capsys, args, expected):
    code, _, said = run(capsys, *args)
    assert code == 2 and expected in said and len(said.splitlines()) == 1


def test_what_is_not_there_ends_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    code, _, said = run(capsys, "coco")
    assert code == 1 and "posepile run coco" in said


def test_the_compiler_is_loaded_only_when_there_is_work():
    code = "import sys, posepile.merging.duplicates; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "False\n"

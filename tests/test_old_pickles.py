"""Pickles that version 0.1.0 wrote of a small dataset (pickles_0.1.0/), read by this version."""

import pickle
import warnings
from pathlib import Path

import archive_kit as kit
import numpy as np
import pytest

import posepile
from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN, VALID
from posepile.export.upstream import export_upstream
from posepile.store import restricted_pickle, row_sources

FOLDER = Path(__file__).parent / "pickles_0.1.0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """DATA_ROOT with the archives that the pickles refer to, packed by this version."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        records = kit.make_archive(root)
        flat = kit.make_archive(root, "flat", kind="2d")
        export_upstream("toy.barecat", "entries.barecat")
    return root, records, flat


@pytest.fixture(autouse=True)
def root(made, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(made[0]))
    monkeypatch.setattr(row_sources, "_warned", False)


@pytest.fixture(params=[pickle.loads, restricted_pickle.loads])
def read(request):
    def read(name):
        with warnings.catch_warnings():  # of references without identity
            warnings.simplefilter("ignore", UserWarning)
            value = request.param((FOLDER / f"{name}.pickle").read_bytes())
            next(iter(value.examples[TRAIN]), None) if hasattr(value, "examples") else None
        return value

    return read


pytestmark = pytest.mark.filterwarnings("ignore:.*referred to by a pickle:UserWarning")


def test_dataset(made, read):
    dataset = read("dataset3d")
    assert type(dataset) is datasets3d.Pose3DDataset and dataset.joint_info == kit.JOINTS
    assert [len(dataset.examples[s]) for s in range(3)] == [12, 6, 0]
    for ex, record in zip(dataset.iter_examples(), made[1], strict=True):
        assert ex.image_path == record.image_path
        np.testing.assert_array_equal(ex.world_coords, record.world_coords)
        assert ex.load().image.shape == (16, 24, 3) and ex.camera == record.camera
    before = dataset.trainval_bones
    dataset.update_bones()
    np.testing.assert_allclose(dataset.trainval_bones, before, rtol=1e-5)


def test_dataset_2d(made, read):
    dataset = read("dataset2d")
    assert type(dataset) is datasets2d.Pose2DDataset
    for ex, record in zip(dataset.iter_examples(), made[2], strict=True):
        np.testing.assert_array_equal(ex.coords, record.coords2d)


@pytest.mark.parametrize(("name", "which"), [("example3d", 1), ("example2d", 2)])
def test_example(made, read, name, which):
    assert read(name).load().image_path == made[which][4].image_path


def test_list_in_another_order_with_a_changed_example(read):
    examples = read("list3d")
    assert [ex.image_path[-11:-4] for ex in examples] == [
        "s1/0003", "s0/0002", "s1/0001", "s0/0004", "s0/0005", "s1/0005",
        "s0/0000", "s0/0003", "s1/0000", "s1/0004", "s1/0002", "s0/0001",
    ]  # fmt: skip
    assert examples[1].mask == {"size": [1, 1], "counts": b"mine"}
    assert examples[0].frame == 3


def test_loaded_example(made, read):
    ex, record = read("loaded3d"), made[1][3]
    assert ex.camera == record.camera and ex.activity_name == record.activity
    np.testing.assert_array_equal(ex.world_coords, record.world_coords)


def test_examples_made_by_hand(made, read):
    (ex,) = read("made3d").examples[TRAIN]
    np.testing.assert_array_equal(ex.get_world_coords(), made[1][2].world_coords)
    assert ex.custom is None and ex.scene_name == "unknown"
    (flat,) = read("made2d").examples[TRAIN]
    assert flat.image_path == "a/b.jpg" and flat.coords.shape == (5, 2)


def test_entries(made, read):
    dataset = read("entries3d")
    for ex, record in zip(dataset.iter_examples(), made[1], strict=True):
        np.testing.assert_array_equal(ex.world_coords, record.world_coords)
        assert ex.load().image is not None
    assert read("entry3d").load().image_path == made[1][4].image_path


def test_merged(made, read):
    dataset = read("merged3d")
    assert len(dataset.examples[TRAIN]) == 24 and len(dataset.examples[VALID]) == 12
    coords = dataset.examples[TRAIN][15].get_world_coords()
    np.testing.assert_array_equal(coords[5:], made[1][3].world_coords)
    coords = read("mergedexample3d").get_world_coords()
    np.testing.assert_array_equal(coords[:5], made[1][4].world_coords)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.pickle")), ids=lambda p: p.stem)
def test_saved_again_it_names_the_faces_alone(file):
    again = pickle.dumps(posepile.load(file))
    modules = {name.split(b".")[1] for name in _posepile_names(again)}
    assert modules <= {b"datasets3d", b"datasets2d", b"joint_info", b"merging"}, modules
    assert pickle.dumps(restricted_pickle.loads(again)) == again


def _posepile_names(data):
    import re

    return re.findall(rb"posepile\.[a-z0-9_.]+", data)

"""Merged datasets: joints by suffix, examples from several archives."""

import pickle

import archive_kit as kit
import numpy as np
import pytest

from posepile import datasets3d
from posepile.datasets3d import TRAIN, VALID, Pose3DDataset, Pose3DExample, SparseCoords
from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.merging.merge import merge_datasets
from posepile.store import restricted_pickle


@pytest.fixture
def two(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "one")
    kit.make_archive(tmp_path, "two", n=4)
    return {name: datasets3d.get_dataset(name) for name in ("one", "two")}


def test_joints_keep_apart_by_suffix(two):
    merged = merge_datasets(two)
    info = merged.joint_info
    assert info.names[:2] == ["pelv_one", "lhip_one"] and info.names[5] == "pelv_two"
    assert info.mirror_mapping[6] == 7
    assert info.stick_figure_edges == [
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (5, 6),
        (5, 7),
        (6, 8),
        (7, 9),
    ]
    assert len(merged.examples[TRAIN]) == 20 and len(merged.examples[VALID]) == 10
    np.testing.assert_array_equal(
        merged.train_bones, np.concatenate([d.train_bones for d in two.values()])
    )
    before = merged.trainval_bones
    merged.update_bones()
    np.testing.assert_allclose(merged.trainval_bones, before, rtol=1e-5)


@pytest.mark.parametrize("through_pickle", [False, True])
def test_examples_have_the_joints_of_their_dataset(two, through_pickle):
    merged = merge_datasets(two)
    if through_pickle:
        merged = restricted_pickle.loads(pickle.dumps(merged))
    merged.examples[TRAIN].shuffle(0)
    sources = {
        ex.image_path: (k, ex) for k, d in enumerate(two.values()) for ex in d.iter_examples()
    }
    seen = 0
    for example in merged.iter_examples():
        k, original = sources[example.image_path]
        ex = pickle.loads(pickle.dumps(example)).load()
        assert len(pickle.dumps(example)) < 300
        assert isinstance(ex.world_coords, SparseCoords)
        coords = ex.get_world_coords()
        np.testing.assert_array_equal(coords[5 * k : 5 * k + 5], original.world_coords)
        assert np.isnan(coords[5 * (1 - k) : 5 * (1 - k) + 5]).all()
        assert ex.camera == original.camera and ex.image.shape == (16, 24, 3)
        seen += 1
    assert seen == 30


def test_shared_skeleton(two):
    merged = merge_datasets(two, {"one": "same", "two": "same"})
    assert merged.joint_info.n_joints == 5
    everything = [ex for d in two.values() for ex in d.examples[TRAIN]]
    expected = Pose3DDataset(kit.JOINTS, everything).train_bones
    np.testing.assert_allclose(merged.train_bones, expected, rtol=1e-5)


def test_examples_made_by_hand(two):
    made = Pose3DExample("x/y.jpg", np.ones((5, 3), np.float32), [0, 0, 1, 1], None)
    two["one"].examples[TRAIN][1] = made
    plain = Pose3DDataset(kit.JOINTS, [made])
    merged = merge_datasets({**two, "plain": plain})
    for ex, first in ((merged.examples[TRAIN][1], 0), (merged.examples[TRAIN][-1], 10)):
        assert ex.image_path == "x/y.jpg"
        assert np.flatnonzero(~np.isnan(ex.get_world_coords()[:, 0])).tolist() == list(
            range(first, first + 5)
        )
    assert made.world_coords.shape == (5, 3)


def test_ambiguous_names_are_refused(two):
    with pytest.raises(UsageError, match="'a_b'"):
        merge_datasets(two, {"one": "a_b"})
    other = Pose3DDataset(JointInfo("pelv,neck"))
    with pytest.raises(UsageError, match="one and other have different joints"):
        merge_datasets({"one": two["one"], "other": other}, {"other": "one"})


@pytest.mark.parametrize("nothing_named", [list, lambda values: {}])
def test_datasets_without_names_are_refused(two, nothing_named):
    with pytest.raises(UsageError, match="expected datasets by name"):
        merge_datasets(nothing_named(two.values()))


def test_a_skeleton_of_no_dataset_is_refused(two):
    with pytest.raises(UsageError, match="skeletons names 'onne'; expected one of one, two"):
        merge_datasets(two, {"onne": "same", "two": "same"})

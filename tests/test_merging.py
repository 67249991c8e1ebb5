"""Merged datasets: joints by suffix, examples from several archives."""

import dataclasses
import pickle

import archive_kit as kit
import numpy as np
import pytest

from posepile import datasets2d, datasets3d
from posepile.datasets2d import Pose2DDataset, Pose2DExample
from posepile.datasets3d import TEST, TRAIN, VALID, Pose3DDataset, Pose3DExample, SparseCoords
from posepile.errors import UsageError
from posepile.imaging import fingerprints
from posepile.joint_info import JointInfo
from posepile.merging import merge
from posepile.merging.merge import merge_datasets
from posepile.store import packing, parts, restricted_pickle


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


def test_a_joint_without_all_its_coordinates_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    coords = np.arange(15, dtype=np.float32).reshape(5, 3)
    coords[2, 2] = np.nan
    with parts.PartWriter(tmp_path / "x_work" / "parts" / "0.part") as writer:
        writer.add(kit.record("x", "train", 0, 0, world_coords=coords), kit.jpeg())
    packing.pack([writer.path], tmp_path / "x.barecat", kit.spec("x"), {"sources": []})
    own = datasets3d.get_dataset("x")
    np.testing.assert_array_equal(own.examples[TRAIN][0].world_coords, coords)
    merged = merge_datasets(
        {"x": own, "made": Pose3DDataset(kit.JOINTS, [own.examples[TRAIN][0].load()])}
    )
    for example in merged.examples[TRAIN]:
        assert len(example.world_coords.i_valid_joints) == 4
        assert np.isnan(example.get_world_coords()).all(axis=1).sum() == 6


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


@pytest.fixture
def flat(tmp_path, monkeypatch):
    """Two 2D datasets, of 12 and 8 training examples."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "mpii", kind="2d")
    kit.make_archive(tmp_path, "coco", kind="2d", n=4)
    return {name: datasets2d.get_dataset(name) for name in ("mpii", "coco")}


def test_2d_joints_keep_apart_by_suffix(flat):
    merged = merge_datasets(flat)
    assert isinstance(merged, Pose2DDataset) and merged.kind == "2d"
    info = merged.joint_info
    assert info.names[:2] == ["pelv_mpii", "lhip_mpii"] and info.names[5] == "pelv_coco"
    assert info.mirror_mapping[6] == 7
    counts = [len(merged.examples[split]) for split in (TRAIN, VALID, TEST)]
    assert counts == [20, 10, 0] and merged.train_bones is None and merged.left_out is None


@pytest.mark.parametrize("through_pickle", [False, True])
def test_2d_examples_have_the_joints_of_their_dataset(flat, through_pickle):
    merged = merge_datasets(flat)
    if through_pickle:
        merged = restricted_pickle.loads(pickle.dumps(merged))
    merged.examples[TRAIN].shuffle(0)
    sources = {
        ex.image_path: (k, ex) for k, d in enumerate(flat.values()) for ex in d.iter_examples()
    }
    assert len(sources) == 30
    for example in merged.iter_examples():
        k, original = sources[example.image_path]
        assert isinstance(example, Pose2DExample) and len(pickle.dumps(example)) < 300
        ex = pickle.loads(pickle.dumps(example)).load()
        assert ex.coords.shape == (10, 2) and ex.coords.dtype == np.float32
        np.testing.assert_array_equal(example.coords, ex.coords)
        np.testing.assert_array_equal(ex.coords[5 * k : 5 * k + 5], original.coords)
        assert np.isnan(ex.coords[5 * (1 - k) : 5 * (1 - k) + 5]).all()
        np.testing.assert_array_equal(ex.bbox, original.bbox)
        assert ex.mask == original.mask and ex.image.shape == (16, 24, 3)


def test_2d_datasets_share_a_skeleton_and_merge_again(flat):
    shared = merge_datasets(flat, {"mpii": "same", "coco": "same"})
    assert shared.joint_info.n_joints == 5
    made = Pose2DExample("x/y.jpg", np.ones((5, 2), np.float32), [0, 0, 1, 1])
    plain = Pose2DDataset(kit.JOINTS, [made])
    both = merge_datasets({"all": shared, "plain": plain})
    assert both.joint_info.n_joints == 10 and both.joint_info.names[0] == "pelv_same_all"
    first, last = both.examples[TRAIN][0].load(), both.examples[TRAIN][-1]
    assert np.isfinite(first.coords[:5]).all() and np.isnan(first.coords[5:]).all()
    assert np.isnan(last.coords[:5]).all() and (last.coords[5:] == 1).all()
    assert made.coords.shape == (5, 2)


def test_2d_and_3d_datasets_merge_into_one(two, flat):
    merged = merge_datasets({"one": two["one"], "coco": flat["coco"]})
    assert isinstance(merged, Pose3DDataset) and merged.joint_info.n_joints == 10
    for merged_again in (merged, restricted_pickle.loads(pickle.dumps(merged))):
        examples = merged_again.examples[TRAIN]
        assert len(examples) == 20
        originals = [*two["one"].examples[TRAIN], *flat["coco"].examples[TRAIN]]
        for example, original in zip(examples, originals, strict=True):
            for ex in (example, pickle.loads(pickle.dumps(example)).load()):
                assert isinstance(ex, Pose3DExample) and ex.image_path == original.image_path
                if ex.dataset == "one":
                    coords = ex.get_world_coords()
                    np.testing.assert_array_equal(coords[:5], original.world_coords)
                    assert ex.coords2d is None and np.isnan(coords[5:]).all()
                else:
                    assert ex.dataset == "coco" and ex.world_coords is None
                    np.testing.assert_array_equal(ex.coords2d[5:], original.coords)
                    assert np.isnan(ex.coords2d[:5]).all() and ex.camera is None
    merged.update_bones()
    np.testing.assert_allclose(merged.train_bones[:4], two["one"].train_bones, rtol=1e-5)
    assert np.isnan(merged.train_bones[4:]).all()
    assert [facts["kind"] for facts in merged.parts.values()] == ["3d", "2d"]
    assert merged.parts["coco"]["counts"] == {"train": 8, "val": 4, "test": 0}
    # Examples in memory, and those of lists that were merged before.
    made = Pose2DDataset(kit.JOINTS, [Pose2DExample("x/y.jpg", np.ones((5, 2), np.float32))])
    more = merge_datasets({"all": merged, "made": made, "two": two["two"]})
    last = more.examples[TRAIN][20]
    assert isinstance(last, Pose3DExample) and (last.coords2d[10:15] == 1).all()
    assert last.world_coords is None and np.isnan(last.coords2d[:10]).all()
    assert more.examples[TRAIN][0].dataset == "one" and more.examples[TRAIN][-1].dataset == "two"
    assert list(more.parts) == ["one", "coco", "made", "two"]
    with pytest.raises(UsageError, match="one is in two of the datasets"):
        merge_datasets({"all": merged, "one": two["one"]})


def test_a_source_of_a_pickle_knows_its_joints_before_an_example_was_read(two):
    merged = restricted_pickle.loads(pickle.dumps(merge_datasets(two)))
    ids = [source.joint_ids.tolist() for _, _, source in merged.examples[TRAIN].by_source()]
    assert ids == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_3d_examples_do_not_pass_for_2d_ones(two, flat):
    disguised = Pose2DDataset(kit.JOINTS, two["one"].examples[TRAIN])
    with pytest.raises(UsageError, match="other: a 2D dataset with examples of a 3D one"):
        merge_datasets({"coco": flat["coco"], "other": disguised})
    disguised = Pose2DDataset(kit.JOINTS, [two["one"].examples[TRAIN][0].load()])
    with pytest.raises(UsageError, match="other: a 2D dataset with examples of a 3D one"):
        merge_datasets({"coco": flat["coco"], "other": disguised})


@pytest.mark.parametrize("through_pickle", [False, True])
def test_some_joints_of_a_dataset(two, flat, through_pickle):
    merged = merge_datasets(
        {**two, "coco": flat["coco"]},
        {"one": "h", "two": "h"},
        joints={
            "one": ["rkne", "lkne"],
            "two": ["rkne", "lkne"],
            "coco": ["lhip", "rhip", "lkne"],
        },
        weights={"one": 2, "two": 1, "coco": 0.5},
    )
    if through_pickle:
        merged = restricted_pickle.loads(pickle.dumps(merged))
    names = ["rkne_h", "lkne_h", "lhip_coco", "rhip_coco", "lkne_coco"]
    assert merged.joint_info.names == names and merged.joint_info.stick_figure_edges == [(2, 4)]
    assert [facts["weight"] for facts in merged.parts.values()] == [2, 1, 0.5]
    assert [facts["skeleton"] for facts in merged.parts.values()] == ["h", "h", "coco"]
    for example, original in zip(
        merged.examples[TRAIN][:12], two["one"].examples[TRAIN], strict=True
    ):
        coords = pickle.loads(pickle.dumps(example)).get_world_coords()
        np.testing.assert_array_equal(coords[:2], original.world_coords[[4, 3]])
        assert np.isnan(coords[2:]).all()
    original = flat["coco"].examples[TRAIN][3]
    coords = merged.examples[TRAIN][23].coords2d
    np.testing.assert_array_equal(coords[2:], original.coords[[1, 2, 3]])


def weights_of(merged):
    return {name: facts["weight"] for name, facts in merged.parts.items()}


def test_weights_survive_a_second_merge(two, flat):
    weighted = merge_datasets(two, weights={"one": 1, "two": 3})
    plain = merge_datasets(two)  # 12 and 8 training examples
    coco = flat["coco"]
    both = merge_datasets({"both": weighted, "coco": coco}, weights={"both": 1, "coco": 1})
    assert weights_of(both) == {"one": 0.25, "two": 0.75, "coco": 1}
    both = merge_datasets({"both": plain, "coco": coco}, weights={"both": 1, "coco": 1})
    assert weights_of(both) == {"one": 0.6, "two": 0.4, "coco": 1}
    more = merge_datasets({"weighted": weighted, "held": Pose3DDataset(kit.JOINTS)})
    assert weights_of(more) == {"one": 1, "two": 3, "held": None}
    assert set(weights_of(merge_datasets({"both": plain, "coco": coco})).values()) == {None}
    with pytest.raises(UsageError, match="one has a weight .* coco has none; give `weights`"):
        merge_datasets({"both": weighted, "coco": coco})


def test_a_dataset_without_training_examples_has_no_weight(two, flat, monkeypatch):
    empty = Pose3DDataset(kit.JOINTS, None, two["two"].examples[VALID])
    merged = merge_datasets({"one": two["one"], "two": empty}, weights={"one": 1, "two": 3})
    assert weights_of(merged) == {"one": 1, "two": None}
    masks = {"mpii": np.ones(12, bool), "coco": np.zeros(8, bool)}
    monkeypatch.setattr(merge, "_held_out", lambda given, pictures: masks)
    merged = merge_datasets(flat, weights={"mpii": 3, "coco": 1}, leave_out_held_out=True)
    assert weights_of(merged) == {"mpii": None, "coco": 1}


def test_weights_are_those_of_datasets_that_have_examples(two):
    assert two["one"].weights() is None and merge_datasets(two).weights(TRAIN) is None
    merged = merge_datasets(two, weights={"one": 2, "two": 1})
    for dataset in (merged, restricted_pickle.loads(pickle.dumps(merged))):
        assert dataset.weights() == dataset.weights(TRAIN) == {"one": 2, "two": 1}
    held = {name for name, part in merged.parts.items() if part["counts"]["val"]}
    assert (merged.weights(VALID) or {}).keys() == held
    merged.examples[TRAIN] = merged.examples[TRAIN].where(dataset="two")
    assert merged.weights(TRAIN) == {"two": 1}
    merged.examples[TEST] = []
    assert merged.weights(TEST) is None


def test_wrong_joints_and_weights_are_refused(two):
    with pytest.raises(UsageError, match="joints of one: found 'lwri'"):
        merge_datasets(two, joints={"one": ["lwri"]})
    with pytest.raises(UsageError, match="joints names 'three'"):
        merge_datasets(two, joints={"three": ["lwri"]})
    with pytest.raises(UsageError, match="weight of two: found None"):
        merge_datasets(two, weights={"one": 1})
    with pytest.raises(UsageError, match="weight of two: found 0"):
        merge_datasets(two, weights={"one": 1, "two": 0})


def test_examples_know_where_they_come_from(two, tmp_path):
    paths, _ = kit.make_parts(tmp_path, "named")
    spec = kit.spec("named")
    spec = dataclasses.replace(spec, licence="CC0", sequence_names=r"(?P<subject>s)(?P<view>\d)")
    packing.pack(paths, tmp_path / "named.barecat", spec, {"sources": []})
    named = datasets3d.get_dataset("named")
    for dataset in (named, merge_datasets({"mine": named, **two})):
        name = "mine" if dataset is not named else "named"
        for ex in (dataset.examples[TRAIN][0], dataset.examples[TRAIN][0].load()):
            assert (ex.dataset, ex.licence, ex.subject) == (name, "CC0", "s")
            assert (ex.view, ex.recording, ex.motion) == ("0", "s*", "unknown")
            assert ex.track == -1
    last = dataset.examples[TRAIN][-1]
    assert (last.dataset, last.subject, last.recording) == ("two", "unknown", "s1")
    assert Pose3DExample("a.jpg", None, None, None).dataset == "unknown"
    assert named.metadata["licence"] == named.parts["named"]["licence"] == "CC0"
    assert dataset.metadata == {} and list(dataset.parts) == ["mine", "one", "two"]


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_pictures_that_are_held_out_are_left_out_of_training_and_counted(
    two, flat, kind, monkeypatch
):
    datasets = flat if kind == "2d" else two
    first, second = datasets
    masks = {first: np.arange(12) < 3, second: np.zeros(8, bool)}
    monkeypatch.setattr(
        merge, "_held_out", lambda given, pictures: {name: masks[name] for name in given}
    )
    merged = merge_datasets(datasets, leave_out_held_out=True)
    every = merge_datasets(datasets)
    assert merged.left_out == {first: 3, second: 0} and every.left_out is None
    paths = [ex.image_path for ex in merged.examples[TRAIN]]
    assert paths == [ex.image_path for ex in every.examples[TRAIN]][3:]
    assert len(merged.examples[VALID]) == len(every.examples[VALID]) == 10
    again = restricted_pickle.loads(pickle.dumps(merged))
    assert again.left_out == merged.left_out and len(again.examples[TRAIN]) == 17
    assert restricted_pickle.loads(pickle.dumps(every)).left_out is None
    # A plain list of examples, too.
    plain = type(datasets[first])(kit.JOINTS, list(datasets[first].examples[TRAIN]))
    masks["plain"] = np.arange(12) % 2 == 0
    datasets = {"plain": plain}
    assert len(merge_datasets(datasets, leave_out_held_out=True).examples[TRAIN]) == 6


def make_photographs(root, name, pictures):
    """Makes a 2D dataset of (split, picture, width of the stored file), a person in each."""
    paths = []
    for i, (split, picture, width) in enumerate(pictures):
        luma = np.random.default_rng(picture).integers(0, 256, (8, 8), np.uint8)
        luma = luma.repeat(8, axis=0).repeat(8, axis=1)
        more = {"fingerprint": fingerprints.of_luma(luma, (width, width * 3 // 4))}
        with parts.PartWriter(root / f"{name}_work" / "parts" / f"{i}.part") as writer:
            writer.add(kit.record(name, split, 0, i, kind="2d", **more), kit.jpeg(i))
        paths.append(writer.path)
    spec = kit.spec(name, "2d")
    packing.pack(paths, root / f"{name}.barecat", spec, {"sources": []})
    return datasets2d.get_dataset(name)


def test_a_photograph_in_anothers_test_set_is_no_training_example(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    # Picture 1 is twice in the training set and, smaller, in the other's test set; 4 is in both
    # training sets; 5 is in the training and validation sets of the second.
    train = [("train", picture, 640) for picture in (1, 1, 2, 3, 4)]
    coco = make_photographs(tmp_path, "coco", [*train, ("val", 6, 640)])
    others = [("train", 4, 500), ("train", 5, 500), ("val", 5, 640), ("test", 1, 320)]
    crowd = make_photographs(tmp_path, "crowd", others)
    both = {"coco": coco, "crowd": crowd}
    merged = merge_datasets(both, leave_out_held_out=True)
    assert merged.left_out == {"coco": 2, "crowd": 1}
    numbers = [ex.frame for ex in merged.examples[TRAIN]]
    names = [ex.image_path.partition("_")[0] for ex in merged.examples[TRAIN]]
    assert list(zip(names, numbers, strict=True)) == [
        ("coco", 2), ("coco", 3), ("coco", 4), ("crowd", 0)
    ]  # fmt: skip
    assert [len(merged.examples[split]) for split in (VALID, TEST)] == [2, 1]
    assert merge_datasets({"coco": coco}, leave_out_held_out=True).left_out == {"coco": 0}
    every = merge_datasets(both)
    assert len(every.examples[TRAIN]) == 7
    # What was merged can be looked through as well.
    again = merge_datasets({"all": every}, leave_out_held_out=True)
    assert again.left_out == {"all": 3} and len(again.examples[TRAIN]) == 4
    twice = merge_datasets({"all": merge_datasets({"all": every})}, leave_out_held_out=True)
    assert twice.left_out == {"all": 3}


def test_examples_without_fingerprint_are_not_compared(flat):
    with pytest.raises(UsageError, match="fingerprint"):
        merge_datasets(flat, leave_out_held_out=True)

"""References to rows of an archive hold for the archive they were made for and no other."""

import multiprocessing
import pickle
import warnings

import archive_kit as kit
import numpy as np
import pytest

from posepile import datasets3d
from posepile.datasets3d import TRAIN
from posepile.errors import WorkError
from posepile.merging.merge import merge_datasets
from posepile.store import opening, packing, reading, restricted_pickle, row_sources


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    monkeypatch.setattr(row_sources, "_warned", False)
    pack(tmp_path)
    return tmp_path


def pack(root, order=(0, 1, 2)):
    """Packs 30 examples, the units in the given order."""
    parts, _ = kit.make_parts(root, units=["train"] * 3, n=10)
    packing.pack([parts[i] for i in order], root / "toy.barecat", kit.spec(), {"sources": []})


def names(examples):
    return [ex.image_path for ex in examples]


def references(root):
    """One of each kind of pickle, and how to use it."""
    dataset = datasets3d.get_dataset("toy")
    examples = dataset.examples[TRAIN]
    chosen = examples.take(np.arange(30) % 3 == 0)
    merged = merge_datasets({"toy": dataset})
    opening.write_pickle(root / "toy.barecat", root / "toy.pkl")
    return {
        "dataset": ((root / "toy.pkl").read_bytes(), lambda ds: ds.examples[TRAIN][4]),
        "chosen": (pickle.dumps(chosen), lambda chosen: chosen[2]),
        "iterated": (pickle.dumps(chosen), lambda chosen: next(iter(chosen))),
        "bones": (pickle.dumps(chosen), lambda c: next(c.iter_joint_chunks())),
        "plain list": (pickle.dumps(list(chosen)), lambda chosen: chosen[2].load()),
        "example": (pickle.dumps(examples[7]), lambda ex: ex.load()),
        "one field": (pickle.dumps(examples[7]), lambda ex: ex.bbox),
        "its name": (pickle.dumps(examples[7]), lambda ex: ex.image_path),
        "merged": (pickle.dumps(merged), lambda ds: ds.examples[TRAIN][4]),
        "merged example": (pickle.dumps(merged.examples[TRAIN][4]), lambda ex: ex.world_coords),
    }


KINDS = (
    "dataset", "chosen", "iterated", "bones", "plain list", "example", "one field", "its name",
    "merged", "merged example",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loads", [pickle.loads, restricted_pickle.loads])
def test_stale_reference_is_refused_by_name(root, kind, loads):
    data, use = references(root)[kind]
    old = reading.open_archive("toy.barecat").identity
    pack(root, order=(2, 1, 0))
    new = reading.open_archive("toy.barecat").identity
    assert old != new
    reference = loads(data)  # no error yet: it would end a loader's worker
    with pytest.raises(WorkError, match="toy.barecat: was packed again") as caught:
        use(reference)
    assert old[:16] in str(caught.value) and new[:16] in str(caught.value)
    assert "open the dataset again" in str(caught.value)
    assert "posepile run toy)" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_equal_archive_keeps_references_valid(root, kind):
    data, use = references(root)[kind]
    before = names(datasets3d.get_dataset("toy").examples[TRAIN])
    pack(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        use(pickle.loads(data))
    assert names(datasets3d.get_dataset("toy").examples[TRAIN]) == before


def test_an_open_dataset_keeps_the_old_content_or_refuses(root):
    dataset = datasets3d.get_dataset("toy")
    old = {ex.image_path: ex.bbox.tolist() for ex in dataset.examples[TRAIN]}
    first = dataset.examples[TRAIN][0].load()
    pack(root, order=(2, 1, 0))
    for ex in dataset.examples[TRAIN]:  # columns are still those of the old archive
        assert old[ex.image_path] == ex.bbox.tolist()
    images = {}
    for ex in dataset.examples[TRAIN]:
        try:
            images[ex.image_path] = ex.load().image
        except WorkError as e:
            assert "toy.barecat" in str(e)
    np.testing.assert_array_equal(images[first.image_path], first.image)
    for path, image in images.items():
        unit, i = path.rpartition("/s")[2].removesuffix(".jpg").split("/")
        np.testing.assert_array_equal(image, kit_image(int(unit), int(i)))
    again = datasets3d.get_dataset("toy").examples[TRAIN][0]
    assert again.image_path == "toy_downscaled/s2/0000.jpg" != first.image_path
    np.testing.assert_array_equal(again.load().image, kit_image(2, 0))


def test_an_open_dataset_goes_on_with_an_equal_archive(root):
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    examples[0].load()  # the shard of the first unit is open, the others are not
    pack(root)
    for i, ex in enumerate(examples):
        np.testing.assert_array_equal(ex.load().image, kit_image(i // 10, i % 10))


def kit_image(unit, i):
    from posepile.store.images import decode_image

    return decode_image(kit.jpeg(i + 10 * unit))


def test_an_example_of_the_old_archive_is_not_that_of_the_new_one(root):
    old = datasets3d.get_dataset("toy").examples[TRAIN]
    pack(root, order=(2, 1, 0))
    new = datasets3d.get_dataset("toy").examples[TRAIN]
    assert old[0] != new[0] and old[0] == old[0]
    both = new + old
    assert len(both) == 60 and both[0] == new[0] and both[30] == old[0]


def test_references_without_identity_load_with_one_warning(root):
    made = references(root)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for data, use in made.values():
            use(loads_without_identity(data))
    messages = [w for w in caught if w.category is UserWarning]
    assert len(messages) == 1 and "toy.barecat" in str(messages[0].message)
    assert "cannot be checked" in str(messages[0].message)


def loads_without_identity(data):
    """Reads a pickle as if its references had no identity."""
    original = row_sources.TableSource.__init__

    def init(self, path, kind, n_rows=None, identity=None):
        original(self, path, kind, n_rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sources, "_sources", {})
        patch.setattr(row_sources.TableSource, "__init__", init)
        return pickle.loads(data)


def test_saving_again_gives_an_older_reference_its_identity(root):
    data = references(root)["chosen"][0]
    chosen = loads_without_identity(data)
    with pytest.warns(UserWarning, match="Save the pickle again"):
        chosen[0]
    saved = pickle.dumps(chosen)
    pack(root, order=(2, 1, 0))
    with pytest.raises(WorkError, match="was packed again"):
        pickle.loads(saved)[0]


def test_a_reference_with_identity_refuses_an_archive_without(root, monkeypatch):
    data = references(root)["example"][0]
    pack(root, order=(2, 1, 0))
    monkeypatch.setattr(reading.Archive, "identity", None)
    with pytest.raises(WorkError, match="its identity is unknown"):
        pickle.loads(data).load()


def test_unpickling_an_example_never_fails(root):
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    examples[3].load()
    data = pickle.dumps(examples[3])
    (root / "toy.barecat").write_bytes(b"no database at all" * 100)
    broken = pickle.loads(data)
    with pytest.raises(WorkError, match="not the index"):
        broken.load()


def use_in_worker(example):
    try:
        return example.load().image_path
    except WorkError as e:
        return str(e)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_survives_a_stale_example(root, method):
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    stale, keep = list(examples[:2]), names(examples)
    pack(root, order=(2, 1, 0))
    fresh = datasets3d.get_dataset("toy").examples[TRAIN][:2]
    with multiprocessing.get_context(method).Pool(1) as pool:
        results = pool.map(use_in_worker, [*stale, *fresh], chunksize=1)
    assert all("was packed again" in text for text in results[:2])
    assert results[2:] == [keep[20], keep[21]]


def test_a_pickled_example_stays_small(root):
    example = datasets3d.get_dataset("toy").examples[TRAIN][0]
    assert len(pickle.dumps(example)) < 120

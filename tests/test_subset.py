"""Subsets stand alone: rows and images are those of the big dataset, which may be gone."""

import json
import pickle
import shutil

import archive_kit as kit
import numpy as np
import pytest

from posepile import datasets2d, datasets3d
from posepile.cli import main
from posepile.datasets3d import TRAIN
from posepile.errors import UsageError, WorkError
from posepile.export.upstream import export_upstream
from posepile.merging import row_copies, subset
from posepile.merging.filters import Filters
from posepile.merging.merge import merge_datasets
from posepile.store import packing, parts, verifying
from posepile.store.opening import get_dataset
from posepile.store.origin import Origin


def make(root, name, kind="3d", people=2):
    made = []
    for unit, split in enumerate(("train", "train", "val")):
        with parts.PartWriter(root / f"{name}_parts" / f"{unit}.part") as writer:
            for i in range(6):
                for person in range(people):
                    record = kit.record(name, split, unit, i, person=person, kind=kind)
                    writer.add(record, kit.jpeg(i + 10 * unit))
        made.append(writer.path)
    spec = kit.spec(name, kind)
    facts = {"licence": f"licence of {name}", "sequence_names": r"(?P<subject>s\d)"}
    spec = row_copies.DatasetSpec(**{**vars(spec), **facts})
    packing.pack(made, root / f"{name}.barecat", spec, {})
    shutil.rmtree(root / f"{name}_parts")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for name, kind in (("toy", "3d"), ("flat", "2d")):
        make(tmp_path / "data", name, kind)
    return tmp_path / "data"


def both():
    toy, flat = datasets3d.get_dataset("toy"), datasets2d.get_dataset("flat")
    return merge_datasets({"toy": toy, "flat": flat}, weights={"toy": 2, "flat": 1})


def facts_of(ex):
    world = ex.get_world_coords() if ex.KIND == "3d" else None
    places = ex.coords if ex.KIND == "2d" else ex.coords2d
    values = [world, places, ex.bbox, getattr(getattr(ex, "camera", None), "t", None)]
    texts = [ex.image_path, ex.frame, ex.person, ex.sequence, ex.mask, ex.fingerprint, ex.imshape]
    origin = [getattr(ex, name) for name in Origin._fields]
    return [None if v is None else np.asarray(v).tobytes() for v in values], texts, origin


def contents(ds):
    return {
        split: [(facts_of(ex), ex._source.image_bytes(ex._row)) for ex in examples]
        for split, examples in ds.examples.items()
    }


@pytest.mark.parametrize("name", ["toy", "flat", "both"])
def test_a_subset_has_the_same_rows_and_images(root, name):
    ds = both() if name == "both" else get_dataset(name, None)
    for examples in ds.examples.values():
        examples.shuffle(4)
    chosen, _ = subset.choose(ds, every=3)
    expected = contents(chosen)
    made = subset.write_subset(chosen, root / "small.barecat", {"of": name})
    data = pickle.dumps(made.dataset)
    for path in (*root.glob("toy.*"), *root.glob("flat.*")):
        path.unlink()
    small = pickle.loads(data)
    assert contents(small) == expected
    assert small.parts == chosen.parts
    assert not made.left_out
    for path in made.archives.values():
        assert not list(verifying.verify(path))
    assert sorted(p.name for p in root.iterdir() if p.is_dir()) == ["small_work"]
    assert [p.name for p in (root / "small_work").iterdir()] == [".lock-pack"]


def test_the_archive_of_a_subset_is_the_datasets_own(root):
    ds = datasets3d.get_dataset("toy")
    chosen, _ = subset.choose(ds, splits=["train"], n=5)
    assert subset.counts_of(chosen) == {"train": 5, "val": 0, "test": 0}
    made = subset.write_subset(chosen, root / "small.barecat", {"of": "toy"})
    opened = datasets3d.get_dataset(str(root / "small.barecat"))
    assert opened.metadata["name"] == "toy"
    assert opened.metadata["licence"] == "licence of toy"
    assert list(made.archives.items()) == [("toy", root / "small.barecat")]
    assert [ex.image_path for ex in opened.examples[TRAIN]] == [
        ex.image_path for ex in chosen.examples[TRAIN]
    ]
    manifest = json.loads((root / "small.barecat.manifest.json").read_text())
    assert manifest["subset"] == {
        "of": "toy",
        "archive": "toy.barecat",
        "identity": ds.metadata["identity"],
        "examples": 5,
        "changed_in_memory": 0,
    }


def test_parts_never_divide_the_people_of_an_image(root, monkeypatch):
    monkeypatch.setattr(row_copies, "_PART", 3)
    ds = datasets3d.get_dataset("toy")
    made = subset.write_subset(ds, root / "small.barecat", {})
    assert made.n_images == 18
    assert contents(made.dataset) == contents(ds)


def test_what_was_changed_in_memory_is_written_as_it_is_now(root):
    ds = both()
    examples = ds.examples[TRAIN]
    for i in (2, 30):  # of the one and of the other
        ex = examples[i].load(load_image=False)
        ex.bbox = np.float32([7, 7, 7, 7])
        examples[i] = ex
    wrong = examples[3].load(load_image=False)  # beside it as it was
    examples.append(wrong)
    examples.append(datasets3d.Pose3DExample("made.jpg", None, [0, 0, 1, 1], None))
    expected = [facts_of(ex) for ex in examples[:-2]]
    made = subset.write_subset(ds, root / "small.barecat", {})
    assert [facts_of(ex) for ex in made.dataset.examples[TRAIN]] == expected
    assert made.dataset.examples[TRAIN][30].bbox.tolist() == [7, 7, 7, 7]
    assert made.left_out == {subset.THERE_AS_IT_WAS: 1, subset.MADE_BY_HAND: 1}


def test_an_image_that_was_changed_in_memory_is_written(root):
    ds = datasets3d.get_dataset("toy")
    examples = ds.examples[TRAIN] = list(ds.examples[TRAIN])
    for i in (2, 3):  # both people of a picture
        examples[i] = examples[i].load()
        examples[i].image[:] = 200
    examples[4] = examples[4].load()
    small = subset.write_subset(ds, root / "small.barecat", {}).dataset.examples[TRAIN]
    for i in (2, 3):
        assert small[i].image_path == examples[i].image_path
        assert np.abs(small[i].load().image.astype(int) - 200).max() < 5
    for i in (1, 4, 5):
        assert small[i]._source.image_bytes(small[i]._row) == kit.jpeg(i // 2)
    examples[3] = datasets3d.get_dataset("toy").examples[TRAIN][3].load()
    with pytest.raises(WorkError, match="of one of its people was changed"):
        subset.write_subset(ds, root / "small.barecat", {})


def test_an_archive_of_entries_is_to_be_imported_first(root):
    export_upstream(root / "toy.barecat", root / "up.barecat")
    ds = datasets3d.get_dataset(str(root / "up.barecat"))
    with pytest.raises(UsageError, match="posepile import --from upstream"):
        subset.write_subset(ds, root / "small.barecat", {})


def test_filters_choose_and_are_counted(root):
    ds = both()
    chosen, reasons = subset.choose(ds, filters=Filters(only={"subject": "s1"}))
    assert {ex.subject for ex in chosen.iter_examples()} == {"s1"}
    assert reasons == {"subject not wanted": 2 * 24}
    assert chosen.parts["toy"]["counts"] == {"train": 12, "val": 0, "test": 0}
    assert len(ds) == 72  # as it was
    every, _ = subset.choose(ds, n=2)
    assert every.parts["flat"]["counts"] == {"train": 2, "val": 2, "test": 0}


def test_other_archives_stay_as_they_are(root):
    ds = datasets3d.get_dataset("toy")
    with pytest.raises(UsageError, match="examples are taken from there"):
        subset.write_subset(ds, root / "toy.barecat", {})
    with pytest.raises(UsageError, match="there already and no subset"):
        subset.write_subset(ds, root / "flat.barecat", {})
    none, _ = subset.choose(ds, splits=["test"])
    with pytest.raises(UsageError, match="no example to write"):
        subset.write_subset(none, root / "small.barecat", {})
    assert not (root / "small.barecat").exists()
    for _ in range(2):  # a subset is replaced
        subset.write_subset(subset.choose(ds, n=2)[0], root / "small.barecat", {})


def run(*words):
    with pytest.raises(SystemExit) as e:
        main(["subset", *map(str, words)])
    return e.value.code


def test_the_command(root, tmp_path, capsys):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mix.pkl").write_bytes(pickle.dumps(both(), protocol=4))
    assert run("mix", "--out", "small", "--n", 3, "--subjects", "s0", "s2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"train": 6, "val": 6, "test": 0}
    assert list(found["archives"]) == ["toy", "flat"]
    small = get_dataset("small", None)
    assert {(ex.dataset, ex.subject) for ex in small.examples[TRAIN]} == {
        ("toy", "s0"),
        ("flat", "s0"),
    }
    assert small.parts["toy"]["weight"] == 2
    place = str(root / "toy.barecat")
    assert run(place, "--out", "tiny", "--every", 5, "--without", "sequence=s1") == 0
    out = capsys.readouterr().out
    assert "3 train, 3 val" in out
    assert "not chosen: 12 sequence excluded" in out
    assert run(place, "--out", "few", "--n", 3) == 0
    assert "; --n: at most 3 of each dataset and split" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "a/b"], "without /"),
        (["--out", "h36m"], "that of a dataset with a recipe"),
        (["--out", "x", "--only", "subject"], "expected COLUMN=GLOB"),
        (["--out", "x", "--only", "colour=red"], "'colour': expected one of"),
        (["--out", "x", "--n", "0"], "expected a number from 1"),
        (["--out", "x", "--splits", "test"], "no example to write"),
    ],
)
def test_wrong_requests(root, capsys, words, says):
    assert run(root / "toy.barecat", *words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_copied_mix_stands_alone(root, tmp_path, capsys):
    mix = tmp_path / "mine.yaml"
    mix.write_text(
        "datasets: {toy: {splits: {train: [train, val]}, joints: ['?hip']}, flat: {every: 2}}\n"
    )
    assert _code("merge", mix, "--out", "index") == 0
    assert _code("merge", mix, "--copy") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2:] == [str(root / "mine_toy.barecat"), str(root / "mine_flat.barecat")]
    expected, counts = contents(get_dataset("index", None)), get_dataset("index", None).parts
    for name in ("toy", "flat"):
        (root / f"{name}.barecat").unlink()
    copied = get_dataset("mine", None)
    assert contents(copied) == expected
    assert copied.parts == counts
    manifest = json.loads((tmp_path / "cache" / "mine.merge.json").read_text())
    assert manifest["datasets"]["toy"]["copy_of"]["archive"] == "toy.barecat"
    (root / "mine_flat.barecat").unlink()
    with pytest.raises(WorkError, match="mix mine: flat: "):
        get_dataset("mine", None)


def _code(*words):
    with pytest.raises(SystemExit) as e:
        main([*map(str, words)])
    return e.value.code

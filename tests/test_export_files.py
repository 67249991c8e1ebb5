"""Exports as files: complete or not there, the same each time, nothing of others replaced."""

import json
import os
import pickle
import tarfile
from importlib.util import find_spec

import archive_kit as kit
import export_kit
import numpy as np
import pytest

from posepile.cli.exporting import FORMATS
from posepile.errors import UsageError, WorkError
from posepile.export import rows
from posepile.export.coco import export_coco
from posepile.export.folder import export_folder
from posepile.export.humandata import export_humandata
from posepile.export.labels import export_labels
from posepile.export.original_pickle import export_pickle
from posepile.export.parquet import export_parquet
from posepile.export.upstream import export_upstream
from posepile.export.webdataset import export_webdataset
from posepile.recipe import TRAIN
from posepile.store import packing, parts
from posepile.store.opening import open_dataset
from posepile.store.reading import open_archive

needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pyarrow")
to_parquet = pytest.param(export_parquet, marks=needs_pyarrow)
FOLDERS = [export_folder, export_coco, export_webdataset, export_humandata, to_parquet]
FILES = [export_labels, export_pickle, export_upstream]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder, merged dataset, records by image path and person."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        patch.delenv("CACHE_DIR", raising=False)
        yield (root, *export_kit.make_mix(root))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


def test_a_folder_holds_exactly_the_image_paths(made, tmp_path):
    _, dataset, records = made
    out = tmp_path / "images"
    export_folder(dataset, out)
    found = {p.relative_to(out).as_posix() for p in out.rglob("*.jpg")}
    assert found == {path for path, _ in records}
    for (path, _), record in records.items():
        assert (out / path).read_bytes() == export_kit.image_of(record)
    before = (out / min(found)).stat().st_mtime_ns
    victim = out / sorted(found)[-1]
    victim.unlink()
    export_folder(dataset, out)  # goes on: only what is missing is written
    assert victim.is_file() and (out / min(found)).stat().st_mtime_ns == before
    victim.write_bytes(b"somebody's")
    with pytest.raises(WorkError, match="another file of 10 bytes lies there"):
        export_folder(dataset, out)
    assert victim.read_bytes() == b"somebody's"


def test_in_data_root_nothing_but_images_is_written(root):
    dataset, records = export_kit.make_2d(root)
    before = set(root.rglob("*"))
    export_folder(dataset, root)
    new = {p.relative_to(root).as_posix() for p in set(root.rglob("*")) - before if p.is_file()}
    assert new == {r.image_path for r in records}
    (root / "posepile_export.json").write_text('{"format": "coco"}')
    with pytest.raises(UsageError, match="DATA_ROOT is in it; name another place"):
        export_coco(dataset, root)


@pytest.mark.parametrize("export", [*FOLDERS, *FILES])
def test_the_same_dataset_gives_the_same_bytes(made, tmp_path, export):
    _, dataset, _ = made
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        export(dataset, tmp_path / name / "x")
    one, two = (
        {
            p.relative_to(tmp_path / n): p.read_bytes()
            for p in (tmp_path / n).rglob("*")
            if p.is_file()
        }
        for n in ("one", "two")
    )
    assert one == two and one


@pytest.mark.parametrize("export", [*FOLDERS[1:], export_pickle, export_upstream])
def test_an_export_that_fails_leaves_the_earlier_one(made, tmp_path, export, monkeypatch):
    _, dataset, _ = made
    export(dataset, tmp_path / "x")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    n = iter(range(10))
    make = rows.make_row

    def fails(*args):
        if next(n, None) is None:
            raise WorkError("damaged")
        return make(*args)

    monkeypatch.setattr(rows, "make_row", fails)
    with pytest.raises(WorkError, match="damaged"):
        export(dataset, tmp_path / "x")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("export", FOLDERS[1:])
def test_a_folder_that_is_no_export_is_never_replaced(made, tmp_path, export):
    _, dataset, _ = made
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match="so no export; name another place"):
        export(dataset, tmp_path / "x")
    assert (tmp_path / "x" / "thesis.tex").read_text() == "years"
    (tmp_path / "x" / "posepile_export.json").write_text('{"format": "folder"}')
    with pytest.raises(UsageError, match="is an export of the format 'folder', expected"):
        export(dataset, tmp_path / "x")
    assert (tmp_path / "x" / "thesis.tex").read_text() == "years"
    with pytest.raises(UsageError, match="is a file, expected a folder"):
        export(dataset, tmp_path / "x" / "thesis.tex")


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("export", FILES)
@pytest.mark.parametrize("there", ["packed", "cached", "images", "text", "2024"])
def test_a_file_that_is_no_such_export_is_never_replaced(made, tmp_path, export, there):
    _, dataset, _ = made
    out = tmp_path / "x.barecat"
    if there == "packed":
        kit.make_archive(tmp_path, "x")
    elif there == "cached":
        out.write_bytes(pickle.dumps(dataset, protocol=3))
    elif there == "images":
        export_upstream(dataset, tmp_path / "up.barecat")
        for path in tmp_path.glob("up_images.barecat*"):
            path.rename(path.with_name(path.name.replace("up_images", "x")))
        (tmp_path / "x.barecat-sqlite-index").unlink()
    elif there == "2024":
        export_upstream(dataset, out)
        out.unlink()
        if export is not export_upstream:
            return
    else:
        out.write_text("years")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="there already and no export"):
        export(dataset, out)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("export", FILES)
def test_what_a_dataset_is_read_from_is_never_replaced(root, export):
    dataset, _ = export_kit.make_3d(root)
    export_upstream(dataset, root / "up.barecat")
    entries = open_dataset("up.barecat", image_archive_path="up_images.barecat")
    loaded = open_dataset("toy.barecat")
    loaded.examples = {s: [ex.load() for ex in e] for s, e in loaded.examples.items()}
    (root / "link.barecat").symlink_to(root / "toy.barecat")
    before = contents(root)
    for read, place in (
        (dataset, "toy"), (dataset, "link"), (loaded, "toy"), (entries, "up"),
        (entries, "up_images"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="examples are taken from there"):
            export(read, root / f"{place}.barecat")
    if export is export_upstream:
        with pytest.raises(UsageError, match="examples are taken from there"):
            export(entries, root / "up.barecat", images=False)
    assert contents(root) == before


def test_labels_of_others_in_a_folder_are_never_replaced(made, tmp_path):
    _, dataset, _ = made
    for name, says in (("labels.npz", "no export of labels"), ("posepile_export.json", "no desc")):
        out = tmp_path / name.split(".")[0]
        out.mkdir()
        (out / name).write_text('{"format": "coco"}')
        with pytest.raises(UsageError, match=f"{name}: there already and {says}"):
            export_folder(dataset, out)
        assert [p.name for p in out.iterdir()] == [name]


def test_examples_in_memory_are_exported_as_they_are(root, tmp_path):
    dataset, records = export_kit.make_3d(root)
    examples = dataset.examples[TRAIN]
    loaded, changed = examples[1].load(), examples[2].load()
    changed.image[:] = 200
    changed.world_coords += 1000
    examples[1], examples[2] = loaded, changed
    done = export_webdataset(dataset, root / "w")
    assert done.notes == {rows.ENCODED: 1}
    with tarfile.open(root / "w" / "w-train-000000.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar}
    assert files["w_train_000000001.jpg"] == kit.jpeg(1)  # loaded only: as it is stored
    assert files["w_train_000000002.jpg"] != kit.jpeg(2)
    got = json.loads(files["w_train_000000002.json"])
    there = np.isfinite(records[2].world_coords).all(axis=1)
    expected = records[2].world_coords[there] + np.float32(1000)
    assert np.array_equal(np.float32(got["joints3d"]["mm"]), expected)
    export_labels(dataset, root / "l.npz")
    with np.load(root / "l.npz") as file:
        ptr = file["joints3d_ptr"]
        assert np.array_equal(file["joints3d"][ptr[2] : ptr[3]], expected)
        assert file["camera_R"].shape == (12, 3, 3) and file["has_camera"].all()


@pytest.mark.parametrize("with_image", [True, False])
@pytest.mark.parametrize("changed", [0, 1])
def test_a_changed_person_shares_the_picture(root, changed, with_image):
    dataset, _ = export_kit.make_2d(root)
    example = dataset.examples[TRAIN][changed].load(load_image=with_image)
    example.bbox = np.float32([7, 7, 7, 7])
    dataset.examples[TRAIN][changed] = example
    done = [e(dataset, root / e.__name__) for e in (export_upstream, export_coco, export_folder)]
    assert [d.images for d in done] == [2, 2, 2]
    images = open_archive(root / "export_upstream_images")
    assert sorted(images) == sorted({ex.image_path for ex in dataset.iter_examples()})
    content = json.loads(next((root / "export_coco" / "annotations").iterdir()).read_text())
    assert len(content["images"]) == 2
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 2, 2]
    assert content["annotations"][changed]["bbox"] == [7, 7, 7, 7]


def test_large_skeletons_are_written_without_missing_joints(root, tmp_path):
    from posepile.joint_info import JointInfo
    from posepile.recipe import DatasetSpec

    names = [f"v{i}" for i in range(300)]
    spec = DatasetSpec("mesh", JointInfo(names), "mesh_downscaled", world_up=(0, 0, 1))
    coords = np.full((300, 3), np.nan, np.float32)
    coords[[7, 299]] = [[1, 2, 3.5], [4, 5, 6]]
    with parts.PartWriter(root / "mesh_work" / "parts" / "000.part") as writer:
        writer.add(kit.record("mesh", "train", 0, 0, world_coords=coords, mask=None), kit.jpeg())
    packing.pack([writer.path], root / "mesh.barecat", spec, {"sources": []})
    dataset = open_dataset("mesh.barecat")
    export_labels(dataset, root / "l.npz")
    with np.load(root / "l.npz") as file:
        assert file["joints3d_ids"].tolist() == [7, 299]
        assert np.array_equal(file["joints3d"], coords[[7, 299]])
    pq = pytest.importorskip("pyarrow.parquet")
    export_parquet(dataset, root / "p")
    row = pq.read_table(root / "p" / "data" / "train-00000-of-00001.parquet").to_pylist()[0]
    assert row["joints3d_ids"] == [7, 299] and row["joints3d"] == [[1, 2, 3.5], [4, 5, 6]]
    export_pickle(dataset, root / "o.pkl")
    with open(root / "o.pkl", "rb") as f:
        example = pickle.load(f).examples[TRAIN][0]
    assert np.array_equal(example.world_coords.to_array(), coords, equal_nan=True)


def test_an_example_twice_in_a_list_is_an_entry_once(root):
    dataset, _ = export_kit.make_3d(root)
    dataset.examples[TRAIN] = dataset.examples[TRAIN] * 2
    done = export_upstream(dataset, root / "x.barecat")
    assert done.examples == 12
    assert done.left_out == {"a second time in the list of its split": 6}


def test_images_of_an_upstream_export_are_links(made, tmp_path):
    root, dataset, records = made
    done = export_upstream(dataset, root / "linked.barecat")
    images = root / "linked_images.barecat"
    assert done.images == 17 and images in done.files
    archive = open_archive(images)
    assert sorted(archive) == sorted({path for path, _ in records})
    for (path, _), record in records.items():
        assert archive[path] == export_kit.image_of(record)
    shards = sorted(root.glob("linked_images.barecat-shard-*"))
    assert len(shards) == 4  # two of toy, one each of the others; no byte was copied
    assert all(os.stat(shard).st_nlink > 1 for shard in shards)
    for index in (root / "linked.barecat", images):
        assert os.path.samefile(index, f"{index}-sqlite-index")


# ---------------------------------------------------------------- the command


def command(*args):
    from posepile.cli import make_parser

    parsed = make_parser().parse_args(["export", *map(str, args)])
    return parsed.function(parsed)


@pytest.mark.parametrize(
    "to", [pytest.param(to, marks=needs_pyarrow if to == "parquet" else ()) for to in FORMATS]
)
def test_the_command_exports_a_merged_set(root, capsys, to):
    dataset, _ = export_kit.make_mix(root)
    (root / "cache").mkdir()
    (root / "cache" / "mix.pkl").write_bytes(pickle.dumps(dataset))
    assert command("mix", "--to", to) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{root}/mix{FORMATS[to].suffix}: 19 examples")
    assert (root / f"mix{FORMATS[to].suffix}").exists()


def test_the_command_says_what_is_wrong(root, capsys):
    dataset, _ = export_kit.make_2d(root)
    assert command(root / "flat.barecat", "--to", "coco", "--no-images", "--out", root / "c") == 0
    assert not list((root / "c").rglob("*.jpg"))
    assert command("flat", "--to", "labels") == 0
    with pytest.raises(UsageError, match="--no-images with --to labels: is of upstream, coco"):
        command("flat", "--to", "labels", "--no-images")
    with pytest.raises(UsageError, match="--cameras with --to coco: is of pickle only"):
        command("flat", "--to", "coco", "--cameras", "cameralib")
    (root / "mine").mkdir()
    (root / "mine" / "x").write_text("x")
    with pytest.raises(UsageError, match="so no export"):
        command("flat", "--to", "coco", "--out", root / "mine")
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        command("flat", "--to", "labels", "--out", root / "mine")
    for split in dataset.examples:
        dataset.examples[split] = []
    (root / "cache").mkdir()
    (root / "cache" / "none.pkl").write_bytes(pickle.dumps(dataset))
    with pytest.raises(WorkError, match="none: has no example; nothing was exported"):
        command("none", "--to", "labels")

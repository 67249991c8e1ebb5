"""Parts, packing, reading, verifying."""

import argparse
import json
import multiprocessing
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import archive_kit as kit
import barecat
import numpy as np
import pytest
import simplepyutils

from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN, VALID
from posepile.errors import UsageError, WorkError
from posepile.export.upstream import export_upstream
from posepile.store import codec, layout, opening, packing, parts, reading, verifying
from posepile.util import get_cached_reader


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


def snapshot(root, name="toy"):
    return {p.name: p.read_bytes() for p in sorted(root.glob(f"{name}.barecat*"))}


def test_what_goes_in_comes_out(root):
    records = kit.make_archive(root)
    ds = datasets3d.get_dataset("toy")
    assert [len(ds.examples[s]) for s in (0, 1, 2)] == [12, 6, 0]
    for ex, record in zip(ds.iter_examples(), records, strict=True):
        assert ex.path == codec.entry_key(record)
        assert ex.image_path == record.image_path
        loaded = ex.load()
        for same in (ex, loaded):
            assert same.image_path == record.image_path
            np.testing.assert_array_equal(same.world_coords, record.world_coords)
            np.testing.assert_array_equal(same.get_world_coords(), record.world_coords)
            np.testing.assert_array_equal(same.bbox, record.bbox)
            assert same.camera == record.camera
            assert same.mask == record.mask
            assert same.activity_name == record.activity
            assert (same.frame, same.imshape) == (record.frame, (16, 24))
            assert same.sequence == record.sequence
            assert same.get_image().shape == (16, 24, 3)
        assert type(loaded) is datasets3d.Pose3DExample and loaded.image.shape == (16, 24, 3)
        assert ex.image.shape == (16, 24, 3) and not ex.image.flags.writeable
        loaded.world_coords -= 1  # consumers write in place
        loaded.camera.t[:] = 0
        np.testing.assert_array_equal(ex.world_coords, record.world_coords)
        assert ex.camera == record.camera
    np.testing.assert_array_equal(ds.examples[TRAIN][0].world_coords, records[0].world_coords)
    assert not hasattr(ex, "no_such_attribute")


def test_bones_are_the_mean_over_complete_bones(root):
    records = kit.make_archive(root)
    ds = datasets3d.get_dataset("toy")
    for bones, split_names in ((ds.train_bones, ["train"]), (ds.trainval_bones, ["train", "val"])):
        for k, (i, j) in enumerate(kit.JOINTS.stick_figure_edges):
            lengths = [
                np.linalg.norm(r.world_coords[i] - r.world_coords[j])
                for r in records
                if r.split in split_names
            ]
            assert bones[k] == pytest.approx(np.nanmean(lengths), rel=1e-5)
    before = ds.trainval_bones
    ds.update_bones()
    np.testing.assert_allclose(ds.trainval_bones, before, rtol=1e-5)


def test_barecat_library_reads_it(root):
    records = kit.make_archive(root)
    with barecat.Barecat(str(root / "toy.barecat")) as reader:
        assert reader[records[3].image_path] == kit.jpeg(3)
        assert sorted(reader.listdir("toy_downscaled")) == ["s0", "s1", "s2"]
        assert reader.verify_integrity()
        info = reader.index.lookup_dir("toy_downscaled")
        assert (info.num_files_tree, info.num_subdirs) == (18, 3)
    with barecat.Barecat(str(root / "toy.barecat"), readonly=False) as writer:
        writer["added.txt"] = b"x"  # the schema's triggers are in place
    assert reading.open_archive("toy.barecat")["added.txt"] == b"x"


def test_images_are_linked_not_copied(root):
    paths, _ = kit.make_parts(root)
    summary = packing.pack(paths, root / "toy.barecat", kit.spec(), {})
    assert summary["copied_bytes"] == 0
    for i, path in enumerate(paths):
        assert os.path.samefile(parts.shard_of(path), f"{root}/toy.barecat-shard-{i:05d}")


def test_same_parts_give_same_bytes(root):
    paths, _ = kit.make_parts(root)
    packing.pack(paths, root / "toy.barecat", kit.spec(), {"b": 1, "a": 2})
    opening.write_pickle(root / "toy.barecat", root / "toy.pkl")
    first, first_pickle = snapshot(root), (root / "toy.pkl").read_bytes()
    again, _ = kit.make_parts(root)
    packing.pack(again, root / "toy.barecat", kit.spec(), {"a": 2, "b": 1})
    opening.write_pickle(root / "toy.barecat", root / "toy.pkl")
    assert snapshot(root) == first
    assert (root / "toy.pkl").read_bytes() == first_pickle
    assert len(first_pickle) < 2000


def test_fewer_shards_than_parts(root):
    paths, records = kit.make_parts(root, units=["train"] * 7)
    summary = packing.pack(paths, root / "toy.barecat", kit.spec(), {}, max_shards=3)
    assert summary["n_shards"] == 4
    assert verifying.verify("toy.barecat") == []
    ds = datasets3d.get_dataset("toy")
    for ex, record in zip(ds.examples[TRAIN], records, strict=True):
        assert ex.image_path == record.image_path
        assert (
            ex._source.image_bytes(ex._row) == reading.open_archive("toy.barecat")[ex.image_path]
        )


def test_repacking_smaller_leaves_nothing_behind(root):
    paths, _ = kit.make_parts(root)
    packing.pack(paths, root / "toy.barecat", kit.spec(), {})
    old = datasets3d.get_dataset("toy")
    assert old.examples[TRAIN][0].frame == 0
    packing.pack(paths[:1], root / "toy.barecat", kit.spec(), {})
    assert sorted(p.name for p in root.glob("toy.barecat*")) == [
        "toy.barecat",
        "toy.barecat-shard-00000",
        "toy.barecat-shard-00001",
        "toy.barecat.manifest.json",
        "toy.barecat.sha256",
    ]
    assert not list(root.glob(".*.tmp"))
    assert len(datasets3d.get_dataset("toy").examples[TRAIN]) == 6
    assert verifying.verify("toy.barecat") == []
    with pytest.raises(WorkError, match="was packed again"):
        old.examples[TRAIN][0].load()


@pytest.mark.parametrize("failing", ["table", "index", "fsync", "shard"])
def test_a_pack_that_fails_changes_nothing(root, monkeypatch, failing):
    paths, _ = kit.make_parts(root)
    packing.pack(paths, root / "toy.barecat", kit.spec(), {})
    before = snapshot(root)
    other, _ = kit.make_parts(root, "other", n=4)

    def full(*args):
        raise OSError(28, "No space left on device")

    module, name = {
        "table": (packing.TableWriter, "append"),
        "index": (packing.IndexWriter, "close"),
        "fsync": (layout, "sync"),
        "shard": (packing, "link_or_copy"),
    }[failing]
    monkeypatch.setattr(module, name, full)
    with pytest.raises(OSError, match="No space"):
        packing.pack(other, root / "toy.barecat", kit.spec(), {})
    assert snapshot(root) == before


def test_several_people_share_an_image(root):
    with parts.PartWriter(root / "p.part") as writer:
        writer.add(kit.record("toy", "train", 0, 0), kit.jpeg())
        writer.add(kit.record("toy", "train", 0, 0, person=1), None)
        with pytest.raises(WorkError, match="added twice"):
            writer.add(kit.record("toy", "train", 0, 0, person=1), None)
        with pytest.raises(WorkError, match="two different images"):
            writer.add(kit.record("toy", "train", 0, 0, person=2), kit.jpeg(1))
        with pytest.raises(WorkError, match="no image"):
            writer.add(kit.record("toy", "train", 0, 1), None)
    summary = packing.pack([root / "p.part"], root / "toy.barecat", kit.spec(), {})
    assert (summary["n_examples"], summary["n_images"]) == (2, 1)
    assert verifying.verify("toy.barecat") == []
    first, second = datasets3d.get_dataset("toy").examples[TRAIN]
    assert first.image_path == second.image_path
    assert first.path.endswith("_00.msgpack") and second.path.endswith("_01.msgpack")


@pytest.mark.parametrize("path", ["a.jpg", "/a/b.jpg", "a//b.jpg", "a/../b.jpg", "a\\b/c.jpg"])
def test_image_paths_that_readers_would_not_find(root, path):
    with parts.PartWriter(root / "p.part") as writer, pytest.raises(WorkError, match="image path"):
        writer.add(kit.record("toy", "train", 0, 0, image_path=path), kit.jpeg())


def test_duplicate_image_paths_are_named(root):
    paths, _ = kit.make_parts(root)
    with parts.PartWriter(root / "other.part") as writer:
        writer.add(kit.record("toy", "val", 1, 3), kit.jpeg())
    with pytest.raises(
        WorkError, match=r"toy_downscaled/s1/0003.jpg.*2 times.*001.part and .*other"
    ):
        packing.pack([*paths, root / "other.part"], root / "toy.barecat", kit.spec(), {})
    assert not (root / "toy.barecat").exists()


def test_parts_that_do_not_fit(root):
    paths, _ = kit.make_parts(root, units=["train", "val", "train"])
    with pytest.raises(WorkError, match="do not lie together"):
        packing.pack(paths, root / "toy.barecat", kit.spec(), {})
    paths[0].unlink()
    with open(parts.shard_of(paths[1]), "ab") as f:
        f.write(b"x")
    with pytest.raises(parts.DamagedParts, match=r"not finished.* \(and 1 more") as caught:
        packing.pack(paths, root / "toy.barecat", kit.spec(), {})
    assert caught.value.paths == paths[:2]
    with pytest.raises(parts.DamagedParts, match="3810 bytes, expected 3809"):
        packing.pack(paths[1:2], root / "toy.barecat", kit.spec(), {})


def test_an_empty_archive_opens(root):
    packing.pack([], root / "toy.barecat", kit.spec(), {})
    ds = datasets3d.get_dataset("toy")
    assert [len(ds.examples[s]) for s in (0, 1, 2)] == [0, 0, 0]
    assert ds.train_bones is None
    assert verifying.verify("toy.barecat") == []


def test_columns_that_only_some_parts_have(root):
    with parts.PartWriter(root / "a.part") as writer:
        writer.add(kit.record("toy", "train", 0, 0, camera=None, mask=None), kit.jpeg())
    with parts.PartWriter(root / "b.part") as writer:
        far = np.arange(15.0).reshape(5, 3) * 1e7 + 0.123
        writer.add(kit.record("toy", "train", 1, 0, world_coords=far), kit.jpeg())
    packing.pack([root / "a.part", root / "b.part"], root / "toy.barecat", kit.spec(), {})
    a, b = datasets3d.get_dataset("toy").examples[TRAIN]
    assert a.camera is None and a.mask is None
    assert b.camera is not None and b.mask["counts"] == b"0a1"
    np.testing.assert_array_equal(b.world_coords, far)
    assert b.world_coords.dtype == np.float64


def test_verify_finds_a_flipped_byte_and_a_wrong_address(root):
    paths, records = kit.make_parts(root)
    packing.pack(paths, root / "toy.barecat", kit.spec(), {})
    shard = root / "toy.barecat-shard-00001"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    (problem,) = verifying.verify("toy.barecat")
    assert f"{shard}: its content does not fit its SHA-256" in problem
    assert "1 entry cannot be read, e.g. toy_downscaled/s1/" in problem
    assert "CRC32C mismatch" in problem
    connection = sqlite3.connect(root / "toy.barecat")
    connection.execute("PRAGMA recursive_triggers=OFF")
    connection.execute("DELETE FROM files WHERE path = ?", (records[0].image_path,))
    connection.commit()
    connection.close()
    assert any("not in the index" in p for p in verifying.verify("toy.barecat"))


def test_truncated_shard_is_named(root):
    kit.make_archive(root)
    os.truncate(root / "toy.barecat-shard-00000", 100)
    with pytest.raises(WorkError, match=r"shard-00000.*truncated"):
        datasets3d.get_dataset("toy").examples[TRAIN][5].load()


def test_manifest_and_metadata(root):
    paths, _ = kit.make_parts(root)
    packing.pack(paths, root / "toy.barecat", kit.spec(), {"sources": ["x"]})
    assert reading.read_manifest("toy.barecat") == {"sources": ["x"]}
    assert json.loads(layout.manifest_path(root / "toy.barecat").read_text()) == {"sources": ["x"]}
    metadata = reading.open_archive("toy.barecat").metadata
    assert metadata["counts"] == {"train": 12, "val": 6, "test": 0}
    assert metadata["format_version"] == 1 and metadata["units"] == "mm"
    assert metadata["joint_names"] == kit.JOINTS.names


def test_reader_is_cached_and_renewed(root):
    kit.make_archive(root)
    reader = reading.open_archive("toy.barecat")
    assert reading.open_archive("toy.barecat") is reader
    assert get_cached_reader("toy.barecat")["toy_downscaled/s0/0000.jpg"].shape == (16, 24, 3)
    assert "joint_names" in get_cached_reader("toy.barecat")["metadata.msgpack"]
    kit.make_archive(root, n=4)
    assert reading.open_archive("toy.barecat") is not reader
    with pytest.raises(UsageError, match="not found"):
        reading.open_archive("other.barecat")
    (root / "bad.barecat").write_bytes(b"no database at all" * 100)
    with pytest.raises(WorkError, match="not the index"):
        reading.open_archive("bad.barecat")


def _sum_in_worker(examples):
    return [float(np.nansum(ex.load().world_coords)) for ex in examples]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_examples_travel_to_workers(root, method):
    kit.make_archive(root)
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    examples[0].load()  # the parent has files and a connection open
    reading.open_archive("toy.barecat")["metadata.msgpack"]
    with multiprocessing.get_context(method).Pool(1) as pool:
        sums = pool.map(_sum_in_worker, [list(examples[:6]), list(examples[6:])])
    assert sums == [_sum_in_worker(examples[:6]), _sum_in_worker(examples[6:])]


def test_lazy_example_is_small_when_pickled_and_a_loaded_one_whole(root):
    kit.make_archive(root)
    ex = datasets3d.get_dataset("toy").examples[TRAIN][2]
    assert len(pickle.dumps(ex)) < 200
    assert pickle.loads(pickle.dumps(ex)) == ex
    own = ex.load()
    own.mask = {"size": [1, 1], "counts": b"x"}
    own.note = "mine"
    own.image_path = "elsewhere/x.jpg"
    back = pickle.loads(pickle.dumps(own))
    assert back.mask == own.mask and back.note == "mine" and back.image_path == "elsewhere/x.jpg"
    np.testing.assert_array_equal(back.image, own.image)
    np.testing.assert_array_equal(back.world_coords, ex.world_coords)
    assert back.camera == ex.camera


def test_2d(root):
    records = kit.make_archive(root, kind="2d")
    ds = datasets2d.get_dataset("toy")
    ex = ds.examples[VALID][1]
    assert ex.image_path == records[13].image_path
    np.testing.assert_array_equal(ex.coords, records[13].coords2d)
    assert ex.camera is None and ex.densepose is None
    assert ex.load().image is not None
    with pytest.raises(UsageError, match="2D dataset"):
        datasets3d.get_dataset("toy.barecat")


def test_images_are_found_by_the_flag_of_training_code(root, monkeypatch):
    kit.make_archive(root)
    export_upstream("toy.barecat", "annotations.barecat")
    monkeypatch.setattr(simplepyutils, "FLAGS", argparse.Namespace())
    without = datasets3d.get_dataset("annotations.barecat").examples[TRAIN][0]
    assert without.bc_image_path is None
    simplepyutils.FLAGS.image_barecat_path = "toy.barecat"
    found = datasets3d.get_dataset("annotations.barecat").examples[TRAIN][0].load()
    assert found.image.shape[2] == 3
    # An archive that has its images itself needs none.
    assert len(datasets3d.get_dataset("toy.barecat").examples[TRAIN])


def test_export_for_readers_of_entries(root):
    records = kit.make_archive(root)
    assert export_upstream("toy.barecat", "annotations.barecat").examples == len(records)
    with barecat.Barecat(str(root / "annotations.barecat"), auto_codec=True) as reader:
        metadata = reader["metadata.msgpack"]
        assert metadata["joint_names"] == kit.JOINTS.names
        entry = reader[codec.entry_key(records[0])]  # decoded by the library, not by us
        rows, index = entry["joints3d"]["rows"], entry["joints3d"]["i_rows"]
        np.testing.assert_array_equal(records[0].world_coords[index], rows)
        assert reader.verify_integrity()
    ds = datasets3d.get_dataset("annotations.barecat", image_barecat_path="toy.barecat")
    np.testing.assert_allclose(ds.train_bones, datasets3d.get_dataset("toy").train_bones)
    for ex, record in zip(ds.iter_examples(), records, strict=True):
        assert ex.image_path == record.image_path
        assert len(pickle.dumps(ex)) < 300
        ex = pickle.loads(pickle.dumps(ex))
        own = ex.load()
        np.testing.assert_array_equal(own.world_coords, record.world_coords)
        own.world_coords += 1
        assert own.image.shape == (16, 24, 3)
    assert len(pickle.loads(pickle.dumps(ds)).examples[TRAIN]) == 12


def test_layout_of_2024(root):
    records = kit.make_archive(root)
    export_upstream("toy.barecat", "old.barecat")
    (root / "old.barecat").rename(root / "old.barecat-sqlite-index")
    ds = datasets3d.get_dataset("old.barecat", image_barecat_path="toy.barecat")
    assert ds.examples[TRAIN][4].load().image_path == records[4].image_path


def test_images_beside_the_annotations(root):
    records = kit.make_archive(root)
    export_upstream("toy.barecat", "annotations.barecat")
    path = root / records[0].image_path
    path.parent.mkdir(parents=True)
    path.write_bytes(kit.jpeg(0))
    ds = datasets3d.get_dataset("annotations.barecat")
    assert ds.examples[TRAIN][0].load().image.shape == (16, 24, 3)


def test_pickle_opens_in_a_process_that_knows_nothing(root, tmp_path_factory):
    kit.make_archive(root)
    opening.write_pickle(root / "toy.barecat", root / "cache" / "toy.pkl")
    moved = tmp_path_factory.mktemp("elsewhere") / "data"
    root.rename(moved)
    code = (
        "import pickle, sys; ds = pickle.load(open(sys.argv[1], 'rb')); "
        "print(type(ds).__name__, len(ds.examples[0]), ds.examples[0][3].load().image.shape)"
    )
    repository = Path(reading.__file__).parents[2]
    env = {**os.environ, "DATA_ROOT": str(moved), "PYTHONPATH": str(repository)}
    result = subprocess.run(
        [sys.executable, "-c", code, str(moved / "cache" / "toy.pkl")],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["Pose3DDataset", "12", "(16,", "24,", "3)"]


def test_reference_to_an_archive_that_has_changed(root):
    kit.make_archive(root)
    opening.write_pickle(root / "toy.barecat", root / "cache" / "toy.pkl")
    kit.make_archive(root, n=4)
    with pytest.raises(WorkError, match="was packed again"):
        datasets3d.get_dataset("toy").examples[TRAIN][0].load()

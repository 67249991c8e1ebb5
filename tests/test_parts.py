"""Part files: the container, its header, and what damage to either does."""

import hashlib
import os
import random

import archive_kit as kit
import numpy as np
import pytest

from posepile.errors import CorruptInput, WorkError
from posepile.store import parts


@pytest.fixture
def part(tmp_path):
    with parts.PartWriter(tmp_path / "ab" / "unit.part") as writer:
        for i in range(5):
            writer.add(kit.record("toy", "train", 0, i), kit.jpeg(i))
        writer.close({"key": {"inputs": "x"}, "counts": {"examples": 5}})
    return writer.path


def test_header_and_arrays_come_back(tmp_path):
    path = tmp_path / "new" / "x.part"
    arrays = {
        "boxes": np.arange(12.0).reshape(3, 4),
        "none": np.zeros((0, 4), "<f4"),
        "flag": np.array(3, "u1"),
    }
    parts.write_part(path, {"result": {"key": "ä", "n": 3}}, arrays)
    header, back = parts.read_arrays(path)
    assert header == parts.read_header(path)
    assert header["result"] == {"key": "ä", "n": 3} and header["version"] == parts.PART_VERSION
    assert sorted(back) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
    parts.write_part(path, {}, {})
    assert parts.read_arrays(path)[1] == {}
    assert os.listdir(path.parent) == ["x.part"]


def test_layout(part):
    data = part.read_bytes()
    assert data.startswith(b"posepile part 2 ")
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    header = parts.read_header(part)
    shard = parts.shard_of(part).read_bytes()
    assert header["sha256"]["shard"] == hashlib.sha256(shard).hexdigest()
    assert header["splits"] == {"train": 5, "val": 0, "test": 0}
    start = len(data) - 32 - header["data_bytes"]
    assert start % 64 == 0
    offset, dtype, shape = header["columns"]["frame"]
    frames = np.frombuffer(data, dtype, shape[0], start + offset)
    assert frames.tolist() == [0, 1, 2, 3, 4]
    whole = parts.columns_digest(header["columns"])
    whole.update(data[start:-32])
    assert whole.hexdigest() == header["sha256"]["columns"]


def test_a_long_header_is_read_whole(tmp_path):
    path = tmp_path / "x.part"
    parts.write_part(path, {"result": {"excluded": ["frame"] * 20_000}}, {"a": np.ones(3)})
    assert len(parts.read_header(path)["result"]["excluded"]) == 20_000
    assert parts.read_arrays(path)[1]["a"].tolist() == [1, 1, 1]


def test_the_digest_of_columns_depends_on_their_names(tmp_path):
    digests = set()
    for name in ("a", "b"):
        parts.write_part(tmp_path / "x.part", {}, {name: np.ones(3)})
        digests.add(parts.read_header(tmp_path / "x.part")["sha256"]["columns"])
    assert len(digests) == 2


def test_no_part_no_header(tmp_path):
    assert parts.read_header(tmp_path / "x.part") is None
    assert parts.read_header(tmp_path) is None
    for content in (b"", b"posepile part 2 0000000010 00000000\n", b"posepile part 1 ", b"{}"):
        (tmp_path / "x.part").write_bytes(content)
        assert parts.read_header(tmp_path / "x.part") is None
    with pytest.raises(WorkError, match="not finished"):
        parts.read_arrays(tmp_path / "y.part")
    with pytest.raises(ValueError, match="must end in"):
        parts.PartWriter(tmp_path / "folder")


def test_every_damage_is_seen(part):
    good, header = part.read_bytes(), parts.read_header(part)
    start = len(good) - 32 - header["data_bytes"]
    rng = random.Random(0)
    for cut in (1, 32, 33, len(good) - 40, len(good) - 10):
        part.write_bytes(good[:-cut])
        assert parts.read_header(part) is None
        with pytest.raises(CorruptInput, match="cut short"):
            parts.read_arrays(part)
    for i in range(400):
        at = rng.randrange(start) if i % 2 else rng.randrange(len(good))
        data = bytearray(good)
        data[at] ^= 1 << rng.randrange(8)
        part.write_bytes(data)
        assert parts.read_header(part) in ((None,) if at < start else (header,))
        with pytest.raises(CorruptInput):
            parts.read_arrays(part)
        assert parts.damage_of_part(part)
    part.write_bytes(good)
    assert parts.damage_of_part(part) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "absent"])
def test_a_damaged_shard_is_seen(part, damage):
    shard = parts.shard_of(part)
    data = bytearray(shard.read_bytes())
    shard.unlink()
    if damage == "flip":
        data[-100] ^= 4
        shard.write_bytes(data)
    elif damage == "cut":
        shard.write_bytes(data[:-1])
    assert str(shard) in parts.damage_of_part(part)
    with pytest.raises(CorruptInput, match=r"unit\.shard"):
        list(parts.read_part(part))


def test_examples_come_back(part):
    found = list(parts.read_part(part))
    assert [data for _, data in found] == [kit.jpeg(i) for i in range(5)]
    for i, (record, _) in enumerate(found):
        expected = kit.record("toy", "train", 0, i)
        assert record.image_path == expected.image_path and record.camera == expected.camera
        np.testing.assert_array_equal(record.world_coords, expected.world_coords)


def test_nothing_is_left_of_a_failure(part, monkeypatch):
    before = {p.name: p.read_bytes() for p in part.parent.iterdir()}
    with pytest.raises(WorkError, match="no image"), parts.PartWriter(part) as writer:
        writer.add(kit.record("toy", "train", 0, 9), kit.jpeg(9))
        writer.add(kit.record("toy", "train", 0, 10), None)
    assert {p.name: p.read_bytes() for p in part.parent.iterdir()} == before

    monkeypatch.setattr(parts, "WAIT_BYTES", 0)

    def full(fd):
        raise OSError(28, "No space left on device")

    for failing in (1, 2):  # the shard; the part
        calls = []
        fsync = os.fsync

        def fails_at(fd, calls=calls, failing=failing, fsync=fsync):
            calls.append(fd)
            return full(fd) if len(calls) == failing else fsync(fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails_at)
            with pytest.raises(OSError, match="No space"), parts.PartWriter(part) as writer:
                writer.add(kit.record("toy", "train", 0, 9), kit.jpeg(9))
        assert {p.name: p.read_bytes() for p in part.parent.iterdir()} == before


@pytest.mark.parametrize(("kib", "waited_for"), [(8, 0), (1025, 1)])
def test_small_parts_are_not_waited_for(tmp_path, monkeypatch, kib, waited_for):
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with parts.PartWriter(tmp_path / "unit.part") as writer:
        writer.add(kit.record("toy", "train", 0, 9), bytes(kib << 10))
    assert len(calls) == waited_for
    assert parts.damage_of_part(tmp_path / "unit.part") is None


def test_images_are_linked_where_they_are_the_same(part):
    target = part.with_name("segment.part")
    with parts.PartWriter(target, images_of=part) as writer:
        for record, data in parts.read_part(part):
            record.mask = {"size": [16, 24], "counts": b"0a1"}
            writer.add(record, data)
    assert os.path.samefile(parts.shard_of(part), parts.shard_of(target))
    assert parts.damage_of_part(target) is None
    assert all(r.mask for r, _ in parts.read_part(target))
    with pytest.raises(CorruptInput, match=r"unit\.shard: its images are not"):
        with parts.PartWriter(target, images_of=part) as writer:
            writer.add(kit.record("toy", "train", 0, 9), kit.jpeg(9))
    assert parts.damage_of_part(target) is None
    parts.remove_part(target)
    assert sorted(os.listdir(part.parent)) == ["unit.part", "unit.shard"]

"""Parts, identity and table as docs/FORMAT.md tells, read without the package."""

import hashlib
import io
import json
import re
import sqlite3

import archive_kit as kit
import crc32c
import msgpack
import numpy as np


def read_part(path):
    """Head and arrays of a part, every digest compared."""
    data = path.read_bytes()
    line = re.fullmatch(rb"posepile part 2 ([0-9]{10}) ([0-9a-f]{8})\n", data[:36])
    start = 36 + int(line[1])
    assert start % 64 == 0
    assert crc32c.crc32c(data[36:start]) == int(line[2], 16)
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    head = json.loads(data[36:start])
    section = data[start:-32]
    assert len(section) == head["data_bytes"]
    text = json.dumps(head["columns"], sort_keys=True).encode()
    assert hashlib.sha256(text + section).hexdigest() == head["sha256"]["columns"]
    shard = path.with_suffix(".shard").read_bytes()
    assert hashlib.sha256(shard).hexdigest() == head["sha256"]["shard"]
    arrays = {
        name: np.frombuffer(section, dtype, int(np.prod(shape)), place).reshape(shape)
        for name, (place, dtype, shape) in head["columns"].items()
    }
    return head, arrays


def read_entry(db, archive, key):
    shard, offset, size, crc = db.execute(
        "SELECT shard, offset, size, crc32c FROM files WHERE path = ?", (key,)
    ).fetchone()
    data = archive.with_name(f"{archive.name}-shard-{shard:05d}").read_bytes()
    assert crc32c.crc32c(data[offset : offset + size]) == crc
    return data[offset : offset + size]


FACTS = (
    "joint_names joint_edges name kind image_dir units world_up single_person synthetic "
    "realistic_background body_shape n_valid_betas far_from_origin"
).split()


def test_an_archive_is_what_the_document_says(tmp_path):
    paths, records = kit.make_parts(tmp_path)
    kit.packing.pack(paths, tmp_path / "toy.barecat", kit.spec(), {"sources": []})
    archive = tmp_path / "toy.barecat"
    db = sqlite3.connect(archive)
    metadata = msgpack.unpackb(read_entry(db, archive, "metadata.msgpack"))
    identity = hashlib.sha256()
    rows = []
    for path in paths:
        head, arrays = read_part(path)
        for kind in ("columns", "shard"):
            identity.update(bytes.fromhex(head["sha256"][kind]))
        rows.append(arrays["world_coords"])
    facts = {name: metadata[name] for name in FACTS}
    identity.update(json.dumps(facts, sort_keys=True).encode())
    assert metadata["identity"] == identity.hexdigest()
    table = np.load(io.BytesIO(read_entry(db, archive, "table/world_coords.npy")))
    np.testing.assert_array_equal(table, np.concatenate(rows))
    np.testing.assert_array_equal(table, [r.world_coords for r in records])
    for line in archive.with_name("toy.barecat.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_rows_are_what_the_document_says(tmp_path):
    records = kit.make_archive(tmp_path)
    archive = tmp_path / "toy.barecat"
    db = sqlite3.connect(archive)
    prefix = len("table/")
    columns = {
        key[prefix : -len(".npy")]: np.load(io.BytesIO(read_entry(db, archive, key)))
        for (key,) in db.execute("SELECT path FROM files WHERE path GLOB 'table/*.npy'")
    }

    def values(name, row):
        start, stop = columns[f"{name}_ptr"][row : row + 2]
        return columns[name][start:stop].tobytes()

    def text(name, row):
        return values(f"{name}_strings", columns[name][row]).decode()

    metadata = msgpack.unpackb(read_entry(db, archive, "metadata.msgpack"))
    assert metadata["split_ranges"] == {"train": [0, 12], "val": [12, 18], "test": [0, 0]}
    assert columns["split"].tolist() == [0] * 12 + [1] * 6
    for row, record in enumerate(records):
        path = f"{text('dir', row)}/{values('name', row).decode()}"
        assert path == record.image_path
        assert (columns["frame"][row], columns["person"][row]) == (record.frame, 0)
        assert (text("sequence", row), text("activity", row)) == (record.sequence, record.activity)
        assert columns["flags"][row] == 1 + 4 + 8 * (record.mask is not None)
        assert values("mask", row) == (record.mask["counts"] if record.mask else b"")
        shard, offset, size = (int(columns[name][row]) for name in ("shard", "offset", "size"))
        data = archive.with_name(f"toy.barecat-shard-{shard:05d}").read_bytes()
        assert data[offset : offset + size] == read_entry(db, archive, path)
        assert data[offset : offset + 2] == b"\xff\xd8"

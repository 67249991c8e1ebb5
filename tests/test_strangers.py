"""What a stranger's small file could do for very long: each of these once went on for minutes."""

import contextlib
import os
import pickle
import sqlite3
import struct
import zlib

import msgpack
import numpy as np
import pytest
import rlemasklib

import posepile
from posepile.acquire import beginnings
from posepile.datasets3d import TRAIN, JointInfo, Pose3DDataset, Pose3DExample, get_dataset
from posepile.errors import UsageError, WorkError
from posepile.imaging.declared import declared_size
from posepile.joint_info import _rebuild
from posepile.store.codec import decode_entry, encode_entry
from posepile.store.fields import Record
from posepile.store.index import number_of_shards

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n+1 FROM c)"


@pytest.mark.parametrize("kind", ["_PAGE", "_ERROR_XML"])
def test_an_answer_of_many_comments_is_looked_at_once(kind):
    pattern = getattr(beginnings, kind)
    assert pattern.match(b"<!---->" * 400 + b"x") is None
    assert pattern.match(b"<!-- a --" * 400) is None
    tag = b"<html" if kind == "_PAGE" else b"<error"
    assert pattern.match(b"<?xml version='1.0'?>\n<!-- a --> <!-- b -->" + tag + b">")


@pytest.mark.parametrize(
    "statement",
    [
        f"CREATE VIEW files AS {ENDLESS} SELECT 'p'||n AS path, 0 AS shard, 0 AS offset, "
        "0 AS size, 0 AS crc32c FROM c",
        "CREATE TABLE files (path TEXT, shard INT, offset INT AS (shard * 2), size INT)",
        "CREATE VIRTUAL TABLE files USING fts5(path, shard, offset, size)",
    ],
)
def test_an_index_that_computes_its_entries_is_refused(tmp_path, statement):
    path = tmp_path / "evil.barecat"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    with pytest.raises(WorkError, match="not the index of an archive"):
        get_dataset(path)
    with pytest.raises(sqlite3.DatabaseError, match="no table of entries"):
        number_of_shards(path)


class Many:
    def __reduce__(self):
        return _rebuild, ("\n".join(map(str, range(100_000))), [], [])


def test_very_many_joints_are_counted_once(tmp_path):
    path = tmp_path / "many.pkl"
    path.write_bytes(pickle.dumps(Many(), 4))
    with contextlib.suppress(UsageError, WorkError):
        posepile.load(path)
    with pytest.raises(UsageError, match="'b': found twice"):
        JointInfo("a,b,b", [])


def test_directories_of_a_tiff_that_overlap_are_not_followed_for_ever():
    k, n = 200, 65535
    data = bytearray(8 + 4 * k + 2 + 12 * n + 16)
    data[:8] = b"II*\0" + struct.pack("<I", 8)
    for i in range(k):
        data[8 + 4 * i : 10 + 4 * i] = b"\xff\xff"
    for i in range(k - 1):
        struct.pack_into("<I", data, 8 + 4 * i + 2 + 12 * n, 8 + 4 * (i + 1))
    declared_size(bytes(data))


def test_a_picture_that_is_a_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    example = Pose3DExample(
        str(pipe), np.zeros((2, 3), np.float32), np.array([0, 0, 9, 9.0]), None
    )
    joints = JointInfo("pelv,head", "pelv-head")
    path = tmp_path / "stranger.pkl"
    dataset = Pose3DDataset(joints, [example], compute_bone_lengths=False)
    path.write_bytes(pickle.dumps(dataset))
    with pytest.raises(OSError, match="is a pipe"):
        get_dataset(path).examples[TRAIN][0].load(load_image=True)


def entry(**more):
    return msgpack.packb({"impath": "a/b.jpg", "bbox": [0, 0, 1, 1], **more}, use_bin_type=True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"n_joints": 300_000_000}, "number of joints: found 300000000"),
        ({"n_joints": "x", "joints3d": {"rows": [[0, 0, 0]], "i_rows": [0]}}, "found 'x'"),
        ({"n_joints": 1, "joints3d": {"rows": [[0, 0, 0]], "i_rows": [5]}}, "IndexError"),
        ({"bbox": "abc"}, "ValueError"),
        ({"cam": 5}, "cannot be read"),
        ({"mask": {"size": [10, 10], "zcounts": zlib.compress(bytes(1 << 20))}}, "more than 714"),
        ({"mask": {"size": [10, 10], "zcounts": b"x"}}, "or cut ones"),
        ({"e": {b"nd": True, b"type": "f4," * 300_000, b"shape": [0], b"data": b""}}, "'f4,f4"),
        ({"e": {b"nd": True, b"type": "|V99", b"shape": [0], b"data": b""}}, "plain numbers"),
    ],
)
def test_an_entry_of_a_strangers_archive_is_refused_in_a_line(more, message):
    with pytest.raises(WorkError, match=message) as e:
        decode_entry(entry(**more), "train/a/b.jpg_00.msgpack")
    assert len(str(e.value)) < 300


def test_an_entry_of_very_many_levels_is_refused_with_a_reason():
    with pytest.raises(WorkError, match="cannot be read: [A-Z]"):
        decode_entry(b"\x81\xa6impath" + b"\x91" * 100_000 + b"\x90")


def test_the_mask_of_most_counts_is_read():
    stripes = np.asfortranarray(np.arange(48 * 64).reshape(48, 64) % 2, np.uint8)
    found = decode_entry(encode_entry(Record(**RECORD, mask=rlemasklib.encode(stripes)))).mask
    np.testing.assert_array_equal(rlemasklib.decode(found), stripes)


RECORD = {
    "image_path": "a/b.jpg",
    "split": "train",
    "bbox": np.float32([0, 0, 9, 9]),
    "imshape": (48, 64),
    "frame": 0,
    "person": 0,
    "sequence": "a",
}

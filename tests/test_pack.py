"""What packing promises: identity, lists of inputs, digests, bytes that depend on nothing else."""

import datetime
import json
import os
import shutil
import sqlite3
import subprocess
import sys

import archive_kit as kit
import crc32c
import numpy as np
import pytest

from posepile import datasets3d
from posepile.datasets3d import TRAIN
from posepile.errors import WorkError
from posepile.store import inputs_list, layout, packing, parts, reading, verifying
from posepile.store.encoding import pack_msgpack
from posepile.store.index import IndexWriter


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


def pack(root, paths, **kwargs):
    return packing.pack(paths, root / "toy.barecat", kit.spec(), {"sources": []}, **kwargs)


def snapshot(root):
    return {p.name: p.read_bytes() for p in sorted(root.glob("toy.barecat*"))}


# ---------------------------------------------------------------- identity


def test_equal_builds_have_equal_identity_and_others_another(root):
    paths, _ = kit.make_parts(root)
    identity = pack(root, paths)["identity"]
    assert reading.open_archive("toy.barecat").identity == identity and len(identity) == 64
    assert pack(root, paths, max_shards=2)["identity"] == identity
    identities = {identity, pack(root, paths[1::-1] + paths[2:])["identity"]}
    identities.add(pack(root, paths[:2])["identity"])
    other = kit.spec("toy", joints=kit.JointInfo("pelv,lhip,rhip,lank,rank", "pelv-lhip-lank"))
    identities.add(packing.pack(paths, root / "o.barecat", other, {})["identity"])
    with parts.PartWriter(paths[0]) as writer:
        for i in range(6):
            writer.add(kit.record("toy", "train", 0, i, scene="elsewhere"), kit.jpeg(i))
    identities.add(pack(root, paths)["identity"])
    assert len(identities) == 5


def test_archives_without_identity_and_digests_open(root):
    records = kit.make_archive(root)
    # As packed before there were any: the metadata lies in the last shard, where it is replaced.
    archive = reading.open_archive("toy.barecat")
    metadata = dict(archive.metadata)
    old_size = len(archive["metadata.msgpack"])
    del metadata["identity"]
    metadata["citation"] = ""
    data = pack_msgpack(metadata)
    metadata["citation"] = "x" * (old_size - len(data) - 1)
    data = pack_msgpack(metadata).ljust(old_size)
    shard, offset, _ = archive.address("metadata.msgpack")
    size = len(pack_msgpack(metadata))
    with open(root / f"toy.barecat-shard-{shard:05d}", "r+b") as f:
        f.seek(offset)
        f.write(data[:size])
    with sqlite3.connect(root / "toy.barecat") as db:
        db.execute("UPDATE config SET value_int = 0 WHERE key = 'use_triggers'")
        db.execute(
            "UPDATE files SET size = ?, crc32c = ? WHERE path = 'metadata.msgpack'",
            (size, crc32c.crc32c(data[:size])),
        )
        db.execute("UPDATE dirs SET size_tree = size_tree + ? WHERE path = ''", (size - old_size,))
        db.execute("UPDATE config SET value_int = 1 WHERE key = 'use_triggers'")
    layout.digests_path(root / "toy.barecat").unlink()
    assert reading.open_archive("toy.barecat").identity is None
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    np.testing.assert_array_equal(examples[3].load().world_coords, records[3].world_coords)
    assert verifying.verify("toy.barecat") == []


# ---------------------------------------------------------------- bytes


def test_index_does_not_depend_on_user_or_time(root, monkeypatch):
    indexes = []
    for uid, year in ((0, 2001), (70_000, 2030), (5, 1971)):

        class Then(datetime.datetime):
            @classmethod
            def now(cls, tz=None, year=year):
                return cls(year, 1, 2, 3, 4, 5, tzinfo=tz)

        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        monkeypatch.setattr(os, "getgid", lambda uid=uid: uid)
        monkeypatch.setattr("barecat.core.index.datetime", Then)
        path = root / f"{uid}.barecat"
        with IndexWriter(path) as index:
            index.add((f"a/b{k // 3}/{k}.jpg", 0, k * 10, 10, k) for k in range(400))
            index.close()
        indexes.append(path.read_bytes())
    assert indexes[0] == indexes[1] == indexes[2]


def test_a_key_cannot_be_a_folder_too(root):
    with IndexWriter(root / "x.barecat") as index:
        index.add([("a/b", 0, 0, 1, 1), ("a/b/c.jpg", 0, 1, 1, 1)])
        with pytest.raises(WorkError, match="'a/b' is both an entry and a folder"):
            index.close()


def test_sha256sum_agrees(root):
    kit.make_archive(root)
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    command = ["sha256sum", "-c", "--strict", "toy.barecat.sha256"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    listed = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert sorted([*listed, "toy.barecat.sha256"]) == sorted(snapshot(root))


def test_summary_tells_of_the_checks(root):
    paths, _ = kit.make_parts(root)
    summary = pack(root, paths)
    both = sum(p.stat().st_size + parts.shard_of(p).stat().st_size for p in paths)
    assert summary["checked_bytes"] == both
    assert summary["check_seconds"] > 0
    assert summary["manifest"] == {"sources": []}


# ---------------------------------------------------------------- inputs


def test_inputs_are_sorted_and_unique(root):
    paths, _ = kit.make_parts(root)
    inputs = [("b.mp4", 3, "h3"), ("ä/a.mp4", 5, "h5"), ("b.mp4", 3, "h3"), ("a.mp4", 1, "h1")]
    summary = pack(root, paths, inputs=lambda header: iter(inputs))
    archive = reading.open_archive("toy.barecat")
    lines = archive[inputs_list.INPUTS_KEY].decode().splitlines()
    expected = [["a.mp4", 1, "h1"], ["b.mp4", 3, "h3"], ["ä/a.mp4", 5, "h5"]]
    assert [json.loads(line) for line in lines] == expected
    found = reading.read_manifest("toy.barecat")["inputs"]
    assert (found["files"], found["bytes"], len(found["sha256"])) == (3, 9, 64)
    assert summary["manifest"]["inputs"] == found
    before = snapshot(root)
    pack(root, paths, inputs=lambda header: reversed(inputs))
    assert snapshot(root) == before


def test_a_file_with_two_hashes_is_listed_with_both(root):
    totals = inputs_list.write_inputs([("a", 3, "x"), ("a", 3, "y")], root / "list")
    assert (totals["files"], totals["bytes"]) == (1, 3)
    assert (root / "list").read_text() == '["a", 3, "x"]\n["a", 3, "y"]\n'
    assert os.listdir(root) == ["list"]


# ---------------------------------------------------------------- scale


CHILD = """
import re, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import archive_kit as kit
from posepile.store import ahead, packing
folder, n, ahead.SLOW_SECONDS = Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
packing.pack((folder / f"{i:05d}.part" for i in range(n)), folder / "x.barecat", kit.spec(), {})
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def test_memory_per_part(root, no_fsync):
    """Packing many parts takes little more memory than packing some."""
    first, _ = kit.make_parts(root, units=["train"], n=2)
    header, arrays = parts.read_arrays(first[0])
    n = 1500
    folder = root / "many"
    for i in range(n):
        path = folder / f"{i:05d}.part"
        arrays["dir_strings"] = np.frombuffer(b"toy_downscaled/%05d" % i, np.uint8)
        arrays["dir_strings_ptr"] = np.array([0, 20], "<u8")
        parts.write_part(path, header, arrays)
        os.link(parts.shard_of(first[0]), parts.shard_of(path))
    tests = os.path.dirname(__file__)
    for slow_seconds in ("inf", "-1"):  # parts are read by one thread, and by many
        peaks = []
        for count in (str(n // 3), str(n)):
            command = [sys.executable, "-c", CHILD, tests, os.path.dirname(tests), str(folder)]
            command += [count, slow_seconds]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks.append(int(done.stdout) * 1024)
        # Among them what SQLite keeps of an index that still grows; 14 KB per part it was.
        assert (peaks[1] - peaks[0]) / (n - n // 3) < 4096, slow_seconds

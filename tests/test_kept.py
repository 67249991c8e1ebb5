"""The cache on the disk: what it returns is right, whoever writes to it and however that ends."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.remote import copies, stores
from posepile.remote import kept as kept_module
from posepile.remote.kept import Kept, open_kept, room_taken

CAPACITY = 1 << 16


def content(shard, offset, size):
    return random.Random(f"{shard} {offset}").randbytes(size)


@pytest.fixture(autouse=True)
def forget():
    yield
    kept_module._caches.clear()


def file_of(folder):
    (file,) = folder.glob("pictures-*/kept.sqlite")
    return file


def test_what_was_put_is_found_again(tmp_path):
    kept = Kept(tmp_path, CAPACITY)
    kept.put(1, 0, 100, b"abc")
    assert kept.get(1, 0, 100, 3) == b"abc"
    assert Kept(tmp_path, CAPACITY).get(1, 0, 100, 3) == b"abc"
    assert 0 < room_taken(tmp_path) < CAPACITY
    for other in ((2, 0, 100, 3), (1, 1, 100, 3), (1, 0, 101, 3), (1, 0, 100, 2)):
        assert kept.get(*other) is None


def test_the_oldest_gives_way(tmp_path):
    kept = Kept(tmp_path, CAPACITY)
    size = 1000
    for i in range(400):
        kept.put(1, 0, i, content(0, i, size))
        assert kept.get(1, 0, i, size) == content(0, i, size)
    there = [i for i in range(400) if kept.get(1, 0, i, size) is not None]
    assert there == list(range(400 - len(there), 400))
    assert len(there) == CAPACITY // size
    kept._connection.close()
    assert os.stat(file_of(tmp_path)).st_size <= 2 * CAPACITY


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 40), st.integers(1, 20_000)),
        max_size=80,
    )
)
def test_never_anything_but_what_was_put(tmp_path_factory, steps):
    both = [Kept(folder := tmp_path_factory.mktemp("kept"), CAPACITY), Kept(folder, CAPACITY)]
    last = {}
    for which, shard, offset, size in steps:
        found = both[not which].get(7, shard, offset, last.get((shard, offset), size))
        assert found in (None, content(shard, offset, last.get((shard, offset), size)))
        both[which].put(7, shard, offset, content(shard, offset, size))
        if size <= CAPACITY // 4:
            last[shard, offset] = size
            assert both[not which].get(7, shard, offset, size) == content(shard, offset, size)


def test_what_is_too_large_is_not_kept_in_the_place_of_many(tmp_path):
    kept = Kept(tmp_path, CAPACITY)
    for i in range(50):
        kept.put(1, 0, i, content(0, i, 1000))
    kept.put(1, 0, 50, bytes(CAPACITY // 4 + 1))
    kept.put(1, 0, 51, b"")
    assert kept.get(1, 0, 50, CAPACITY // 4 + 1) is None and kept.get(1, 0, 51, 0) is None
    assert [kept.get(1, 0, i, 1000) for i in range(50)] == [content(0, i, 1000) for i in range(50)]
    kept.put(1, 0, 50, bytes(CAPACITY // 4))
    assert kept.get(1, 0, 50, CAPACITY // 4) == bytes(CAPACITY // 4)


@pytest.mark.parametrize("number", ["archive", "shard", "offset"])
def test_an_entry_that_is_found_under_other_numbers_is_not_returned(tmp_path, number):
    kept = Kept(tmp_path, CAPACITY)
    kept.put(1, 1, 1, b"abc")
    with sqlite3.connect(file_of(tmp_path)) as other:
        other.execute(f"UPDATE pictures SET {number} = 2")
    key = [2 if name == number else 1 for name in ("archive", "shard", "offset")]
    assert kept.get(*key, 3) is None


def test_damaged_bytes_are_as_good_as_absent(tmp_path):
    kept = Kept(tmp_path, CAPACITY)
    kept.put(1, 0, 0, b"x" * 100)
    with sqlite3.connect(file_of(tmp_path)) as other:
        other.execute("UPDATE pictures SET data = ?", (b"x" * 50 + b"y" + b"x" * 49,))
    assert kept.get(1, 0, 0, 100) is None
    kept.put(1, 0, 0, b"x" * 100)
    assert kept.get(1, 0, 0, 100) == b"x" * 100


@pytest.mark.parametrize("damage", ["empty", "other", "half", "other tables", "no file"])
def test_a_damaged_cache_is_begun_anew(tmp_path, damage):
    kept = Kept(tmp_path, CAPACITY)
    for i in range(50):
        kept.put(1, 0, i, content(0, i, 1000))
    kept._connection.close()
    file = file_of(tmp_path)
    data = file.read_bytes()
    if damage == "no file":
        file.unlink()
    elif damage == "other tables":
        file.unlink()
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE pictures (a)")
    else:
        file.write_bytes({"empty": b"", "other": bytes(len(data)), "half": data[:16384]}[damage])
    kept = Kept(tmp_path, CAPACITY)
    assert [kept.get(1, 0, i, 1000) for i in range(50)] == [None] * 50
    kept.put(1, 0, 0, b"abc")
    assert kept.get(1, 0, 0, 3) == b"abc"


def test_damage_while_it_is_open(tmp_path, capsys):
    kept, other = Kept(tmp_path, CAPACITY), Kept(tmp_path, CAPACITY)
    for i in range(50):
        kept.put(1, 0, i, content(0, i, 1000))
    kept._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = file_of(tmp_path)
    with open(file, "r+b") as f:
        f.seek(8192)
        f.write(os.urandom(file.stat().st_size - 8192))
    inodes = []
    for reader in (kept, other):
        reader._connection.execute("PRAGMA shrink_memory")
        for i in range(50):
            assert reader.get(1, 0, i, 1000) in (None, content(0, i, 1000))
            reader.put(1, 0, i, content(0, i, 1000))
            assert reader.get(1, 0, i, 1000) in (None, content(0, i, 1000))
        assert reader.get(1, 0, 49, 1000) == content(0, 49, 1000)
        inodes.append(os.stat(file).st_ino)
    assert inodes[0] == inodes[1] == kept._inode, "what one has begun anew the other did again"
    assert capsys.readouterr().err == ""


def test_a_smaller_capacity_gives_back_room_and_who_has_it_open_goes_on(tmp_path):
    large, size = Kept(tmp_path, 20 << 20), 200_000
    for i in range(80):
        large.put(1, 0, i, content(0, i, size))
    small = Kept(tmp_path, 1 << 20)
    assert small.get(1, 0, 79, size) is None and room_taken(tmp_path) < 1 << 20
    assert large.get(1, 0, 79, size) == content(0, 79, size)
    large.put(1, 0, 20, b"abc")
    small.put(1, 0, 20, b"def")
    assert large.get(1, 0, 20, 3) == b"abc" and small.get(1, 0, 20, 3) == b"def"
    nearly = Kept(tmp_path, 900_000)
    assert nearly.get(1, 0, 20, 3) == b"def"


def test_a_full_disk_is_said_once_and_reading_goes_on(tmp_path, capsys):
    kept = Kept(tmp_path, CAPACITY)
    kept.put(1, 0, 0, b"abc")
    pages = kept._connection.execute("PRAGMA page_count").fetchone()[0]
    kept._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's word for both
    for i in range(1, 4):
        kept.put(1, 0, i, bytes(10_000))
        assert kept.get(1, 0, i, 10_000) is None
    assert kept.get(1, 0, 0, 3) == b"abc"
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "disk is full" in said and "OBJECT_CACHE_SIZE" in said


def test_no_room_to_begin(tmp_path, capsys):
    (tmp_path / "a").write_bytes(b"")
    assert open_kept(tmp_path / "a", CAPACITY) is None
    assert open_kept(tmp_path / "a", CAPACITY) is None
    assert capsys.readouterr().err.count("no cache can be made") == 1


def test_one_cache_in_a_process_whatever_is_free_when_it_is_opened(tmp_path, monkeypatch):
    pytest.importorskip("fsspec")
    monkeypatch.setenv("POSEPILE_OBJECT_CACHE", str(tmp_path))
    monkeypatch.delenv("POSEPILE_OBJECT_CACHE_SIZE", raising=False)
    free = iter((40 << 20, 30 << 20, 20 << 20))
    monkeypatch.setattr(
        copies.shutil, "disk_usage", lambda folder: SimpleNamespace(free=next(free))
    )
    stat = stores.Stat(1, "version", "", 0)
    archives = [copies.RemoteArchive(f"s3://b/{i}.barecat", stat) for i in range(3)]
    assert len({id(archive._kept) for archive in archives}) == 1
    assert archives[0]._kept.capacity == 20 << 20


def test_who_writes_for_long_costs_a_download(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(kept_module, "_WAIT", 0.0)
    kept = Kept(tmp_path, CAPACITY)
    kept.put(1, 0, 0, b"abc")
    other = sqlite3.connect(file_of(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kept.put(1, 0, 1, b"def")
    assert kept.get(1, 0, 0, 3) == b"abc" and kept.get(1, 0, 1, 3) is None
    other.execute("ROLLBACK")
    kept.put(1, 0, 1, b"def")
    assert kept.get(1, 0, 1, 3) == b"def"
    assert capsys.readouterr().err == ""


WRITER = """
import random, sys
sys.path.insert(0, "tests")
from pathlib import Path
from test_kept import CAPACITY, content
from posepile.remote.kept import Kept
kept, rng = Kept(Path(sys.argv[1]), CAPACITY), random.Random(int(sys.argv[2]))
print("begun", flush=True)
n = int(sys.argv[3])
while n:
    n -= 1
    shard, offset, size = rng.randrange(4), rng.randrange(60), 500 + 100 * rng.randrange(60)
    found = kept.get(7, shard, offset, size)
    assert found in (None, content(shard, offset, size)), (shard, offset, size)
    kept.put(7, shard, offset, content(shard, offset, size))
"""


def test_several_processes_and_one_that_is_killed_amid_writing(tmp_path):
    def start(seed, n):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(seed), str(n)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment)

    processes = killed, _ = start(1, -1), start(2, 200)
    for process in processes:
        assert process.stdout.readline() == b"begun\n"
    killed.send_signal(signal.SIGKILL)
    for process in processes:
        process.stdout.close()
    assert [process.wait() for process in processes] == [-9, 0]
    kept = Kept(tmp_path, CAPACITY)
    kept.put(7, 0, 0, content(0, 0, 500))
    assert kept.get(7, 0, 0, 500) == content(0, 0, 500)
    assert kept._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_forked_child_has_a_connection_of_its_own(tmp_path):
    kept = open_kept(tmp_path, CAPACITY)
    kept.put(1, 0, 0, b"abc")
    child = os.fork()
    assert kept._connection is None, "a child has inherited it"
    if child == 0:
        found = kept.get(1, 0, 0, 3)
        kept.put(1, 0, 1, b"def")
        os._exit(0 if found == b"abc" else 1)
    assert kept.get(1, 0, 0, 3) == b"abc"
    assert os.waitpid(child, 0)[1] == 0
    assert kept.get(1, 0, 1, 3) == b"def"

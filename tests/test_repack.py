"""An archive is replaced while others read it, and the process that does it may die anywhere.

``POSEPILE_KILLS`` sets how often a repack is killed under four reading processes (default 3).
"""

import contextlib
import itertools
import multiprocessing
import os
import pickle
import random
import signal
import threading
import time

import archive_kit as kit
import pytest

from posepile import datasets3d
from posepile.datasets3d import TRAIN
from posepile.errors import WorkError
from posepile.store import layout, packing, parts, reading, verifying

KILLS = int(os.environ.get("POSEPILE_KILLS", "3"))
N_UNITS = 24
FORK = multiprocessing.get_context("fork")


def make_versions(root, n_units=N_UNITS):
    """Parts of two contents under the same image paths, and what their examples are."""
    versions = {}
    for version, n in (("a", 4), ("b", 3)):
        paths, right = [], set()
        for unit in range(n_units if version == "a" else n_units - 2):
            path = root / f"{version}_work" / f"{unit:03d}.part"
            with parts.PartWriter(path) as writer:
                for i in range(n):
                    seed = unit + 100 * (version == "b")
                    coords = kit.record("toy", "train", seed, i).world_coords
                    record = kit.record("toy", "train", unit, i, world_coords=coords, frame=seed)
                    data = kit.jpeg(i + 10 * seed)
                    writer.add(record, data)
                    right.add((record.image_path, seed, coords.tobytes(), data))
            paths.append(path)
        versions[version] = (paths, right)
    return versions


def pack(root, paths):
    return packing.pack(paths, root / "toy.barecat", kit.spec(), {"sources": []})


@pytest.fixture
def root(tmp_path, monkeypatch, no_fsync):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


def content(ex):
    """An example as it was written; the image by its stored bytes."""
    data = ex._source.image_bytes(ex._row)
    return ex.image_path, ex.frame, ex.world_coords.tobytes(), data


def contents(examples):
    return {content(ex) for ex in examples}


def in_child(function, *args):
    """Runs a function in a forked process; returns its exit code, negative = signal."""
    process = FORK.Process(target=function, args=args)
    process.start()
    process.join()
    return process.exitcode


# ---------------------------------------------------------------- dying at every point


CALLS = ("replace", "rename", "unlink", "rmdir", "link", "fsync", "mkdir")


def die_at_call(root, paths, number):
    """Packs, and dies just before the given change of the disk."""
    count = itertools.count()

    def counted(function):
        def call(*args, **kwargs):
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    pack(root, paths)


def test_killed_before_any_change_of_the_disk(root):
    versions = make_versions(root, 5)
    pack(root, versions["a"][0])
    files = {p.name: p.read_bytes() for p in root.glob("toy.barecat*")}
    seen = []
    for number in itertools.count(0, 1 if KILLS >= 30 else 4):
        code = in_child(die_at_call, root, versions["b"][0], number)
        assert code in (0, -signal.SIGKILL)
        found = contents(datasets3d.get_dataset("toy").examples[TRAIN])
        (version,) = (v for v, (_, right) in versions.items() if found == right)
        seen.append(version)
        if code == 0:
            break
        pack(root, versions["a"][0])
        assert {p.name: p.read_bytes() for p in root.glob("toy.barecat*")} == files
        assert contents(datasets3d.get_dataset("toy").examples[TRAIN]) == versions["a"][1]
    # Old until the folder has its new name, new from then on.
    assert seen == sorted(seen) and min(seen.count("a"), seen.count("b")) >= 5
    assert verifying.verify("toy.barecat") == []


def test_a_killed_swap_is_told_by_verify_and_finished_by_the_next_pack(root):
    versions = make_versions(root, 4)
    pack(root, versions["a"][0])
    calls = 0
    while not layout.next_folder(root / "toy.barecat").exists():
        assert in_child(die_at_call, root, versions["b"][0], calls)
        calls += 1
    (problem,) = verifying.verify("toy.barecat")
    assert "pack again" in problem
    assert contents(datasets3d.get_dataset("toy").examples[TRAIN]) == versions["b"][1]
    # Even a pack that fails: the old one has had its day.
    with pytest.raises(WorkError):
        pack(root, versions["a"][0] + versions["a"][0])
    assert not layout.next_folder(root / "toy.barecat").exists()
    assert verifying.verify("toy.barecat") == []
    assert contents(datasets3d.get_dataset("toy").examples[TRAIN]) == versions["b"][1]


# ---------------------------------------------------------------- readers during a repack


def test_late_openings_of_a_replaced_archive_are_refused(root):
    versions = make_versions(root)
    pack(root, versions["a"][0])
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    archive = reading.open_archive("toy.barecat")
    first, last = content(examples[0]), examples[-1]
    image_path = first[0]
    assert archive[image_path] == first[3]
    pack(root, versions["b"][0])
    # What is open stays right; what would be opened now is of the other archive.
    assert content(examples[0]) == first
    with pytest.raises(WorkError, match="was packed again|was replaced"):
        content(last)
    caught = []

    def in_thread():
        try:
            caught.append(archive[image_path])
        except WorkError as e:
            caught.append(str(e))

    def in_fork():
        with contextlib.suppress(WorkError):
            archive[image_path]
            os._exit(1)
        os._exit(0)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert "was replaced" in caught[0]
    assert in_child(in_fork) == 0


def read_on(root, rights, stop, seed, results):
    """Reads in every way there is until told to stop; reports what it got."""
    rng = random.Random(seed)
    got = {"right": 0, "refused": 0, "wrong": [], "does not open": []}
    held, pickled = None, []

    def judge(ex):
        try:
            found = content(ex)
        except WorkError:
            got["refused"] += 1
            return False
        if any(found in right for right in rights):
            got["right"] += 1
        else:
            got["wrong"].append(found[:2])
        return True

    def look_up():
        try:
            archive = reading.open_archive("toy.barecat")
            key = rng.choice([k for k, *_ in archive.entries("toy_downscaled")])
            data = archive[key]
        except WorkError:
            got["refused"] += 1
            return
        if any(key == r[0] and data == r[3] for right in rights for r in right):
            got["right"] += 1
        else:
            got["wrong"].append(key)

    while not stop.is_set():
        try:
            opened = datasets3d.get_dataset("toy").examples[TRAIN]
        except WorkError as e:
            got["does not open"].append(str(e))
            continue
        if held is None or not judge(held[rng.randrange(len(held))]):
            held = opened
            pickled = [pickle.dumps(held[rng.randrange(len(held))]) for _ in range(3)]
        judge(opened[rng.randrange(len(opened))])
        for data in pickled:
            judge(pickle.loads(data))
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()
        if rng.random() < 0.3:
            process = FORK.Process(target=fork_reads, args=(held, rights, rng.random()))
            process.start()
            process.join()
            got["right" if process.exitcode == 0 else "refused"] += 1
            if process.exitcode not in (0, 7):
                got["wrong"].append(f"forked child: {process.exitcode}")
    results.put(got)


def fork_reads(examples, rights, seed):
    rng, code = random.Random(seed), 0
    archive = reading.open_archive("toy.barecat")
    for _ in range(3):
        try:
            found = content(examples[rng.randrange(len(examples))])
            by_name = archive.get(found[0])  # None: opened later, when the smaller one was there
        except WorkError:
            code = 7
            continue
        if not any(found in right for right in rights):
            os._exit(11)
        pairs = {(r[0], r[3]) for right in rights for r in right}
        if by_name is not None and (found[0], by_name) not in pairs:
            os._exit(12)
    os._exit(code)


def test_repacks_killed_under_readers(root):
    versions = make_versions(root)
    pack(root, versions["a"][0])
    rng = random.Random(os.environ.get("POSEPILE_SEED", "0"))
    started = time.monotonic()
    pack(root, versions["a"][0])
    duration = time.monotonic() - started
    stop, results = FORK.Event(), FORK.Queue()
    rights = [right for _, right in versions.values()]
    readers = [
        FORK.Process(target=read_on, args=(root, rights, stop, seed, results)) for seed in range(4)
    ]
    for reader in readers:
        reader.start()
    version, killed = "b", 0
    while killed < KILLS:
        paths = versions[version][0]
        if killed % 2:  # among the moves, which take too little time to be met by chance
            code = in_child(die_at_call, root, paths, rng.randrange(60, 200))
        else:
            process = FORK.Process(target=pack, args=(root, paths))
            process.start()
            process.join(rng.uniform(0, 4 * duration))
            process.kill()
            process.join()
            code = process.exitcode
        killed += code == -signal.SIGKILL
        if code == 0 or rng.random() < 0.5:
            version = "a" if version == "b" else "b"
    pack(root, versions["a"][0])
    stop.set()
    got = [results.get() for _ in readers]
    for reader in readers:
        reader.join()
        assert reader.exitcode == 0
    print([{k: v if isinstance(v, int) else len(v) for k, v in g.items()} for g in got])
    assert [g["wrong"] for g in got] == [[]] * 4
    assert [g["does not open"] for g in got] == [[]] * 4
    assert all(g["right"] > 0 for g in got)
    assert verifying.verify("toy.barecat") == []
    assert contents(datasets3d.get_dataset("toy").examples[TRAIN]) == versions["a"][1]

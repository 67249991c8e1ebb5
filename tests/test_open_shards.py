"""A process keeps few shards open, whatever it reads."""

import threading

import archive_kit as kit
import barecat
import numpy as np
import pytest

from posepile import datasets3d
from posepile.datasets3d import TRAIN
from posepile.store import descriptors, reading


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


def test_many_archives_keep_few_shards_open(root, monkeypatch):
    for name in ("a", "b", "c"):
        kit.make_archive(root, name=name)
    monkeypatch.setattr(reading, "most_open", lambda: 2)
    opened = [reading.open_archive(root / f"{name}.barecat") for name in ("a", "b", "c")]
    for _ in range(2):
        for archive in opened:
            plain = barecat.Barecat(archive.path)
            assert all(archive[key] == plain[key] for key in plain)
            assert sum(len(archive._shards) for archive in opened) <= 2


@pytest.mark.parametrize(
    ("archives", "most", "expected"),
    [(128, 10**6, 1024), (129, 10**6, 16 * 129), (1000, 2048, 2048), (1000, -1, 16_000)],
)
def test_hundreds_of_archives_ask_for_more_open_files(monkeypatch, archives, most, expected):
    limits = [(1024, most)]
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(descriptors.resource, "setrlimit", lambda which, new: limits.append(new))
    monkeypatch.setattr(descriptors, "_all", [None] * (archives - 1))
    descriptors.Descriptors()
    assert limits[-1] == (expected, most)
    shards = min(expected // 2, 4096)
    assert descriptors.most_open() == shards
    assert expected < 4 * archives or shards + 2 * archives < expected  # all fit, where allowed


def test_threads_and_few_descriptors(root, monkeypatch):
    kit.make_archive(root, units=["train"] * 6)
    monkeypatch.setattr(reading, "most_open", lambda: 2)
    examples = datasets3d.get_dataset("toy").examples[TRAIN]
    reader = reading.open_archive("toy.barecat")
    expected = [reader[ex.image_path] for ex in examples]
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for i in rng.integers(0, len(examples), 300):
            ex = examples[int(i)]
            if (
                ex._source.image_bytes(ex._row) != expected[i]
                or reader[ex.image_path] != expected[i]
            ):
                failures.append(i)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures

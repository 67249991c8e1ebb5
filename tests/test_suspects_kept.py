"""What was found is kept, and found anew where something else is looked at."""

import os

import cv2
import numpy as np
import pytest
import walkers
from conftest import ROOT

from posepile.errors import WorkError
from posepile.store.opening import open_dataset
from posepile.suspects import kept
from posepile.suspects.found import Suspects
from posepile.suspects.kept import suspects_of
from posepile.viewer.quality import Quality

JPEG = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def recordings():
    return walkers.made_up(40, views=2, recordings=1)


@pytest.fixture(scope="module")
def clean(recordings, tmp_path_factory):
    path = tmp_path_factory.mktemp("clean") / "walkers.barecat"
    walkers.pack(recordings, path, JPEG)
    return open_dataset(path)


def same(a, b):
    arrays = ("positions", "kinds", "scores", "values", "sequences", "sequence_sizes")
    reasons = all(a.reason(i) == b.reason(i) for i in range(min(len(a), 30)))
    return reasons and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)


@pytest.fixture
def small(recordings, tmp_path, monkeypatch):
    """DATA_ROOT with a packed dataset that has something wrong, and no recipe."""
    some_ = walkers.copied(recordings)
    for recording in some_:
        recording.world[5, 0] += 500
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    walkers.pack(some_, tmp_path / "walkers.barecat", JPEG)
    return tmp_path


def never(*_):
    raise AssertionError("looked again")


def test_they_are_found_once(small, monkeypatch):
    found = suspects_of("walkers")
    assert set(found) == {"train", "val", "test"}
    assert len(found["train"])
    assert (small / "cache" / "walkers_suspects.npz").is_file()
    monkeypatch.setattr(kept, "find_suspects", never)
    again = suspects_of("walkers")
    assert all(same(found[split], again[split]) for split in found)


def test_they_lie_in_the_work_folder_where_there_is_one(small):
    (small / "walkers_work").mkdir()
    for build in ("walkers", str(small / "walkers.barecat")):
        (small / "walkers_work" / "suspects.npz").unlink(missing_ok=True)
        suspects_of(build)
        assert (small / "walkers_work" / "suspects.npz").is_file()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", None])
def test_a_damaged_file_is_made_again(small, content):
    found, place = suspects_of("walkers"), small / "cache" / "walkers_suspects.npz"
    data = place.read_bytes()
    place.write_bytes(data[: len(data) // 2] if content is None else content)
    assert same(suspects_of("walkers")["train"], found["train"])
    assert kept._read(place).keys() == found.keys()


def test_other_examples_are_looked_at(small):
    before = suspects_of("walkers")
    dataset = open_dataset(small / "walkers.barecat")
    dataset.examples[0] = dataset.examples[0][:20]
    after = suspects_of("walkers", dataset)
    assert after["train"].n == 20
    assert before["train"].n == 80


def test_a_part_of_the_examples_is_not_kept(small, monkeypatch):
    dataset = open_dataset(small / "walkers.barecat")
    whole = open_dataset(small / "walkers.barecat")
    dataset.examples[0] = dataset.examples[0][:20]
    assert suspects_of("walkers", dataset)["train"].n == 20
    assert not (small / "cache").exists()
    found = suspects_of("walkers", whole)
    suspects_of("walkers", dataset)
    monkeypatch.setattr(kept, "find_suspects", never)
    assert same(suspects_of("walkers")["train"], found["train"])


def test_other_joints_of_as_many_examples_are_looked_at(small, recordings):
    """The archive was packed again under the same name, with the same pictures."""
    before = suspects_of("walkers")["train"]
    walkers.pack(recordings, small / "walkers.barecat", JPEG)
    after = suspects_of("walkers")["train"]
    assert after.n == before.n == 80
    assert (len(before) > 0, len(after)) == (True, 0)


def test_a_folder_that_cannot_be_written_to(small, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept, "write_atomically", refuse)
    assert len(suspects_of("walkers")["train"])
    assert not (small / "cache").exists()


def test_examples_in_memory_are_not_kept(clean, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    examples = [ex.load(load_image=False) for ex in clean.examples[0][:30]]
    dataset = type(clean)(clean.joint_info, examples)
    assert suspects_of("mine", dataset)["train"].n == 30
    assert not os.listdir(tmp_path)


def test_without_data_root(clean, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.delenv("CACHE_DIR", raising=False)
    dataset = type(clean)(clean.joint_info, clean.examples[0][:30])
    assert isinstance(suspects_of("mine", dataset)["train"], Suspects)


def test_the_viewer_searches_in_another_process_alone(small, monkeypatch):
    (small / "cache" / "walkers_suspects.npz").mkdir(parents=True)  # so that nothing is kept
    monkeypatch.setattr(kept, "find_suspects", never)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    quality = Quality("walkers", open_dataset(small / "walkers.barecat"))
    quality._look()
    assert (quality.state, quality.problem) == ("ready", "")
    positions, kinds, names = quality.of_split("train")
    assert len(positions) == len(kinds) and {names[k] for k in kinds} == set(
        quality.kinds("train")
    )
    first = quality.about("train", int(positions[0]))
    assert first and all(each["kind"] in names and each["reason"] for each in first)


def test_what_was_found_of_other_examples_is_refused(small, clean):
    data = kept.packed_suspects("walkers")
    with pytest.raises(WorkError, match="the examples are others by now"):
        kept.unpacked_suspects(data, clean)
    with pytest.raises(WorkError, match="others by now"):
        kept.unpacked_suspects(data[:40], open_dataset(small / "walkers.barecat"))

"""Long units are begun first, and it makes no difference to the archive."""

import shutil
from array import array

import lost_units_kit
import numpy as np
import pytest

from posepile.run import inputs, pack, process
from posepile.run.backends import Backend
from posepile.run.longest import SHORT, bytes_of, longest_first

fates = lost_units_kit.fates  # the fixture

SIZES = {"good0": 10, "good1": 40_000, "good2": 20, "good3": 90_000, "good4": 0, "good5": 40_000}


@pytest.fixture
def run(fates, tmp_path):
    """A run of a dataset of six units, each with a file of another size besides the photograph."""
    recipe, raw = tmp_path / "datasets" / "fates" / "main.py", tmp_path / "data" / "fates"
    text = recipe.read_text()
    listed = '[Unit(name, "train", (root / "photo.jpg",))'
    assert listed in text
    recipe.write_text(text.replace(listed, '[Unit(name, "train", (root / f"{name}.bin",))'))
    (raw / "names").write_text(" ".join(SIZES))
    for name, size in SIZES.items():
        (raw / f"{name}.bin").write_bytes(bytes(size))
    return lambda *settings, **asked: fates("run.isolate=false", *settings, **asked)


def worked_on(run, **asked):
    """The units in the order in which they are worked on, and the bytes of the archive."""
    order = []
    process.process(run(**asked), ("crop",), each=lambda outcome: order.append(outcome.unit))
    pack.pack(run())
    files = {f.name: f.read_bytes() for f in run().archive.parent.glob("fates.barecat*")}
    for name in files:
        (run().archive.parent / name).unlink()
    shutil.rmtree(run().work)
    return order, files


def test_the_order_of_work_changes_no_byte_of_the_archive(run):
    order, expected = worked_on(run, jobs=1)
    assert order == list(SIZES)  # alone, as they come

    order, found = worked_on(run, jobs=2)
    assert order == ["good3", "good1", "good5", "good0", "good2", "good4"]
    assert found == expected


def test_a_run_that_goes_on_begins_with_the_longest_of_the_rest(run, tmp_path):
    process.process(run(jobs=2), ("crop",))
    for name in ("good2", "good5"):  # both are to be done again
        (tmp_path / "data" / "fates" / f"{name}.bin").write_bytes(bytes(SIZES[name] + 1))
    order, _ = worked_on(run, jobs=2)
    assert order == ["good5", "good2"]


def test_files_of_units_that_are_made_again_are_not_read_for_their_digest(run, monkeypatch):
    read = []
    digest = inputs.fingerprint
    monkeypatch.setattr(inputs, "fingerprint", lambda f, **k: read.append(f) or digest(f, **k))
    for overrides, expected in (((), 6), (("crop.jpeg_quality=80",), 0)):
        read.clear()
        process.process(run(*overrides, jobs=1), ("crop",))
        assert len(read) == expected


def test_on_a_cluster_of_unknown_size_only_units_beyond_all_measure_leave_their_neighbours(run):
    there = Backend("dask", "tcp://nowhere:1")
    assert process.workers_of(run(backend=there)) is None
    assert process.workers_of(run(backend=there, jobs=7)) == 7
    sizes = np.random.default_rng(0).integers(1000, 2000, 500).tolist()  # ten of each video
    sizes[123], sizes[321] = 10_000, 20_000
    order = longest_first(array("q", range(500)), sizes, None).tolist()
    assert order == [321, 123, *(i for i in range(500) if i not in (123, 321))]


def makespan(sizes, order, workers):
    """When the last of some workers ends that take units in an order."""
    free = [0] * workers
    for i in order:
        free[free.index(min(free))] += sizes[i]
    return max(free)


@pytest.mark.parametrize("seed", range(20))
def test_all_units_are_there_and_none_is_begun_too_late(seed):
    rng = np.random.default_rng(seed)
    n, workers = int(rng.integers(1, 500)), int(rng.integers(2, 9))
    sizes = np.exp(rng.normal(10, 1.5, n)).astype(int).tolist()
    places = array("q", (3 * np.arange(n)).tolist())
    order = [p // 3 for p in longest_first(places, sizes, workers)]
    assert sorted(order) == list(range(n))
    least = sum(sizes) / workers * SHORT
    short = [i for i in order if sizes[i] <= least]
    long = order[: len(order) - len(short)]
    assert order[len(long) :] == sorted(short)
    # Either the last to end is a long one, or it was begun while all others were busy.
    alone = makespan(sizes, long, workers)
    assert makespan(sizes, order, workers) <= max(alone, sum(sizes) / workers + least)


def test_of_a_unit_of_many_files_only_some_are_asked_for(tmp_path, monkeypatch):
    names = [f"{i:03}" for i in range(100)]
    for name in names:
        (tmp_path / name).write_bytes(bytes(1000))
    asked = []
    stat = longest_first.__globals__["os"].stat
    monkeypatch.setattr("os.stat", lambda path: asked.append(path) or stat(path))
    assert bytes_of(names, str(tmp_path)) == 100_000
    assert len(asked) <= 8
    assert bytes_of([], str(tmp_path)) == 0
    assert bytes_of([f"{tmp_path}/000", "not there"], "/elsewhere") == 1000

"""Many threads ask a slow disk; what comes of it is as if one had asked."""

import threading

import lost_units_kit
import pytest

from posepile import shortage
from posepile.formats import in_order
from posepile.run import pack, process
from posepile.run.plan import Planner
from posepile.store import ahead, packed_parts, part_head

fates = lost_units_kit.fates  # the fixture

AHEAD = ahead.THREADS * in_order.AHEAD


@pytest.fixture
def slow(monkeypatch):
    """Every disk counts as slow, after two questions."""
    monkeypatch.setattr(ahead, "FIRST", 2)
    monkeypatch.setattr(ahead, "SLOW_SECONDS", -1.0)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000])
def test_answers_come_in_the_order_of_the_questions(slow, n):
    assert list(ahead.answers(str, iter(range(n)))) == [(i, str(i)) for i in range(n)]


def test_a_fast_disk_is_asked_by_one_thread(monkeypatch):
    monkeypatch.setattr(ahead, "SLOW_SECONDS", 1e9)
    asked = {thread for _, thread in ahead.answers(lambda i: threading.get_ident(), range(999))}
    assert asked == {threading.get_ident()}


def test_questions_are_asked_at_the_same_time_and_not_too_many(slow):
    together = threading.Barrier(ahead.THREADS, timeout=60)
    taken = []

    def items():
        for i in range(2 + 3 * AHEAD):
            taken.append(i)
            yield i

    def ask(i):
        if 2 <= i < 2 + ahead.THREADS:
            together.wait()  # as many as there are threads, or nobody goes on

    for i, _ in ahead.answers(ask, items()):
        assert len(taken) <= i + 1 + AHEAD


def test_what_a_question_raises_comes_in_its_turn_and_ends_the_rest(slow):
    asked = []

    def ask(i):
        asked.append(i)
        return 1 // (i - 10)

    found = ahead.answers(ask, range(10_000))
    assert [next(found)[0] for _ in range(10)] == list(range(10))
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert len(asked) <= 10 + AHEAD


def test_threads_that_could_not_begin_are_refused_at_once(slow, monkeypatch):
    """The first that gets no memory would be waited for for ever."""
    monkeypatch.setattr(shortage, "_can_reserve", lambda size: False)
    with pytest.raises(MemoryError):
        list(ahead.answers(len, ["a"] * 3))


def packed(run):
    """Works on all units and packs them; returns the bytes of the archive and what was read."""
    process.process(run(), ("crop",))
    pack.pack(run())
    archive = run().archive
    files = {f.name: f.read_bytes() for f in archive.parent.glob(f"{archive.name}*")}
    for name in files:
        (archive.parent / name).unlink()
    return files


def test_an_archive_is_the_same_however_the_disk_was_asked(fates, tmp_path, monkeypatch):
    (tmp_path / "data" / "fates" / "names").write_text(" ".join(f"good{i}" for i in range(12)))
    threads = set()
    decide, read = Planner.decide, part_head.read_head

    def watched(*args):
        threads.add(threading.get_ident())
        return decide(*args)

    monkeypatch.setattr(Planner, "decide", watched)
    expected = packed(lambda: fates("run.isolate=false"))
    assert len(threads) == 1
    columns, reading = packed_parts.read_arrays, []  # by which thread
    monkeypatch.setattr(
        packed_parts,
        "read_arrays",
        lambda path: reading.append(threading.get_ident()) or columns(path),
    )

    heads = []
    monkeypatch.setattr(part_head, "read_head", lambda fd: heads.append(fd) or read(fd))
    monkeypatch.setattr(ahead, "FIRST", 2)
    monkeypatch.setattr(ahead, "SLOW_SECONDS", -1.0)
    assert packed(lambda: fates("run.isolate=false")) == expected  # planned, then packed
    assert len(threads) > 1
    assert len(heads) == 12 * 3  # planned once, and packing looks at each head twice
    assert len(reading) == 12 and len(set(reading)) > 1

    reading.clear()
    monkeypatch.setattr(packed_parts, "SMALL", 0)
    assert packed(lambda: fates("run.isolate=false")) == expected
    assert reading == [threading.get_ident()] * 12  # so many large ones at once need no room

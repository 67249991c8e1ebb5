"""Names of results, atomic folders, locks of units, exclusions."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posepile import files
from posepile.errors import Shortage
from posepile.run import results
from posepile.stages.exclusions import load_exclusions, matching


def test_a_finished_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "stage" / "unit"
    with pytest.raises(RuntimeError), files.replacing(target) as tmp:
        (tmp / "half").write_text("x")
        raise RuntimeError("dies in the middle")
    assert not target.exists()
    assert list(target.parent.iterdir()) == []
    with files.replacing(target) as tmp:
        (tmp / "file").write_text("1")
        assert not target.exists()
    with files.replacing(target) as tmp:
        (tmp / "file").write_text("2")
        assert (target / "file").read_text() == "1"
    assert (target / "file").read_text() == "2"
    assert [p.name for p in target.parent.iterdir()] == ["unit"]


def test_leftovers_of_a_killed_process_go_away(tmp_path):
    stale = tmp_path / ".unit.new"
    stale.mkdir()
    (stale / "half").write_text("x")
    with files.replacing(tmp_path / "unit") as tmp:
        (tmp / "file").write_text("1")
    assert [p.name for p in tmp_path.iterdir()] == ["unit"]


def test_full_disk_is_one_clear_line(tmp_path):
    with pytest.raises(Shortage, match="No space left on device") as e:
        with files.replacing(tmp_path / "unit"):
            raise OSError(28, os.strerror(28))
    assert "nothing half-written" in str(e.value)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=6, unique=True))
def test_folder_names_are_distinct_and_safe(ids):
    names = [results.folder_name(i) for i in ids]
    assert len(set(names)) == len(ids)
    assert all("/" not in n and not n.startswith(".") and len(n) < 140 for n in names)


def test_results_of_a_million_units_are_spread_over_folders(tmp_path):
    paths = [results.part_path(tmp_path, "crop", f"take{i}") for i in range(600)]
    assert len(set(paths)) == 600
    assert 150 < len({p.parent for p in paths}) <= 256
    assert all(p.parent.parent == tmp_path / "parts" / "crop" for p in paths)


def test_quarantined_units_of_the_earlier_layout_stay_so(tmp_path):
    record = {"key": {}, "error": {"file": "f", "reason": "r"}, "stage": "crop", "inputs": []}
    results.write_quarantine(tmp_path, "new", record)
    before = results.quarantine_path(tmp_path, "a/b")
    files.write_json(tmp_path / "quarantine" / before.name, record)
    assert results.read_quarantine(tmp_path, "a/b") is None
    names = {results.quarantine_path(tmp_path, unit).name for unit in ("new", "a/b")}
    for _ in range(2):
        assert results.quarantined_names(tmp_path) == names
    assert results.read_quarantine(tmp_path, "a/b") == record
    assert [p.is_dir() for p in (tmp_path / "quarantine").iterdir()] == [True, True]
    assert results.quarantined_names(tmp_path / "none") == set()


def test_a_unit_is_held_by_one_process_at_a_time(tmp_path):
    theirs = os.fork()
    if theirs == 0:
        with results.unit_lock(tmp_path, "a"):
            os.kill(os.getpid(), 9)  # what a killed process held is free
    os.waitpid(theirs, 0)
    with results.unit_lock(tmp_path, "a", wait=False) as held:
        assert held
        child = os.fork()
        if child == 0:
            with (
                results.unit_lock(tmp_path, "a", wait=False) as same,
                results.unit_lock(tmp_path, "b", wait=False) as other,
            ):
                os._exit(0 if (same, other) == (False, True) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_units_of_one_lock_file_are_held_each_for_itself(tmp_path):
    """Closing the file would give up all that this process holds of it."""
    groups = {}
    for i in range(1000):
        groups.setdefault(results.part_path(tmp_path, "crop", f"u{i}").parent.name, []).append(i)
    first, second = (f"u{i}" for i in groups["3f"][:2])
    with results.unit_lock(tmp_path, first), results.unit_lock(tmp_path, f"u{groups['40'][0]}"):
        with results.unit_lock(tmp_path, second):
            pass
        assert len(results._OPEN) == 2
        child = os.fork()
        if child == 0:
            with (
                results.unit_lock(tmp_path, first, wait=False) as same,
                results.unit_lock(tmp_path, second, wait=False) as other,
            ):
                os._exit(0 if (same, other) == (False, True) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert results._OPEN == {}
    locks = {p.name for p in (tmp_path / "locks").iterdir()}
    assert locks == {".lock-3f", ".lock-40", ".lock-any"}


def test_exclusions_match_by_sequence_frame_and_person(tmp_path):
    path = Path(tmp_path / "exclusions.yaml")
    path.write_text(
        "- {sequence: 'a/*', frames: [3, 5], reason: blurred, source: own check}\n"
        "- {sequence: b, reason: wrong person, source: issue 1}\n"
    )
    entries = load_exclusions(path)
    assert [e.reason for e in matching(entries, ["a/x", "c"])] == ["blurred"]
    assert entries[0].covers(3, 0) and entries[0].covers(5, 1) and not entries[0].covers(6, 0)
    assert entries[1].covers(10**6, 7)

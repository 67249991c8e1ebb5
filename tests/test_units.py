"""Keys, fingerprints and atomic folders."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posepile import files
from posepile.errors import CorruptInput, WorkError
from posepile.recipe import Unit
from posepile.run import units
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
    with pytest.raises(WorkError, match="No space left on device") as e:
        with files.replacing(tmp_path / "unit"):
            raise OSError(28, os.strerror(28))
    assert "nothing half-written" in str(e.value)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=6, unique=True))
def test_folder_names_are_distinct_and_safe(ids):
    names = [units.folder_name(i) for i in ids]
    assert len(set(names)) == len(ids)
    assert all("/" not in n and not n.startswith(".") and len(n) < 140 for n in names)


def test_fingerprints_follow_content_not_time(tmp_path):
    file = tmp_path / "raw.bin"
    file.write_bytes(b"one")
    unit = Unit("u", "train", (file,))
    first = units.fingerprint_inputs(unit, tmp_path, [])
    os.utime(file, ns=(1, 1))
    touched = units.fingerprint_inputs(unit, tmp_path, first)
    assert touched[0]["hash"] == first[0]["hash"]
    file.write_bytes(b"two")
    assert units.fingerprint_inputs(unit, tmp_path, first)[0]["hash"] != first[0]["hash"]


def test_an_unchanged_file_is_not_read_again(tmp_path, monkeypatch):
    file = tmp_path / "raw.bin"
    file.write_bytes(b"one")
    unit = Unit("u", "train", (file,))
    first = units.fingerprint_inputs(unit, tmp_path, [])
    monkeypatch.setattr(units, "fingerprint", lambda path: pytest.fail("read again"))
    assert units.fingerprint_inputs(unit, tmp_path, first) == first


def test_large_files_are_sampled_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(units, "WHOLE_FILE_LIMIT", 1000)
    monkeypatch.setattr(units, "SAMPLE", 100)
    data = bytearray(os.urandom(5000))
    file = tmp_path / "video"
    file.write_bytes(data)
    before = units.fingerprint(file)
    assert before.startswith("blake2b-sampled:")
    data[-1] ^= 1
    file.write_bytes(data)
    assert units.fingerprint(file) != before


def test_missing_input_names_the_file(tmp_path):
    with pytest.raises(CorruptInput, match=r"gone\.mkv: file is missing"):
        units.fingerprint_inputs(Unit("u", "train", (tmp_path / "gone.mkv",)), tmp_path, [])


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

"""What ``plan`` says of room and time, and in which order it says things."""

import contextlib
import json
import sqlite3

from test_raw_situations import ask, home, real  # noqa: F401 - fixtures

from posepile.acquire import estimates, space


def test_room_for_what_is_packed_counts(home, ask, monkeypatch):  # noqa: F811
    """What is fetched and extracted would fit; its result would not, or nobody knows its size."""
    monkeypatch.setattr(estimates, "roomy_disks", lambda need, root: [])
    for module in (space, estimates):
        monkeypatch.setattr(module, "free_bytes", lambda path: 44_500_000_000)
    code, said, _ = ask("plan", "coco")
    assert code == 1 and "too small: 46.9 GB are needed" in said
    assert "packed: 6.2 GB (if 123287 stated pictures" in said
    _, said, _ = ask("plan", "spec")
    assert (
        "without the packed result" in said
        and "0 B" not in said
        and "to make it: time not known" in said
    )


def test_what_a_person_must_know_comes_last(home, ask, monkeypatch):  # noqa: F811
    """And before it what asks for less; all of it is on a screen of 24 lines."""
    monkeypatch.setattr("posepile.run.raw_state.roomy_disks", lambda need, root: [])
    for module in (space, estimates):
        monkeypatch.setattr(module, "free_bytes", lambda path: 10**9)
    _, said, commands = ask("plan", "egoexo4d")
    places = [said.index(text) for text in ("\nmodels:", "  by hand  ", "in all:", "too small")]
    assert places == sorted(places) and said[places[1] :].count("\n") <= 18
    assert "20% of all takes (dataset.download.every=5)" in said
    assert commands[-1] == "posepile plan egoexo4d --set dataset.download.every=50"
    _, said, _ = ask(*commands[-1].split()[1:])
    assert "2% of all takes (dataset.download.every=50)" in said
    _, said, _ = ask("list", "egoexo4d", "--json")
    (row,) = json.loads(said)
    assert round(row["bytes"] / 1e12, 1) == 2.3


def test_the_time_to_make_it_is_told_by_units_that_are_done(home, ask, miniature):  # noqa: F811
    real(miniature, "coco", home)
    work = home / "coco_work"
    work.mkdir()
    with contextlib.closing(sqlite3.connect(work / "units.sqlite")) as db:
        db.executescript(
            "CREATE TABLE facts (name, value); "
            "INSERT INTO facts VALUES ('key', 'k'), ('count', '3');"
        )
    lines = [
        '{"unit": "a", "stages": {"crop": "done"}, "seconds": 1000}',
        '{"unit": "b", "stages": {"crop": "current"}, "seconds": 0.1}',
        '{"cut',
    ]
    (work / "journal.jsonl").write_text("\n".join(lines))
    _, said, _ = ask("plan", "coco")
    assert "to make it: about 50 min on one core, by 1 units of 3" in said

"""Runs on several machines: what each is at, what they do together, and a line for each unit."""

import json
import os
import time

import fake_dataset
import pytest
from fake_dataset import a_run, part_of
from progress_kit import Clock, Terminal

from posepile import durable, terminal
from posepile.cli import make_parser
from posepile.cli.options import log_of_share
from posepile.files import write_json
from posepile.progress import Progress, file_clock, recorded, running
from posepile.progress import record as record_module
from posepile.run import commands, process
from posepile.run import status as status_module
from posepile.run.active import active_runs, noted
from posepile.run.journal import journal_lines
from posepile.run.status import status_data, status_lines

fake = fake_dataset.fake


def write_other(work, index, count, host, **facts):
    """What a share on another machine leaves, with its note."""
    pid = 1000 + index
    own = {"pid": pid, "began": "1", "host": host}
    path = work / f"running-{index}-of-{count}.json"
    more = {"what": "fake crop", "unit": "units", "done": 0, "shard": f"{index}/{count}"}
    write_json(path, {**own, **more, **facts})
    note = {**own, "what": "units", "build": "fake", "since": time.time()}
    more = {"set": [], "config": None, "shard": [index, count]}
    (work / f".active-{host}-{pid}-units").write_text(json.dumps({**note, **more}))
    return path


def test_status_sums_the_shares_of_an_array(fake, monkeypatch):
    run = a_run(fake)
    commands.process(run, ("crop",))
    for i in range(6):
        facts = {"done": 10 + i, "of": 100, "per_second": 0.5, "seconds_left": 180 + 60 * i}
        path = write_other(run.work, i, 8, f"node{i % 3}", **facts)
    data = status_data(run)
    assert (data["together"]["done"], data["together"]["of"]) == (75, 600)
    lines = status_lines(run, data)
    assert sum("  active " in line for line in lines) == 4 and not any("if it" in x for x in lines)
    assert "           and 2 other processes, which --json names" in lines
    assert (
        "  together 6 of 8 shares at work: 75 of 600 units, 3/s, 8 min left, on 3 machines"
        in lines
    )
    # One was killed on another machine: its clock does not matter, that of the disk does.
    os.utime(path, (time.time() - 121,) * 2)
    assert status_data(run)["together"]["runs"] == 5
    assert len(status_data(run)["active"]) == 6
    monkeypatch.setattr(status_module, "MOST_COUNTED", 2)
    data = status_data(run)
    assert data["units"] == 3 and data["stages"] == {}
    assert any("counted when nobody" in line for line in status_lines(run, data))


def test_who_is_at_work_is_told_by_the_clock_of_the_disk(tmp_path, monkeypatch):
    write_other(tmp_path, 0, 2, "elsewhere")
    hours = time.time() + 5 * 3600
    monkeypatch.setattr(time, "time", lambda: hours)
    assert len(running(tmp_path)) == 1
    assert abs(file_clock(tmp_path) - hours) > 3600
    assert file_clock(tmp_path / "none") == hours


@pytest.mark.parametrize("place", ["here", "container", "before a restart"])
def test_a_number_says_nothing_of_a_process_of_another_container(fake, monkeypatch, place):
    """Who has ended goes; who cannot be asked stays, though the machine has the same name."""
    run, gone, here = a_run(fake), 2**22 + 7, durable.machine()
    other = {"container": {"space": "pid:[1]"}, "before a restart": {"boot": "1"}}.get(place, {})
    with monkeypatch.context() as patches:
        patches.setattr(durable, "machine", lambda: here | other)
        process = durable.own_process() | {"pid": gone}
        name = f"{durable.host()}-{gone}"
    note, temporary = run.work / f".active-{name}-units", run.work / f".x.{name}-abcd.tmp"
    record = run.work / "running-0-of-2.json"
    facts = {"what": "units", "build": "fake", "since": time.time(), "set": [], "config": None}
    facts |= {"shard": [0, 2], "done": 0, "unit": "units"}
    for file in (note, record, temporary):
        write_json(file, {**facts, **process})
    assert len(running(run.work)) == (place != "here")  # by its age
    assert [n["checked"] for n in active_runs(run)] == [False] * (place == "container")
    durable.remove_left(run.work / "x")
    with noted(run, "units", run.work):
        assert True in [n["checked"] for n in active_runs(run)]
        assert note.exists() == temporary.exists() == (place == "container")


def test_notes_go_when_another_has_the_lock_of_who_left_them(fake):
    """A node that has died leaves them, and nobody elsewhere can ask for its process."""
    run = a_run(fake, shard=(0, 2))
    for index in (0, 1):
        write_other(run.work, index, 2, "elsewhere")
        note = run.work / f".active-elsewhere-{1000 + index}-units"
        whole = note.read_text().replace('"what": "units"', '"what": "run"')
        note.with_name(f".active-elsewhere-{1000 + index}-run").write_text(whole)
    assert {n["pid"] for n in active_runs(run)} == {1000, 1001}
    with noted(run, "run", run.work), noted(run, "units", run.work):
        assert {n["pid"] for n in active_runs(run)} == {os.getpid(), 1001}
    with noted(run, "run", run.work), noted(run, "pack", run.work):
        assert {n["pid"] for n in active_runs(run)} == {os.getpid()}
    assert not list(run.work.glob(".active-*"))


def test_a_damaged_note_is_nobody_at_work(fake):
    run = a_run(fake)
    record = write_other(run.work, 0, 1, "elsewhere", of=9, per_second=1, hosts={"a": 2})
    note = run.work / ".active-elsewhere-1000-units"
    whole, other = (json.loads(path.read_text()) for path in (note, record))
    assert any("0 of 9 units" in line for line in status_lines(run, status_data(run)))
    for name, wrong in (
        *{"done": "x", "unit": None, "what": ["x"], "of": "9", "per_second": "1"}.items(),
        *{"seconds_left": float("nan"), "hosts": ["a"], "note": 3, "done": None}.items(),
        *{"hosts": {"a": "x"}, "every": "2", "pid": 10**400}.items(),
    ):
        record.write_text(json.dumps({**other, name: wrong}))
        assert running(run.work) == [] and status_lines(run, status_data(run))
    for name, wrong in (
        *{"since": 1e300, "shard": "x", "config": 3, "what": ["units"], "set": [[]]}.items(),
        *{"shard": [1], "host": None}.items(),
        ("shard", ["0", "1"]),
    ):
        note.write_text(json.dumps({**whole, name: wrong}))
        assert active_runs(run) == []


@pytest.mark.parametrize(("count", "seconds"), [(1, 2.0), (32, 2.0), (3200, 200.0)])
def test_many_shares_write_more_rarely(tmp_path, monkeypatch, count, seconds):
    now = [50.0]
    monkeypatch.setattr(record_module.time, "monotonic", lambda: now[0])
    written = []
    monkeypatch.setattr(record_module, "write_json", lambda path, facts: written.append(now[0]))
    with recorded(tmp_path, (0, count)) as record:
        while now[0] < 50 + 4 * seconds:
            now[0] += 1
            record({"what": "crop"})
    assert written == [50 + seconds * i for i in range(1, 5)]


def test_others_see_how_far_looking_at_results_is(fake, monkeypatch):
    seen = []
    monkeypatch.setattr(record_module, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(record_module, "write_json", lambda path, facts: seen.append(facts))
    run = a_run(fake)
    words = "fake looking at results"
    for step in (lambda: commands.process(run, ("crop",)), lambda: commands.pack(run)):
        seen.clear()
        step()
        assert {facts["of"] for facts in seen if facts["what"] == words} == {3}
    seen.clear()
    commands.dry_run(run, ("crop",))
    assert seen == []


def test_results_are_counted_again_only_if_somebody_was_at_work(fake, monkeypatch):
    run, counted, times = a_run(fake), {}, []
    count = status_module._count_units
    monkeypatch.setattr(status_module, "_count_units", lambda *a: times.append(1) or count(*a))
    for expected in (1, 2):
        for _ in range(3):
            found = status_data(run, counted)["stages"]["crop"].get("current", 0)
        assert len(times) == expected and found == 3 * (expected - 1)
        commands.process(run, ("crop",))
    write_other(run.work, 0, 1, "elsewhere", done=1, of=3)
    times.clear()
    for _ in range(3):
        status_data(run, counted)
    assert len(times) == 3


def test_a_log_has_a_line_for_each_unit(fake, tmp_path):
    run = a_run(fake, "run.max_quarantined=1")
    (run.root / "seq1" / "world.json").write_text("[")
    file = tmp_path / "a.log"
    with terminal.logged(file):
        process.process(run, ("crop",), tell=lambda line: None)
        (run.root / "seq2" / "world.json").touch()
        process.process(run, ("crop",), tell=lambda line: None)
    host = os.uname().nodename
    first, second, third, again = (line[25:] for line in file.read_text().splitlines())
    assert sorted([first, second, third])[0].startswith("unit seq0: crop done, 4 examples, ")
    assert sorted([first, second, third])[1].startswith("unit seq1: quarantined, ")
    assert f" s on {host}: " in sorted([first, second, third])[1]
    assert sorted([first, second, third])[2].endswith(f" s on {host}")
    assert again.startswith("unit seq2: crop kept, 4 examples, ")


def test_a_log_gets_lines_where_a_terminal_gets_a_bar(tmp_path):
    file, clock, screen = tmp_path / "a.log", Clock(), Terminal()
    with terminal.logged(file), Progress("work", 100, stream=screen, clock=clock) as progress:
        for _ in range(10):
            clock.now += 6
            progress.update()
    lines = [line[25:] for line in file.read_text().splitlines()]
    assert lines == [
        "work: 2 of 100 units (2 %), 10/min, 10 min left",
        "work: 7 of 100 units (7 %), 10/min, 9 min left",
    ]
    assert "10 min left" not in screen.getvalue()


def test_each_share_has_a_log_and_a_journal_of_its_own(fake, tmp_path, monkeypatch):
    for words, name in (
        (["run", "fake", "--log", "a/b.log", "--shard", "3/8"], "a/b-3-of-8.log"),
        (["run", "fake", "--log", "a/b", "--shard", "3/8"], "a/b-3-of-8"),
        (["run", "fake", "--log", "a/b.log"], "a/b.log"),
        (["status", "fake", "--log", "a/b.log"], "a/b.log"),
    ):
        args = make_parser().parse_args(words)
        assert str(log_of_share(args.log, args)) == name
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    args = make_parser().parse_args(["run", "fake", "--log", "b.log"])
    assert str(log_of_share(args.log, args)) == "b-1-of-2.log"

    for index in (1, 0):
        run = a_run(fake, shard=(index, 2))
        process.process(run, ("crop",), tell=lambda line: None)
    names = sorted(p.name for p in run.work.glob("journal*"))
    assert names == ["journal-0-of-2.jsonl", "journal-1-of-2.jsonl"]
    found = list(journal_lines(run.work))
    assert sorted(line["unit"] for line in found) == ["seq0", "seq1", "seq2"]
    assert {line["host"] for line in found} == {os.uname().nodename}
    assert part_of(run, "crop", "seq2").is_file()

"""How far something is: drawn at a terminal, a line now and then elsewhere, kept for others."""

import io
import os
import re
import subprocess
import sys

import pytest
from fake_dataset import a_run, fake  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from progress_kit import Clock, Terminal

from posepile.durable import own_process
from posepile.files import write_json
from posepile.progress import Progress, doing, over, recorded, running
from posepile.progress import record as record_module
from posepile.progress.words import amount, duration, rate
from posepile.run import commands
from posepile.run.apart import call_apart


@pytest.fixture
def clock():
    return Clock()


def lines_of(clock, seconds, step, total=None, **asked):
    """What is written into a file by work that goes on evenly: (second, line)."""
    out, said = io.StringIO(), []
    with Progress("work", total, stream=out, clock=clock, **asked) as progress:
        for second in range(0, seconds, step):
            clock.now += step
            progress.update()
            *lines, rest = out.getvalue().split("\n")
            assert rest == ""
            said += [(second + step, line) for line in lines[len(said) :]]
    return said


def test_a_file_gets_whole_lines_now_and_then_and_no_bar(clock):
    said = lines_of(clock, 100, 1, 1000)
    assert [second for second, _ in said] == [10, 40, 70, 100]
    assert said[1][1] == "work: 40 of 1,000 units (4 %), 1/s, 16 min left"
    assert not any(c in line for _, line in said for c in "\r\x1b|█")


def test_work_that_ends_at_once_says_nothing_in_a_file(clock):
    assert lines_of(clock, 9, 1, 9) == []
    out = io.StringIO()
    assert list(over("abc", "letters", 3, stream=out)) == ["a", "b", "c"]
    assert out.getvalue() == ""


def test_a_week_of_work_is_no_thousand_lines(clock):
    assert 50 < len(lines_of(clock, 7 * 24 * 3600, 20)) < 200


def test_quiet_work_says_nothing(clock):
    assert lines_of(clock, 1000, 1, 1000, quiet=True) == []


def test_a_bar_has_rate_time_left_and_note_and_is_gone_at_the_end(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with Progress("aspset crop", 4, stream=out) as progress:
        progress._bar.delay = 0  # else only what lasts is drawn
        progress._bar.mininterval = 0
        progress.update(1, "5 examples")
        drawn = out.screen()[-1]
    assert drawn.startswith("aspset crop:  25% |") and drawn.endswith(" left, 5 examples")
    assert re.search(r" 1/4, [\d,.]+/s, ", drawn)
    assert out.screen() == [""]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_terminal_that_cannot_be_drawn_over_gets_lines(monkeypatch, clock, term):
    monkeypatch.setenv("TERM", term)
    out = Terminal()
    with Progress("work", 99, stream=out, clock=clock) as progress:
        clock.now += 20
        progress.update()
    assert ("work: 1 of 99 units" in out.getvalue()) == (term == "dumb")


def test_waiting_is_shown_too(clock):
    out = io.StringIO()
    with Progress("listing mine", unit="", stream=out, clock=clock) as progress:
        for _ in range(50):
            clock.now += 0.5
            progress.tick()
    assert out.getvalue() == "listing mine: 10 s so far\n"


def test_what_cannot_tell_how_far_it_is_is_named_at_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out, file = Terminal(), io.StringIO()
    with doing("writing the report", stream=out), doing("writing the report", stream=file):
        assert out.screen() == ["writing the report …"]
    assert out.screen() == [""] and file.getvalue() == ""


def test_bytes_are_said_in_the_nearest_unit(monkeypatch, clock):
    monkeypatch.setenv("TERM", "xterm")
    out, file = Terminal(), io.StringIO()
    with Progress("a.zip", 40_000_000, "B", stream=out) as progress:
        progress._bar.delay = progress._bar.mininterval = 0
        progress.update(10_000_000)
        assert re.match(r"a\.zip:  25% \|.*\| 10\.0M/40\.0M, .*B/s, ", out.screen()[-1])
    with Progress("a.zip", 40_000_000, "B", stream=file, clock=clock) as progress:
        clock.now += 10
        progress.update(10_000_000)
    assert file.getvalue() == "a.zip: 10.0 MB of 40.0 MB (25 %), 1.0 MB/s, 30 s left\n"


def test_names_from_files_do_not_steer_the_terminal(clock):
    out = io.StringIO()
    with Progress("a\x1b[2Jb", stream=out, clock=clock) as progress:
        clock.now += 60
        progress.update(1, "x\ny")
    assert out.getvalue() == "a\\x1b[2Jb: 1 unit, 1/min, 60 s so far, x\\ny\n"


def test_others_can_see_what_a_run_is_at(tmp_path, monkeypatch, clock):
    monkeypatch.setattr(record_module, "EVERY_SECONDS", 0.0)
    assert running(tmp_path) == [] == running(tmp_path / "none")
    with recorded(tmp_path) as record, recorded(tmp_path, (1, 8)) as share:
        with Progress("crop", 10, quiet=True, record=record, clock=clock) as progress:
            clock.now += 6
            progress.update(4, "9 examples")
        share({"what": "crop", "done": 0, "unit": "units"})
        first, second = sorted(running(tmp_path), key=lambda facts: facts["shard"])
        assert (first["done"], first["of"], first["note"]) == (4, 10, "9 examples")
        assert (first["seconds"], first["seconds_left"]) == (6, 9)
        assert (second["shard"], second["pid"]) == ("1/8", os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_runs_that_were_killed_are_not_at_work(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    own = {**own_process(), "what": "crop", "done": 0, "unit": "units"}
    # The number of one that has ended may be another's by now.
    other = {**own, "pid": os.getpid(), "began": "1"}
    elsewhere = {**own, "host": "elsewhere", "pid": 1}
    for i, facts in enumerate([{**own, "pid": gone.pid}, other, elsewhere, {"pid": "x"}, {}]):
        write_json(tmp_path / f"running-{i}-of-9.json", facts)
        os.utime(tmp_path / f"running-{i}-of-9.json", (1, 1))
    (tmp_path / "running.json").write_text("[1")
    assert running(tmp_path) == []
    write_json(tmp_path / "running.json", {**own, "pid": os.getpid()})
    assert len(running(tmp_path)) == 1


def test_what_runs_apart_is_shown_while_it_runs(monkeypatch):
    monkeypatch.setattr("posepile.run.apart.REDRAW_SECONDS", 0.01)
    ticks = []
    monkeypatch.setattr(Progress, "tick", lambda self: ticks.append(self.what))
    read, write = os.pipe()

    def wait():  # until it was shown twice, of which the pipe tells
        return os.read(read, 1)

    monkeypatch.setattr(
        Progress,
        "tick",
        lambda self: (ticks.append(self.what), len(ticks) == 2 and os.write(write, b"x")),
    )
    assert call_apart(wait, "listing mine", shown=True) == b"x"
    assert ticks[:2] == ["listing mine"] * 2


@given(st.floats(0, 1e8))
def test_times_are_said_in_two_units_and_grow(seconds):
    """Never "60 s" of a minute more or "24 h": units in order, none full."""
    words = duration(seconds).split()
    limits = {"s": 120, "min": 120, "h": 24, "d": 1e9}
    assert len(words) in (2, 4) and int(words[0]) < limits[words[1]]
    if len(words) == 4:
        assert int(words[2]) < {"min": 60, "h": 24}[words[3]]


@given(st.floats(1e-6, 1e12))
def test_rates_have_the_figure_before_the_unit(per_second):
    number, unit = rate(per_second, "units").split("/")
    factor = {"s": 1, "min": 60, "h": 3600}[unit]
    said = float(number.replace(",", ""))
    assert said == pytest.approx(per_second * factor, rel=0.06)
    size, prefix = amount(per_second, "B").split()
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[prefix]
    assert float(size) * factor == pytest.approx(per_second, rel=0.06, abs=0.6)


def test_a_run_shows_each_of_its_long_parts(fake, monkeypatch):  # noqa: F811
    seen = []

    def update(self, n=1, note=None):
        seen.append((self.what, n, self.total, note))

    monkeypatch.setattr(Progress, "update", update)
    run = a_run(fake, quiet=False)
    commands.process(run, ("crop",))
    commands.pack(run)
    parts = {what: [s for s in seen if s[0] == what] for what, *_ in seen}
    assert len(parts["fake looking at results"]) == 6  # before the work, and before packing
    crops = parts["fake crop"]
    assert [(n, total) for _, n, total, _ in crops] == [(1, 3)] * 3
    assert crops[-1][3] == "12 examples"
    packed = parts["fake pack"]
    assert sum(n for _, n, _, _ in packed) == packed[0][2] > 0


def test_an_estimate_that_was_too_low_is_no_total_any_more(clock):
    """Neither 216 of 210 nor no time left: how many there are is unknown from then on."""
    out = Terminal()
    with Progress("compiling", 3, "functions", stream=out, clock=clock) as progress:
        for _ in range(5):
            clock.now += 60
            progress.update()
            progress._bar.refresh()
        assert progress.seconds_left() is None and "5 functions" in progress.line()
    last = out.getvalue().rstrip("\r \n").split("\r")
    shown = [text for text in last if text.startswith("compiling: 5")]
    assert shown and "?" not in shown[-1] and "left" not in shown[-1]
    assert "s/" not in out.getvalue()  # seconds per function


def test_what_compiling_took_is_said_apart(fake, monkeypatch, capsys):  # noqa: F811
    spent = iter([5.0, 95.0])
    monkeypatch.setattr(commands, "seconds_compiling", lambda: next(spent))
    commands.process(a_run(fake), ("crop",))
    (line,) = (t for t in capsys.readouterr().out.splitlines() if " done now" in t)
    assert line.endswith("quarantined after 90 s of compiling")

"""What a run says fits a screen: what was made, what was dropped and why, what is next."""

import dataclasses
import re
import textwrap

import pytest
from fake_dataset import a_run, fake  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st

from posepile.acquire.telling import NAMED, Unpacked, left_lines
from posepile.cli import running
from posepile.run import commands, said
from posepile.run.executor import Limits, run_tasks
from posepile.run.worker_log import ALIKE, Log, Voice
from posepile.stages.counts import Counts

REASONS = st.dictionaries(st.text("abc ", min_size=1, max_size=9), st.integers(1, 99), max_size=12)


def rows(text, width=80):
    """Rows on a screen, long lines wrapped."""
    return [row for line in text.splitlines() for row in textwrap.wrap(line, width) or [""]]


@given(REASONS, REASONS, REASONS)
def test_reasons_are_few_and_come_to_all_that_was_dropped(dropped, excluded, notes):
    counts = Counts(annotated=9, selected=9)
    groups = {"dropped": dropped, "excluded": excluded, "note": notes}
    counts.dropped.update(dropped)
    counts.excluded.update(excluded)
    counts.notes.update(notes)
    lines = said.count_lines(counts, "mine", {})[1:]
    assert len(lines) <= said.REASONS + 3
    for title, reasons in groups.items():
        own = [line for line in lines if line.startswith(f"  {title}: ")]
        numbers = [int(re.match(rf"  {title}: (\d+) x ", line)[1]) for line in own]
        assert sum(numbers) == sum(reasons.values())
        named = numbers[:-1] if own and " other reasons; " in own[-1] else numbers
        assert named == sorted(reasons.values(), reverse=True)[: len(named)]
        if len(named) < len(numbers):  # the others are at least two
            assert f" {len(reasons) - len(named)} other reasons; posepile report" in own[-1]
            assert len(reasons) - len(named) >= 2


def test_self_checks_are_one_line():
    counts = Counts(annotated=1, selected=1)
    for i in range(6):
        counts.checks[f"check{i}"] = [2, 0.5, i / 8]
    (line,) = said.count_lines(counts, "mine", {"max_check1": 0.5, "max_check2": True})[1:]
    without = "(no limit stated)"
    assert line == (
        f"  self-checks, largest: check0 0 {without}, check1 0.125 (limit 0.5), "
        f"check2 0.25 {without}, check3 0.375 {without}, 2 others"
    )


def test_many_warnings_are_a_few():
    assert said.few(["a"] * 4, "mine") == ["a"] * 4
    assert said.few([f"w{i}" for i in range(9)], "a b") == [
        "w0",
        "w1",
        "w2",
        "and 6 more like this; posepile report 'a b'",
    ]


def whole_run(run, capsys):
    words = commands.process(run, ("crop",))
    running._report(run, commands.pack(run, words))
    return capsys.readouterr()


def test_a_whole_run_fits_a_screen_and_says_what_is_next(fake, capsys):  # noqa: F811
    run = a_run(fake, quiet=False)
    out, err = whole_run(run, capsys)
    out = out.replace(str(fake), "/data")
    assert err == "" and len(rows(out)) <= 12
    assert "fake: packed: 8 train, 4 val, 0 test" in out
    lines = [line.split(maxsplit=1) for line in out.splitlines()[-5:]]
    assert [label for label, _ in lines] == ["archive", "pickle", "report", "look", "use"]
    assert lines[3][1] == "posepile view fake"
    assert lines[4][1] == "from posepile.datasets3d import get_dataset; get_dataset('fake')"


def test_a_rerun_with_nothing_to_do_is_two_lines(fake, capsys):  # noqa: F811
    run = a_run(fake)
    whole_run(run, capsys)
    assert whole_run(run, capsys).out.splitlines() == [
        "fake: crop: 3 units: 0 done now, 3 kept, 0 quarantined",
        "fake: is packed and current: 8 train, 4 val, 0 test; posepile view fake",
    ]


def test_what_stands_in_for_networks_is_said_with_the_work_alone(fake, capsys):  # noqa: F811
    run = dataclasses.replace(a_run(fake), stand_in="drawn figures are no people")
    assert "fake: drawn figures are no people\n" in whole_run(run, capsys).out
    assert "drawn figures" not in whole_run(run, capsys).out


def test_what_a_recipe_says_again_is_not_repeated(tmp_path):
    assert said.unsaid(tmp_path, []) == [] == list(tmp_path.iterdir())
    assert said.unsaid(tmp_path, ["8 made now"]) == ["8 made now"]
    assert said.unsaid(tmp_path, ["0 made now"]) == ["0 made now"]
    assert said.unsaid(tmp_path, ["0 made now"]) == []
    (tmp_path / "calibrated.json").write_text("[")
    assert said.unsaid(tmp_path, ["0 made now"]) == ["0 made now"]


# ---------------------------------------------------------------- of many alike, a few


def test_of_lines_that_are_alike_the_first_are_shown(capsys):
    for _ in run_tasks(complain, range(20), limits=Limits(8 << 30, 60)):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == ALIKE + 2
    assert lines.count("the codec is old") == 1
    assert re.fullmatch(r"and 17 more lines like: /raw/\d+\.mp4: frame \d+ is lost", lines[-1])


def complain(i):
    import sys

    print(f"/raw/{i}.mp4: frame {i} is lost\nthe codec is old", file=sys.stderr)


def test_notes_of_a_long_task_are_shown_while_it_lasts():
    log = Log()
    try:
        log.file.write(b"compiling\nhalf a l")
        assert log.notes() == []  # as new as this may be the beginning of a trace
        assert log.notes() == ["compiling"] and log.notes() == []
        log.file.write(b"ine\n")
        assert log.notes() == [] and log.notes() == ["half a line"]
        log.file.write(b"Fatal Python error: Segmentation fault\n  File x\n")
        assert [log.notes() for _ in range(3)] == [[], [], []]
        assert log.end().startswith("compiling\nhalf a line\nFatal Python error")
        log.cut()
        log.file.write(b"another task\n")
        assert [log.notes() for _ in range(2)] == [[], ["another task"]]
    finally:
        log.close()


@given(st.lists(st.sampled_from([f"{w} {i}" for w in "ab" for i in range(9)]), max_size=60))
def test_lines_of_workers_are_counted_once_each(lines):
    voice = Voice()
    shown = voice.new(lines)
    rest = [int(re.match(r"and (\d+) more", line)[1]) for line in voice.last()]
    assert len(shown) + sum(rest) == len(set(lines)) and len(shown) <= 2 * ALIKE
    assert voice.last() == []


@pytest.mark.parametrize("n", [NAMED, NAMED + 1, 450])
def test_what_is_left_of_many_sources_is_a_line(n):
    left = [(f"s{i}", f"s{i}.zip is missing") for i in range(n)] + [("other", "ask for it")]
    lines = left_lines("mine", left)
    assert len(lines) == (n + 1 if n <= NAMED else 2) and lines[-1] == "other: ask for it"
    out = []
    unpacked = Unpacked(out.append)
    for i in range(n):
        unpacked.add(f"s{i}", 2, f"s{i}.zip")
    unpacked.say_rest()
    assert len(out) == min(n, NAMED + 1)
    if n > NAMED:
        assert out[-1].startswith(f"and {2 * (n - NAMED)} files from {n - NAMED} more archive")

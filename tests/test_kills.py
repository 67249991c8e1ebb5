"""The command that kills runs sees what they leave; a killed run that goes on leaves nothing."""

import fcntl
import os
import random
import subprocess
import sys

import pytest
from conftest import ROOT

from posepile.checking import raw_server
from posepile.checking.bench import Bench
from posepile.checking.leftovers import contents, differences, held_locks, users_of
from posepile.checking.victims import At, kill, processes_of
from posepile.report import markup


def test_two_states_differ_in_bytes_and_names(tmp_path):
    for root in (tmp_path / "a", tmp_path / "b"):
        (root / "x_work" / "parts").mkdir(parents=True)
        (root / "x.barecat").write_bytes(b"same")
        (root / "x_work" / "journal.jsonl").write_text(str(root))  # holds times
    a, b = tmp_path / "a", tmp_path / "b"
    assert differences(contents(a, "x"), contents(b, "x")) == []
    (b / "x.barecat").write_bytes(b"sama")
    (b / "x_work" / "parts" / ".1.part.tmp").touch()
    (b / "x_work" / "journal.jsonl").unlink()
    assert differences(contents(a, "x"), contents(b, "x")) == [
        "x.barecat has other bytes",
        "x_work/journal.jsonl is missing",
        "x_work/parts/.1.part.tmp is too many",
    ]


def test_how_long_the_work_took_is_no_difference_between_pages(tmp_path):
    def page(took: str, size: str) -> dict[str, str]:
        sections = [
            markup.Section("counts", "Counts", f"<p>{size}</p>", summary=size),
            markup.Section("timings", "Time it took", f"<p>{took}</p>", summary=f"{took} of work"),
        ]
        (tmp_path / "x_work").mkdir(exist_ok=True)
        (tmp_path / "x_work" / "report.html").write_text(markup.page_html("x", "", sections))
        return contents(tmp_path, "x")

    assert page("0.1 s", "4 examples") == page("0.2 s", "4 examples")
    assert page("0.1 s", "4 examples") != page("0.1 s", "5 examples")


def test_held_locks_and_processes_are_seen(tmp_path):
    free, held = tmp_path / ".lock-free", tmp_path / ".lock-held"
    free.touch()
    sleeper = subprocess.Popen(["sleep", "60"], cwd=tmp_path, start_new_session=True)
    try:
        with open(held, "w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            assert held_locks(tmp_path) == [held]
        assert held_locks(tmp_path) == []
        assert processes_of(sleeper.pid) == {sleeper.pid}
        assert users_of(tmp_path) == {sleeper.pid: str(tmp_path)}
    finally:
        kill(processes_of(sleeper.pid))
        sleeper.wait()
    assert processes_of(sleeper.pid) == set() and users_of(tmp_path) == {}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    with raw_server.serving(folder) as url:
        (folder / "coco").mkdir()
        yield Bench("coco", folder / "coco", url, random.Random(0))


@pytest.mark.parametrize("stage", ["extract", "pack"])  # listing runs in a fork
def test_a_run_ended_before_a_file_operation_goes_on(bench, stage):
    bench.restore({"pack": "processed", "extract": "nothing"}.get(stage, "downloaded"))
    middle = (bench.operations[stage] + 1) // 2
    with bench.run(at=At(stage, middle, "all")) as run:
        assert run.finish() == -9
    assert run.stage == stage
    assert bench.problems(script=False) != []
    bench.resume(script=False, retry=False)
    assert bench.problems(script=False) == []


def test_a_fault_that_a_kill_leaves_is_told(bench):
    bench.restore("packed")
    bench.resume(script=False, retry=False)
    (bench.root / "coco_work" / ".orphan.tmp").touch()
    with open(bench.root / "coco.barecat", "ab") as f:
        f.write(b"x")
    assert bench.problems(script=False) == [
        "coco.barecat has other bytes",
        "coco_work/.orphan.tmp is too many",
    ]


def test_an_unknown_dataset_is_refused_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "posepile.checking.kills", "nosuch", "--times", "1"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "nosuch" in done.stderr

"""How a command ends that is ended from outside: a clean line, no trace of Python."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import usage_kit
from conftest import ROOT
from usage_kit import make_mini

packed_mini, own_mini = usage_kit.packed_mini, usage_kit.own_mini  # the fixtures

INTERRUPTED = "posepile: interrupted; run again to go on where it stopped\n"

# A recipe whose second unit says that it is there, then waits until somebody ends it.
WAITS = """
import time
first = load_unit
def load_unit(root, unit, options):
    if unit.id == "seq1":
        (root.parent / "here").write_text(str(__import__("os").getpid()))
        while True:
            time.sleep(0.01)
    return first(root, unit, options)
"""


def start(*argv, **how):
    return subprocess.Popen(
        [sys.executable, "-m", "posepile", *argv],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **how,
    )


@pytest.fixture
def waiting(own_mini):
    """A run whose worker is at the second unit: the process, and the worker's id."""
    make_mini(own_mini.parent / "datasets", WAITS, "select: {method: last}\n")
    shutil.rmtree(own_mini / "mini_work")
    process = start("run", "mini", "--quiet", "--stage", "crop", "--jobs", "1")
    here = own_mini / "here"
    while not (here.exists() and here.read_text()):
        assert process.poll() is None, process.communicate()
        signal.sigtimedwait([], 0.02)
    yield process, int(here.read_text())
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 3), (signal.SIGTERM, 1), (signal.SIGHUP, 2)]
)
def test_a_run_that_is_ended_says_one_line(waiting, number, times):
    process, _ = waiting
    for _ in range(times):  # people press Ctrl-C again
        os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, INTERRUPTED)


def test_a_unit_whose_workers_are_killed_twice_ends_the_run_with_one_line(waiting, own_mini):
    """The system kills when memory runs out: no file is to blame, so nothing is quarantined."""
    process, worker = waiting
    os.kill(worker, signal.SIGKILL)
    here = own_mini / "here"
    while here.read_text() in ("", str(worker)):  # it is tried once more, alone
        assert process.poll() is None, process.communicate()
        signal.sigtimedwait([], 0.02)
    os.kill(int(here.read_text()), signal.SIGKILL)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and len(errors.splitlines()) == 1
    assert "its worker process ended with signal 9 (SIGKILL)" in errors and "run again" in errors
    assert "quarantined" not in out and "Traceback" not in out + errors


@pytest.mark.parametrize("command", [["list"], ["run", "mini", "--quiet", "--dry-run"]])
def test_a_closed_pipe_ends_a_command_silently(own_mini, command):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "posepile", *command],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (128 + signal.SIGPIPE, "")

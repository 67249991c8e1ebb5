"""What reads raw files outside of units: a crash there is one line that names the file."""

import os
import resource
import signal
import sys

import fake_dataset
import numpy as np
import pytest
from fake_dataset import a_run

from posepile.errors import CorruptInput, Shortage, WorkError
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol
from posepile.evaluation.command import run_benchmark
from posepile.evaluation.forms import keyed
from posepile.run import apart, raw, raw_state
from posepile.run.apart import call_apart
from posepile.run.job import run_keys, run_units
from posepile.run.worker import end_with_parent

fake = fake_dataset.fake  # the fixture
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="called without a fork there")


def crash(path):
    """As a library does: the file is read, then the process ends."""
    with open(path, "rb") as f:
        f.read()
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.c3d").write_bytes(b"bad")
    return tmp_path / "a.c3d"


def test_results_and_errors_come_back(file):
    assert call_apart(lambda: {"a": [1, 2]}, "x") == {"a": [1, 2]}

    def refuse():
        raise CorruptInput(file, "found 1; expected 2", hint="fetch it")

    with pytest.raises(CorruptInput, match="found 1; expected 2; fetch it") as caught:
        call_apart(refuse, "x")
    assert caught.value.hint == "fetch it"
    with pytest.raises(KeyError, match="nothing") as caught:
        call_apart(lambda: {}["nothing"], "x")
    assert "test_apart.py" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="cannot be handed over"):
        call_apart(lambda: lambda: 0, "x")


def test_a_crash_names_the_file(file, capfd):
    with pytest.raises(WorkError) as caught:
        call_apart(lambda: crash(file), "counting")
    line = str(caught.value)
    assert line.startswith(f"{file}: counting ended with signal 11 (SIGSEGV), ")
    assert "\n" not in line and "opened last" in line
    assert capfd.readouterr() == ("", "")
    with pytest.raises(WorkError, match=r"^counting: the process ended with exit code 3$"):
        call_apart(lambda: os._exit(3), "counting")


def test_who_is_killed_blames_no_file(file):
    """The system kills when memory runs out, whatever file was opened last."""

    def be_killed():
        file.read_bytes()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(Shortage, match=r"^counting: .*\(SIGKILL\): the system kills") as caught:
        call_apart(be_killed, "counting")
    assert "exclusions" not in str(caught.value) and "run again" in str(caught.value)


def test_a_crash_under_a_limit_of_memory_blames_no_file(file, monkeypatch):
    monkeypatch.setattr("posepile.shortage._soft", lambda kind: 1_000_000_000)
    with pytest.raises(Shortage, match="not enough memory: ulimit -v lets a process have 1.0 GB"):
        call_apart(lambda: crash(file), "counting")


def test_who_ends_while_writing_the_answer(file, monkeypatch):
    def dumps(value, protocol):
        return b"half of an answer"

    monkeypatch.setattr("posepile.run.apart.pickle.dumps", dumps)
    monkeypatch.setattr("posepile.run.apart.os._exit", lambda code: crash(file))
    with pytest.raises(WorkError, match=r"a\.c3d: counting ended with signal 11 \(SIGSEGV\)"):
        call_apart(lambda: 1, "counting")


def test_a_process_with_thousands_of_open_files(file):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 1200:
        pytest.skip(f"a process may open {most} files here")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(1200, before[0]), most))
    opened = [os.open(file.parent, os.O_RDONLY) for _ in range(1100)]
    try:
        assert call_apart(lambda: 6 * 7, "multiplying") == 42
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_memory_has_a_limit(file, monkeypatch):
    monkeypatch.setattr("posepile.run.apart.machine_memory", lambda: 3e8)
    with pytest.raises(WorkError, match=r"^counting: needed more than 0\.3 GB of memory$"):
        call_apart(lambda: len(bytearray(1_000_000_000)), "counting")
    assert call_apart(lambda: len(bytearray(100_000_000)), "counting") == 100_000_000


def test_what_interrupts_the_caller_ends_the_child(file):
    pids = file.with_name("pid")

    def interrupt():
        pids.write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()

    with pytest.raises(KeyboardInterrupt):
        call_apart(interrupt, "waiting")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
def test_who_has_lost_its_caller_before_it_began_does_not_begin(file, monkeypatch):
    done, ours, theirs = file.with_name("done"), *os.pipe()
    caller = os.fork()
    if not caller:

        def too_late(parent):
            os.kill(parent, signal.SIGKILL)
            while os.getppid() == parent:
                os.sched_yield()
            end_with_parent(parent)

        monkeypatch.setattr(apart, "end_with_parent", too_late)
        call_apart(done.touch, "waiting")
        os._exit(0)
    os.close(theirs)
    assert os.waitstatus_to_exitcode(os.waitpid(caller, 0)[1]) == -signal.SIGKILL
    with open(ours, "rb") as pipe:  # the child's end of it closes when it has ended
        pipe.read()
    assert not done.exists()


def test_an_evaluation(file, tmp_path, capsys):
    def predictions(setup):
        if not (tmp_path / "calm").exists():
            crash(setup.pred_path)
        return keyed(setup.pred_path, ["a"], {"joints": np.zeros((1, 2, 3))})

    benchmark = Benchmark(
        "mydata",
        [Protocol("mydata.p1", ("MPJPE_mm",), "2", "none", "none", "all", "ours")],
        lambda setup: [Clip("all", ["a"], {"joints": np.zeros((1, 2, 3))})],
        predictions,
        lambda setup, clip, pred: {"MPJPE_mm": np.zeros((1, 2))},
    )
    asked = ["--pred-path", str(file), "--data-dir", str(tmp_path / "raw")]
    assert run_benchmark(benchmark, asked) == 1
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    assert said.err.startswith(f"{file}: the evaluation ended with signal 11")
    (tmp_path / "calm").touch()
    assert run_benchmark(benchmark, asked) == 0
    assert "mydata.p1: 1 entries of 1 clips" in capsys.readouterr().out


@pytest.mark.parametrize("step", ["list_units", "calibrate", "doctor"])
def test_listing_calibrating_and_doctor(fake, monkeypatch, step):
    asked = a_run(fake, "run.isolate=true")
    (asked.root / "a.raw").write_bytes(b"bad")

    def recipe_function(root, options):
        crash(root / "a.raw")

    monkeypatch.setattr(asked.recipe, step, recipe_function, raising=False)
    do = {
        "list_units": lambda: run_units(asked, run_keys(asked)),
        "calibrate": lambda: raw.calibrate(asked),
        "doctor": lambda: raw_state.examine(asked),
    }
    with pytest.raises(WorkError, match=r"a\.raw: .* fake ended with signal 11 \(SIGSEGV\)"):
        do[step]()
    assert not list(asked.work.glob("units.sqlite"))

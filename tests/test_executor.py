"""Worker processes: whatever becomes of a task, the others are done, once each."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fates
import psutil
import pytest
from fates import MB
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posepile.errors import UsageError, WorkError
from posepile.run import pool, worker
from posepile.run.executor import Limits, Lost, cpu_count, run_tasks

OK = [("double", i) for i in range(6)]


def results(tasks, **options):
    """Task -> result; every task must come back exactly once."""
    pairs = list(run_tasks(fates.meet, iter(tasks), **options))
    assert Counter(task for task, _ in pairs) == Counter(tasks)
    assert children() == []
    return dict(pairs)


# What tests before have left, such as the resource tracker of multiprocessing.
_others: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _children_of_other_tests():
    _others.clear()
    _others.update(psutil.Process().children(recursive=True))


def children():
    return [p for p in psutil.Process().children(recursive=True) if p not in _others]


def check_others(found):
    assert {t: r for t, r in found.items() if t in OK} == {t: 2 * t[1] for t in OK}


# ---------------------------------------------------------------- what is done


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_tiny_tasks_come_back_once_each(jobs):
    found = results([("double", i) for i in range(5000)], jobs=jobs, limits=Limits(2**30, 600))
    assert found == {("double", i): 2 * i for i in range(5000)}


def test_tasks_are_taken_when_they_are_needed():
    taken = 0

    def tasks():
        nonlocal taken
        while True:
            taken += 1
            yield ("double", taken)

    with contextlib.closing(run_tasks(fates.meet, tasks(), jobs=2)) as pairs:
        for finished in range(1, 200):
            next(pairs)
            assert taken <= finished + 4
    assert children() == []


def test_tasks_and_results_may_be_large():
    text = "x" * 5 * MB
    assert results([("double", text), ("double", text + "y")], jobs=2)["double", text] == 2 * text


def test_no_tasks_need_no_worker():
    assert results([], jobs=2) == {}


def test_a_fault_of_the_list_of_tasks_ends_the_run():
    def tasks():
        yield from OK
        raise WorkError("no more")

    with pytest.raises(WorkError, match="no more"):
        list(run_tasks(fates.meet, tasks(), jobs=2))
    assert children() == []


# ---------------------------------------------------------------- tasks that are lost


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("task", "kind", "reason", "trace"),
    [
        (("read_nothing",), "died", "ended with signal 11 (SIGSEGV)", "in read_nothing"),
        (("read_nothing",), "died", "signal 11", "the last words"),
        (("leave", 3), "died", "its worker process ended with exit code 3", None),
        (("leave", 0), "died", "ended with exit code 0", None),
        (("send_myself", signal.SIGKILL), "shortage", "(SIGKILL): the system kills workers", None),
        (("fail", "a fault"), "exception", "unexpected ValueError: a fault", "in fail"),
        (("ask_to_leave", 4), "exception", "unexpected SystemExit: 4", "in ask_to_leave"),
        (("no_result",), "exception", "cannot be handed over: TypeError", None),
        (("run_out",), "memory", "needed more than 0.3 GB of memory", "in run_out"),
    ],
)
def test_a_task_that_fails_is_lost_alone(task, kind, reason, trace, jobs):
    found = results([*OK[:3], task, *OK[3:]], jobs=jobs, limits=Limits(300 * MB, 600))
    lost = found[task]
    assert isinstance(lost, Lost)
    assert lost.kind == kind
    assert reason in lost.reason
    assert trace is None or trace in lost.trace
    check_others(found)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_task_whose_worker_was_killed_is_tried_again_beside_fewer(tmp_path, jobs):
    task = ("send_myself_once", signal.SIGKILL, str(tmp_path / "killed"))
    found = results([*OK[:3], task, *OK[3:]], jobs=jobs, limits=Limits(300 * MB, 600))
    assert found[task] == "done"
    check_others(found)


@pytest.mark.parametrize("name", ["hang_in_c", "hang_in_python"])
def test_a_task_that_hangs_is_ended(name):
    found = results([(name,), *OK], jobs=1, limits=Limits(None, 1.0))
    assert (found[name,].kind, found[name,].reason) == ("stalled", "no progress for 1 s")
    assert f"in {name}" in found[name,].trace
    check_others(found)


def test_a_task_that_makes_progress_may_take_its_time(tmp_path):
    slow = ("go_on_until", str(tmp_path / "done"))
    tasks = [slow, ("hang_in_c",), ("hang_in_python",)]
    found = {}
    for task, result in run_tasks(fates.meet, tasks, jobs=2, limits=Limits(None, 0.5)):
        found[task] = result
        if len(found) == 2:
            (tmp_path / "done").touch()
    assert list(found) == [*tasks[1:], slow]
    assert found[slow] is None


@pytest.mark.parametrize(
    ("task", "trace"),
    [
        (("eat", 100_000 * MB), "in eat"),  # bit by bit, until somebody looks
        (("eat_at_once", 10_000 * MB), "in eat_at_once"),  # refused by the system
        (("let_eat", 400 * MB), "in let_eat"),  # in a program that the task starts
    ],
)
def test_a_task_that_needs_too_much_memory_is_ended(task, trace):
    found = results([task, *OK], jobs=1, limits=Limits(300 * MB, 30))
    assert found[task].kind == "memory"
    assert found[task].reason == "needed more than 0.3 GB of memory"
    assert trace in found[task].trace
    check_others(found)


def test_what_a_task_leaves_in_memory_is_not_the_fault_of_the_next():
    tasks = [("leave_behind", 40 * MB + i) for i in range(12)]
    found = results(tasks, jobs=1, limits=Limits(300 * MB, 600))
    assert not [r for r in found.values() if isinstance(r, Lost)]
    assert 2 <= len(set(found.values())) <= 6  # workers


def test_a_program_may_have_more_files_open_than_select_knows():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip(f"at most {hard} files can be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    opened = []
    try:
        while not opened or opened[-1] < 1100:
            opened.append(os.open(os.devnull, os.O_RDONLY))
        assert not [r for r in results(OK, jobs=2).values() if isinstance(r, Lost)]
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_task_has_started_ends_with_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    results([("leave_a_program", str(tmp_path / "pipe"))])
    assert select.select([reader], [], [], 30)[0]
    assert os.read(reader, 1) == b""  # nobody has it open any more
    os.close(reader)


FATES = [("fail", "x"), ("leave", 5), ("read_nothing",), ("run_out",)]
KINDS = {"fail": "exception", "leave": "died", "read_nothing": "died", "run_out": "memory"}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([*OK, *FATES]), max_size=25), st.integers(1, 3))
def test_any_mixture_of_fates(tasks, jobs):
    pairs = list(run_tasks(fates.meet, tasks, jobs=jobs))
    assert Counter(task for task, _ in pairs) == Counter(tasks)
    for task, result in pairs:
        expected = KINDS.get(task[0])
        assert result == 2 * task[1] if expected is None else result.kind == expected


# ---------------------------------------------------------------- surroundings of the work


def test_workers_have_the_present_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for value in ("one", "two"):
        monkeypatch.setenv("DATA_ROOT", value)
        task = ("variables", "DATA_ROOT", "INITIALIZED")
        assert results([task], initialize=fates.initialize_well) == {task: [value, "yes"]}
    task = ("surroundings",)
    assert results([task], threads=3) == {task: (str(tmp_path), 3, "3", 0)}


@pytest.mark.parametrize(
    ("preload", "is_loaded"),
    [
        (None, False),
        (fates.import_wave, True),
        (fates.import_what_is_missing, True),
        (fates.import_with_threads, False),  # not before the fork
    ],
)
def test_modules_are_imported_before_the_fork(preload, is_loaded):
    task = ("loaded", "wave", "no_such_module")
    assert results([task], preload=preload) == {task: [is_loaded, False]}


def test_what_workers_say_is_shown_once(capfd):
    results([("say", "a warning")] * 5 + [("say", "another")], jobs=2)
    assert sorted(capfd.readouterr().err.split("\n")) == ["", "a warning", "another"]


def test_a_signal_for_everybody_does_not_count_against_a_task():
    for number in (signal.SIGTERM, signal.SIGINT):
        task = ("send_myself", number)
        assert results([task]) == {task: "still here"}


def test_workers_that_cannot_start_end_the_run():
    with pytest.raises(WorkError, match=r"3 worker processes.*exit code 1.*RuntimeError: no such"):
        list(run_tasks(fates.meet, OK, jobs=2, initialize=fates.initialize_badly))
    assert children() == []


def test_an_end_of_the_server_ends_the_run(tmp_path):
    tasks = [("double", 0), ("go_on_until", str(tmp_path / "never"))]
    with contextlib.closing(run_tasks(fates.meet, tasks, jobs=2)) as pairs:
        next(pairs)
        server = next(p for p in children() if p.ppid() == os.getpid())
        server.kill()
        with pytest.raises(WorkError, match=r"starts the workers ended \(signal 9\)"):
            next(pairs)
    assert children() == []


def test_in_process_gives_the_same_results():
    tasks = [*OK, ("fail", "a fault"), ("run_out",)]
    here = results(tasks, executor="in_process")
    there = results(tasks)
    for task in OK:
        assert here[task] == there[task]
    for task in tasks[6:]:
        assert (here[task].kind, here[task].reason) == (there[task].kind, there[task].reason)
    with pytest.raises(UsageError, match="'threads': not one of processes, in_process"):
        run_tasks(fates.meet, [], executor="threads")


def test_there_is_a_processor():
    assert 1 <= cpu_count() <= os.cpu_count()


# ---------------------------------------------------------------- ends of the run


def test_closing_ends_the_work():
    pairs = run_tasks(fates.meet, [*OK, *[("hang_in_c",)] * 4], jobs=2)
    for _ in OK:
        next(pairs)
    pairs.close()
    assert children() == []


def test_an_interrupt_while_ending_comes_late(monkeypatch):
    def kill_and_interrupt(pid):
        signal.raise_signal(signal.SIGINT)
        worker.kill_group(pid)

    monkeypatch.setattr(pool, "kill_group", kill_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(fates.meet, OK, jobs=2))
    assert children() == []
    pairs = run_tasks(fates.meet, OK, jobs=2)
    next(pairs)
    pairs.close()  # ends anyway
    assert children() == []


ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, "all but the workers"]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_end_with_their_run(how, jobs):
    number = signal.SIGKILL if how == ENDS[3] else how
    process = subprocess.Popen(
        [sys.executable, "-c", f"import fates; fates.run_for_ever({jobs})"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(jobs):
        assert process.stdout.readline() == "at it\n"
    if how == ENDS[3]:
        if sys.platform != "linux":
            pytest.skip("only Linux ends a process with its parent")
        process.send_signal(signal.SIGSTOP)
        (server,) = psutil.Process(process.pid).children()
        server.kill()
    # Twice, as by somebody who has no patience; to the whole group, as by a terminal.
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    # Whoever still lives holds the other end of the pipe: this waits for all of them.
    output, errors = process.communicate(timeout=60)
    assert errors == ""
    assert output == ("" if number == signal.SIGKILL else "interrupted\n")
    assert process.returncode == (-number if number == signal.SIGKILL else 0)
    for _ in range(1000):  # closing files is not the last that an ending process does
        alive = [p for p in psutil.process_iter() if in_session(p, process.pid)]
        if not alive:
            break
    assert alive == []


def in_session(process, session):
    with contextlib.suppress(OSError, psutil.Error):
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    return False

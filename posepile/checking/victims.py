"""Runs that can be killed at a chosen place, and what is left of them.

A run is forked from this process, which has imported everything already: it costs a tenth of the
processor time of a program that starts. It leads a session of its own, by which all that it
starts is found. It says through a pipe which stage it has reached, so that whoever wants to can
end it there; or it ends itself right before one of its file operations.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import runpy
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from posepile.checking.power_cuts import before_changes

# Where a kill can fall, in the order of a run; ``between`` is what lies between the others.
STAGES = ("download", "extract", "list", "process", "pack", "report", "between")

PATIENCE = 300  # seconds after which a run that goes on is taken for one that hangs
LAST_SECONDS = 30  # for workers to see that their run has ended


@dataclass
class Watched:
    """A run that was started, and what it has said.

    Attributes:
        pid: Its process and session.
        pipe: Through which it says where it is.
        stage: Where it is.
        began: Stage -> when it was first reached.
        lasted: Stage -> seconds in it.
        operations: Stage -> how many file operations it made there; known at the end.
        status: How it ended, as ``waitpid`` says; None before.
    """

    pid: int
    pipe: int
    stage: str = "between"
    began: dict[str, float] = field(default_factory=dict)
    lasted: Counter = field(default_factory=Counter)
    operations: dict[str, int] = field(default_factory=dict)
    status: int | None = None
    _text: bytes = b""
    _since: float = field(default_factory=time.monotonic)

    def listen(self, seconds: float) -> bool:
        """Takes in what the run says within some seconds; returns whether it still runs."""
        if not wait([self.pipe], max(0.0, seconds)):
            return True
        data = os.read(self.pipe, 1 << 16)
        if not data:
            self.wait()
            return False
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return True

    def _take(self, said: Any) -> None:
        if isinstance(said, dict):
            self.operations = said
            return
        now = time.monotonic()
        self.lasted[self.stage] += now - self._since
        self.stage, self._since = said, now
        self.began.setdefault(said, now)

    def until(self, stage: str) -> bool:
        """Waits until a stage is reached; returns whether it was before the run ended."""
        while stage not in self.began:
            if not self.listen(PATIENCE):
                return False
        return True

    def finish(self) -> int:
        """Waits for the end; returns the exit code, negative for a signal."""
        deadline = time.monotonic() + PATIENCE
        while self.status is None:
            self.listen(deadline - time.monotonic())
            if time.monotonic() > deadline and self.status is None:
                kill(processes_of(self.pid))
                self.wait()
        return os.waitstatus_to_exitcode(self.status)

    def wait(self) -> None:
        """Waits for the process, of which nothing more is to be heard."""
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)

    def close(self) -> None:
        """Ends what still runs."""
        kill(processes_of(self.pid))
        self.wait()
        os.close(self.pipe)


@dataclass(frozen=True)
class At:
    """A file operation before which a run ends itself.

    Attributes:
        stage: Stage.
        number: How many operations it has made in it by then.
        victims: ``all`` or ``runner``.
    """

    stage: str
    number: int
    victims: str


@contextlib.contextmanager
def started(
    words: list[str],
    environment: dict[str, str],
    log: Path,
    *,
    before: Callable[[], None] | None = None,
    at: At | None = None,
) -> Iterator[Watched]:
    """Starts ``posepile`` with the given words in a process forked from this one.

    Args:
        words: Arguments of the command.
        environment: Variables that differ.
        log: File for what it prints.
        before: Called first, in the new process; counts as downloading.
        at: Where it ends itself.
    """
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(here)
            code = _run(words, environment, log, there, before, at)
        finally:
            os._exit(code)
    os.close(there)
    run = Watched(pid, here)
    try:
        yield run
    finally:
        run.close()


def _run(words, environment, log, pipe, before, at) -> int:
    os.setsid()
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for fd in (1, 2):
        os.dup2(out, fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    voice = _Voice(pipe, at)
    with voice.listening():
        sys.argv = ["posepile", *words]
        try:
            if before is not None:
                with voice.stage("download"):
                    before()
            runpy.run_module("posepile", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else int(e.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 99
    voice.say(dict(voice.operations))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


class _Voice:
    """Says which stage is reached, counts the operations in it and ends the run at one of them."""

    def __init__(self, pipe: int, at: At | None):
        self.pipe, self.at = pipe, at
        self.stages = ["between"]
        self.operations: Counter = Counter()

    def say(self, what: Any) -> None:
        os.write(self.pipe, json.dumps(what).encode() + b"\n")

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.stages.append(name)
        self.say(name)
        try:
            yield
        finally:
            self.stages.remove(name)
            self.say(self.stages[-1])

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        from unittest import mock

        from posepile import report
        from posepile.acquire import download
        from posepile.run import commands, listing

        places = (
            ("extract", download, "extract_archive"),
            ("list", listing, "_make"),
            ("process", commands, "process"),
            ("pack", commands, "pack"),
            ("report", report, "write_report"),
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(before_changes(self._count))
            for stage, module, name in places:
                function = self._telling(stage, getattr(module, name))
                stack.enter_context(mock.patch.object(module, name, function))
            yield

    def _telling(self, stage: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def telling(*args, **kwargs):
            with self.stage(stage):
                return function(*args, **kwargs)

        return telling

    def _count(self) -> None:
        stage = self.stages[-1]
        self.operations[stage] += 1
        at = self.at
        if at is not None and (stage, self.operations[stage]) == (at.stage, at.number):
            if at.victims == "all":
                kill(processes_of(os.getsid(0)) - {os.getpid()})
            os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------- processes


def processes_of(session: int) -> set[int]:
    """Returns the processes of a session that still run."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat") as f:
            state, _, _, its_session = f.read().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                found.add(int(name))
    return found


def workers_of(runner: int) -> set[int]:
    """Returns the processes in which units are worked on: grandchildren of a run."""
    found = set()
    for server in _children(runner):
        found |= _children(server)
    return found


def _children(pid: int) -> set[int]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as f:
        return set(map(int, f.read().split()))
    return set()


def kill(pids: set[int]) -> None:
    """Ends processes without any warning."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def left_of(session: int) -> set[int]:
    """Returns the processes of a session that go on although their run has ended.

    They are given the time to see it.
    """
    deadline = time.monotonic() + LAST_SECONDS
    while (found := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found

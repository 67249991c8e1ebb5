"""Worker processes of :mod:`posepile.run.executor`, seen from the process that uses them."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

from tqdm import tqdm

from posepile.errors import PosePileError, Shortage, WorkError
from posepile.run.ended import KILLED, how_ended, shortage_by_end
from posepile.run.worker import (
    NOTICE,
    REQUEST,
    STARTED,
    TRACE_SIGNAL,
    Lost,
    kill_group,
    memory_of,
    too_much,
)
from posepile.run.worker_log import LOG_BYTES, Log, Voice, last_lines
from posepile.shortage import shortage_by_limit, shortage_in_words

TICK = 0.2  # seconds between two looks at the workers
SHORT_TICK = 0.02  # while one of them writes down where it is
STARTS = 3  # so many workers in a row that end before they are ready stop the run
START_SECONDS = 120.0  # imports from a slow disk may take longer than a task may be silent
TRACE_SECONDS = 2.0  # to write down where it hangs
GIVE_UP_SECONDS = 10.0  # a killed process that a dead disk holds back is not waited for
NOTHING: Any = object()
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what ends a run

SERVER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from posepile.run.worker import serve; serve(int(sys.argv[1]), sys.argv[3])"
)


@dataclass(frozen=True)
class Limits:
    """What one task may take.

    Attributes:
        memory_bytes: Memory of its worker and of the programs that it starts, libraries included
            (some 100 MB); None = any.
        stall_seconds: How long it may go without a sign of progress; None = forever.
    """

    memory_bytes: int | None = None
    stall_seconds: float | None = None


def in_workers(
    setup: bytes,
    tasks: Iterable,
    jobs: int,
    limits: Limits,
    environment: Mapping[str, str],
    preload: bytes | None,
    tick: Callable[[int], None],
) -> Iterator[tuple[Any, Any]]:
    """Yields tasks and results; see :func:`posepile.run.executor.run_tasks`.

    Args:
        setup: Pickled (pickled (function, initialize), memory limit).
        tasks: What to do.
        jobs: Number of workers.
        limits: What one task may take.
        environment: Of the workers.
        preload: Pickled function to call before the workers are forked.
        tick: Called now and then with how often all workers have said that they are alive.
    """
    pool = Pool(setup, iter(tasks), jobs, limits, tick)
    in_order = False
    try:
        pool.start_server(environment, preload)
        yield from pool.run()
        in_order = True
    finally:
        with _signals_put_off() as late:
            pool.end()
        if in_order:  # otherwise the run is ending anyway
            for number in late:
                signal.raise_signal(number)


@contextlib.contextmanager
def _signals_put_off() -> Iterator[list[int]]:
    """Collects the signals that would interrupt this thread."""
    late: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield late
        return
    numbers = ENDING
    before = {n: signal.signal(n, lambda n, frame: late.append(n)) for n in numbers}
    try:
        yield late
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@dataclass(eq=False)
class _Worker:
    number: int
    channel: Connection
    log: Log
    memory: mmap.mmap
    pid: int | None = None
    ready: bool = False
    task: Any = NOTHING
    beat: int = 0
    quiet: float = 0.0
    verdict: Lost | None = None
    kill_at: float | None = None  # when to, or when it was


@dataclass
class Pool:
    """Workers and what they are at. Generators here yield (task, result).

    :meth:`run` ends with the tasks; given others in ``tasks`` it is called again, for the same
    workers. :meth:`end` must be called in any case.
    """

    setup: bytes
    tasks: Iterator
    jobs: int
    limits: Limits
    tick: Callable[[int], None]
    waiting: deque = field(default_factory=deque)
    workers: dict[int, _Worker] = field(default_factory=dict)
    idle: list[_Worker] = field(default_factory=list)
    n_started: int = 0
    n_failed: int = 0
    killed: list = field(default_factory=list)  # tasks that were tried again
    server: subprocess.Popen | None = None
    control: socket.socket | None = None
    server_log: Log | None = None
    voice: Voice = field(default_factory=Voice)
    steps: int = 0  # that workers have said they made
    wake: int | None = None  # what is written there tells that there are tasks again

    def start_server(self, environment: Mapping[str, str], preload: bytes | None) -> None:
        """Starts the process that forks the workers."""
        if sys.platform != "linux":
            preload = None  # system libraries of macOS do not work after a fork
        self.poller = select.poll()
        self.control, theirs = socket.socketpair()
        self.server_log = Log()
        words = [SERVER, str(theirs.fileno()), json.dumps(sys.path), (preload or b"").hex()]
        # Blocked signals stay so in the new process until it has its handlers.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            self.server = subprocess.Popen(
                [sys.executable, "-c", *words],
                stdin=subprocess.DEVNULL,
                stderr=self.server_log.file,
                pass_fds=(theirs.fileno(),),
                env=environment,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self.poller.register(self.control, select.POLLIN)
        if self.wake is not None:
            self.poller.register(self.wake, select.POLLIN)
        self.channels: dict[int, _Worker] = {}

    def run(self) -> Iterator[tuple[Any, Any]]:
        """Yields all tasks and their results."""
        looked = time.monotonic()
        self.hand_out()
        while self.workers and (self.waiting or len(self.workers) > len(self.idle)):
            condemned = any(w.verdict for w in self.workers.values())
            tick = SHORT_TICK if condemned else TICK
            control = False
            for fd, _ in self.poller.poll(tick * 1000):
                if fd == self.control.fileno():
                    control = True  # later: what an ended worker still said comes first
                elif fd == self.wake:
                    os.read(fd, 1 << 16)
                else:
                    yield from self.listen(self.channels[fd])
            if control:
                yield from self.notices()
            now = time.monotonic()
            if now - looked >= tick:
                # A run that was stopped for a while has not looked; that is nobody's silence.
                yield from self.look(now, min(now - looked, 1.0))
                looked = now
                self.tick(self.steps)
            self.hand_out()

    def hand_out(self) -> None:
        """Gives tasks to idle workers and starts workers as long as there are more tasks."""
        free = self.jobs - sum(w.task is not NOTHING for w in self.workers.values())
        while len(self.waiting) < free:
            task = next(self.tasks, NOTHING)
            if task is NOTHING:
                break
            self.waiting.append(task)
        while self.idle and self.waiting and free > 0:
            free -= 1
            worker = self.idle.pop()
            worker.task = self.waiting.popleft()
            worker.quiet = 0.0
            with contextlib.suppress(OSError):  # it has ended, of which we shall hear
                worker.channel.send_bytes(pickle.dumps(worker.task, -1))
        n_starting = sum(not w.ready for w in self.workers.values())
        while len(self.workers) < self.jobs and n_starting < len(self.waiting):
            self.start_worker()
            n_starting += 1

    def start_worker(self) -> None:
        """Asks the server for a worker."""
        ours, theirs = Pipe()
        log, pulse = Log(), tempfile.TemporaryFile()
        with pulse, theirs:
            pulse.truncate(8)
            worker = _Worker(self.n_started, ours, log, mmap.mmap(pulse.fileno(), 8))
            files = [theirs.fileno(), log.fileno(), pulse.fileno()]
            try:
                socket.send_fds(self.control, [REQUEST.pack(worker.number)], files)
                ours.send_bytes(self.setup)
            except OSError:
                raise self.server_ended() from None
        self.n_started += 1
        self.workers[worker.number] = worker
        self.channels[ours.fileno()] = worker
        self.poller.register(ours, select.POLLIN)

    def listen(self, worker: _Worker) -> Iterator[tuple[Any, Any]]:
        """Takes one message of a worker: that it is ready, or a result."""
        try:
            data = worker.channel.recv_bytes()
        except (EOFError, OSError):
            self.unplug(worker)
            return
        worker.quiet = 0.0
        worn_out = False
        finished = []
        if not worker.ready:
            worker.ready = True
            self.n_failed = 0
        else:
            result, worn_out = pickle.loads(data)
            finished.append((worker.task, result))
            worker.task = NOTHING
            self.show(worker)
        if worker.verdict is not None or worn_out:
            worker.kill_at = time.monotonic()
            kill_group(worker.pid)
        elif worker.number in self.workers:
            self.idle.append(worker)
            self.hand_out()  # before the caller takes its time with this result
        yield from finished

    def notices(self) -> Iterator[tuple[Any, Any]]:
        """Takes the server's word about workers that started or ended."""
        try:
            data = self.control.recv(NOTICE.size * 64)
        except ConnectionError:
            raise self.server_ended() from None
        while len(data) % NOTICE.size:
            rest = self.control.recv(NOTICE.size - len(data) % NOTICE.size)
            if not rest:
                break
            data += rest
        if not data:
            raise self.server_ended()
        for number, pid, status in NOTICE.iter_unpack(data):
            worker = self.workers.get(number)
            if worker is None:  # given up before
                continue
            if status == STARTED:
                worker.pid = pid
                continue
            kill_group(pid)  # what it has started
            yield from self.bury(worker, how_ended(status))

    def bury(self, worker: _Worker, how: str) -> Iterator[tuple[Any, Any]]:
        """Takes leave of a worker that has ended, and blames the task it was at."""
        del self.workers[worker.number]
        with contextlib.suppress(OSError):
            while worker.channel.fileno() in self.channels and worker.channel.poll():
                yield from self.listen(worker)
        self.unplug(worker)
        if worker in self.idle:
            self.idle.remove(worker)
        said = worker.log.end()
        worker.channel.close()
        worker.memory.close()
        worker.log.close()
        if worker.task is not NOTHING:
            if worker.verdict is None and KILLED in how and self.try_again(worker.task):
                return
            lost = worker.verdict or self.judge(how)
            yield worker.task, Lost(lost.kind, lost.reason, said or None)
        elif not worker.ready:
            self.n_failed += 1
            if self.n_failed >= STARTS:
                begun = "worker processes in a row ended before they began to work; the last one"
                raise self.cannot_start(f"{self.n_failed} {begun} {how}", said)

    def try_again(self, task: Any) -> bool:
        """Has a task whose worker was killed done again, beside fewer others; once if alone."""
        if self.jobs == 1 and any(task is killed for killed in self.killed):
            return False
        self.jobs = max(1, self.jobs // 2)
        self.killed.append(task)
        self.waiting.appendleft(task)
        return True

    def judge(self, how: str) -> Lost:
        """Returns whether a task or the machine is to blame for the end of a worker."""
        lack = shortage_by_end(how, self.limits.memory_bytes)
        ended = f"its worker process {how}"
        return Lost("shortage", f"{ended}: {lack}") if lack else Lost("died", ended)

    def look(self, now: float, elapsed: float) -> Iterator[tuple[Any, Any]]:
        """Checks every worker against the limits."""
        for worker in list(self.workers.values()):
            if worker.pid is None or worker in self.idle:
                continue
            if worker.verdict is not None or worker.kill_at is not None:
                yield from self.execute(worker, now)
                continue
            beat = int.from_bytes(worker.memory[:8], sys.byteorder)
            worker.quiet = 0.0 if beat != worker.beat else worker.quiet + elapsed
            self.steps += max(0, beat - worker.beat)
            worker.beat = beat
            self.say(worker.log.notes())
            if worker.log.size() > LOG_BYTES:
                worker.log.cut()
            silence = self.limits.stall_seconds
            if silence is not None and not worker.ready:
                silence = max(silence, START_SECONDS)
            memory = self.limits.memory_bytes
            if silence is not None and worker.quiet >= silence:
                lost = Lost("stalled", f"no progress for {_duration(self.limits.stall_seconds)}")
                self.condemn(worker, lost, now + TRACE_SECONDS)
            elif memory is not None and worker.ready and memory_of(worker.pid) > memory:
                self.condemn(worker, Lost("memory", too_much(memory)), now + SHORT_TICK)

    def condemn(self, worker: _Worker, verdict: Lost, kill_at: float) -> None:
        """Asks a worker to write down where it is; then it will be ended."""
        worker.verdict, worker.kill_at = verdict, kill_at
        worker.log.cut()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, TRACE_SIGNAL)

    def execute(self, worker: _Worker, now: float) -> Iterator[tuple[Any, Any]]:
        """Ends a worker when it has said where it is or had time to; gives up if it cannot end."""
        written = worker.log.size() > 0
        if written or now >= worker.kill_at:
            worker.kill_at = min(now, worker.kill_at)
            kill_group(worker.pid)
        if now >= worker.kill_at + GIVE_UP_SECONDS:
            yield from self.bury(worker, "cannot be ended")

    def show(self, worker: _Worker) -> None:
        """Passes on what a worker has written to stderr."""
        if worker.log.size():
            text = worker.log.end()
            worker.log.cut()
            self.say(text.splitlines())

    def say(self, lines: list[str]) -> None:
        """Shows lines on stderr, above a bar if there is one."""
        for line in self.voice.new(lines):
            tqdm.write(line, file=sys.stderr)

    def unplug(self, worker: _Worker) -> None:
        """Stops listening to a worker."""
        if self.channels.pop(worker.channel.fileno(), None) is not None:
            self.poller.unregister(worker.channel)

    def server_ended(self) -> PosePileError:
        """Returns the error for a server that is gone."""
        status = self.server.wait()
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        said = self.server_log.end()
        return self.cannot_start(f"the process that starts the workers ended ({how})", said)

    def cannot_start(self, how: str, said: str) -> PosePileError:
        """Returns the error for workers, or what starts them, that end too early."""
        lack = shortage_in_words(said) or shortage_by_limit(self.limits.memory_bytes)
        return Shortage(f"{how}: {lack}") if lack else WorkError(f"{how}{last_lines(said)}")

    def end(self) -> None:
        """Ends all processes and waits for them."""
        self.say(self.voice.last())
        for worker in self.workers.values():
            if worker.pid is not None:
                kill_group(worker.pid)
        if self.control is not None:
            self.control.close()  # now the server ends the workers and itself
        if self.server is not None:
            try:
                self.server.wait(GIVE_UP_SECONDS)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        for worker in self.workers.values():
            worker.channel.close()
            worker.memory.close()
            worker.log.close()
        if self.server_log is not None:
            self.server_log.close()


# ---------------------------------------------------------------- words


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"

"""Several pieces of work at a time, in threads, with a limit for each kind, and ended quickly."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from posepile.shortage import require_memory_for_threads

AT_ONCE = 4  # pieces of work that ask a server
PER_HOST = 2
_LAST_WORDS_SECONDS = 5
_LOOK_SECONDS = 1.0  # how often it is looked whether the threads live


class Stopped(Exception):
    """The work was told to end before it was done."""


class Stop:
    """Tells threads to end, and unblocks those that wait for a socket or a program."""

    def __init__(self):
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._unblocking: dict[object, Callable[[], object]] = {}

    def check(self) -> None:
        """Raises if the work is to end.

        Raises:
            Stopped: It is.
        """
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Waits, but not longer than the work goes on.

        Raises:
            Stopped: It is to end.
        """
        self._event.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def unblocking(self, function: Callable[[], object]) -> Iterator[None]:
        """While the block runs, ``function`` is called (once, by another thread) to end it.

        Raises:
            Stopped: The work is to end already.
        """
        key = object()
        with self._lock:
            self.check()
            self._unblocking[key] = function
        try:
            yield
        finally:
            with self._lock:
                self._unblocking.pop(key, None)

    def set(self) -> None:
        """Ends the work."""
        with self._lock:
            self._event.set()
            for function in self._unblocking.values():
                with contextlib.suppress(Exception):
                    function()


@dataclass(frozen=True, eq=False)
class Task:
    """A piece of work.

    Attributes:
        kind: What it shares with others, e.g. the host it asks.
        run: Does it; what it returns is another piece that follows from it, or None.
        limit: How many of its kind may run while it does.
        counted: Whether it counts towards the limit of all.
    """

    kind: str
    run: Callable[[], Task | None]
    limit: Callable[[], int] = lambda: 1
    counted: bool = True


def run_tasks(tasks: Iterable[Task], stop: Stop, *, at_once: int) -> None:
    """Does all work, in order as far as the limits allow.

    The first exception of a task ends all others and is raised; a task whose failure is to leave
    the others alone handles it itself. The same goes for an interruption by the user. The threads
    do not keep the program from ending, also if one hangs in a system call.

    Args:
        tasks: The work.
        stop: Is set when work is to end early.
        at_once: How many (counted) pieces are worked on at a time.

    Raises:
        MemoryError: There is none for a thread to begin with, or one ended without a word.
    """
    waiting, running = list(tasks), Counter()
    counted = 0
    threads: dict[Task, threading.Thread] = {}
    done: queue.SimpleQueue = queue.SimpleQueue()

    def work(task: Task) -> None:
        following, error = None, None
        try:
            following = task.run()
        except BaseException as e:
            error = e
        done.put((task, following, error))

    try:
        while waiting or threads:
            for task in list(waiting):
                free = not task.counted or counted < at_once
                if free and running[task.kind] < task.limit():
                    waiting.remove(task)
                    running[task.kind] += 1
                    counted += task.counted
                    require_memory_for_threads(1)
                    thread = threading.Thread(target=work, args=(task,), daemon=True)
                    thread.start()
                    threads[task] = thread
            task, following, error = _next(done, threads)
            threads.pop(task).join()
            running[task.kind] -= 1
            counted -= task.counted
            if error is not None:
                raise error
            if following is not None:
                waiting.append(following)
    finally:
        if threads:
            stop.set()
            end = time.monotonic() + _LAST_WORDS_SECONDS
            for thread in threads.values():
                thread.join(max(end - time.monotonic(), 0))


def _next(done: queue.SimpleQueue, threads: dict[Task, threading.Thread]) -> tuple:
    """Returns the next result.

    Raises:
        MemoryError: A thread has ended without one.
    """
    while True:
        ended = [task for task, thread in threads.items() if not thread.is_alive()]
        try:
            return done.get(timeout=0 if ended else _LOOK_SECONDS)
        except queue.Empty:
            if ended:
                raise MemoryError("a thread ended without a word") from None

"""Several pieces of work at a time, in threads, with a limit for each kind, and ended quickly."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
import weakref
from _thread import start_new_thread
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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
    do not keep the program from ending, also if one hangs in a system call. One that dies because
    there is no memory to begin with, or to say how it ended, is noticed: ``Thread.start`` would
    wait for it for ever.

    Args:
        tasks: The work.
        stop: Is set when work is to end early.
        at_once: How many (counted) pieces are worked on at a time.

    Raises:
        MemoryError: A thread ended without a word.
    """
    waiting, running = list(tasks), Counter()
    counted = 0
    alive: dict[Task, weakref.ref] = {}
    done: queue.SimpleQueue = queue.SimpleQueue()

    def work(task: Task, life: _Life) -> None:
        del life  # or the traceback of an error would prolong it
        following, error = None, None
        try:
            following = task.run()
        except BaseException as e:
            error = e
        done.put((task, following, error))

    hook, sys.unraisablehook = sys.unraisablehook, _tell_all_but_memory
    try:
        while waiting or alive:
            for task in list(waiting):
                free = not task.counted or counted < at_once
                if free and running[task.kind] < task.limit():
                    waiting.remove(task)
                    running[task.kind] += 1
                    counted += task.counted
                    life = _Life()
                    alive[task] = weakref.ref(life)
                    start_new_thread(work, (task, life))
                    del life
            task, following, error = _next(done, alive)
            del alive[task]
            running[task.kind] -= 1
            counted -= task.counted
            if error is not None:
                raise error
            if following is not None:
                waiting.append(following)
    finally:
        if alive:
            stop.set()
            end = time.monotonic() + _LAST_WORDS_SECONDS
            while any(life() for life in alive.values()) and time.monotonic() < end:
                time.sleep(0.01)
        sys.unraisablehook = hook


class _Life:
    """Exists while a thread does: its arguments are let go when it ends, however it ends."""


def _next(done: queue.SimpleQueue, alive: dict[Task, weakref.ref]) -> tuple:
    """Returns the next result.

    Raises:
        MemoryError: A thread has ended without one.
    """
    while True:
        ended = [task for task, life in alive.items() if life() is None]
        try:
            return done.get(timeout=0 if ended else _LOOK_SECONDS)
        except queue.Empty:
            if ended:
                raise MemoryError("a thread ended without a word") from None


def _tell_all_but_memory(unraisable: object) -> None:
    """As ``sys.unraisablehook``, but a thread's lack of memory is told by who waits for it."""
    if not issubclass(unraisable.exc_type, MemoryError):
        sys.__unraisablehook__(unraisable)

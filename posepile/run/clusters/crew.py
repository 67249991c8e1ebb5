"""Worker processes for tasks that come from several threads: one server, one thread that leads.

:class:`posepile.run.pool.Pool` works through tasks for one caller. A Dask worker has many threads,
each with a unit: here they share one pool, so that heavy modules are imported once per machine and
not once per thread. The pool ends when nobody has asked for a while, and starts anew when somebody
does.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from posepile.run.pool import Pool

IDLE_SECONDS = 60.0  # so long children wait for the next task: of a run that was killed, for one


class Stopped(Exception):
    """Nothing is done any more."""


class _Asked:
    """A task in bytes, which is all that a child gets of it, and where its result goes."""

    def __init__(self, data: bytes):
        self.data = data
        self.result: Future = Future()

    def __reduce__(self):
        return bytes, (self.data,)


class _Queue:
    """An iterator that ends when it is empty, and goes on when it is not any more."""

    def __init__(self):
        self.entries: deque[_Asked] = deque()

    def __iter__(self) -> Iterator[_Asked]:
        return self

    def __next__(self) -> _Asked:
        try:
            return self.entries.popleft()
        except IndexError:
            raise StopIteration from None


class Crew:
    """Children that all threads of this process may ask for results.

    Args:
        begin: Given tasks, what to call some times a second, and a file descriptor that wakes it,
            it returns a pool whose server runs.
    """

    def __init__(self, begin: Callable[[Iterator, Callable[[int], None], int], Pool]):
        self.begin = begin
        self.changed = threading.Condition()
        self.queue = _Queue()
        self.open: set[_Asked] = set()
        self.leader: threading.Thread | None = None
        self.wake: int | None = None  # the leader sleeps until something is written there
        self.stopped = False

    def ask(self, data: bytes) -> Any:
        """Returns what a child has made of a task, or what became of it; blocks its thread.

        Raises:
            Stopped: :meth:`stop` was called.
            PosePileError: Children cannot be started.
        """
        asked = _Asked(data)
        with self.changed:
            if self.stopped:
                raise Stopped
            self.queue.entries.append(asked)
            self.open.add(asked)
            if self.leader is None:
                self._start()
            self._call()
        return asked.result.result()

    def stop(self) -> None:
        """Has all children ended; who waits for a result gets :exc:`Stopped`."""
        with self.changed:
            self.stopped = True
            self._call()

    @property
    def at_work(self) -> bool:
        """Whether there may still be children."""
        return self.leader is not None

    def _start(self) -> None:
        woken, self.wake = os.pipe()
        os.set_blocking(woken, False)
        self.leader = threading.Thread(target=self._lead, args=(woken,), daemon=True)
        self.leader.start()

    def _call(self) -> None:
        self.changed.notify_all()
        if self.wake is not None:
            os.write(self.wake, b"x")

    def _lead(self, woken: int) -> None:
        pool = None
        error: BaseException = Stopped()
        try:
            while self._is_asked():
                if pool is None:
                    pool = self.begin(self.queue, self._tick, woken)
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 1 << 16)
                for asked, result in pool.run():
                    with self.changed:
                        self.open.discard(asked)
                    asked.result.set_result(result)
        except BaseException as e:
            error = e
        finally:
            if pool is not None:
                with contextlib.suppress(Exception):
                    pool.end()
            self._leave(woken, error)

    def _is_asked(self) -> bool:
        """Waits for a task; returns False if there is none for long, or never will be."""
        with self.changed:
            self.changed.wait_for(lambda: self.queue.entries or self.stopped, IDLE_SECONDS)
            return bool(self.queue.entries) and not self.stopped

    def _leave(self, woken: int, error: BaseException) -> None:
        with self.changed:
            if self.stopped or not isinstance(error, Stopped):
                lost, self.open = self.open, set()
                self.queue.entries.clear()
            else:
                lost = set()
            for fd in (woken, self.wake):
                os.close(fd)
            self.leader = self.wake = None
            if self.open:  # somebody has asked while the idle children were being ended
                self._start()
                self._call()
        for asked in lost:
            asked.result.set_exception(error)

    def _tick(self, steps: int) -> None:
        if self.stopped:
            raise Stopped

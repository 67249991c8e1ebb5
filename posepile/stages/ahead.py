"""Work done ahead in a thread: pictures are decoded while the network looks at earlier ones."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

from posepile.shortage import require_memory_for_threads

T = TypeVar("T")

_LOOK_SECONDS = 1.0  # how often it is looked whether the thread lives
_LAST_WORDS_SECONDS = 5


def ahead(items: Iterator[T], room: int) -> Iterator[T]:
    """Yields the items of a generator that goes on in a thread of its own meanwhile.

    An exception of the generator is raised here, in its place. Whoever leaves early closes this
    one (``contextlib.closing``): the thread then ends at its next item, and closes the generator.
    It does not keep the program from ending.

    Args:
        items: A generator, from now on used by the thread alone.
        room: How many items wait at most.

    Raises:
        MemoryError: There is none for a thread to begin with, or it ended without a word.
    """
    free = threading.Semaphore(room)
    done: queue.SimpleQueue[tuple[str, T | BaseException | None]] = queue.SimpleQueue()
    left = threading.Event()

    def work() -> None:
        try:
            with contextlib.closing(items):
                for item in items:
                    done.put(("item", item))
                    del item  # or it would live until the next one is there
                    free.acquire()
                    if left.is_set():
                        return
            done.put(("end", None))
        except BaseException as e:
            done.put(("error", e))

    require_memory_for_threads(1)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = _next(done, thread)
            if kind == "end":
                return
            if kind == "error":
                raise value
            free.release()
            yield value
            del value
    finally:
        left.set()
        free.release()
        thread.join(_LAST_WORDS_SECONDS)


def _next(done: queue.SimpleQueue, thread: threading.Thread) -> tuple:
    """Returns the next result.

    Raises:
        MemoryError: The thread has ended without one.
    """
    while True:
        alive = thread.is_alive()
        try:
            return done.get(timeout=_LOOK_SECONDS if alive else 0)
        except queue.Empty:
            if not alive:
                raise MemoryError("a thread ended without a word") from None

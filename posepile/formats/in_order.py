"""Work of threads whose results come in the order of what they were given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from posepile.shortage import require_memory_for_threads

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4  # results per thread that may wait


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[tuple[T, R]]:
    """Yields each item with its result; some are worked on at the same time.

    >>> list(in_order(len, ["a", "bb"], 2))
    [('a', 1), ('bb', 2)]

    Args:
        work: What it raises is raised here in its turn, and ends the rest.
        items: Gone through by the caller's thread alone, at most :data:`AHEAD` per thread ahead
            of what has been yielded.
        threads: How many at a time.

    Raises:
        MemoryError: The threads could not begin.
    """
    require_memory_for_threads(threads)
    waiting = deque[tuple[T, Future]]()

    def first() -> tuple[T, R]:
        item, future = waiting.popleft()
        return item, future.result()

    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= threads * AHEAD:
                yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)

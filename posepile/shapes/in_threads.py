"""The same work on many files, some at a time, of which some may be damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from posepile.errors import CorruptInput
from posepile.formats.in_order import in_order

T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    work: Callable[[T], R], items: Iterable[T], threads: int | None = None
) -> Iterator[tuple[T, R | CorruptInput]]:
    """Yields items and what became of them, in order; some are worked on at the same time.

    For work of libraries that let other threads go on meanwhile: decoding, resizing, encoding.
    A damaged file costs itself.

    >>> def half(n):
    ...     if n % 2:
    ...         raise CorruptInput(f"{n}.jpg", "is odd")
    ...     return n // 2
    >>> [(n, str(found)) for n, found in in_threads(half, [4, 5, 6], 2)]
    [(4, '2'), (5, '5.jpg: is odd'), (6, '3')]

    Args:
        work: Raises CorruptInput where an item is damaged, which is yielded; anything else that it
            raises is raised here.
        items: Taken as they are needed.
        threads: How many at a time; None: as many as there are processors for this process, but
            not so many that large pictures would fill the memory.
    """
    import joblib

    threads = threads or min(joblib.cpu_count(), 32)

    def attempt(item: T) -> R | CorruptInput:
        try:
            return work(item)
        except CorruptInput as e:
            return e

    yield from in_order(attempt, items, threads)

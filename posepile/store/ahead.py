"""Questions to a disk, asked one after the other, or by many threads where answers are slow.

A file server answers each question after half a millisecond or more, however little it has to do;
ten million units are then hours of waiting for whoever asks one question at a time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from posepile.formats.in_order import in_order

T = TypeVar("T")
R = TypeVar("R")

# If the first of the questions are waited for longer than this each, threads ask the others.
FIRST, SLOW_SECONDS = 200, 3e-4

THREADS = 32


def answers(ask: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Yields each item with the answer for it, in the order of the items.

    >>> list(answers(len, ["a", "bb"]))
    [('a', 1), ('bb', 2)]

    Args:
        ask: What is asked; other threads may call it at the same time.
        items: What it is asked about; gone through by the caller's thread alone, not
            far ahead of what has been yielded.
    """
    items = iter(items)
    waited, n = 0.0, 0
    for n, item in enumerate(itertools.islice(items, FIRST), 1):  # noqa: B007 - the last one
        begun = time.perf_counter() - time.thread_time()
        answer = ask(item)
        waited += time.perf_counter() - time.thread_time() - begun
        yield item, answer
    if n < FIRST or waited < n * SLOW_SECONDS:
        for item in items:
            yield item, ask(item)
    else:
        yield from in_order(ask, items, THREADS)

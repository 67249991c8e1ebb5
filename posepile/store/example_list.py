"""A list of examples that are built when asked for and cost an index array."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import Any

import numpy as np


class ExampleList(MutableSequence):
    """A list of examples that are built when asked for.

    Behaves like a list: index, slice, iterate, assign, delete, insert, append, concatenate,
    sort, shuffle in place. Costs 4 bytes per example once its order has been changed, and nothing
    before. Each access builds a new example, so a change to one is kept only by assigning it.

    Args:
        source: Where examples come from: has ``__len__``, ``example(row)``, and equality.
        rows: Which rows of the source, as a range or array.
    """

    __slots__ = ("_codes", "_n", "_objects", "_sources", "_starts")

    def __init__(self, source: Any = None, rows: range | np.ndarray | None = None):
        self._sources = [] if source is None else [source]
        self._starts = [0] if source is None else [0, len(source)]
        self._objects: list[Any] = []
        if rows is None:
            rows = range(0 if source is None else len(source))
        self._codes = rows if isinstance(rows, range) else np.array(rows, self._dtype())
        self._n = len(rows)

    # Codes: row of a source plus the source's start; negative: ~index into the list of objects
    # that come from no source (changed examples, or ones made by hand).

    def _dtype(self):
        return np.int32 if self._starts[-1] < 2**31 else np.int64

    def _own(self, capacity=None):
        # Turns the codes into an array of our own, with room for `capacity`.
        if isinstance(self._codes, range):
            codes = self._codes
            self._codes = np.arange(codes.start, codes.stop, codes.step, self._dtype())
        if self._codes.dtype != self._dtype():
            self._codes = self._codes.astype(self._dtype())
        if capacity is not None and capacity > len(self._codes):
            grown = np.empty(max(capacity, len(self._codes) * 9 // 8 + 16), self._codes.dtype)
            grown[: self._n] = self._codes[: self._n]
            self._codes = grown

    def _build(self, code):
        if code < 0:
            return self._objects[~code]
        starts = self._starts
        if code < starts[1]:
            return self._sources[0].example(code)
        k = int(np.searchsorted(starts, code, "right")) - 1
        return self._sources[k].example(code - starts[k])

    def _code_of(self, example):
        place = getattr(example, "pristine_place", None)
        if place is None:
            self._objects.append(example)
            return ~(len(self._objects) - 1)
        source, row = place
        return self._start_of(source) + row

    def _start_of(self, source):
        for k, own in enumerate(self._sources):
            if own is source or own == source:
                return self._starts[k]
        self._sources.append(source)
        self._starts.append(self._starts[-1] + len(source))
        return self._starts[-2]

    def __len__(self):
        return self._n

    def __getitem__(self, key):
        if isinstance(key, slice):
            part = ExampleList()
            part._sources, part._starts = list(self._sources), list(self._starts)
            part._objects = list(self._objects)
            if isinstance(self._codes, range):
                part._codes = self._codes[key]
            else:
                part._codes = self._codes[: self._n][key].copy()
            part._n = len(part._codes)
            return part
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        return self._build(int(self._codes[i]))

    def __iter__(self):
        # By position, so that deleting while iterating does what it does with lists.
        i = 0
        while i < self._n:
            yield self._build(int(self._codes[i]))
            i += 1

    def __setitem__(self, key, value):
        if isinstance(key, slice):
            indices = range(self._n)[key]
            new = self._codes_of_many(value)
            self._own()
            codes = self._codes[: self._n]
            if key.step not in (None, 1):
                if len(new) != len(indices):
                    raise ValueError(
                        f"assigning {len(new)} examples to a slice of {len(indices)} with steps"
                    )
                codes[key] = new
            else:
                start, stop = indices.start, max(indices.start, indices.stop)
                self._codes = np.concatenate([codes[:start], new, codes[stop:]])
                self._n = len(self._codes)
            return
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        code = self._code_of(value)
        self._own()
        self._codes[i] = code

    def __delitem__(self, key):
        self._own()
        if isinstance(key, slice):
            keep = np.ones(self._n, bool)
            keep[key] = False
            self._codes = self._codes[: self._n][keep]
            self._n = len(self._codes)
            return
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        self._codes[i : self._n - 1] = self._codes[i + 1 : self._n]
        self._n -= 1

    def insert(self, index: int, value: Any) -> None:
        """Inserts an example before the given position."""
        i = operator.index(index)
        i = max(0, i + self._n) if i < 0 else min(i, self._n)
        code = self._code_of(value)
        self._own(self._n + 1)
        self._codes[i + 1 : self._n + 1] = self._codes[i : self._n]
        self._codes[i] = code
        self._n += 1

    def extend(self, values: Iterable[Any]) -> None:
        """Appends examples; another list of this kind is appended without building any."""
        new = self._codes_of_many(values)
        self._own(self._n + len(new))
        self._codes[self._n : self._n + len(new)] = new
        self._n += len(new)

    def _codes_of_many(self, values):
        if not isinstance(values, ExampleList):
            return np.array([self._code_of(v) for v in values], np.int64)
        theirs = values._codes
        if isinstance(theirs, range):
            theirs = np.arange(theirs.start, theirs.stop, theirs.step, np.int64)
        else:
            theirs = theirs[: values._n].astype(np.int64)
        shift = [self._start_of(source) for source in values._sources]
        result = np.empty_like(theirs)
        made = theirs < 0
        result[made] = theirs[made] - len(self._objects)
        self._objects.extend(values._objects)
        for k, start in enumerate(shift):
            own = (theirs >= values._starts[k]) & (theirs < values._starts[k + 1])
            result[own] = theirs[own] - values._starts[k] + start
        return result

    def clear(self) -> None:
        """Removes all examples."""
        self._codes, self._n, self._objects = range(0), 0, []

    def copy(self) -> ExampleList:
        """Returns a copy of the list."""
        return self[:]

    def __add__(self, other):
        result = self[:]
        result.extend(other)
        return result

    def __radd__(self, other):
        result = self[:0]
        result.extend(other)
        result.extend(self)
        return result

    def __iadd__(self, other):
        self.extend(other)
        return self

    def __eq__(self, other):
        if not isinstance(other, (ExampleList, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None

    def reverse(self) -> None:
        """Reverses the order in place."""
        self._codes = self._codes[: self._n][::-1]
        if not isinstance(self._codes, range):
            self._codes = self._codes.copy()

    def sort(self, *, key: Callable[[Any], Any], reverse: bool = False) -> None:
        """Sorts in place; stable."""
        keys = [key(ex) for ex in self]
        order = sorted(range(self._n), key=keys.__getitem__, reverse=reverse)
        self._reorder(np.array(order, np.int64))

    def shuffle(self, seed: int | np.random.Generator | None = None) -> None:
        """Shuffles in place, millions per second; ``random.shuffle`` works too, slower."""
        self._own()
        np.random.default_rng(seed).shuffle(self._codes[: self._n])

    def take(self, indices: Any) -> ExampleList:
        """Returns the list of the examples at the given positions (indices or a boolean mask)."""
        result = self[:]
        result._reorder(np.asarray(indices))
        return result

    def mapped(self, source: Callable[[Any], Any], example: Callable[[Any], Any]) -> ExampleList:
        """Returns the list with each source, and each example from no source, replaced.

        Args:
            source: Returns the source to put in place of one; of equal length.
            example: Returns the example to put in place of one.
        """
        result = self[:]
        result._sources = [source(s) for s in self._sources]
        result._objects = [example(ex) for ex in self._objects]
        return result

    def _reorder(self, indices):
        self._own()
        self._codes = self._codes[: self._n][indices]
        self._n = len(self._codes)

    def storage_order(self) -> np.ndarray | None:
        """Returns the positions of the list in the order their images are stored.

        Rows of a table are in the order of its shards. None if the list is in that order already.
        """
        if isinstance(self._codes, range) and self._codes.step > 0:
            return None
        self._own()
        return np.argsort(self._codes[: self._n], kind="stable")

    def iter_coord_chunks(self, size: int = 4096) -> Iterator[np.ndarray]:
        """Iterates over dense ``[n, J, 3]`` world coordinates, in any order of the examples."""
        for rows, source in self.rows_by_source():
            if hasattr(source, "table"):
                yield from source.table().iter_coord_chunks(rows, size)
            else:
                yield from _stack_coords((source.example(int(r)) for r in rows), size)
        codes = self._codes
        if self._objects and not isinstance(codes, range):
            used = (~codes[: self._n][codes[: self._n] < 0]).tolist()
            yield from _stack_coords((self._objects[i] for i in used), size)

    def rows_by_source(self) -> Iterator[tuple[range | np.ndarray, Any]]:
        """Iterates over (rows, source), rows in list order within each source."""
        if isinstance(self._codes, range):
            if (
                self._sources
                and len(self._codes)
                and self._codes.step == 1
                and (self._codes.stop <= self._starts[1])
            ):
                yield self._codes, self._sources[0]
                return
            codes = np.arange(self._codes.start, self._codes.stop, self._codes.step)
        else:
            codes = self._codes[: self._n]
        for k, source in enumerate(self._sources):
            own = (codes >= self._starts[k]) & (codes < self._starts[k + 1])
            if own.any():
                yield codes[own].astype(np.int64) - self._starts[k], source

    def __repr__(self):
        return f"<ExampleList of {self._n}>"

    def __reduce__(self):
        if isinstance(self._codes, range):
            codes: Any = (self._codes.start, self._codes.stop, self._codes.step)
        else:
            codes = self._codes[: self._n].copy()
        return example_list, (self._sources, codes, self._objects)


def example_list(
    sources: list[Any], codes: np.ndarray | tuple[int, int, int], objects: list[Any]
) -> ExampleList:
    """Returns a list, as pickles refer to it."""
    result = ExampleList()
    result._sources = sources
    for source in sources:
        result._starts.append(result._starts[-1] + len(source))
    result._codes = range(*codes) if isinstance(codes, tuple) else codes
    result._n = len(result._codes)
    result._objects = objects
    return result


example_list.__module__ = "posepile.datasets3d"  # the name in pickles


def _stack_coords(examples, size):
    chunk = []
    for ex in examples:
        coords = ex.get_world_coords()
        if coords is not None:
            chunk.append(coords)
        if len(chunk) == size:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)

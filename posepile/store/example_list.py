"""A list of examples that are built when asked for and cost an index array."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from copy import deepcopy
from typing import Any

import numpy as np

from posepile.store.examples import Example
from posepile.store.list_views import WholeList

# Objects that are in a list no more are dropped from this number on.
_TIDY_FROM = 64


class ExampleList(WholeList, MutableSequence):
    """A list of examples that are built when asked for.

    Behaves like a list: index, slice, iterate, assign, delete, insert, append, concatenate,
    repeat, search, sort, shuffle in place; and like an array: a boolean mask or a list of
    positions is an index, too. Costs 4 bytes per example once its order has been changed, and
    nothing before. Examples of a source cannot be changed, so the list keeps their rows; an
    example that was loaded, changed and assigned is kept as the object it is.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> examples = ds.examples[TRAIN]
    >>> examples[::2], len(examples.where(subject=["04ac"]))
    (<ExampleList of 12 examples of aspset>, 12)
    >>> examples.column("bbox").shape, examples.codes("view")[1]
    ((24, 4), ['left', 'mid'])
    >>> examples[examples.column("frame") > 3]
    <ExampleList of 8 examples of aspset>

    Args:
        source: Where examples come from: has ``__len__``, ``example(row)``, and equality.
        rows: Which rows of the source, as a range or array.
    """

    __slots__ = ("_codes", "_n", "_objects", "_sources", "_starts", "_tidy_at")
    __array_ufunc__ = None  # a NumPy number times a list is the list's business

    def __init__(self, source: Any = None, rows: range | np.ndarray | None = None):
        if source is not None and not hasattr(source, "example"):
            found = f"found {type(source).__name__} as source of an ExampleList"
            raise TypeError(f"{found}, expected rows of an archive; as_example_list takes lists")
        self._sources = [] if source is None else [source]
        self._starts = [0] if source is None else [0, len(source)]
        self._objects: list[Any] = []
        self._tidy_at = _TIDY_FROM
        if rows is None:
            rows = range(0 if source is None else len(source))
        self._codes = rows if isinstance(rows, range) else np.array(rows, self._dtype())
        self._n = len(rows)

    # Codes: row of a source plus the source's start; negative: ~index into the list of objects
    # that come from no source (loaded examples, or ones made by hand).

    def _dtype(self):
        return np.int32 if self._starts[-1] < 2**31 else np.int64

    def _own(self, capacity=None):
        # Turns the codes into an array of our own, with room for `capacity`.
        if isinstance(self._codes, range):
            self._codes = self._array()
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

    def _check(self, examples, kind=None):
        # Refuses what is no example of this list's kind, before anything is changed.
        if self._sources or self._objects:
            kind = self._sources[0].kind if self._sources else self._objects[0].KIND
        for example in examples:
            if not isinstance(example, Example) or example.KIND != (kind or example.KIND):
                of = f"a {kind.upper()} dataset" if kind else "a dataset"
                raise TypeError(f"found {type(example).__name__}, expected an example of {of}")
            kind = example.KIND

    def _code_of(self, example):
        # Of an example that has been checked.
        place = getattr(example, "place", None)
        if place is None or isinstance(place[1], str):  # a key: what a pickled entry refers to
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

    def _tidy(self, at_once=False):
        # Drops objects that no code refers to any more.
        if len(self._objects) < self._tidy_at and not at_once:
            return
        if isinstance(self._codes, range):
            self._objects = []
        else:
            codes = self._codes[: self._n]
            own = codes < 0
            used, numbers = np.unique(~codes[own], return_inverse=True)
            self._objects = [self._objects[i] for i in used.tolist()]
            codes[own] = ~numbers
        self._tidy_at = max(_TIDY_FROM, 2 * len(self._objects))

    def __len__(self):
        return self._n

    def _position(self, key):
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        return i

    def _positions(self, key):
        # The positions that a mask or many indices name.
        key = np.asarray(key)
        if key.ndim != 1 or (key.size and key.dtype.kind not in "biu"):
            raise TypeError(f"expected positions or a mask, found {key.dtype} {key.shape}")
        if key.dtype == bool:
            if len(key) != self._n:
                raise IndexError(f"a mask of {len(key)} for a list of {self._n} examples")
            return np.flatnonzero(key)
        positions = key.astype(np.int64)
        wrong = (positions < -self._n) | (positions >= self._n)
        if wrong.any():
            raise IndexError(f"example {positions[wrong][0]}: the list has {self._n}")
        return np.where(positions < 0, positions + self._n, positions)

    def __getitem__(self, key):
        if type(key) is not int:
            if isinstance(key, slice):
                codes = self._codes if isinstance(self._codes, range) else self._array()
                return self._with(codes[key])
            if _is_many(key):
                return self._with(self._array()[self._positions(key)])
        return self._build(int(self._codes[self._position(key)]))

    def _array(self):
        # The codes as an array, to be read.
        if isinstance(self._codes, range):
            codes = self._codes
            return np.arange(codes.start, codes.stop, codes.step, self._dtype())
        return self._codes[: self._n]

    def _with(self, codes):
        # A list of other codes of the same sources and objects.
        result = ExampleList()
        result._sources, result._starts = list(self._sources), list(self._starts)
        result._codes = codes if isinstance(codes, range) else codes.copy()
        result._n = len(codes)
        if self._objects:
            result._objects = self._objects
            result._tidy(at_once=True)
        return result

    def __iter__(self):
        # By position, so that deleting while iterating does what it does with lists.
        i = 0
        while i < self._n:
            yield self._build(int(self._codes[i]))
            i += 1

    def __setitem__(self, key, value):
        if isinstance(key, slice) or _is_many(key):
            new = self._codes_of_many(value)
            self._own()
            if isinstance(key, slice) and key.step in (None, 1):
                start, stop, _ = key.indices(self._n)
                codes = self._codes[: self._n]
                parts = [codes[:start], new, codes[max(start, stop) :]]
                self._codes = np.concatenate(parts, dtype=codes.dtype)
                self._n = len(self._codes)
            else:
                if isinstance(key, slice):
                    positions = np.arange(self._n)[key]
                else:
                    positions = self._positions(key)
                if len(new) != len(positions):
                    raise ValueError(f"{len(new)} examples assigned to {len(positions)} places")
                self._codes[positions] = new
        else:
            i = self._position(key)
            self._check([value])
            code = self._code_of(value)
            self._own()
            self._codes[i] = code
        self._tidy()

    def __delitem__(self, key):
        if isinstance(key, slice) or _is_many(key):
            keep = np.ones(self._n, bool)
            keep[key if isinstance(key, slice) else self._positions(key)] = False
            self._codes = self._array()[keep]
            self._n = len(self._codes)
        else:
            i = self._position(key)
            self._own()
            self._codes[i : self._n - 1] = self._codes[i + 1 : self._n]
            self._n -= 1
        self._tidy()

    def insert(self, index: int, value: Any) -> None:
        """Inserts an example before the given position."""
        i = operator.index(index)
        i = max(0, i + self._n) if i < 0 else min(i, self._n)
        self._check([value])
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
        self._tidy()

    def _codes_of_many(self, values):
        if not isinstance(values, ExampleList):
            if not isinstance(values, Iterable):
                raise TypeError(f"found {type(values).__name__}, expected examples")
            values = list(values)
            self._check(values)
            return np.array([self._code_of(v) for v in values], np.int64)
        self._check(values[:1])
        theirs = values._array().astype(np.int64)
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

    __copy__ = copy

    def __deepcopy__(self, memo):
        result = memo[id(self)] = self[:]
        result._objects = deepcopy(result._objects, memo)
        return result

    def _where(self, value):
        # Positions of what is or equals a value, without building examples where that is possible.
        place = getattr(value, "place", None)
        by_row = place is not None and not isinstance(place[1], str)
        if not by_row and type(value).__eq__ is not object.__eq__:
            equal = (ex is value or ex == value for ex in self)
            return np.flatnonzero(np.fromiter(equal, bool, self._n))
        codes = {~k for k, ex in enumerate(self._objects) if ex is value or ex == value}
        if by_row:
            starts = zip(self._sources, self._starts, strict=False)
            codes |= {start + place[1] for source, start in starts if source == place[0]}
        if isinstance(self._codes, range):
            found = [self._codes.index(code) for code in codes if code in self._codes]
            return np.array(found, np.int64)
        return np.flatnonzero(np.isin(self._array(), list(codes)))

    def __contains__(self, value):
        return len(self._where(value)) > 0

    def count(self, value: Any) -> int:
        """Returns how often an example is in the list."""
        return len(self._where(value))

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Returns the first position of an example, not before ``start`` and before ``stop``."""
        start, stop, _ = slice(start, stop).indices(self._n)
        for i in self._where(value).tolist():
            if start <= i < stop:
                return i
        raise ValueError(f"{value!r} is not in the list")

    def __add__(self, other):
        if not isinstance(other, Iterable):
            return NotImplemented
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

    def __mul__(self, times):
        result = self[:]
        result *= times
        return result

    __rmul__ = __mul__

    def __imul__(self, times):
        self._codes = np.tile(self._array(), max(0, operator.index(times)))
        self._n = len(self._codes)
        self._tidy()
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

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Sorts in place; stable."""
        keys = list(self) if key is None else [key(ex) for ex in self]
        order = sorted(range(self._n), key=keys.__getitem__, reverse=reverse)
        self._codes = self._array()[np.array(order, np.int64)]

    def shuffle(self, seed: int | np.random.Generator | None = None) -> None:
        """Shuffles in place, millions per second; ``random.shuffle`` works too, slower."""
        try:
            generator = np.random.default_rng(seed)
        except (TypeError, ValueError) as e:
            expected = "a whole number from 0, a numpy.random.Generator or None"
            raise type(e)(f"shuffle: found the seed {seed!r}, expected {expected}") from None
        self._own()
        generator.shuffle(self._codes[: self._n])

    def take(self, indices: Any) -> ExampleList:
        """Returns the list of the examples at the given positions (indices or a boolean mask)."""
        return self._with(self._array()[self._positions(indices)])

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

    def storage_order(self) -> np.ndarray | None:
        """Returns the positions of the list in the order their images are stored.

        Rows of a table are in the order of its shards. None if the list is in that order already.
        """
        if isinstance(self._codes, range) and self._codes.step > 0:
            return None
        self._own()
        return np.argsort(self._codes[: self._n], kind="stable")

    def by_source(self) -> Iterator[tuple[range | np.ndarray, range | np.ndarray, Any]]:
        """Iterates over (positions, rows, source), in list order within each source."""
        codes = self._codes
        if isinstance(codes, range) and len(self._sources) == 1 and codes.step == 1:
            yield range(len(codes)), codes, self._sources[0]
            return
        codes = self._array()
        for k, source in enumerate(self._sources):
            own = np.flatnonzero((codes >= self._starts[k]) & (codes < self._starts[k + 1]))
            if len(own):
                yield own, codes[own].astype(np.int64) - self._starts[k], source

    def __reduce__(self):
        own = self[:]  # without objects that are not in the list any more
        codes = own._codes
        if isinstance(codes, range):
            codes = (codes.start, codes.stop, codes.step)
        return example_list, (own._sources, codes, own._objects)


def as_example_list(examples: Any) -> Any:
    """Returns a list of examples as an ``ExampleList``, which it may be already.

    Args:
        examples: A list or any other iterable of examples.
    """
    if hasattr(examples, "storage_order"):
        return examples
    result = ExampleList()
    result.extend(examples)
    return result


def _is_many(key):
    return isinstance(key, list) or (hasattr(key, "__array__") and np.ndim(key) > 0)


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

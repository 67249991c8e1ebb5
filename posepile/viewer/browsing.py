"""Which examples a page of the viewer shows: filters, counts and look-ups, by columns.

No example is built for it. What is kept is 4 bytes per example and column that has been asked for,
and the positions that the last few filters have found.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.merging.exclusion_lines import is_glob
from posepile.store import bulk
from posepile.store.example_list import as_example_list
from posepile.store.origin import UNKNOWN
from posepile.store.placed import without_placing

# Texts that one can choose examples by, in the order in which they are shown.
COLUMNS = (
    "dataset",
    "subject",
    "activity_name",
    "scene_name",
    "motion",
    "recording",
    "sequence",
    "view",
)
MOST_VALUES = 400  # of a column, that a page lists
MOST_AT_ONCE = 64  # examples that belong together
_CHUNK = 1 << 18  # names that are searched at once
_REMEMBERED = 12

Positions = range | np.ndarray


class Browsed:
    """The examples of one split, as a person looks through them.

    Args:
        examples: An ``ExampleList`` or any list of examples.
        suspects: Returns positions worst first, the number of the kind of each and the names of
            the kinds, or None while they are not known.
        marked: Returns which examples are in the list of exclusions, bool ``[n]``, and a stamp of
            that list.
    """

    def __init__(
        self,
        examples: Any,
        suspects: Callable[[], tuple[np.ndarray, np.ndarray, list[str]] | None] = lambda: None,
        marked: Callable[[Browsed], tuple[np.ndarray, Any]] | None = None,
    ):
        self.examples = as_example_list(examples)
        self._suspects, self._marked = suspects, marked
        self._columns: dict[str, tuple[np.ndarray, list[str]]] = {}
        self._places: list[tuple] | None = None
        self._found: OrderedDict[tuple, Positions] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self):
        return len(self.examples)

    def codes(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Returns a text of all examples as int32 ``[n]`` and the strings these are numbers of."""
        with self._lock:
            if name not in self._columns:
                self._columns[name] = bulk.text_codes(self.examples, name)
            return self._columns[name]

    def _frames(self):
        with self._lock:
            if "frame" not in self._columns:
                self._columns["frame"] = bulk.column(self.examples, "frame"), []
            return self._columns["frame"][0]

    def _sources(self):
        # Which positions have which rows of which table; telling costs a look at every example.
        with self._lock:
            if self._places is None:
                self._places = list(bulk.by_source(self.examples))
            return self._places

    def select(self, query: Mapping[str, str]) -> Positions:
        """Returns the positions of the examples that meet all conditions.

        Args:
            query: By the name of one of :data:`COLUMNS`, a text or a glob; ``path``: a part of
                the image path; ``quality``: a kind of suspect, or ``any``, which also orders them
                worst first; ``marked``: ``yes`` or ``no``.

        Raises:
            UsageError: There is no such condition.
        """
        query = {name: value for name, value in query.items() if value}
        if not query:
            return range(len(self))
        stamp = None
        if "marked" in query and self._marked is not None:
            stamp = self._marked(self)[1]
        key = (*sorted(query.items()), stamp, "quality" in query and self._suspects() is not None)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        found = self._select(query)
        with self._lock:
            self._found[key] = found
            while len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        return found

    def _select(self, query):
        kept = self._kept({k: v for k, v in query.items() if k != "quality"})
        if "quality" not in query:
            return np.flatnonzero(kept).astype(np.int32)
        positions = self._of_kind(query["quality"])
        positions = positions[kept[positions]]
        _, first = np.unique(positions, return_index=True)  # by its worst reason
        return positions[np.sort(first)].astype(np.int32)

    def _of_kind(self, wanted):
        """Returns the positions of the suspects of a kind, or of any, worst first."""
        nothing = np.zeros(0, np.int32)
        positions, codes, kinds = self._suspects() or (nothing, nothing, [])
        if wanted not in ("any", *kinds) and kinds:
            raise UsageError(f"quality = {wanted!r}: expected any or one of {', '.join(kinds)}")
        of_kind = np.array([wanted in ("any", kind) for kind in kinds], bool)
        return positions[of_kind[codes]] if len(codes) else nothing

    def suspect_counts(self, query: Mapping[str, str]) -> dict[str, int]:
        """Returns how many examples of a query are suspects, by kind and of ``any``.

        The condition on the kind itself is not counted, so that another one can be chosen.
        """
        _, _, kinds = self._suspects() or ((), (), [])
        kept = self._kept({k: v for k, v in query.items() if v and k != "quality"})
        counts = {}
        for kind in ("any", *kinds) if kinds else ():
            positions = self._of_kind(kind)
            counts[kind] = len(np.unique(positions[kept[positions]]))
        return counts

    def _kept(self, query):
        kept = np.ones(len(self), bool)
        for name, value in query.items():
            kept &= self._meets(name, value)
        return kept

    def _meets(self, name, value):
        if name == "quality":
            meet = np.zeros(len(self), bool)
            meet[self._of_kind(value)] = True
            return meet
        if name == "path":
            return self._containing(value)
        if name == "marked":
            if value not in ("yes", "no"):
                raise UsageError(f"marked = {value!r}: expected yes or no")
            marked = np.zeros(len(self), bool) if self._marked is None else self._marked(self)[0]
            return marked == (value == "yes")
        if name not in COLUMNS:
            raise UsageError(f"filter {name!r}: expected one of {', '.join(COLUMNS)}")
        numbers, texts = self.codes(name)
        if not texts:
            return np.zeros(len(self), bool)
        if value in texts or not is_glob(value):
            meet = np.array([text == value for text in texts], bool)
        else:
            matches = re.compile(fnmatch.translate(value)).match
            meet = np.array([matches(text) is not None for text in texts], bool)
        return meet[numbers]

    def facets(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Returns for each column its texts and how many examples of the query have each.

        The condition on a column itself is not counted, so that another one can be chosen.
        Columns in which all examples have the same text are left out.
        """
        query = {name: value for name, value in query.items() if value}
        every = self._kept(query) if query else None
        result = []
        for name in COLUMNS:
            numbers, texts = self.codes(name)
            if len(texts) < 2 or (name == "sequence" and texts == self.codes("recording")[1]):
                continue
            kept = every
            if name in query:
                others = {k: v for k, v in query.items() if k != name}
                kept = self._kept(others) if others else None
            counts = np.bincount(numbers if kept is None else numbers[kept], minlength=len(texts))
            order = sorted(range(len(texts)), key=lambda i: _natural(texts[i]))
            values = [[texts[i], int(counts[i])] for i in order]
            shown = [v for v in values if v[1]][:MOST_VALUES]
            result.append({"name": name, "values": shown, "distinct": len(texts)})
        return result

    def find(self, path: str) -> np.ndarray:
        """Returns the positions of the examples that are in a picture, rising.

        Args:
            path: The whole image path.
        """
        try:
            path.encode()
        except UnicodeEncodeError:  # no name of a file that is in an archive
            return np.zeros(0, np.int64)
        found = []
        for positions, rows, source in self._sources():
            hits = self._rows_of(source, rows, positions, path)
            # A range as an array would cost more than to look at every row.
            found.append([positions[int(i)] for i in hits])
        return np.array(sorted(itertools.chain.from_iterable(found)), np.int64)

    def _rows_of(self, source, rows, positions, path):
        """Returns which of some rows have an image path, as an index."""
        table = bulk.table_under(source)
        if table is None:
            numbers, texts = self.codes("image_path")
            number = texts.index(path) if path in texts else -1
            return np.flatnonzero(numbers[bulk.as_slice(positions)] == number)
        try:
            shard, offset, _ = without_placing(source).archive().address(path)
        except KeyError:
            return np.zeros(0, np.int64)
        own, columns = bulk.as_slice(rows), table.columns
        there = (columns["offset"][own] == offset) & (columns["shard"][own] == shard)
        hits = np.flatnonzero(there)
        keep = [table.image_path(int(rows[int(i)])) == path for i in hits]
        return hits[np.array(keep, bool)] if len(hits) else hits

    def _containing(self, text):
        """Returns which image paths have a text in them, bool ``[n]``."""
        found = np.zeros(len(self), bool)
        for positions, rows, source in self._sources():
            table = bulk.table_under(source)
            if table is None:
                numbers, texts = self.codes("image_path")
                meet = np.array([text in path for path in texts], bool)
                found[bulk.as_slice(positions)] = meet[numbers[bulk.as_slice(positions)]]
                continue
            found[bulk.as_slice(positions)] = _rows_containing(table.columns, text)[
                bulk.as_slice(rows)
            ]
        return found

    def together(self, position: int) -> list[int]:
        """Returns the positions of all examples of the instant of one: its views, its people.

        Where the ids do not say which camera recorded a sequence, those in the same picture.
        """
        numbers, texts = self.codes("view")
        if texts[numbers[position]] == UNKNOWN:
            found = self.find(self.examples[position].image_path)
        else:
            recordings, frames = self.codes("recording")[0], self._frames()
            here = (recordings == recordings[position]) & (frames == frames[position])
            datasets, names = self.codes("dataset")
            if len(names) > 1:
                here &= datasets == datasets[position]
            found = np.flatnonzero(here)
        if len(found) > MOST_AT_ONCE:
            near = np.argsort(np.abs(found - position), kind="stable")[:MOST_AT_ONCE]
            found = np.sort(found[near])
        return found.tolist()


def rank_of(found: Positions, position: int) -> int | None:
    """Returns the place of a position among those that were found; None if it is not there.

    >>> rank_of(range(5), 3), rank_of(np.array([7, 2, 9]), 9), rank_of(np.array([7, 2]), 4)
    (3, 2, None)
    """
    if isinstance(found, range):
        return position if 0 <= position < len(found) else None
    places = np.flatnonzero(found == position)
    return int(places[0]) if len(places) else None


def _natural(text):
    """Sorts numbers in texts by what they are."""
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d{1,15})", text)]


def _rows_containing(columns, text):
    """Returns which rows of a table have an image path with a text in it."""
    folders = [f"{name}/" if name else "" for name in _strings(columns, "dir")]
    whole = np.array([text in folder for folder in folders], bool)
    result = whole[columns["dir"]]
    head, slash, tail = text.rpartition("/")
    if slash:  # a name that begins with the tail, in a folder that ends with the head
        ends = np.array([folder.endswith(head + "/") for folder in folders], bool)
        if ends.any():
            starts = (columns["name_ptr"][:-1]).astype(np.int64)
            in_folder = np.flatnonzero(ends[columns["dir"]] & ~result)
            prefix = np.frombuffer(tail.encode(errors="replace"), np.uint8)
            values = columns["name"]
            long = columns["name_ptr"][1:].astype(np.int64)[in_folder] - starts[in_folder]
            in_folder = in_folder[long >= len(prefix)]
            for k, byte in enumerate(prefix.tolist()):
                in_folder = in_folder[values[starts[in_folder] + k] == byte]
            result[in_folder] = True
        return result
    wanted = re.compile(re.escape(text.encode(errors="replace")))
    for low, high, hits in _hits(columns, wanted):
        ptr = columns["name_ptr"][low : high + 1].astype(np.int64)
        rows = np.searchsorted(ptr, hits[:, 0], "right") - 1
        rows = rows[hits[:, 1] <= ptr[rows + 1]]  # not over the border between two names
        result[low + rows] = True
    return result


def _hits(columns, wanted) -> Iterator[tuple[int, int, np.ndarray]]:
    """Iterates over (first row, row after the last, starts and ends of what is found)."""
    ptr, n = columns["name_ptr"], len(columns["name_ptr"]) - 1
    for low in range(0, n, _CHUNK):
        high = min(n, low + _CHUNK)
        begin, end = int(ptr[low]), int(ptr[high])
        blob = columns["name"][begin:end].tobytes()
        spans = [m.span() for m in wanted.finditer(blob)]
        if spans:
            yield low, high, np.array(spans, np.int64) + begin


def _strings(columns, name):
    values, ptr = columns[f"{name}_strings"], columns[f"{name}_strings_ptr"]
    ends = ptr.tolist()
    return [values[a:b].tobytes().decode(errors="replace") for a, b in itertools.pairwise(ends)]

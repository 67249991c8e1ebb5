"""The examples of a dataset, packed, merged or made by hand, in the order of its lists."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import WorkError
from posepile.files import open_regular
from posepile.imaging import jpeg
from posepile.recipe import SPLIT_NAMES
from posepile.store import bulk, fields
from posepile.store.example_list import as_example_list
from posepile.store.fields import Record
from posepile.store.origin import UNKNOWN
from posepile.store.placed import without_placing
from posepile.store.reading import open_archive

Progress = Callable[[int], None]

# Examples between two calls of ``progress``.
EVERY = 1000

# A note.
ENCODED = "image encoded anew, as it was changed in memory"


@dataclass
class Exported:
    """What an export wrote.

    Attributes:
        examples: Number of examples written, each once.
        images: Number of image files written or referred to.
        files: What to name to the user, the main file or folder first.
        left_out: Reason -> number of examples that were not written.
        notes: What else to know -> number of examples it is about.
    """

    examples: int = 0
    images: int = 0
    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Row:
    """One example with all its fields.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        position: Place in the list of the split.
        example: The example as the list has it.
        record: Its fields; coordinates may be sparse.
        source: Of an example of an archive: where it is from, with joints as they are here.
        row: Its row there.
    """

    split: str
    position: int
    example: Any
    record: Record
    source: Any = None
    row: Any = None
    _stored: Any = field(default=False, init=False)

    @property
    def stored(self) -> tuple[Any, Any] | None:
        """Source and row whose stored image is the example's; None if it has one of its own.

        People of one picture share it, also those of whom something else was changed in memory.
        """
        if self._stored is False:
            self._stored = _stored_place(self)
        return self._stored

    @property
    def dataset(self) -> str:
        """Name of the dataset that the example is from."""
        return getattr(self.example, "dataset", UNKNOWN)

    def fact(self, name: str) -> str:
        """Returns a text that examples have beside their fields, such as ``licence``."""
        return getattr(self.example, name, UNKNOWN)


def iter_rows(dataset: Any, progress: Progress | None = None) -> Iterator[Row]:
    """Iterates over all examples of a dataset: split by split, in the order of its lists.

    Args:
        dataset: A dataset of either kind.
        progress: Called with the number of examples that were handed out now and then.

    Raises:
        WorkError: As :func:`require_own_pictures`.
    """
    require_own_pictures(dataset)
    n = 0
    for number, split in SPLIT_NAMES.items():
        for position, example in enumerate(as_example_list(dataset.examples[number])):
            yield make_row(split, position, example)
            n += 1
            if progress is not None and n % EVERY == 0:
                progress(n)
    if progress is not None and n % EVERY:
        progress(n)


def make_row(split: str, position: int, example: Any) -> Row:
    """Returns an example with all its fields.

    Args:
        split: Name of its split.
        position: Place in the list of the split.
        example: The example.

    Raises:
        WorkError: It has no name of an image, as examples have while a dataset is being made.
    """
    place = getattr(example, "place", None)
    names = fields.names_in_examples(example.KIND)
    if place is not None and hasattr(place[0], "values"):
        source, row = place
        given = source.values(row)
        path = source.image_path(row)
    else:
        source = row = None
        complete = example.load(load_image=False)
        given = {name: getattr(complete, name, None) for name in names}
        path = complete.image_path
    if not isinstance(path, str):
        raise WorkError(
            f"example {position} of {split}: found {type(path).__name__} as image_path, expected "
            "the name of an image; give it one before the export"
        )
    values = {names[name].name: value for name, value in given.items()}
    return Row(split, position, example, _record(path, split, values, example), source, row)


def _record(path, split, values, example):
    if values.get("bbox") is None:
        values["bbox"] = np.full(4, np.nan, np.float32)
    for name, unknown in (("frame", -1), ("person", 0), ("sequence", UNKNOWN)):
        if values.get(name) is None:
            values[name] = unknown
    if values.get("imshape") is None:
        mask = values.get("mask")
        values["imshape"] = (0, 0) if mask is None else tuple(int(x) for x in mask["size"])
    for name, declared in fields.FIELDS.items():
        if values.get(name) is None and not declared.required:
            values[name] = declared.default
    values.setdefault("world_coords", None)
    given = {n: values[n] for n in fields.FIELDS if n in values}
    return Record(**{**given, "image_path": path, "split": split})


def dense(coords: Any) -> np.ndarray | None:
    """Returns coordinates of all joints, NaN where they are missing."""
    return coords.to_array() if hasattr(coords, "to_array") else coords


def require_own_pictures(dataset: Any) -> None:
    """Refuses a dataset in which an image path is that of two pictures, which nobody could tell.

    The same picture in two archives is none. It takes 16 bytes per picture, where there is more
    than one archive.

    Args:
        dataset: The dataset.

    Raises:
        WorkError: There is such a path.
    """
    found: dict[str, tuple[Any, list[Any]]] = {}
    for split in SPLIT_NAMES:
        for _, rows, source in bulk.by_source(as_example_list(dataset.examples[split])):
            if source is not None:
                base = without_placing(source)
                place = os.fspath(base.image_archive_path or base.annotation_path)
                found.setdefault(place, (base, []))[1].append(np.asarray(rows))
    if len(found) < 2:
        return
    hashes = {}
    for place, (base, pieces) in found.items():
        rows = np.concatenate(pieces).tolist()
        own = np.fromiter((hash(base.image_path(row)) for row in rows), np.int64, len(rows))
        own, first = np.unique(own, return_index=True)
        hashes[place] = own, np.array(rows)[first]
    values, counts = np.unique(
        np.concatenate([own for own, _ in hashes.values()]), return_counts=True
    )
    twice = values[counts > 1]
    seen: dict[str, tuple[str, Any, int]] = {}
    for place, (own, rows) in hashes.items():
        for row in np.sort(rows[np.isin(own, twice)]).tolist():
            here = (place, found[place][0], row)
            path = here[1].image_path(row)
            other = seen.setdefault(path, here)
            if other[0] != place and bytes(_stored(*here[1:])) != bytes(_stored(*other[1:])):
                raise WorkError(
                    f"{path}: found another picture in {place} than in {other[0]}; expected one "
                    "picture per path; export them one by one, or pack one with another image_dir"
                )


class Images:
    """The stored images of a dataset, each with a number; people of one picture share it.

    Numbers count from 0 in the order in which images are first asked for. It takes 12 bytes per
    row of each archive in use.
    """

    def __init__(self):
        self.n = 0
        self._of_table: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._of_path: dict[str, int] = {}

    def number(self, row: Row) -> tuple[int, bool]:
        """Returns the number of an example's image, and whether it is asked for first."""
        base = None if row.stored is None else without_placing(row.stored[0])
        if base is None or not hasattr(base, "table"):
            number = self._of_path.setdefault(row.record.image_path, self.n)
        else:
            image_of_row, numbers = self._tables(base)
            i = image_of_row[row.stored[1]]
            if numbers[i] < 0:
                numbers[i] = self.n
            number = int(numbers[i])
        is_new = number == self.n
        self.n += is_new
        return number, is_new

    def _tables(self, base):
        found = self._of_table.get(base.annotation_path)
        if found is None:
            columns = base.table().columns
            place = np.stack(
                [columns["shard"].astype(np.int64), columns["offset"].astype(np.int64)]
            )
            same = (np.diff(place) == 0).all(axis=0)
            if (
                (np.diff(place[0]) >= 0) & ((np.diff(place[1]) >= 0) | (np.diff(place[0]) > 0))
            ).all():
                image_of_row = np.concatenate([[0], np.cumsum(~same)]).astype(np.int64)
            else:
                image_of_row = np.unique(place, axis=1, return_inverse=True)[1].reshape(-1)
            image_of_row = image_of_row[: place.shape[1]]
            n = int(image_of_row.max(initial=-1)) + 1
            found = self._of_table[base.annotation_path] = (image_of_row, np.full(n, -1, np.int64))
        return found


def image_bytes(row: Row) -> tuple[bytes, bool]:
    """Returns the image file of an example, and whether it was encoded now.

    The stored file is returned as it is. Only the image of an example that somebody changed, or
    made by hand, is encoded (JPEG, quality 95).
    """
    if row.stored is not None:
        return _stored(*row.stored), False
    image = getattr(row.example, "image", None)
    if image is not None:
        return jpeg.encode(np.asarray(image)), True
    return _read_file(row.record.image_path), False


def _stored_place(row):
    if row.source is not None:
        return row.source, row.row
    origin = getattr(row.example, "_origin", None)
    if origin is None or origin.image_path != row.record.image_path:
        return None
    return origin.place if changed_image(row.example) is None else None


def changed_image(example: Any) -> np.ndarray | None:
    """Returns the image of an example of an archive if it is not the one that is stored."""
    image = getattr(example, "image", None)
    if image is None or np.array_equal(image, example._origin.get_image()):
        return None
    return np.asarray(image)


def _stored(source, row):
    if hasattr(source, "image_bytes"):
        return source.image_bytes(row)
    path, archive = source.image_path(row), source.image_archive_path
    data = None if archive is None else open_archive(archive).get(path)
    return _read_file(path) if data is None else data


def _read_file(path):
    place = paths.ensure_absolute(path)
    try:
        with open_regular(place) as f:
            return f.read()
    except OSError as e:
        raise WorkError(
            f"{os.fspath(place)}: image of an example cannot be read ({e.strerror}); put it there "
            "or leave the example out"
        ) from e

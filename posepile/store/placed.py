"""Rows of an archive as examples of a merged dataset: their joints placed in a larger skeleton.

Nothing is copied: a source of this kind asks that of the dataset's own archive, and changes what
has a row for each joint. Image coordinates of a 2D dataset become ``coords2d`` of examples that
have no world coordinates, so that lists of a 3D dataset can hold both.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.store.column_readers import missing_value
from posepile.store.coords import SparseCoords, as_compact_float
from posepile.store.examples import Pose2DExample, Pose3DExample
from posepile.store.fields import FIELDS, names_in_examples
from posepile.store.lazy import LAZY_EXAMPLES, LazyExample
from posepile.store.origin import Origin
from posepile.store.read_only import read_only_reader


class Placement:
    """Where the joints of a skeleton are in a larger one.

    Attributes:
        joint_ids: Index there of each own joint, int64 ``[J]``; -1 = left out.
        n_joints: Number of joints of the larger skeleton.
    """

    def __init__(self, joint_ids: np.ndarray, n_joints: int):
        self.joint_ids = np.asarray(joint_ids, np.int64)
        self.n_joints = n_joints
        self.kept = np.flatnonzero(self.joint_ids >= 0)
        self.ids = self.joint_ids[self.kept].astype(np.uint16 if n_joints <= 65536 else np.uint32)
        self._all = len(self.kept) == len(self.joint_ids)

    def after(self, first: Placement) -> Placement:
        """Returns the placement that places as the other one, and then as this."""
        ids = np.append(self.joint_ids, -1)[first.joint_ids]
        return Placement(ids, self.n_joints)

    def coords(self, coords: np.ndarray | SparseCoords | None) -> SparseCoords | None:
        """Returns world coordinates as those of the larger skeleton; arrays are taken over."""
        if coords is None:
            return None
        shape = (self.n_joints, 3)
        if isinstance(coords, SparseCoords):
            ids = self.joint_ids[coords.i_valid_joints]
            kept = ids >= 0
            rows = coords.valid_coords[kept]
            return SparseCoords.of_rows(shape, ids[kept].astype(self.ids.dtype), rows)
        if coords.dtype.kind != "f":  # of an example in memory; has no NaN for what is missing
            coords = as_compact_float(coords)
        if not self._all:
            coords = coords[self.kept]
        if not math.isnan(coords.sum()):  # a sum without NaN is of coordinates without NaN
            return SparseCoords.of_rows(shape, self.ids.copy(), coords)
        there = ~np.isnan(coords).any(axis=1)
        return SparseCoords.of_rows(shape, self.ids[there], coords[there])

    def rows(self, values: np.ndarray | None) -> np.ndarray | None:
        """Returns values of every joint as those of the larger skeleton."""
        if values is None:
            return None
        shape = (self.n_joints, *values.shape[1:])
        placed = np.full(shape, missing_value(values.dtype), values.dtype)
        placed[self.ids] = values if self._all else values[self.kept]
        return placed

    def field(self, name: str) -> Callable[[Any], Any] | None:
        """Returns what places the values of a field; None where they stay as they are."""
        if name == "world_coords":
            return self.coords
        return self.rows if FIELDS[name].per_joint else None

    def example(self, own: Any, kind: str) -> Any:
        """Returns an example in memory as one of a merged dataset.

        Args:
            own: The example; it stays as it is.
            kind: ``3d`` or ``2d``, that of the merged dataset.
        """
        loaded = own.load(load_image=False)
        if kind == loaded.KIND:
            result = copy.copy(loaded)
        elif kind == "3d":
            result = Pose3DExample(loaded.image_path, None, loaded.bbox, loaded.camera)
            names = {f.name: name for name, f in names_in_examples("3d").items()}
            for name, field in names_in_examples("2d").items():
                setattr(result, names[field.name], getattr(loaded, name))
            result.image, result._origin = loaded.image, loaded._origin
        else:
            raise TypeError(f"found {type(own).__name__}, expected {Pose2DExample.__name__}")
        for name, field in names_in_examples(kind).items():
            if (place := self.field(field.name)) is not None:
                setattr(result, name, place(getattr(result, name)))
        return result

    def packed(self) -> int | bytes:
        """Returns the indices for a pickle: the first where they follow each other."""
        ids = self.joint_ids
        if len(ids) and ids[0] >= 0 and np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids))):
            return int(ids[0])
        return ids.astype("<i4").tobytes()


class PlacedSource:
    """The examples of another source with their joints placed in a larger skeleton.

    Attributes:
        source: The other source.
        placement: Where its joints are.
        kind: ``3d`` or ``2d``, the kind of examples to build.
        dataset: Name of the dataset the examples are of, None = what their archive says.
    """

    def __init__(self, source: Any, placement: Placement, dataset: str | None, kind: str):
        if isinstance(source, PlacedSource):  # of a dataset that was merged before
            source.check()
            placement = placement.after(source.placement)
            dataset, source = source.dataset, source.source
        if source.kind != kind:
            source = source.as_kind(kind)
        self.source, self.placement = source, placement
        self.dataset, self.kind = dataset, kind
        self.getters: dict[str, Any] = {}
        self._readers: list[tuple[str, Any]] = []
        self._class = LAZY_EXAMPLES[kind]

    @property
    def n_joints(self) -> int:
        """Number of joints of the larger skeleton."""
        return self.placement.n_joints

    @property
    def joint_ids(self) -> np.ndarray:
        """Index in the larger skeleton of each own joint, int64 ``[J]``; -1 = left out."""
        self.check()  # of a pickle that says the first alone, the archive tells how many
        return self.placement.joint_ids

    @property
    def annotation_path(self) -> str:
        """Path of the annotation archive."""
        return self.source.annotation_path

    @property
    def image_archive_path(self) -> str:
        """Path of the image archive."""
        return self.source.image_archive_path

    def __len__(self):
        return len(self.source)

    def __getattr__(self, name):
        # Whoever works with whole columns asks for `table`, which not every source has.
        if name in ("table", "archive"):
            return getattr(self.source, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def check(self) -> None:
        """Opens the archive if it is not open yet, which compares identities."""
        self.source.check()
        ids = self.placement.joint_ids
        if len(ids) > (n := self.source.n_joints):  # of a pickle that says the first
            self.placement = Placement(ids[:n], self.n_joints)
        if not self._readers and hasattr(self.source, "table"):
            self._make_readers()

    def _make_readers(self):
        table = self.source.table()
        readers, getters = [], {}
        for name, field in self._class.FETCHED.items():
            read, place = table.readers[field], self.placement.field(field)
            if place is None:
                getters[name] = table.read_only[field]
            else:
                read = _placed(read, place)
                getters[name] = read_only_reader(read)
            readers.append((name, read))
        self._readers, self.getters = readers, getters

    def example(self, row: Any) -> LazyExample:
        """Returns the lazy example of a row."""
        if not self._readers:
            self.check()
        return self._class(self, row)

    def fetch(self, row: Any, name: str) -> Any:
        """Returns one field of a row."""
        self.check()
        value, place = self.source.fetch(row, name), self.placement.field(name)
        return value if place is None else place(value)

    def values(self, row: Any) -> dict[str, Any]:
        """Returns the fields of a row, by their names in examples; they can be changed."""
        if not self._readers:
            self.check()
        if self._readers:
            return {name: read(row) for name, read in self._readers}
        values = self.source.values(row)
        for name, field in self._class.FETCHED.items():
            if (place := self.placement.field(field)) is not None:
                values[name] = place(values[name])
        return values

    def origin(self, row: Any) -> Origin:
        """Returns where a row comes from."""
        origin = self.source.origin(row)
        return origin if self.dataset is None else origin._replace(dataset=self.dataset)

    def place(self, row: Any) -> tuple:
        """Returns what tells a row from every other example."""
        return self.placement.packed(), self.n_joints, self.source.place(row)

    def image_path(self, row: Any) -> str:
        """Returns the image path of a row."""
        return self.source.image_path(row)

    def path(self, row: Any) -> str:
        """Returns the entry key of a row."""
        return self.source.path(row)

    def image_bytes(self, row: Any) -> bytes:
        """Returns the stored image file of a row."""
        return self.source.image_bytes(row)

    def image(self, row: Any) -> np.ndarray:
        """Returns the decoded image of a row."""
        return self.source.image(row)

    def reduce_example(self, row: Any) -> tuple:
        """Returns how to make the example in another process."""
        return placed_example, (*self._pickled(), row)

    def _pickled(self):
        return self.source, self.placement.packed(), self.n_joints, self.dataset

    def __eq__(self, other):
        if not isinstance(other, PlacedSource):
            return NotImplemented
        if self.dataset != other.dataset:  # of most of a thousand datasets
            return False
        return self._pickled() == other._pickled()

    def __hash__(self):
        return hash((self.source, self.n_joints, self.dataset))

    def __reduce__(self):
        return placed_source, self._pickled()


def _placed(read, place):
    return lambda row: place(read(row))


def without_placing(source: Any) -> Any:
    """Returns the source of an archive that a source of a merged dataset takes examples from."""
    return source.source if isinstance(source, PlacedSource) else source


def placed_source(
    source: Any, joint_ids: int | bytes, n_joints: int, dataset: str | None
) -> PlacedSource:
    """Returns the source of a merged dataset's examples, as pickles refer to it.

    Args:
        source: That of the dataset's own archive.
        joint_ids: Index of the first joint, or int32 of all; see :meth:`Placement.packed`.
        n_joints: Number of joints of the merged skeleton.
        dataset: Name of the dataset.
    """
    key = (source, joint_ids, n_joints, dataset)
    placed = _sources.get(key)
    if placed is None or placed.source is not source:
        if isinstance(joint_ids, int):
            ids = np.arange(joint_ids, n_joints)  # cut when the archive is opened, which is later
        else:
            ids = np.frombuffer(joint_ids, "<i4")
        placement = Placement(ids, n_joints)
        placed = _sources[key] = PlacedSource(source, placement, dataset, source.kind)
    return placed


_sources: dict[tuple, PlacedSource] = {}


def placed_example(
    source: Any, joint_ids: int | bytes, n_joints: int, dataset: str | None, row: Any
) -> Any:
    """Returns an example of a merged dataset, as pickles refer to it."""
    placed = placed_source(source, joint_ids, n_joints, dataset)
    return LAZY_EXAMPLES[placed.kind](placed, row)


# The names in pickles, wherever the code is.
for _function in (placed_source, placed_example):
    _function.__module__ = "posepile.datasets3d"

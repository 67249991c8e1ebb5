"""The example table: annotations as columns, read row by row (layout in docs/FORMAT.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.errors import WorkError
from posepile.recipe import SPLITS
from posepile.store.column_readers import Columns, ragged_reader
from posepile.store.fields import FIELDS, REQUIRED, Record


class ExampleTable:
    """Fields of single rows, read from columns. Columns that are not known are ignored.

    Args:
        columns: Arrays by name, as :meth:`ColumnBuilder.finish` returns them or mapped from an
            archive.
        n_joints: Number of joints, where no dense column tells.

    Attributes:
        readers: Field of a record -> function from row number to its value. Arrays are new and
            writable; large skeletons give :class:`posepile.datasets3d.SparseCoords`.
        read_only: The same, of values that cannot be changed in place.
        image_path: Function from row number to image path.
        split: Function from row number to the split's name.
    """

    def __init__(self, columns: dict[str, np.ndarray], n_joints: int | None = None):
        missing = sorted(REQUIRED - columns.keys())
        if missing:
            raise WorkError(f"example table: column {missing[0]!r} not found")
        self.columns = Columns(columns)
        for name, field in FIELDS.items():
            if field.per_joint and name in columns:
                n_joints = columns[name].shape[1]
        self.columns.n_joints = self.n_joints = n_joints
        self.n_rows = len(columns["flags"])
        self.readers: dict[str, Callable[[int], Any]] = {
            name: field.reader(self.columns) for name, field in FIELDS.items()
        }
        views = Columns(self.columns)
        views.n_joints, views.write = n_joints, False
        self.read_only: dict[str, Callable[[int], Any]] = {
            name: field.reader(views) for name, field in FIELDS.items()
        }
        self.image_path: Callable[[int], str] = self.readers["image_path"]
        self.split: Callable[[int], str] = self.readers["split"]
        self._address = tuple(memoryview(columns[name]) for name in ("shard", "offset", "size"))
        self._person = self.readers["person"]

    def __len__(self):
        return self.n_rows

    def split_ranges(self) -> dict[str, range | np.ndarray]:
        """Returns which rows each split has: a range where they lie together."""
        split = self.columns["split"]
        result = {}
        for i, name in enumerate(SPLITS):
            start, stop = np.searchsorted(split, [i, i + 1]) if self._is_sorted else (0, 0)
            result[name] = (
                range(int(start), int(stop)) if self._is_sorted else np.flatnonzero(split == i)
            )
        return result

    @property
    def _is_sorted(self):
        split = self.columns["split"]
        return bool(np.all(split[1:] >= split[:-1]))

    def image_address(self, row: int) -> tuple[int, int, int]:
        """Returns shard, offset and size of a row's image."""
        shard, offset, size = self._address
        return shard[row], offset[row], size[row]

    def path(self, row: int) -> str:
        """Returns the key of the row's entry."""
        return f"{self.split(row)}/{self.image_path(row)}_{self._person(row):02d}.msgpack"

    def camera_row(self, row: int) -> np.ndarray | None:
        """Returns the numbers of a row's camera, None where it has none or one with a lens.

        As :func:`posepile.store.cameras.camera_to_row` wrote them.
        """
        columns, camera = self.columns, FIELDS["camera"]
        if camera.name not in columns or not columns["flags"][row] & camera.flag:
            return None
        if "distortion" in columns and len(ragged_reader(columns, "distortion", "<f4")(row)):
            return None
        return columns[camera.name][row]

    def record(self, row: int) -> Record:
        """Returns the whole row as a record, coordinates dense."""
        values = {name: read(row) for name, read in self.readers.items()}
        if hasattr(values["world_coords"], "to_array"):
            values["world_coords"] = values["world_coords"].to_array()
        return Record(**values)

"""Writes the table of an archive: the columns of all parts, one after another, in one file.

How long each column will be is known from the headers of the parts, so each part is read once and
its rows go straight to where they belong.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import crc32c as crc32c_lib
import numpy as np

from posepile.errors import WorkError
from posepile.store import fields
from posepile.store.column_readers import missing_value
from posepile.store.layout import TABLE_PREFIX
from posepile.store.parts import ALIGN

_BUFFER = 128 << 10  # per column


class TablePlan:
    """What columns the table will have: found from the headers of parts."""

    def __init__(self):
        self.n_rows = 0
        self._rows: dict[str, int] = {}
        self._dtypes: dict[str, set[str]] = {}
        self._row_shapes: dict[str, tuple[int, ...]] = {}

    def add(self, n_rows: int, columns: dict[str, list]) -> None:
        """Takes the columns of a part into account.

        Args:
            n_rows: Number of examples.
            columns: Name to (place, type, shape).
        """
        self.n_rows += n_rows
        for name, (_, dtype, shape) in columns.items():
            if name.startswith(fields.BETWEEN_STAGES):
                continue
            if name not in self._rows:
                self._rows[name], self._dtypes[name] = 0, set()
                self._row_shapes[name] = tuple(shape[1:])
            self._rows[name] += shape[0] - 1 if name.endswith("_ptr") else shape[0]
            self._dtypes[name].add(dtype)

    def columns(self) -> Iterable[tuple[str, np.dtype, tuple[int, ...]]]:
        """Iterates over name, type and shape of the columns."""
        for name in sorted(self._rows.keys() - fields.PART_ONLY.keys()):
            ragged = name.endswith("_ptr") and name.removesuffix("_ptr") in fields.RAGGED
            n = self.n_rows if ragged or name in fields.FIXED else self._rows[name]
            dtype = np.result_type(*sorted(self._dtypes[name]))
            yield name, dtype, (n + name.endswith("_ptr"), *self._row_shapes[name])


class _Column:
    """A column under construction: its place in the file, and what is still to be written."""

    def __init__(self, fd, position, dtype, shape):
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": dtype.str, "fortran_order": False, "shape": shape}
        )
        self.dtype, self.row_shape = dtype, shape[1:]
        self.offset = position
        self.size = len(head.getvalue()) + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self.crc = 0
        self._fd, self._position = fd, position
        self._buffer = bytearray(head.getvalue())

    def write(self, values):
        self._buffer += values.astype(self.dtype, copy=False).tobytes()
        if len(self._buffer) >= _BUFFER:
            self.flush()

    def flush(self):
        view = memoryview(self._buffer)
        self.crc = crc32c_lib.crc32c(view, self.crc)
        while view:
            n = os.pwrite(self._fd, view, self._position)
            self._position, view = self._position + n, view[n:]
        self._buffer = bytearray()

    def is_complete(self):
        return self._position == self.offset + self.size


class TableWriter:
    """Writes the shard of the table.

    Args:
        path: The file.
        plan: The columns.
    """

    def __init__(self, path: Path, plan: TablePlan):
        self._file = open(path, "w+b")
        self._columns: dict[str, _Column] = {}
        self._bases: dict[str, int] = {}  # by column of places: where the next part's values start
        self._n_strings = dict.fromkeys(fields.STRINGS, 0)
        self._end = 0
        for name, dtype, shape in plan.columns():
            position = self._end + -self._end % ALIGN
            column = self._columns[name] = _Column(self._file.fileno(), position, dtype, shape)
            self._end = position + column.size
            if name.endswith("_ptr"):
                self._bases[name] = 0
                column.write(np.zeros(1, dtype))

    def add(self, arrays: dict[str, np.ndarray], n_rows: int, shard: int, base: int) -> None:
        """Adds the rows of a part.

        Args:
            arrays: The part's columns.
            n_rows: Number of examples.
            shard: The archive's shard that holds the part's images.
            base: Where in the shard they start.
        """
        for name, column in self._columns.items():
            values = arrays.get(name)
            if name == "shard":
                values = np.full(n_rows, shard, column.dtype)
            elif name in fields.FIXED:
                if values is None and name not in fields.OPTIONAL:
                    raise WorkError(
                        f"column {name!r}: some parts have it and others do not; they were "
                        "written by different versions, run all units again"
                    )
                if values is None:
                    missing = missing_value(column.dtype)
                    values = np.full((n_rows, *column.row_shape), missing, column.dtype)
                elif name == "offset":
                    values = values + np.uint64(base)
                elif name in fields.STRINGS:
                    values = values + values.dtype.type(self._n_strings[name])
            elif name.endswith("_ptr"):
                before = self._bases[name]
                if values is None and name.removesuffix("_ptr") not in fields.RAGGED:
                    continue  # strings are not of rows
                if values is None:  # of a column that this part does not need
                    values = np.full(n_rows, before, column.dtype)
                else:
                    self._bases[name] = before + int(values[-1])
                    values = values[1:] + values.dtype.type(before)
            elif values is None:
                continue
            column.write(values)
        for name in fields.STRINGS:
            if f"{name}_strings_ptr" in arrays:
                self._n_strings[name] += len(arrays[f"{name}_strings_ptr"]) - 1

    def finish(self) -> list[tuple[str, int, int, int]]:
        """Completes the columns; entries can be appended then.

        Returns:
            (key, offset, size, CRC32C) of each.

        Raises:
            WorkError: The rows are not those of the plan.
        """
        entries = []
        for name, column in self._columns.items():
            column.flush()
            if not column.is_complete():
                raise WorkError(f"column {name!r}: parts were changed while they were packed")
            entries.append((f"{TABLE_PREFIX}/{name}.npy", column.offset, column.size, column.crc))
        return entries

    def append(self, key: str, chunks: Iterable[Any]) -> tuple[str, int, int, int]:
        """Writes an entry behind what there is; returns (key, offset, size, CRC32C)."""
        self._file.seek(self._end)
        self._file.write(b"\0" * (-self._end % ALIGN))
        offset = self._file.tell()
        crc = 0
        for chunk in chunks:
            self._file.write(chunk)
            crc = crc32c_lib.crc32c(chunk, crc)
        self._end = self._file.tell()
        return key, offset, self._end - offset, crc

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        # A full disk fails a second time when flushing; the first error is the one to tell.
        with contextlib.nullcontext() if exc_type is None else contextlib.suppress(OSError):
            self.close()

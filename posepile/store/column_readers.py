"""Functions from row number to value, made once for a table's columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.errors import WorkError
from posepile.store import encoding
from posepile.store.read_only import read_only

Reader = Callable[[int], Any]

# Texts kept per table and column; a table may have as many folders as examples.
_MAX_CACHED_TEXTS = 10_000


class Columns(dict[str, np.ndarray]):
    """Columns of a table by name.

    Attributes:
        n_joints: Number of joints of the skeleton, None where nothing tells.
        write: Whether readers return copies that can be changed, or values that refuse it: then
            numbers are views of the columns.
    """

    n_joints: int | None = None
    write: bool = True


def missing_value(dtype: np.dtype | str) -> float | int:
    """Returns what a fixed column holds in rows without a value."""
    return np.nan if np.dtype(dtype).kind == "f" else 0


def nothing(row: int) -> None:
    """Returns None: the reader of a column that is not there."""
    return None


def fixed_reader(
    columns: Columns,
    name: str,
    flag: int = 0,
    default: Any = None,
    convert: Callable[[list], Any] | None = None,
) -> Reader:
    """Reads numbers or arrays of a fixed column.

    Args:
        columns: Of the table.
        name: The column.
        flag: Bit of rows that have a value, 0 = all.
        default: Value of all rows where there is no such column.
        convert: Applied to an array as a list; for columns in which all rows have a value.
    """
    column = columns.get(name)
    if column is None:
        return lambda row: default
    if column.ndim == 1 and not flag:
        # Typed memory views give Python numbers several times faster than array indexing does.
        return memoryview(column).__getitem__
    flags = memoryview(columns["flags"])
    if column.ndim == 1:
        numbers = memoryview(column)
        return lambda row: numbers[row] if flags[row] & flag else None
    if convert is not None and not flag:
        return lambda row: convert(column[row].tolist())
    if not columns.write:
        views = read_only(column.view())  # and so are views of its rows
        if flag:
            return lambda row: views[row] if flags[row] & flag else None
        return views.__getitem__
    if flag:
        return lambda row: column[row].copy() if flags[row] & flag else None
    return lambda row: column[row].copy()


def imshape_reader(columns: Columns) -> Reader:
    """Reads height and width of the image."""
    sizes = memoryview(columns["imshape"])
    return lambda row: (sizes[row, 0], sizes[row, 1])


def text_reader(name: str, columns: Columns, default: str | None) -> Reader:
    """Reads the strings that a fixed column has the numbers of."""
    if name not in columns:
        return lambda row: default
    numbers = memoryview(columns[name])
    values, ptr = ragged_column(columns, f"{name}_strings")
    cache: dict[int, str] = {}

    def read(row):
        i = numbers[row]
        text = cache.get(i)
        if text is None:
            text = values[ptr[i] : ptr[i + 1]].tobytes().decode()
            if len(cache) > _MAX_CACHED_TEXTS:
                cache.clear()
            cache[i] = text
        return text

    return read


def ragged_column(columns: Columns, name: str) -> tuple[np.ndarray, memoryview]:
    """Returns the values of a ragged column and where those of each row start.

    Raises:
        WorkError: One of its two columns is missing.
    """
    for column in (name, f"{name}_ptr"):
        if column not in columns:
            raise WorkError(f"example table: column {column!r} not found")
    return columns[name], memoryview(columns[f"{name}_ptr"])


def ragged_reader(
    columns: Columns, name: str, dtype: str = "u1", shape: tuple[int, ...] = ()
) -> Reader:
    """Reads the values of a ragged column, not copied; none of the given type without it."""
    if name not in columns:  # no row of the whole table has a value
        no_values = np.zeros((0, *shape), dtype)
        return lambda row: no_values
    values, ptr = ragged_column(columns, name)
    return lambda row: values[ptr[row] : ptr[row + 1]]


def extras_reader(columns: Columns) -> Reader:
    """Reads the map ``extras``, decoded at each call."""
    bytes_of = ragged_reader(columns, "extras")
    return lambda row: encoding.unpack_msgpack(bytes_of(row).tobytes())

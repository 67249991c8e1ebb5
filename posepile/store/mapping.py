"""Columns as views of a mapped file, checked as far as that takes no time per row."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from posepile.store import fields

_MAGIC = b"\x93NUMPY\x01\x00"


def npy_view(buffer: Any, offset: int, size: int) -> np.ndarray:
    """Returns the array of a ``.npy`` entry as a view of the buffer.

    Args:
        buffer: The mapped file.
        offset: Where the entry starts.
        size: Bytes of the entry.

    Raises:
        ValueError: The entry is damaged.
    """
    if buffer[offset : offset + 8] != _MAGIC:
        raise ValueError("expected a .npy entry of format 1.0")
    header_size = int.from_bytes(buffer[offset + 8 : offset + 10], "little")
    start = offset + 10 + header_size
    dtype, shape = _parse_header(bytes(buffer[offset + 10 : start]))
    count = 1
    for n in shape:  # in Python's numbers, which do not overflow
        count *= n
    if 10 + header_size + count * dtype.itemsize != size or offset + size > len(buffer):
        raise ValueError(f"{size} bytes do not fit an array of shape {shape} and type {dtype}")
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(buffer, dtype, count, start).reshape(shape)


def _parse_header(header):
    try:
        facts = ast.literal_eval(header.decode("latin1"))
        dtype, shape = np.dtype(facts["descr"]), facts["shape"]
        order = facts["fortran_order"]
    except Exception as e:  # of a damaged text: SyntaxError, TypeError, MemoryError and others
        raise ValueError(f"its header is not readable ({type(e).__name__})") from e
    if dtype.kind not in "uif" or dtype.byteorder == ">" or order:
        raise ValueError(f"found {dtype}, expected plain little-endian numbers in C order")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"shape {shape!r}, expected whole numbers")
    return dtype, shape


def check_columns(columns: dict[str, np.ndarray]) -> None:
    """Compares types and lengths of the columns of a table with each other.

    Raises:
        ValueError: They do not fit; the message names the column.
    """
    n_rows = len(columns["flags"]) if columns["flags"].ndim else -1
    for name, (dtype, shape) in fields.FIXED.items():
        if name in columns:
            _check(name, columns[name], dtype, (n_rows, *shape))
    for name, (dtype, shape) in fields.RAGGED.items():
        if name in columns:
            _check(name, columns[name], dtype, (None, *shape))
            _check_places(columns, name, n_rows)
    for name in fields.STRINGS:
        if name in columns:
            _check(f"{name}_strings", columns.get(f"{name}_strings"), "u1", (None,))
            _check_places(columns, f"{name}_strings", None)


def check_places_rise(columns: dict[str, np.ndarray]) -> None:
    """Looks at where the values of each row begin, which takes time per row.

    Raises:
        ValueError: A row ends before it begins; the message names the column.
    """
    for name, ptr in columns.items():
        if name.endswith("_ptr") and (ptr[1:] < ptr[:-1]).any():
            row = int(np.argmax(ptr[1:] < ptr[:-1]))
            raise ValueError(
                f"column {name!r}: row {row} from {ptr[row]} to {ptr[row + 1]}, expected rising"
            )


def _check(name, column, dtype, shape):
    if column is None:
        raise ValueError(f"column {name!r} not found")
    expected = np.dtype(dtype)
    known = [n for n in shape if isinstance(n, int)]
    fits = len(column.shape) == len(shape) and known == [
        n for n, e in zip(column.shape, shape, strict=False) if isinstance(e, int)
    ]
    if not fits or column.dtype.kind != expected.kind:
        raise ValueError(
            f"column {name!r}: {column.dtype} of shape {column.shape}, expected {expected} {shape}"
        )


def _check_places(columns, name, n):
    ptr = columns.get(f"{name}_ptr")
    _check(f"{name}_ptr", ptr, "<u8", (None if n is None else n + 1,))
    if len(ptr) and int(ptr[-1]) != len(columns[name]):
        raise ValueError(f"column {name!r}: {len(columns[name])} values, expected {ptr[-1]}")

"""Reading ``.npy`` and ``.npz`` files of others, also those that hold pickled objects.

Pickles inside are read by :mod:`posepile.formats.pickles`, which runs nothing that is in them.
"""

from __future__ import annotations

import ast
import io
import os
import struct
import zipfile
from collections.abc import Collection
from typing import Any, BinaryIO

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.budget import Budget
from posepile.formats.keys import by_key
from posepile.formats.pickled_arrays import check_elements
from posepile.formats.pickles import UNPICKLING_ERRORS, Path, read_member, refusals, unpickle


def load_npy(path: Path, *, max_bytes: int | None = None) -> Any:
    """Loads a ``.npy`` file, also one that holds pickled objects.

    >>> np.save(folder / "facts.npy", {"gender": "female"}, allow_pickle=True)
    >>> load_npy(folder / "facts.npy")
    {'gender': 'female'}

    Args:
        path: The file.
        max_bytes: Limit of the memory that the content may take; None: as
            :class:`~posepile.formats.budget.Budget` says.

    Returns:
        The array. A single pickled object (0-dimensional object array) is returned as itself, so a
        saved dict comes back as a dict.

    Raises:
        CorruptInput: Not an npy file, truncated, it asks for something that is not plain data, or
            is too large.
    """
    with open(path, "rb") as f:
        size = os.path.getsize(path)
        with refusals(path):
            return _read_npy(f, size, path, Budget(size, max_bytes))


def npy_size(path: Path) -> int:
    """Least size in bytes that an ``.npy`` file must have, going by its header.

    >>> np.save(folder / "a.npy", np.zeros(100))
    >>> npy_size(folder / "a.npy") == (folder / "a.npy").stat().st_size
    True

    Raises:
        CorruptInput: The header itself is damaged or cut off.
    """
    with open(path, "rb") as f:
        shape, _, dtype = _read_header(f, path)
        return f.tell() + (1 if dtype.hasobject else _count(shape) * dtype.itemsize)


def load_npz(
    path: Path, names: Collection[str] | None = None, *, max_bytes: int | None = None
) -> dict[str, Any]:
    """Loads the members of an ``.npz`` file as by :func:`load_npy`; the limit is of all together.

    >>> np.savez(folder / "a.npz", x=np.arange(2), y=1)
    >>> sorted(load_npz(folder / "a.npz")), sorted(load_npz(folder / "a.npz", ["x", "z"]))
    (['x', 'y'], ['x'])

    Args:
        path: The file.
        names: Load only these, where they are there; None: all.
        max_bytes: As there.

    Raises:
        CorruptInput: As there, with the member named.
    """
    result = {}
    budget = Budget(os.path.getsize(path), max_bytes)
    with refusals(path, "not a complete npz file"), zipfile.ZipFile(path) as archive:
        members = enumerate(archive.infolist())
        named = ((info.filename.removesuffix(".npy"), f"member {i}", info) for i, info in members)
        for key, info in by_key(named, path, "array").items():
            if names is not None and key not in names:
                continue
            where = f"{os.fspath(path)}[{info.filename}]"
            data = read_member(archive, info, budget)
            with refusals(where):
                result[key] = _read_npy(io.BytesIO(data), len(data), where, budget)
    return result


def _read_npy(f: BinaryIO, size: int, where: Path, budget: Budget) -> Any:
    shape, fortran_order, dtype = _read_header(f, where)
    if dtype.hasobject:
        array = unpickle(f.read(), 0, budget)
        if not isinstance(array, np.ndarray) or array.shape != shape:
            found = getattr(array, "shape", type(array).__name__)
            raise CorruptInput(where, f"header announces shape {shape}, the content is {found}")
        return array.item() if array.ndim == 0 else array
    count = _count(shape)
    # An array of empty things takes no memory, but for ever to look at.
    budget.take_bytes(count * max(dtype.itemsize, 1))
    expected = f.tell() + count * dtype.itemsize
    if size < expected:
        raise CorruptInput(
            where,
            f"{size} bytes, but its header announces {expected}: truncated",
            hint="fetch or extract it again",
        )
    if not dtype.itemsize:
        return np.zeros(shape, dtype)
    array = np.frombuffer(f.read(count * dtype.itemsize), dtype, count).copy()
    array = array.reshape(shape, order="F" if fortran_order else "C")
    check_elements(array)
    return array


def _count(shape: tuple[int, ...]) -> int:
    """Product in exact integers; NumPy's own would wrap around."""
    count = 1
    for side in shape:
        count *= side
    return count


def _read_header(f: BinaryIO, where: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    magic = f.read(8)
    if magic[:6] != b"\x93NUMPY" or len(magic) < 8:
        what = "empty" if not magic else f"begins with {magic[:6]!r}"
        raise CorruptInput(where, f"not an npy file: {what}", hint="fetch or extract it again")
    wide = magic[6] >= 2
    raw_length = f.read(4 if wide else 2)
    try:
        if len(raw_length) < (4 if wide else 2):
            raise ValueError("cut off in its length")
        (length,) = struct.unpack("<I" if wide else "<H", raw_length)
        if length > 1_000_000:
            raise ValueError(f"of {length} bytes")
        text = f.read(length).decode("utf-8" if magic[6] >= 3 else "latin1")
        header = ast.literal_eval(text)
        shape, fortran_order = header["shape"], header["fortran_order"]
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        if not (isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)):
            raise ValueError(f"with shape {shape!r}")
    except (*UNPICKLING_ERRORS, SyntaxError) as e:
        raise CorruptInput(
            where, f"damaged npy header ({e})", hint="fetch or extract it again"
        ) from None
    return shape, bool(fortran_order), dtype

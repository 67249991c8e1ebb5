"""Raw files of NumPy, and one array out of a file of any of several kinds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.numpy_files import load_npy, load_npz
from posepile.formats.schema import AGAIN, Array, check, lookup
from posepile.formats.text_files import opened, read_json


def read_npy(path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN) -> Any:
    """Returns the checked content of an npy file: an array, or what is pickled in it.

    >>> np.save(folder / "poses.npy", np.zeros((5, 72)))
    >>> read_npy(folder / "poses.npy", Array("T", 72)).shape
    (5, 72)

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, damaged or not as expected.
    """
    with opened(path, hint=hint):
        pass
    return check(load_npy(path), schema, path, hint=hint)


def read_npz(path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN) -> Any:
    """Returns the checked arrays of an npz file, by name; otherwise as :func:`read_npy`.

    >>> np.savez(folder / "body.npz", pose=np.zeros((5, 72)), betas=np.zeros(10))
    >>> read_npz(folder / "body.npz", {"pose": Array("T", 72)}).keys()
    dict_keys(['pose'])
    """
    with opened(path, hint=hint):
        pass
    return check(load_npz(path), schema, path, hint=hint)


def read_array(
    path: str | os.PathLike,
    key: str | None,
    shape: tuple,
    *,
    finite: bool = True,
    hint: str | None = AGAIN,
) -> np.ndarray:
    """Returns the array below a dotted key of a JSON or npz file, or that of an npy file.

    >>> _ = (folder / "cameras.json").write_text('{"cameras": [{"K": [[1, 2], [3, 4]]}]}')
    >>> read_array(folder / "cameras.json", "cameras.0.K", (2, 2))[1]
    array([3., 4.])

    Args:
        path: The file.
        key: e.g. ``cameras.3.K``; None = the file's whole content.
        shape: As of :class:`posepile.formats.schema.Array`; ``()`` = a single number.
        finite: Refuse numbers that are not finite.
        hint: As in :func:`read_npy`.

    Returns:
        float64 of that shape.

    Raises:
        CorruptInput: Missing or damaged file, no such key, another shape, not numbers.
    """
    readers = {".json": read_json, ".npz": read_npz, ".npy": read_npy}
    kind = Path(path).suffix
    if kind not in readers:
        raise CorruptInput(path, f"is a {kind or 'nameless'} file; expected {', '.join(readers)}")
    content = readers[kind](path, hint=hint)
    value = content if key is None else lookup(content, key, path, hint=hint)
    return check(value, Array(*shape, finite=finite), path, key or "", hint=hint)


def stacked(contents: Sequence[Any]) -> Any:
    """Returns what several files of one structure hold, as one structure of stacked arrays.

    >>> stacked([{"lens": {"f": np.array(1)}}, {"lens": {"f": np.array(2)}}])
    {'lens': {'f': array([1, 2])}}

    Args:
        contents: Of each file an array, or a dictionary of arrays and dictionaries.
    """
    if not isinstance(contents[0], dict):
        return np.stack(contents)
    return {key: stacked([content[key] for content in contents]) for key in contents[0]}


def at_rows(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns points at rows of an array, or between two of them where rows are no whole numbers.

    >>> at_rows(np.array([[[0.0]], [[4.0]]]), np.array([1, 0.25])).ravel().tolist()
    [4.0, 1.0]

    Args:
        points: ``[T, J, 3]``.
        rows: ``[n]``, from 0 to T - 1.

    Returns:
        ``[n, J, 3]``.
    """
    before = np.floor(rows).astype(int)
    after, part = np.ceil(rows).astype(int), (rows - before)[:, None, None]
    return np.where(part == 0, points[before], (1 - part) * points[before] + part * points[after])

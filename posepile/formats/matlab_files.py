"""Raw files of MATLAB, of both kinds: v5 (scipy) and v7.3, which is HDF5 (h5py)."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.budget import Budget, walking
from posepile.formats.matlab_v5 import whole_variables
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import opened, read_bytes

# The head of a v7.3 file is a block of 512 bytes for MATLAB, then HDF5's own signature.
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_mat(
    path: str | os.PathLike,
    schema: Any = None,
    *,
    variables: list[str] | None = None,
    hint: str | None = AGAIN,
) -> Any:
    """Returns the checked variables of a MAT file, by name, axes in MATLAB's order.

    Text becomes ``str``, a structure a dictionary, a cell array an object array or, in a schema's
    ``[item]``, a list.

    >>> from scipy.io import savemat
    >>> savemat(folder / "info.mat", {"joints3D": np.zeros((3, 24, 7)), "gender": "male"})
    >>> content = read_mat(folder / "info.mat", {"joints3D": Array(3, 24, "T"), "gender": str})
    >>> content["joints3D"].shape, content["gender"]
    ((3, 24, 7), 'male')

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        variables: Read only these; default those that the schema names.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, damaged or not as expected.
    """
    if variables is None and isinstance(schema, dict) and "*" not in schema:
        variables = [name.removesuffix("?") for name in schema]
    if _is_hdf5(path, hint):
        with _open(path, hint) as f, _damage(path, hint):
            names = [n for n in f if n != "#refs#" and (variables is None or n in variables)]
            nodes = _Nodes(f, path)
            content = {name: nodes.plain(f[name]) for name in names}
    else:
        from scipy.io import loadmat

        data = read_bytes(path, hint=hint)
        with _damage(path, hint):
            if b"\0" not in data[:4]:  # else of version 4, which is read in Python
                data = whole_variables(data, variables, path, hint=hint)
            loaded = loadmat(io.BytesIO(data), variable_names=variables, simplify_cells=True)
            content = {k: _as_dicts(v) for k, v in loaded.items() if not k.startswith("__")}
    return check(content, schema, path, hint=hint)


def read_cell_rows(
    path: str | os.PathLike, name: str, n: int | None, schema: Any, *, hint: str | None = AGAIN
) -> list[list[Any]]:
    """Returns a cell array of two axes as n rows of checked cells.

    An axis of length 1 is lost when a file is read, which is why n has to be known.

    >>> from scipy.io import savemat
    >>> cells = np.empty((3, 1), object)
    >>> cells[:, 0] = [{"valid": k} for k in range(3)]
    >>> savemat(folder / "annot.mat", {"people": cells})
    >>> read_cell_rows(folder / "annot.mat", "people", 3, {"valid": int})[2]
    [{'valid': 2}]

    Args:
        path: The file.
        name: Of the variable.
        n: Number of rows; None: as it looks, which for a single row is as many.
        schema: Of one cell.
        hint: As in :func:`read_mat`.

    Raises:
        CorruptInput: Missing, damaged, not so many rows, or a cell is not as expected.
    """
    value = read_mat(path, {name: None}, hint=hint)[name]
    if isinstance(value, np.ndarray) and value.dtype == object:
        cells = [*value.flat]
    else:
        cells = [*value] if isinstance(value, list) else [value]
    n = (len(value) if np.shape(value) else 1) if n is None else n
    rows, rest = divmod(len(cells), max(n, 1))
    shape = value.shape if isinstance(value, np.ndarray) else (len(cells),)
    if rest or not cells or (len(shape) == 2 and shape[0] != n):
        text = f"{name}: found cells of shape {shape}; expected {n} rows"
        raise CorruptInput(path, text, hint=hint)
    return [
        [
            check(cells[rows * i + j], schema, path, f"{name}({i + 1},{j + 1})", hint=hint)
            for j in range(rows)
        ]
        for i in range(n)
    ]


def items_of(value: Any) -> list:
    """Returns what an array, or a cell array, of :func:`read_mat` holds.

    One of a single item has collapsed to the item.

    >>> items_of(np.array([2, 5])), items_of(2), items_of(np.array([]))
    ([2, 5], [2], [])
    """
    is_one = not isinstance(value, list) and np.ndim(value) == 0
    return [value] if is_one else [x.item() if isinstance(x, np.generic) else x for x in value]


def structs_of(value: Any, *path: str) -> list[dict]:
    """Returns the structures of an array of them of :func:`read_mat`; see :func:`items_of`.

    >>> structs_of({"x": 7}), structs_of([{"x": 7}, {"x": 8}]), structs_of(np.array([]))
    ([{'x': 7}], [{'x': 7}, {'x': 8}], [])
    >>> structs_of([{"points": {"x": 7}}, {"points": np.array([])}, {}], "points")
    [{'x': 7}]

    Args:
        value: The array.
        *path: Fields: the structures in the first one of each structure, and so on.
    """
    found = [item for item in items_of(value) if isinstance(item, dict)]
    for name in path:
        found = [inner for item in found for inner in structs_of(item.get(name))]
    return found


def numbers_of(struct: dict, *names: str) -> list[float]:
    """Returns numbers of a structure of :func:`read_mat`; NaN where one is missing or empty.

    >>> numbers_of({"x": 5, "seen": "1", "z": np.array([])}, "x", "seen", "y", "z")
    [5.0, 1.0, nan, nan]

    Args:
        struct: The structure.
        *names: Of fields with a number, or with the text of one.
    """

    def number(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            return math.nan

    return [number(struct.get(name)) for name in names]


def rows_of(struct: dict, *names: str, path: str | os.PathLike) -> Iterator[tuple]:
    """Returns the items of several arrays of a structure of :func:`read_mat`, row by row.

    >>> [*rows_of({"id": np.array([4, 9]), "name": ["a", "b"]}, "id", "name", path="a.mat")]
    [(4, 'a'), (9, 'b')]

    Args:
        struct: The structure.
        *names: Of fields.
        path: The file, for the message.

    Raises:
        CorruptInput: The arrays have different lengths.
    """
    first, *others = ((name, items_of(struct[name])) for name in names)
    for name, items in others:
        if len(items) != len(first[1]):
            text = f"found {len(items)} {name}; expected {len(first[1])}, as there are {first[0]}"
            raise CorruptInput(path, text)
    return zip(first[1], *(items for _, items in others), strict=True)


class MatCells:
    """A cell array of a v7.3 file, read cell by cell: indexed, it gives the k-th cell's array.

    For cells that do not fit into memory together. Axes are in MATLAB's order; an empty cell is
    None.

    Args:
        path: The file; it stays open as long as the object lives.
        name: Of the variable.
        hint: As in :func:`read_mat`.

    Raises:
        CorruptInput: Missing, damaged, of another version, or no cell array of that name.
    """

    def __init__(self, path: str | os.PathLike, name: str, *, hint: str | None = AGAIN):
        if not _is_hdf5(path, hint):
            raise CorruptInput(path, "not a MAT file of version 7.3", hint=hint)
        self._path, self._hint = path, hint
        self._file = _open(path, hint)
        with _damage(path, hint):
            if name not in self._file:
                found = ", ".join(self._file) or "nothing"
                raise CorruptInput(path, f"found {found}; expected {name}", hint=hint)
            Budget(os.path.getsize(path)).take_bytes(self._file[name].nbytes)
            self._references = np.ravel(self._file[name][()])
        if self._references.dtype.kind != "O":
            kind = self._references.dtype
            raise CorruptInput(path, f"{name}: found {kind}; expected cells", hint=hint)

    def __len__(self) -> int:
        """Returns the number of cells."""
        return len(self._references)

    def first_of(self, k: int) -> np.ndarray:
        """Returns the first cell of the k-th cell, which holds cells itself; reads no other.

        Made for numbers in millions of cells, in half of the time that :meth:`__getitem__` takes.

        Raises:
            CorruptInput: It is damaged, or holds no cells.
        """
        with _damage(self._path, self._hint):
            row = _stored(self._file, self._references[k])
            if row is None:
                row = self._file[self._references[k]][()]
            if row.dtype.kind != "O":
                raise ValueError(f"cell {k}: found {row.dtype}; expected cells")
            first = _stored(self._file, np.ravel(row)[0])
            if first is not None and first.dtype.kind == "f":
                return first.T
            return _Nodes(self._file, self._path).plain(self._file[np.ravel(row)[0]])

    def __getitem__(self, k: int) -> np.ndarray | None:
        """Returns the k-th cell.

        Raises:
            CorruptInput: It is damaged.
        """
        reference = self._references[k]  # an IndexError ends iteration
        with _damage(self._path, self._hint):
            value = _Nodes(self._file, self._path).plain(self._file[reference])
        return value if np.size(value) else None


def _stored(file, reference) -> np.ndarray | None:
    """A small array as it is stored, axes reversed; None where more has to be known of it."""
    import h5py

    node = h5py.h5r.dereference(reference, file.id)
    if not isinstance(node, h5py.h5d.DatasetID) or h5py.h5a.exists(node, b"MATLAB_empty"):
        return None
    packed = node.get_create_plist().get_layout() == h5py.h5d.CHUNKED
    shape, dtype = node.shape, node.dtype  # each is looked up in the file
    if packed or math.prod(shape) * dtype.itemsize > 2**16:
        return None
    value = np.empty(shape, dtype)
    node.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    return value


def _as_dicts(value: Any) -> Any:
    """A variable with all structures as dictionaries; the library forgets those in some cells."""
    if isinstance(value, dict):
        return {name: _as_dicts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_dicts(inner) for inner in value]
    if hasattr(value, "_fieldnames"):
        return {name: _as_dicts(getattr(value, name)) for name in value._fieldnames}
    if isinstance(value, np.ndarray) and value.dtype == object:
        plain = np.empty(value.shape, object)
        for at, inner in np.ndenumerate(value):
            plain[at] = _as_dicts(inner)
        return plain
    return value


def _is_hdf5(path, hint) -> bool:
    with opened(path, hint=hint) as f:
        head = f.read(520)
    return head.startswith(_HDF5) or head[512:] == _HDF5


def _open(path, hint):
    import h5py

    with _damage(path, hint):
        return h5py.File(path, "r")


@contextmanager
def _damage(path, hint):
    """Turns what the libraries raise on damaged files into a CorruptInput."""
    try:
        with walking(path, hint=hint):
            yield
    except (CorruptInput, MemoryError):
        raise
    except Exception as e:  # a dozen unrelated types
        text = f"not a readable MAT file ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(path, text, hint=hint) from None


class _Nodes:
    """The nodes of an HDF5 file; what one announces counts before it is read.

    Of an array whose values were never written nothing is in the file. Of cells in cells there
    could be any number in a small one, by references to the same.
    """

    def __init__(self, file, path: str | os.PathLike):
        size = os.path.getsize(path)
        self._file, self._budget = file, Budget(size)
        self._references_left = max(size // 8, 4096)  # one takes 8 bytes

    def plain(self, node) -> Any:
        """Returns a node of a MAT file as arrays, text and dictionaries."""
        import h5py

        if isinstance(node, h5py.Group):
            return {name: self.plain(node[name]) for name in node}
        unpacked = node.dtype.itemsize * math.prod(node.chunks or (0,))
        self._budget.take_bytes(max(node.nbytes, unpacked))
        value = node[()]
        if node.attrs.get("MATLAB_empty"):
            shape = tuple(int(n) for n in np.ravel(value))
            self._budget.take_bytes(8 * math.prod(shape))
            return np.zeros(shape)
        if node.dtype.kind == "O":
            self._references_left -= value.size
            if self._references_left < 0:
                raise ValueError("more cells than the file has room for")
            cells = np.empty(value.shape, object)
            for at, reference in np.ndenumerate(value):
                cells[at] = self.plain(self._file[reference])
            return cells.T
        if node.attrs.get("MATLAB_class") == b"char":
            return "".join(map(chr, np.ravel(value)))
        return np.transpose(value)

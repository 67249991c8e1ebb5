"""Raw files of MATLAB, of both kinds: v5 (scipy) and v7.3, which is HDF5 (h5py)."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import opened

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
            content = {name: _plain(f, f[name]) for name in names}
    else:
        from scipy.io import loadmat

        with _damage(path, hint):
            loaded = loadmat(os.fspath(path), variable_names=variables, simplify_cells=True)
        content = {k: v for k, v in loaded.items() if not k.startswith("__")}
    return check(content, schema, path, hint=hint)


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
            self._references = np.ravel(self._file[name][()])
        if self._references.dtype.kind != "O":
            kind = self._references.dtype
            raise CorruptInput(path, f"{name}: found {kind}; expected cells", hint=hint)

    def __len__(self) -> int:
        """Returns the number of cells."""
        return len(self._references)

    def __getitem__(self, k: int) -> np.ndarray | None:
        """Returns the k-th cell.

        Raises:
            CorruptInput: It is damaged.
        """
        reference = self._references[k]  # an IndexError ends iteration
        with _damage(self._path, self._hint):
            value = _plain(self._file, self._file[reference])
        return value if np.size(value) else None


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
        yield
    except CorruptInput:
        raise
    except Exception as e:  # a dozen unrelated types
        text = f"not a readable MAT file ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(path, text, hint=hint) from None


def _plain(f, node) -> Any:
    """An HDF5 node of a MAT file as arrays, text and dictionaries."""
    import h5py

    if isinstance(node, h5py.Group):
        return {name: _plain(f, node[name]) for name in node}
    value = node[()]
    if node.attrs.get("MATLAB_empty"):
        return np.zeros(tuple(int(n) for n in np.ravel(value)))
    if node.dtype.kind == "O":
        cells = np.empty(value.shape, object)
        for at, reference in np.ndenumerate(value):
            cells[at] = _plain(f, f[reference])
        return cells.T
    if node.attrs.get("MATLAB_class") == b"char":
        return "".join(map(chr, np.ravel(value)))
    return np.transpose(value)

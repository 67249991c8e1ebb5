"""Raw files of MATLAB, of both kinds: v5 (scipy) and v7.3, which is HDF5 (h5py)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import read_bytes

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


def iter_mat_cells(
    path: str | os.PathLike, name: str, *, hint: str | None = AGAIN
) -> Iterator[np.ndarray | None]:
    """Yields the arrays of a cell array of a v7.3 file one by one, axes in MATLAB's order.

    For cells that do not fit into memory together. An empty cell gives None.

    Raises:
        CorruptInput: As :func:`read_mat`.
    """
    if not _is_hdf5(path, hint):
        raise CorruptInput(path, "not a MAT file of version 7.3", hint=hint)
    with _open(path, hint) as f:
        if name not in f:
            raise CorruptInput(
                path, f"found {', '.join(f) or 'nothing'}; expected {name}", hint=hint
            )
        with _damage(path, hint):
            references = np.ravel(f[name][()])
        if references.dtype.kind != "O":
            raise CorruptInput(
                path, f"{name}: found {references.dtype}; expected cells", hint=hint
            )
        for reference in references:
            with _damage(path, hint):
                value = _plain(f, f[reference])
            yield value if np.size(value) else None


def _is_hdf5(path, hint) -> bool:
    head = b""
    try:
        with open(path, "rb") as f:
            head = f.read(520)
    except OSError:
        read_bytes(path, hint=hint)  # says what is wrong
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

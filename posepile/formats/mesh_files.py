"""Raw files that hold a mesh."""

from __future__ import annotations

import os

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, Array, check
from posepile.formats.text_files import read_bytes, read_text

_PLY_TYPES = {  # of the header -> NumPy's
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


def read_obj_vertices(path: str | os.PathLike, *, hint: str | None = AGAIN) -> np.ndarray:
    r"""Returns the vertices ``[V, 3]`` of a Wavefront file, in its unit, float64.

    >>> _ = (folder / "body.obj").write_text("v 0 0.5 2\nv 0 1 2\nvn 0 0 1\nf 1 2 1\n")
    >>> read_obj_vertices(folder / "body.obj")
    array([[0. , 0.5, 2. ],
           [0. , 1. , 2. ]])

    Args:
        path: The file. Faces, normals, texture and colours of vertices do not count.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, or its vertices are not three finite numbers each.
    """
    lines = read_text(path, hint=hint).splitlines()
    try:
        vertices = np.array([line.split()[1:4] for line in lines if line[:2] == "v "], np.float64)
    except ValueError as e:
        raise CorruptInput(path, f"not a mesh: {one_line(e)}", hint=hint) from None
    return check(vertices, Array("vertices", 3), path, "vertices", hint=hint)


def read_ply_vertices(path: str | os.PathLike, *, hint: str | None = AGAIN) -> np.ndarray:
    """Returns the vertices ``[V, 3]`` of a binary PLY file in their order, in its unit, float64.

    >>> from posepile.miniature.writers import write_ply
    >>> write_ply(folder / "body.ply", np.array([[0, 0.5, 2], [0, 1, 2]]), np.array([[0, 1, 1]]))
    >>> read_ply_vertices(folder / "body.ply")
    array([[0. , 0.5, 2. ],
           [0. , 1. , 2. ]])

    Args:
        path: The file. Faces, normals and colours do not count.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, cut short, not a binary PLY whose vertices come first, or a vertex
            is not three finite numbers.
    """
    data = read_bytes(path, hint=hint)
    head, end, body = data.partition(b"end_header\n")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    try:
        if not end or lines[0] != ["ply"]:
            raise ValueError("no header of a PLY file")
        ((order, _),) = [line[1:] for line in lines if line[:1] == ["format"]]
        starts = [i for i, line in enumerate(lines) if line[:1] == ["element"]] + [len(lines)]
        name, n = lines[starts[0]][1:]
        if name != "vertex" or not n.isdecimal():
            raise ValueError(f"element {name} {n} comes first; expected vertex and a number")
        fields = [line[1:] for line in lines[starts[0] : starts[1]] if line[:1] == ["property"]]
        kinds = {name: _BYTE_ORDERS[order] + _PLY_TYPES[kind] for kind, name in fields}
        rows = np.frombuffer(body, np.dtype(list(kinds.items())), int(n))
        vertices = np.stack([rows[axis] for axis in "xyz"], axis=1)
    except (ValueError, KeyError, IndexError, OverflowError) as e:
        raise CorruptInput(path, f"not a binary PLY mesh: {one_line(e)}", hint=hint) from None
    return check(vertices, Array("vertices", 3), path, "vertices", hint=hint)

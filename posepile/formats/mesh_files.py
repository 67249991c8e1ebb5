"""Raw files that hold a mesh."""

from __future__ import annotations

import os

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, Array, check
from posepile.formats.text_files import read_text


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

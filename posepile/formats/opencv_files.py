"""Matrices in XML as OpenCV writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, Array, check
from posepile.formats.text_files import read_xml


def read_opencv_xml(
    path: str | os.PathLike, schema: Mapping[str, Array], *, hint: str | None = AGAIN
) -> dict[str, np.ndarray]:
    """Returns matrices of an OpenCV storage file by name; only their numbers count, row by row.

    >>> from posepile.miniature.writers import write_opencv_xml
    >>> write_opencv_xml(folder / "000.xml", {"Intrinsics": np.eye(3)})
    >>> read_opencv_xml(folder / "000.xml", {"Intrinsics": Array(9)})["Intrinsics"][4]
    np.float64(1.0)

    Args:
        path: The file.
        schema: Name -> how many numbers, as one axis; of a matrix of ``[3, 4]`` twelve.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, not XML, or a matrix is missing or of another size.
    """
    root, found = read_xml(path, hint=hint), {}
    for name in schema:
        text = root.findtext(f"{name.removesuffix('?')}/data")
        if text is None and name.endswith("?"):
            continue
        try:
            found[name.removesuffix("?")] = np.array((text or "").split(), np.float64)
        except ValueError as e:
            fault = f"{name}: {one_line(e)}; expected numbers"
            raise CorruptInput(path, fault, hint=hint) from None
    return check(found, schema, path, hint=hint)

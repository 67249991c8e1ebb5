"""People that a detector found, as the reference pipeline's detection program pickles them."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, check


def read_detections(
    path: str | os.PathLike, pictures: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Returns the people of each picture: x, y, width, height and score, ``[n, 5]``.

    A picture with no row is one in which nobody was found; of one that is not there nothing is
    known. Whatever a row holds, it is somebody.

    >>> import pickle
    >>> found = {"a.jpg": np.zeros((1, 5)), "b.jpg": []}
    >>> _ = (folder / "found.pkl").write_bytes(pickle.dumps(found))
    >>> {name: len(rows) for name, rows in read_detections(folder / "found.pkl").items()}
    {'a.jpg': 1, 'b.jpg': 0}

    Args:
        path: The file.
        pictures: Names of which it has to tell some.

    Raises:
        CorruptInput: Missing, damaged, something else, or of none of the pictures.
    """
    content = read_pickle(path, {"*": None})
    if pictures and not {*map(str, content)} & {*pictures}:
        text = f"found {len(content)} pictures such as {next(iter(content), None)!r}"
        text += f"; expected names such as {min(pictures)!r}"
        raise CorruptInput(path, text)
    rows = Array("n", 5, finite=False)
    return {str(name): check(value, rows, path, str(name)) for name, value in content.items()}

"""People that a detector found, as the reference pipeline's detection program pickles them."""

from __future__ import annotations

import os

import numpy as np

from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, check


def read_detections(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the people of each picture: x, y, width, height and score, ``[n, 5]``.

    A picture with no row is one in which nobody was found; of one that is not there nothing is
    known. Whatever a row holds, it is somebody.

    >>> import pickle
    >>> found = {"a.jpg": np.zeros((1, 5)), "b.jpg": []}
    >>> _ = (folder / "found.pkl").write_bytes(pickle.dumps(found))
    >>> {name: len(rows) for name, rows in read_detections(folder / "found.pkl").items()}
    {'a.jpg': 1, 'b.jpg': 0}

    Raises:
        CorruptInput: Missing, damaged, or something else.
    """
    content = read_pickle(path, {"*": None})
    rows = Array("n", 5, finite=False)
    return {str(name): check(value, rows, path, str(name)) for name, value in content.items()}

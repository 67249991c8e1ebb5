"""PosePile: every pose dataset from raw files to one training format."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from posepile.version import __version__

__all__ = ["__version__", "load"]


def load(file: str | os.PathLike | BinaryIO) -> Any:
    """Reads a dataset pickle through an allow-list, without running code from it.

    >>> from posepile.datasets3d import get_dataset
    >>> import pickle
    >>> _ = (folder / "aspset.pkl").write_bytes(pickle.dumps(get_dataset("aspset")))
    >>> load(folder / "aspset.pkl")
    <Pose3DDataset aspset (CC0 1.0), 17 joints, train: 24, val: 6, test: 0>
    """
    from posepile.store import restricted_pickle

    return restricted_pickle.load(file)

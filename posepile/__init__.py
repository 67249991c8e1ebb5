"""PosePile: every pose dataset from raw files to one training format."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from posepile.version import __version__

__all__ = ["__version__", "load"]


def load(file: str | os.PathLike | BinaryIO) -> Any:
    """Reads a dataset pickle through an allow-list, without running code from it."""
    from posepile.store import restricted_pickle

    return restricted_pickle.load(file)

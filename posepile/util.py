"""Names that consumers import from here; the code is in ``store``."""

from __future__ import annotations

import os
from typing import Any

from posepile.recipe import SPLIT_NAMES, TEST, TRAIN, VALID
from posepile.store.images import decode_image, read_image
from posepile.store.reading import open_archive

__all__ = [
    "SPLIT_NAMES",
    "TEST",
    "TRAIN",
    "VALID",
    "decode_image",
    "get_cached_reader",
    "read_image",
]


def get_cached_reader(path: str | os.PathLike, auto_codec: bool = True) -> Any:
    """Returns the reader of a Barecat archive, opened once per process.

    Args:
        path: The archive; relative paths are below ``DATA_ROOT``.
        auto_codec: Decode entries by their extension (``.msgpack``, ``.jpg``, ``.json``).

    Returns:
        A read-only mapping from key to value, safe to use from several threads and after a fork.
    """
    reader = open_archive(path)
    return reader.decoded() if auto_codec else reader

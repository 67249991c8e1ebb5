"""Names that consumers import from here; the code is in ``store``.

The modules beside this one are thin forms of those that the original PosePile has; which there
are not, and what to take instead, is in ``docs/CONSUMERS.md``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from typing import Any

from posepile import datasets2d, datasets3d, joint_info
from posepile.recipe import SPLIT_NAMES, TEST, TRAIN, VALID
from posepile.store.images import decode_image, read_image
from posepile.store.reading import open_archive
from posepile.store.restricted_pickle import MODULE_ALIASES
from posepile.util.misc import cast_if_precise_enough, ensure_absolute_path, random_uniform_disc

__all__ = [
    "SPLIT_NAMES",
    "TEST",
    "TRAIN",
    "VALID",
    "cast_if_precise_enough",
    "decode_image",
    "ensure_absolute_path",
    "get_cached_reader",
    "install_aliases",
    "random_uniform_disc",
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


def install_aliases() -> None:
    """Registers the module names of earlier versions, so that plain ``pickle.load`` reads them.

    Changes ``sys.modules`` for the whole process, hence only on request; ``posepile.load`` does
    without. Modules that can really be imported are left alone.
    """
    import deltacamera

    modules = {m.__name__: m for m in (datasets2d, datasets3d, joint_info, deltacamera)}
    for old, new in MODULE_ALIASES.items():
        if old in sys.modules:
            continue
        package = old.partition(".")[0]
        if package not in sys.modules and importlib.util.find_spec(package) is not None:
            continue
        if "." in old and package not in sys.modules:
            container = types.ModuleType(package)
            container.__path__ = []
            sys.modules[package] = container
        sys.modules[old] = modules[new]

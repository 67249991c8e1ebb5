"""Which array of jobs has found the list of units current, so that only one of its tasks looks.

Looking means to ask for everything that listing had looked at, which may be a folder for each of
ten million units; a thousand tasks that do so at the same time are a burden for a file server.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from posepile.files import read_object, write_json


def is_believed(path: Path, key: str, array: str) -> bool:
    """Returns whether a task of an array has found this very list current.

    Args:
        path: The list, ``units.sqlite``.
        key: What it depends on besides files.
        array: Which array of jobs this process is a task of.
    """
    said = read_object(_said_in(path))
    return said is not None and said == _facts(path, key, array)


def say_current(path: Path, key: str, array: str) -> None:
    """Keeps for the other tasks of an array that the list is current; see :func:`is_believed`."""
    facts = _facts(path, key, array)
    if facts is not None:
        write_json(_said_in(path), facts)


def _said_in(path: Path) -> Path:
    return path.with_name("units-current.json")


def _facts(path: Path, key: str, array: str) -> dict[str, Any] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return {"array": array, "key": key, "list": [stat.st_size, stat.st_mtime_ns]}

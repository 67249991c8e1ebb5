"""Which of the original's loaders an example is for: it has one for each kind of labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posepile.export.rows import Exported, Progress, Row, dense, iter_rows
from posepile.store.coords import present_joints

# The loaders, and what follows in the names of the files for them.
LOADERS = {"3d": "", "parametric": "_parametric", "2d": "_2d"}

_NOTHING = "neither joints nor parameters nor points: readers of the original fail at them"
_AGAIN = "a second time in the list of its split"
_NO_JOINT = "none of its joints is known: all are NaN"


def rows_by_loader(
    dataset: Any, done: Exported, progress: Progress | None = None
) -> Iterator[tuple[Row, str]]:
    """Iterates over the examples that the original can read, each once, with the loader.

    Args:
        dataset: The dataset.
        done: Where examples, and what is left out, are counted.
        progress: As of :func:`posepile.export.rows.iter_rows`.
    """
    once = _Once()
    for row in iter_rows(dataset, progress):
        if once.is_again(row):
            done.left_out[_AGAIN] += 1
            continue
        loader = _loader_of(dataset, row)
        if loader is None:
            done.left_out[_NOTHING] += 1
            continue
        coords = row.record.coords2d if loader == "2d" else row.record.world_coords
        if loader != "parametric" and not len(present_joints(dense(coords))):
            done.notes[_NO_JOINT] += 1
        done.examples += 1
        yield row, loader


def path_of_loader(out: Path, loader: str, n_before: int) -> Path:
    """Returns the file for a loader; that of the first has the name that was asked for.

    Args:
        out: What was asked for.
        loader: The loader.
        n_before: How many loaders have a file already.
    """
    return out.with_name(f"{out.stem}{LOADERS[loader]}{out.suffix}") if n_before else out


def _loader_of(dataset, row):
    """Returns which loader takes an example; None if none does."""
    record = row.record
    if dataset.kind == "2d":
        return "2d" if record.coords2d is not None else None
    part = (getattr(dataset, "parts", None) or {}).get(row.dataset, {})
    kind = part.get("kind") or (getattr(dataset, "metadata", None) or {}).get("kind")
    if kind == "parametric" or (record.world_coords is None and record.parameters is not None):
        return "parametric"
    if record.world_coords is not None:
        return "3d"
    return None if record.coords2d is None else "2d"


class _Once:
    """Tells examples that a list has more than once."""

    def __init__(self):
        self._seen: dict[Any, np.ndarray] = {}

    def is_again(self, row: Row) -> bool:
        if row.source is None or not hasattr(row.source, "table"):
            return False  # the index refuses a key that is there
        key = (row.split, row.source)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = np.zeros(len(row.source), bool)
        again = bool(seen[row.row])
        seen[row.row] = True
        return again

"""Files and folders that exports write: complete or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from posepile.durable import sync
from posepile.errors import UsageError
from posepile.files import disk_error, is_disk_error
from posepile.store import bulk
from posepile.store.example_list import as_example_list


def places_read(dataset: Any) -> set[str]:
    """Returns the archives that the examples and images of a dataset are in."""
    sources = {}
    for examples in map(as_example_list, dataset.examples.values()):
        for positions, _, source in bulk.by_source(examples):
            if source is not None:
                sources[id(source)] = source
                continue
            for i in positions.tolist():
                origin = getattr(examples[i], "_origin", None)
                place = getattr(origin, "place", None) or getattr(examples[i], "place", None)
                if place is not None:
                    sources[id(place[0])] = place[0]
    found = set()
    for source in sources.values():
        found.update((source.annotation_path, source.image_archive_path))
    return {os.fspath(place) for place in found if place is not None}


def require_replaceable(target: Path, read: Iterable[str], what: str, is_own: bool) -> None:
    """Refuses to write where something lies that is not to be replaced.

    Args:
        target: What is to be written.
        read: Archives that are read meanwhile.
        what: What may be replaced, such as ``subset``.
        is_own: Whether what lies there is that, or nothing does.

    Raises:
        UsageError: The target is read from, or is something else.
    """
    root = os.environ.get("DATA_ROOT", "")
    if os.path.realpath(target) in {os.path.realpath(os.path.join(root, p)) for p in read}:
        raise UsageError(f"{target}: examples are taken from there; take another name")
    if not is_own:
        raise UsageError(f"{target}: there already and no {what}; take another name")


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place when the block ends without exception.

    For files too large to be made in memory first; see
    :func:`posepile.files.write_atomically` for the others.

    Args:
        path: Where it is to be.

    Yields:
        The file, open for writing and for looking back.

    Raises:
        WorkError: The disk is full, or nothing may be written there.
    """
    unfinished = path.with_name(f".{path.name}.export.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "w+b", 1 << 20) as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(unfinished, path)
        sync(path.parent)
    except BaseException as e:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if is_disk_error(e):
            raise disk_error(e, path) from e
        raise

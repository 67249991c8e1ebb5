"""Pieces of a huge annotation file, cut once, so that every worker reads only what it needs."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from posepile.errors import CorruptInput
from posepile.files import disk_error, fingerprint, stable_hash


def derived_pieces(
    sources: Iterable[Path],
    folder: Path,
    version: str,
    cut: Callable[[], Iterable[tuple[str, Any]]],
    *,
    hint: str | None = None,
) -> Pieces:
    """Returns the pieces that big files are cut into; cuts them if that was not done before.

    The folder's name says from which content and by which code the pieces were made, so they are
    never out of date; processes that make the same ones at the same time do not disturb each
    other. It may be removed at any time.

    Args:
        sources: The big files.
        folder: Below which the pieces shall lie, e.g. in the dataset's work folder.
        version: Of the code that cuts; with whatever it depends on.
        cut: Yields (name, piece as plain data).
        hint: What to do if a source is missing.

    Raises:
        CorruptInput: A source cannot be read.
    """
    sources, prints = list(sources), []
    for source in sources:
        try:
            with open(source, "rb") as f:  # so that a list of units is known to depend on it
                time = os.fstat(f.fileno()).st_mtime_ns
            # The time too, since of a large file only samples are read.
            prints.append([fingerprint(source), time])
        except OSError as e:
            raise CorruptInput(source, f"cannot be read: {e.strerror}", hint=hint) from None
    target = folder / f"{sources[0].stem}-{stable_hash([version, prints])[:16]}"
    if not target.is_dir():
        _make(target, cut)
    return Pieces(target)


class Pieces:
    """The pieces of a big file, see :func:`derived_pieces`."""

    def __init__(self, folder: Path):
        self._folder = folder

    def index(self) -> dict[str, str]:
        """Returns name -> digest of the content, in the order in which they were cut."""
        return json.loads((self._folder / "index.json").read_text())

    def read(self, name: str) -> Any:
        """Returns one piece."""
        return json.loads((self._folder / f"{name}.json").read_text())


def _make(target: Path, cut: Callable[[], Iterable[tuple[str, Any]]]) -> None:
    temp = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        temp.mkdir(parents=True)
        index = {}
        for name, piece in cut():
            if name in index or name == "index" or "/" in name:
                raise ValueError(f"piece named {name!r}: twice, or no file name")
            index[name] = stable_hash(piece)
            (temp / f"{name}.json").write_text(json.dumps(piece))
        (temp / "index.json").write_text(json.dumps(index))
        os.rename(temp, target)
    except OSError as e:
        if not target.is_dir():  # another process was faster otherwise
            raise disk_error(e, target) from e
    finally:
        shutil.rmtree(temp, ignore_errors=True)

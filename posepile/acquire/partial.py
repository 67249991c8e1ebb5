"""The unfinished file of a download, and what is known about it.

It lies beside its target as ``<name>.part``, with ``<name>.part.json``. Where a server sends a
file from the beginning although much of it is here, that is set aside as ``<name>.part.kept``:
what comes instead may turn out to be wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posepile.acquire.places import KEPT, NOTES, PART, kept_path, notes_path, part_path
from posepile.durable import boot_id
from posepile.files import read_json, write_json


class Partial:
    """An unfinished file.

    Args:
        target: Where the file will lie.
    """

    def __init__(self, target: Path):
        self.target = target
        self.path = part_path(target)
        self._kept = kept_path(target)

    @property
    def size(self) -> int:
        """How many bytes of it are there."""
        return _size(self.path)

    @property
    def notes(self) -> dict[str, Any]:
        """What is known about it; nothing if it is not there."""
        return _plain(read_json(_notes(self.path))) if self.size else {}

    def note(self, notes: dict[str, Any]) -> None:
        """Writes down what is known about it."""
        write_json(_notes(self.path), notes, durable=True)

    def cut_to_synced(self) -> None:
        """Cuts off what may be zeros: what was never synced before the machine started again."""
        notes = self.notes
        synced = notes.get("synced", 0)
        if self.size > synced and notes.get("boot", boot_id()) != boot_id():
            os.truncate(self.path, synced)

    def set_aside(self) -> None:
        """Makes room for another beginning."""
        if self.size > _size(self._kept):
            _move(self.path, self._kept)

    def discard(self) -> None:
        """Removes it, and puts back what was set aside."""
        _remove(self.path)
        self.settle()

    def settle(self) -> None:
        """Decides, where there are two, for the longer one."""
        if _size(self._kept) > self.size:
            _move(self._kept, self.path)
        _remove(self._kept)

    def finish(self, record: Callable[[], None]) -> None:
        """Gives the file its name, once all of it is on the disk, also what a killed run wrote.

        Args:
            record: Writes down where it comes from; until then its notes tell that.
        """
        with open(self.path, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(self.path, self.target)
        record()
        _remove(self.path)
        _remove(self._kept)


def fetched_from(target: Path) -> str | None:
    """Returns the address of a file whose run was killed before that was recorded."""
    notes = _plain(read_json(notes_path(target)))
    if part_path(target).exists():
        return None
    return notes.get("url") if notes.get("total") in (None, target.stat().st_size) else None


def partial_files(path: str) -> list[str]:
    """Returns the names under which an unfinished file may lie, by that of the whole one.

    >>> partial_files("a.zip")
    ['a.zip.part', 'a.zip.part.json', 'a.zip.part.kept', 'a.zip.part.kept.json']
    """
    return [path + PART + kept + notes for kept in ("", KEPT) for notes in ("", NOTES)]


def _plain(found: Any) -> dict[str, Any]:
    """What is in notes, without what a run would not have written there."""
    found = found if isinstance(found, dict) else {}
    texts = ("url", "etag", "last_modified", "boot")
    kept = {k: v for k in texts if isinstance(v := found.get(k), str) and v.isprintable()}
    numbers = {k: v for k in ("total", "synced") if type(v := found.get(k)) is int and v >= 0}
    # Of which it cannot be told how much is on the disk, nothing is.
    lost = {"synced": 0} if "synced" in found and "synced" not in numbers else {}
    return {**kept, **numbers, **lost}


def _notes(path: Path) -> Path:
    return path.with_name(path.name + NOTES)  # for the one in progress: notes_path(target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _move(path: Path, to: Path) -> None:
    # Notes about another file would be worse than none.
    _notes(to).unlink(missing_ok=True)
    os.replace(path, to)
    if _notes(path).is_file():
        os.replace(_notes(path), _notes(to))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _notes(path).unlink(missing_ok=True)

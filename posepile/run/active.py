"""Who is at work on a dataset: each run leaves a note while it holds a lock, for ``status``.

It says since when and under which settings; how far the run is, :mod:`posepile.progress` knows.
No decision depends on a note; the locks of :mod:`posepile.run.locks` decide.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posepile import paths
from posepile.durable import is_alive, machine, own_name, own_process
from posepile.files import read_object
from posepile.locks.holders import own_command, owner_of

if TYPE_CHECKING:
    from posepile.run.job import Run


_FACTS = {
    **{"what": str, "build": str, "pid": int, "host": str, "since": float},
    **{"set": list, "config": (str, type(None)), "shard": list},
}


@contextlib.contextmanager
def noted(run: Run, what: str, folder: Path) -> Iterator[None]:
    """Leaves a note that a run is at work; it is gone when the work ends.

    A disk that takes none stops nothing.

    Args:
        run: The run.
        what: ``run`` for all of it, and ``raw``, ``units`` or ``pack`` while it holds that lock.
        folder: Where the lock lies.
    """
    path, pid = folder / f".active-{own_name()}-{what}", os.getpid()
    note = {
        "what": what,
        "build": run.build,
        **own_process(),
        "since": time.time(),
        "command": own_command(),
        "set": list(run.settings[0]),
        "config": run.settings[1],
        "shard": list(run.shard),
        "only": run.only,
    }
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        _remove_left(folder, note)
        path.write_text(json.dumps(note) + "\n")
    try:
        yield
    finally:
        if os.getpid() == pid:
            with contextlib.suppress(OSError):
                path.unlink()


def active_runs(run: Run) -> list[dict[str, Any]]:
    """Returns a note of each process that is at work on a build, or on its raw files.

    A note whose process has ended on this machine does not count. Of other machines it is not
    known, so their notes do, with ``checked`` false.
    """
    found: dict[tuple, dict[str, Any]] = {}
    # The raw files are those of all variants.
    for folder in dict.fromkeys([paths.work_dir(run.name), run.work]):
        for path in sorted(folder.glob(".active-*")):
            note = _alive(path)
            if note is None or (note["build"] != run.build and note["what"] != "raw"):
                continue
            other = found.get(owner_of(note))
            if other is not None:  # the whole run began earlier, the lock tells what it does
                since = min(note["since"], other["since"])
                note = {**(other if note["what"] == "run" else note), "since": since}
            found[owner_of(note)] = note
    return list(found.values())


def _remove_left(folder: Path, note: dict[str, Any]) -> None:
    """Removes notes of runs that were killed here, and of who held this one's lock elsewhere."""
    found = {path: _alive(path) for path in folder.glob(".active-*")}
    ended = {owner_of(old) for old in found.values() if old and _is_followed(old, note)}
    for path, old in found.items():
        if old is None or owner_of(old) in ended - {owner_of(note)}:
            with contextlib.suppress(OSError):
                path.unlink()


def _is_followed(old: dict[str, Any], note: dict[str, Any]) -> bool:
    """Whether who left the old note cannot hold its lock any more, as this process has it."""
    if note["what"] == "units":
        return old["what"] == "units" and old["shard"] == note["shard"]
    return old["what"] in {"pack": ("units", "pack"), "raw": ("raw",)}.get(note["what"], ())


def _alive(path: Path) -> dict[str, Any] | None:
    """A note, if it is whole and its process may be there."""
    note = read_object(path)
    if note is None or not _is_whole(note):
        return None
    alive = is_alive(note)
    if alive is None and note["host"] == machine()["host"]:
        # The machine was started again. Another of its name loses its note, which decides nothing.
        alive = False if note.get("boot") != machine()["boot"] else None
    note["checked"] = alive is not None
    return None if alive is False else note


def _is_whole(note: dict[str, Any]) -> bool:
    return (
        all(isinstance(note.get(k), kind) for k, kind in _FACTS.items())
        and 0 <= note["since"] < 1e12
        and all(isinstance(text, str) for text in note["set"])
        and len(note["shard"]) == 2
        and all(isinstance(number, int) for number in note["shard"])
    )

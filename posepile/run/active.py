"""Who is at work on a dataset: each run leaves a note while it holds a lock, for ``status``.

It says since when and under which settings; how far the run is, :mod:`posepile.progress` knows.
No decision depends on a note; the locks of :mod:`posepile.run.locks` decide.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posepile import paths
from posepile.durable import process_began
from posepile.files import read_object

if TYPE_CHECKING:
    from posepile.run.job import Run


_FACTS = {"what": str, "build": str, "pid": int, "host": str, "since": float, "set": list}


@contextlib.contextmanager
def noted(run: Run, what: str, folder: Path) -> Iterator[None]:
    """Leaves a note that a run is at work; it is gone when the work ends.

    A disk that takes none stops nothing.

    Args:
        run: The run.
        what: ``run`` for all of it, and ``raw``, ``units`` or ``pack`` while it holds that lock.
        folder: Where the lock lies.
    """
    own, pid = platform.node(), os.getpid()
    path = folder / f".active-{re.sub('[^A-Za-z0-9-]', '_', own)[:60]}-{pid}-{what}"
    note = {
        "what": what,
        "build": run.build,
        "pid": pid,
        "host": own,
        "began": process_began(pid),
        "since": time.time(),
        "set": list(run.settings[0]),
        "config": run.settings[1],
        "shard": list(run.shard),
        "only": run.only,
    }
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        for left in folder.glob(".active-*"):
            if _alive(left) is None:  # of a run that was killed
                left.unlink()
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
    found: dict[tuple[str, int], dict[str, Any]] = {}
    # The raw files are those of all variants.
    for folder in dict.fromkeys([paths.work_dir(run.name), run.work]):
        for path in sorted(folder.glob(".active-*")):
            note = _alive(path)
            if note is None or (note["build"] != run.build and note["what"] != "raw"):
                continue
            other = found.get((note["host"], note["pid"]))
            if other is not None:  # the whole run began earlier, the lock tells what it does
                since = min(note["since"], other["since"])
                note = {**(other if note["what"] == "run" else note), "since": since}
            found[note["host"], note["pid"]] = note
    return list(found.values())


def _alive(path: Path) -> dict[str, Any] | None:
    """A note, if it is whole and its process may be there."""
    note = read_object(path)
    if note is None or not all(isinstance(note.get(k), kind) for k, kind in _FACTS.items()):
        return None
    note["checked"] = note["host"] == platform.node()
    return None if note["checked"] and process_began(note["pid"]) != note.get("began") else note

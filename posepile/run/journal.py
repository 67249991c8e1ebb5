"""The journal of a dataset: what happened when, for people; no decision depends on it.

``<work>/journal.jsonl``, or ``journal-0-of-8.jsonl`` for a share: on a disk that several machines
share, what two of them append to one file may be written over each other.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posepile.files import disk_error, names_in


class Journal:
    """Appends lines to the journal of a share.

    Args:
        work: Work folder of the build.
        shard: The share of the units, (index, count).
    """

    def __init__(self, work: Path, shard: tuple[int, int] = (0, 1)):
        index, count = shard
        work.mkdir(parents=True, exist_ok=True)
        self._path = work / f"journal{f'-{index}-of-{count}' if count > 1 else ''}.jsonl"
        # Unbuffered: a line that did not fit on a full disk shall not be tried again on closing.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        self._file = open(os.open(self._path, flags, 0o666), "ab", buffering=0)

    def write(self, **facts: Any) -> None:
        """Appends one line with the time and the given facts."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **facts}
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as e:
            raise disk_error(e, self._path) from e

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._file.close()


def journal_lines(work: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of all journals of a build that can be read.

    Args:
        work: Work folder of the build, which need not exist.
    """
    for name in sorted(names_in(work)):
        if not (name.startswith("journal") and name.endswith(".jsonl")):
            continue
        try:
            file = (work / name).open("rb")
        except OSError:
            continue
        with file:
            for line in file:
                try:
                    found = json.loads(line)
                except ValueError:  # a line that was being written when the machine stopped
                    continue
                if isinstance(found, dict):
                    yield found

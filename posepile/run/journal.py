"""The journal of a dataset: what happened when, for people; no decision depends on it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from posepile.files import disk_error


class Journal:
    """Appends lines to ``<work>/journal.jsonl``."""

    def __init__(self, work: Path):
        work.mkdir(parents=True, exist_ok=True)
        self._path = work / "journal.jsonl"
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

"""What a lease says of its holder."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from posepile.durable import own_process
from posepile.errors import UsageError

# A lease counts as left behind after this time without being renewed.
SECONDS = 60.0


def lease_seconds() -> float:
    """Returns after how many seconds without renewal a lease of this process counts as left.

    Raises:
        UsageError: ``POSEPILE_LEASE_SECONDS`` is no number of seconds.
    """
    text = os.environ.get("POSEPILE_LEASE_SECONDS", "")
    if not text:
        return SECONDS
    with contextlib.suppress(ValueError):
        if 1 <= float(text) <= 86400:
            return float(text)
    raise UsageError(f"POSEPILE_LEASE_SECONDS={text}: expected seconds, 1 to 86400")


def holder_words(holder: dict[str, Any]) -> str:
    """Returns who holds a lock, as part of a message.

    >>> holder_words({"pid": 7, "host": "node3", "since": 0, "command": "posepile run coco"})
    'process 7 on node3 since 1970-01-01 00:00 UTC: posepile run coco'

    Args:
        holder: ``pid``, ``host``, ``since`` (seconds since 1970, by its clock) and ``command``;
            ``by``: how it is held, where that is to be said.
    """
    words = f"process {holder['pid']} on {holder['host']}"
    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
        words += time.strftime(" since %Y-%m-%d %H:%M UTC", time.gmtime(holder["since"]))
    command = holder.get("command")
    words = f"{words}: {command}" if isinstance(command, str) and command else words
    return f"{words}, by {holder['by']}" if holder.get("by") else words


def own_command() -> str:
    """Returns what this process was called as, for those who wait for it."""
    if not sys.argv or sys.argv[0] in ("", "-c"):  # a worker, whose run is named elsewhere
        return ""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    text = " ".join([name, *sys.argv[1:]])
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def own_record(shared: bool) -> dict[str, Any]:
    """Returns what a lease of this process says, beginning now."""
    return {
        **own_process(),
        "since": time.time(),
        "seconds": lease_seconds(),
        "shared": shared,
        "command": own_command(),
    }


def record_of(data: bytes) -> dict[str, Any]:
    """Returns what a lease says; nothing if it is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    kinds = {"host": str, "boot": str, "space": str, "pid": int, "seconds": (int, float)}
    whole = isinstance(found, dict) and all(isinstance(found.get(k), t) for k, t in kinds.items())
    return (
        found
        if whole and isinstance(found.get("began"), str) and 0 < found["seconds"] <= 86400
        else {}
    )


def owner_of(record: dict[str, Any]) -> tuple:
    """Returns what tells the process that holds a lease from all others."""
    return tuple(record.get(name) for name in ("host", "boot", "space", "pid", "began"))

"""What a run is at, for other terminals: a small file in the work folder while it goes.

``<work>/running.json``, or ``running-0-of-8.json`` for a share, is written anew every other second
and gone when the work has ended. A run that was killed leaves it, so a reader also asks whether
its process is there, or, on another machine, how old the file is.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posepile.durable import process_began
from posepile.files import names_in, read_object, write_json

EVERY_SECONDS = 2.0
OLD_SECONDS = 120.0  # what is older was left by a run that is gone

_BEGINNING, _END = "running", ".json"


@contextlib.contextmanager
def recorded(work: Path, shard: tuple[int, int] = (0, 1)) -> Iterator[Callable[[dict], None]]:
    """Yields a function that keeps what it is given in the work folder, for a while.

    Args:
        work: Work folder of the build.
        shard: The share of the units, (index, count).
    """
    index, count = shard
    share = "" if count == 1 else f"-{index}-of-{count}"
    path = work / f"{_BEGINNING}{share}{_END}"
    pid = os.getpid()
    own = {
        "pid": pid,
        "began": process_began(pid),
        "host": platform.node(),
        "shard": f"{index}/{count}",
    }
    begun = time.monotonic()
    written = begun

    def record(facts: dict[str, Any]) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written >= EVERY_SECONDS:
            written = now
            with contextlib.suppress(OSError):  # a run goes on though nobody can look at it
                write_json(path, {**facts, **own, "time": round(time.time())})

    try:
        yield record
    finally:
        if written != begun:
            with contextlib.suppress(OSError):
                path.unlink()


def running(work: Path) -> list[dict[str, Any]]:
    """Returns what runs on a build are at just now, one entry for each process.

    Each holds ``what``, ``done``, ``of`` (None if unknown), ``unit``, ``per_second``, ``seconds``,
    ``seconds_left`` (None if unknown), ``note``, ``pid``, ``host``, ``shard`` and ``time`` (since
    1970, when it was written).

    Args:
        work: Work folder of the build.
    """
    found = []
    for name in sorted(names_in(work)):
        if name.startswith(_BEGINNING) and name.endswith(_END):
            facts = read_object(work / name)
            if facts is not None and _is_alive(facts):
                found.append(facts)
    return found


def _is_alive(facts: dict[str, Any]) -> bool:
    written, pid = facts.get("time"), facts.get("pid")
    if not isinstance(written, int) or not isinstance(pid, int) or pid <= 0:
        return False
    if facts.get("host") != platform.node():
        return abs(time.time() - written) < OLD_SECONDS
    return process_began(pid) == facts.get("began")

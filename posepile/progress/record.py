"""What runs are at, for other terminals and machines: a small file each in the work folder.

``<work>/running.json``, or ``running-0-of-8.json`` for a share, is written anew every other second
and gone when the work has ended; of many shares each writes more rarely, as all of them meet the
same file server. A run that was killed leaves its file, so a reader also asks whether the process
is there, or, on another machine, how old the file is. Its age is told by the clock of the disk:
those of two machines may differ by hours.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from posepile.durable import is_alive, own_process
from posepile.files import names_in, read_object, write_json

EVERY_SECONDS = 2.0
MANY = 32  # so many shares write that often; of twice as many each half as often
OLD_SECONDS = 120.0  # what is older was left by a run that is gone; of many shares, more

_BEGINNING, _END = "running", ".json"

_TEXTS = ("what", "unit", "host")
_NUMBERS = ("pid", "done")
_NUMBERS_OR_NONE = ("of", "per_second", "seconds", "seconds_left", "every")

Recorder = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def recorded(work: Path, shard: tuple[int, int] = (0, 1)) -> Iterator[Recorder]:
    """Yields a function that keeps what it is given in the work folder, for a while.

    Args:
        work: Work folder of the build.
        shard: The share of the units, (index, count).
    """
    index, count = shard
    share = "" if count == 1 else f"-{index}-of-{count}"
    path = work / f"{_BEGINNING}{share}{_END}"
    own = {
        **own_process(),
        "shard": f"{index}/{count}",
        "every": EVERY_SECONDS * max(1, count / MANY),
    }
    begun = time.monotonic()
    written = begun

    def record(facts: dict[str, Any]) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written >= own["every"]:
            written = now
            with contextlib.suppress(OSError):  # a run goes on though nobody can look at it
                write_json(path, {**facts, **own, "time": round(time.time())})

    try:
        yield record
    finally:
        if written != begun:
            with contextlib.suppress(OSError):
                path.unlink()


def by_host(record: Recorder, hosts: Mapping[str, int]) -> Recorder:
    """Returns a function that also keeps how many units each machine has done.

    Args:
        record: What :func:`recorded` yields.
        hosts: Name of a machine -> number; looked at each time.
    """
    return lambda facts: record({**facts, "hosts": dict(hosts)})


def running(work: Path) -> list[dict[str, Any]]:
    """Returns what runs on a build are at just now, one entry for each process.

    Each holds ``what``, ``done``, ``of`` (None if unknown), ``unit``, ``per_second``, ``seconds``,
    ``seconds_left`` (None if unknown), ``note``, ``pid``, ``host``, ``shard``, ``time`` (since
    1970, when it was written) and, of work on units, ``hosts`` (name -> units done there).

    Args:
        work: Work folder of the build.
    """
    names = [n for n in sorted(names_in(work)) if n.startswith(_BEGINNING) and n.endswith(_END)]
    now = file_clock(work) if names else 0.0
    found = []
    for name in names:
        facts = read_object(work / name)
        if facts and _is_whole(facts) and _is_alive(work / name, facts, now):
            found.append(facts)
    return found


def summed(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns what several processes that do the same are at together; None if they do not.

    >>> a = {"what": "x crop", "unit": "units", "done": 3, "of": 9, "per_second": 1.5}
    >>> b = {**a, "done": 1, "of": 5, "per_second": 0.5, "hosts": {"n1": 1}}
    >>> found = summed([{**a, "seconds_left": 4, "host": "n7"}, {**b, "seconds_left": 8}])
    >>> [found[k] for k in ("done", "of", "per_second", "seconds_left", "hosts")]
    [4, 14, 2.0, 8, {'n7': 3, 'n1': 1}]

    Args:
        entries: As of :func:`running`.

    Returns:
        ``what``, ``unit``, ``runs`` (how many), ``done``, ``of`` and ``per_second`` (sums),
        ``seconds_left`` (of the one that takes longest; None if unknown of one) and ``hosts``.
    """
    kinds = {(facts.get("what"), facts.get("unit")) for facts in entries}
    if len(kinds) != 1:
        return None
    (what, unit), hosts = kinds.pop(), Counter()
    for facts in entries:
        hosts.update(facts.get("hosts") or {str(facts.get("host")): facts.get("done") or 0})
    totals, left = ([f.get(k) for f in entries] for k in ("of", "seconds_left"))
    return {
        "what": what,
        "unit": unit,
        "runs": len(entries),
        "done": sum(facts.get("done") or 0 for facts in entries),
        "of": None if None in totals else sum(totals),
        "per_second": sum(facts.get("per_second") or 0 for facts in entries),
        "seconds_left": None if None in left else max(left),
        "hosts": dict(hosts),
    }


def file_clock(folder: Path) -> float:
    """Returns what time it is by the clock that gives files of a folder their times.

    On a shared disk that is the server's. Where nothing can be written, it is this machine's.

    Args:
        folder: A folder that exists.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as f:
            return os.fstat(f.fileno()).st_mtime
    except OSError:
        return time.time()


def _is_alive(path: Path, facts: dict[str, Any], now: float) -> bool:
    alive = is_alive(facts)
    if alive is not None:
        return alive
    every = facts.get("every") or EVERY_SECONDS
    try:
        return now - path.stat().st_mtime < OLD_SECONDS * max(1, every / EVERY_SECONDS)
    except OSError:  # it has ended meanwhile
        return False


def _is_whole(facts: dict[str, Any]) -> bool:
    optional = [facts[name] for name in _NUMBERS_OR_NONE if facts.get(name) is not None]
    hosts, note = facts.get("hosts") or {}, facts.get("note") or ""
    return (
        all(isinstance(facts.get(name), str) for name in _TEXTS)
        and isinstance(note, str)
        and isinstance(hosts, dict)
        and all(map(_is_number, [*(facts.get(name) for name in _NUMBERS), *optional]))
        and all(map(_is_number, hosts.values()))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1e18  # neither infinite nor "NaN"

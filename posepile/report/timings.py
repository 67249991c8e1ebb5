"""How long a build took, by stage: from its journal, which no archive contains."""

from __future__ import annotations

import datetime
import heapq
from collections import defaultdict
from pathlib import Path
from typing import Any

from posepile.progress import words
from posepile.report.markup import Section, table
from posepile.run.journal import journal_lines

SLOWEST = 5


def read_timings(work: Path) -> dict[str, Any]:
    """Returns what the journal of a build tells of time, as plain data; empty without one.

    Args:
        work: The folder of parts and journal.

    Returns:
        ``stages``: of each what it did last: units, examples, frames, seconds of work, seconds per
        unit; ``slowest`` units; ``first`` and ``last`` time; ``failed`` units.
    """
    stages: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"units": 0, "examples": 0, "frames_read": 0, "seconds": 0.0}
    )
    slowest: list[tuple[float, str, str]] = []
    first = last = None
    failed = 0
    for line in journal_lines(work):
        seconds, done = line.get("seconds"), line.get("stages")
        time = line.get("time")
        if not isinstance(seconds, int | float) or not isinstance(done, dict):
            continue
        if isinstance(time, str):
            first, last = min(first or time, time), max(last or time, time)
        failed += line.get("error") is not None
        name = ", ".join(str(stage) for stage, state in done.items() if state == "done")
        if not name:
            continue
        own = stages[name]
        own["units"] += 1
        own["seconds"] += seconds
        for key in ("examples", "frames_read"):
            value = line.get(key)
            own[key] += value if isinstance(value, int) else 0
        entry = (float(seconds), str(line.get("unit")), name)
        if len(slowest) < SLOWEST:
            heapq.heappush(slowest, entry)
        else:
            heapq.heappushpop(slowest, entry)
    if not stages:
        return {}
    for own in stages.values():
        own["seconds"] = round(own["seconds"], 3)
        own["seconds_per_unit"] = round(own["seconds"] / own["units"], 3)
    ranked = sorted(slowest, reverse=True)
    return {
        "stages": dict(stages),
        "slowest": [{"unit": u, "stage": s, "seconds": t} for t, u, s in ranked],
        "first": first,
        "last": last,
        "failed": failed,
    }


def timings_section(timings: dict[str, Any]) -> Section:
    """Returns seconds of each stage and the slowest units."""
    if not timings:
        return Section("timings", "Time it took", "")
    rows, total, frames = [], 0.0, 0
    for stage, own in timings["stages"].items():
        total += own["seconds"]
        frames += own["frames_read"]
        rate = own["frames_read"] / own["seconds"] if own["seconds"] else 0
        rows.append(
            [
                stage,
                own["units"],
                own["frames_read"],
                own["examples"],
                duration(own["seconds"]),
                duration(own["seconds_per_unit"]),
                f"{rate:.1f}",
            ]
        )
    header = ["stage", "units", "frames read", "examples", "work", "per unit", "frames per s"]
    body = table(header, rows)
    wall = _between(timings["first"], timings["last"])
    if wall is not None:
        body += (
            f"<p class=sub>From the first unit done ({timings['first']}) to the last "
            f"({timings['last']}) {duration(wall)} went by, in one run or several. Work is added "
            "up over all workers.</p>"
        )
    rows = [[e["unit"], e["stage"], duration(e["seconds"])] for e in timings["slowest"]]
    body += "<h3>Slowest units</h3>" + table(["unit", "stage", "work"], rows)
    summary = f"{duration(total)} of work, {frames:,} frames read"
    if timings["failed"]:
        summary += f", {timings['failed']:,} units failed on the way"
    return Section("timings", "Time it took", body, "", summary)


def duration(seconds: float) -> str:
    """Returns a time in words.

    >>> duration(0.25), duration(75), duration(7260)
    ('0.2 s', '75 s', '2 h 1 min')
    """
    return f"{seconds:.1f} s" if seconds < 60 else words.duration(seconds)


def _between(first: Any, last: Any) -> float | None:
    try:
        a, b = (datetime.datetime.fromisoformat(t) for t in (first, last))
        return (b - a).total_seconds()
    except (TypeError, ValueError):
        return None

"""What a run says of itself, so that all of it fits a screen: what was made, dropped, and is next.

The numbers are in the manifest and on the report page, every one of them; here are the largest.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posepile.files import read_object, write_json
from posepile.progress.words import amount, duration
from posepile.run.faults import error_line
from posepile.run.job import Run
from posepile.stages.counts import Counts
from posepile.terminal import paint

if TYPE_CHECKING:
    from posepile.run.unit import Outcome

REASONS = 8  # so many reasons are said, of all titles together
CHECKS = 4  # so many self-checks are named
LINES = 4  # so many lines of one kind (of a recipe, of differences) are shown


def count_lines(counts: Counts, build: str, options: Mapping[str, Any]) -> list[str]:
    """Returns counts as indented lines.

    Args:
        counts: What was counted.
        build: The build, for the command that shows the rest.
        options: Of the dataset, among which the limits of its self-checks are.
    """
    lines = [f"  {counts.annotated} annotated person-frames, {counts.selected} selected"]
    if counts.frames_read:  # none are read by selection alone
        lines[0] += f", {counts.examples} examples from {counts.frames_read} frames"
    titles = {"dropped": counts.dropped, "excluded": counts.excluded, "note": counts.notes}
    lines += _reason_lines(titles, build)
    if counts.checks:
        lines.append(_check_line(counts.checks, options))
    return lines


def _reason_lines(titles: dict[str, Counter], build: str) -> list[str]:
    """The most frequent reasons of each title, and how much the others come to."""
    free = REASONS - sum(map(bool, titles.values()))
    lines = []
    for title, reasons in titles.items():
        ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        # Each title has its first; who comes first may take what is left.
        n = min(len(ranked), 1 + free)
        n += len(ranked) - n == 1  # one other reason takes no more than the line that says so
        free = max(0, free - n + 1)
        lines += [f"  {title}: {times} x {reason}" for reason, times in ranked[:n]]
        if len(ranked) > n:
            rest = sum(times for _, times in ranked[n:])
            see = f"posepile report {shlex.quote(build)} lists them"
            lines.append(f"  {title}: {rest} x {len(ranked) - n} other reasons; {see}")
    return lines


def check_limit(options: Mapping[str, Any], name: str) -> float | None:
    """Returns the limit of a self-check; None where the dataset's options state none.

    >>> check_limit({"max_reprojection_px": 0.5}, "reprojection_px")
    0.5

    Args:
        options: Of the dataset.
        name: Of the self-check.
    """
    limit = options.get(f"max_{name}")
    stated = isinstance(limit, int | float) and not isinstance(limit, bool)
    return limit if stated else None


def _check_line(checks: dict[str, Any], options: Mapping[str, Any]) -> str:
    """The largest figure of each self-check, and its limit, beyond which its unit is stopped."""
    named = []
    for name, (_, _, largest) in sorted(checks.items()):
        limit = check_limit(options, name)
        beside = "no limit stated" if limit is None else f"limit {limit:g}"
        named.append(f"{name} {largest:.3g} ({beside})")
    more = f", {len(named) - CHECKS} others" if len(named) > CHECKS else ""
    return f"  self-checks, largest: {', '.join(named[:CHECKS])}{more}"


def few(lines: list[str], build: str) -> list[str]:
    """Returns the first lines of many of one kind, and how many others there are.

    Args:
        lines: The lines.
        build: The build, for the command that shows the rest.
    """
    if len(lines) <= LINES:
        return lines
    see = f"posepile report {shlex.quote(build)}"
    return [*lines[: LINES - 1], f"and {len(lines) - LINES + 1} more like this; {see}"]


def unsaid(work: Path, lines: list[str]) -> list[str]:
    """Returns what a recipe says of its raw files; nothing if it said the very same before.

    Args:
        work: Work folder, which keeps what was said.
        lines: What it says now.
    """
    path = work / "calibrated.json"
    if (read_object(path) or {}).get("lines") == lines:
        return []
    if lines:
        write_json(path, {"lines": lines})
    return lines


def unit_line(outcome: Outcome) -> str:
    """Returns what became of a unit, for a log: stages, examples, seconds, machine, and why not.

    >>> from posepile.run.unit import Outcome
    >>> unit_line(Outcome("a", {"crop": "done"}, Counts(examples=9), seconds=2.25, host="n7"))
    'unit a: crop done, 9 examples, 2.2 s on n7'
    >>> error = {"file": "S1/walk.mp4", "frame": 3, "reason": "cannot be decoded"}
    >>> unit_line(Outcome("a", {"crop": "failed"}, error=error, host="n7"))
    'unit a: quarantined, 0.0 s on n7: S1/walk.mp4, frame 3: cannot be decoded'
    """
    where = f"{outcome.seconds:.1f} s on {outcome.host}"
    if outcome.fatal:
        return f"unit {outcome.unit}: not done, {where}: {outcome.fatal}"
    if outcome.error:
        again = " as before" if outcome.known else ""
        why = error_line(outcome.error)
        return f"unit {outcome.unit}: quarantined{again}, {where}: {why}"
    stages = ", ".join(f"{stage} {state}" for stage, state in outcome.stages.items())
    return f"unit {outcome.unit}: {stages}, {amount(outcome.counts.examples, 'examples')}, {where}"


def next_lines(run: Run) -> list[str]:
    """Returns what can be done with a packed dataset: the command, and the line of Python."""
    module = "datasets2d" if run.recipe.SPEC.kind == "2d" else "datasets3d"
    call = f"from posepile.{module} import get_dataset; get_dataset({run.build!r})"
    return [
        f"  look     {paint(f'posepile view {shlex.quote(run.build)}', 'name')}",
        f"  use      {call}",
    ]


def time_taken(seconds: float) -> str:
    """Returns how long the work took, to be put behind a line; nothing if nobody noticed."""
    return f", in {duration(seconds)}" if seconds >= 1 else ""

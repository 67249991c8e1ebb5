"""Units in which people are annotated and of which no example is left, which a sum would hide."""

from __future__ import annotations

from typing import Any

from posepile.stages.counts import Counts

# So many are named in the manifest; all are counted.
NAMED = 20


def is_bare(counts: Counts) -> bool:
    """Returns whether every annotated person-frame of a unit was dropped.

    Those that exclusions.yaml leaves out, or whose files are damaged, are told elsewhere.
    """
    return bool(
        counts.annotated
        and not counts.examples
        and not counts.quarantined
        and sum(counts.dropped.values())
        and not sum(counts.excluded.values())
    )


def describe(unit: str, counts: Counts) -> dict[str, Any]:
    """Returns what the manifest says of a unit without examples: number and main reason."""
    reason, n = max(counts.dropped.items(), key=lambda item: (item[1], item[0]))
    return {"unit": unit, "annotated": counts.annotated, "reason": reason, "dropped": n}


def bare_lines(units: int, found: dict[str, Any] | None) -> list[str]:
    """Returns a line that warns of units without examples, if there are any.

    >>> first = {"unit": "S1/walk/cam2", "annotated": 9, "reason": "no joint inside", "dropped": 9}
    >>> bare_lines(12, {"units": 1, "first": [first]})  # doctest: +NORMALIZE_WHITESPACE
    ['warning: 1 of 12 units gave no example of the people annotated in it: S1/walk/cam2 (9 x no
    joint inside): are cameras, unit and labels those of its pictures?']

    Args:
        units: Number of all units.
        found: ``without_examples`` of the manifest.
    """
    if not found:
        return []
    n, first = found["units"], found["first"][:3]
    names = "; ".join(f"{e['unit']} ({e['dropped']} x {e['reason']})" for e in first)
    more = f" and {n - len(first)} others" if n > len(first) else ""
    it, its = ("it", "its") if n == 1 else ("them", "their")
    return [
        f"warning: {n} of {units} units gave no example of the people annotated in {it}: {names}"
        f"{more}: are cameras, unit and labels those of {its} pictures?"
    ]

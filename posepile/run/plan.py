"""Decide, then act: what has to be done for each unit, and why, before any of it is done.

Only the head of a unit's part and the sizes and times of its files are looked at, so that a rerun
of a finished dataset costs little. Where a file has another time, a worker finds out whether its
content is another.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from posepile.errors import raise_if_shortage
from posepile.progress import Recorder, over
from posepile.run import results
from posepile.run.faults import MissingFiles
from posepile.run.inputs import unchanged
from posepile.run.job import Run
from posepile.run.keys import Keys, differences, name_changes
from posepile.run.listing import Row, UnitList
from posepile.run.longest import bytes_of, longest_first
from posepile.stages import UNIT_STAGES
from posepile.stages.counts import Counts
from posepile.store import parts
from posepile.store.ahead import answers

State = Literal["current", "new", "again", "touched", "quarantined"]

WITH_SHARD = ("crop", "segment")


@dataclass(slots=True)
class Decision:
    """What to do with one unit.

    Attributes:
        state: ``current``; ``new``: there is no result; ``again``: there is one that does not
            fit; ``touched``: a worker has to look whether input files have changed;
            ``quarantined``: it failed before under the same key.
        reasons: Components that differ.
        header: Header of the stored part, if there is one.
        record: The quarantine record of a quarantined unit.
        kept: Digest of the recipe's code by which a kept result was made, if not the present one.
    """

    state: State
    reasons: tuple[str, ...] = ()
    header: dict[str, Any] | None = None
    record: dict[str, Any] | None = None
    kept: str | None = None


class Planner:
    """Decides about units of a run, for one stage.

    Args:
        run: The run.
        keys: Its keys.
        stage: The last stage asked for: results of earlier ones are what it is made of.
    """

    def __init__(self, run: Run, keys: Keys, stage: str):
        self.run, self.keys, self.stage = run, keys, stage
        self._root = os.fspath(run.root)
        self._folder = os.fspath(run.work / "parts" / stage)
        self._quarantined = results.quarantined_names(run.work)

    def decide(self, row: Row) -> Decision:
        """Returns what to do with a unit; several threads may ask at the same time."""
        stem = results.part_stem(self._folder, row.id)
        path = f"{stem}.part"
        header = parts.read_header(path)
        if self._quarantined and f"{os.path.basename(stem)}.json" in self._quarantined:
            decision = self._decide_quarantined(row)
            if decision is not None:
                decision.header = header
                return decision
        if header is None:
            damaged = os.path.exists(path)
            return Decision("again", ("damaged",)) if damaged else Decision("new")
        return self._decide_result(row, stem, header)

    def _decide_result(self, row: Row, stem: str, header: dict) -> Decision:
        result = header.get("result")
        if not result or (self.stage in WITH_SHARD and not _has_shard(stem, header)):
            return Decision("again", ("damaged",), header)
        then = result["key"]
        # By the files' times alone it is not known what their digest is now.
        now = {**self.keys.shared, "unit": row.digest(), "inputs": then.get("inputs")}
        reasons = differences(self.keys, self.stage, now, result)
        kept = None
        if reasons == ("recipe",) and self.run.keep_results:
            reasons, kept = (), then["recipe"]
        if not reasons and self.run.retry and result["counts"]["quarantined"]:
            reasons = ("retry",)
        if reasons:
            return Decision("again", reasons, header)
        if not unchanged(row.names, self._root, result["inputs"], self.run.whole_checksums):
            return Decision("touched", (), header, kept=kept)
        return Decision("current", (), header, kept=kept)

    def _decide_quarantined(self, row: Row) -> Decision | None:
        """None if what failed then is not what is asked for now."""
        record = results.read_quarantine(self.run.work, row.id)
        if record is None or not concerns(record, self.stage):
            return None
        now = {**self.keys.shared, "unit": row.digest(), "inputs": record["key"].get("inputs")}
        if not same_key(self.keys, record, now):
            return None
        if self.run.retry:
            return Decision("again", ("retry",), record=record)
        if not unchanged(row.names, self._root, record["inputs"]):
            return Decision("touched", (), record=record)
        return Decision("quarantined", (), record=record)


def concerns(record: dict[str, Any], stage: str) -> bool:
    """Returns whether a unit that failed in a stage cannot have a result of this one either."""
    return UNIT_STAGES.index(record["stage"]) <= UNIT_STAGES.index(stage)


def same_key(keys: Keys, record: dict[str, Any], now: dict[str, str]) -> bool:
    """Returns whether a unit failed under the key and the exclusions that are asked for now."""
    if record.get("exclusions") != keys.exclusions_digest():
        return False
    return all(record["key"].get(c) == now[c] for c in keys.needed[record["stage"]])


def _has_shard(stem: str, header: dict[str, Any]) -> bool:
    try:
        return os.stat(f"{stem}.shard").st_size == header["image_bytes"]
    except OSError as e:
        raise_if_shortage(f"{stem}.shard", e)
        return False


# ---------------------------------------------------------------- all units


@dataclass
class Plan:
    """What is to be done for a share of the units.

    Attributes:
        stages: The stages asked for.
        count: Number of units of the share.
        todo: Places of the units that a worker has to look at, in the order to begin them in.
        states: How many units are in which state.
        reasons: How many units are done again for which component.
        before: Component -> a digest that it had before.
        counts: Counts of the units that are current.
        quarantined_shares: Sum over these units of the share of quarantined frames.
        quarantined: Errors of the quarantined units.
        kept: Results kept although made by other code: digest of that code -> number.
        missing: An input file that is not there, of each unit that a worker looks at in vain.
        words: What is said about it, in lines; empty if nothing is to be said.
    """

    stages: tuple[str, ...]
    count: int = 0
    todo: array = field(default_factory=lambda: array("q"))
    states: Counter = field(default_factory=Counter)
    reasons: Counter = field(default_factory=Counter)
    before: dict[str, str | None] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    quarantined_shares: float = 0.0
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    kept: Counter = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def make_plan(
    run: Run,
    keys: Keys,
    units: UnitList,
    stages: tuple[str, ...],
    positions: Collection[int],
    workers: Callable[[], int | None] | None = None,
    record: Recorder | None = None,
) -> Plan:
    """Decides about some of the units.

    Args:
        run: The run.
        keys: Its keys.
        units: All units.
        stages: The stages asked for, in order.
        positions: Places of the units.
        workers: Says how many are going to work on them: several begin with the longest units.
            None if nobody does.
        record: Is told how far it is, for others to look at.
    """
    planner = Planner(run, keys, stages[-1])
    plan, missing, sizes = Plan(stages), MissingFiles(run, keys), array("q")
    root = os.fspath(run.root)
    words = f"{run.build} looking at results"
    decided = answers(planner.decide, units.rows(positions))
    looked = over(decided, words, len(positions), quiet=run.quiet, record=record)
    for row, decision in looked:
        plan.count += 1
        plan.states[decision.state] += 1
        if decision.state == "current":
            plan.quarantined_shares += plan.counts.add_json(decision.header["result"]["counts"])
            if decision.kept:
                plan.kept[decision.kept] += 1
            continue
        if decision.state == "quarantined":
            plan.quarantined.append(decision.record["error"])
            continue
        plan.todo.append(row.position)
        if workers is not None:
            sizes.append(bytes_of(row.names, root))
        missing.look(row.id, row.names)
        then = (decision.header or {}).get("result") or {"key": {}}
        for component in decision.reasons:
            plan.reasons[component] += 1
            plan.before.setdefault(component, then["key"].get(component))
    if plan.todo and workers is not None:
        plan.todo = longest_first(plan.todo, sizes, workers())
    plan.missing = missing.names
    plan.words = [*describe(plan, run, keys), *missing.lines()]
    return plan


def describe(plan: Plan, run: Run, keys: Keys) -> list[str]:
    """Returns lines that say what a rerun does again, and why."""
    again, touched = plan.states["again"], plan.states["touched"]
    lines = []
    if again:
        reasons = [
            name_changes(keys, run.work, component, plan.before[component])
            + (f" ({n} of them)" if n < again else "")
            for component, n in plan.reasons.most_common()
        ]
        lines.append(f"{_units(again)} again: {'; '.join(reasons)}")
    if touched:
        lines.append(f"{_units(touched)} to look at: input files have another size or time")
    if plan.kept:
        n = sum(plan.kept.values())
        lines.append(f"{_units(n)} kept that other code of the recipe made (--keep-results)")
    return lines


def summary(plan: Plan) -> str:
    """Returns how many units are in which state, as one line."""
    words = {
        "new": "to do",
        "again": "to do again",
        "touched": "to look at",
        "current": "current",
        "quarantined": "quarantined",
    }
    return f"{_units(plan.count)}: " + ", ".join(
        f"{plan.states[state]} {text}"
        for state, text in words.items()
        if plan.states[state] or state in ("new", "current")
    )


def _units(n: int) -> str:
    return f"{n} unit" + ("" if n == 1 else "s")

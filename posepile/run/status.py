"""How far a dataset is: facts for programs, and the lines of ``posepile status``."""

from __future__ import annotations

import shlex
import shutil
import time
from collections import Counter
from typing import Any

from posepile import paths
from posepile.ds import dataset_dir
from posepile.locks.holders import owner_of
from posepile.progress import over, running, summed
from posepile.progress.words import amount, duration, rate
from posepile.recipe import SPLITS
from posepile.run import faults, raw
from posepile.run import pack as packing
from posepile.run.active import active_runs
from posepile.run.failed import last_failure
from posepile.run.job import Run, listed_units, run_keys, run_units
from posepile.run.manifest import other_settings, stored_manifest
from posepile.run.plan import Planner
from posepile.run.process import final_stage
from posepile.stages import UNIT_STAGES
from posepile.store.ahead import answers

# What is said of units that have a result which is not current.
OTHER_STATES = {
    "again": "to be made again (--dry-run says why)",
    "touched": "with input files of another size or time",
}

# Of more units, the results are not looked at while a run goes, which is at the same disk: each
# takes a fifth of a millisecond here, and several on a busy file server.
MOST_COUNTED = 20_000

# So many processes are named; of more, what they do together says enough.
MOST_NAMED = 4

_DOING = {"raw": "prepares the raw files", "units": "works on units", "pack": "packs"}


def status_data(run: Run, counted: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns how far a dataset is: units by stage, what is packed, who is at work.

    Args:
        run: The run.
        counted: Of whoever looks again and again, empty at first: results are counted anew only
            while somebody is at work on them, or if somebody was in the meantime.
    """
    # First who is at work, then the notes: a run that ends meanwhile is not taken for a lost one.
    now = {owner_of(facts): facts for facts in running(run.work)}
    active = active_runs(run)
    data: dict[str, Any] = {
        "build": run.build,
        "kind": run.recipe.SPEC.kind,
        "root": str(run.root),
        "work": str(run.work),
        "settings": {"set": list(run.settings[0]), "config": run.settings[1]},
        "active": active,
        "together": None,
        "units": None,
        "stages": {},
        "quarantined": [],
        "download": None,
        "failed": last_failure(run.work),
        "packed": _packed(run),
        "free_bytes": shutil.disk_usage(paths.data_root()).free,
    }
    if data["kind"] == "helper":
        data["lines"] = raw.artefact_lines(run)
    elif any(note["what"] == "raw" for note in active):
        data["download"] = _download(run)  # a list of half of the files would be of no use
    else:
        data |= _counts(run, active, {} if counted is None else counted)
    for note in active:
        note["progress"] = now.get(owner_of(note))
    data["together"] = summed([note["progress"] for note in active if note["progress"]])
    return data


def _counts(run: Run, active: list, counted: dict[str, Any]) -> dict[str, Any]:
    # Whoever begins or ends leaves a note in the work folder or takes it away.
    now = [run.build, run.settings, _changed(run)]
    if active or counted.get("when") != now:
        found = _count_units(run, bool(active))
        counted |= {"when": [*now[:2], _changed(run)], "found": found}
    return counted["found"]


def _changed(run: Run) -> int | None:
    return run.work.stat().st_mtime_ns if run.work.is_dir() else None


def _count_units(run: Run, active: bool) -> dict[str, Any]:
    keys, data = run_keys(run), {"units": None, "stages": {}, "quarantined": []}
    # A run that is at work lists them itself, and would have to wait for us.
    units = listed_units(run, keys) if active else run_units(run, keys)
    if units is None:
        return data
    data["units"] = units.count
    if active and units.count > MOST_COUNTED:
        return data
    quarantined: list[dict[str, Any]] = []
    for stage in UNIT_STAGES:
        if not (run.work / "parts" / stage).is_dir() and stage != final_stage(run.config):
            continue
        planner = Planner(run, keys, stage)
        states: Counter = Counter()
        examples = 0
        decided = answers(planner.decide, units.rows(units.positions()))
        for _, decision in over(decided, f"{run.build} looking at {stage} results", units.count):
            states[decision.state] += 1
            if decision.state == "current":
                examples += decision.header["result"]["counts"]["examples"]
            elif decision.state == "quarantined" and stage == final_stage(run.config):
                quarantined.append(decision.record["error"])
        data["stages"][stage] = {**dict(states), "examples": examples}
    data["quarantined"] = faults.fault_lines(quarantined, run.root, run.work / "quarantine")
    return data


def _download(run: Run) -> dict[str, Any] | None:
    """How much of the raw files is here."""
    path = dataset_dir(run.name) / "sources.yaml"
    if not path.is_file():
        return None
    from posepile.acquire.plan import plan_entries

    entries = plan_entries(run.name, path, run.root)
    known = [e for e in entries if e["bytes"] is not None and e["remaining"] is not None]
    return {
        "sources": len(entries),
        "sources_here": sum(e["remaining"] == 0 for e in entries),
        "bytes": sum(e["bytes"] for e in known),
        "bytes_here": sum(e["bytes"] - e["remaining"] for e in known),
    }


def _packed(run: Run) -> dict[str, Any] | None:
    if not run.archive.is_file():
        return None
    stored = stored_manifest(run) or {}
    return {
        "archive": str(run.archive),
        "counts": stored.get("counts"),
        "partial": stored.get("partial"),
        "other_settings": other_settings(run),
        "missing": packing.missing_files(run),
    }


# ---------------------------------------------------------------- lines


def status_lines(run: Run, data: dict[str, Any]) -> list[str]:
    """Returns the same as a person reads it."""
    lines = _active_lines(data)
    if "lines" in data:
        return [*data["lines"], *lines]
    settings = [f"--set {s}" for s in data["settings"]["set"]]
    settings += [f"--config {data['settings']['config']}"] * bool(data["settings"]["config"])
    under = f", under {' '.join(settings)}" if settings else ""
    if data["units"] is None:
        return [f"{run.build}: below {run.root}{under}", *_download_lines(data), *lines]
    lines = [f"{run.build}: {data['units']} units below {run.root}{under}", *lines]
    if not data["stages"]:
        lines.append("  stages   are counted when nobody is at work on so many units")
    for stage, found in data["stages"].items():
        others = {OTHER_STATES[s]: found[s] for s in OTHER_STATES if found.get(s)}
        other = "".join(f", {n} {words}" for words, n in sorted(others.items()))
        of = f"{found.get('current', 0)} of {data['units']} units"
        lines.append(f"  {stage:8} {of} current, {found['examples']} examples{other}")
    lines += [f"  quarantined: {line}" for line in data["quarantined"]]
    if data["failed"] and not data["active"]:
        lines.append(f"  failed   the last run: {data['failed']}")
    packed = data["packed"]
    if packed and packed["counts"]:
        counts = ", ".join(f"{packed['counts'][split]} {split}" for split in SPLITS)
        lines.append(f"  examples {counts}")
    lines.append(f"  packed   {packed_state(run, packed)}")
    lines.append(f"  free     {data['free_bytes'] / 1e9:.1f} GB on the disk of DATA_ROOT")
    if not data["active"]:
        lines += _next_lines(run, data)
    return lines


def packed_state(run: Run, packed: dict[str, Any] | None) -> str:
    """Returns where the archive is and what is to be said of it, ``no`` if there is none."""
    if packed is None:
        return "no"
    remarks = []
    part = packed["partial"]
    if part:
        remarks.append(f"partial: {part['units']} of {part['of']} units, --only {part['only']}")
    if packed["other_settings"]:
        remarks.append(f"with other settings: {packed['other_settings']}")
    if packed["missing"]:
        remarks.append(f"{packed['missing'][0]} is missing; posepile verify {run.build} --repair")
    return packed["archive"] + (f" ({'; '.join(remarks)})" if remarks else "")


def _next_lines(run: Run, data: dict[str, Any]) -> list[str]:
    """What to do where something is left to do."""
    last = data["stages"].get(final_stage(run.config), {})
    if data["packed"] and last.get("current", 0) + last.get("quarantined", 0) == data["units"]:
        return []
    words = ["posepile", "run", run.build]
    if run.variant is None:  # a variant remembers its settings
        overrides, config = run.settings
        words += [word for override in overrides for word in ("--set", override)]
        words += ["--config", config] if config else []
    return [f"  next     {shlex.join(words)}"]


def _active_lines(data: dict[str, Any]) -> list[str]:
    lines = []
    for note in data["active"][:MOST_NAMED]:
        ago = duration(time.time() - note["since"])
        share = note.get("shard") or [0, 1]
        of = f", share {share[0]} of {share[1]}" if share[1] != 1 else ""
        found = note["progress"]
        where = "" if note["checked"] else f" on {note['host']}"
        where += "" if note["checked"] or found else ", if it still runs"
        doing = _DOING.get(note["what"], "at work")
        line = f"  active   {doing}{of}, process {note['pid']}{where}, for {ago}"
        lines.append(f"{line}: {_how_far(found)}" if found else line)
    more = len(data["active"]) - MOST_NAMED
    if more > 0:
        lines.append(f"           and {more} other processes, which --json names")
    together = data["together"]
    if together and together["runs"] > 1:
        lines.append(f"  together {_shares(data)}: {_how_far(together)}")
    return lines


def _how_far(found: dict[str, Any]) -> str:
    """How much is done, how fast, how long the rest takes, and on how many machines."""
    of = f" of {found['of']:,}" if found.get("of") else ""
    words = [f"{found['done']:,}{of} {found['unit']}"]
    if found.get("per_second"):
        words.append(rate(found["per_second"], found["unit"]))
    if found.get("seconds_left") is not None:
        words.append(f"{duration(found['seconds_left'])} left")
    hosts = len(found.get("hosts") or ())
    words += [found["note"]] if found.get("note") else []
    return ", ".join(words) + (f", on {hosts} machines" if hosts > 1 else "")


def _shares(data: dict[str, Any]) -> str:
    """Who is summed: so many processes, or so many shares of an array."""
    shares = {note["progress"].get("shard") for note in data["active"] if note["progress"]}
    counts = {str(share).partition("/")[2] for share in shares}
    n = data["together"]["runs"]
    if len(counts) == 1 and counts != {"1"} and len(shares) == n:
        return f"{n} of {counts.pop()} shares at work"
    return f"{n} processes at work"


def _download_lines(data: dict[str, Any]) -> list[str]:
    found = data["download"]
    if not found:
        return ["  units    are being listed"] if data["download"] is None else []
    size = ""
    if found["bytes"]:
        size = f", {amount(found['bytes_here'], 'B')} of {amount(found['bytes'], 'B')} known"
    return [f"  download {found['sources_here']} of {found['sources']} sources are here{size}"]

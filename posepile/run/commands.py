"""The steps of a run as a person sees them: what is done, what is printed."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.errors import UsageError
from posepile.recipe import SPLITS
from posepile.run import faults, raw, results
from posepile.run import pack as packing
from posepile.run.bare_units import bare_lines
from posepile.run.job import Run, run_keys, run_units
from posepile.run.manifest import other_settings, stored_manifest
from posepile.run.plan import Plan, Planner, summary
from posepile.run.process import (
    check_detected,
    check_not_empty,
    check_quarantine,
    final_stage,
    plan_share,
)
from posepile.run.process import process as run_stages
from posepile.run.stated import difference_lines
from posepile.stages import UNIT_STAGES
from posepile.stages.counts import Counts
from posepile.stages.task import needs_detector, segments
from posepile.terminal import print_lines

# What status says of units that have a result which is not current.
OTHER_STATES = {
    "again": "to be made again (--dry-run says why)",
    "touched": "with input files of another size or time",
}


def process(run: Run, stages: tuple[str, ...]) -> None:
    """Runs stages over this process's share of the units and prints a summary.

    Raises:
        WorkError: More input is quarantined than tolerated, or no example is left.
    """
    idle = nothing_to_do(run, stages)
    if idle:
        print(f"{run.build}: {idle}")
        return
    if results.earlier_results(run.work):
        print(
            f"{run.build}: results of an earlier layout in {run.work} cannot be read; they are "
            "made again, and removed when that is packed"
        )
    found = run_stages(run, stages)
    n = found.done + found.kept + len(found.errors)
    print(
        f"{run.build}: {'+'.join(stages)}: {n} units: {found.done} done now, "
        f"{found.kept} kept, {len(found.errors)} quarantined"
    )
    counts = found.counts
    if n > len(found.errors) or not n:
        print_lines(count_lines(counts))
    else:
        print("  nothing is counted, as no unit could be used")
    for line in difference_lines(run.name, found.stated):
        print(f"  {line}")
    failed = sorted(found.errors, key=lambda e: (e["file"], e["frame"] or 0))
    frames = sorted(counts.quarantined, key=lambda e: (e["file"], e["frame"] or 0))
    faults.write_list(failed + frames, faults.list_path(run))
    print_faults(run, failed + frames, found.plan.missing)
    check_quarantine(run, len(failed), n, len(frames), found.share)
    check_detected(run, counts, "people")
    whole = run.shard == (0, 1) and run.only is None
    if whole and set(stages) & {"crop", "segment"}:
        check_not_empty(run, counts, len(failed), n)


def print_faults(run: Run, errors: list[dict[str, Any]], said: list[str]) -> None:
    """Prints what is quarantined, by reason.

    Args:
        run: The run.
        errors: What is quarantined.
        said: Missing files that were named before the work began.
    """
    others, n = faults.without_missing(errors, run, said)
    lines = [f"{n} x {faults.MISSING}, as said above"] if n else []
    for line in [*lines, *faults.fault_lines(others, run.root, faults.list_path(run), n)]:
        print(f"  quarantined: {line}")
    if errors and not run.retry:
        print("  (what is unchanged stays quarantined; --retry tries it again)")


def nothing_to_do(run: Run, stages: tuple[str, ...]) -> str | None:
    """Returns why a stage asked for alone has nothing to do, None if it has."""
    params = run.config
    if stages == ("detect",) and not needs_detector(params):
        return (
            f"nothing is to be detected: boxes come from box.source = {params.box.source}"
            f" with detect.model = {params.detect.model}"
        )
    if stages == ("segment",) and not segments(params):
        return f"nothing is to be segmented: segment.model = {params.segment.model}"
    return None


def count_lines(counts: Counts) -> list[str]:
    """Counts as indented lines."""
    lines = [f"  {counts.annotated} annotated person-frames, {counts.selected} selected"]
    if counts.frames_read:  # none are read by selection alone
        lines[0] += f", {counts.examples} examples from {counts.frames_read} frames"
    for title, reasons in (
        ("dropped", counts.dropped),
        ("excluded", counts.excluded),
        ("note", counts.notes),
    ):
        lines += [f"  {title}: {n} x {reason}" for reason, n in sorted(reasons.items())]
    for name, (n, total, largest) in sorted(counts.checks.items()):
        lines.append(f"  self-check {name}: mean {total / n:.4g}, largest {largest:.4g} (of {n})")
    return lines


def dry_run(run: Run, stages: tuple[str, ...]) -> Plan:
    """Prints what a run would do and why, and does nothing."""
    idle = nothing_to_do(run, stages)
    if idle:
        print(f"{run.build}: {idle}")
        return Plan(stages)
    _, _, plan = plan_share(run, stages)
    print(f"{run.build}: {'+'.join(stages)}: {summary(plan)}")
    for line in plan.words:
        print(f"  {line}")
    return plan


def pack(run: Run) -> bool:
    """Packs; prints what was made and where. Returns whether anything had to be done."""
    manifest, changed = packing.pack(run)
    state = "packed" if changed else "is packed and current"
    counts = ", ".join(f"{manifest['counts'][split]} {split}" for split in SPLITS)
    print(f"{run.build}: {state}: {counts}")
    lines = difference_lines(run.name, manifest.get("stated", []))
    units = sum(split["units"] for split in manifest["splits"].values())
    for line in [*lines, *bare_lines(units, manifest.get("without_examples"))]:
        print(f"  {line}")
    if manifest["partial"]:
        part = manifest["partial"]
        print(f"  partial  {part['units']} of {part['of']} units, --only {part['only']}")
    for label, path in (("archive", run.archive), ("pickle", run.pickle)):
        print(f"  {label:8} {path}")
    return changed


def status(run: Run) -> list[str]:
    """How many units each stage has finished under this configuration, and what is packed."""
    if run.recipe.SPEC.kind == "helper":
        return raw.artefact_lines(run)
    keys = run_keys(run)
    units = run_units(run, keys)
    lines = [f"{run.build}: {units.count} units below {run.root}"]
    quarantined: list[dict[str, Any]] = []
    for stage in UNIT_STAGES:
        if not (run.work / "parts" / stage).is_dir() and stage != final_stage(run.config):
            continue
        planner = Planner(run, keys, stage)
        current, examples, others = 0, 0, Counter()
        for row in units.rows(units.positions()):
            decision = planner.decide(row)
            if decision.state == "current":
                current += 1
                examples += decision.header["result"]["counts"]["examples"]
            elif decision.state == "quarantined":
                if stage == final_stage(run.config):
                    quarantined.append(decision.record["error"])
            elif decision.state != "new":
                others[OTHER_STATES[decision.state]] += 1
        other = "".join(f", {n} {words}" for words, n in sorted(others.items()))
        of = f"{current} of {units.count} units"
        lines.append(f"  {stage:8} {of} current, {examples} examples{other}")
    found = faults.fault_lines(quarantined, run.root, run.work / "quarantine")
    lines += [f"  quarantined: {line}" for line in found]
    lines.append(f"  packed   {packed_state(run)}")
    free = shutil.disk_usage(paths.data_root()).free
    lines.append(f"  free     {free / 1e9:.1f} GB on the disk of DATA_ROOT")
    return lines


def packed_state(run: Run) -> str:
    """Returns where the archive is and what is to be said of it, ``no`` if there is none."""
    if not run.archive.is_file():
        return "no"
    remarks = []
    part = (stored_manifest(run) or {}).get("partial")
    if part:
        remarks.append(f"partial: {part['units']} of {part['of']} units, --only {part['only']}")
    other = other_settings(run)
    if other:
        remarks.append(f"with other settings: {other}")
    missing = packing.missing_files(run)
    if missing:
        remarks.append(f"{missing[0]} is missing; posepile verify {run.build} --repair")
    return f"{run.archive}" + (f" ({'; '.join(remarks)})" if remarks else "")


def verify(run: Run, repair: bool) -> tuple[bool, list[str]]:
    """Checks every checksum and row of the packed dataset and of its parts: (all well, lines).

    Args:
        run: The run.
        repair: Make again what is damaged, from the parts and, where these are damaged, from the
            raw files.

    Raises:
        UsageError: It is to be repaired under other settings than it was packed with.
    """
    from posepile.store import verifying

    other = other_settings(run) if repair else ""
    if other:
        raise UsageError(
            f"{run.archive}: was packed with other settings ({other}); give the same --set or "
            "--config again to repair it"
        )
    report = verifying.check_archive(run.archive, run.work / "parts")
    lines = list(report.problems)
    if repair and report.problems:
        run = dataclasses.replace(run, only=packing.packed_only(run))
        report = verifying.repair(
            run.archive,
            run.work / "parts",
            report,
            redo=lambda damaged: packing.redo(run, damaged),
            pack=lambda: packing.pack(run, again=True),
        )
        state = "not repaired" if report.problems else "repaired"
        lines += [f"{run.archive}: {state}", *report.problems]
    n = len(report.problems)
    lines.append(f"{run.archive}: {f'{n} problems' if n else 'ok'}")
    return not report.problems, lines


def report_path(run: Run) -> Path:
    """Returns where the page about the packed dataset lies."""
    return run.work / "report.html"

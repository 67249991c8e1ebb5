"""The steps of a run as a person sees them: what is done, what is printed."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posepile.errors import UsageError
from posepile.imaging.compiling import seconds_compiling
from posepile.progress.words import duration
from posepile.recipe import SPLITS
from posepile.run import faults, results
from posepile.run import pack as packing
from posepile.run.bare_units import bare_lines
from posepile.run.failed import forget_failure
from posepile.run.job import Run
from posepile.run.manifest import other_settings
from posepile.run.plan import Plan, summary
from posepile.run.process import (
    check_detected,
    check_not_empty,
    check_quarantine,
    plan_share,
)
from posepile.run.process import process as run_stages
from posepile.run.said import count_lines, few, time_taken
from posepile.run.stated import difference_lines
from posepile.stages.task import needs_detector, segments
from posepile.terminal import paint, print_lines


def process(run: Run, stages: tuple[str, ...]) -> list[str]:
    """Runs stages over this process's share of the units and prints a summary.

    Returns:
        The warnings that were printed.

    Raises:
        WorkError: More input is quarantined than tolerated, or no example is left.
    """
    idle = nothing_to_do(run, stages)
    if idle:
        print(f"{run.build}: {idle}")
        return []
    if results.earlier_results(run.work):
        print(
            f"{run.build}: results of an earlier layout in {run.work} cannot be read; they are "
            "made again, and removed when that is packed"
        )
    begun, compiled = time.monotonic(), seconds_compiling()
    found = run_stages(run, stages)
    compiled = seconds_compiling() - compiled
    worked = time.monotonic() - begun - compiled
    besides = f" after {duration(compiled)} of compiling" if compiled >= 1 else ""
    n = found.done + found.kept + len(found.errors)
    bad = f"{len(found.errors)} quarantined"
    print(
        f"{run.build}: {'+'.join(stages)}: {n} units: {found.done} done now, {found.kept} kept, "
        f"{paint(bad, 'bad') if found.errors else bad}{time_taken(worked)}{besides}"
    )
    counts, warnings = found.counts, []
    if n == len(found.errors) > 0:
        print("  nothing is counted, as no unit could be used")
    elif found.plan.todo:  # a rerun with nothing to do has nothing new to say
        print_lines(count_lines(counts, run.build, _options(run)))
        warnings = difference_lines(run.name, found.stated)
        _warn(few(warnings, run.build))
    failed = sorted(found.errors, key=lambda e: (e["file"], e["frame"] or 0))
    frames = sorted(counts.quarantined, key=lambda e: (e["file"], e["frame"] or 0))
    faults.write_list(failed + frames, faults.list_path(run))
    print_faults(run, failed + frames, found.plan.missing)
    check_quarantine(run, len(failed), n, len(frames), found.share)
    check_detected(run, counts, "people")
    whole = run.shard == (0, 1) and run.only is None
    if whole and set(stages) & {"crop", "segment"}:
        check_not_empty(run, counts, len(failed), n)
    return warnings


def _options(run: Run) -> dict[str, Any]:
    options = run.config.dataset
    return {} if options is None else options.model_dump(mode="json")


def _warn(lines: list[str]) -> None:
    print_lines(f"  {paint(line, 'doubt')}" for line in lines)


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
        print(f"  {paint('quarantined:', 'bad')} {line}")
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


def dry_run(run: Run, stages: tuple[str, ...]) -> Plan:
    """Prints what a run would do and why, and does nothing."""
    idle = nothing_to_do(run, stages)
    if idle:
        print(f"{run.build}: {idle}")
        return Plan(stages)
    _, _, plan = plan_share(run, stages)
    if run.stand_in and plan.todo:
        print(f"{run.build}: {run.stand_in}")
    print(f"{run.build}: {'+'.join(stages)}: {summary(plan)}")
    for line in plan.words:
        print(f"  {line}")
    return plan


def pack(run: Run, said: Sequence[str] = ()) -> bool:
    """Packs; prints what was made, where, and what to do with it.

    Args:
        run: The run.
        said: Warnings that were printed before.

    Returns:
        Whether anything had to be done.
    """
    begun = time.monotonic()
    manifest, changed = packing.pack(run)
    if forget_failure(run.work):  # the page about the archive may say it
        report_path(run).unlink(missing_ok=True)
    counts = ", ".join(f"{manifest['counts'][split]} {split}" for split in SPLITS)
    if changed:
        state, more = paint("packed", "good"), time_taken(time.monotonic() - begun)
    else:
        state, more = "is packed and current", f"; posepile view {shlex.quote(run.build)}"
    print(f"{run.build}: {state}: {counts}{more}")
    lines = difference_lines(run.name, manifest.get("stated", []))
    units = sum(split["units"] for split in manifest["splits"].values())
    lines += bare_lines(units, manifest.get("without_examples"))
    _warn(few([line for line in lines if line not in said], run.build))
    if manifest["partial"]:
        part = manifest["partial"]
        print(f"  partial  {part['units']} of {part['of']} units, --only {part['only']}")
    if changed:
        for label, path in (("archive", run.archive), ("pickle", run.pickle)):
            print(f"  {label:8} {path}")
    return changed


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

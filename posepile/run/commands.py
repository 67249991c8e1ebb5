"""The steps of a run as a person sees them: what is done, what is printed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import posepile.miniature.kit
from posepile import paths
from posepile.ds import dataset_dir, load_miniature, load_recipe
from posepile.errors import UsageError, WorkError
from posepile.files import disk_error, read_json, replacing
from posepile.recipe import SPLITS
from posepile.run import pipeline
from posepile.run.pipeline import Run
from posepile.run.units import read_result, result_dir
from posepile.stages.counts import Counts

TRUTH = "miniature_truth.json"
MARK = ".miniature.json"


def download(run: Run, miniature: bool, only: list[str] | None = None) -> None:
    """Fetches, verifies and extracts the raw files, or makes the miniature.

    One process does; those of the same Slurm array wait for it and find the work done.
    """
    with pipeline.lock(run, "raw"):
        _download(run, miniature, only)


def _download(run: Run, miniature: bool, only: list[str] | None) -> None:
    if miniature:
        make_miniature(run)
        return
    if (run.root / TRUTH).is_file():
        raise UsageError(
            f"{run.root} holds the miniature; remove it or set another DATA_ROOT before "
            f"downloading {run.name}"
        )
    recipe = load_recipe(run.name)
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.download import run_download

        run_download(run.name, sources, run.root, only=only)
    if hasattr(recipe, "download"):
        for line in recipe.download(run.root, run.config.dataset) or []:
            print(f"{run.name}: {line}")


def make_miniature(run: Run) -> None:
    """Builds the miniature beside and renames it into place; real data is never touched."""
    module = load_miniature(run.name)
    mark = {"made_by": source_hash(Path(module.__file__), Path(posepile.miniature.kit.__file__))}
    if run.root.is_dir() and any(run.root.iterdir()):
        if not (run.root / TRUTH).is_file():
            raise UsageError(
                f"{run.root} holds data that is not a miniature; set another DATA_ROOT for "
                "--miniature"
            )
        if read_json(run.root / MARK) == mark:
            print(f"{run.name}: miniature is in place: {run.root}")
            return
    elif run.root.is_dir():
        run.root.rmdir()
    with replacing(run.root) as tmp:
        module.build(tmp)
        (tmp / MARK).write_text(json.dumps(mark) + "\n")
    print(f"{run.name}: miniature made: {run.root}")


def source_hash(*files: Path) -> str:
    """Digest of source files."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def require_miniature(run: Run) -> None:
    """Keeps ``--miniature`` from running on real data by mistake."""
    if not (run.root / TRUTH).is_file():
        raise UsageError(f"{run.root} is not a miniature; run the download step with --miniature")


def calibrate(run: Run) -> None:
    """Whatever the recipe derives once from the raw files."""
    recipe = load_recipe(run.name)
    if hasattr(recipe, "calibrate"):
        if not run.root.is_dir():
            raise WorkError(f"{run.root}: no raw data of {run.name}; run its download stage first")
        with pipeline.lock(run, "raw"):
            for line in recipe.calibrate(run.root, run.config.dataset) or []:
                print(f"{run.name}: {line}")


def process(run: Run, stages: tuple[str, ...]) -> None:
    """Runs stages over this process's share of the units and prints a summary.

    Raises:
        WorkError: More input is quarantined than tolerated.
    """
    outcomes = pipeline.run_units(run, stages)
    good = [o for o in outcomes if not o.error]
    counts = pipeline.total(good)
    fresh = sum("done" in o.stages.values() for o in good)
    print(
        f"{run.name}: {'+'.join(stages)}: {len(outcomes)} units: {fresh} done now, "
        f"{len(good) - fresh} kept, {len(outcomes) - len(good)} quarantined"
    )
    print("\n".join(count_lines(counts)))
    failed = [o.error for o in outcomes if o.error]
    for error in failed + counts.quarantined:
        print(f"  quarantined: {pipeline.error_line(error)}")
    pipeline.check_quarantine(run, len(failed), [o.counts for o in good])


def count_lines(counts: Counts) -> list[str]:
    """Counts as indented lines."""
    lines = [
        f"  {counts.annotated} annotated person-frames, {counts.selected} selected, "
        f"{counts.examples} examples from {counts.frames_read} frames"
    ]
    for title, reasons in (
        ("dropped", counts.dropped),
        ("excluded", counts.excluded),
        ("note", counts.notes),
    ):
        lines += [f"  {title}: {n} x {reason}" for reason, n in sorted(reasons.items())]
    for name, (n, total, largest) in sorted(counts.checks.items()):
        lines.append(f"  self-check {name}: mean {total / n:.4g}, largest {largest:.4g} (of {n})")
    return lines


def pack(run: Run) -> None:
    """Packs, writes the report and prints what was made and where."""
    from posepile.report import write_report
    from posepile.run import pack as packing

    manifest, changed = packing.pack(run)
    report = run.work / "report.html"
    if changed:  # an old page must not pass for this archive's if writing fails
        report.unlink(missing_ok=True)
    if not report.is_file():
        try:
            write_report(run.name, report)
        except OSError as e:
            raise disk_error(e, report) from e
    state = "packed" if changed else "is packed and current"
    counts = ", ".join(f"{manifest['counts'][split]} {split}" for split in SPLITS)
    print(f"{run.name}: {state}: {counts}")
    for label, path in (
        ("archive", paths.archive_path(run.name)),
        ("pickle", packing.dataset_pickle(run)),
        ("report", report),
    ):
        print(f"  {label:8} {path}")


def plan(run: Run) -> list[str]:
    """What a download would do and what a person must do."""
    recipe = load_recipe(run.name)
    lines = []
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.plan import format_plan

        lines += format_plan(run.name, sources, run.root).splitlines()
    if hasattr(recipe, "plan"):
        lines += recipe.plan(run.root, run.config.dataset)
    return lines


def doctor(run: Run, checksums: bool = False) -> tuple[bool, list[str]]:
    """Compares the raw files with what is expected: (all well, lines)."""
    recipe = load_recipe(run.name)
    ok, lines = True, []
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.doctor import run_doctor

        report = run_doctor(run.name, sources, run.root, checksums=checksums)
        ok, lines = report.ok, list(report.lines)
    if hasattr(recipe, "doctor"):
        problems = recipe.doctor(run.root, run.config.dataset)
        ok = ok and not problems
        # the verdict of the first report goes last, as that of both
        lines = [*lines[:-1], *problems, "  ok" if ok else "  not ok"]
    return ok, lines


def status(run: Run) -> list[str]:
    """How many units each stage has finished (under any configuration), and what is packed."""
    lines: list[str] = []
    units = pipeline.list_units(run)
    lines.append(f"{run.name}: {len(units)} units below {run.root}")
    for stage in pipeline.UNIT_STAGES:
        results: list[Any] = [read_result(result_dir(run.work, stage, u)) for u in units]
        finished = [r for r in results if r]
        if finished:
            n = sum(r["counts"]["examples"] for r in finished)
            lines.append(f"  {stage:8} {len(finished)} of {len(units)} units, {n} examples")
    failed = [read_json(pipeline.quarantine_file(run, u)) for u in units]
    lines += [f"  quarantined: {pipeline.error_line(f)}" for f in failed if f]
    target = paths.archive_path(run.name)
    lines.append(f"  packed   {target if target.is_file() else 'no'}")
    free = shutil.disk_usage(paths.data_root()).free
    lines.append(f"  free     {free / 1e9:.1f} GB on the disk of DATA_ROOT")
    return lines

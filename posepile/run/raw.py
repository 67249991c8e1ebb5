"""The raw files: fetched, made up for a miniature, calibrated, looked at."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import posepile.miniature
from posepile.ds import dataset_dir, load_miniature
from posepile.errors import PartlyDone, UsageError, WorkError, no_raw_data
from posepile.files import names_in, read_object, replacing
from posepile.miniature import MARK, TRUTH
from posepile.run import networks
from posepile.run.apart import call_apart
from posepile.run.job import Run
from posepile.run.locks import lock
from posepile.run.recipe_calls import lines_of


def download(run: Run, miniature: bool, only: list[str] | None = None) -> None:
    """Fetches weights, and fetches, verifies and extracts the raw files or makes the miniature.

    One process does; those of the same Slurm array wait for it and find the work done.
    """
    with lock(run, "raw"):
        networks.fetch_networks(
            run.config, run.build
        )  # first, as a run of hours may end without them
        _download(run, miniature, only)


def _download(run: Run, miniature: bool, only: list[str] | None) -> None:
    if miniature:
        make_miniature(run)
        return
    if (run.root / TRUTH).is_file():
        raise UsageError(
            f"{run.root} holds the miniature; move it away or set another DATA_ROOT before "
            f"downloading {run.name}"
        )
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.download import run_download

        run_download(run.name, sources, run.root, only=only)
    if hasattr(run.recipe, "download"):
        for line in recipe_lines(run, "download"):
            print(f"{run.name}: {line}")


def make_miniature(run: Run) -> None:
    """Builds the miniature under another name and renames it; real data is never touched."""
    mark = _mark(run.name)
    if names_in(run.root):
        if not (run.root / TRUTH).is_file():
            raise UsageError(
                f"{run.root} holds data that is not a miniature; set another DATA_ROOT for "
                "--miniature"
            )
        if read_object(run.root / MARK) == mark:
            print(f"{run.name}: miniature is in place: {run.root}")
            return
    elif run.root.is_dir():
        shutil.rmtree(run.root)  # holds nothing but what macOS leaves
    build_miniature(run.name, run.root)
    print(f"{run.name}: miniature made: {run.root}")


def build_miniature(name: str, root: Path, seed: int = 0) -> None:
    """Makes the raw files of a miniature where there are none.

    Args:
        name: The dataset.
        root: Its raw folder, which does not exist yet.
        seed: Of what is drawn; whichever it is, ``--miniature`` takes the files as they are.
    """
    with replacing(root) as tmp:
        load_miniature(name).build(tmp, seed)
        (tmp / MARK).write_text(json.dumps(_mark(name)) + "\n")


def _mark(name: str) -> dict[str, str]:
    """What a miniature is made by, to be made again when that changes."""
    tools = sorted(Path(posepile.miniature.__file__).parent.glob("*.py"))
    return {"made_by": source_hash(Path(load_miniature(name).__file__), *tools)}


def source_hash(*files: Path) -> str:
    """Returns a digest of source files."""
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
    if hasattr(run.recipe, "calibrate"):
        if not names_in(run.root):
            raise no_raw_data(run.root, run.name)
        with lock(run, "raw"):
            try:
                lines = recipe_lines(run, "calibrate")
            except PartlyDone as e:
                lines = [str(e)]
            for line in lines:
                print(f"{run.name}: {line}")


def recipe_lines(run: Run, what: str) -> list[str]:
    """Calls a function of the recipe apart and returns the lines that it returns."""
    function = getattr(run.recipe, what)
    return call_apart(
        lambda: lines_of(function, run.name, run.work, run.root, run.config.dataset),
        f"{what} of {run.name}",
        run.config.run.isolate,
    )


def artefact_lines(run: Run) -> list[str]:
    """Returns which of a helper's files are there."""
    files = run.recipe.artefacts(run.root, run.config.dataset)
    there = [_is_there(path) for path in files]
    head = f"{run.build}: a helper, nothing to pack: {sum(there)} of {len(files)} artefacts are"
    words = {True: "there  ", False: "missing"}
    found = zip(files, there, strict=True)
    return [f"{head} there", *(f"  {words[is_there]}  {path}" for path, is_there in found)]


def _is_there(path: Path) -> bool:
    """Whether a file is there, or a folder that holds something."""
    return path.is_file() or bool(names_in(path))


def require_artefacts(run: Run) -> None:
    """Looks for the files that a helper is there for.

    Raises:
        WorkError: One is missing, or a folder of files is empty.
    """
    files = run.recipe.artefacts(run.root, run.config.dataset)
    missing = [path for path in files if not _is_there(path)]
    if missing:
        raise WorkError(
            f"{missing[0]}: {len(missing)} of {len(files)} artefacts of {run.name} are missing; "
            f"posepile run {run.build} makes them"
        )


def download_plan(run: Run) -> list[str]:
    """Returns what a download would do and what a person must do."""
    if (run.root / TRUTH).is_file():
        return [
            f"{run.name}: {run.root} holds the miniature, for which nothing is fetched; with "
            "another DATA_ROOT the plan is that of the real data",
            *networks.plan_lines(run.config),
        ]
    lines = []
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.plan import format_plan

        lines += format_plan(run.name, sources, run.root).splitlines()
    if hasattr(run.recipe, "plan"):
        lines += recipe_lines(run, "plan")
    return lines + networks.plan_lines(run.config)


def plan_data(run: Run) -> dict[str, Any]:
    """Returns the same as plain data: sources and weights, and what else the recipe says."""
    plan: dict[str, Any] = {"dataset": run.name, "root": str(run.root), "sources": []}
    sources = dataset_dir(run.name) / "sources.yaml"
    miniature = (run.root / TRUTH).is_file()
    if sources.is_file() and not miniature:
        from posepile.acquire.plan import plan_entries

        plan["sources"] = plan_entries(run.name, sources, run.root)
    told = hasattr(run.recipe, "plan") and not miniature
    plan["notes"] = recipe_lines(run, "plan") if told else []
    return plan | {"miniature": miniature, "weights": networks.plan_entries(run.config)}


def doctor(run: Run, checksums: bool = False) -> tuple[bool, list[str]]:
    """Compares the raw files with what is expected: (all well, lines)."""
    apart = run.config.run.isolate
    return call_apart(lambda: _doctor(run, checksums), f"looking at {run.name}", apart)


def _doctor(run: Run, checksums: bool) -> tuple[bool, list[str]]:
    ok, lines = True, []
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.doctor import run_doctor

        report = run_doctor(run.name, sources, run.root, checksums=checksums)
        ok, lines = report.ok, list(report.lines)
    if hasattr(run.recipe, "doctor"):
        problems = recipe_lines(run, "doctor")
        ok = ok and not problems
        # the verdict of the first report goes last, as that of both
        lines = [*lines[:-1], *problems, "  ok" if ok else "  not ok"]
    lacking = networks.doctor_lines(run.config, checksums)
    if lacking:
        ok, lines = False, [*lines[:-1], *lacking, "  not ok"]
    return ok, lines

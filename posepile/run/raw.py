"""The raw files: fetched, made up for a miniature, calibrated, looked at."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import posepile.miniature
from posepile import paths
from posepile.ds import dataset_dir, load_miniature
from posepile.errors import PartlyDone, UsageError, WorkError, no_raw_data
from posepile.files import names_in, read_object, replacing
from posepile.miniature import MARK, TRUTH
from posepile.remote.on_demand import fetching
from posepile.run import networks
from posepile.run.apart import call_apart
from posepile.run.job import Run
from posepile.run.locks import lock
from posepile.run.recipe_calls import lines_of
from posepile.run.said import few, unsaid


def download(
    run: Run, miniature: bool, only: list[str] | None = None, *, keep_archives: bool = True
) -> None:
    """Fetches weights, and fetches, verifies and extracts the raw files or makes the miniature.

    One process does; those of the same Slurm array wait for it and find the work done.

    Args:
        run: The run.
        miniature: Make the miniature.
        only: Names or parts of sources; everything that is not optional if left out.
        keep_archives: Keep archives that can be fetched again once they are extracted.
    """
    with lock(run, "raw"):
        networks.fetch_networks(
            run.config, run.build
        )  # first, as a run of hours may end without them
        _download(run, miniature, only, keep_archives)


def _download(run: Run, miniature: bool, only: list[str] | None, keep_archives: bool) -> None:
    address = run.config.raw_address
    if address is not None:
        if (run.root / TRUTH).is_file() != miniature:
            found = "no miniature: leave out" if miniature else "the miniature: give"
            raise UsageError(f"{address} holds {found} --miniature, or set another dataset.root")
        print(f"{run.name}: raw files are read in {address}, nothing to download")
        return
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
        from posepile.acquire.checksums import keep_extracted
        from posepile.acquire.download import run_download, sources_of
        from posepile.acquire.leftovers import for_once, let_go
        from posepile.progress.words import byte_size

        told = sources_of(run.name, sources)
        try:
            wanted = told if keep_archives else for_once(told)
            run_download(run.name, wanted, run.root, only=only)
        finally:
            if names_in(run.root):
                keep_extracted(run.root, paths.work_dir(run.name), told.roots)
        gone = {} if keep_archives else let_go(told, run.root, only)
        if gone:
            size = byte_size(sum(gone.values()))
            print(f"{run.name}: {len(gone)} archives that were extracted before are gone, {size}")
    if hasattr(run.recipe, "download"):
        for line in recipe_lines(run, "download"):
            print(f"{run.name}: {line}")


def make_miniature(run: Run) -> None:
    """Builds the miniature under another name and renames it; real data is never touched."""
    mark = _mark(run.name)
    if names_in(run.root):
        if not _is_drawn(run.root):
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


def _is_drawn(root: Path) -> bool:
    """Whether a folder is a miniature's own; a link in other data may lead to its marks."""
    return (
        all(not (root / name).is_symlink() for name in ("", TRUTH, MARK))
        and (root / TRUTH).is_file()
    )


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
                if run.recipe.SPEC.kind != "helper":  # whose files are all that it makes
                    lines = unsaid(run.work, lines)
            except PartlyDone as e:
                lines = [str(e)]
            for line in few(lines, run.build):
                print(f"{run.name}: {line}")


def recipe_lines(run: Run, what: str) -> list[str]:
    """Calls a function of the recipe apart and returns the lines that it returns."""
    function = getattr(run.recipe, what)
    with fetching(run.config.raw_address):
        return call_apart(
            lambda: lines_of(function, run.name, run.work, run.root, run.config.dataset),
            f"{what} of {run.name}",
            run.config.run.isolate,
            shown=what == "calibrate" and not run.quiet,
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

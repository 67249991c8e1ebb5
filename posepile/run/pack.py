"""Packing: finished parts become one archive, a manifest and a pickle. No image byte is copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.ds import dataset_dir, load_recipe
from posepile.errors import WorkError
from posepile.files import disk_error, is_disk_error, read_json, stable_hash, write_json
from posepile.recipe import SPLITS, Unit
from posepile.run.pipeline import (
    UNIT_STAGES,
    Run,
    check_quarantine,
    final_stage,
    is_current,
    list_units,
    lock,
    quarantine_file,
    run_exclusions,
    stage_keys,
)
from posepile.run.units import fingerprint_inputs, params_identity, read_result, result_dir
from posepile.stages.counts import Counts
from posepile.stages.exclusions import matching
from posepile.store import layout, opening, packing
from posepile.version import __version__

VERSION = 1


def pack(run: Run) -> tuple[dict[str, Any], bool]:
    """Packs the dataset if anything changed since it was last packed.

    Args:
        run: The run; its shard does not matter, packing concerns all units.

    Returns:
        The manifest, and whether anything had to be done.

    Raises:
        WorkError: Units are unfinished, or too much input is quarantined.
    """
    with lock(run, "pack"):
        parts, failed = collect_parts(run)
        all_counts = [Counts.from_json(p["result"]["counts"]) for p in parts]
        check_quarantine(run, len(failed), all_counts)
        manifest = make_manifest(run, parts, failed)
        target = paths.archive_path(run.name)
        key = stable_hash([VERSION, manifest])
        done = run.work / "pack.json"
        if read_json(done) == {"key": key, "files": packed_files(run)}:
            return manifest, False
        done.unlink(missing_ok=True)
        spec = load_recipe(run.name).SPEC
        try:
            packing.pack([p["dir"] / "unit.part" for p in parts], target, spec, manifest)
            opening.write_pickle(target, dataset_pickle(run))
            write_json(done, {"key": key, "files": packed_files(run)})
        except (OSError, WorkError) as e:
            if is_disk_error(e):
                raise disk_error(e, target) from e
            raise
        return manifest, True


def packed_files(run: Run) -> dict[str, int]:
    """Names and sizes of the files of a packed dataset, to see whether all are (still) there."""
    target = paths.archive_path(run.name)
    files = [
        target,
        dataset_pickle(run),
        layout.manifest_path(target),
        layout.digests_path(target),
    ]
    files += target.parent.glob(f"{target.name}-shard-*")
    return {f.name: f.stat().st_size for f in sorted(files) if f.is_file()}


def dataset_pickle(run: Run) -> Path:
    """Where the dataset's pickle lies."""
    return paths.cache_dir() / f"{run.name}.pkl"


def collect_parts(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The current part of every unit in archive order, and the quarantined units.

    Raises:
        WorkError: Some units have neither.
    """
    stage = final_stage(run.config)
    exclusions = run_exclusions(run)
    parts, failed, missing = [], [], []
    for unit in list_units(run):
        directory = result_dir(run.work, stage, unit)
        quarantine = read_json(quarantine_file(run, unit))
        result = read_result(directory)
        inputs = recorded_inputs(run, unit)
        keys = {} if inputs is None else stage_keys(run, unit, inputs)
        if keys and is_current(result, keys[stage], exclusions):
            parts.append({"dir": directory, "unit": unit, "result": result, "inputs": inputs})
        elif quarantine is not None and quarantine.pop("key", None) == keys.get(UNIT_STAGES[-1]):
            failed.append(quarantine)
        else:
            missing.append(unit.id)
    if missing:
        raise WorkError(
            f"{run.name}: {len(missing)} of {len(parts) + len(failed) + len(missing)} units are "
            f"not finished under this configuration, e.g. {missing[0]}; run the {stage} stage"
        )
    return parts, failed


def recorded_inputs(run: Run, unit: Unit) -> list[dict] | None:
    """Fingerprints of a unit's inputs as of now; unchanged files are not read again."""
    file = run.work / "inputs" / f"{result_dir(run.work, 'i', unit).name}.json"
    known = read_json(file)
    if known is None:
        return None
    try:
        return fingerprint_inputs(unit, run.root, known)
    except WorkError:
        return None


def make_manifest(run: Run, parts: list[dict], failed: list[dict]) -> dict[str, Any]:
    """Everything that answers "which exact files did you use, and what became of them?"."""
    per_split = {}
    for split in SPLITS:
        counts = Counts()
        units = [p for p in parts if p["unit"].split == split]
        for part in units:
            counts.add(Counts.from_json(part["result"]["counts"]))
        per_split[split] = {
            "units": len(units),
            "frames_read": counts.frames_read,
            "annotated": counts.annotated,
            "selected": counts.selected,
            "examples": counts.examples,
            "dropped": dict(counts.dropped),
            "excluded": dict(counts.excluded),
            "notes": dict(counts.notes),
            "quarantined": [q | {"file": shown(q["file"], run)} for q in counts.quarantined],
            "checks": {
                name: {"n": n, "mean": total / n, "max": largest}
                for name, (n, total, largest) in sorted(counts.checks.items())
            },
        }
    recipe = load_recipe(run.name)
    ids = [s for p in parts for s in p["result"]["sequences"]]
    lock_file = run.root / ".posepile" / "sources.lock.json"
    inputs = {i["path"]: [i["bytes"], i["hash"]] for p in parts for i in p["inputs"]}
    return {
        "dataset": run.name,
        "producer": {
            "name": "posepile",
            "version": __version__,
            "recipe": getattr(recipe, "RECIPE_VERSION", 1),
        },
        "config": run.config.model_dump(mode="json") | {"dataset": dump(run.config.dataset)},
        "models": {
            "detect": params_identity(run.config.detect),
            "segment": params_identity(run.config.segment),
        },
        "counts": {split: per_split[split]["examples"] for split in SPLITS},
        "splits": per_split,
        "exclusions": [e.model_dump(mode="json") for e in matching(run_exclusions(run), ids)],
        "quarantined_units": [f | {"file": shown(f["file"], run)} for f in failed],
        "sources": json.loads(lock_file.read_text()) if lock_file.is_file() else None,
        "miniature": (run.root / "miniature_truth.json").is_file(),
        "inputs": [[path, *rest] for path, rest in sorted(inputs.items())],
        "card": f"posepile/ds/{dataset_dir(run.name).name}/README.md",
    }


def dump(options: Any) -> Any:
    """A recipe's options as plain data."""
    return options.model_dump(mode="json") if hasattr(options, "model_dump") else options


def shown(file: str, run: Run) -> str:
    """A file name without the part that differs from machine to machine."""
    root = str(run.root) + "/"
    return file[len(root) :] if file.startswith(root) else file

"""The manifest: which exact files, parameters and code made a dataset, and what became of them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from posepile.acquire.lockfile import read_origins
from posepile.ds import dataset_dir
from posepile.errors import PosePileError, Shortage
from posepile.files import read_object
from posepile.miniature import TRUTH
from posepile.models.identity import network_identity
from posepile.recipe import SPLITS
from posepile.run.bare_units import NAMED, describe, is_bare
from posepile.run.inputs import how_taken
from posepile.run.job import Run
from posepile.run.keys import Keys, changed_keys
from posepile.run.networks import described_networks
from posepile.stages.counts import Counts
from posepile.store.packing import manifest_path
from posepile.store.reading import read_manifest
from posepile.version import __version__


class Totals:
    """What the manifest says of all units together, gathered one unit after the other.

    Attributes:
        units: Split -> number of units.
        counts: Split -> counts.
        fingerprints: How often an input was fingerprinted in which way.
        exclusions: The entries of exclusions.yaml that concern any sequence, by their JSON.
        kept: Digest of other code of the recipe -> number of results that it made.
        bare: How many units have no example of the people annotated in them, and the first ones.
    """

    def __init__(self) -> None:
        self.units: Counter = Counter()
        self.counts = {split: Counts() for split in SPLITS}
        self.fingerprints: Counter = Counter()
        self.exclusions: dict[str, dict] = {}
        self.kept: Counter = Counter()
        self.bare: dict[str, Any] = {"units": 0, "first": []}

    def add(self, unit: str, result: dict[str, Any], kept: str | None) -> float:
        """Takes in the result of one unit; returns its share of quarantined frames."""
        self.units[result["split"]] += 1
        share = self.counts[result["split"]].add_json(result["counts"])
        own = Counts()
        own.add_json(result["counts"])
        if is_bare(own):
            self.bare["units"] += 1
            if len(self.bare["first"]) < NAMED:
                self.bare["first"].append(describe(unit, own))
        for how in how_taken(result["inputs"]):
            self.fingerprints[how] += 1
        for entry in result["exclusions"]:
            self.exclusions[json.dumps(entry, sort_keys=True)] = entry
        if kept:
            self.kept[kept] += 1
        return share

    def all_counts(self) -> Counts:
        """Returns the counts over all splits."""
        total = Counts()
        for counts in self.counts.values():
            total.add(counts)
        return total


def make_manifest(
    run: Run,
    keys: Keys,
    totals: Totals,
    failed: list[dict[str, Any]],
    n_units: int,
    stated: list[dict[str, Any]],
) -> dict[str, Any]:
    """Everything that answers "which exact files did you use, and what became of them?".

    Args:
        run: The run.
        keys: Its keys.
        totals: What was gathered from the units.
        failed: Errors of the quarantined units.
        n_units: Number of units of the whole dataset.
        stated: Numbers that the authors state, and those found.
    """
    per_split = {split: _of_split(run, totals, split) for split in SPLITS}
    chosen = sum(totals.units.values()) + len(failed)
    partial = {"only": run.only, "units": chosen, "of": n_units}
    return {
        "dataset": run.name,
        "variant": run.variant,
        "producer": {
            "name": "posepile",
            "version": __version__,
            "recipe": keys.content["recipe"],
        },
        "config": settings(run),
        "models": {
            "detect": network_identity(run.config.detect),
            "segment": network_identity(run.config.segment),
            "weights": described_networks(run.config),
        },
        "partial": None if run.only is None else partial,
        "kept_results": dict(sorted(totals.kept.items())),
        "counts": {split: per_split[split]["examples"] for split in SPLITS},
        "splits": per_split,
        "stated": stated,
        "without_examples": totals.bare if totals.bare["units"] else None,
        "exclusions": [
            plain
            for _, plain in keys.exclusions
            if json.dumps(plain, sort_keys=True) in totals.exclusions
        ],
        "quarantined_units": [
            {k: v for k, v in f.items() if k != "trace"} | {"file": shown(f["file"], run)}
            for f in failed
        ],
        "sources": read_origins(run.root),
        "miniature": (run.root / TRUTH).is_file(),
        "fingerprints": dict(sorted(totals.fingerprints.items())),
        "card": f"posepile/ds/{dataset_dir(run.name).name}/README.md",
    }


def stored_manifest(run: Run) -> dict[str, Any] | None:
    """Returns the copy of the manifest beside the archive; None if it is absent or damaged."""
    stored = read_object(manifest_path(run.archive))
    try:
        config, splits = stored["config"], stored["splits"]
        partial, lost = stored["partial"], stored["quarantined_units"]
        whole = (
            isinstance(config["run"], dict)
            and all(isinstance(stored["counts"][split], int) for split in SPLITS)
            and all(isinstance(splits[split]["units"], int) for split in SPLITS)
            and (partial is None or {"only", "units", "of"} <= set(partial))
            and isinstance(lost, list)
        )
    except (TypeError, KeyError):
        return None
    return stored if whole else None


def settings(run: Run) -> dict[str, Any]:
    """Returns the parameters of a run as its manifest has them."""
    config = run.config.model_dump(mode="json", exclude={"run", "dataset"})
    options = run.config.dataset
    config["dataset"] = options.model_dump(mode="json") if options is not None else None
    # Limits of workers change nothing; what was tolerated and left out does.
    config["run"] = run.config.run.model_dump(include={"max_quarantined", "exclusions"})
    return config


def other_settings(run: Run) -> str:
    """Returns which parameters the packed archive was made with otherwise; empty if none.

    The manifest stands in the archive and beside it; a damaged copy does not count while the
    other one agrees.
    """
    found = ""
    for stored in (stored_manifest(run), _inner_manifest(run)):
        config = stored.get("config") if isinstance(stored, dict) else None
        if isinstance(config, dict) and isinstance(config.get("run"), dict):
            now = settings(run)
            # How much is tolerated makes no other archive.
            config["run"]["max_quarantined"] = now["run"]["max_quarantined"]
            changed = changed_keys(config, now)
            if not changed:
                return ""
            found = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
    return found


def _inner_manifest(run: Run) -> dict[str, Any] | None:
    try:
        return read_manifest(run.archive)
    except Shortage:
        raise
    except PosePileError:
        return None


def _of_split(run: Run, totals: Totals, split: str) -> dict[str, Any]:
    counts = totals.counts[split]
    return {
        "units": totals.units[split],
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


def shown(file: str, run: Run) -> str:
    """Returns a file name without the part that differs from machine to machine."""
    root = str(run.root) + "/"
    return file[len(root) :] if file.startswith(root) else file

"""Numbers that the authors of a dataset state, compared with what a whole run has found.

They stand under ``counts`` in ``sources.yaml``. A difference is a warning in output, manifest and
report and never an error by itself: downloads may be partial (``--parts``), releases grow, and a
number may have been counted in another way. What is missing on the disk is the doctor's to name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posepile.acquire.patterns import below, find_matches
from posepile.acquire.sources import Sources, load_sources
from posepile.acquire.stated import StatedCount
from posepile.config import NoOptions, load_config
from posepile.ds import dataset_dir
from posepile.miniature import TRUTH
from posepile.recipe import SPLITS
from posepile.run.job import Run
from posepile.run.listing import UnitList
from posepile.stages.counts import Counts

# What is counted person-frame by person-frame depends on these parameters as well.
OF_PEOPLE = ("annotated", "examples")
# Units that count or name what is not packed, and are none of those that are stated.
OF_NOTHING = {"left_out", "misplaced"}
SECTIONS = {"select", "box", "detect", "check"}


def compare(
    run: Run, units: UnitList | None, counts: dict[str, Counts] | None = None
) -> list[dict[str, Any]]:
    """Returns stated numbers and those found: ``{"what", "split", "stated", "found"}`` each.

    Nothing is compared in a miniature, in a run of some units (``--only``), and, but for helpers,
    where dataset options are not those that the dataset comes with.

    Args:
        run: The run.
        units: Its units; None of a helper, of which files alone are counted.
        counts: What became of them by split; None = not known yet, which leaves out numbers of
            examples.
    """
    if run.only is not None or (run.root / TRUTH).is_file():
        return []
    path = dataset_dir(run.name) / "sources.yaml"
    sources = load_sources(path) if path.is_file() else None
    if sources is None or not sources.counts:
        return []
    shipped = load_config(run.name, getattr(run.recipe, "Options", NoOptions))
    # Of a helper files alone are counted, which options do not change.
    if units is not None and run.config.dataset != shipped.dataset:
        return []
    same_people = run.config.model_dump(include=SECTIONS) == shipped.model_dump(include=SECTIONS)
    compared = []
    for stated in sources.counts:
        if stated.of not in OF_PEOPLE:
            found = _on_disk(run.root, sources, stated)
            if found is None and units is None:
                continue
            found = found or _among_units(units, stated)
        elif counts is not None and same_people:
            found = {split: getattr(counts[split], stated.of) for split in SPLITS}
            found["all"] = sum(found.values())
        else:
            continue
        compared += [
            {"what": stated.what, "split": split, "stated": n, "found": found[split]}
            for split, n in stated.numbers.items()
        ]
    return compared


def difference_lines(name: str, compared: list[dict[str, Any]]) -> list[str]:
    """Returns a line for every number that differs.

    >>> clips = {"what": "clips", "split": "test", "stated": 60, "found": 58}
    >>> difference_lines("mydata", [clips])
    ['warning: 58 clips (test); its authors state 60 (posepile doctor mydata: what is missing)']
    """
    lines = []
    for entry in compared:
        split = "" if entry["split"] == "all" else f" ({entry['split']})"
        fewer = entry["found"] < entry["stated"]
        hint = f" (posepile doctor {name}: what is missing)" if fewer else ""
        lines.append(
            f"warning: {entry['found']} {entry['what']}{split}; its authors state "
            f"{entry['stated']}{hint}"
        )
    return [
        line
        for line, entry in zip(lines, compared, strict=True)
        if entry["found"] != entry["stated"]
    ]


def _on_disk(root: Path, sources: Sources, stated: StatedCount) -> dict[str, int] | None:
    """How many files there are of a pattern, below the first of the roots that holds any."""
    if stated.files is None:
        return None
    found: list[str] = []
    for folder in sources.roots:
        found = found or list(find_matches(root, below(folder, stated.files)))
    return dict.fromkeys(stated.numbers, sum(Path(f).name[0] != "." for f in found))


def _among_units(units: UnitList, stated: StatedCount) -> dict[str, int]:
    """How many units there are by split, or groups of them whose ids begin alike."""
    seen: dict[str, set[str]] = {split: set() for split in SPLITS}
    for id, split in units.ids():
        parts = id.split("/")
        if not OF_NOTHING & {*parts}:
            seen[split].add("/".join(parts[: stated.parts]))
    found = {split: len(ids) for split, ids in seen.items()}
    return found | {"all": len(set().union(*seen.values()))}

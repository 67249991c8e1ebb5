"""Units of raw files, processed within the test: what is refused, dropped, kept."""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from posepile.config import key_of, load_config
from posepile.ds import load_recipe
from posepile.errors import CorruptInput, PosePileError
from posepile.run.networks import without_networks
from posepile.stages import crop
from posepile.stages.counts import Counts
from posepile.stages.task import Task

SMALL = ("crop.target=64", "crop.jpeg_quality=50")  # nobody looks at the crops
PIXELS = (".mp4", ".mkv", ".jpg", ".png")


@dataclass
class Outcome:
    """What became of the units of a raw folder.

    Attributes:
        counts: Of each unit that was processed, by its id.
        refused: Messages of what was not.
    """

    counts: dict[str, Counts] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def total(self) -> Counts:
        """Returns the sum over the units."""
        total = Counts()
        for counts in self.counts.values():
            total.add(counts)
        return total


def copy_raw(raw: Path, to: Path) -> Path:
    """Copies raw files; pictures and videos, which are only replaced as a whole, are linked."""

    def copy(source: str, target: str) -> None:
        if source.endswith(PIXELS):
            os.link(source, target)
        else:
            shutil.copyfile(source, target)

    shutil.copytree(raw, to, copy_function=copy)
    return to


def crop_units(
    name: str,
    root: Path,
    out: Path,
    wanted: Iterable[str] = ("*",),
    *,
    settings: Iterable[str] = (),
    change: Callable[[list], list] = lambda sequences: sequences,
) -> Outcome:
    """Selects and crops the units of a raw folder, one after the other, as a run would.

    Args:
        name: The dataset.
        root: Raw folder.
        out: Folder for the parts.
        wanted: Patterns of the ids of units.
        settings: As of ``--set``.
        change: Applied to what the recipe loads.
    """
    recipe, outcome = load_recipe(name), Outcome()
    config = load_config(name, recipe.Options, [*SMALL, *settings])
    config, _ = without_networks(config, {key_of(setting) for setting in settings})
    out.mkdir(parents=True, exist_ok=True)
    try:
        if hasattr(recipe, "calibrate"):
            recipe.calibrate(root, config.dataset)
        units = list(recipe.list_units(root, config.dataset))
    except PosePileError as e:
        outcome.refused.append(str(e))
        return outcome
    for i, unit in enumerate(units):
        if not any(fnmatch.fnmatch(unit.id, pattern) for pattern in wanted):
            continue
        try:
            sequences = change(recipe.load_unit(root, unit, config.dataset))
            task = Task(recipe.SPEC, lambda s=sequences: s, config, [], out / f"{i}.part")
            crop.run(task)
        except CorruptInput as e:
            outcome.refused.append(str(e))
        else:
            outcome.counts[unit.id] = task.counts
    return outcome

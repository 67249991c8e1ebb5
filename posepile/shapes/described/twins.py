"""Rendered twins of a dataset's recordings: a described tree beside its real files, or none.

Sets that were rendered after the clips of a real one have its names, and so its splits. Their
files are documented nowhere, so a layout in the configs folder says how they lie; where nothing
matches it, there are no twins. A recipe asks in ``calibrate``, ``doctor``, ``list_units`` and
``load_unit``::

    twins = Twins("mydata", options.layout, SPEC.joint_info.names)
    return twins.calibrate(root)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posepile import recipe
from posepile.formats.yaml_files import read_yaml
from posepile.paths import config_dir
from posepile.recipe import Unit
from posepile.shapes.described.clips import load_clip
from posepile.shapes.described.layout import Layout
from posepile.shapes.described.sequences import make_sequence
from posepile.shapes.described.units import (
    clip_of,
    clip_units,
    has_pictures,
    validate_once,
    validated_clips,
)
from posepile.shapes.described.validation import Findings, validate

CLIPS_PER_UNIT = 10


@dataclass(frozen=True)
class Twins:
    """The twins of a dataset.

    Attributes:
        name: The dataset, for messages.
        file: The layout, relative to the configs folder or absolute; None = no twins.
        joint_names: The dataset's joints.
        n_clips: How many clips validation opens, at least.
    """

    name: str
    file: str | None
    joint_names: Sequence[str]
    n_clips: int = 12

    def layout(self, root: Path) -> Layout | None:
        """Returns the layout; None where no file is as it describes."""
        if self.file is None:
            return None
        layout = read_yaml(config_dir() / self.file, Layout, kind="layout manifest")
        return layout if has_pictures(root, layout) else None

    def doctor(self, root: Path) -> list[str]:
        """Returns the problems that validation finds."""
        return self._validate(root).problems

    def _validate(self, root: Path) -> Findings:
        layout = self.layout(root)
        if layout is None:
            return Findings()
        load = partial(load_clip, root, layout, joint_names=self.joint_names)
        return validate(root, layout, load, self.joint_names, self.n_clips)

    def calibrate(self, root: Path) -> list[str]:
        """Returns the report of a validation that was passed, perhaps earlier.

        Raises:
            WorkError: It found problems.
        """
        layout = self.layout(root)
        if layout is None:
            return []
        return validate_once(root, layout, self.name, lambda: self._validate(root), self.n_clips)

    def units(
        self,
        root: Path,
        split_of: Callable[[str], str | None],
        wanted: Callable[[str], bool] = lambda name: True,
    ) -> Iterator[Unit]:
        """Yields units of some clips each, with all their views.

        Args:
            root: Raw folder.
            split_of: From the name of a clip to its split; None = it is in none.
            wanted: Which clips to take, by name; the units of the others stay what they are.
        """
        layout = self.layout(root)
        if layout is None:
            return
        clips = [c for c in validated_clips(root, layout, self.name) if split_of(c.name)]
        told, split = layout.model_dump(mode="json"), lambda clip: split_of(clip.name)
        chosen = {"wanted": lambda clip: wanted(clip.name)}
        for unit in clip_units(root, layout, clips, split, CLIPS_PER_UNIT, **chosen):
            yield dataclasses.replace(unit, args={**unit.args, "layout": told})

    def sequences(
        self, root: Path, unit: Unit, activity_of: Callable[[str], str]
    ) -> list[recipe.Sequence] | None:
        """Returns one sequence per clip and view; None if the unit is not one of these.

        Args:
            root: Raw folder.
            unit: The unit.
            activity_of: From the name of a clip to what is done in it.
        """
        if "layout" not in unit.args:
            return None
        layout, sequences = Layout(**unit.args["layout"]), []
        for args in unit.args["clips"]:
            data = load_clip(root, layout, clip_of(args), self.joint_names)
            activity = [activity_of(data.clip.name)] * len(data.world_coords)
            given = {"split": unit.split, "activity": activity}
            sequences += [make_sequence(root, layout, data, v, **given) for v in data.clip.views]
        return sequences

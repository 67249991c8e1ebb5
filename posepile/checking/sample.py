"""What the questions are asked of: a processed miniature and what is known of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from posepile.checking import pixels
from posepile.ds import load_recipe
from posepile.files import read_json
from posepile.miniature import marks
from posepile.miniature.truth import ExampleKey, Truth, example_key, read_truth
from posepile.recipe import SPLITS, DatasetSpec

PER_SPLIT = 40


@contextlib.contextmanager
def data_root(root: Path) -> Iterator[None]:
    """Makes ``root`` this process's DATA_ROOT, with its cache below, for as long as it lasts."""
    before = {name: os.environ.get(name) for name in ("DATA_ROOT", "CACHE_DIR")}
    os.environ["DATA_ROOT"] = str(root)
    os.environ.pop("CACHE_DIR", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@dataclass
class Shown:
    """One example with what is seen in its picture.

    Attributes:
        example: Loaded.
        split: Its split.
        key: The raw picture and person that its path names; None where the truth does not say.
        truth: Of the miniature.
        image: uint8 RGB ``[h, w, 3]``.
    """

    example: Any
    split: str
    key: ExampleKey | None
    truth: Truth
    image: np.ndarray

    @property
    def path(self) -> str:
        """Its image path."""
        return self.example.image_path

    @property
    def size(self) -> np.ndarray:
        """Width and height of the picture."""
        return np.array(self.image.shape[1::-1])

    @cached_property
    def points(self) -> np.ndarray:
        """Recorded joints in pixels of the crop, ``[J, 2]``; NaN = missing or not projected."""
        return points_of(self.example)

    @cached_property
    def inside(self) -> np.ndarray:
        """Recorded joints that lie in the picture, bool ``[J]``."""
        known = np.isfinite(self.points).all(axis=1)
        within = (self.points >= -0.5) & (self.points <= self.size - 0.5)
        return known & within.all(axis=1)

    @cached_property
    def labelled(self) -> bool:
        """Whether a joint that is drawn has a recorded place, wherever that is."""
        known = np.isfinite(self.points).all(axis=1)
        drawn = [c is not None for c in self.truth.colors] or np.ones(len(known), bool)
        return bool((known & drawn).any())

    @cached_property
    def figure(self) -> np.ndarray | None:
        """Visible part of the person as drawn, bool ``[h, w]``; None where bodies have no tint."""
        if not self.truth.persons_drawn:
            return None
        return marks.find_person(self.image, self.key.person if self.key else 0)

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns around the recorded joints, with room for the body around them."""
        if not self.inside.any():
            return np.s_[:, :]
        known = self.points[self.inside]
        low, high = known.min(axis=0), known.max(axis=0)
        room = 20 + 0.15 * (high - low).max()
        (x0, y0), (x1, y1) = (low - room).astype(int).clip(0), (high + room).astype(int).clip(0)
        return np.s_[y0 : y1 + 1, x0 : x1 + 1]

    def in_window(self, points: np.ndarray) -> np.ndarray:
        """Returns points of the picture as points of :attr:`window`."""
        rows, columns = self.window
        return points - np.array([columns.start or 0, rows.start or 0])

    @cached_property
    def discs(self) -> np.ndarray:
        """Where the discs of the joints are in the picture, ``[J, 2]``; NaN = not found."""
        return pixels.find_discs(self.image, self.points, self.truth.colors, self.figure)

    @cached_property
    def bounds(self) -> np.ndarray | None:
        """Left, top, right, bottom of the drawn person within the picture, or None.

        Of the body where it has a tint, and of the discs.
        """
        parts = []
        if self.figure is not None:
            parts.append(pixels.bounds(self.figure))
        if self.truth.colors:
            seen = self.discs[np.isfinite(self.discs).all(axis=1)]
        else:
            seen = self.points[self.inside]
        if len(seen) >= 2:
            parts.append(np.concatenate([seen.min(axis=0), seen.max(axis=0)]))
        parts = [p for p in parts if p is not None]
        if not parts:
            return None
        return np.concatenate(
            [np.min(parts, axis=0)[:2], np.max(parts, axis=0)[2:]],
        )


@dataclass
class Sample:
    """A processed miniature.

    Attributes:
        name: The dataset.
        root: DATA_ROOT of the miniature.
        truth: What the miniature says about itself.
        manifest: Of the packed dataset.
        per_split: Of how many examples per split the pictures are looked at.
    """

    name: str
    root: Path
    truth: Truth
    manifest: dict[str, Any]
    per_split: int = PER_SPLIT

    @property
    def spec(self) -> DatasetSpec:
        """Facts that the recipe declares."""
        return load_recipe(self.name).SPEC

    @cached_property
    def dataset(self) -> Any:
        """The dataset as training code opens it."""
        if self.spec.kind == "2d":
            from posepile import datasets2d as module
        else:
            from posepile import datasets3d as module
        with data_root(self.root):
            return module.get_dataset(self.name)

    @cached_property
    def joint_names(self) -> list[str]:
        """Names of the joints."""
        return list(self.dataset.joint_info.names)

    @cached_property
    def paths(self) -> list[tuple[str, str]]:
        """(split, image path) of all examples."""
        with data_root(self.root):
            return [
                (split, example.image_path)
                for i, split in enumerate(SPLITS)
                for example in self.dataset.examples[i]
            ]

    @cached_property
    def shown(self) -> list[Shown]:
        """Examples of every split, evenly spread, with their pictures."""
        result = []
        with data_root(self.root):
            for i, split in enumerate(SPLITS):
                examples = self.dataset.examples[i]
                for k in _spread(len(examples), self.per_split):
                    example = examples[k].load()
                    key = example_key(self.truth, example.image_path)
                    result.append(Shown(example, split, key, self.truth, example.get_image()))
        return result


def _spread(n: int, at_most: int) -> list[int]:
    """Numbers below ``n``, evenly spread; coprime steps would not fall on one view only."""
    if n <= at_most:
        return list(range(n))
    return sorted({round(v) for v in np.linspace(0, n - 1, at_most)})


def open_sample(
    name: str, root: Path, per_split: int = PER_SPLIT, truth: Truth | None = None
) -> Sample:
    """Returns the processed miniature of a dataset.

    Args:
        name: The dataset.
        root: DATA_ROOT.
        per_split: See :class:`Sample`.
        truth: Default: that of the raw files below ``root``.
    """
    manifest = read_json(root / f"{name}.barecat.manifest.json")
    return Sample(name, root, truth or read_truth(root / name), manifest, per_split)


def points_of(example: Any) -> np.ndarray:
    """Returns the joints of an example in pixels of its picture, float64 ``[J, 2]``."""
    if getattr(example, "coords", None) is not None:
        return np.array(example.coords, float)
    if example.world_coords is None or len(example.world_coords) == 0:
        return np.zeros((0, 2))
    world = np.asarray(example.world_coords, np.float32)
    with np.errstate(invalid="ignore"):
        return example.camera.world_to_image(world).astype(float)

"""What a report is about: a build with its manifest, or any other dataset with neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from posepile import paths
from posepile.files import read_object
from posepile.recipe import SPLITS
from posepile.store import reading
from posepile.store.example_list import as_example_list
from posepile.store.mixed import mix_manifest_path
from posepile.store.named import Named, named

VIEWER = "http://127.0.0.1:8765"


@dataclass
class Build:
    """A dataset that a report is written of.

    Attributes:
        name: As it was asked for.
        dataset: Opened.
        manifest: What a run says of it; also that of an import, a subset or a mix, which says
            less; empty where there is none.
        spec: Of the recipe, None without one.
        work: Folder of its parts and journal, which need not exist.
    """

    name: str
    dataset: Any
    manifest: dict[str, Any]
    spec: Any
    work: Path

    @property
    def has_counts(self) -> bool:
        """Whether the manifest is that of a run, which counted what it left out."""
        splits = self.manifest.get("splits")
        return isinstance(splits, dict) and all(split in splits for split in SPLITS)

    def examples(self, split: str) -> Any:
        """Returns the list of a split by its name."""
        return as_example_list(self.dataset.examples[SPLITS.index(split)])

    @property
    def lists(self) -> list[Any]:
        """The lists of all splits."""
        return [self.examples(split) for split in SPLITS]

    def ups(self) -> dict[str, np.ndarray]:
        """Returns dataset -> up vector of its world, unit float64 ``[3]``, where it has one."""
        result = {}
        for name, part in self.dataset.parts.items():
            up = np.array(part.get("world_up") or (0, 0, 0), np.float64)
            if up.shape == (3,) and np.linalg.norm(up) > 0:
                result[name] = up / np.linalg.norm(up)
        return result

    def world_up(self) -> np.ndarray | None:
        """Returns the up vector of the world; None where datasets in it have different ones."""
        found = {tuple(up.tolist()) for up in self.ups().values()}
        alike = len(found) == 1 and len(self.ups()) == len(self.dataset.parts)
        return np.array(found.pop()) if alike else None


def open_build(name: str) -> Build:
    """Opens what a report is to be written of.

    Args:
        name: A dataset, ``NAME@VARIANT``, a mix, an import or a subset.
    """
    found = named(name)
    return Build(name, found.open(), _manifest(found), found.spec, paths.work_dir(name))


def _manifest(found: Named) -> dict[str, Any]:
    if found.path.suffix == ".pkl":
        return read_object(mix_manifest_path(found.path)) or {}
    try:
        reading.open_archive(found.path)["manifest.json"]
    except KeyError:  # an archive of the original has none
        return {}
    manifest = reading.read_manifest(found.path)
    return manifest if isinstance(manifest, dict) else {}


def viewer_link(name: str, split: str, image_path: str) -> str:
    """Returns the address of an example in the viewer, which must be running.

    >>> viewer_link("gym", "train", "gym/a b/1.jpg")
    'http://127.0.0.1:8765/#/gym/train/gym/a%20b/1.jpg'
    """
    return f"{VIEWER}/#/{quote(name)}/{split}/{quote(image_path)}"

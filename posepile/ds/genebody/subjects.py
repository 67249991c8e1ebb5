"""Who is in GeneBody, and the files of each performer."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import rlemasklib

from posepile.bodies.models import find_body_model, models_below
from posepile.errors import UsageError, WorkError
from posepile.files import names_in
from posepile.formats.arrays import read_npy
from posepile.formats.folders import files_by_number
from posepile.formats.yaml_files import read_yaml
from posepile.imaging.masks import read_label_image
from posepile.recipe import chosen_subjects

if TYPE_CHECKING:
    from posepile.ds.genebody.main import Options

PARTS = {"train": "GeneBody-Train40", "test": "GeneBody-Test10"}
SPLIT_FILE = "genebody_split.npy"
DARK = 10  # a picture whose person is on average at most this bright is a failed exposure


@lru_cache(maxsize=64)
def read_mask(path: Path) -> dict:
    """Returns the matte thresholded above 127, as RLE."""
    return rlemasklib.encode(read_label_image(path)[..., 0] > 127)


@dataclass(frozen=True)
class View:
    """Images and masks of a performer in one view, by frame; masks are read when asked for."""

    images: dict[int, Path]
    masks: dict[int, Path]

    def mask(self, frame: int) -> dict | None:
        """Returns the RLE mask of a frame."""
        return read_mask(self.masks[frame]) if frame in self.masks else None

    def box(self, frame: int) -> np.ndarray:
        """Returns the box ``[4]`` of the mask of a frame."""
        return np.asarray(rlemasklib.to_bbox(self.mask(frame)), np.float32)

    def unusable(self, frame: int) -> str | None:
        """Returns why a frame gives no example in this view, or None."""
        if frame not in self.images:
            return "no image in this view"
        if frame not in self.masks:
            return "no mask in this view"
        if rlemasklib.area(self.mask(frame)) == 0:
            return "empty mask"
        return "black image" if self.is_black(frame) else None

    def is_black(self, frame: int) -> bool:
        """Returns whether nothing is seen of the person; decided at an eighth of the size."""
        small = cv2.imread(str(self.images[frame]), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if small is None:
            return False  # unreadable: that is for the reader of frames to say
        mask = rlemasklib.decode(self.mask(frame))
        person = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
        return bool(small[person].mean() <= DARK) if person.any() else False


@dataclass(frozen=True)
class Performer:
    """A performer's files, and what to read them with.

    Attributes:
        folder: Holds annots.npy and the folders image, mask, param and smpl.
        split: ``train`` or ``test``.
        gender: Of the body model that the fits were made with.
        models_root: Folder of the body models; None = where smplfitter looks.
        model: The SMPL-X file, None if it is not on disk.
        joints: Where joints come from: ``model``, ``keypoints`` or ``none``.
    """

    folder: Path
    split: str
    gender: str
    models_root: Path | None
    model: Path | None
    joints: str

    @cached_property
    def views(self) -> dict[str, View]:
        """Views by name: only the disk says which there are."""
        return {
            f.name: View(
                files_by_number(f, r"(\d+)\.jpg"),
                files_by_number(self.folder / "mask" / f.name, r"mask(\d+)\.png"),
            )
            for f in sorted(self.folder.glob("image/[0-9][0-9]"))
            if f.is_dir()
        }

    @cached_property
    def params(self) -> dict[int, Path]:
        """Parameter files by frame."""
        return files_by_number(self.folder / "param", r"(\d+)\.npy")

    @cached_property
    def frames(self) -> list[int]:
        """Frames with parameters, image and mask in some view; the same for all: they select."""
        seen = set().union(*(v.images.keys() & v.masks.keys() for v in self.views.values()))
        return [f for f in self.params if f in seen]

    @cached_property
    def meshes(self) -> dict[int, Path]:
        """Published meshes of these frames, if they can be recomputed."""
        meshes = files_by_number(self.folder / "smpl", r"(\d+)\.obj")
        return {f: meshes[f] for f in self.frames if f in meshes and can_forward(self.model)}


def find_gaps(who: Performer) -> Iterator[str]:
    """Yields what is missing or odd among a performer's files, one line each."""
    if not who.params:
        yield f"{who.folder / 'param'}: no parameter files, so nothing can be used"
    for name, view in who.views.items():
        for kind, files in (("image", view.images), ("mask", view.masks)):
            folder = who.folder / kind / name
            for odd in sorted(names_in(folder) - {file.name for file in files.values()}):
                if not odd.startswith("."):
                    yield f"{who.folder.name}/{name}: unexpected file {odd}"
            if n := len(set(who.frames) - set(files)):
                yield (
                    f"{folder}: {n} of {len(who.frames)} frames with parameters have no {kind}; "
                    "they are left out in this view"
                )


def list_performers(root: Path, options: Options) -> list[Performer]:
    """Returns the performers to pack, in order of the split file.

    Raises:
        WorkError: A performer of the split file has no folder.
        UsageError: ``dataset.subjects`` names somebody who is in no split that is packed.
    """
    places = [root / part / SPLIT_FILE for part in PARTS.values()]
    path = next((p for p in places if SPLIT_FILE in names_in(p.parent)), places[0])
    split = read_npy(path, {"train": [str], "test": [str]}, hint=f"put {SPLIT_FILE} there")
    names = {
        name: part for part in ("train", "test")[: 1 + options.test10] for name in split[part]
    }
    chosen = chosen_subjects(options.subjects, names)
    there = {part: names_in(root / folder) for part, folder in PARTS.items()}
    found = [(part, name) for name, part in names.items() if name in chosen]
    missing = [root / PARTS[part] / name for part, name in found if name not in there[part]]
    if missing:
        raise WorkError(
            f"{missing[0]}: folder is missing ({len(missing)} of {len(found)} performers are); "
            "extract their archives there, or set dataset.subjects to those you have"
        )
    return [find_performer(root, part, name, options) for part, name in found]


def find_performer(root: Path, split: str, name: str, options: Options) -> Performer:
    """Returns one performer of a split, with what options and disk allow."""
    gender = read_genders().get(name) if options.gender == "map" else options.gender
    if gender is None:
        raise UsageError(
            f"{name} is not in genders.yaml of posepile/ds/genebody; add the name, or set "
            "dataset.gender"
        )
    models = models_below(root) if options.body_models is None else Path(options.body_models)
    model, joints = find_body_model("smplx", gender, models_root=models), options.joints
    if joints == "auto":
        joints = "model" if can_forward(model) else "keypoints"
    elif joints == "model" and not can_forward(model):
        missing = "smplfitter is not installed" if model else "the SMPL-X file is not on disk"
        raise UsageError(
            f"dataset.joints=model, but {missing}; see posepile plan genebody, or use "
            "dataset.joints=auto"
        )
    return Performer(root / PARTS[split] / name, split, gender, models, model, joints)


def can_forward(model: Path | None) -> bool:
    """Returns whether joints and meshes can be computed with a model file."""
    return model is not None and importlib.util.find_spec("smplfitter") is not None


@cache
def read_genders() -> dict[str, str]:
    """Returns the gender of every performer."""
    file = Path(__file__).with_name("genders.yaml")
    table = read_yaml(file, dict[Literal["male", "female"], list[str]])
    return {name: gender for gender, names in table.items() for name in names}

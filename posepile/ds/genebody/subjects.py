"""Who is in GeneBody, what a user can choose, and the files of each performer."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.bodies.models import find_body_model, models_below
from posepile.errors import UsageError, WorkError
from posepile.files import names_in
from posepile.formats.arrays import read_npy
from posepile.formats.folders import files_by_number
from posepile.formats.keys import by_key
from posepile.formats.yaml_files import read_yaml
from posepile.imaging.masks import MaskedStills, person_rule
from posepile.recipe import CHOOSES_UNITS, chosen_subjects

PARTS, SPLIT_FILE = {"train": "GeneBody-Train40", "test": "GeneBody-Test10"}, "genebody_split.npy"
N_MESHES = 10  # compared with the parameters, spread over the sequence


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Only these performers; None = all of the split file.
        test10: Also pack the Test10 performers, as split ``test``.
        joints: Where world joints come from: ``model`` (SMPL-X forward pass), ``keypoints``
            (those stored in the parameter files), ``auto`` (the first of these that is possible)
            or ``none`` (parameters only; needs ``select.method: none``).
        body_models: Folder that holds ``smplx/SMPLX_MALE.npz`` and so on; None = ``body_models``
            in the raw folder, else the places smplfitter looks in.
        gender: ``map``: per performer; or one body model for all.
        hand_mean: ``add`` the model's mean hand to the stored hand poses, or ``none``.
        max_mesh_error_mm: Largest tolerated vertex distance between recomputed and published mesh.
        max_keypoints_mm: Largest tolerated mean distance between the model's joints and the stored
            key points.
        max_outside_mask: Largest tolerated share of body joints projecting outside the mask.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    test10: bool = Field(False, json_schema_extra=CHOOSES_UNITS)
    joints: Literal["auto", "model", "keypoints", "none"] = "auto"
    body_models: str | None = None
    gender: Literal["map", "male", "female", "neutral"] = "map"
    hand_mean: Literal["add", "none"] = "add"
    max_mesh_error_mm: float = Field(5.0, gt=0)
    max_keypoints_mm: float = Field(50.0, gt=0)
    max_outside_mask: float = Field(0.4, ge=0, le=1)

    @field_validator("max_outside_mask")
    @classmethod
    def _used(cls, value: float, info: ValidationInfo) -> float:
        default = cls.model_fields["max_outside_mask"].default
        if info.data.get("joints") == "none" and value != default:
            raise ValueError("has no effect with joints: none")
        return value


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
    def views(self) -> dict[str, MaskedStills]:
        """Images and masks by view: only the disk says which there are."""
        found = {}
        for folder in sorted(self.folder.glob("image/[0-9][0-9]")):
            if folder.is_dir():
                images = files_by_number(folder, r"(\d+)\.jpg")
                masks = files_by_number(self.folder / "mask" / folder.name, r"mask(\d+)\.png")
                found[folder.name] = MaskedStills(images, masks, person_rule("value > 127"))
        return found

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
        """Published meshes to compare: of some of these frames, if they can be recomputed."""
        meshes = files_by_number(self.folder / "smpl", r"(\d+)\.obj")
        there = [f for f in self.frames if f in meshes and can_forward(self.model)]
        return {f: meshes[f] for f in there[:: 1 + len(there) // N_MESHES]}


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
    parts = ("train", "test") if options.test10 else ("train",)
    places = [root / part / SPLIT_FILE for part in PARTS.values()]
    path = next((p for p in places if SPLIT_FILE in names_in(p.parent)), places[0])
    split = read_npy(path, {"train": [str], "test": [str]}, hint=f"put {SPLIT_FILE} there")
    listed = ((n, f"{part}[{i}]", part) for part in parts for i, n in enumerate(split[part]))
    known = by_key(listed, path, "performer")
    chosen = chosen_subjects(options.subjects, known)
    found = [(part, name) for name, part in known.items() if name in chosen]
    there = {part: names_in(root / PARTS[part]) for part in parts}
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
    models = models_below(root, options.body_models)
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

"""COCO key points: people in web photographs, 17 joints in the image plane, no cameras.

See README.md. One unit is some hundred photographs of one phase (train or val) in order of
image id; frame ``i`` of a unit is its i-th photograph. The person index is the rank of the
person's annotation within the photograph, counting also those that are left out, so that names do
not change with the options.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.derived import Pieces
from posepile.joint_info import JointInfo
from posepile.models.boxes import iou_matrix
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes.coco import (
    CROWD,
    UNLABELLED,
    coco_pieces,
    coco_sequence,
    coco_units,
    joint_coords,
)

SPEC = DatasetSpec(
    name="coco",
    joint_info=JointInfo(
        "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "rsho-relb-rwri,rhip-rkne-rank,nose-reye-rear",
    ),
    image_dir="coco_downscaled",
    kind="2d",
    citation="lin2014coco: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014",
    licence="annotations CC BY 4.0, photographs under their Flickr licences",
)

IMAGES_PER_UNIT = 400
JOINT_BOX_FACTOR = 1.25  # enlargement of the joints' box before its size is judged
FEW_VISIBLE = "fewer visible joints than dataset.visible_share asks for"
FEW_LABELLED = "fewer labelled joints than dataset.labelled_share asks for"
SMALL = "box of the joints smaller than dataset.min_size"
OVERLAPPING = "box overlaps another person's (dataset.people: single)"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        year: 2017 or 2014: the same photographs, divided differently into train and val.
        phases: ``present``: those whose photographs are in place; ``train``, ``val`` or
            ``trainval``: these, which must be there.
        people: ``multi``: everyone who passes the tests; ``single``: in addition the box must not
            overlap another person's.
        max_overlap: IoU that counts as overlapping.
        visible_share: At least this share of the 17 joints must be visible.
        labelled_share: At least this share must be labelled (visible or hidden).
        min_size: Longer side of the box of the labelled joints, enlarged by 1.25, in pixels.
    """

    model_config = ConfigDict(extra="forbid")

    year: Literal[2014, 2017] = 2017
    phases: Literal["present", "train", "val", "trainval"] = Field(
        "present", json_schema_extra=CHOOSES_UNITS
    )
    people: Literal["multi", "single"] = "multi"
    max_overlap: float = Field(0.1, gt=0, le=1)
    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)
    min_size: float = Field(200.0, ge=0)

    @field_validator("max_overlap")
    @classmethod
    def _used(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("people") == "multi" and value != cls.model_fields["max_overlap"].default:
            raise ValueError("has no effect with people: multi")
        return value


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some hundred photographs with labelled people, in order of image id."""
    for split in present_phases(root, options):
        phase = f"{split}{options.year}"
        source = annotation_file(root, phase)
        yield from coco_units(
            pieces(root, phase), phase, split, source, partial(photo, root, phase)
        )


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a unit's photographs who pass the tests."""
    phase = unit.id.split("/")[0]
    piece = pieces(root, phase).read(unit.args["piece"])
    return [
        coco_sequence(
            unit,
            piece,
            partial(photo, root, phase),
            lambda name, person: f"{phase}/{Path(name).stem}_{person:02d}.jpg",
            partial(why_not, options=options),
        )
    ]


def annotation_file(root: Path, phase: str) -> Path:
    """Returns where the key points of a phase such as ``val2017`` lie."""
    return root / "annotations" / f"person_keypoints_{phase}.json"


def photo(root: Path, phase: str, name: str) -> Path:
    """Returns where a photograph lies."""
    return root / phase / name


def pieces(root: Path, phase: str) -> Pieces:
    """Returns the pieces of a phase's annotations, cut if need be."""
    return coco_pieces(
        annotation_file(root, phase),
        root.parent / f"{root.name}_work" / "annotations",
        SPEC.joint_info.n_joints,
        per_piece=IMAGES_PER_UNIT,
        hint="it comes with annotations_trainval<year>.zip",
    )


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Reason to leave a person out, None to keep them."""
    if person["iscrowd"]:
        return CROWD
    visibility = np.array(person["keypoints"][2::3])
    if not visibility.any():
        return UNLABELLED
    if (visibility == 2).mean() < options.visible_share - 1e-9:
        return FEW_VISIBLE
    if (visibility > 0).mean() < options.labelled_share - 1e-9:
        return FEW_LABELLED
    joints = joint_coords(person)
    extent = np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0)
    if extent.max() * JOINT_BOX_FACTOR < options.min_size:
        return SMALL
    if options.people == "single":
        boxes = np.array([other["bbox"] for other in others], np.float64).reshape(-1, 4)
        overlap = iou_matrix(np.array([person["bbox"]]), boxes)
        if (overlap >= options.max_overlap).any():
            return OVERLAPPING
    return None


def present_phases(root: Path, options: Options) -> list[str]:
    """Returns the phases to read; what is asked for by name must be there."""
    wanted = [s for s in ("train", "val") if s in options.phases or options.phases == "present"]
    there = names_in(root)
    found = [split for split in wanted if f"{split}{options.year}" in there]
    if options.phases != "present" and len(found) < len(wanted):
        missing = next(s for s in wanted if s not in found)
        raise CorruptInput(
            root / f"{missing}{options.year}",
            "folder is missing",
            hint=f"posepile step coco download --parts {missing}{options.year}",
        )
    if not found:
        raise CorruptInput(
            root,
            f"holds neither train{options.year} nor val{options.year}",
            hint="posepile plan coco shows what to fetch",
        )
    return found


def calibrate(root: Path, options: Options) -> list[str]:
    """Cuts the annotation files into pieces; says what is there and what is not."""
    lines = []
    found = present_phases(root, options)
    for split in ("train", "val"):
        phase = f"{split}{options.year}"
        if split in found:
            units = pieces(root, phase)
            n = sum(len(units.read(name)["images"]) for name in units.index())
            lines.append(
                f"{phase}: {n} photographs with labelled people, {len(units.index())} units"
            )
        else:
            lines.append(f"{phase}: left out (posepile step coco download --parts {phase})")
    return lines

"""COCO key points: people in web photographs, 17 joints in the image plane, no cameras.

See README.md. One unit is some hundred photographs of one phase (train or val) in order of
image id; frame ``i`` of a unit is its i-th photograph. The person index is the rank of the
person's annotation within the photograph, counting also those that are left out, so that names do
not change with the options.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.geometry.pictures import box_of_points
from posepile.joint_info import JointInfo
from posepile.models.boxes import iou_matrix
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes.coco import (
    CocoFile,
    coco_sequence,
    coco_units,
    joint_coords,
    malformed_lines,
    read_pieces,
    too_few_joints,
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

# Taken without: who has no box needs a detector, who has no mask a segmenter.
OPTIONAL = ("iscrowd", "segmentation", "bbox", "keypoints")
JOINT_BOX_FACTOR = 1.25  # enlargement of the joints' box before its size is judged
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


def source(root: Path, phase: str) -> CocoFile:
    """Returns the annotation file of a phase such as ``val2017``."""
    return CocoFile(
        root / "annotations" / f"person_keypoints_{phase}.json",
        root / phase,
        optional=OPTIONAL,
        hint="it comes with annotations_trainval<year>.zip",
    )


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some hundred photographs with labelled people, in order of image id."""
    for split in present_phases(root, options):
        phase = f"{split}{options.year}"
        yield from coco_units(source(root, phase), root, phase, split)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a unit's photographs who pass the tests."""
    phase, _ = unit.id.split("/")

    def rule(person: dict, others: list[dict]) -> str | None:
        return why_not(person, others, options)

    return [coco_sequence(source(root, phase), root, unit, rule)]


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    reason = too_few_joints(person, options.visible_share, options.labelled_share)
    if reason:
        return reason
    joints = joint_coords(person)
    extent = np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0)
    if extent.max() * JOINT_BOX_FACTOR < options.min_size:
        return SMALL
    if options.people == "single":
        own, *boxes = map(box_of, (person, *others))
        boxes = [box for box in boxes if box is not None]
        if own is not None and boxes:
            if (iou_matrix(own[None], np.stack(boxes)) >= options.max_overlap).any():
                return OVERLAPPING
    return None


def box_of(person: dict) -> np.ndarray | None:
    """Returns the annotated box, else that of the joints; None if nothing is known."""
    if person["bbox"] is not None:
        return np.array(person["bbox"], np.float64)
    box = box_of_points(joint_coords(person))
    return box if np.isfinite(box).all() else None


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
            units = read_pieces(source(root, phase), root)
            n = sum(len(unit["images"]) for unit in units)
            lines.append(f"{phase}: {n} photographs with labelled people, {len(units)} units")
            lines += [f"{phase}: {line}" for line in malformed_lines(units)]
        else:
            lines.append(f"{phase}: left out (posepile step coco download --parts {phase})")
    return lines

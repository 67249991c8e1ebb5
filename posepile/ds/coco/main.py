"""COCO key points: people in web photographs, 17 joints in the image plane, no cameras.

See README.md. One unit is some hundred photographs of one phase (train or val) in order of
image id; frame ``i`` of a unit is its i-th photograph. The person index is the rank of the
person's annotation within the photograph, counting also those that are left out, so that names do
not change with the options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.geometry.pictures import box_of_points
from posepile.joint_info import JointInfo
from posepile.models.boxes import iou_matrix
from posepile.recipe import CHOOSES_UNITS, DatasetSpec
from posepile.shapes.coco import coco_recipe, joint_coords, too_few_joints, too_small
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import check_labels

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
OVERLAPPING = "box overlaps another person's (dataset.people: single)"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        year: 2017 or 2014: the same photographs, divided differently into train and val.
        phases: Such as ``val2017``: these, which must be there; None = those in place.
        people: ``multi``: everyone who passes the tests; ``single``: in addition the box must not
            overlap anybody else's.
        max_overlap: With ``single``: largest IoU with another person's box.
        visible_share: At least this share of the joints must be visible.
        labelled_share: At least this share must be labelled (visible or hidden).
        min_size: Smallest longer side of the joints' box (1.25 times enlarged), in pixels.
        max_beyond: Largest share of a unit's joints and boxes beyond the border of the picture.
    """

    model_config = ConfigDict(extra="forbid")

    year: Literal[2014, 2017] = 2017
    phases: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    people: Literal["multi", "single"] = "multi"
    max_overlap: float = Field(0.1, gt=0, le=1)
    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)
    min_size: float = Field(200.0, ge=0)
    max_beyond: float = Field(0.02, ge=0, le=1)

    @field_validator("max_overlap")
    @classmethod
    def _used(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("people") == "multi" and value != cls.model_fields["max_overlap"].default:
            raise ValueError("has no effect with people: multi")
        return value


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation files of the year, by phase such as ``val2017``."""
    hint = "it comes with annotations_trainval<year>.zip"
    return {
        f"{split}{options.year}": (
            CocoFile(
                root / "annotations" / f"person_keypoints_{split}{options.year}.json",
                root / f"{split}{options.year}",
                optional=OPTIONAL,
                hint=hint,
            ),
            split,
        )
        for split in ("train", "val")
    }


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    reason = too_few_joints(person, options.visible_share, options.labelled_share)
    reason = reason or too_small(person, options.min_size)
    if reason or options.people == "multi":
        return reason
    own, *boxes = map(box_of, (person, *others))
    boxes = [box for box in boxes if box is not None]
    if own is None or not boxes:
        return None
    overlap = (iou_matrix(own[None], np.stack(boxes)) >= options.max_overlap).any()
    return OVERLAPPING if overlap else None


def box_of(person: dict) -> np.ndarray | None:
    """Returns the annotated box, else that of the joints; None if nothing is known."""
    if person["bbox"] is not None:
        return np.array(person["bbox"], np.float64)
    box = box_of_points(joint_coords(person))
    return box.astype(np.float64) if np.isfinite(box).all() else None


list_units, load_unit, calibrate = coco_recipe(files, why_not, check_labels)

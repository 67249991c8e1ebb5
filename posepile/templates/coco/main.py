"""newdata: what it is, in one sentence. Pictures with key points in the image, no cameras.

See README.md. One unit is some hundred pictures of a split in order of image id. The person index
is the rank of a person's annotation in the picture, counting also those that are left out, so that
names do not change with the options.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile.files import names_in
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Unit
from posepile.shapes.coco import CocoFile, coco_sequence, coco_units, too_few_joints

# Facts. Joint names have an l or r in front where there are two of them; edges are mirrored.
SPEC = DatasetSpec(
    name="newdata",
    joint_info=JointInfo(
        "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "lsho-lelb-lwri,lhip-lkne-lank,nose-leye-lear",
    ),
    image_dir="newdata_downscaled",
    kind="2d",
    citation="newdata: who is to be cited",
    licence="not stated",
)
SPLITS = ("train", "val", "test")  # <split>.json; not all of them have to be there
OPTIONAL = ("iscrowd", "segmentation", "bbox")  # keys that annotations may lack


class Options(BaseModel):
    """Keys below ``dataset:`` in config.yaml.

    Attributes:
        visible_share: At least this share of the joints must be visible.
        labelled_share: At least this share must be labelled (visible or hidden).
    """

    model_config = ConfigDict(extra="forbid")

    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)


def source(root: Path, split: str) -> CocoFile:
    """Returns the annotation file of a split."""
    n_joints = SPEC.joint_info.n_joints
    return CocoFile(root / f"{split}.json", root / split, n_joints, optional=OPTIONAL)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some hundred pictures of the splits that are there."""
    there = names_in(root)
    for split in SPLITS:
        if f"{split}.json" in there:
            yield from coco_units(source(root, split), root, split, split)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a unit's pictures who pass the test."""

    def why_not(person: dict, others: list[dict]) -> str | None:
        return too_few_joints(person, options.visible_share, options.labelled_share)

    return [coco_sequence(source(root, unit.split), root, unit, why_not)]

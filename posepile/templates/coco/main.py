"""newdata: what it is, in one sentence. Pictures with key points in the image, no cameras.

See README.md. One unit is some hundred pictures of a split in order of image id. The person index
is the rank of a person's annotation in the picture, counting also those that are left out, so that
names do not change with the options.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.shapes.coco import coco_recipe, too_few_joints
from posepile.shapes.coco_files import CocoFile

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
SPLITS = ("train", "val", "test")  # <split>.json and a folder; not all have to be there
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


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation file of each split; one without a folder of pictures is left out."""
    n_joints = SPEC.joint_info.n_joints
    return {
        split: (
            CocoFile(root / f"{split}.json", root / split, n_joints, optional=OPTIONAL),
            split,
        )
        for split in SPLITS
    }


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    return too_few_joints(person, options.visible_share, options.labelled_share)


list_units, load_unit, calibrate = coco_recipe(files, why_not)

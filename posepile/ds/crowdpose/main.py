"""CrowdPose: overlapping people in web photographs, 14 joints in the image plane, no cameras.

See README.md. One unit is some hundred photographs of a split in order of image id. A person's
index is the id of their annotation. Sizes are those of the photographs: in the original files of
train and test, width and height are exchanged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence
from posepile.shapes.coco import FEW_LABELLED, coco_recipe, joint_coords
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import check_inside, first_there, note_share, people_of

SPEC = DatasetSpec(
    name="crowdpose",
    joint_info=JointInfo(
        "lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank,htop,neck",
        "htop-neck-rsho-relb-rwri,neck-rhip-rkne-rank",
    ),
    image_dir="crowdpose_downscaled",
    kind="2d",
    citation="li2019crowdpose: Li et al., CrowdPose: Efficient Crowded Scenes Pose Estimation and "
    "A New Benchmark, CVPR 2019",
    licence="not stated; photographs of COCO, MPII and AI Challenger under their terms",
)

LIMBS = 12  # the joints before head and neck
KEY_POINTS = (
    "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip "
    "right_hip left_knee right_knee left_ankle right_ankle head|top_head neck"
)
FEW_LIMBS = "fewer labelled joints of arms and legs than asked for"
FEW_OWN = "fewer joints near the box than asked for"
LEFT_OUT = "photograph is in dataset.without"
PLACES = "annotations/mmpose_crowdpose_{}.json", "json/crowdpose_{}.json"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        phases: Of ``train``, ``val``, ``test``: these, which must be there; None = those in place.
        min_labelled: So many of the 14 joints must be labelled.
        min_limbs: So many of the 12 joints of arms and legs.
        max_stray: Joints are dropped that lie farther outside the box than this share of its side:
            they are somebody else's. Enough others must be left.
        max_strays: Largest share of the joints of a unit that are dropped so.
        without: Numbers of photographs nobody is taken from.
        max_beyond: Largest share of joints and boxes of a unit beyond the border.
    """

    model_config = ConfigDict(extra="forbid")

    phases: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    min_labelled: int = Field(7, ge=0, le=14)
    min_limbs: int = Field(7, ge=0, le=LIMBS)
    max_stray: float = Field(0.25, ge=0)
    max_strays: float = Field(0.2, ge=0, le=1)
    without: list[int] = [105273]
    max_beyond: float = Field(0.02, ge=0, le=1)


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation files, the corrected ones where there are both."""
    return {
        split: (
            CocoFile(
                first_there(root / place.format(split) for place in PLACES),
                root / "images",
                n_joints=14,
                optional=("iscrowd", "segmentation", "bbox", "keypoints"),
                key_points=tuple(KEY_POINTS.split()),
                more=("image_id",),
                sizes_of_files="exchanged",
                hint="posepile plan crowdpose says where it comes from",
            ),
            split,
        )
        for split in ("train", "val", "test")
    }


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    labelled = np.array(person["keypoints"][2::3]) > 0  # 1 and 2 were given at random
    if person["image_id"] in options.without:
        return LEFT_OUT
    if labelled.sum() < options.min_labelled:
        return FEW_LABELLED
    if labelled[:LIMBS].sum() < options.min_limbs:
        return FEW_LIMBS
    box = [np.nan] * 4 if person["bbox"] is None else person["bbox"]
    own = labelled & ~are_strays(joint_coords(person, 14), np.array(box), options.max_stray)
    is_enough = own.sum() >= options.min_labelled and own[:LIMBS].sum() >= options.min_limbs
    return None if is_enough else FEW_OWN


def are_strays(joints: np.ndarray, box: np.ndarray, share: float) -> np.ndarray:
    """Returns which joints lie farther outside the box than that share of its side."""
    distance = np.abs(joints - box[:2] - box[2:] / 2)
    return (distance > box[2:] * (0.5 + share)).any(axis=-1)  # never where anything is NaN


def check(sequence: Sequence, path: Path, options: Options) -> Sequence:
    """Makes sure that the labels are of these photographs and boxes; drops stray joints."""
    check_inside(sequence, path, options.max_beyond)
    strays = []
    for _, joints, box in people_of(sequence):
        stray, labelled = are_strays(joints, box, options.max_stray), np.isfinite(joints[:, 0])
        strays.extend(stray[labelled])
        joints[stray] = np.nan
    what, option = "of the joints far outside the boxes", "max_strays"
    return note_share(sequence, path, option[4:], strays, options.max_strays, what, option)


list_units, load_unit, calibrate = coco_recipe(files, why_not, check, index="id")

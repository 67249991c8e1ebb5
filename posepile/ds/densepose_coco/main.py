"""DensePose-COCO: points in photographs of COCO 2014 with their places on the surface of SMPL.

See README.md. One unit is some hundred photographs of one annotation file in order of image id;
frame ``i`` of a unit is its i-th photograph. The person index is the rank of the person's
annotation within the photograph; crops are named by the annotation's id.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec
from posepile.shapes.coco import too_few_joints
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import first_there
from posepile.shapes.dense import FIELDS, OPTIONAL, DenseOptions, dense_recipe

SPEC = DatasetSpec(
    name="densepose_coco",
    joint_info=JointInfo(
        "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "rsho-relb-rwri,rhip-rkne-rank,nose-reye-rear",
    ),
    image_dir="densepose_coco_downscaled",
    kind="2d",
    citation="guler2018densepose: Gueler et al., DensePose: Dense Human Pose Estimation In The "
    "Wild, CVPR 2018",
    licence="annotations CC BY-NC (as DensePose), photographs under their Flickr licences",
)

LIMBS = slice(5, 17)  # shoulders to ankles
FEW_LIMBS = "fewer joints of the limbs than dataset.min_limb_joints"
# Annotation file -> names it goes by, folder of its photographs, split.
PHASES = {
    "train": ("densepose_coco_2014_train", "densepose_train2014", "train2014", "train"),
    "valminusminival": (
        "densepose_coco_2014_valminusminival", "densepose_valminusminival2014", "val2014", "train",
    ),
    "minival": ("densepose_coco_2014_minival", "densepose_minival2014", "val2014", "val"),
}  # fmt: skip


class Options(DenseOptions):
    """Keys below ``dataset:``, beside those of :class:`DenseOptions`.

    Attributes:
        phases: Of ``train``, ``valminusminival`` (both for training) and ``minival``: these, which
            must be there; None = those in place.
        visible_share: At least this share of the 17 joints must be visible.
        labelled_share: At least this share must be labelled (visible or hidden).
        min_limb_joints: At least so many of the 12 joints from shoulders to ankles.
    """

    phases: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)
    min_limb_joints: int = Field(7, ge=0, le=12)


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation files, which go by an older and a newer name."""
    found = {}
    for phase, (older, newer, folder, split) in PHASES.items():
        labels = (f"DensePose_COCO/{older}.json", f"annotations/coco/{newer}.json")
        # The photographs are those of COCO, which others use as well.
        photographs = (folder, f"coco/{folder}", f"../coco/{folder}")
        source = CocoFile(
            first_there(root / place for place in labels),
            first_there(root / place for place in photographs),
            optional=OPTIONAL,
            more=FIELDS,
            hint="posepile plan densepose_coco shows what to fetch",
        )
        found[phase] = source, split
    return found


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave somebody with dense points out, None to keep them."""
    if reason := too_few_joints(person, options.visible_share, options.labelled_share):
        return reason
    n_limbs = np.count_nonzero(person["keypoints"][2::3][LIMBS])
    return FEW_LIMBS if n_limbs < options.min_limb_joints else None


list_units, load_unit, calibrate = dense_recipe(files, why_not)

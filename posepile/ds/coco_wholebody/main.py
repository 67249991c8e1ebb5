"""COCO-WholeBody: people in COCO's photographs with 133 joints: body, feet, face and hands.

See README.md. The photographs are those of COCO 2017. One unit is some hundred of them of one
phase in order of image id. A person's index is the rank of their annotation in the photograph.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence
from posepile.shapes.coco import coco_recipe, too_few_joints, too_small
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import check_inside, first_there
from posepile.shapes.faces_hands import FACE, HANDS, check_sides, face_and_hand_edges

BODY = "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank"
FEET = "ltoe,ltoe2,lhee,rtoe,rtoe2,rhee"  # big toe, small toe, heel
PARTS = (
    ("foot_kpts", "foot_valid", 6),
    ("face_kpts", "face_valid", 68),
    ("lefthand_kpts", "lefthand_valid", 21),
    ("righthand_kpts", "righthand_valid", 21),
)
JOINTS = JointInfo(
    [*BODY.split(","), *FEET.split(","), *FACE, *HANDS],
    "rsho-relb-rwri,rhip-rkne-rank-rhee-rtoe,rhee-rtoe2,nose-reye-rear",
)
JOINTS.add_edges(face_and_hand_edges(23))
FOLDERS = ".", "annotations", "coco/annotations", "../coco/annotations"
SPEC = DatasetSpec(
    name="coco_wholebody",
    joint_info=JOINTS,
    image_dir="coco_wb_downscaled",
    kind="2d",
    citation="jin2020whole: Jin et al., Whole-Body Human Pose Estimation in the Wild, ECCV 2020",
    licence="annotations CC BY-NC 4.0; photographs under their Flickr licences",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        phases: Of ``train2017``, ``val2017``: these, which must be there; None = those in place.
        visible_share: At least this share of the 17 joints of the body must be visible.
        labelled_share: At least this share of them must be labelled (visible or hidden).
        min_size: Smallest longer side of the box of all joints (1.25 times enlarged), in pixels.
        max_other_side: Largest share of the points of hands, feet, eyes or contours of a unit that
            are at the joint of the other side.
        max_beyond: Largest share of joints and boxes of a unit beyond the border.
    """

    model_config = ConfigDict(extra="forbid")

    phases: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)
    min_size: float = Field(200.0, ge=0)
    max_other_side: float = Field(0.25, ge=0, le=1)
    max_beyond: float = Field(0.02, ge=0, le=1)


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation files with the photographs, which may lie in COCO's folder."""
    found = {}
    for split in ("train", "val"):
        phase, name = f"{split}2017", f"coco_wholebody_{split}_v1.0.json"
        file = CocoFile(
            first_there(root / folder / name for folder in FOLDERS),
            first_there(p / phase for p in (root, root / "coco", root.parent / "coco")),
            n_joints=133,
            visibility=None,  # of faces and hands it may be any number
            optional=("iscrowd", "segmentation", "bbox"),
            parts=PARTS,
            hint="posepile plan coco_wholebody says where it comes from",
        )
        found[phase] = file, split
    return found


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    few = too_few_joints(person, options.visible_share, options.labelled_share, 17)
    return few or too_small(person, options.min_size)


def check(sequence: Sequence, path: Path, options: Options) -> Sequence:
    """Makes sure that labels are of these photographs, and all parts at their own side."""
    check_inside(sequence, path, options.max_beyond)
    return check_sides(sequence, path, JOINTS, options.max_other_side)


list_units, load_unit, calibrate = coco_recipe(files, why_not, check)

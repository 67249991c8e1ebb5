"""Halpe-FullBody: photographs of HICO-DET with 136 joints: body, feet, face and hands.

See README.md. One unit is some hundred photographs in order of image id. A person's index is the
rank of their annotation in the photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.formats.text_files import iter_json
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence
from posepile.shapes.coco import coco_recipe, joint_coords, too_few_joints
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import check_inside
from posepile.shapes.faces_hands import FACE, HANDS, check_sides, face_and_hand_edges

BODY = (
    "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank,"
    "htop,neck,pelv,ltoe,rtoe,ltoe2,rtoe2,lhee,rhee"
).split(",")
# The official pairs, as indices: they join both toes to the heel, not to each other.
CHAINS = (
    (3, 1, 0, 2, 4), (9, 7, 5, 18, 6, 8, 10), (17, 18, 19),
    (15, 13, 11, 19, 12, 14, 16), (20, 24, 22), (21, 25, 23), (15, 24), (16, 25),
)  # fmt: skip
SPEC = DatasetSpec(
    name="halpe",
    joint_info=JointInfo(
        [*BODY, *FACE, *HANDS],
        [*(e for chain in CHAINS for e in pairwise(chain)), *face_and_hand_edges(len(BODY))],
    ),
    image_dir="halpe_downscaled",
    kind="2d",
    citation="fang2022alphapose: Fang et al., AlphaPose: Whole-Body Regional Multi-Person Pose "
    "Estimation and Tracking in Real-Time, TPAMI 2022",
    licence="not stated; photographs of HICO-DET under their Flickr licences",
)
HINT = "posepile plan halpe says where it comes from"
SMALL_SIDE = "a side of the box or of the joints' box not above dataset.min_side"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        visible_share: At least this share of the 26 joints of the body must be visible.
        labelled_share: At least this share of them must be labelled (visible or hidden).
        min_side: Pixels; the sides of the box and of the joints' box must be longer.
        max_other_side: Largest share of the points of hands, feet, eyes or contours of a unit that
            are at the joint of the other side.
        max_beyond: Largest share of joints and boxes of a unit beyond the border.
    """

    model_config = ConfigDict(extra="forbid")

    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)
    min_side: float = Field(100.0, ge=0)
    max_other_side: float = Field(0.25, ge=0, le=1)
    max_beyond: float = Field(0.02, ge=0, le=1)


def read(path: Path, kind: str) -> Iterator[dict]:
    """Yields the entries of the file; what is not labelled although v is above 0 gets v = 0."""
    for entry in iter_json(path, f"{kind}.item", hint=HINT):
        if kind == "annotations" and isinstance(entry, dict):
            points = entry.get("keypoints")
            # Some have no list of them.
            entry["keypoints"] = without_origin(points) if isinstance(points, list) else []
        yield entry


def without_origin(points: list) -> list:
    """Returns x, y, v ... with v = 0 where x and y are 0."""
    return [
        0 if k % 3 == 2 and points[k - 2 : k] == [0, 0] else value
        for k, value in enumerate(points)
    ]


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation file. That of val is of COCO's photographs and not read."""
    file = CocoFile(
        root / "halpe_train_v1.json",
        root / "hico_20160224_det" / "images" / "train2015",
        n_joints=136,
        visibility=None,  # the official drawing takes what is above 0.6
        optional=("iscrowd", "segmentation", "bbox", "keypoints"),
        read=read,
        hint=HINT,
    )
    return {"train": (file, "train")}


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    few = too_few_joints(person, options.visible_share, options.labelled_share, len(BODY))
    joints = joint_coords(person, 136)
    sides = [*(np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0))]
    sides += person["bbox"][2:] if person["bbox"] is not None else []
    return few or (SMALL_SIDE if min(sides) <= options.min_side else None)


def image_name(path: Path, person: int) -> str:
    """Returns the name of a crop; folders are named by the end of the photograph's name."""
    return f"{path.stem[-2:]}/{path.stem}_{person:02d}.jpg"


def check(sequence: Sequence, path: Path, options: Options) -> Sequence:
    """Makes sure that labels are of these photographs, and all parts at their own side."""
    check_inside(sequence, path, options.max_beyond)
    return check_sides(sequence, path, SPEC.joint_info, options.max_other_side)


list_units, load_unit, calibrate = coco_recipe(files, why_not, check, image_name=image_name)

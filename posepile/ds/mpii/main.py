"""MPII Human Pose: people in frames of web videos, 16 key points, no cameras. See README.md.

A unit is some hundred pictures in the order of the MATLAB file, a person's index their rectangle.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.formats.matlab_files import items_of, numbers_of, read_mat, rows_of, structs_of
from posepile.formats.schema import Array
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.shapes.coco import coco_recipe
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import check_joints

SPEC = DatasetSpec(
    name="mpii",
    joint_info=JointInfo(
        "rank,rkne,rhip,lhip,lkne,lank,pelv,thor,neck,head,rwri,relb,rsho,lsho,lelb,lwri",
        "lsho-lelb-lwri,rsho-relb-rwri,lhip-lkne-lank,rhip-rkne-rank,neck-head,pelv-thor",
    ),
    image_dir="mpii_downscaled",
    kind="2d",
    citation="andriluka2014cvpr: Andriluka et al., 2D Human Pose Estimation: New Benchmark and "
    "State of the Art Analysis, CVPR 2014",
    licence="Simplified BSD (annotations), research",
)
MAT = "mpii_human_pose_v1_u12_1.mat"  # that name also in the archive u12_2
RELEASE = {"annolist": [{"image": {"name": str}, "annorect?": None}], "img_train": Array("n")}
RELEASE |= {"single_person": None}
ABSENT = ("002878268.jpg", "013401523.jpg", "040348287.jpg")  # from the published pictures
HINT = "it comes with mpii_human_pose_v1_u12_2.zip"
NOT_SINGLE = "not one of the picture's single people (dataset.people: single)"
NO_PICTURE = "picture is not in the published archive"
FEW = "fewer labelled joints than dataset.min_joints"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        people: ``matched``: everyone; ``single``: whom the authors call sufficiently separated.
        min_joints: So many must be labelled.
        max_beyond: Largest share of a unit's joints beyond the border of the picture.
    """

    model_config = ConfigDict(extra="forbid")

    people: Literal["matched", "single"] = "matched"
    min_joints: int = Field(7, ge=1, le=16)
    max_beyond: float = Field(0.02, ge=0, le=1)


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the one annotation file, of which the training pictures are read."""
    source = CocoFile(
        root / MAT,
        root / "images",
        n_joints=len(SPEC.joint_info.names),
        optional=("iscrowd", "segmentation", "bbox", "keypoints"),
        category=None,
        more=("single",),
        sizes_of_files=True,
        read=read_release,
        hint=HINT,
    )
    return {"train": (source, "train")}


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    if options.people == "single" and not person["single"]:
        return NOT_SINGLE
    return FEW if sum(v > 0 for v in person["keypoints"][2::3]) < options.min_joints else None


def read_release(path: Path, kind: str) -> Iterator[dict]:
    """Yields the training pictures, or the rectangles in them, in COCO's form.

    Ids are MATLAB's numbers: of the picture, and of the picture times 1000 plus the rectangle.
    """
    release = read_mat(path, {"RELEASE": RELEASE}, hint=HINT)["RELEASE"]
    for i, (picture, is_train, alone) in enumerate(rows_of(release, *RELEASE, path=path), 1):
        name = picture["image"]["name"]
        if kind == "images" and is_train == 1:
            yield {"id": i, "file_name": name, "fault": NO_PICTURE if name in ABSENT else None}
        elif is_train == 1:
            for k, rect in enumerate(structs_of(picture, "annorect"), 1):
                ids = {"id": 1000 * i + k, "image_id": i, "single": k in items_of(alone)}
                yield {**ids, **person_of(rect)}


def person_of(rect: dict) -> dict:
    """Returns key points and box of a rectangle; pixels from 0, while MATLAB's are from 1."""
    told = structs_of(rect, "annopoints", "point")
    points = [numbers_of(point, "id", "x", "y", "is_visible") for point in told]
    named = {j: (x - 1, y - 1, 2 if v == 1 else 1) for j, x, y, v in points}
    values = [value for j in range(16) for value in named.get(j, (0, 0, 0))]
    is_ours = len(named) == len(points) and named.keys() <= {*range(16)}
    # A joint twice, or none of ours, or nowhere is told as malformed.
    values = values if is_ours and np.isfinite(values).all() else [None]
    return {"keypoints": values if points else [], "bbox": square_of(rect)}


def square_of(rect: dict) -> list[float] | None:
    """Returns the square box of a person, as high as they are, a little below their place."""
    (scale,), place = numbers_of(rect, "scale"), (structs_of(rect, "objpos") or [{}])[0]
    side, (x, y) = 200 * scale, numbers_of(place, "x", "y")
    box = [x - 1 - side / 2, y - 1 + 0.075 * side - side / 2, side, side]
    return box if np.isfinite(box).all() and side > 0 else None


list_units, load_unit, calibrate = coco_recipe(files, why_not, check_joints)

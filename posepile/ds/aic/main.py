"""AI Challenger 2017: people in web photographs, 14 joints in the image plane, no cameras.

See README.md. The annotations come in two forms, of which the same is made: converted to COCO's,
and the original, whose visibilities mean something else. One unit is some hundred photographs in
order of image id. A person's index is their rank in the photograph, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from posepile.formats.text_files import iter_json
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.shapes.coco import coco_recipe, too_few_joints
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_masks import is_numbers
from posepile.shapes.coco_places import check_labels, first_there

SPEC = DatasetSpec(
    name="aic",
    joint_info=JointInfo(
        "rsho,relb,rwri,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank,head,neck",
        "rwri-relb-rsho-neck,rank-rkne-rhip-lhip,neck-head,rsho-rhip",
    ),
    image_dir="aic_downscaled",
    kind="2d",
    citation="wu2017aic: Wu et al., AI Challenger: A Large-scale Dataset for Going Deeper in "
    "Image Understanding, arXiv 1711.06475",
    licence="research",
)

KEY_POINTS = (
    "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
    "right_knee right_ankle left_hip left_knee left_ankle head_top neck"
)
ORIGINAL = "ai_challenger_keypoint_train_20170902"
VISIBILITY = {1: 2, 2: 1, 3: 0}  # of the original: visible, hidden, not there -> COCO's


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        visible_share: At least this share of the joints must be visible.
        labelled_share: At least this share must be labelled (visible or hidden).
        max_beyond: Largest share of the joints of a unit beyond the border of the photograph.
    """

    model_config = ConfigDict(extra="forbid")

    visible_share: float = Field(1 / 3, ge=0, le=1)
    labelled_share: float = Field(0.5, ge=0, le=1)
    max_beyond: float = Field(0.02, ge=0, le=1)


def read_original(path: Path, kind: str) -> Iterator[dict]:
    """Yields the images or annotations of a file of the original form as COCO has them."""
    number = 0
    for entry in iter_json(path, "item"):
        found = entry if isinstance(entry, dict) else {}
        id = found.get("image_id")
        if kind == "images":
            yield {"id": id, "file_name": f"{id}.jpg"}
            continue
        points, boxes = (found.get(f"{key}_annotations") for key in ("keypoint", "human"))
        points, boxes = (by if isinstance(by, dict) else {} for by in (points, boxes))
        for human in dict.fromkeys([*points, *boxes]):
            number += 1  # in the order of the file, as in the converted one
            yield {"id": number, "image_id": id, **_as_coco(points.get(human), boxes.get(human))}


def _as_coco(points: Any, box: Any) -> dict[str, Any]:
    """Key points and box of somebody; what is malformed is told by who checks the entries."""
    if is_numbers(points):
        points = [VISIBILITY.get(x, -1) if k % 3 == 2 else x for k, x in enumerate(points)]
    if is_numbers(box) and len(box) == 4:
        box = [*box[:2], box[2] - box[0], box[3] - box[1]]
    return {"keypoints": points, "bbox": box}


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation file, the converted one where there are both."""
    converted = root / "annotations" / "aic_train.json"
    original = root / ORIGINAL / "keypoint_train_annotations_20170902.json"
    path = first_there([converted, original])
    pictures = "train/images", f"{ORIGINAL}/keypoint_train_images_20170902"
    file = CocoFile(
        path,
        first_there(root / place for place in pictures),
        n_joints=14,
        optional=("iscrowd", "segmentation", "bbox"),
        key_points=tuple(KEY_POINTS.split()),
        category="person" if path == converted else None,
        sizes_of_files=path == original,
        read=read_original if path == original else None,
        hint="posepile plan aic says where it comes from",
    )
    return {"train": (file, "train")}


def why_not(person: dict, others: list[dict], options: Options) -> str | None:
    """Returns the reason to leave a labelled person out, None to keep them."""
    return too_few_joints(person, options.visible_share, options.labelled_share)


def image_name(path: Path, person: int) -> str:
    """Returns the name of a crop; folders are named by the beginning of the photograph's name."""
    return f"{path.stem[:2]}/{path.stem[2:4]}/{path.stem}_{person:02d}.jpg"


list_units, load_unit, calibrate = coco_recipe(files, why_not, check_labels, image_name=image_name)

"""PoseTrack18: people tracked through web videos, 17 key points of which 15 are labelled.

See README.md. A unit is a video, a person's index their track.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import names_like
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_masks import is_numbers
from posepile.shapes.coco_videos import frame_fault, read_tracked, tracked_pictures
from posepile.shapes.stills import left_out_sequence, left_out_units, picture_sequence
from posepile.shapes.units import make_unit, unit_files

PARTS, SIDES = "ear shoulder elbow wrist hip knee ankle".split(), ("left", "right")
JOINTS = "nose head_bottom head_top".split() + [f"{s}_{p}" for p in PARTS for s in SIDES]
SPEC = DatasetSpec(
    name="posetrack",
    joint_info=JointInfo(
        "nose,head,htop,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "rsho-relb-rwri,rhip-rkne-rank,head-htop",
    ),
    image_dir="posetrack_downscaled",
    kind="2d",
    citation="andriluka2018posetrack: Andriluka et al., PoseTrack: A Benchmark for Human Pose "
    "Estimation and Tracking, CVPR 2018",
    licence="non-commercial research",
    sequence_names=r"\w+/[^/]+",
)
NO_BOX, NO_LABELS = "lacks bbox", "video without an annotation file"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        splits: Splits to pack.
        min_motion: By so many diagonals of the head's box a joint has to move from frame to frame.
    """

    model_config = ConfigDict(extra="forbid")

    splits: list[Literal["train", "val"]] = Field(
        ["train", "val"], min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    min_motion: float = Field(0.5, ge=0)


def label_files(root: Path, split: str) -> dict[str, Path]:
    """Returns video -> file, of the official tree or of mmpose's, which has a folder less."""
    folders = [root / "posetrack_data/annotations" / split, root / "annotations" / split]
    for folder in folders:
        if found := names_like(folder, r"(\w+)\.json"):
            return {video: folder / name for name, (video,) in found.items()}
    raise CorruptInput(folders[0], f"found no annotations there, nor in {folders[1]}")


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video that has annotations, and counts the others."""
    for split in options.splits:
        labels = label_files(root, split)
        lost = [NO_LABELS] * len(names_in(root / "images" / split) - labels.keys())
        yield from left_out_units(f"left_out/{split}", split, lost)
        for video, path in labels.items():
            shown = root / "images" / split / video
            pictures = [shown / picture for picture in names_like(shown, r"\d+\.jpg")]
            yield make_unit(f"{split}/{video}", split, {"labels": path, "pictures": pictures})


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a video, in the frames in which they have moved."""
    if lost := left_out_sequence(unit):
        return [lost]
    source = CocoFile(
        unit_files(unit)["labels"],
        root,
        visibility=(0, 1),
        optional=("iscrowd", "segmentation", "bbox", "keypoints"),
        more=("track_id", "bbox_head"),
        sizes_of_files=True,
        read=partial(read_tracked, fault=frame_fault),
        may_be_empty=True,
    )

    def limit(person: dict) -> float:
        is_box = is_numbers(head := person.get("bbox_head")) and len(head) == 4
        return options.min_motion * math.hypot(*head[2:]) if is_box else math.nan

    def why_not(person: dict, others: list[dict]) -> str | None:
        return NO_BOX if person["bbox"] is None else None

    def name(path: Path, track: int) -> str:
        return f"{path.relative_to(root).with_suffix('').as_posix()}_{track:02d}.jpg"

    pictures, lost = tracked_pictures(source, why_not, limit, names=JOINTS)
    return [picture_sequence(unit, pictures, image_name=name, dropped=lost)]

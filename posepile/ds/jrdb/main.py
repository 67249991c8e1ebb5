"""JRDB-Pose: people around a robot, seen by five cameras in a ring or in a stitched panorama.

See README.md. One unit is one sequence seen by one camera, or as panorama; frame ``i`` of it is
its i-th picture with people. The person index is the track's id.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.formats.folders import names_like
from posepile.geometry.robots import ring_cameras
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, chosen_subjects
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import first_there
from posepile.shapes.coco_videos import check_key_points
from posepile.shapes.label_frames import numbered_pictures
from posepile.shapes.stills import picture_sequence
from posepile.shapes.units import make_unit, unit_files

SPEC = DatasetSpec(
    name="jrdb",
    joint_info=JointInfo(
        "htop,reye,leye,rsho,neck,lsho,relb,lelb,pelv,rwri,rhip,lhip,lwri,rkne,lkne,rank,lank",
        "neck-rsho-relb-rwri,htop-neck-pelv-rhip-rkne-rank,htop-reye",
    ),
    image_dir="jrdb_downscaled",
    kind="2d",
    world_up=(0.0, -1.0, 0.0),
    citation="vendrow2023jrdbpose: Vendrow et al., JRDB-Pose: A Large-Scale Dataset for "
    "Multi-Person Pose Estimation and Tracking, CVPR 2023",
    licence="non-commercial research, login",
    sequence_names=r"image_\w+/.+",
)
NAMES = (  # as the files call them
    "head,right eye,left eye,right shoulder,center shoulder,left shoulder,right elbow,left elbow,"
    "center hip,right wrist,right hip,left hip,left wrist,right knee,left knee,right foot,"
    "left foot"
).split(",")
ALSO = {"tailbone": "center hip", "right hand": "right wrist", "left hand": "left wrist"}
HEADINGS = (0, 72, 144, -144, -72)  # of image_0, 2, 4, 6, 8, degrees to the right
RING_MM = (30, 80)  # the cameras' distances from the middle; 46 to 57 are published
HINT = "take pictures and labels of JRDB 2022 (2019 counts otherwise), or set dataset.frame_offset"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        pictures: Those of the five ``cameras``, or the ``panoramas`` stitched of them.
        sequences: Such as ``meyer-green-2019-03-16_0``; None = all.
        frame_offset: Number of a picture less that of its labels: 0 for JRDB 2022.
        min_compared: So many poses of people who move are needed to measure the offset.
        min_motion: A frame is kept when some joint has moved by more than this share of the box's
            longer side since the last frame that is kept, or is newly labelled.
    """

    model_config = ConfigDict(extra="forbid")

    pictures: Literal["cameras", "panoramas"] = "cameras"
    sequences: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    frame_offset: int = Field(0, ge=-10, le=10)
    min_compared: int = Field(30, ge=1)
    min_motion: float = Field(0.1, ge=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per sequence and camera, or per panorama, that has labels of poses."""
    top = first_there(root / name for name in ("train_dataset_with_activity", "train_dataset"))
    kind = "_stitched" if options.pictures == "panoramas" else ""
    labels = top / f"labels/labels_2d_pose{kind}_coco"
    found = names_like(labels, r"([\w-]+?)()\.json" if kind else r"([\w-]+)_image([02468])\.json")
    if not found:
        raise CorruptInput(labels, "found no labels of poses", hint="posepile plan jrdb")
    known = {sequence for sequence, _ in found.values()}
    wanted = chosen_subjects(options.sequences, known, "sequences", "sequence")
    for file, (sequence, camera) in found.items():
        if sequence not in wanted:
            continue
        name = f"image_{camera or 'stitched'}/{sequence}"
        shown = top / "images" / name
        files = {"labels": labels / file, "boxes?": top / f"labels/labels_2d{kind}" / file}
        files |= {} if kind else {"cameras": top / "calibration/cameras.yaml"}
        files["pictures"] = [shown / picture for picture in names_like(shown, r"\d+\.jpg")]
        yield make_unit(name, "train", files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a sequence, in the frames in which they have moved."""
    files, (folder, sequence) = unit_files(unit), unit.id.split("/")
    labels = files["labels"]
    check_key_points(labels, NAMES, ALSO)
    source = CocoFile(
        labels,
        labels.parents[2] / "images" / unit.id,
        optional=("iscrowd", "segmentation", "bbox", "keypoints"),
        crowd_key="is_crowd",
    )
    told = {"offset": options.frame_offset, "least": options.min_compared, "hint": HINT}
    told["around"] = None if "cameras" in files else 3760  # pixels of a panorama
    seen = source, files["pictures"], files.get("boxes"), options.min_motion
    found, lost, checks = numbered_pictures(*seen, **told)
    if "cameras" in files:
        cameras = ring_cameras(files["cameras"], HEADINGS, RING_MM, SPEC.world_up)
        for picture in found:
            picture.camera, picture.size = cameras[int(folder[-1]) // 2]
    more = {"scene": sequence, "dropped": lost, "checks": checks}
    more["image_name"] = lambda path, track: f"{unit.id}/{path.stem}_{track:03d}.jpg"
    return [picture_sequence(unit, found, **more)]

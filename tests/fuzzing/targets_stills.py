"""Annotation files like COCO's with key points in further lists, and sizes that pictures tell."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import cv2
import numpy as np

from fuzzing.looking import look_at
from fuzzing.mutators_text import JSON, evil_value
from fuzzing.target import Target
from posepile.joint_info import JointInfo
from posepile.miniature import writers
from posepile.shapes.coco import coco_sequence, coco_units
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_places import check_inside
from posepile.shapes.faces_hands import HANDS, check_sides

PARTS = (("lefthand_kpts", "lefthand_valid", 21), ("righthand_kpts", "righthand_valid", 21))
JOINTS = JointInfo(["lwri", "rwri", *HANDS])


def samples(folder: Path) -> list[Path]:
    """A folder with the file and its pictures."""
    root = folder / "mydata"
    for k in range(2):
        (root / "images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / f"{k}.jpg"), np.zeros((48, 64, 3), np.uint8))
    people = [
        {"id": k, "image_id": k % 2, "category_id": 1, "bbox": [1, 2, 60, 40],
         "keypoints": [10, 20, 2, 50, 20, 1],
         "lefthand_kpts": [12, 22, 1.0] * 21, "lefthand_valid": True,
         "righthand_kpts": [48, 22, 2] * 21, "righthand_valid": k != 1}
        for k in range(4)
    ]  # fmt: skip
    content = {"images": [{"id": k, "file_name": f"{k}.jpg"} for k in range(2)]}
    content |= {"annotations": people, "categories": [{"id": 1, "name": "person"}]}
    writers.write_json(root / "val.json", content)
    return [root]


def use(path: Path, output: Path) -> None:
    root = output / "mydata"  # pieces of the file are put beside the raw folder
    shutil.copytree(path, root)
    source = CocoFile(
        root / "val.json",
        root / "images",
        44,
        visibility=None,
        optional=("iscrowd", "segmentation", "bbox"),
        parts=PARTS,
        sizes_of_files=True,
    )
    for unit in coco_units(source, root, "val", "val"):
        sequence = coco_sequence(source, root, unit, index="id")
        check_inside(sequence, source.path, 1)
        check_sides(sequence, source.path, JOINTS, 1)
        for track in sequence.tracks:
            look_at([track.image_coords, track.bbox, track.person, sequence.checks])


def change_entry(data: bytes, rng: random.Random) -> bytes:
    """One field of an annotation or image, or one number of a list of key points."""
    tree = json.loads(data)
    entry = rng.choice(tree[rng.choice(("annotations", "annotations", "images", "categories"))])
    key = rng.choice(list(entry))
    if isinstance(entry[key], list) and entry[key] and rng.random() < 0.6:
        entry[key][rng.randrange(len(entry[key]))] = rng.choice((1e308, -1e9, 0.5, 3, None, True))
    else:
        entry[key] = evil_value(rng)
    if rng.random() < 0.2:
        del entry[key]
    return json.dumps(tree).encode()


def _entry_or_text(data: bytes, rng: random.Random) -> bytes:
    try:
        return change_entry(data, rng)
    except Exception:  # it was damaged before
        return rng.choice(JSON)(data, rng)


TARGETS = [Target("coco_parts", samples, use, (*(_entry_or_text,) * 8, *JSON[:9]))]

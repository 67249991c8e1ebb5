"""How raw files of single pictures are edited, for raw_faults.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from raw_faults import (
    FINGERS,
    NO_DISTORTION,
    SHIFT_M,
    SMPLH,
    RawFiles,
    edit_json,
    exchange_files,
    matrix_edit,
    mirror_pictures,
    names,
)

# ---------------------------------------------------------------- COCO


def coco_people(root: Path, change: Callable) -> None:
    """Changes the list of annotations of each file."""
    for path in root.glob("annotations/*.json"):
        edit_json(path, lambda content: change(content["annotations"]))


def coco_thin(root: Path) -> None:
    """Shows every photograph twice: two people are too few for a judgement."""
    for path in root.glob("annotations/*.json"):
        content = json.loads(path.read_text())
        for image in content["images"][:]:
            name = f"1{image['file_name'][1:]}"
            folder = root / path.stem.rpartition("_")[2]
            shutil.copyfile(folder / image["file_name"], folder / name)
            content["images"].append({**image, "id": image["id"] + 10**11, "file_name": name})
        for person in content["annotations"][:]:
            again = {"id": person["id"] + 5000, "image_id": person["image_id"] + 10**11}
            content["annotations"].append({**person, **again})
        path.write_text(json.dumps(content))


def coco_joints(root: Path, edit: Callable) -> None:
    def change(people: list[dict]) -> None:
        joints = np.array([p["keypoints"] for p in people], float).reshape(-1, 17, 3)
        known = joints[..., 2:] > 0
        for person, row in zip(people, np.where(known, edit(joints), joints), strict=True):
            person["keypoints"] = row.round().astype(int).ravel().tolist()

    coco_people(root, change)


def coco_swap(root: Path) -> None:
    def change(people: list[dict]) -> None:
        order = [0, *(j + (1 if j % 2 else -1) for j in range(1, 17))]
        for person in people:
            joints = np.reshape(person["keypoints"], (17, 3))[order]
            person["keypoints"] = joints.ravel().tolist()

    coco_people(root, change)


def coco_boxes(root: Path, edit: Callable) -> None:
    def change(people: list[dict]) -> None:
        boxes = edit(np.array([p["bbox"] for p in people], float))
        for person, box in zip(people, boxes, strict=True):
            person["bbox"] = box.tolist()

    coco_people(root, change)


def of_another(people: list[dict], key: str) -> None:
    """Gives everybody what belongs to the next person of the same picture."""
    for image in {p["image_id"] for p in people}:
        group = [p for p in people if p["image_id"] == image]
        values = [p[key] for p in group]
        for person, value in zip(group, [*values[1:], values[0]], strict=True):
            person[key] = value


def coco_delay(root: Path) -> None:
    """Annotations of a picture are those of the next one."""

    def change(people: list[dict]) -> None:
        ids = sorted({person["image_id"] for person in people})
        for person in people:
            person["image_id"] = ids[(ids.index(person["image_id"]) + 1) % len(ids)]

    coco_people(root, change)


def coco_split(root: Path) -> None:
    """Exchanges the annotations of train and val."""
    folder = root / "annotations"
    exchange_files(*sorted(folder.glob("*.json")))


def coco_half(root: Path) -> None:
    def change(people: list[dict]) -> None:
        del people[len(people) // 2 :]

    coco_people(root, change)


COCO_NAMES = names(
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
)
COCO = RawFiles(
    ("*",),
    COCO_NAMES,
    coco_joints,
    boxes=coco_boxes,
    per_metre=(4 / SHIFT_M, 0),  # 3 px of a crop are 4 px of the photograph
    thin=coco_thin,
    own={
        "left and right swapped": coco_swap,
        "rows off by one frame": coco_delay,
        "mask of another": lambda root: coco_people(root, lambda p: of_another(p, "segmentation")),
        "box of another": lambda root: coco_people(root, lambda p: of_another(p, "bbox")),
        "picture mirrored": lambda root: mirror_pictures(root, "*2017/*.jpg"),
        "wrong split": coco_split,
        "half of the files missing": coco_half,
    },
    without=("joints in metres",),
)


# ---------------------------------------------------------------- SynthEgo


def synthego_files(root: Path) -> list[Path]:
    return sorted(root.glob("SynthEgo/metadata_*.json"))


def synthego_thin(root: Path) -> None:
    for path in root.glob("SynthEgo/*"):
        if "_0000003_" not in path.name:
            path.unlink()


def synthego_joints(root: Path, edit: Callable) -> None:
    files = synthego_files(root)
    found = [json.loads(path.read_text()) for path in files]
    joints = edit(np.array([data["landmarks"]["3D_world"] for data in found]))
    for path, data, row in zip(files, found, joints, strict=True):
        data["landmarks"]["3D_world"] = row.tolist()
        path.write_text(json.dumps(data))


def synthego_cameras(root: Path, edit: Callable) -> None:
    def change(data: dict) -> None:
        for camera in data["cameras"].values():
            camera["world_to_camera"] = matrix_edit(camera["world_to_camera"], edit)[0]

    for path in synthego_files(root):
        edit_json(path, change)


def synthego_delay(root: Path) -> None:
    """Each picture gets the metadata of the pose before; joints, pose and cameras agree."""
    files = synthego_files(root)
    texts = [path.read_text() for path in files]
    for path, text in zip(files, [texts[0], *texts[:-1]], strict=True):
        path.write_text(text)


def synthego_half(root: Path) -> None:
    for path in synthego_files(root)[1:]:
        path.unlink()


def synthego_views(root: Path) -> None:
    def change(data: dict) -> None:
        of = data["cameras"]
        of["camera_L"], of["camera_R"] = of["camera_R"], of["camera_L"]

    for path in synthego_files(root):
        edit_json(path, change)


SYNTHEGO = RawFiles(
    ("*",),
    [*SMPLH, *FINGERS, "leye", "reye"],
    synthego_joints,
    synthego_cameras,
    per_metre=(1, 1),
    thin=synthego_thin,
    own={
        "rows off by one frame": synthego_delay,
        "picture mirrored": lambda root: mirror_pictures(root, "SynthEgo/*.jpg"),
        "half of the files missing": synthego_half,
        "two views swapped": synthego_views,
    },
    without=NO_DISTORTION,
)

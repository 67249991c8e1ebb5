"""How raw files of people who wear sensors are edited, for raw_faults.py: 3DPW and EMDB."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from raw_faults import NO_DISTORTION, SMPLH, RawFiles, matrix_edit, mirror_pictures

from posepile.formats.pickles import read_pickle

SMPL = [*SMPLH, "lhan", "rhan"]
HALF = "intrinsics of half the size"


def edit_pickles(root: Path, pattern: str, change: Callable) -> None:
    """Changes what pickles hold, in place."""
    for path in sorted(root.glob(pattern)):
        content = read_pickle(path)
        change(content)
        path.write_bytes(pickle.dumps(content, protocol=2))


def halved(intrinsics: np.ndarray) -> np.ndarray:
    return intrinsics * np.array([[0.5], [0.5], [1]])


# ---------------------------------------------------------------- 3DPW


def tdpw(change: Callable) -> Callable:
    return lambda root: edit_pickles(root, "sequenceFiles/*/*.pkl", change)


def tdpw_joints(root: Path, edit: Callable) -> None:
    def change(content: dict) -> None:
        joints = [edit(each.reshape(-1, 24, 3)) for each in content["jointPositions"]]
        content["jointPositions"] = [each.reshape(-1, 72) for each in joints]

    tdpw(change)(root)


def tdpw_cameras(root: Path, edit: Callable) -> None:
    def change(content: dict) -> None:
        poses = [matrix_edit(pose, edit)[0] for pose in content["cam_poses"]]
        content["cam_poses"] = np.array(poses)

    tdpw(change)(root)


def tdpw_half(content: dict) -> None:
    content["cam_intrinsics"] = halved(content["cam_intrinsics"])


def tdpw_split(root: Path) -> None:
    folder = root / "sequenceFiles"
    for path in sorted((folder / "train").iterdir()):
        path.rename(folder / "test" / path.name)


def tdpw_missing(root: Path) -> None:
    for path in sorted(root.glob("imageFiles/*/*.jpg"))[1::2]:
        path.unlink()


TDPW = RawFiles(
    ("*",),
    SMPL,
    tdpw_joints,
    tdpw_cameras,
    per_metre=(1, 1),
    own={
        HALF: tdpw(tdpw_half),
        "picture mirrored": lambda root: mirror_pictures(root, "imageFiles/*/*.jpg"),
        "wrong split": tdpw_split,
        "half of the files missing": tdpw_missing,
    },
    without=NO_DISTORTION,
)

# ---------------------------------------------------------------- EMDB


def emdb(change: Callable) -> Callable:
    return lambda root: edit_pickles(root, "P*/*/*_data.pkl", change)


def emdb_cameras(root: Path, edit: Callable) -> None:
    def change(content: dict) -> None:
        camera = content["camera"]
        poses = [matrix_edit(pose, edit)[0] for pose in camera["extrinsics"]]
        camera["extrinsics"] = np.array(poses)

    emdb(change)(root)


def emdb_boxes(root: Path, edit: Callable) -> None:
    def change(content: dict) -> None:
        corners = content["bboxes"]["bboxes"]
        boxes = edit(np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]))
        content["bboxes"]["bboxes"] = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])

    emdb(change)(root)


def emdb_body(change: Callable) -> Callable:
    return emdb(lambda content: change(content["smpl"]))


def emdb_shift(smpl: dict) -> None:
    smpl["trans"] = smpl["trans"] + np.array([0.016, 0, 0])


def emdb_reorder(order: list[int]) -> Callable:
    def change(smpl: dict) -> None:
        body = smpl["poses_body"].reshape(-1, 23, 3)[:, np.array(order) - 1]
        smpl["poses_body"] = body.reshape(-1, 69)

    return emdb_body(change)


def emdb_delay(smpl: dict) -> None:
    for key in ("poses_root", "poses_body", "trans"):
        smpl[key] = np.concatenate([smpl[key][:1], smpl[key][:-1]])


def emdb_millimetres(smpl: dict) -> None:
    smpl["trans"] = smpl["trans"] * 1000


def emdb_half(content: dict) -> None:
    content["camera"]["intrinsics"] = halved(content["camera"]["intrinsics"])


def emdb_missing(root: Path) -> None:
    for path in sorted(root.glob("P*/*/images/*.jpg"))[1::2]:
        path.unlink()


OTHER = {"l": "r", "r": "l"}
SWAPPED = [
    SMPL.index(other) if (other := OTHER.get(name[0], "-") + name[1:]) in SMPL else j
    for j, name in enumerate(SMPL)
][1:]
EXCHANGED = list(range(1, 24))
EXCHANGED[SMPL.index("relb") - 1], EXCHANGED[SMPL.index("rwri") - 1] = 21, 19

EMDB = RawFiles(
    ("*",),
    SMPL,
    cameras=emdb_cameras,
    boxes=emdb_boxes,
    per_metre=(1, 1),
    own={
        "joints shifted by 3 px": emdb_body(emdb_shift),
        "left and right swapped": emdb_reorder(SWAPPED),
        "elbow and wrist exchanged": emdb_reorder(EXCHANGED),
        "joints in metres": emdb_body(emdb_millimetres),
        HALF: emdb(emdb_half),
        "rows off by one frame": emdb_body(emdb_delay),
        "picture mirrored": lambda root: mirror_pictures(root, "P*/*/images/*.jpg"),
        "half of the files missing": emdb_missing,
    },
    without=(*NO_DISTORTION, "both in metres"),
)

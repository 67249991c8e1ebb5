"""How raw files of recordings by several cameras are edited, for raw_faults.py."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from raw_faults import (
    FINGERS,
    NO_DISTORTION,
    SMPLH,
    RawFiles,
    View,
    edit_json,
    exchange_files,
    matrix_edit,
    names,
)

# ---------------------------------------------------------------- ASPset


def aspset_joints(root: Path, edit: Callable) -> None:
    import ezc3d

    for path in root.rglob("joints_3d/*/*.c3d"):
        content = ezc3d.c3d(str(path))
        points = np.array(content["data"]["points"])
        points = points[:, :, : points.shape[2]]
        points[:3] = edit(points[:3].transpose(2, 1, 0)).transpose(2, 1, 0)
        content["data"]["points"] = points
        del content["data"]["meta_points"]
        content.write(str(path))


def aspset_cameras(root: Path, edit: Callable) -> None:
    for path in root.rglob("cameras/*/*.json"):

        def change(camera: dict) -> None:
            matrix, _ = matrix_edit(np.reshape(camera["extrinsic_matrix"], (4, 4)), edit)
            camera["extrinsic_matrix"] = matrix.ravel().tolist()

        edit_json(path, change)


def aspset_boxes(root: Path, edit: Callable) -> None:
    for path in root.rglob("boxes/*/*.csv"):
        with path.open(newline="") as f:
            header, *rows = csv.reader(f)
        edges = np.array(rows, float)
        boxes = edit(np.hstack([edges[:, :2], edges[:, 2:] - edges[:, :2]]))
        with path.open("w", newline="") as f:
            edges = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
            csv.writer(f).writerows([header, *edges.tolist()])


def aspset_split(root: Path) -> None:
    path = root / "data/splits.csv"
    path.write_text(path.read_text().replace(",train,", ",val,"))


def aspset_half(root: Path) -> None:
    import ezc3d

    aspset_boxes(root, lambda boxes: boxes[: len(boxes) // 2])
    for path in root.rglob("joints_3d/*/*.c3d"):
        content = ezc3d.c3d(str(path))
        points = np.array(content["data"]["points"])
        content["data"]["points"] = points[:, :, : points.shape[2] // 2]
        del content["data"]["meta_points"]
        content.write(str(path))


def aspset_views(root: Path) -> None:
    for path in root.glob("**/trainval/cameras/*/*-left.json"):
        exchange_files(path, path.with_name(path.name.replace("left", "mid")))


ASPSET = RawFiles(
    ("trainval/aaaa/*-mid", "trainval/aaaa/*-left"),
    names("rank rkne rhip rwri relb rsho lank lkne lhip lwri lelb lsho htop head neck spin pelv"),
    aspset_joints,
    aspset_cameras,
    aspset_boxes,
    own={
        "wrong split": aspset_split,
        "half of the files missing": aspset_half,
        "two views swapped": aspset_views,
    },
    without=NO_DISTORTION,
)


# ---------------------------------------------------------------- AMARV


def amarv_thin(root: Path) -> None:
    shutil.rmtree(root / "KIT")
    for path in (root / "CMU").glob("sit*"):
        if not path.name.startswith("sit_mask"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "spare").mkdir()
    for path in (root / "CMU").glob("sit_mask*"):
        path.rename(root / "spare" / path.name)


def amarv_joints(root: Path, edit: Callable) -> None:
    for path in root.glob("CMU/*_pose.npz"):
        content = dict(np.load(path))
        np.savez(path, **{**content, "joints": edit(content["joints"])})


def amarv_cameras(root: Path, edit: Callable) -> None:
    def change(cameras: dict) -> None:
        for view, matrix in cameras["extrinsics"].items():
            cameras["extrinsics"][view] = matrix_edit(matrix, edit)[0]

    for path in root.glob("CMU/*_cam.json"):
        edit_json(path, change)


def amarv_boxes(root: Path, edit: Callable) -> None:
    for path in root.glob("CMU/*_bbox.json"):
        edit_json(path, lambda boxes: {v: edit(np.array(b)) for v, b in boxes.items()})


def amarv_masks(root: Path) -> None:
    for view in range(4):
        exchange_files(root / f"CMU/walk_mask_v{view}.mp4", root / f"spare/sit_mask_v{view}.mp4")


def amarv_split(root: Path) -> None:
    folder = root / "babel_v1.0_release"
    exchange_files(folder / "train.json", folder / "val.json")


def amarv_half(root: Path) -> None:
    amarv_joints(root, lambda coords: coords[: len(coords) // 2])
    amarv_boxes(root, lambda boxes: boxes[: len(boxes) // 2])


def amarv_views(root: Path) -> None:
    def change(cameras: dict) -> None:
        of = cameras["extrinsics"]
        of["0"], of["3"] = of["3"], of["0"]

    edit_json(root / "CMU/walk_cam.json", change)


AMARV = RawFiles(
    ("*",),
    SMPLH + FINGERS,
    amarv_joints,
    amarv_cameras,
    amarv_boxes,
    (1, 1),
    amarv_thin,
    own={
        "mask of another": amarv_masks,
        "wrong split": amarv_split,
        "half of the files missing": amarv_half,
        "two views swapped": amarv_views,
    },
    without=NO_DISTORTION,
)


# ---------------------------------------------------------------- Ego-Exo4D

EGO_PART = "annotations/ego_pose"


def ego_labels(root: Path) -> list[Path]:
    return sorted(root.glob(f"{EGO_PART}/*/*/a*/*.json"))


EGO_KEYS = [
    *"nose left-shoulder left-elbow left-wrist left-hip left-knee left-ankle".split(),
    *"right-shoulder right-elbow right-wrist right-hip right-knee right-ankle".split(),
    *"left-eye left-ear right-eye right-ear".split(),
    *(
        f"{side}_{part}"
        for side in ("left", "right")
        for part in (
            "wrist",
            *(f"{f}_{i}" for f in "thumb index middle ring pinky".split() for i in "1234"),
        )
    ),
]
EGO_NAMES = [key.replace("left-", "l").replace("right-", "r") for key in EGO_KEYS]
EGO_NAMES = [
    name.replace("left_", "lh_").replace("right_", "rh_").replace("elbow", "elb")
    for name in EGO_NAMES
]
EGO_NAMES = [name[:4] if name[:4] in ("lwri", "rwri") else name for name in EGO_NAMES]


def ego_joints(root: Path, edit: Callable) -> None:
    """3D labels, which 2D labels stand beside; what is not there stays so."""

    def change(content: dict) -> None:
        poses = [p[0]["annotation3D"] for p in content.values() if p]
        coords = np.full((len(poses), len(EGO_KEYS), 3), np.nan)
        for row, pose in zip(coords, poses, strict=True):
            for key, joint in pose.items():
                row[EGO_KEYS.index(key)] = [joint[a] for a in "xyz"]
        for row, pose in zip(edit(coords), poses, strict=True):
            pose.clear()
            for j in np.flatnonzero(np.isfinite(row).all(axis=1)):
                xyz = dict(zip("xyz", row[j].tolist(), strict=True))
                pose[EGO_KEYS[j]] = {**xyz, "num_views_for_3d": 3}

    for path in ego_labels(root):
        edit_json(path, change)


def ego_cameras(root: Path, edit: Callable) -> None:
    def change(content: dict) -> None:
        for name, camera in content.items():
            if "distortion_coeffs" in camera:
                lens = np.array(camera["distortion_coeffs"])
                matrix, lens = matrix_edit(camera["camera_extrinsics"], edit, lens)
                camera |= {"camera_extrinsics": matrix, "distortion_coeffs": lens}
                content[name] = camera

    for path in root.glob(f"{EGO_PART}/*/camera_pose/*.json"):
        edit_json(path, change)


def ego_views(root: Path) -> None:
    def change(content: dict) -> None:
        if "cam02" in content:
            a, b = content["cam01"], content["cam02"]
            key = "camera_extrinsics"
            a[key], b[key] = b[key], a[key]

    for path in root.glob(f"{EGO_PART}/train/camera_pose/*.json"):
        edit_json(path, change)


def ego_delay(root: Path) -> None:
    """2D and 3D labels alike: it is the number of the frame that is wrong."""
    for path in ego_labels(root):
        edit_json(path, lambda content: {str(int(k) + 1): v for k, v in content.items()})


def ego_split(root: Path) -> None:
    def change(content: dict) -> None:
        of = content["take_uid_to_split"]
        first = next(uid for uid, split in of.items() if split == "train")
        of[first] = "val"

    edit_json(root / "annotations/splits.json", change)


def ego_half(root: Path) -> None:
    for path in ego_labels(root):
        edit_json(path, lambda content: dict(list(content.items())[: len(content) // 2]))


EGOEXO4D = RawFiles(
    ("train/cmu_bike01_2/cam0[12]",),
    EGO_NAMES,
    ego_joints,
    ego_cameras,
    per_metre=(1, 1),
    own={
        "rows off by one frame": ego_delay,
        "wrong split": ego_split,
        "half of the files missing": ego_half,
        "two views swapped": ego_views,
    },
)


# ---------------------------------------------------------------- Human3.6M


def h36m_thin(root: Path) -> None:
    shutil.rmtree(root / "S9")


def h36m_cdfs(root: Path, kind: str, edit: Callable) -> None:
    from cdflib import CDF

    from posepile.miniature.writers import write_cdf

    for path in root.glob(f"S1/MyPoseFeatures/{kind}/Walk*.cdf"):
        poses = np.array(CDF(str(path)).varget("Pose"), np.float32)
        shape = poses.reshape(-1, 32, poses.shape[-1] // 32)
        poses = np.float32(edit(shape)).reshape(1, -1, poses.shape[-1])
        path.unlink()
        write_cdf(path, {"Pose": poses})


def h36m_joints(root: Path, edit: Callable) -> None:
    h36m_cdfs(root, "D3_Positions", edit)


def h36m_numbers(root: Path, change: Callable) -> None:
    import re

    path = root / "Release-v1.2/metadata.xml"
    text = path.read_text()
    found = re.search(r"<w0>\[(.*?)\]</w0>", text)
    numbers = np.array(found[1].split(), float)
    change(numbers[:264].reshape(4, 11, 6), numbers[264:].reshape(4, 9))
    path.write_text(text.replace(found[1], " ".join(map(repr, numbers.tolist()))))


def h36m_cameras(root: Path, edit: Callable) -> None:
    from scipy.spatial.transform import Rotation

    def change(poses: np.ndarray, lenses: np.ndarray) -> None:
        for c, s in np.ndindex(4, 11):
            rotation = Rotation.from_euler("XYZ", poses[c, s, :3]).as_matrix()
            center = poses[c, s, 3:]
            view = edit(View(rotation, -rotation @ center, lenses[c, 4:].copy()))
            poses[c, s, :3] = Rotation.from_matrix(view.rotation).as_euler("XYZ")
            poses[c, s, 3:] = -view.rotation.T @ view.translation
            if s == 10:
                lenses[c, 4:] = view.distortion

    h36m_numbers(root, change)


def h36m_boxes(root: Path, edit: Callable) -> None:
    import h5py

    for path in root.glob("S1/MySegmentsMat/ground_truth_bb/Walk*.mat"):
        with h5py.File(path, "r+") as file:
            for reference in np.ravel(file["Masks"]):
                mask = file[reference]
                y, x = np.nonzero(mask[()].T)
                box = np.array([[x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]], float)
                left, top, w, h = np.round(edit(box)[0]).astype(int)
                new = np.zeros(mask.shape[::-1], np.uint8)
                new[max(top, 0) : top + max(h, 1), max(left, 0) : left + max(w, 1)] = 1
                mask[...] = new.T


def h36m_half(root: Path) -> None:
    h36m_cdfs(root, "D*_Positions", lambda poses: poses[: len(poses) // 2])


def h36m_views(root: Path) -> None:
    def change(poses: np.ndarray, lenses: np.ndarray) -> None:
        poses[[0, 1]] = poses[[1, 0]]

    h36m_numbers(root, change)


H36M = RawFiles(
    ("S1/WalkingDog 1/54138969",),
    names(
        "pelv rhip rkne rank rfoo rtoe lhip lkne lank lfoo ltoe pelv2 tors neck head htop neck2 "
        "lsho lelb lwri lwri2 lthu lfin lfin2 neck3 rsho relb rwri rwri2 rthu rfin rfin2"
    ),
    h36m_joints,
    h36m_cameras,
    h36m_boxes,
    thin=h36m_thin,
    own={"half of the files missing": h36m_half, "two views swapped": h36m_views},
)


# ---------------------------------------------------------------- Panoptic


def panoptic_thin(root: Path) -> None:
    shutil.rmtree(root / "160422_ultimatum1")


def panoptic_files(root: Path) -> list[Path]:
    return sorted(root.rglob("body3DScene_*.json"))


def panoptic_joints(root: Path, edit: Callable) -> None:
    found = {}
    for path in panoptic_files(root):
        try:
            found[path] = json.loads(path.read_text())
        except ValueError:
            continue
    bodies = [body for content in found.values() for body in content["bodies"]]
    joints = np.array([body["joints19"] for body in bodies]).reshape(-1, 19, 4)
    edited = joints.copy()
    edited[..., :3] = edit(joints[..., :3])
    for body, row in zip(bodies, edited, strict=True):
        body["joints19"] = row.ravel().tolist()
    for path, content in found.items():
        path.write_text(json.dumps(content))


def panoptic_calibration(root: Path, change: Callable) -> None:
    for path in root.glob("*/calibration_*.json"):
        edit_json(
            path, lambda content: change([c for c in content["cameras"] if c["type"] == "hd"])
        )


def panoptic_cameras(root: Path, edit: Callable) -> None:
    def change(cameras: list[dict]) -> None:
        for camera in cameras:
            matrix = np.column_stack([camera["R"], np.ravel(camera["t"])])
            matrix, lens = matrix_edit(matrix, edit, np.array(camera["distCoef"]))
            camera |= {"R": matrix[:, :3], "t": matrix[:, 3:], "distCoef": lens}

    panoptic_calibration(root, change)


def panoptic_delay(root: Path) -> None:
    for path in reversed(panoptic_files(root)):
        path.rename(path.with_name(f"body3DScene_{int(path.stem[-8:]) + 1:08d}.json"))


def panoptic_half(root: Path) -> None:
    for path in panoptic_files(root)[1::2]:
        path.unlink()


def panoptic_views(root: Path) -> None:
    def change(cameras: list[dict]) -> None:
        a, b = (next(c for c in cameras if c["node"] == node) for node in (3, 13))
        for key in ("R", "t"):
            a[key], b[key] = b[key], a[key]

    panoptic_calibration(root, change)


PANOPTIC = RawFiles(
    ("171204_pose3/hd_00_03",),
    names(
        "neck nose pelv lsho lelb lwri lhip lkne lank rsho relb rwri rhip rkne rank leye lear "
        "reye rear"
    ),
    panoptic_joints,
    panoptic_cameras,
    per_metre=(100, 100),
    thin=panoptic_thin,
    own={
        "rows off by one frame": panoptic_delay,
        "half of the files missing": panoptic_half,
        "two views swapped": panoptic_views,
    },
)

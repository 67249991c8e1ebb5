"""Predictions for the benchmarks: reading arrays, poses of the glasses, writing results."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import JOINT_NAMES, read_json
from posepile.ds.egoexo4d.cameras import read_camera_pose, split_extrinsics
from posepile.errors import CorruptInput, WorkError


def aria_poses(root: Path, split: str, uid: str) -> tuple[dict[int, tuple], str]:
    """Returns poses of the glasses by frame (rotation, translation in metres), and their key."""
    path = takes.camera_pose_file(root, split, uid)
    cameras = read_camera_pose(path)
    key = aria.aria_key(cameras)
    if key is None:
        raise CorruptInput(path, "no camera of the glasses (a key with 'aria') in it")
    extrinsics = cameras[key].get("camera_extrinsics") or {}
    return {int(f): split_extrinsics(m, f"{path}, {key}, {f}") for f, m in extrinsics.items()}, key


def load_npz(root: Path, path: Path) -> dict[str, dict[int, np.ndarray]]:
    """take_uid -> frame -> mean over views of the predicted coordinates, millimetres."""
    uids = {t["take_name"]: t["take_uid"] for t in read_json(root / "takes.json")}
    try:
        with np.load(path, allow_pickle=False) as data:
            image_paths = [str(p) for p in data["image_path"]]
            coords = np.asarray(data["coords3d_pred_world"], np.float64)
    except (OSError, KeyError, ValueError) as e:
        raise CorruptInput(
            path, f"{e}; expected arrays image_path (text) and coords3d_pred_world"
        ) from None
    if coords.ndim != 3 or coords.shape[1] not in (17, len(JOINT_NAMES)) or coords.shape[2] != 3:
        raise CorruptInput(path, f"coords3d_pred_world is {coords.shape}, expected [n, 61, 3]")
    views: dict = defaultdict(lambda: defaultdict(list))
    for image_path, pose in zip(image_paths, coords, strict=True):
        parts = image_path.split("/")
        if len(parts) != 4 or parts[1] not in uids or not parts[3][:-4].isdigit():
            raise CorruptInput(path, f"{image_path} is not of a take in {root / 'takes.json'}")
        views[uids[parts[1]]][int(parts[3][:-4])].append(pose)
    return {
        uid: {f: np.mean(poses, axis=0) for f, poses in frames.items()}
        for uid, frames in views.items()
    }


def pose_array(value: Any, n_joints: int, where: str) -> np.ndarray:
    """Returns a predicted pose as float64 ``[n_joints, 3]``; refuses any other shape."""
    try:
        pose = np.array(value, np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (n_joints, 3):
        raise WorkError(f"{where}: expected {n_joints} joints of 3 numbers, found {pose.shape}")
    return pose


def write_json(path: Path, content: dict, nan: bool = False) -> None:
    """Writes JSON whole or not at all; NaN becomes null unless ``nan``."""
    path = Path(path)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        tmp.write_text(json.dumps(content if nan else _without_nan(content), indent=1) + "\n")
        tmp.replace(path)
    except OSError as e:
        tmp.unlink(missing_ok=True)
        raise WorkError(f"{path}: cannot be written: {e.strerror}") from None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value

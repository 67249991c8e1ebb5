"""ASPset-510: the six numbers of the official program, in its float32."""

import csv
import json
import struct
from pathlib import Path

import numpy as np

from references.common import distances
from references.entries import folder_of, pairs_of

PELVIS, SPINE, NECK, LEFT_KNEE, LEFT_HIP = 16, 15, 14, 7, 8
LABELS = (
    "right_ankle right_knee right_hip right_wrist right_elbow right_shoulder left_ankle left_knee "
    "left_hip left_wrist left_elbow left_shoulder head_top head neck spine pelvis"
).split()
VIEWS = ("left", "mid", "right")
THRESHOLD_MM, UNIVERSAL_MM = 150, 910.0
RATES = {"test": 10, "val": 50, "train": 50}


def read_c3d(path):
    """Returns points ``[n, 17, 3]`` of a c3d file of little-endian floats."""
    data = Path(path).read_bytes()
    n_points = struct.unpack_from("<H", data, 2)[0]
    first, last = struct.unpack_from("<HH", data, 6)
    start = struct.unpack_from("<H", data, 16)[0]
    n = last - first + 1
    values = np.frombuffer(data, "<f4", n * n_points * 4, (start - 1) * 512)
    return values.reshape(n, n_points, 4)[..., :3].astype(np.float32)


def truth(root, protocol, split="test"):
    """Returns by clip and view the joints ``[n, 17, 3]``, mm, world frame, at the rate scored."""
    root = folder_of(root, "aspset/data", "data")
    out = {}
    for subject, clip, part, view in csv.reader((root / "splits.csv").read_text().splitlines()):
        if part != split:
            continue
        folder = "test" if split == "test" else "trainval"
        joints = read_c3d(root / folder / "joints_3d" / subject / f"{subject}-{clip}.c3d")
        joints = joints[:: 50 // RATES[split]]
        if protocol == "aspset.universal":
            joints = np.array([p * (UNIVERSAL_MM / height(p)) for p in joints], np.float32)
        for name in VIEWS if view == "all" else (view,):
            out[f"{subject}-{clip}-{name}"] = joints
    return out


def height(pose):
    """Returns knee to neck of a pose, by the left leg and the spine."""
    bones = ((LEFT_KNEE, LEFT_HIP), (SPINE, PELVIS), (NECK, SPINE))
    return sum(np.linalg.norm(pose[a] - pose[b]) for a, b in bones)


def guess(truth, rng, protocol):
    """Returns predictions near the truth, mm."""
    return {k: (v + rng.normal(0, 80, v.shape)).astype(np.float32) for k, v in truth.items()}


def write_predictions(path, poses, protocol):
    """Writes a folder with a file for each clip and view: json, or what the folder's name says.

    json and csv at 10 Hz; c3d at 50 Hz, each pose five times, of which the first is scored.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    suffix = path.name.split("_")[1] if "_" in path.name else "json"
    for key, joints in pairs_of(poses):
        file = path / f"{key}.{suffix}"
        if file.exists():  # the second of the same clip
            file = path / "again" / file.name
            file.parent.mkdir()
        {"json": write_json, "csv": write_csv, "c3d": write_c3d}[suffix](file, np.asarray(joints))


def write_json(file, joints):
    """Writes poses with their rate."""
    content = {"rate": 10, "units": "mm", "skel": "aspset_17j", "points": joints.tolist()}
    file.write_text(json.dumps(content))


def write_csv(file, joints):
    """Writes a column for the time, and one for each coordinate."""
    header = ["t", *(f"{name}_{axis}" for name in LABELS for axis in "xyz")]
    rows = [[i / 10, *map(float, pose.ravel())] for i, pose in enumerate(joints)]
    with open(file, "w", newline="") as f:
        csv.writer(f).writerows([header, *rows])


def write_c3d(file, joints):
    """Writes every pose five times at 50 Hz."""
    import ezc3d

    content = ezc3d.c3d()
    points = content["parameters"]["POINT"]
    points["RATE"]["value"], points["UNITS"]["value"] = [50.0], ["mm"]
    points["LABELS"]["value"] = LABELS
    content.add_parameter("POINT", "SKEL", ["aspset_17j"])
    content["data"]["points"] = np.repeat(joints, 5, axis=0).transpose(2, 1, 0).astype(float)
    content.write(str(file))


def procrustes(moving, fixed):
    """Returns moving aligned; the scale is that of plain singular values, reflection or not."""
    moving, fixed = np.asarray(moving, float), np.asarray(fixed, float)
    a, b = moving - moving.mean(axis=0), fixed - fixed.mean(axis=0)
    u, sizes, vt = np.linalg.svd(b.T @ a)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return sizes.sum() / (a**2).sum() * a @ turn.T + fixed.mean(axis=0)


def scores(truth, poses, protocol):
    """Returns the six numbers: three in mm, three shares."""
    kinds = ("", "Root-relative ", "Procrustes-aligned ")
    errors, hits = {k: [] for k in kinds}, {k: [] for k in kinds}
    for key, clip in truth.items():
        for true, pred in zip(clip, np.asarray(poses[key], np.float32), strict=True):
            pairs = {
                "": (pred, true),
                "Root-relative ": (pred - pred[PELVIS], true - true[PELVIS]),
                "Procrustes-aligned ": (procrustes(pred, true), true),
            }
            for kind, (a, b) in pairs.items():
                away = distances(a, b)
                errors[kind].append(away.mean())
                hits[kind].append((away <= THRESHOLD_MM).mean())
    figures = {f"{kind}MPJPE_mm": float(np.mean(errors[kind])) for kind in kinds}
    return figures | {f"{kind}PCK": float(np.mean(hits[kind])) for kind in kinds}

"""Human3.6M: PosePile's sampled protocols and VideoPose3D's of lifting, frame by frame.

A truth or prediction has one entry for each image, by its path; joints ``[17, 3]`` in world
coordinates, mm, pelvis first.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from references.common import distance, procrustes

KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
SWAPPED = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
SHIFTED = ("Greeting", "SittingDown 1", "Waiting 1")  # takes of S9


def truth(root: Path, protocol: str) -> dict[str, np.ndarray]:
    """Returns poses of S9 and S11: every 64th frame, or every one for lifting, of all cameras."""
    import cdflib

    entries = {}
    step = 1 if protocol.startswith("h36m.lifting") else 64
    for subject in ("S9", "S11"):
        for path in sorted((Path(root) / subject / "MyPoseFeatures/D3_Positions").glob("*.cdf")):
            take = path.stem
            if "_" in take:
                continue
            raw = np.asarray(cdflib.CDF(str(path)).varget("Pose"), np.float64)
            poses = raw.reshape(-1, 32, 3)[:, KEPT]
            if protocol.endswith("-corrected") and subject == "S9" and take in SHIFTED:
                poses = poses - np.array([200.0, 0, 0])
            for camera in CAMERAS:
                for frame in range(0, len(poses), step):
                    folder = f"h36m/{subject}/Images/{take}.{camera}"
                    entries[f"{folder}/frame_{frame:06d}.jpg"] = poses[frame]
    return entries


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, np.ndarray]:
    """Returns predictions near the truth, somewhere else."""
    return {
        key: pose * rng.uniform(0.9, 1.1) + rng.normal(0, 60, (17, 3)) + rng.normal(0, 200, 3)
        for key, pose in true.items()
    }


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes an npz with image paths."""
    rows = list(poses.items()) if isinstance(poses, dict) else list(poses)
    keys = np.array([key for key, _ in rows], dtype="U96")
    array = np.array([pose for _, pose in rows]).reshape(-1, 17, 3)
    np.savez(path, image_path=keys, coords3d_pred_world=array)


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the figure of a protocol in mm."""
    relative = {}
    for key, pose in true.items():
        predicted = np.asarray(poses[key], np.float64)
        relative[key] = (predicted - predicted[0], pose - pose[0])
    if not protocol.startswith("h36m.lifting"):
        kind = protocol.removesuffix("-corrected").split(".")[1]
        errors = [mean_error(predicted, right, kind) for predicted, right in relative.values()]
        return {FIGURES[kind]: sum(errors) / len(errors)}
    kind = protocol.split("-")[1]
    if kind == "velocity":
        return {"MPJVE_mm_per_frame": mean_velocity_error(relative)}
    actions: dict[str, list[float]] = {}
    for key, (predicted, right) in relative.items():
        actions.setdefault(action_of(key), []).append(mean_error(predicted, right, kind))
    return {FIGURES[kind]: mean_of_means(actions)}


FIGURES = {"p1": "MPJPE_mm", "p2": "PA-MPJPE_mm", "p3": "N-MPJPE_mm"}


def mean_error(predicted: np.ndarray, right: np.ndarray, kind: str) -> float:
    """Returns the mean joint error of one pose: as it is, after Procrustes, or after scaling."""
    if kind == "p2":
        predicted = procrustes(predicted, right)
    elif kind == "p3":
        extent = (predicted**2).sum()
        predicted = predicted * ((predicted * right).sum() / extent if extent else 0.0)
    return sum(distance(p, t) for p, t in zip(predicted, right, strict=True)) / len(right)


def mean_velocity_error(relative: dict) -> float:
    """Returns the mean over actions; in one, sequences count by their numbers of frames."""
    sequences: dict[str, list] = {}
    for key in sorted(relative):
        sequences.setdefault(key.rsplit("/", 1)[0], []).append(relative[key])
    actions: dict[str, list[float]] = {}
    for folder, pairs in sequences.items():
        errors = []
        for (p0, t0), (p1, t1) in itertools.pairwise(pairs):
            errors.append(np.mean([distance(p, t) for p, t in zip(p1 - p0, t1 - t0, strict=True)]))
        if errors:
            of_action = actions.setdefault(action_of(folder + "/"), [])
            of_action.extend([float(np.mean(errors))] * len(pairs))
    return mean_of_means(actions)


def action_of(key: str) -> str:
    """Returns the action of an image path: the take without its number."""
    return key.split("/")[3].split(".", maxsplit=1)[0].split(" ", maxsplit=1)[0]


def mean_of_means(groups: dict[str, list[float]]) -> float:
    """Returns the mean over groups of their means."""
    return sum(sum(values) / len(values) for values in groups.values()) / len(groups)

"""3DPW: the challenge's evaluator, PosePile's, and the 14 joints of HMR, frame by frame.

Truth and predictions have one entry for each sequence, ``<split>/<name>``, metres in the camera's
frame: joints ``[person, frame, 24, 3]`` and rotations ``[person, frame, 9, 3, 3]``; for HMR's 14
joints vertices ``[person, frame, V, 3]``.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np

from references.common import (
    Smpl,
    angle,
    auc_50_bins,
    distance,
    dump_pickle,
    load_pickle,
    procrustes,
    regressor_h36m,
    share_up_to,
    similarity,
    transform,
)

SPLITS = ("train", "validation", "test")
MAJOR = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
PARTS = [0, 1, 2, 4, 5, 16, 17, 18, 19]
LSP_ROWS = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]  # of the H36M regressor
SWAPPED = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
SWAPPED_PARTS = [0, 2, 1, 4, 3, 6, 5, 8, 7]
NUMBER_OF_TRACKS = 87


def truth(root: Path, protocol: str) -> dict[str, dict]:
    """Returns each sequence's people in the frame of the camera, and which frames count."""
    root, entries, smpl = Path(root), {}, Smpl(root)
    tested = protocol in ("tdpw.challenge-test", "tdpw.hmr14")
    for split in ("test",) if tested else SPLITS:
        for path in sorted((root / "sequenceFiles" / split).glob("*.pkl")):
            content = load_pickle(path)
            people = [
                person_truth(content, p, smpl, protocol) for p in range(len(content["genders"]))
            ]
            entries[f"{split}/{path.stem}"] = {
                key: np.stack([person[key] for person in people]) for key in people[0]
            }
            if protocol == "tdpw.hmr14":
                entries[f"{split}/{path.stem}"]["regressor"] = regressor_h36m(root)
    return entries


def person_truth(content: dict, person: int, smpl: Smpl, protocol: str) -> dict:
    """Returns one person's arrays over all frames, those that do not count too."""
    joints, vertices, rotations, valid = [], [], [], []
    stored = np.asarray(content["jointPositions"][person], np.float64).reshape(-1, 24, 3)
    for frame, camera in enumerate(np.asarray(content["cam_poses"], np.float64)):
        seen = bool(content["campose_valid"][person][frame])
        if protocol != "tdpw.hmr14":
            seen = seen and bool(np.any(np.asarray(content["poses2d"][person][frame]) != 0))
        valid.append(seen)
        r, t = camera[:3, :3], camera[:3, 3]
        body = smpl.pose(
            content["genders"][person],
            content["poses"][person][frame],
            np.asarray(content["betas"][person]).ravel()[:10],
            content["trans"][person][frame],
        )
        of_joints = stored[frame] if protocol == "tdpw.posepile" else body[1]
        joints.append([r @ x + t for x in of_joints])
        vertices.append(body[0] @ r.T + t)
        rotations.append([r @ body[2][part] for part in PARTS])
    arrays = {"joints": joints, "vertices": vertices, "orientations": rotations, "valid": valid}
    return {key: np.array(value) for key, value in arrays.items()}


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, dict]:
    """Returns predictions near the truth, somewhere else and turned a little."""
    from scipy.spatial.transform import Rotation

    poses = {}
    for key, entry in true.items():
        shape = entry["joints"].shape[:2]
        moved = rng.normal(0, 0.3, (*shape, 1, 3))
        noise = rng.normal(0, rng.uniform(0.01, 0.1), entry["joints"].shape)
        turns = Rotation.from_rotvec(rng.normal(0, 0.3, (math.prod(shape) * 9, 3))).as_matrix()
        poses[key] = {
            "jointPositions": entry["joints"] + noise + moved,
            "orientations": turns.reshape(*shape, 9, 3, 3) @ entry["orientations"],
        }
        if protocol == "tdpw.hmr14":
            bent = rng.normal(0, 0.03, entry["vertices"].shape)
            poses[key]["vertices"] = entry["vertices"] + bent + moved
    return poses


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes ``<split>/<name>.pkl`` for each sequence."""
    Path(path).mkdir(parents=True, exist_ok=True)
    for key, content in poses.items() if isinstance(poses, dict) else poses:
        dump_pickle(Path(path) / f"{key}.pkl", dict(content))


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the figures of a protocol."""
    if protocol == "tdpw.hmr14":
        return hmr_scores(true, poses)
    errors, fitted, angles, fitted_angles = [], [], [], []
    for key, entry in true.items():
        guessed = poses[key]
        for p in range(len(entry["valid"])):
            for f in np.flatnonzero(entry["valid"][p]):
                right = 1000 * (entry["joints"][p, f] - entry["joints"][p, f, 0])
                joints = np.asarray(guessed["jointPositions"], np.float64)[p, f] * 1000
                joints = joints - joints[0]
                errors.append([distance(a, b) for a, b in zip(joints, right, strict=True)])
                fit = similarity(joints, right)
                after = transform(joints, fit)
                fitted.append([distance(a, b) for a, b in zip(after, right, strict=True)])
                if protocol == "tdpw.posepile" or "orientations" not in guessed:
                    continue
                for part in range(9):
                    told = np.asarray(guessed["orientations"], np.float64)[p, f, part]
                    real = entry["orientations"][p, f, part]
                    angles.append(angle(told, real))
                    fitted_angles.append(angle(fit[1] @ told, real))
    major = [[row[joint] for joint in MAJOR] for row in errors]
    figures = {"MPJPE_mm": float(np.mean(errors)), "PA-MPJPE_mm": float(np.mean(fitted))}
    if protocol == "tdpw.posepile":
        worst = [max(row[joint] for joint in MAJOR) for row in fitted]
        figures["PCK50_percent"] = 100 * share_up_to(major, 50)
        figures["AUC50_percent"] = 100 * auc_50_bins(major)
        figures["NCPS125_percent"] = 100 * share_up_to(worst, 125)
        return figures
    figures["PCK50"] = share_up_to(major, 50)
    curve = [share_up_to(major, threshold) for threshold in range(200)]
    steps = [(a + b) / 2 / 199 for a, b in itertools.pairwise(curve)]
    figures["AUC200"] = sum(steps)
    if angles:
        figures["MPJAE_deg"] = float(np.mean(angles))
        figures["PA-MPJAE_deg"] = float(np.mean(fitted_angles))
    return figures


def hmr_scores(true: dict, poses: dict) -> dict[str, float]:
    """Returns errors of 14 regressed joints and of the mesh, both relative to the pelvis."""
    errors, fitted, of_mesh = [], [], []
    for key, entry in true.items():
        for p in range(len(entry["valid"])):
            for f in np.flatnonzero(entry["valid"][p]):
                regressor = entry["regressor"]
                right, right_mesh = fourteen(entry["vertices"][p, f], regressor)
                told, mesh = fourteen(poses[key]["vertices"][p][f], regressor)
                errors.append([distance(a, b) for a, b in zip(told, right, strict=True)])
                after = procrustes(told, right)
                fitted.append([distance(a, b) for a, b in zip(after, right, strict=True)])
                of_mesh.append([distance(a, b) for a, b in zip(mesh, right_mesh, strict=True)])
    return {
        "MPJPE_mm": float(np.mean(errors)),
        "PA-MPJPE_mm": float(np.mean(fitted)),
        "PVE_mm": float(np.mean(of_mesh)),
    }


def fourteen(vertices, regressor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns LSP's 14 joints and the vertices, mm from the regressed pelvis."""
    vertices = np.asarray(vertices, np.float64) * 1000
    joints = regressor @ vertices
    return joints[LSP_ROWS] - joints[0], vertices - joints[0]

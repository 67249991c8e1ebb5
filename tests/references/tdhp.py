"""MPI-INF-3DHP: the official test protocol and PosePile's, pose by pose.

A truth or prediction has one entry for each valid test frame, by its image path; joints
``[17, 3]`` in the order of the test set, mm: 14 limb joints with head top and neck, pelvis, spine,
head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from references.common import auc_150, distance, procrustes, share_below

PELVIS = 14
# Left and right change places.
SWAPPED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14, 15, 16]
# Groups of the official tables, joints counted from 1.
GROUPS = ([1], [2], [3, 6], [4, 7], [5, 8], [9, 12], [10, 13], [11, 14])


def truth(root: Path, protocol: str) -> dict[str, dict]:
    """Returns pose and activity of every valid frame of TS1..TS6, by image path."""
    import h5py

    field = "annot3" if protocol == "tdhp.posepile" else "univ_annot3"
    entries = {}
    for number in range(1, 7):
        (path,) = sorted(Path(root).glob(f"**/TS{number}/annot_data.mat"))
        with h5py.File(path) as f:
            poses, valid = f[field][()], f["valid_frame"][()]
            activity = f["activity_annotation"][()]
        assert poses.shape[1:] == (1, 17, 3), poses.shape
        for row in range(len(poses)):
            if valid.reshape(-1)[row] == 1:
                key = f"3dhp/TS{number}/imageSequence/img_{row + 1:06d}.jpg"
                pose = poses[row, 0].astype(np.float64)
                entries[key] = {"pose": pose, "activity": int(activity.reshape(-1)[row])}
    return entries


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, np.ndarray]:
    """Returns predictions near the truth; the official form has the pelvis near the origin."""
    poses = {}
    for key, entry in true.items():
        pose = entry["pose"] + rng.normal(0, rng.uniform(10, 150), (17, 3))
        if protocol.startswith("tdhp.official"):
            pose = pose - entry["pose"][PELVIS] + rng.normal(0, 20, 3)
        poses[key] = pose
    return poses


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes a .mat with TS1..TS6 ``[3, 17, 1, n]`` (official) or an npz with image paths."""
    rows = list(poses.items()) if isinstance(poses, dict) else list(poses)
    if Path(path).suffix == ".mat":
        from scipy.io import savemat

        content = {}
        for number in range(1, 7):
            chosen = [pose for key, pose in rows if f"/TS{number}/" in key]
            if chosen:
                content[f"TS{number}"] = np.stack([pose.T[:, :, None] for pose in chosen], axis=-1)
        savemat(path, content)
        return
    keys = np.array([key for key, _ in rows], dtype="U64")
    poses = np.array([pose for _, pose in rows]).reshape(-1, 17, 3)
    np.savez(path, image_path=keys, coords3d_pred_world=poses)


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the figures of a protocol, in percent and mm."""
    official = protocol.startswith("tdhp.official")
    errors, after_fit = {}, {}
    for key, entry in true.items():
        right = entry["pose"] - entry["pose"][PELVIS]
        predicted = np.asarray(poses[key], np.float64)
        if protocol != "tdhp.official":  # the official script does not centre the prediction
            predicted = predicted - predicted[PELVIS]
        errors[key] = [distance(p, t) for p, t in zip(predicted, right, strict=True)]
        fitted = procrustes(predicted, right)
        after_fit[key] = [distance(p, t) for p, t in zip(fitted, right, strict=True)]
    figures = figures_of(errors)
    if protocol == "tdhp.official-corrected":
        sequences = sorted({sequence_of(key) for key in errors})
        each = [
            figures_of({k: e for k, e in errors.items() if sequence_of(k) == s}) for s in sequences
        ]
        for name in list(figures):
            renamed = "-sequence-mean_".join(name.split("_"))
            figures[renamed] = sum(row[name] for row in each) / len(each)
    if not official:
        figures["PA-MPJPE_mm"] = float(np.mean(list(after_fit.values())))
    return figures


def sequence_of(key: str) -> str:
    """Returns TS1..TS6 of an image path."""
    return key.split("/")[1]


def figures_of(errors: dict[str, list[float]]) -> dict[str, float]:
    """Returns the three official figures of frames pooled."""
    pck = auc = 0.0
    for group in GROUPS:
        of_group = [row[joint - 1] for row in errors.values() for joint in group]
        pck += len(group) * 100 * share_below(of_group, 150) / 14
        auc += len(group) * 100 * auc_150(of_group) / 14
    everything = [e for row in errors.values() for e in row]
    return {
        "PCK150_percent": pck,
        "AUC150_percent": auc,
        "MPJPE_mm": sum(everything) / len(everything),
    }

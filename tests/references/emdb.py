"""EMDB: the official evaluator, PosePile's, and WHAM's of global motion, frame by frame.

A truth or prediction has one entry for each sequence, ``P1_14_outdoor_climb``; a prediction is
``{"pose": [N, 72], "betas": [N, 10], "trans": [N, 3]}`` of the neutral model, metres, in the frame
of the camera (EMDB 1) or of a world (EMDB 2).
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from references.common import (
    Smpl,
    angle,
    auc_50_bins,
    distance,
    distances,
    dump_pickle,
    load_pickle,
    share_up_to,
    similarity,
    third_differences,
    transform,
)

PARTS = [0, 1, 2, 4, 5, 16, 17, 18, 19]
MAJOR = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
ZEROED = [0, 7, 8, 10, 11, 20, 21, 22, 23]
FEET = [3216, 3387, 6617, 6787]
SWAPPED = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]


def truth(root: Path, protocol: str) -> dict[str, dict]:
    """Returns the sequences of EMDB 1 or 2: bodies in the camera's frame, or in the world."""
    from scipy.spatial.transform import Rotation

    smpl, entries = Smpl(Path(root), FEET if protocol == "emdb.2" else None), {}
    for path in sorted(Path(root).glob("*/*/*_data.pkl")):
        content = load_pickle(path)
        if not content["emdb2" if protocol == "emdb.2" else "emdb1"]:
            continue
        parameters = content["smpl"]
        rows: dict[str, list] = {k: [] for k in ("vertices", "joints", "rotations", "pose")}
        for i in range(content["n_frames"]):
            pose = np.concatenate([parameters["poses_root"][i], parameters["poses_body"][i]])
            trans = parameters["trans"][i]
            betas = np.ravel(parameters["betas"])[:10]
            gender = content["gender"]
            if protocol == "emdb.1-posepile" and not gender.lower().startswith("m"):
                gender = "female"
            vertices, joints, rotations = smpl.pose(gender, pose, betas, trans)
            if protocol != "emdb.2":
                extrinsic = np.asarray(content["camera"]["extrinsics"][i], np.float64)
                r, t = extrinsic[:3, :3], extrinsic[:3, 3]
                vertices, joints = vertices @ r.T + t, joints @ r.T + t
                rotations = np.array([r @ rotation for rotation in rotations])
                turned = Rotation.from_matrix(r) * Rotation.from_rotvec(pose[:3])
                pose = np.concatenate([turned.as_rotvec(), pose[3:]])
            for key, value in zip(rows, (vertices, joints, rotations, pose), strict=True):
                rows[key].append(value)
        entry = {key: np.array(value) for key, value in rows.items()}
        entry["good"] = np.asarray(content["good_frames_mask"], bool)
        entry["trans"] = np.asarray(parameters["trans"], np.float64)
        entry["betas"], entry["smpl"] = np.ravel(parameters["betas"])[:10], smpl
        entries[path.stem.removesuffix("_data")] = entry
    return entries


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, dict]:
    """Returns parameters near the true ones."""
    poses = {}
    for key, entry in true.items():
        n = len(entry["pose"])
        poses[key] = {
            "pose": entry["pose"] + rng.normal(0, 0.1, (n, 72)),
            "betas": entry["betas"] + rng.normal(0, 0.3, (n, 10)),
            "trans": entry["trans"] + rng.normal(0, 0.05, (n, 3)),
        }
    return poses


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes the official folder of pickles, one per frame, or PosePile's pickle (``*.pkl``)."""
    from scipy.spatial.transform import Rotation

    rows = poses.items() if isinstance(poses, dict) else poses
    if Path(path).suffix == ".pkl":
        dump_pickle(Path(path), {key: dict(content) for key, content in rows})
        return
    Path(path).mkdir(parents=True, exist_ok=True)
    for key, content in rows:
        person, sequence = key.split("_", 1)
        pose = np.asarray(content["pose"], np.float64)
        for i in range(len(pose)):
            matrices = np.full((24, 3, 3), np.nan)
            for joint, turn in enumerate(pose[i].reshape(24, 3)):
                if np.isfinite(turn).all():
                    matrices[joint] = Rotation.from_rotvec(turn).as_matrix()
            file = Path(path) / person / sequence / "hybrIK-out" / f"{i:06d}.pkl"
            of_frame = {
                "pred_theta_mats": matrices.reshape(1, -1),
                "pred_shape": np.asarray(content["betas"][i]).reshape(1, -1),
                "transl": np.asarray(content["trans"][i]).reshape(1, 3),
            }
            dump_pickle(file, of_frame)


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the figures of a protocol."""
    return global_scores(true, poses) if protocol == "emdb.2" else local(true, poses, protocol)


def local(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns errors in the camera's frame, over all good frames together."""
    errors, fitted, of_mesh, fitted_mesh, angles, fitted_angles, jitters = ([] for _ in range(7))
    posepile = protocol == "emdb.1-posepile"
    for key, entry in true.items():
        predicted = {}
        for f in np.flatnonzero(entry["good"]):
            mesh, joints, rotations = body(entry["smpl"], poses[key], f, still=not posepile)
            predicted[int(f)] = joints
            real_mesh, real, real_rotations = (
                entry[k][f] for k in ("vertices", "joints", "rotations")
            )
            root, real_root = (joints[1] + joints[2]) / 2, (real[1] + real[2]) / 2
            mesh, joints = 1000 * (mesh - root), 1000 * (joints - root)
            real_mesh, real = 1000 * (real_mesh - real_root), 1000 * (real - real_root)
            fit = similarity(joints, real)
            errors.append([distance(a, b) for a, b in zip(joints, real, strict=True)])
            after = transform(joints, fit)
            fitted.append([distance(a, b) for a, b in zip(after, real, strict=True)])
            of_mesh.append(distances(mesh, real_mesh))
            fitted_mesh.append(distances(transform(mesh, fit), real_mesh))
            angles.append([angle(rotations[j], real_rotations[j]) for j in PARTS])
            fitted_angles.append([angle(fit[1] @ rotations[j], real_rotations[j]) for j in PARTS])
        jitters.append(jitter(predicted, protocol))
    figures = {
        "MPJPE_mm": float(np.mean(errors)),
        "PA-MPJPE_mm": float(np.mean(fitted)),
        "MVE_mm": float(np.mean(of_mesh)),
        "PA-MVE_mm": float(np.mean(fitted_mesh)),
        "MPJAE_deg": float(np.mean(angles)),
        "PA-MPJAE_deg": float(np.mean(fitted_angles)),
    }
    if posepile:
        major = [[row[j] for j in MAJOR] for row in errors]
        worst = [max(row[j] for j in MAJOR) for row in fitted]
        figures["PCK50_percent"] = 100 * share_up_to(major, 50)
        figures["AUC50_percent"] = 100 * auc_50_bins(major)
        figures["NCPS125_percent"] = 100 * share_up_to(worst, 125)
    else:
        measured = [value for value in jitters if value is not None]
        figures["jitter_10m_per_s3"] = sum(measured) / len(measured) if measured else np.nan
    return figures


def body(smpl: Smpl, poses: dict, frame: int, still: bool):
    """Returns vertices, joints, rotations of a predicted body, neutral, at the origin or not."""
    trans = np.zeros(3) if still else poses["trans"][frame]
    return smpl.pose("neutral", poses["pose"][frame], poses["betas"][frame][:10], trans)


def jitter(predicted: dict[int, np.ndarray], protocol: str) -> float | None:
    """Returns a sequence's mean jerk in 10 m/s³; None where it is too short.

    Official: the frames that are left follow each other, nine joints lie at the origin and count.
    Corrected: only four frames in a row, only the fifteen other joints.
    """
    frames = sorted(predicted)
    kept = [j for j in range(24) if j not in ZEROED]
    jerks = []
    for a, b, c, d in zip(frames[:-3], frames[1:-2], frames[2:-1], frames[3:], strict=True):
        if protocol == "emdb.1-corrected" and d - a != 3:
            continue
        third = predicted[d] - 3 * predicted[c] + 3 * predicted[b] - predicted[a]
        norms = [float(np.linalg.norm(third[j])) * 30**3 for j in kept]
        jerks.append(sum(norms) / (15 if protocol == "emdb.1-corrected" else 24))
    return sum(jerks) / len(jerks) / 10 if jerks else None


def global_scores(true: dict, poses: dict) -> dict[str, float]:
    """Returns WHAM's figures of motion in the world, over good frames, which follow each other."""
    first_two, whole, track, jerks, slides = ([] for _ in range(5))
    for key, entry in true.items():
        good = np.flatnonzero(entry["good"])
        bodies = [body(entry["smpl"], poses[key], f, still=False) for f in good]
        meshes, joints = [b[0] for b in bodies], np.array([b[1] for b in bodies])
        real_meshes, real = entry["vertices"][good], entry["joints"][good]
        for start in range(0, len(good), 100):
            chunk, real_chunk = joints[start : start + 100], real[start : start + 100]
            for fit_on, errors in ((2, first_two), (100, whole)):
                fit = similarity(chunk[:fit_on].reshape(-1, 3), real_chunk[:fit_on].reshape(-1, 3))
                for moved, right in zip(chunk, real_chunk, strict=True):
                    errors.append(1000 * float(np.mean(distances(transform(moved, fit), right))))
        told, trans = np.asarray(poses[key]["trans"], np.float64)[good], entry["trans"][good]
        length = sum(distance(a, b) for a, b in itertools.pairwise(trans))
        moved = transform(told, similarity(told, trans, scale=False))
        track += [100 * distance(a, b) / length for a, b in zip(moved, trans, strict=True)]
        for third in third_differences(joints):
            jerks.append(float(np.mean(np.linalg.norm(third, axis=-1))) * 30**3 / 10)
        for i in range(len(good) - 1):
            for foot in range(len(FEET)):
                if distance(real_meshes[i][foot], real_meshes[i + 1][foot]) < 0.01:
                    slides.append(1000 * distance(meshes[i][foot], meshes[i + 1][foot]))
    return {
        "W-MPJPE_mm": sum(first_two) / len(first_two),
        "WA-MPJPE_mm": sum(whole) / len(whole),
        "RTE_percent": sum(track) / len(track),
        "jitter_10m_per_s3": sum(jerks) / len(jerks) if jerks else np.nan,
        "foot-sliding_mm": sum(slides) / len(slides) if slides else np.nan,
    }

"""MuPoTS-3D: the official multi-person protocol, person by person.

A truth has one entry for each frame with valid people, by image path; a prediction has for each
``(points [n, 17, 2] px, poses [n, 17, 3] mm)``, both in the order of the test set.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from references.common import auc_150, distance, share_below

PELVIS = 14
SWAPPED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14, 15, 16]
# Counted from 1, as in the official script.
PARENTS = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]
TRAVERSED = [16, 2, 1, 17, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
MATCHED = range(2, 15)
SCORED = range(1, 15)


def truth(root: Path, protocol: str) -> dict[str, list[dict]]:
    """Returns the valid people of every frame that has any: pixels, universal and real poses."""
    from scipy.io import loadmat

    entries = {}
    for number in range(1, 21):
        annotations = loadmat(Path(root) / f"TS{number}" / "annot.mat")["annotations"]
        for frame in range(annotations.shape[0]):
            people = []
            for person in range(annotations.shape[1]):
                fields = annotations[frame, person][0, 0]
                if np.ravel(fields["isValidFrame"])[0]:
                    points = np.asarray(fields["annot2"], np.float64).T
                    pose = np.asarray(fields["univ_annot3"], np.float64).T
                    real = np.asarray(fields["annot3"], np.float64).T
                    people.append({"points": points, "pose": pose, "real": real})
            if people:
                entries[f"TS{number}/img_{frame:06d}.jpg"] = people
    return entries


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, tuple]:
    """Returns people near the true ones in another order, some missing, some there are not."""
    poses = {}
    for key, people in true.items():
        chosen = [person for person in people if rng.random() < 0.85]
        chosen += [people[int(rng.integers(len(people)))]] * int(rng.random() < 0.4)
        rng.shuffle(chosen)
        points, found = np.zeros((0, 17, 2)), np.zeros((0, 17, 3))
        if chosen:
            n = len(chosen)
            points = np.stack([p["points"] for p in chosen]) + rng.normal(0, 25, (n, 17, 2))
            found = np.stack([p["pose"] for p in chosen])
            found = found + rng.normal(0, rng.uniform(10, 120), (n, 17, 3))
            points[:, rng.random(17) < 0.1] = 0
        poses[key] = (points, found)
    return poses


def guess_in_space(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, tuple]:
    """Returns people near the true ones, their pixels where the fitted camera sees them."""
    poses = {}
    for key, people in true.items():
        chosen = [person["real"] for person in people if rng.random() < 0.9]
        rng.shuffle(chosen)
        found = np.array(chosen).reshape(-1, 17, 3)
        found = found + rng.normal(0, rng.uniform(10, 120), (len(found), 17, 3))
        (fx, cx), (fy, cy) = fitted_camera(true, key.split("/")[0])
        x, y, z = np.moveaxis(found, -1, 0)
        poses[key] = (np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1), found)
    return poses


def fitted_camera(true: dict, sequence: str) -> list[np.ndarray]:
    """Returns (fx, cx), (fy, cy): least squares over all joints of a sequence's valid people."""
    people = [p for key, those in true.items() if key.startswith(f"{sequence}/") for p in those]
    found = []
    for axis in (0, 1):
        rows = [[j[axis] / j[2], 1] for person in people for j in person["real"]]
        pixels = [point[axis] for person in people for point in person["points"]]
        found.append(np.linalg.lstsq(np.array(rows), np.array(pixels), rcond=None)[0])
    return found


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes ``preds_2d_kpt_mupots.mat`` and ``preds_3d_kpt_mupots.mat`` into a folder.

    In an npz are rows of image path and pose, as many as there are people.
    """
    from scipy.io import savemat

    rows = list(poses.items()) if isinstance(poses, dict) else list(poses)
    if Path(path).suffix == ".npz":
        pairs = [(f"mupots/{key}", pose) for key, (_, found) in rows for pose in found]
        keys = np.array([key for key, _ in pairs], dtype="U64")
        coords = np.array([pose for _, pose in pairs], np.float64).reshape(-1, 17, 3)
        np.savez(path, image_path=keys, coords3d_pred_world=coords)
        return
    path.mkdir(parents=True, exist_ok=True)
    names = [key.replace("/", "_").removesuffix(".jpg") for key, _ in rows]
    for which, file in enumerate(("preds_2d_kpt_mupots.mat", "preds_3d_kpt_mupots.mat")):
        content = {name: both[which] for name, (_, both) in zip(names, rows, strict=True)}
        savemat(path / file, content)


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns PCK and AUC in percent: unweighted means over the sequences."""
    absolute, rescaled = protocol.endswith("-absolute"), not protocol.endswith("-corrected")
    matched_only = protocol.startswith("mupots.matched")
    sequences: dict[str, list[list[float]]] = {}
    for key, people in true.items():
        errors = sequences.setdefault(key.split("/")[0], [])
        points, predicted = poses[key]
        matches = match([person["points"] for person in people], list(points))
        for person, chosen in zip(people, matches, strict=True):
            right = person["pose"]
            right = right if absolute else right - right[PELVIS]
            if chosen is None:
                if not matched_only:
                    errors.append([distance(np.full(3, 100000.0), t) for t in right])
                continue
            guessed = np.asarray(predicted[chosen], np.float64)
            guessed = guessed if absolute else guessed - guessed[PELVIS]
            if rescaled:
                guessed = with_bones_of(guessed, right)
            errors.append([distance(p, t) for p, t in zip(guessed, right, strict=True)])
    pck, auc = [], []
    for errors in sequences.values():
        scored = [row[joint - 1] for row in errors for joint in SCORED]
        pck.append(100 * share_below(scored, 150))
        auc.append(100 * auc_150(scored))
    return {"PCK150_percent": sum(pck) / len(pck), "AUC150_percent": sum(auc) / len(auc)}


def match(true_points: list, predicted: list) -> list[int | None]:
    """Returns the prediction that each true person gets, in their order."""
    taken, matches = set(), []
    for points in true_points:
        best, best_count = None, 0
        for i, guessed in enumerate(predicted):
            if i in taken:
                continue
            count = 0
            for joint in MATCHED:
                x, y = guessed[joint - 1]
                seen = not (x == 0 and y == 0)
                dx, dy = abs(x - points[joint - 1][0]), abs(y - points[joint - 1][1])
                count += bool(seen and dx < 40 and dy < 40)
            if count > best_count:
                best, best_count = i, count
        if best is not None:
            taken.add(best)
        matches.append(best)
    return matches


def with_bones_of(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the prediction with the bone lengths of the truth, from the pelvis outwards."""
    mapped = predicted.copy()
    for joint in TRAVERSED:
        child, parent = joint - 1, PARENTS[joint - 1] - 1
        bone = predicted[child] - predicted[parent]
        length, norm = distance(true[child], true[parent]), math.sqrt((bone**2).sum())
        direction = bone / norm if norm else np.full(3, math.nan)
        mapped[child] = mapped[parent] + length * direction
    return mapped

"""RICH: poses of the test split as WHAM evaluates them, and contact as BSTRO does."""

import pickle
import re
import xml.etree.ElementTree as ET

import numpy as np

from references import bodies
from references.common import distances, procrustes
from references.entries import folder_of, mean, pairs_of

MALE = {*range(9), 11, 14, 15, 20}
HIPS = [1, 2]
PICTURE = re.compile(r"(\w+/cam_\d+)/(\d+)_\d+_(\d+)\.jpg$")
PER_SECOND = 30
# Not zero where nothing is in contact.
TINY = 1e-10


def fits(root):
    """Yields sequence, frame, subject and content of the fits of the test split."""
    for folder in sorted(folder_of(root, "rich").rglob("test_body")):
        for path in sorted(folder.glob("*/*/*.pkl")):
            sequence, frame, subject = path.parts[-3], path.parts[-2], path.stem
            yield sequence, int(frame), subject, pickle.loads(path.read_bytes(), encoding="latin1")


def camera(root, sequence, number):
    """Returns rotation and translation, metres, of a static camera; None of one without a file."""
    scene = sequence.split("_")[0]
    for folder in sorted(folder_of(root, "rich").rglob(f"scan_calibration/{scene}/calibration")):
        path = folder / f"{number:03d}.xml"
        if path.is_file():
            text = ET.parse(path).getroot().find("CameraMatrix/data").text
            matrix = np.array([float(x) for x in re.split(r"\s+", text.strip())]).reshape(3, 4)
            return matrix[:, :3], matrix[:, 3]
    return None


def truth(root, protocol):
    """Returns what is compared with.

    ``rich.body``: by picture of a person the SMPL vertices in the camera's frame, metres.
    ``rich.contact``: by recording, frame and subject the labels ``[6890]``. ``""``: the
    regressor, or the distances on the surface where they are at hand.
    """
    if protocol == "rich.contact":
        out = {}
        for folder in sorted(folder_of(root, "rich").rglob("test_hsc")) + sorted(
            folder_of(root, "rich").rglob("human_scene_contact/test")
        ):
            for path in sorted(folder.glob("*/*/*.pkl")):
                label = pickle.loads(path.read_bytes(), encoding="latin1")
                key = "/".join(("test", *path.parts[-3:-1], path.stem))
                out[key] = np.asarray(label["contact"], float).ravel()
        try:
            out[""] = np.load(bodies.find(root, "smpl_neutral_geodesic_dist.npy"))
        except FileNotFoundError:
            out[""] = None
        return out
    matrix = pickle.loads(bodies.find(root, "smplx2smpl.pkl").read_bytes())["matrix"]
    matrix = matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix, float)
    models = {g: bodies.load_model(root, "smplx", g) for g in ("male", "female")}
    out = {"": bodies.load_model(root, "smpl", "neutral")["J_regressor"]}
    views = read_views(root)
    for sequence, frame, subject, fit in fits(root):
        model = models["male" if int(subject) in MALE else "female"]
        # Hands are not posed: the library's default pose, which is the mean.
        pose = np.zeros((55, 3))
        pose[0] = np.ravel(fit["global_orient"])
        pose[1:22] = np.reshape(fit["body_pose"], (21, 3))
        hands = np.reshape([model["hands_meanl"], model["hands_meanr"]], (30, 3))
        pose[25:] = hands
        vertices, _ = bodies.pose_body(model, pose, np.ravel(fit["betas"])[:10], fit["transl"])
        for number in sorted(views[sequence]):
            turn, shift = camera(root, sequence, number)
            folder = f"rich_downscaled/test/{sequence}/cam_{number:02d}"
            key = f"{folder}/{frame:05d}_{number:02d}_{subject}.jpg"
            out[key] = matrix @ (vertices @ turn.T + shift)
    return out


def read_views(root):
    """Returns by recording the numbers of its static cameras."""
    path = folder_of(root, "rich") / "resource" / "meta" / "test.txt"
    rows = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
    column = rows[0].index("view_id")
    return {row[0]: {int(n) for n in row[column].split(",")} for row in rows[1:]}


def guess(truth, rng, protocol):
    """Returns predictions near the truth: metres, or probabilities."""
    entries = {key: value for key, value in truth.items() if key}
    if protocol == "rich.contact":
        return {k: 0.3 * v + 0.5 * rng.random(v.shape) + 0.1 for k, v in entries.items()}
    return {k: 1.05 * v + rng.normal(0, 0.04, v.shape) for k, v in entries.items()}


def write_predictions(path, poses, protocol):
    """Writes an npz: keys of entries and their values, metres or probabilities."""
    pairs = pairs_of(poses)
    keys = [key for key, _ in pairs]
    name = "contact" if protocol == "rich.contact" else "vertices"
    np.savez(
        path, **{"image_path": np.array(keys, str), name: np.array([value for _, value in pairs])}
    )


def scores(truth, poses, protocol):
    """Returns the figures of a protocol."""
    if protocol == "rich.contact":
        return contact_scores(truth, poses)
    regressor = truth[""]
    joints, direct, aligned, surface = {}, [], [], []
    for key, mesh in truth.items():
        if not key:
            continue
        guess = np.asarray(poses[key], float)
        true, pred = regressor @ mesh, regressor @ guess
        root_true, root_pred = true[HIPS].mean(axis=0), pred[HIPS].mean(axis=0)
        true, pred = true - root_true, pred - root_pred
        joints[key] = true, pred
        direct.append(1000 * mean(distances(pred, true)))
        aligned.append(1000 * mean(distances(procrustes(pred, true), true)))
        surface.append(1000 * mean(distances(guess - root_pred, mesh - root_true)))
    # Second differences of frames that follow each other, of one person in one camera.
    accelerations = []
    where = {key: PICTURE.search(key).groups() for key in joints}  # view, frame, subject
    for view, subject in sorted({(w[0], w[2]) for w in where.values()}):
        keys = sorted(k for k, w in where.items() if (w[0], w[2]) == (view, subject))
        for before, now, after in zip(keys[:-2], keys[1:-1], keys[2:], strict=True):
            if int(where[after][1]) - int(where[before][1]) != 2:
                continue  # at 30 fps only if no frame is missing
            t, p = np.zeros((24, 3)), np.zeros((24, 3))
            for key, factor in ((before, 1), (now, -2), (after, 1)):
                true, pred = joints[key]
                t, p = t + factor * true, p + factor * pred
            accelerations.append(PER_SECOND**2 * mean(distances(p, t)))
    return {
        "MPJPE_mm": mean(direct), "PA-MPJPE_mm": mean(aligned), "PVE_mm": mean(surface),
        "acceleration_m_per_s2": mean(accelerations),
    }  # fmt: skip


def contact_scores(truth, poses):
    """Returns precision, recall and F1, each the mean of the images'; centimetres if known."""
    lists = {"precision": [], "recall": [], "F1": []}
    away, geodesic = [], truth[""]
    for key, label in truth.items():
        if not key:
            continue
        guess, label = np.ravel(poses[key]) >= 0.5, label == 1
        both = (guess & label).sum()
        precision, recall = both / (guess.sum() + TINY), both / (label.sum() + TINY)
        lists["precision"].append(precision)
        lists["recall"].append(recall)
        lists["F1"].append(2 * precision * recall / (precision + recall + TINY))
        if geodesic is not None:
            columns = geodesic[:, label] if label.any() else geodesic
            rows = columns[guess] if guess.any() else columns
            away.append(100 * mean(rows.min(axis=1)))
    figures = {name: mean(values) for name, values in lists.items()}
    return figures | {"geodesic_cm": mean(away)}

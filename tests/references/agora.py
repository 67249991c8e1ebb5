"""AGORA: the official package's matching, F1 and errors of bodies, hands and faces."""

import pickle
import zipfile

import numpy as np

from references import bodies
from references.common import distances
from references.entries import folder_of, mean, pairs_of

N_MATCHED, IOU = 24, 0.1
BODY = {"smpl": 24, "smplx": 22}
# Joint that a part is aligned at, which counts itself, and the others.
PARTS = {"lhand": (20, range(25, 40)), "rhand": (21, range(40, 55)), "face": (12, range(76, 127))}
INDEX_FILES = {"smpl": "body_verts_smpl.npy", "smplx": "body_verts_smplx.npy"}


def truth(root, protocol, files="validation_*_withjv.pkl"):
    """Returns by image name the people of the frames; ``""``: vertices of each part.

    A person: 2D joints (px of 3840 x 2160), 3D joints and vertices (m, camera), whether valid.
    """
    import pandas

    kind = protocol.split(".")[1].split("-")[0]
    out = {}
    for path in sorted((folder_of(root, "agora") / kind.upper()).glob(files)):
        for _, row in pandas.read_pickle(path).iterrows():
            if kind == "smplx" and not any(s in row["imgPath"] for s in ("bfh", "smplx")):
                continue
            people = []
            for p, valid in enumerate(row["isValid"]):
                person = {key: np.asarray(row[f"gt_{key}"][p], float) for key in
                          ("joints_2d", "joints_3d", "verts")}  # fmt: skip
                person["valid"] = bool(valid) and 0 <= row["occlusion"][p] <= 90
                people.append(person)
            out[row["imgPath"]] = people
    parts = {"body": np.load(bodies.find(root, INDEX_FILES[kind]))}
    if kind == "smplx":
        hands = pickle.loads(bodies.find(root, "MANO_SMPLX_vertex_ids.pkl").read_bytes())
        parts |= {"lhand": hands["left_hand"], "rhand": hands["right_hand"]}
        parts["face"] = np.load(bodies.find(root, "SMPL-X__FLAME_vertex_ids.npy"))
    out[""] = {"parts": parts, "kind": kind}
    return out


def guess(truth, rng, protocol):
    """Returns by image people near those of the truth; some are missing, some too many."""
    out = {}
    for image, people in truth.items():
        found = []
        for person in people if image else ():
            for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
                noisy = {"joints_2d": person["joints_2d"][:24] + rng.normal(0, 15, (24, 2))}
                for key in ("joints_3d", "verts"):
                    noisy[key] = person[key] + rng.normal(0, 0.05, person[key].shape)
                found.append(noisy)
        if found:
            out[image] = [found[i] for i in rng.permutation(len(found))]
    return out


def write_predictions(path, poses, protocol):
    """Writes the zip that is submitted: a pickle for each person, in ``predictions/``."""
    with zipfile.ZipFile(path, "w") as archive:
        for image, people in pairs_of(poses):
            for k, person in enumerate(people):
                content = {"joints": person["joints_2d"], "verts": person["verts"]}
                content["allSmplJoints3d"] = person["joints_3d"]
                name = f"predictions/{image.removesuffix('.png')}_personId_{k}.pkl"
                archive.writestr(name, pickle.dumps(content))


def overlap(a, b):
    """Returns the intersection over union of the boxes of two sets of points, whole pixels."""
    (ax0, ay0), (ax1, ay1) = a.min(axis=0), a.max(axis=0)
    (bx0, by0), (bx1, by1) = b.min(axis=0), b.max(axis=0)
    width = max(0, min(ax1, bx1) - max(ax0, bx0) + 1)
    height = max(0, min(ay1, by1) - max(ay0, by0) + 1)
    areas = (ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1)
    return width * height / (areas - width * height)


def match(predicted, people, ends_early):
    """Returns by index of a valid person that of the prediction matched to it.

    Args:
        predicted: 2D joints of each prediction.
        people: Of the truth.
        ends_early: Whether matches and rejected pairs together use up the predictions.
    """
    pairs = []
    for p, joints in enumerate(predicted):
        for t, person in enumerate(people):
            difference = joints[:N_MATCHED, :2] - person["joints_2d"][:N_MATCHED, :2]
            pairs.append((np.linalg.norm(difference, 2), p, t))
    pairs.sort(key=lambda pair: pair[0])  # of equal ones the first
    used, closed, found, rejected = set(), set(), {}, 0
    for _, p, t in pairs:
        if len(closed) == len(people):
            break
        if ends_early and len(used) + rejected >= len(predicted):
            break
        if overlap(predicted[p], people[t]["joints_2d"]) < IOU:
            rejected += 1
            if not people[t]["valid"]:
                closed.add(t)
            continue
        if p in used or t in closed:
            continue
        closed.add(t)
        if people[t]["valid"]:  # a prediction at an invalid person stays free
            used.add(p)
            found[t] = p
    return found


def scores(truth, poses, protocol):
    """Returns F1 and the errors in mm."""
    corrected, kind = protocol.endswith("-corrected"), truth[""]["kind"]
    parts = truth[""]["parts"]
    n_true = n_missed = n_wrong = 0
    lists = {}
    for image, people in truth.items():
        if not image:
            continue
        valid = [t for t, person in enumerate(people) if person["valid"]]
        predicted = poses.get(image, [])
        n_true += len(valid)
        if not predicted:
            n_missed += len(valid)
            continue
        found = match([p["joints_2d"] for p in predicted], people, ends_early=not corrected)
        n_missed += len(valid) - len(found)
        n_wrong += len(predicted) - len(found)
        for t in valid:
            if t not in found:
                # Of hands and faces a miss counts as no error.
                for part in PARTS if kind == "smplx" and not corrected else ():
                    lists.setdefault(("MPJPE", part), []).append(0)
                    lists.setdefault(("MVE", part), []).append(0)
                continue
            true, pred = people[t], predicted[found[t]]
            body = range(BODY[kind])
            hips = [mean_point(person["joints_3d"], (1, 2)) for person in (pred, true)]
            add(lists, "body", pred, true, body, parts["body"], *hips)
            for part, (root, joints) in PARTS.items() if kind == "smplx" else ():
                roots = [person["joints_3d"][root] for person in (pred, true)]
                add(lists, part, pred, true, [root, *joints], parts[part], *roots)
    hits = n_true - n_missed
    f1 = hits / (hits + 0.5 * (n_wrong + n_missed)) if n_true else 0.0
    digits = {"f1": None, "mm": None} if corrected else {"f1": 2, "mm": 1}
    f1 = rounded(f1, digits["f1"])
    errors = {key: rounded(mean(values), digits["mm"]) for key, values in lists.items()}
    return {"F1": f1} | named(errors, f1, digits["mm"], kind)


def named(errors, f1, digits, kind):
    """Returns the errors under their names, with those divided by F1."""
    out = {}
    for figure, normalized in (("MPJPE", "NMJE"), ("MVE", "NMVE")):
        nothing = float("nan")
        body = errors.get((figure, "body"), nothing)
        whole = {"": body}
        if kind == "smplx":
            left, right, face = (errors.get((figure, part), nothing) for part in PARTS)
            whole["-body"] = body
            whole["-lhand"], whole["-rhand"], whole["-face"] = left, right, face
            whole["-full"] = rounded(body + (left + right + face) / 3, digits)
        for suffix, value in whole.items():
            out[f"{figure}{suffix}_mm"] = value
            if suffix in ("", "-body", "-full"):
                out[f"{normalized}{suffix}_mm"] = rounded(value / f1, digits) if f1 else nothing
    return out


def rounded(value, digits):
    """Returns a number rounded; None: as it is."""
    return value if digits is None or not np.isfinite(value) else round(float(value), digits)


def mean_point(points, ids):
    """Returns the mean of some points."""
    return sum(np.asarray(points[i], float) for i in ids) / len(ids)


def add(lists, part, pred, true, joints, vertices, root_pred, root_true):
    """Notes the errors of a part, each body moved to its own root, mm."""
    for figure, key, ids in (("MPJPE", "joints_3d", joints), ("MVE", "verts", vertices)):
        ids = np.asarray(list(ids))
        away = distances(pred[key][ids] - root_pred, true[key][ids] - root_true)
        lists.setdefault((figure, part), []).append(1000 * mean(away))

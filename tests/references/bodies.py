"""Body models of the SMPL family as their files describe them: float64, joint after joint."""

import pickle
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from references.common import find_body_models


def find(root, *names):
    """Returns the first file of one of the names below ``root/body_models`` or ``root``."""
    for folder in (find_body_models(root), Path(root)):
        for name in names:
            found = sorted(folder.rglob(name))
            if found:
                return found[0]
    raise FileNotFoundError(f"none of {names} below {root}")


def load_model(root, kind, gender):
    """Returns the arrays of a model file: ``smpl`` or ``smplx``; neutral, male or female."""
    folder = find_body_models(root) / kind
    if kind == "smpl":
        short = {"neutral": "neutral", "male": "m", "female": "f"}[gender]
        path = folder / f"basicmodel_{short}_lbs_10_207_0_v1.1.0.pkl"
        model = pickle.loads(path.read_bytes(), encoding="latin1")
    else:
        with np.load(folder / f"SMPLX_{gender.upper()}.npz") as file:
            model = {key: file[key] for key in file.files}
    regressor = model["J_regressor"]
    dense = regressor.toarray() if hasattr(regressor, "toarray") else regressor
    arrays = {"J_regressor": dense}
    for key in ("v_template", "weights", "shapedirs", "posedirs", "kintree_table", "f"):
        arrays[key] = model[key]
    for key in ("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr"):
        if key in model:
            arrays[key] = model[key]
    whole = {"kintree_table", "f"}
    return {k: np.asarray(v, np.int64 if k in whole else float) for k, v in arrays.items()}


def pose_body(model, pose, betas, trans=(0, 0, 0)):
    """Returns vertices and joints, metres.

    Args:
        model: From :func:`load_model`.
        pose: ``[J, 3]`` rotation vectors, relative to the parent; hands with their mean.
        betas: The first numbers of the shape.
        trans: Added after posing.
    """
    pose, betas = np.asarray(pose, float).reshape(-1, 3), np.asarray(betas, float).ravel()
    shaped = model["v_template"] + model["shapedirs"][:, :, : len(betas)] @ betas
    rest = model["J_regressor"] @ shaped
    local = [Rotation.from_rotvec(p).as_matrix() for p in pose]
    feature = np.concatenate([(r - np.eye(3)).ravel() for r in local[1:]])
    posed = shaped + model["posedirs"] @ feature
    # Where each joint's frame goes, along the tree from the root.
    turns, places = [local[0]], [rest[0]]
    for j in range(1, len(rest)):
        parent = int(model["kintree_table"][0, j])
        turns.append(turns[parent] @ local[j])
        places.append(places[parent] + turns[parent] @ (rest[j] - rest[parent]))
    vertices = np.zeros_like(posed)
    for j in range(len(rest)):
        moved = (posed - rest[j]) @ turns[j].T + places[j]
        vertices += model["weights"][:, j : j + 1] * moved
    return vertices + np.asarray(trans, float), np.array(places) + np.asarray(trans, float)


def silhouette(vertices, faces, focal, centre, size):
    """Returns a mask ``[h, w]``: pixels whose centre lies in a projected triangle.

    Args:
        vertices: ``[n, 3]`` in the camera's frame, all in front of it.
        faces: ``[m, 3]`` indices.
        focal: Pixels.
        centre: The principal point.
        size: Width and height; pixel centres are at integers.
    """
    points = focal * vertices[:, :2] / vertices[:, 2:] + np.asarray(centre, float)
    width, height = size
    mask = np.zeros((height, width), bool)
    corners = points[faces]
    top, bottom = corners[..., 1].min(axis=1), corners[..., 1].max(axis=1)
    for y in range(height):
        met = corners[(top <= y) & (bottom >= y)]  # triangles that the row of pixels meets
        ends = np.full((len(met), 3), np.nan)  # where each side does
        for side, (p, q) in enumerate(((0, 1), (1, 2), (2, 0))):
            (x0, y0), (x1, y1) = met[:, p].T, met[:, q].T
            crosses = (np.minimum(y0, y1) <= y) & (np.maximum(y0, y1) >= y) & (y0 != y1)
            part = (y - y0[crosses]) / (y1 - y0)[crosses]
            ends[crosses, side] = x0[crosses] + part * (x1 - x0)[crosses]
        known = np.isfinite(ends).any(axis=1)
        first = np.maximum(np.ceil(np.nanmin(ends[known], axis=1)), 0).astype(int)
        last = np.minimum(np.floor(np.nanmax(ends[known], axis=1)), width - 1).astype(int)
        steps = np.zeros(width + 1, int)
        np.add.at(steps, first[first <= last], 1)
        np.add.at(steps, last[first <= last] + 1, -1)
        mask[y] = steps.cumsum()[:width] > 0
    return mask

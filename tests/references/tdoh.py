"""3DOH50K: 14 joints of PosePile's protocol, and PARE's on the neutral body."""

import json

import numpy as np
from scipy.spatial.transform import Rotation

from references import bodies
from references.common import distances, procrustes
from references.entries import folder_of, mean, pairs_of

H36M_TO_LSP = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
RIGHT_HIP, LEFT_HIP = 2, 3


def truth(root, protocol):
    """Returns by image id what a protocol compares with.

    ``tdoh.lsp14``: joints ``[14, 3]``, mm, camera frame. ``tdoh.pare``: the body's vertices and
    the rows of the regressor that are used, metres.
    """
    folder = folder_of(root, "3doh")
    labels = json.loads((folder / "testset" / "annots.json").read_text())
    if protocol != "tdoh.pare":
        return {k: np.array(v["lsp_joints_3d"], float) * 1000 / 7 for k, v in labels.items()}
    model = bodies.load_model(root, "smpl", "neutral")
    regressor = np.load(bodies.find(root, "J_regressor_h36m.npy"))
    out = {}
    for key, label in labels.items():
        pose = np.array(label["pose"], float).reshape(24, 3)
        to_camera = np.array(label["extri"], float)[:3, :3]
        pose[0] = Rotation.from_matrix(
            to_camera @ Rotation.from_rotvec(pose[0]).as_matrix()
        ).as_rotvec()
        vertices, _ = bodies.pose_body(model, pose, np.ravel(label["betas"]))
        out[key] = {"vertices": vertices, "regressor": regressor}
    return out


def guess(truth, rng, protocol):
    """Returns predictions near the truth: mm; of ``tdoh.pare`` meshes in metres."""
    if protocol == "tdoh.pare":
        meshes = {key: value["vertices"] for key, value in truth.items()}
        return {k: 1.1 * v + rng.normal(0, 0.03, v.shape) + 0.5 for k, v in meshes.items()}
    return {key: 0.9 * pose + rng.normal(0, 60, pose.shape) for key, pose in truth.items()}


def write_predictions(path, poses, protocol):
    """Writes an npz: ``image_id`` and ``coords3d_pred_cam`` in mm, or ``vertices`` in metres."""
    pairs = pairs_of(poses)
    ids = np.array([key for key, _ in pairs], str)
    values = np.array([value for _, value in pairs], float).reshape(-1, *shape_of(pairs))
    name = "vertices" if protocol == "tdoh.pare" else "coords3d_pred_cam"
    np.savez(path, **{"image_id": ids, name: values})


def shape_of(pairs):
    """Returns the shape of one row, also where there is none."""
    return np.shape(pairs[0][1]) if pairs else (14, 3)


def scores(truth, poses, protocol):
    """Returns the figures of a protocol."""
    direct, aligned, surface = [], [], []
    for key in sorted(truth):
        if protocol == "tdoh.pare":
            regressor, mesh = truth[key]["regressor"], truth[key]["vertices"]
            guess = np.asarray(poses[key], float)
            root_true, root_pred = regressor[0] @ mesh, regressor[0] @ guess
            true = regressor[H36M_TO_LSP] @ mesh - root_true
            pred = regressor[H36M_TO_LSP] @ guess - root_pred
            true, pred = 1000 * true, 1000 * pred
            surface.append(mean(1000 * distances(guess - root_pred, mesh - root_true)))
        else:
            true, pred = truth[key], np.asarray(poses[key], float)
            true = true - (true[RIGHT_HIP] + true[LEFT_HIP]) / 2
            pred = pred - (pred[RIGHT_HIP] + pred[LEFT_HIP]) / 2
        direct.append(mean(distances(pred, true)))
        aligned.append(mean(distances(procrustes(pred, true), true)))
    if protocol == "tdoh.lsp14":
        return {"MPJPE_mm": mean(direct)}
    if protocol == "tdoh.lsp14-pa":
        return {"PA-MPJPE_mm": mean(aligned)}
    return {"MPJPE_mm": mean(direct), "PA-MPJPE_mm": mean(aligned), "PVE_mm": mean(surface)}

"""Evaluation on 3DOH50K: joints as published, or the mesh of the fitted body.

Predictions of tdoh.lsp14 and tdoh.lsp14-pa are an npz with image_id (texts such as 00000) and
coords3d_pred_cam (n, 14, 3) in mm; those of tdoh.pare an npz with image_id and vertices
(n, 6890, 3) of the neutral SMPL in metres; in the frame of the camera, rows in any order.
"""

import sys
from collections.abc import Iterator
from functools import partial

import numpy as np

from posepile.bodies.models import models_below
from posepile.ds.tdoh.main import SPEC, read_labels
from posepile.evaluation import forms, meshes
from posepile.evaluation.benchmark import Benchmark, Clip, Picture, Protocol, Setup
from posepile.evaluation.bodies import lsp14_figures
from posepile.evaluation.columns import pose_figures
from posepile.evaluation.command import run_benchmark
from posepile.geometry.cameras import make_camera

MM, PER_CLIP = 1000 / 7, 50  # of a unit of length, whatever option the reader has; pictures
LSP14 = Protocol(
    "tdoh.lsp14",
    ("MPJPE_mm",),
    joints="14 of LSP, lsp_joints_3d at 7 units per metre",
    root="middle of the hips",
    alignment="none",
    averaging="all joints of all pictures",
    source="PosePile, ds/tdoh/eval.py",
    frames="all 1,290 pictures of the test set",
    expected={"entries": 1290},
    joint_names=tuple(SPEC.joint_info.names),
    edges="rsho-relb-rwri,rhip-rkne-rank,neck-head",
)
PARE = {
    "figures": ("MPJPE_mm", "PA-MPJPE_mm", "PVE_mm"),
    "joints": "14 of LSP by J_regressor_h36m.npy of the neutral SMPL mesh; vertices",
    "root": "row 0 of the regressor (pelvis)",
    "alignment": "none (PA: similarity on all 14 joints)",
    "source": "PARE, pare/dataset/base_dataset.py",
    "note": "truth is the fitted body without its scale; not comparable with tdoh.lsp14",
}
SIMILARITY = {"figures": ("PA-MPJPE_mm",), "alignment": "similarity on all 14 joints"}
PROTOCOLS = [LSP14, LSP14.variant("tdoh.lsp14-pa", **SIMILARITY)]
PROTOCOLS += [LSP14.variant("tdoh.pare", settings={"mesh": True}, **PARE)]


def truth(setup: Setup) -> Iterator[Clip]:
    """Yields pictures of the test set in the order of their ids, 50 in a clip."""
    labels = sorted(read_labels(setup.root / "testset/annots.json"), key=lambda row: row["id"])
    for i in range(0, len(labels), PER_CLIP):
        some = labels[i : i + PER_CLIP]
        ids = [label["id"] for label in some]
        cameras = [make_camera(label["id"], intrinsics=label["intri"]) for label in some]
        paths = [setup.root / f"testset/images/{id}.jpg" for id in ids]
        seen = [Picture(*pair) for pair in zip(paths, cameras, strict=True)]
        found = {"joints": np.stack([MM * label["lsp_joints_3d"] for label in some])}
        if "mesh" in setup.protocol.settings:  # turned like the camera; the place does not matter
            turns = np.tile(np.eye(4), (len(some), 1, 1))
            turns[:, :3, :3] = [label["extri"][:3, :3] for label in some]
            keys = {"pose": "pose", "shape": "betas"}
            body = {
                ours: np.array([label[key][0] for label in some]) for ours, key in keys.items()
            }
            place = {"world_to_camera": turns, "models_root": models_below(setup.root)}
            found = {"vertices": meshes.posed_bodies("smpl", "neutral", body, **place)["vertices"]}
        yield Clip(f"testset from {ids[0]}", ids, found, picture=seen.__getitem__)


def predictions(setup: Setup) -> forms.Predictions:
    """Opens the predictions."""
    given, path = {"names": "image_id"}, setup.pred_path
    if "mesh" not in setup.protocol.settings:
        return forms.npz_poses(path, "coords3d_pred_cam", {14: None}, **given)
    n_vertices = meshes.read_h36m_regressor("V", setup.root).shape[1]
    return forms.npz_arrays(path, {"vertices": (n_vertices, 3)}, unit="m", **given)


def score(setup: Setup, clip: Clip, pred: dict) -> dict[str, np.ndarray]:
    """Returns figures of each joint ``[n, 14]`` and, over vertices, of each picture ``[n]``."""
    if "mesh" not in setup.protocol.settings:
        return pose_figures(pred["joints"], clip.truth["joints"], root=(2, 3))
    both = [side["vertices"] for side in (pred, clip.truth)]
    regressor = meshes.read_h36m_regressor(both[0].shape[1], setup.root)
    return lsp14_figures(*both, regressor)


BENCHMARK = Benchmark("tdoh", PROTOCOLS, truth, predictions, score)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

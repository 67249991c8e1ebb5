"""Errors of bodies, and of contacts with the scene, on the test set of RICH.

rich.body: an npz with image_path, as in the packed dataset (rich_downscaled/test/<recording>/
cam_<CC>/<FFFFF>_<CC>_<SSS>.jpg), and either vertices [n, V, 3] of SMPL or SMPL-X, or pose [n, 72],
betas [n, k] and trans [n, 3] of the neutral SMPL; metres, in the frame of the camera.
rich.contact: an npz with image_path (test/<recording>/<FFFFF>/<SSS>) and contact [n, 6890].
"""

import sys
from functools import partial

from posepile.bodies import models, surface
from posepile.bodies.joints import SMPL_JOINT_NAMES
from posepile.ds.rich import main as rich
from posepile.ds.rich.eval_truth import GEODESIC, body_clips, contact_clip, contact_figures
from posepile.evaluation import forms, meshes
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.bodies import centred
from posepile.evaluation.command import run_benchmark
from posepile.formats.folders import names_like
from posepile.metrics import acceleration_errors, joint_errors, pose_errors

HIPS, FPS, N_CONTACT, N_SMPLX = [1, 2], 30, 6890, 10475
BODY = Protocol(
    "rich.body",
    ("MPJPE_mm", "PA-MPJPE_mm", "PVE_mm", "acceleration_m_per_s2"),
    joints="24 of SMPL, made of vertices by the J_regressor of the neutral model on both sides",
    root="mean of the hips (joints 1 and 2)",
    alignment="none (PA: similarity of each pose)",
    averaging="all frames of all people and views; acceleration: second differences at 30 fps",
    source="WHAM, lib/eval/evaluate_rich.py; also GVHMR and CameraHMR",
    frames="test set, views of the meta file, frames with a fit",
    note="truth: gendered SMPL-X, mean hands, no expression, face at rest, as a mesh of SMPL; "
    "acceleration: only over frames that follow each other; WHAM steps over missing fits, and "
    "leaves out the first and last value of each video, GVHMR does not",
    joint_names=SMPL_JOINT_NAMES,
)
CONTACT = Protocol(
    "rich.contact",
    ("precision", "recall", "F1", "geodesic_cm"),
    joints="6890 vertices of SMPL",
    root="none",
    alignment="none; a vertex is in contact from 0.5 on",
    averaging="within each person and frame, then over these",
    source="BSTRO, metro/tools/run_bstro_hsc.py",
    frames="test set, people and frames with contact labels",
    note=f"where nothing is predicted or true, 0; geodesic_cm needs body_models/{GEODESIC}",
)


def truth(setup):
    """Yields the clips: of bodies one per recording, view and person, else one per recording."""
    folder = "test_hsc" if setup.protocol == CONTACT else "test_body"
    places = [setup.root / at / folder for at in rich.PLACES]
    for name in sorted({n for at in places for n in names_like(at, rich.RECORDING)}):
        files = rich.find_fits(rich.find(setup.root, f"{folder}/{name}"), name.split("_")[1:-1])
        if setup.protocol == CONTACT:
            yield contact_clip(name, files, N_CONTACT)
        else:
            yield from body_clips(setup.root, name, files)


def predictions(setup):
    """Opens predictions."""
    if setup.protocol == BODY:
        return meshes.body_arrays(setup.pred_path, 24)
    return forms.npz_arrays(setup.pred_path, {"contact": (N_CONTACT,)})


def score(setup, clip, pred):
    """Returns figures per entry; accelerations of the clip."""
    root, true = setup.root, clip.truth
    if setup.protocol == CONTACT:
        return contact_figures(root, pred["contact"], true["contact"])
    below, model = models.models_below(root), ("smpl", "neutral")
    regressor = surface.joint_regressor(*model, models_root=below)
    more = {"sizes": (regressor.shape[1], N_SMPLX), "models_root": below}
    vertices = meshes.posed_vertices(setup.pred_path, *model, pred, **more)
    if vertices.shape[1] == N_SMPLX:
        vertices = meshes.smpl_of_smplx(vertices, root)
    sides = (
        centred({"joints": meshes.regressed(regressor, mesh), "vertices": mesh}, *HIPS)
        for mesh in (vertices, true["vertices"])
    )
    joints, surfaces = zip(*((side["joints"], side["vertices"]) for side in sides), strict=True)
    acceleration = acceleration_errors(*joints, fps=FPS, frames=true["frames"])
    return {
        "MPJPE_mm": joint_errors(*joints),
        "PA-MPJPE_mm": pose_errors(*joints, alignment="similarity"),
        "PVE_mm": joint_errors(*surfaces).mean(axis=1),
        "acceleration_m_per_s2": acceleration / 1000,
    }


BENCHMARK = Benchmark("rich", [BODY, CONTACT], truth, predictions, score)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

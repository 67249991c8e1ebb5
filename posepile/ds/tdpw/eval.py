"""3DPW: the challenge's evaluator, PosePile's, and the 14 joints of HMR and SPIN.

Predictions: ``<split>/<sequence>.pkl`` of the challenge, camera's frame, metres (or ``units``);
axes person, frame: ``jointPositions`` and ``orientations`` (or one of them); hmr14: ``vertices``.
"""

import sys
from functools import partial

import numpy as np

from posepile.bodies.models import models_below
from posepile.ds.tdpw.main import FOLDERS, GENDERS, read_sequence
from posepile.errors import WorkError
from posepile.evaluation import bodies, pickled
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.command import run_benchmark
from posepile.evaluation.meshes import moved, posed_bodies, read_h36m_regressor
from posepile.files import files_below
from posepile.metrics import hits, trapezoid_hits

PRED = {"joints": "jointPositions", "orientations": "orientations", "vertices": "vertices"}
N_TRACKS, DETECTED, ANY = 87, "campose_valid, and poses2d not all zero", "any number of tracks"
CHALLENGE = Protocol(
    "tdpw.challenge",
    ("MPJPE_mm", "PA-MPJPE_mm", "PCK50", "AUC200", "MPJAE_deg", "PA-MPJAE_deg"),
    joints="24 of SMPL; PCK, AUC: 12 of the limbs; MPJAE: 9 parts",
    root="pelvis",
    alignment="none; PA: similarity per frame, on the joints",
    averaging="frames of all people, and joints, together",
    source="aymenmir1/3dpw-eval, ECCV 2020 challenge",
    frames=f"all splits; {DETECTED}",
    note=f"needs all {N_TRACKS} tracks; AUC200 by trapezoids over 0, 1, ... 199 mm",
)
IN_TEST = {"frames": f"test; {DETECTED}", "settings": {"folders": ("test",)}}
TEST = CHALLENGE.variant("tdpw.challenge-test", note=ANY, **IN_TEST)
POSEPILE = CHALLENGE.variant(
    "tdpw.posepile",
    figures=("MPJPE_mm", "PA-MPJPE_mm", "PCK50_percent", "AUC50_percent", "NCPS125_percent"),
    joints="24 of SMPL, as stored; PCK, AUC, NCPS: 12 of the limbs",
    source="isarandi/PosePile ds/tdpw/eval_simple.py",
    note="AUC up to 199 mm in 50 bins; NCPS: poses whose worst limb joint after PA is in 125 mm",
)
HMR = TEST.variant(
    "tdpw.hmr14",
    figures=("MPJPE_mm", "PA-MPJPE_mm", "PVE_mm"),
    joints="14 of LSP by J_regressor_h36m from the mesh; PVE: all vertices",
    root="pelvis of the regressor (row 0)",
    source="nkolot/SPIN eval.py",
    frames="test; campose_valid",
)


def truth(setup):
    """Yields the sequences, with the people's frames that are evaluated."""
    raw, n_tracks = setup.root / "sequenceFiles", 0
    for folder in setup.protocol.settings.get("folders", FOLDERS.values()):
        for file in files_below(raw / folder, "*.pkl"):
            data = read_sequence(file)
            people = [person_truth(setup, data, p) for p in range(len(data["genders"]))]
            n_tracks += len(people)
            yield pickled.track_clip(f"{folder}/{file.stem}", people, len(data["cam_poses"]))
    if setup.protocol == CHALLENGE and n_tracks != N_TRACKS:
        raise WorkError(f"{raw}: {n_tracks} tracks; expected {N_TRACKS}; or take {TEST.name}")


def person_truth(setup, data, p):
    """Returns the frames of a person that are evaluated, and bodies in the camera's frame."""
    detected = (setup.protocol == HMR) | data["poses2d"][p].any(axis=(1, 2))
    rows = np.flatnonzero((data["campose_valid"][p] > 0) & detected)
    body = {"pose": data["poses"][p][rows], "trans": data["trans"][p][rows]}
    body["shape"], to_camera = data["betas"][p].ravel()[:10], data["cam_poses"][rows]
    if setup.protocol == POSEPILE:
        joints = data["jointPositions"][p][rows].reshape(-1, 24, 3)
        return rows, {"joints": 1000 * moved(joints, to_camera)}
    gender, more = GENDERS[data["genders"][p]], {"models_root": models_below(setup.root)}
    more |= {"vertices": setup.protocol == HMR, "parts": bodies.SMPL_PARTS}
    found = posed_bodies("smpl", gender, body, world_to_camera=to_camera, **more)
    return rows, {"vertices": found["vertices"]} if setup.protocol == HMR else found


def score(setup, clip, pred):
    """Returns the figures of each entry."""
    if setup.protocol == HMR:
        regressor = read_h36m_regressor(clip.truth["vertices"].shape[1], setup.root)
        return bodies.lsp14_figures(pred["vertices"], clip.truth["vertices"], regressor)
    figures = dict.fromkeys(setup.protocol.figures, np.full((1, 24), np.nan))
    figures |= bodies.body_figures(bodies.centred(pred, 0), bodies.centred(clip.truth, 0))
    if setup.protocol == POSEPILE:
        return figures | bodies.limb_figures(figures)
    limbs = figures["MPJPE_mm"][:, bodies.SMPL_LIMBS]
    return figures | {"PCK50": hits(limbs, 50), "AUC200": trapezoid_hits(limbs, np.arange(200))}


predictions = partial(pickled.track_pickles, PRED, unit="m")
BENCHMARK = Benchmark("tdpw", (CHALLENGE, TEST, POSEPILE, HMR), truth, predictions, score)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

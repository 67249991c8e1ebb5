"""EMDB: the official evaluator of set 1, PosePile's, and WHAM's of motion in the world (set 2).

Predictions of neutral SMPL in all frames: the official ``P1/<sequence>/hybrIK-out/000000.pkl``
(``pred_theta_mats``, ``pred_shape``, ``transl``), or PosePile's ``{"P1_<sequence>": {"pose",
"betas", "trans"}}`` in a pickle; metres, in the camera's frame, for emdb.2 in a world.
"""

import sys
from functools import partial

import numpy as np

from posepile.ds.emdb.eval_bodies import compare, refuse_millimetres, sequence_clip
from posepile.ds.emdb.main import N_BETAS, read_sequence
from posepile.evaluation import bodies, pickled
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.command import run_benchmark
from posepile.geometry.rotations import matrix_rotvec
from posepile.metrics import jitter_values, mean_value

POSEPILE_FORM = {"pose": (72,), "betas": ("n_betas",), "trans": (3,)}
OFFICIAL_FORM = {"pred_theta_mats": (24, 3, 3), "pred_shape": (10,), "transl": (3,)}
FPS, METRES = 30, {"unit": "m", "lengths": ("trans", "transl")}
ZEROED = (0, 7, 8, 10, 11, 20, 21, 22, 23)  # joints that stand still in the official jitter
POSES = ("MPJPE_mm", "PA-MPJPE_mm", "MVE_mm", "PA-MVE_mm", "MPJAE_deg", "PA-MPJAE_deg")
OFFICIAL = Protocol(
    "emdb.1",
    (*POSES, "jitter_10m_per_s3"),
    joints="24 of SMPL; MVE: all vertices; MPJAE: 9 parts",
    root="middle of the hips",
    alignment="none; PA: similarity per frame, on the joints",
    averaging="good frames of all sequences, and joints, together; jitter: sequences",
    source="eth-ait/emdb evaluate.py",
    frames="set 1; good_frames_mask",
    expected={"clips": 17},
    note="jitter: frames left out are stepped over, and 9 joints count as still",
)
FOLLOWING = "jitter: of the 15 other joints, and only over frames that follow each other"
CORRECTED = OFFICIAL.variant("emdb.1-corrected", official=False, note=FOLLOWING)
POSEPILE = OFFICIAL.variant(
    "emdb.1-posepile",
    figures=(*POSES[:2], "PCK50_percent", "AUC50_percent", "NCPS125_percent", *POSES[2:]),
    source="isarandi/PosePile ds/emdb/eval.py",
    note="who is not male is female; NCPS: poses whose worst limb joint after PA is in 125 mm",
)
WORLD = Protocol(
    "emdb.2",
    ("W-MPJPE_mm", "WA-MPJPE_mm", "RTE_percent", "jitter_10m_per_s3", "foot-sliding_mm"),
    joints="24 of SMPL; RTE: trans; foot sliding: 4 vertices",
    root="none",
    alignment="similarity per 100 frames, on the first 2 (W) or all (WA); RTE: rigid per sequence",
    averaging="good frames of all sequences together",
    source="yohanshin/WHAM lib/eval/evaluate_emdb.py",
    frames="set 2; good_frames_mask, the rest stepped over",
    note="RTE: of the length of the true path; feet: where the true vertex moves less than 1 cm",
)


def truth(setup):
    """Yields the sequences of the set, in their good frames."""
    for file in sorted(setup.root.glob("P*/*/P*_data.pkl")):
        data, world = read_sequence(file), setup.protocol == WORLD
        female = setup.protocol == POSEPILE and data["gender"] != "male"
        if data["emdb2" if world else "emdb1"]:
            yield sequence_clip(data, "female" if female else data["gender"], world)


def predictions(setup):
    """Opens predictions: a folder is in the official form, a file in PosePile's."""
    if not setup.pred_path.is_dir():
        return pickled.pickle_of_clips(setup.pred_path, POSEPILE_FORM, **METRES)
    found = {f"{f.parts[-3]}_{f.parts[-2]}": f for f in setup.pred_path.glob("*/*/hybrIK-out")}
    return pickled.frame_pickles(setup.pred_path, found, OFFICIAL_FORM, **METRES)


def score(setup, clip, pred):
    """Returns the figures of each entry, of joints in differences, of the sequence."""
    turned, betas, trans = pred.values()
    turned = turned if turned.ndim == 2 else matrix_rotvec(turned).reshape(-1, 72)
    moving = setup.protocol in (POSEPILE, WORLD)  # otherwise the translation is set to zero
    body = {"pose": turned, "shape": betas[:, :N_BETAS], "trans": moving * trans / 1000}
    found = bodies.in_batches(partial(compare, setup.root), body, clip.truth)
    told, true = found.pop("told"), found.pop("true")
    frames = clip.truth["frame"] if setup.protocol == CORRECTED else None
    jerk = jitter_values(told[:, :24] / 1000, fps=FPS, frames=frames) / 10
    if setup.protocol == WORLD:
        refuse_millimetres(setup, clip, trans)
        figures = bodies.world_figures(told, true, (trans, 1000 * clip.truth["trans"]))
        return figures | {"jitter_10m_per_s3": jerk}
    if setup.protocol == POSEPILE:
        return found | bodies.limb_figures(found)
    jerk[:, ZEROED] = np.nan if setup.protocol == CORRECTED else 0
    return found | {"jitter_10m_per_s3": [mean_value(jerk)]}


BENCHMARK = Benchmark("emdb", (OFFICIAL, CORRECTED, POSEPILE, WORLD), truth, predictions, score)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

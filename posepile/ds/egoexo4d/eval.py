"""The ego-pose benchmarks of Ego-Exo4D: body (MPJPE, MPJVE) and hands (MPJPE, PA-MPJPE).

Predictions are the challenge's JSON, in metres, or an ``.npz`` with ``image_path`` (of our
archives) and ``coords3d_pred_world`` ``[n, 61, 3]`` (or 17 body joints) in millimetres; several
views of one instant are averaged. posepile.ds.egoexo4d.eval_submission writes the submission.
"""

import sys
from functools import partial
from pathlib import Path

from posepile.ds.egoexo4d.annotations import BODY_KEYS, HAND_SUFFIXES, LABEL_FOLDERS
from posepile.ds.egoexo4d.eval_bodies import body_clips, score_body
from posepile.ds.egoexo4d.eval_hands import hand_clips, score_hands
from posepile.ds.egoexo4d.eval_predictions import body_poses, hand_poses
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.command import run_benchmark

BODY = Protocol(
    "egoexo4d.body",
    ("MPJPE_cm", "MPJVE_m_per_s"),
    joints="17 of COCO that are labelled",
    root="none",
    alignment="none; in the frame of the glasses' camera at each instant (--reference)",
    averaging="joints of a take, then takes",
    source="EGO4D/ego-exo4d-egopose bodypose/test.py",
    frames="every entry of the labels with a pose of the glasses, no Bouldering",
    note="velocity is the difference of consecutive entries times 10, whatever lies between them",
    pool="clips",
    joint_names=BODY_KEYS,
)
POOLED = BODY.variant(
    "egoexo4d.body-pooled",
    alignment="none; in the world",
    averaging="all joints of all takes",
    source="EGO4D/ego-exo4d-egopose bodypose/evaluation/evaluate.py",
    frames="entries in clips, without a step of more than 3 frames, that last 120 or longer",
    note="velocity takes the time between entries less than 10 frames apart, also across clips",
    pool="entries",
    settings={"pooled": True, "farthest": 9},
)
CORRECTED = BODY.variant(
    "egoexo4d.body-corrected",
    official=False,
    note="velocity only between entries that follow each other (3 frames), by their time",
    settings={"farthest": 3},
)
HAND = Protocol(
    "egoexo4d.hand",
    ("MPJPE_mm", "PA-MPJPE_mm"),
    joints="21 of each hand that are valid by the benchmark's rules",
    root="none (--offset: predictions are relative to the wrist)",
    alignment="none (PA: similarity on valid joints)",
    averaging="joints of a hand, then hands",
    source="EGO4D/ego-exo4d-egopose handpose/evaluation/evaluate.py",
    frames="takes of Health, Bike repair, Music and Cooking; hands with 10 valid joints",
    joint_names=HAND_SUFFIXES,
)


def add_options(parser):
    """Adds which labels are evaluated, and how."""
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    parser.add_argument("--labels", choices=tuple(LABEL_FOLDERS), default="manual")
    parser.add_argument("--reference", choices=("camera", "first", "global"), default="camera")
    parser.add_argument("--truth", type=Path, help="hands: prepared truth instead of the labels")
    parser.add_argument("--write-truth", type=Path, help="hands: also write the prepared truth")
    parser.add_argument("--offset", action="store_true", help="hands: relative to the wrist")
    parser.add_argument("--no-mask", dest="mask", action="store_false", help="hands: no lens mask")


def truth(setup):
    """Yields the takes, with keys as predictions have them."""
    return hand_clips(setup) if setup.protocol == HAND else body_clips(setup)


def predictions(setup):
    """Returns the opened predictions."""
    if setup.protocol == HAND:
        return hand_poses(setup.root, setup.pred_path, setup.args.split, setup.args.units)
    return body_poses(setup.root, setup.pred_path)


def score(setup, clip, pred):
    """Returns distances, and those of velocities."""
    return (score_hands if setup.protocol == HAND else score_body)(setup, clip, pred["joints"])


PROTOCOLS = (BODY, POOLED, CORRECTED, HAND)
BENCHMARK = Benchmark("egoexo4d", PROTOCOLS, truth, predictions, score, add_options=add_options)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

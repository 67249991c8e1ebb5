"""PoseTrack18: average precision of joints, and accuracy of tracking them, as poseval has them.

Predictions are a folder with a file per video, named and laid out like the annotation files:
``images`` (all of the video, by ``id``), ``annotations`` (``image_id``, ``keypoints``: x, y and v
of each joint, 0 0 0 where it was not found; ``scores``, one per joint; for tracking ``track_id``)
and ``categories`` with the names of the key points. Pixels, the centre of the first one is 0.
"""

import itertools
import sys
from functools import partial

import numpy as np

from posepile.ds.posetrack.main import JOINTS, PARTS, label_files
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.command import run_benchmark, split_option
from posepile.evaluation.video_people import labelled_people, points_of, video_people
from posepile.metrics import PosedPeople, mean_value, part_ap, part_mota

EARS = ("left_ear", "right_ear")
EVALUATED = [j for j, name in enumerate(JOINTS) if name not in EARS]
GROUPS = {"head": ["head_top", "head_bottom", "nose"]}
GROUPS |= {part: [f"left_{part}", f"right_{part}"] for part in PARTS if part != "ear"}
AP = Protocol(
    "posetrack.ap",
    ("AP", *(f"AP-{part}" for part in GROUPS), "precision", "recall"),
    joints="15, those labelled of each person; ears are not",
    root="none, in the picture",
    alignment="none; right is within half a head size, 0.6 x the diagonal of the head's box",
    averaging="per joint, over all pictures; then over joints",
    source="poseval, evaluateAP: area below precision over recall, PCKh 0.5",
    frames="pictures of the annotation files (option --split) in which somebody is annotated",
    note="greedy matching by the share of right joints; a joint without label is a false alarm; "
    "joints in ignored regions do not count; those without scores rank last; all quirks: "
    "posepile.metrics.part_ap",
    joint_names=tuple(JOINTS),
    misses_count=True,
)
MOTA = AP.variant(
    "posetrack.mota",
    figures=("MOTA", *(f"MOTA-{part}" for part in GROUPS), "MOTP", "precision", "recall"),
    averaging="per joint, counted over all videos; then over joints",
    source="poseval, evaluateTracking: CLEAR MOT metrics, PCKh 0.5",
    note="pictures follow each other as in the file of labels; the last one of a video does not "
    "count; MOTP is by pairs, that of the program "
    "depends on the release of py-motmetrics; all quirks: posepile.metrics.part_mota",
)


def truth(setup):
    """Yields the people of every picture of a split."""
    files, split = label_files(setup.root, setup.args.split), setup.args.split
    yield labelled_people(split, files, JOINTS, tracks=setup.protocol.name == MOTA.name)


def predictions(setup):
    """Returns the opened folder: of each picture the joints, scores and tracks of its people."""
    videos, tracks = label_files(setup.root, setup.args.split), setup.protocol.name == MOTA.name
    return video_people(setup.pred_path, JOINTS, videos, may_lack=EARS, tracks=tracks)


def score(setup, clip, pred):
    """Returns the figures, each as the only value of the split."""
    sides = (
        *pred.values(),
        *(clip.truth[k] for k in ("joints", "head_size", "ignored", "tracks")),
    )
    pictures = [
        PosedPeople(
            points_of(joints)[:, EVALUATED],
            scores[:, EVALUATED],
            true[:, EVALUATED],
            *(head_size, ignored, tracks, true_tracks),
        )
        for joints, scores, tracks, true, head_size, ignored, true_tracks in zip(
            *sides, strict=True
        )
    ]
    if setup.protocol.name == AP.name:
        name, found = "AP", part_ap(pictures)
    else:
        videos = itertools.groupby(range(len(pictures)), lambda i: clip.keys[i].rpartition("/")[0])
        name, found = "MOTA", part_mota([pictures[i] for i in rows] for _, rows in videos)
    per_joint = dict(zip((JOINTS[j] for j in EVALUATED), found[0], strict=True))
    figures = {f"{name}-{k}": np.mean([per_joint[j] for j in GROUPS[k]]) for k in GROUPS}
    means = zip((name, *setup.protocol.figures[1 + len(GROUPS) :]), found, strict=True)
    figures |= {name: mean_value(values) for name, values in means}
    return {name: np.array([value]) for name, value in figures.items()}


SPLIT = split_option(("val", "train"), "val")
BENCHMARK = Benchmark("posetrack", [AP, MOTA], truth, predictions, score, add_options=SPLIT)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

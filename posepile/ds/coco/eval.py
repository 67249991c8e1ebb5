"""COCO key points: average precision and recall by OKS, as pycocotools computes them.

Predictions are the official results JSON: a list with ``image_id``, ``category_id`` (1),
``keypoints`` (17 times x, y and a number that is not used; pixels, the centre of the first one
is 0) and ``score`` of each detection. Images in which nobody was found may be absent.
"""

import sys
from functools import partial

import numpy as np

from posepile.ds.coco.main import SPEC
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.command import run_benchmark, split_option
from posepile.evaluation.key_points import (
    LIKE_COCO,
    found_people,
    label_and_result_files,
    labelled_people,
    labels_schema,
)
from posepile.formats.text_files import read_json
from posepile.metrics import COCO_FIGURES, keypoint_ap

LABELS = labels_schema(17, {"area": float}, {})
OFFICIAL = Protocol(
    "coco.keypoints",
    COCO_FIGURES,
    joints="17, those labelled (v > 0) of each person",
    source="pycocotools COCOeval, keypoints",
    note="-1 where there is nobody of that size; crowds and people whose num_keypoints is 0 are "
    "neither found nor missed, and take detections of joints within thrice their box; size is "
    "that of the segment for people, of `bbox`, else of the joints' box, for detections: one "
    "that finds nobody counts where its own size belongs; a joint's third number is not used",
    joint_names=tuple(SPEC.joint_info.names),
    **LIKE_COCO,
)


def truth(setup):
    """Yields the annotation file: the people of every image."""
    path = setup.root / "annotations" / f"person_keypoints_{setup.args.split}.json"
    labels = read_json(path, LABELS, hint="it comes with annotations_trainval<year>.zip")
    yield labelled_people(setup.args.split, labels, path)


def score(setup, clip, pred):
    """Returns the ten numbers, each as the only value of the file."""
    figures = keypoint_ap(*label_and_result_files(clip, pred))
    return {name: np.array([value]) for name, value in figures.items()}


PHASES = tuple(f"{split}{year}" for split in ("val", "train") for year in (2017, 2014))
SPLIT = split_option(PHASES, "val2017")
BENCHMARK = Benchmark(
    "coco", [OFFICIAL], truth, partial(found_people, n_joints=17), score, add_options=SPLIT
)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

"""COCO key points: average precision and recall by OKS, as pycocotools computes them.

Predictions are the official results JSON: a list with ``image_id``, ``category_id`` (1),
``keypoints`` (17 times x, y and a number that is not used; pixels, the centre of the first one
is 0) and ``score`` of each detection. Images in which nobody was found may be absent.
"""

import sys
from collections import defaultdict
from functools import partial

import numpy as np

from posepile.ds.coco.main import SPEC
from posepile.evaluation.benchmark import Benchmark, Clip, Predictions, Protocol, Taken
from posepile.evaluation.command import run_benchmark, split_option
from posepile.evaluation.predictions import read_pred_json
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json
from posepile.metrics import COCO_FIGURES, keypoint_ap

POINTS = Array(51, finite=False)
FOUND = {"image_id": int, "category_id": int, "keypoints": POINTS, "score": float}
LABELLED = {"id": int, "image_id": int, "category_id": int, "iscrowd": int, "num_keypoints": int}
LABELLED |= {"keypoints": Array(51), "bbox": Array(4), "area": float}
LABELS = {"images": [{"id": int}], "annotations": [LABELLED]}
OFFICIAL = Protocol(
    "coco.keypoints",
    COCO_FIGURES,
    joints="17, those labelled (v > 0) of each person",
    root="none, in the picture",
    alignment="none",
    averaging="10 thresholds of OKS from 0.5 to 0.95, 101 of recall; up to 20 people per image",
    source="pycocotools COCOeval, keypoints",
    frames="all images of the annotation file (option --split)",
    note="-1 where there is nobody of that size; crowds and people without labelled joints are "
    "neither found nor missed",
    joint_names=tuple(SPEC.joint_info.names),
    misses_count=True,
)


def truth(setup):
    """Yields the annotation file: the people of every image."""
    path = setup.root / "annotations" / f"person_keypoints_{setup.args.split}.json"
    labels = read_json(path, LABELS, hint="it comes with annotations_trainval<year>.zip")
    people = {image["id"]: [] for image in labels["images"]}
    for person in labels["annotations"]:
        people.setdefault(person["image_id"], []).append(person)
    yield Clip(setup.args.split, [str(image) for image in people], {"people": [*people.values()]})


def predictions(setup):
    """Returns the opened results: of each image the joints and scores of its people."""
    people = defaultdict(list)
    for found in read_pred_json(setup.pred_path, [FOUND]):
        if found["category_id"] == 1:
            people[str(found["image_id"])].append((found["keypoints"], found["score"]))

    def take(clip):
        joints = [np.reshape([p for p, _ in people[key]], (-1, 17, 3)) for key in clip.keys]
        scores = [np.array([score for _, score in people[key]]) for key in clip.keys]
        present = np.array([len(found) > 0 for found in joints], bool)
        return Taken({"joints": joints, "scores": scores}, present, setup.pred_path)

    return Predictions(setup.pred_path, take, list(people), lengths=())


def score(setup, clip, pred):
    """Returns the ten numbers, each as the only value of the file."""
    labels = {"images": [{"id": int(key)} for key in clip.keys], "categories": [{"id": 1}]}
    labels["annotations"] = [person for people in clip.truth["people"] for person in people]
    results = [
        {"image_id": int(key), "category_id": 1, "keypoints": points.ravel().tolist(), "score": s}
        for key, *found in zip(clip.keys, pred["joints"], pred["scores"], strict=True)
        for points, s in zip(*found, strict=True)
    ]
    return {name: np.array([value]) for name, value in keypoint_ap(labels, results).items()}


PHASES = tuple(f"{split}{year}" for split in ("val", "train") for year in (2017, 2014))
SPLIT = split_option(PHASES, "val2017")
BENCHMARK = Benchmark("coco", [OFFICIAL], truth, predictions, score, add_options=SPLIT)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

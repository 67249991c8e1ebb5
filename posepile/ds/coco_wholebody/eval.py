"""COCO-WholeBody: average precision and recall by OKS, of the whole body and of each part.

Predictions are the official results JSON: a list with ``image_id``, ``category_id`` (1),
``keypoints``, ``foot_kpts``, ``face_kpts``, ``lefthand_kpts``, ``righthand_kpts`` (x, y and a
number, pixels; 17, 6, 68, 21, 21 times) and ``score`` of each detection. ``wholebody_score``,
``body_score``, ``foot_score`` ... go before ``score`` for their part where they are there. A part
is not found if none of its third numbers is above 0. Images without detections may be absent.
"""

import sys
from functools import partial

import numpy as np

from posepile.ds.coco_wholebody.main import SPEC
from posepile.evaluation import key_points
from posepile.evaluation.benchmark import Benchmark, Protocol
from posepile.evaluation.command import run_benchmark, split_option
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json
from posepile.metrics import COCO_FIGURES, keypoint_ap
from posepile.metrics import WHOLEBODY_SIGMAS as SIGMAS
from posepile.shapes.coco_places import first_there

KEYS = {part: "keypoints" if part == "body" else f"{part}_kpts" for part in SIGMAS}
FOUND = {KEYS[part]: Array(3 * len(sigmas), finite=False) for part, sigmas in SIGMAS.items()}
FOUND |= {f"{part}_score?": float for part in ("wholebody", *SIGMAS)}
LABELS = {KEYS[part]: Array(3 * len(sigmas)) for part, sigmas in SIGMAS.items()}
LABELS = key_points.labels_schema(17, {"area": float, **LABELS}, {})
WHOLE = Protocol(
    "coco_wholebody.wholebody",
    COCO_FIGURES,
    joints="133, those labelled (v > 0) of each person",
    source="COCO-WholeBody's evaluation programs; xtcocotools COCOeval",
    note="-1 where there is nobody of that size; crowds and people without a labelled joint of "
    "the part, by v alone (not num_keypoints, nor foot_valid and the like), are neither found nor "
    "missed; similarity and size go by the area of the whole person for every part, the size of "
    "detections by `bbox`, else by their 17 joints; a detection whose third numbers of the part "
    "are all 0 is none; `score` stands in for that of a part: the published program has no such "
    "way out for wholebody_score, which its own example and format lack; xtcocotools does not "
    "know body_score",
    joint_names=tuple(SPEC.joint_info.names),
    **key_points.LIKE_COCO,
    settings={"score": "wholebody_score", "parts": tuple(SIGMAS)},
)
ENDS = np.cumsum([len(sigmas) for sigmas in SIGMAS.values()]).tolist()
OF_PARTS = [
    WHOLE.variant(
        f"coco_wholebody.{part}",
        joints=WHOLE.joints.replace("133", f"{len(sigmas)}"),
        note="the joints of this part alone; for the rest as wholebody",
        joint_names=WHOLE.joint_names[end - len(sigmas) : end],
        settings={"score": f"{part}_score", "parts": (part,)},
    )
    for (part, sigmas), end in zip(SIGMAS.items(), ENDS, strict=True)
]


def points_of(setup, person):
    """Returns x, y, v ... of what is evaluated."""
    return np.concatenate([person[KEYS[part]] for part in setup.protocol.settings["parts"]])


def truth(setup):
    """Yields the annotation file: the people of every image, with the joints of the part."""
    name = f"coco_wholebody_{setup.args.split}_v1.0.json"
    path = first_there([setup.root / name, setup.root / "annotations" / name])
    labels = read_json(path, LABELS, hint="posepile plan coco_wholebody says where it comes from")
    for person in labels["annotations"]:
        person["keypoints"] = points_of(setup, person)
        person["num_keypoints"] = int((person["keypoints"][2::3] > 0).sum())
    may_lack = "body" not in setup.protocol.settings["parts"]  # as hands may in a file
    yield key_points.labelled_people(setup.args.split, labels, path, may_lack=may_lack)


def predictions(setup):
    """Returns the detections that have something of the part, with the score of the part."""

    def choose(found):
        points, score = points_of(setup, found), found.get(setup.protocol.settings["score"])
        scored = {"keypoints": points, "score": found["score"] if score is None else score}
        return scored if (points[2::3] > 0).any() else None

    more = {"more": FOUND, "choose": choose}
    more["may_lack"] = "body" not in setup.protocol.settings["parts"]
    return key_points.found_people(setup, len(setup.protocol.joint_names), **more)


def score(setup, clip, pred):
    """Returns the ten numbers, each as the only value of the file."""
    sigmas = np.concatenate([SIGMAS[part] for part in setup.protocol.settings["parts"]])
    figures = keypoint_ap(*key_points.label_and_result_files(clip, pred), sigmas=sigmas)
    return {name: np.array([value]) for name, value in figures.items()}


PROTOCOLS, SPLIT = [WHOLE, *OF_PARTS], split_option(("val", "train"), "val")
BENCHMARK = Benchmark("coco_wholebody", PROTOCOLS, truth, predictions, score, add_options=SPLIT)
main = partial(run_benchmark, BENCHMARK, description=__doc__)
if __name__ == "__main__":
    sys.exit(main())

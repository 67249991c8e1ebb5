"""CrowdPose: average precision and recall by OKS, of all images and by how crowded they are.

Predictions are the official results JSON, as COCO's: a list with ``image_id``, ``category_id``
(1), ``keypoints`` (14 times x, y and a number that is not used; pixels, the centre of the first
one is 0) and ``score`` of each detection. Images in which nobody was found may be absent.
"""

import sys
from functools import partial

import numpy as np

from posepile.ds.crowdpose.main import PLACES, SPEC
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
from posepile.metrics import keypoint_ap
from posepile.shapes.coco_places import first_there

# Of shoulders, elbows, wrists, hips, knees, ankles; then of the head's top and the neck
SIGMAS = (*np.repeat([0.079, 0.072, 0.062, 0.107, 0.087, 0.089], 2), 0.079, 0.079)
SHARE_OF_BOX = 0.53  # area of a person, which the labels lack, as a share of the box's
CLASSES = ("easy", "medium", "hard")
OF_ALL = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")
LABELS = labels_schema(14, {}, {"crowdIndex": float})
OFFICIAL = Protocol(
    "crowdpose.official",
    (*OF_ALL, *(f"AP-{name}" for name in CLASSES)),
    joints="14, those labelled (v > 0) of each person",
    source="CrowdPose's COCOeval: crowdIndex below 0.2 is easy, from 0.8 on hard",
    note="the borders are those of the program, not of the paper (protocol paper); area is 0.53 "
    "times that of the box; who has num_keypoints 0, which does not count head and neck, and "
    "crowds are neither found nor missed; -1 for a class without people; the program rounds "
    "AP of classes to four decimals; that of xtcocotools passes over detections whose third "
    "numbers are all 0, which are not used here",
    joint_names=tuple(SPEC.joint_info.names),
    **LIKE_COCO,
    settings={"borders": (0.2, 0.8)},
)
PAPER = OFFICIAL.variant(
    "crowdpose.paper",
    source="Li et al., CVPR 2019: crowdIndex below 0.1 is easy, from 0.8 on hard",
    note="the borders are those of the paper, which reports numbers of the program with others "
    "(protocol official); for the rest as there",
    official=False,
    settings={"borders": (0.1, 0.8)},
)


def truth(setup):
    """Yields the annotation file: the people of every image, and how crowded it is."""
    split = setup.args.split
    path = first_there(setup.root / place.format(split) for place in PLACES)
    labels = read_json(path, LABELS, hint="posepile plan crowdpose shows what to fetch")
    clip = labelled_people(split, labels, path)
    clip.truth["crowd_index"] = np.array([image["crowdIndex"] for image in labels["images"]])
    yield clip


def score(setup, clip, pred):
    """Returns the nine numbers, each as the only value of the file."""
    labels, results = label_and_result_files(clip, pred)
    for person in labels["annotations"]:
        person["area"] = SHARE_OF_BOX * person["bbox"][2] * person["bbox"][3]
    figures = keypoint_ap(labels, results, sigmas=SIGMAS)
    class_of = np.digitize(clip.truth["crowd_index"], setup.protocol.settings["borders"])
    for number, name in enumerate(CLASSES):
        ids = {int(key) for key, of in zip(clip.keys, class_of, strict=True) if of == number}
        part = {**labels, "images": [image for image in labels["images"] if image["id"] in ids]}
        part["annotations"] = [p for p in labels["annotations"] if p["image_id"] in ids]
        found = [row for row in results if row["image_id"] in ids]
        figures[f"AP-{name}"] = keypoint_ap(part, found, sigmas=SIGMAS)["AP"]
    return {name: np.array([figures[name]]) for name in setup.protocol.figures}


SPLIT = split_option(("test", "val", "train"), "test")
PROTOCOLS, FOUND = [OFFICIAL, PAPER], partial(found_people, n_joints=14)
BENCHMARK = Benchmark("crowdpose", PROTOCOLS, truth, FOUND, score, add_options=SPLIT)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())

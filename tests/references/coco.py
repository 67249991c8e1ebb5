"""COCO key points: pycocotools itself, and the similarity of key points by hand.

A truth is the annotation file; a prediction has for each image id a list of
``{"keypoints": [17, 3], "score": float}``.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np

SIGMAS = [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87]
SIGMAS = [s / 10 for s in (*SIGMAS, 0.89, 0.89)]
SWAPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
FIGURES = "AP AP50 AP75 AP-medium AP-large AR AR50 AR75 AR-medium AR-large".split()


def truth(root: Path, protocol: str) -> dict:
    """Returns the annotation file of 2017's validation images, its path with it."""
    path = Path(root) / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    people: dict[int, list] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        people[annotation["image_id"]].append(annotation)
    return {"path": path, "people": people}


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[int, list[dict]]:
    """Returns people near the labelled ones, some of them twice, and some that there are not."""
    poses = {}
    for image, people in true["people"].items():
        found = []
        for person in people:
            points = np.array(person["keypoints"], float).reshape(17, 3)
            if not points[:, 2].any():
                continue
            size = math.sqrt(person["area"])
            for _ in range(int(rng.integers(1, 3))):
                noise = rng.normal(0, size * rng.uniform(0.01, 0.2), (17, 2))
                moved = np.hstack([points[:, :2] + noise, np.ones((17, 1))])
                found.append({"keypoints": moved, "score": float(rng.random())})
        if rng.random() < 0.5:
            moved = np.hstack([rng.uniform(0, 400, (17, 2)), np.ones((17, 1))])
            found.append({"keypoints": moved, "score": float(rng.random())})
        poses[image] = found
    return poses


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes the results JSON."""
    Path(path).write_text(json.dumps(result_rows(poses)))


def result_rows(poses) -> list[dict]:
    """Returns the list that a results file holds."""
    rows = poses.items() if isinstance(poses, dict) else poses
    return [
        {
            "image_id": image,
            "category_id": 1,
            "keypoints": np.asarray(person["keypoints"], float).ravel().tolist(),
            "score": person["score"],
        }
        for image, people in rows
        for person in people
    ]


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the ten official numbers, fractions."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = result_rows(poses)
    with contextlib.redirect_stdout(io.StringIO()):
        labels, results = COCO(str(true["path"])), COCO()
        if rows:
            results = labels.loadRes(rows)
        else:  # loadRes fails where nobody was found
            results.dataset = {**labels.dataset, "annotations": []}
            results.createIndex()
        evaluation = COCOeval(labels, results, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(FIGURES, map(float, evaluation.stats), strict=True))


def similarity(person: dict, keypoints) -> float:
    """Returns the object key point similarity of a prediction with a labelled person."""
    labelled = np.array(person["keypoints"], float).reshape(17, 3)
    total, count = 0.0, 0
    for joint in range(17):
        if labelled[joint, 2] > 0:
            dx, dy = np.asarray(keypoints)[joint, :2] - labelled[joint, :2]
            variance = (2 * SIGMAS[joint]) ** 2
            area = person["area"] + np.spacing(1)
            total += math.exp(-(dx**2 + dy**2) / (2 * variance * area))
            count += 1
    return total / count

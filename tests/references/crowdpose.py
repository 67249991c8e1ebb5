"""CrowdPose's average precision by plain loops, from the description of its evaluator.

A truth has for each image id its crowd index and its people, as they are annotated; a prediction
has for each image id a list of ``{"keypoints": [14, 3], "score": float}``. Nothing of
pycocotools is used.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from references.coco import result_rows

SIGMAS = [0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]
SIGMAS += [0.079, 0.079]
SWAPPED = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13]
THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()
RECALLS = np.linspace(0, 1, 101).tolist()
MOST = 20  # people that are looked at in an image
BORDERS = {"crowdpose.official": (0.2, 0.8), "crowdpose.paper": (0.1, 0.8)}


def truth(root: Path, protocol: str) -> dict:
    """Returns the images of the test set."""
    root = Path(root)
    path = root / "annotations" / "mmpose_crowdpose_test.json"
    path = path if path.exists() else root / "json" / "crowdpose_test.json"
    content = json.loads(path.read_text())
    images = {
        image["id"]: {"crowd_index": image["crowdIndex"], "people": []}
        for image in content["images"]
    }
    for person in content["annotations"]:
        images[person["image_id"]]["people"].append(person)
    return images


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[int, list[dict]]:
    """Returns people near the labelled ones, some of them twice, and some that there are not."""
    poses = {}
    for image, content in true.items():
        found = []
        for person in content["people"]:
            points = np.array(person["keypoints"], float).reshape(14, 3)
            size = math.sqrt(0.53 * person["bbox"][2] * person["bbox"][3])
            if not points[:, 2].any():  # somewhere in the box
                x, y, w, h = person["bbox"]
                points[:, :2] = rng.uniform((x, y), (x + w, y + h), (14, 2))
            for _ in range(int(rng.integers(1, 3))):
                noise = rng.normal(0, size * rng.uniform(0.01, 0.2), (14, 2))
                moved = np.hstack([points[:, :2] + noise, rng.uniform(0, 1, (14, 1))])
                found.append({"keypoints": moved, "score": round(float(rng.random()), 1)})
        if rng.random() < 0.5:
            moved = np.hstack([rng.uniform(0, 400, (14, 2)), np.ones((14, 1))])
            found.append({"keypoints": moved, "score": float(rng.random())})
        poses[image] = found
    return poses


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes the results JSON."""
    Path(path).write_text(json.dumps(result_rows(poses)))


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns AP and AR of all images, and AP of the easy, medium and hard ones; fractions."""
    easy, hard = BORDERS[protocol]
    classes: dict[str, list[int]] = {"easy": [], "medium": [], "hard": []}
    for image, content in true.items():
        index = content["crowd_index"]
        classes["easy" if index < easy else "medium" if index < hard else "hard"].append(image)
    matches = {image: _match(true[image]["people"], poses.get(image, [])) for image in true}
    precision, recall = of_images(matches, sorted(true))
    figures = {
        "AP": mean(precision),
        "AP50": precision[0],
        "AP75": precision[5],
        "AR": mean(recall),
        "AR50": recall[0],
        "AR75": recall[5],
    }
    for name, images in classes.items():
        figures[f"AP-{name}"] = mean(of_images(matches, sorted(images))[0])
    return figures


def similarity(person: dict, keypoints) -> float:
    """Returns the object key point similarity of a detection with an annotated person."""
    labelled = np.array(person["keypoints"], float).reshape(14, 3)
    x, y, w, h = person["bbox"]
    area = 0.53 * w * h + np.spacing(1)
    terms = []
    anywhere = not (labelled[:, 2] > 0).any()
    for joint in range(14):
        px, py = np.asarray(keypoints, float)[joint, :2]
        if anywhere:  # how far outside the box of three times the size
            dx = max(0.0, x - w - px) + max(0.0, px - (x + 2 * w))
            dy = max(0.0, y - h - py) + max(0.0, py - (y + 2 * h))
        elif labelled[joint, 2] > 0:
            dx, dy = px - labelled[joint, 0], py - labelled[joint, 1]
        else:
            continue
        terms.append(math.exp(-(dx * dx + dy * dy) / (2 * (2 * SIGMAS[joint]) ** 2 * area)))
    return sum(terms) / len(terms)


def _match(people: list[dict], found: list[dict]) -> dict:
    """Returns what becomes of an image's detections at each threshold, the best scored first.

    ``right`` or ``wrong``, or None for those that are with somebody who does not count, or cover
    more than 1e10 square pixels and are with nobody.
    """
    found = sorted(found, key=lambda detection: -detection["score"])[:MOST]
    counting = [p for p in people if p["num_keypoints"] > 0 and not p["iscrowd"]]
    others = [p for p in people if p["num_keypoints"] == 0 or p["iscrowd"]]
    of_counting = [[similarity(p, d["keypoints"]) for p in counting] for d in found]
    of_others = [[similarity(p, d["keypoints"]) for p in others] for d in found]
    fates = []
    for threshold in THRESHOLDS:
        taken, taken_others, fate = set(), set(), []
        for i, detection in enumerate(found):
            # Somebody who counts goes before those who do not, however near these are.
            who = best(of_counting[i], taken, threshold)
            if who is not None:
                taken.add(who)
                fate.append("right")
                continue
            who = best(of_others[i], taken_others, threshold)
            if who is not None:
                if not others[who]["iscrowd"]:
                    taken_others.add(who)
                fate.append(None)
                continue
            extent = np.ptp(np.asarray(detection["keypoints"], float)[:, :2], axis=0)
            fate.append(None if extent[0] * extent[1] > 1e10 else "wrong")
        fates.append(fate)
    return {"scores": [d["score"] for d in found], "fates": fates, "n": len(counting)}


def best(similarities: list[float], taken: set[int], threshold: float) -> int | None:
    """Returns who is nearest among those not taken, if near enough; of equals the last."""
    best, least = None, threshold
    for i, value in enumerate(similarities):
        if i not in taken and value >= least:
            best, least = i, value
    return best


def of_images(matches: dict, images: list[int]) -> tuple[list[float], list[float]]:
    """Returns average precision and recall at each threshold; -1 where there is nobody."""
    n_people = sum(matches[image]["n"] for image in images)
    if n_people == 0:
        return [-1.0] * len(THRESHOLDS), [-1.0] * len(THRESHOLDS)
    scored = [score for image in images for score in matches[image]["scores"]]
    order = sorted(range(len(scored)), key=lambda i: -scored[i])
    precisions, recalls = [], []
    for t in range(len(THRESHOLDS)):
        fates = [fate for image in images for fate in matches[image]["fates"][t]]
        right = wrong = 0
        curve = []  # recall and precision after each detection
        for i in order:
            right += fates[i] == "right"
            wrong += fates[i] == "wrong"
            # Those that do not count make a point of the curve all the same.
            curve.append((right / n_people, right / (right + wrong + np.spacing(1))))
        recalls.append(curve[-1][0] if curve else 0.0)
        precisions.append(sum(_at(curve, recall) for recall in RECALLS) / 101)
    return precisions, recalls


def _at(curve: list[tuple[float, float]], recall: float) -> float:
    """Returns the best precision from the first point on that has this recall."""
    return max((p for r, p in curve if r >= recall), default=0.0)


def mean(values: list[float]) -> float:
    """Returns the mean."""
    return sum(values) / len(values)

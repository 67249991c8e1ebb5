"""COCO-WholeBody's average precision by plain loops, from the description of its evaluator.

A truth has for each image id its people, as they are annotated; a prediction has for each image
id a list of ``{"keypoints": [133, 3], "score": float, "<part>_score": float, "bbox": [4]}``, the
last two where there are any. Nothing of pycocotools is used.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from references.crowdpose import THRESHOLDS, best, mean, of_images

# Key of a file, number of points, spread of each in ten-thousandths of the size.
BODY = "260 250 250 350 350 790 790 720 720 620 620 1070 1070 870 870 890 890"
FOOT = "680 660 660 920 940 940"
FACE = (
    "420 430 440 430 400 350 310 250 200 230 290 320 370 380 430 410 450 130 120 110 110 120 120 "
    "110 110 130 150 90 70 70 70 120 90 80 160 100 170 110 90 110 90 70 130 80 110 120 100 340 "
    "80 80 90 80 80 70 100 80 90 90 90 70 70 80 110 80 80 80 100 80"
)
HAND = "290 220 350 370 470 260 250 240 350 180 240 220 260 170 210 210 320 200 190 220 310"
PARTS = {
    "body": ("keypoints", 17, BODY),
    "foot": ("foot_kpts", 6, FOOT),
    "face": ("face_kpts", 68, FACE),
    "lefthand": ("lefthand_kpts", 21, HAND),
    "righthand": ("righthand_kpts", 21, HAND),
}
PROTOCOLS = [f"coco_wholebody.{part}" for part in ("wholebody", *PARTS)]
SWAPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 20, 21, 22, 17, 18, 19]
SWAPPED += [*range(39, 22, -1), *range(40, 91), *range(112, 133), *range(91, 112)]
SIZES = {"": (0, 1e10), "-medium": (32**2, 96**2), "-large": (96**2, 1e10)}
MOST = 20  # people that are looked at in an image


def truth(root: Path, protocol: str) -> dict:
    """Returns the people of the validation images."""
    content = json.loads((Path(root) / "coco_wholebody_val_v1.0.json").read_text())
    people: dict[int, list] = {image["id"]: [] for image in content["images"]}
    for person in content["annotations"]:
        people[person["image_id"]].append(person)
    return people


def points_of(person: dict) -> np.ndarray:
    """Returns all 133 points of an annotated person."""
    return np.concatenate([person[key] for key, _, _ in PARTS.values()]).reshape(133, 3)


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[int, list[dict]]:
    """Returns people near the labelled ones, some of them twice, and some that there are not.

    Some lack parts, some have scores of parts, some have a box.
    """
    poses = {}
    for image, people in true.items():
        found = []
        for person in people:
            points, size = points_of(person), math.sqrt(person["area"])
            x, y, w, h = person["bbox"]
            anywhere = rng.uniform((x, y), (x + w, y + h), (133, 2))
            points[:, :2] = np.where(points[:, 2:] > 0, points[:, :2], anywhere)
            for _ in range(int(rng.integers(1, 3))):
                noise = rng.normal(0, size * rng.uniform(0.001, 0.08), (133, 2))
                moved = np.hstack([points[:, :2] + noise, rng.uniform(0, 1, (133, 1))])
                found.append(_scored(moved, rng))
        if rng.random() < 0.5:
            scale = rng.choice([10, 40, 400])
            moved = np.hstack([rng.uniform(0, scale, (133, 2)), np.ones((133, 1))])
            found.append(_scored(moved, rng))
        poses[image] = found
    boxed = rng.random() < 0.5
    for detection in (d for found in poses.values() for d in found if boxed):
        low, high = (f(detection["keypoints"][:, :2], axis=0) for f in (np.min, np.max))
        detection["bbox"] = [*low, *(rng.uniform(0.2, 2) * (high - low))]
    return poses


def _scored(points: np.ndarray, rng: np.random.Generator) -> dict:
    """Returns a detection, without some parts."""
    start = 0
    for _, n, _ in PARTS.values():
        if rng.random() < 0.2:
            points[start : start + n] *= [1, 1, 0] if rng.random() < 0.5 else 0
        start += n
    scores = {
        f"{part}_score": round(float(rng.random()), 1)
        for part in ("wholebody", *PARTS)
        if rng.random() < 0.5
    }
    return {"keypoints": points, "score": round(float(rng.random()), 1), **scores}


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes the results JSON."""
    Path(path).write_text(json.dumps(result_rows(poses)))


def result_rows(poses) -> list[dict]:
    """Returns the list that a results file holds."""
    rows = []
    for image, people in poses.items() if isinstance(poses, dict) else poses:
        for person in people:
            row, start = {"image_id": image, "category_id": 1}, 0
            for key, n, _ in PARTS.values():
                row[key] = np.asarray(person["keypoints"])[start : start + n].ravel().tolist()
                start += n
            more = {k: v for k, v in person.items() if k.endswith("score") or k == "bbox"}
            rows.append({**row, **more})
    return rows


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the ten numbers of a part, fractions."""
    part = protocol.partition(".")[2]
    figures, images = {}, {}
    for image, people in true.items():
        found = _best_scored(poses.get(image, []), part)
        nearness = [[similarity(p, d["keypoints"], part) for p in people] for d in found]
        images[image] = people, found, nearness
    for size, limits in SIZES.items():
        matches = {image: _match(*of, part, limits) for image, of in images.items()}
        precision, recall = of_images(matches, sorted(true))
        figures |= {f"AP{size}": mean(precision), f"AR{size}": mean(recall)}
        if not size:
            figures |= {"AP50": precision[0], "AP75": precision[5]}
            figures |= {"AR50": recall[0], "AR75": recall[5]}
    return figures


def _rows_of(part: str) -> tuple[slice, list[float]]:
    """Returns which of the 133 points are of a part, and the spread of each."""
    start, sigmas = 0, []
    for name, (_, n, spreads) in PARTS.items():
        own = [int(spread) / 10000 for spread in spreads.split()]
        if name == part:
            return slice(start, start + n), own
        start, sigmas = start + n, sigmas + own
    return slice(0, start), sigmas


def similarity(person: dict, keypoints, part: str) -> float:
    """Returns the object key point similarity of a part of a detection."""
    rows, sigmas = _rows_of(part)
    labelled, found = points_of(person)[rows], np.asarray(keypoints, float)[rows]
    x, y, w, h = person["bbox"]
    anywhere = not (labelled[:, 2] > 0).any()
    terms = []
    for (tx, ty, v), (px, py, _), sigma in zip(labelled, found, sigmas, strict=True):
        if anywhere:  # how far outside the box of three times the size
            dx = max(0.0, x - w - px) + max(0.0, px - (x + 2 * w))
            dy = max(0.0, y - h - py) + max(0.0, py - (y + 2 * h))
        elif v > 0:
            dx, dy = px - tx, py - ty
        else:
            continue
        area = person["area"] + np.spacing(1)  # of the whole person, whatever the part
        terms.append(math.exp(-(dx * dx + dy * dy) / (2 * (2 * sigma) ** 2 * area)))
    return sum(terms) / len(terms)


def _score_of(detection: dict, part: str) -> float:
    return detection.get(f"{part}_score", detection["score"])


def _best_scored(found: list[dict], part: str) -> list[dict]:
    """Returns the detections of an image that have something of the part, best scored first."""
    rows, _ = _rows_of(part)
    there = [d for d in found if (np.asarray(d["keypoints"])[rows, 2] > 0).any()]
    return sorted(there, key=lambda detection: -_score_of(detection, part))[:MOST]


def _match(people: list[dict], found: list[dict], nearness, part: str, limits) -> dict:
    """Returns what becomes of an image's detections at each threshold, the best scored first.

    ``right`` or ``wrong``, or None for those that are with somebody who does not count, or are of
    another size and with nobody.
    """
    rows, _ = _rows_of(part)
    counting, others = [], []
    for number, person in enumerate(people):
        labelled = (points_of(person)[rows, 2] > 0).any() and not person["iscrowd"]
        sized = limits[0] <= person["area"] <= limits[1]
        (counting if labelled and sized else others).append(number)
    of_counting = [[values[number] for number in counting] for values in nearness]
    of_others = [[values[number] for number in others] for values in nearness]
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
                if not people[others[who]]["iscrowd"]:
                    taken_others.add(who)
                fate.append(None)
                continue
            sized = limits[0] <= _area_of(detection) <= limits[1]
            fate.append("wrong" if sized else None)
        fates.append(fate)
    return {"scores": [_score_of(d, part) for d in found], "fates": fates, "n": len(counting)}


def _area_of(detection: dict) -> float:
    """Returns how large a detection is: its box, else that of the joints of the body."""
    if "bbox" in detection:
        return detection["bbox"][2] * detection["bbox"][3]
    width, height = np.ptp(np.asarray(detection["keypoints"], float)[:17, :2], axis=0)
    return width * height

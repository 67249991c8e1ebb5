"""PoseTrack's average precision and MOTA by plain loops, from the rules of the official program.

A truth has for each video its frames in order; a frame has ``id``, ``file_name``, polygons to be
ignored and people. A prediction has for each video its frames: ``{"id", "file_name", "people"}``,
each of the people ``{"track_id", "keypoints": [17, 3], "scores": [17]}``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

# Slots of a person's 17 key points; ears are never labelled.
SLOTS = "nose head_bottom head_top left_ear right_ear left_shoulder right_shoulder left_elbow"
SLOTS = (SLOTS + " right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee "
         "left_ankle right_ankle").split()  # fmt: skip
JOINTS = [slot for slot in range(17) if "ear" not in SLOTS[slot].split("_")]
SWAPPED = [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
GROUPS = {
    "head": ("nose", "head_bottom", "head_top"),
    **{name: (f"left_{name}", f"right_{name}")
       for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
}  # fmt: skip
NEAR = 0.5  # head sizes
NO_SCORE = -9999


def truth(root: Path, protocol: str) -> dict:
    """Returns the videos of the validation set."""
    folder = Path(root) / "posetrack_data" / "annotations" / "val"
    videos = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        frames = []
        for image in content["images"]:
            xs, ys = image.get("ignore_regions_x", []), image.get("ignore_regions_y", [])
            polygons = [list(zip(x, y, strict=True)) for x, y in zip(xs, ys, strict=True)]
            people = [p for p in content["annotations"] if p["image_id"] == image["id"]]
            facts = {"id": image["id"], "file_name": image["file_name"]}
            frames.append({**facts, "ignored": polygons, "people": people})
        videos[path.stem] = frames
    return videos


def guess(true: dict, rng: np.random.Generator, protocol: str) -> dict[str, list[dict]]:
    """Returns people near the labelled ones, some twice, some absent, some that there are not."""
    videos = {}
    for video, frames in true.items():
        made = []
        for frame in frames:
            people = []
            for person in frame["people"]:
                points = np.array(person["keypoints"], float).reshape(17, 3)
                size = math.hypot(*person["bbox_head"][2:])
                for again in range(int(rng.choice([0, 1, 1, 1, 2]))):
                    noise = rng.normal(0, size * rng.uniform(0.02, 0.3), (17, 2))
                    moved = np.hstack([points[:, :2] + noise, np.ones((17, 1))])
                    # Now and then the person is of another track.
                    track = 10 * person["track_id"] + 100 * again + int(rng.random() < 0.2)
                    people.append(_found(moved, rng, track))
            if rng.random() < 0.6:
                moved = np.hstack([rng.uniform(0, 400, (17, 2)), np.ones((17, 1))])
                people.append(_found(moved, rng, int(rng.integers(50, 99))))
            rng.shuffle(people)
            made.append({"id": frame["id"], "file_name": frame["file_name"], "people": people})
        videos[video] = made
    return videos


def _found(points: np.ndarray, rng: np.random.Generator, track: int) -> dict:
    points = np.where(rng.random((17, 1)) < 0.15, 0, points)
    points[3:5] = 0
    return {"track_id": track, "keypoints": points, "scores": rng.random(17).tolist()}


def write_predictions(path: Path, poses, protocol: str) -> None:
    """Writes a file per video, of the form of the annotations."""
    Path(path).mkdir(parents=True)
    for video, frames in poses.items() if isinstance(poses, dict) else poses:
        content = {"images": [], "annotations": []}
        content["categories"] = [{"id": 1, "name": "person", "keypoints": SLOTS}]
        for frame in frames:
            content["images"].append({"id": frame["id"], "file_name": frame["file_name"]})
            for person in frame["people"]:
                points = np.asarray(person["keypoints"], float).ravel().tolist()
                found = {**person, "keypoints": points, "image_id": frame["id"]}
                found |= {"id": len(content["annotations"]), "category_id": 1}
                content["annotations"].append(found)
        (Path(path) / f"{video}.json").write_text(json.dumps(content))


def scores(true: dict, poses: dict, protocol: str) -> dict[str, float]:
    """Returns the figures of a protocol: of all joints and of groups; fractions."""
    return tracking(true, poses) if protocol == "posetrack.mota" else precision(true, poses)


def precision(true: dict, poses: dict) -> dict[str, float]:
    """Returns AP of all joints and of groups, precision and recall."""
    found: dict[int, list] = {joint: [] for joint in JOINTS}  # pairs of score, whether right
    labelled = dict.fromkeys(JOINTS, 0)
    for frames in _frames(true, poses).values():
        for people, guesses in frames:
            _count(people, guesses, found, labelled)
    curves = {joint: _curve(found[joint], labelled[joint]) for joint in JOINTS}
    ends = [curve[-1] if curve else (0.0, 0.0) for curve in curves.values()]
    return {
        **_with_groups("AP", {joint: _average_precision(c) for joint, c in curves.items()}),
        "precision": _mean_of_known(precision for _, precision in ends),
        "recall": _mean_of_known(recall for recall, _ in ends),
    }


def tracking(true: dict, poses: dict) -> dict[str, float]:
    """Returns MOTA of all joints and of groups, MOTP, precision and recall."""
    names = ("objects", "misses", "switches", "false", "pairs", "distance")
    sums = {joint: dict.fromkeys(names, 0) for joint in JOINTS}
    for frames in _frames(true, poses).values():
        for joint in JOINTS:
            last: dict = {}  # of each true person the track they were last matched to
            for people, guesses in frames[:-1]:  # the last one is forgotten
                if people and guesses:
                    _match(people, guesses, joint, last, sums[joint])
                else:  # whoever is labelled or found
                    for name in ("objects", "misses", "false"):
                        sums[joint][name] += 1
    mota, motp, right, complete = {}, {}, {}, {}
    for joint, n in sums.items():
        wrong = n["misses"] + n["switches"] + n["false"]
        mota[joint] = 1 - wrong / n["objects"] if n["objects"] else math.nan
        motp[joint] = 1 - n["distance"] / n["pairs"] if n["pairs"] else 0.0
        detections = n["pairs"] + n["false"]
        right[joint] = n["pairs"] / detections if detections else math.nan
        complete[joint] = n["pairs"] / n["objects"] if n["objects"] else math.nan
    return {
        **_with_groups("MOTA", mota),
        "MOTP": _mean_of_known(motp.values()),
        "precision": _mean_of_known(right.values()),
        "recall": _mean_of_known(complete.values()),
    }


def _with_groups(name: str, of_joints: dict[int, float]) -> dict[str, float]:
    """Returns the mean of joints that have a value, and of the joints of each group."""
    figures = {name: _mean_of_known(of_joints.values())}
    for group, names in GROUPS.items():
        figures[f"{name}-{group}"] = sum(of_joints[SLOTS.index(n)] for n in names) / len(names)
    return figures


def _frames(true: dict, poses: dict) -> dict[str, list[tuple[list[dict], list[dict]]]]:
    """Returns of each video, frame by frame, the true and the found people that count.

    Frames in which nobody is annotated are left out, and so are joints in ignored regions, and
    people of whom nothing is left by that.
    """
    videos: dict[str, list] = {}
    for video, frames in true.items():
        predicted = {frame["id"]: frame["people"] for frame in poses[video]}
        videos[video] = []
        for frame in frames:
            if not frame["people"]:
                continue
            regions, sides = frame["ignored"], []
            for side in (frame["people"], predicted[frame["id"]]):
                kept = []
                for person in side:
                    points = _points(person, regions)
                    if points or not regions:
                        kept.append({"points": points, "track": person["track_id"]})
                        kept[-1]["scores"] = person.get("scores")
                        if "bbox_head" in person:
                            kept[-1]["size"] = 0.6 * math.hypot(*person["bbox_head"][2:])
                sides.append(kept)
            videos[video].append(tuple(sides))
    return videos


def _apart(person: dict, guess: dict, joint: int) -> float:
    """Returns the distance of a joint in head sizes; infinite where one lacks it or it is far."""
    if joint not in person["points"] or joint not in guess["points"]:
        return math.inf
    (x, y), (u, v) = person["points"][joint], guess["points"][joint]
    distance = math.hypot(x - u, y - v) / person["size"]
    return distance if distance <= NEAR else math.inf


def _count(people: list[dict], guesses: list[dict], found: dict, labelled: dict) -> None:
    """Adds what is labelled and found in a frame."""
    for person in people:
        for joint in person["points"]:
            labelled[joint] += 1

    def share(g: int, p: int) -> float:
        n = sum(_apart(people[p], guesses[g], joint) < math.inf for joint in JOINTS)
        return n / len(people[p]["points"]) if people[p]["points"] else 0.0

    # Every guess wants the person with whom it has most joints right, of equals the first one.
    wanted, shares = {}, {}
    for g in range(len(guesses)):
        best = None
        for p in range(len(people)):
            if best is None or share(g, p) > share(g, best):
                best = p
        if best is not None and share(g, best) > 0:
            wanted[g], shares[g] = best, share(g, best)
    # Every person takes the best of those who want them, of equals the first one.
    partner = {}
    for p in range(len(people)):
        candidates = [g for g in wanted if wanted[g] == p]
        if candidates:
            partner[max(candidates, key=lambda g: (shares[g], -g))] = p
    for g, guess in enumerate(guesses):
        for joint in guess["points"]:
            hit = g in partner and _apart(people[partner[g]], guess, joint) < math.inf
            found[joint].append((guess["scores"][joint] if guess["scores"] else NO_SCORE, hit))


def _match(people: list[dict], guesses: list[dict], joint: int, last: dict, sums: dict) -> None:
    """Adds what becomes of one joint of the people of a frame; both sides have somebody."""
    people = [person for person in people if joint in person["points"]]
    guesses = [guess for guess in guesses if joint in guess["points"]]
    free, pairs = list(range(len(guesses))), []
    rest = []
    for p, person in enumerate(people):
        same = [g for g in free if guesses[g]["track"] == last.get(person["track"])]
        if same and _apart(person, guesses[same[0]], joint) < math.inf:
            pairs.append((p, same[0]))
            free.remove(same[0])
        else:
            rest.append(p)
    costs = {(p, g): _apart(people[p], guesses[g], joint) for p in rest for g in free}
    pairs += _cheapest(rest, free, costs)[2]
    for p, g in pairs:
        track = people[p]["track"]
        sums["switches"] += last.get(track, guesses[g]["track"]) != guesses[g]["track"]
        sums["distance"] += _apart(people[p], guesses[g], joint)
        last[track] = guesses[g]["track"]
    sums["objects"] += len(people)
    sums["pairs"] += len(pairs)
    sums["misses"] += len(people) - len(pairs)
    sums["false"] += len(guesses) - len(pairs)


def _cheapest(people: list[int], guesses: list[int], costs: dict) -> tuple[int, float, list]:
    """Returns minus the number, the total distance and the pairs: most pairs, then least far."""
    if not people or not guesses:
        return 0, 0.0, []
    first, rest = people[0], people[1:]
    options = [_cheapest(rest, guesses, costs)]
    for g in guesses:
        if costs[first, g] < math.inf:
            n, total, pairs = _cheapest(rest, [o for o in guesses if o != g], costs)
            options.append((n - 1, total + costs[first, g], [(first, g), *pairs]))
    return min(options, key=lambda option: option[:2])


def _points(person: dict, regions: list) -> dict[int, tuple[float, float]]:
    """Returns the joints of a person that are labelled, or found, outside ignored regions."""
    rows = np.array(person["keypoints"], float).reshape(17, 3)
    return {
        joint: (rows[joint, 0], rows[joint, 1])
        for joint in JOINTS
        if rows[joint].any() and not any(_within(rows[joint], polygon) for polygon in regions)
    }


def _within(point, polygon: list[tuple[float, float]]) -> bool:
    """Returns whether a line from the point to the right crosses the border an odd number."""
    x, y, inside = point[0], point[1], False
    for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside


def _curve(found: list, n_labelled: int) -> list[tuple[float, float]]:
    """Returns recall and precision after each joint found, the best scored first."""
    curve, n_right = [], 0
    order = sorted(range(len(found)), key=lambda i: found[i][0])[::-1]
    for n, i in enumerate(order, 1):
        n_right += found[i][1]
        curve.append((n_right / n_labelled if n_labelled else math.nan, n_right / n))
    return curve


def _average_precision(curve: list[tuple[float, float]]) -> float:
    """Returns the area below the best precision that is had from each recall on."""
    if not curve:
        return 0.0
    if math.isnan(curve[0][0]):
        return math.nan
    area, before = 0.0, 0.0
    for k, (recall, _) in enumerate(curve):
        if recall != before:
            area += (recall - before) * max(precision for _, precision in curve[k:])
            before = recall
    return area


def _mean_of_known(values) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known)

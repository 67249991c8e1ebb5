"""Rows of COCO, WholeBody, CrowdPose and PoseTrack for the comparison with references."""

from __future__ import annotations

import math

import numpy as np
from protocols_kit import (
    EITHER,
    EQUAL,
    REFUSED,
    Attack,
    Attacked,
    Row,
    chosen,
    each,
    empty,
    exchanged,
    key_words,
    lacking_one,
    rows_of,
    single,
)
from references import coco, crowdpose, posetrack, trees, wholebody


# COCO: people per image, each with a score. Who was not found is part of the measure.
def of_people(change):
    """Returns an attack that changes the key points of everybody."""
    return each(lambda people: [{**p, "keypoints": change(p["keypoints"])} for p in people])


def nan_in_people(poses, rng):
    """Puts NaN into somebody's key point."""
    key = next(key for key, people in rows_of(poses) if people)
    points = np.array(poses[key][0]["keypoints"])
    joint = int(rng.integers(len(points)))
    points[joint, 0] = math.nan
    people = [{**poses[key][0], "keypoints": points}, *poses[key][1:]]
    return Attacked({**poses, key: people}, (str(key), f"joint {joint}"))


def crowded(poses, rng):
    """Finds everybody fifteen times: twenty people of an image are looked at."""
    many = {}
    for key, people in rows_of(poses):
        many[key] = [{**p, "score": float(rng.random())} for p in people for _ in range(15)]
    return Attacked(many)


def people_shuffled(poses, rng):
    rows = [(key, people[::-1]) for key, people in reversed(rows_of(poses))]
    return Attacked(rows, scored=dict(rows))


def people_attacks(swapped):
    """Returns the attacks on people per image, given the joints with left and right exchanged."""
    return {
        "nan": Attack(nan_in_people, REFUSED),
        "missing": Attack(lambda poses, rng: Attacked(lacking_one(poses, rng).poses), EQUAL),
        "single": Attack(lambda poses, rng: Attacked(single(poses, rng).poses), EQUAL),
        "empty": Attack(empty, EITHER),
        "swapped": Attack(of_people(lambda x: x[swapped]), EQUAL),
        "mirrored": Attack(of_people(lambda x: x * [-1, 1, 1] + [500, 0, 0]), EQUAL),
        "times_1000": Attack(of_people(lambda x: x * [1000, 1000, 1]), EITHER),
        "people_shuffled": Attack(people_shuffled, EQUAL),
        "exchanged": Attack(exchanged, EQUAL),
        "crowded": Attack(crowded, EQUAL),
    }


COCO = people_attacks(coco.SWAPPED)
CROWDPOSE = people_attacks(crowdpose.SWAPPED)
WHOLEBODY = people_attacks(wholebody.SWAPPED)
# In a part alone another joint may be the bad one.
OF_A_PART = {name: WHOLEBODY[name] for name in ("mirrored", "times_1000", "crowded", "empty")}
OF_ONE_IMAGE = {name: attack for name, attack in CROWDPOSE.items() if name != "single"}


# PoseTrack: a file per video, people per frame, a score of each joint.
def in_frames(change):
    """Returns an attack that changes the list of people of every frame."""
    return each(lambda frames: [{**frame, "people": change(frame["people"])} for frame in frames])


def in_people(change):
    """Returns an attack that changes the key points and scores of everybody."""
    return in_frames(
        lambda people: [
            p
            | dict(zip(("keypoints", "scores"), change(p["keypoints"], p["scores"]), strict=True))
            for p in people
        ]
    )


def nan_in_frames(poses, rng):
    """Puts NaN into a key point of somebody in a frame with labels."""
    key, frames = next((k, f) for k, f in rows_of(poses) if any(frame["people"] for frame in f))
    changed = [{**frame, "people": [*frame["people"]]} for frame in frames]
    people = next(frame["people"] for frame in changed if frame["people"])
    points, joint = np.array(people[0]["keypoints"]), int(rng.integers(5, 17))
    points[joint, 0] = math.nan
    people[0] = {**people[0], "keypoints": points}
    return Attacked({**poses, key: changed}, (key_words(key), f"joint {joint}"))


def fewer_images(poses, rng):
    """Leaves the last frame of a video out."""
    key, frames = chosen(poses, rng)
    return Attacked({**poses, key: frames[:-1]}, (key_words(key),))


def sides_of_points(points, scores):
    swapped = posetrack.SWAPPED
    return points[swapped], [scores[i] for i in swapped]


def in_the_mirror(points, scores):
    return np.where(points[:, 2:] > 0, points * [-1, 1, 1] + [300, 0, 0], points), scores


POSETRACK = {
    "nan": Attack(nan_in_frames, REFUSED),
    "missing": Attack(lacking_one, REFUSED),
    "single": Attack(single, REFUSED),
    "empty": Attack(empty, REFUSED),
    "fewer_images": Attack(fewer_images, REFUSED),
    "nobody": Attack(in_frames(lambda people: []), EQUAL),
    "one_each": Attack(in_frames(lambda people: people[:1]), EQUAL),
    "people_shuffled": Attack(in_frames(lambda people: people[::-1]), EQUAL),
    "swapped": Attack(in_people(sides_of_points), EQUAL),
    "mirrored": Attack(in_people(in_the_mirror), EQUAL),
    "times_1000": Attack(in_people(lambda x, s: (x * [1000, 1000, 1], s)), EITHER),
    "head_alone": Attack(in_people(lambda x, s: (x * (np.arange(17)[:, None] < 3), s)), EQUAL),
}


def crowds(folder, raw_miniature):
    """Makes COCO with more people than the miniature has."""
    trees.write_coco(folder)
    return folder


def whole_people(folder, raw_miniature):
    """Makes COCO-WholeBody with more people than the miniature has, and all sorts of parts."""
    trees.write_wholebody(folder)
    return folder


def crowded_photographs(folder, raw_miniature):
    """Makes CrowdPose with more people than the miniature has, and images on the borders."""
    trees.write_crowdpose(folder)
    return folder


def videos_with_regions(folder, raw_miniature):
    """Makes PoseTrack with ignored regions, frames without labels and people hardly labelled."""
    trees.write_posetrack(folder)
    return folder


ROWS = [
    Row("coco.keypoints", coco, "predictions.json", COCO, crowds),
    Row("coco.keypoints", coco, "few.json", COCO),
    Row("crowdpose.official", crowdpose, "predictions.json", CROWDPOSE, crowded_photographs),
    Row("crowdpose.official", crowdpose, "few.json", OF_ONE_IMAGE),
    Row("crowdpose.paper", crowdpose, "predictions.json", CROWDPOSE, crowded_photographs),
    Row("coco_wholebody.wholebody", wholebody, "predictions.json", WHOLEBODY, whole_people),
    Row("coco_wholebody.wholebody", wholebody, "few.json", seeds=(0,)),
    *(
        Row(protocol, wholebody, "predictions.json", OF_A_PART, whole_people, seeds=(0, 1))
        for protocol in wholebody.PROTOCOLS[1:]
    ),
    *(
        Row(f"posetrack.{name}", posetrack, "predictions", POSETRACK, videos_with_regions)
        for name in ("ap", "mota")
    ),
]

"""A tiny newdata in its own layout: pictures of two drawn people each, one of whom is left out.

Written from the description of the data and not from main.py, so that one can be compared with the
other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.shoot import Actor, Backdrop, Shot, shoot
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, make_truth, write_truth

SIZE = (960, 720)
FIGURE = make_figure(
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank".split()
)
N_PICTURES = {"train": 4, "val": 3, "test": 3}
# Drawn with a camera, of which the data says nothing
CAMERA = rig.make_camera(SIZE, (0, -4500, 1100), (0, 0, 900), 1000)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``, an empty folder."""
    backdrop, sequences = Backdrop(SIZE, seed), {}
    for split, n in N_PICTURES.items():
        start = 17 * len(sequences)
        images, annotations = [], []
        for number in range(n):
            actors = [
                Actor(pose_person(person, seed + number), FIGURE, person) for person in range(2)
            ]
            picture = shoot(backdrop, CAMERA, actors, start + number)
            file = f"{number:04d}.jpg"
            writers.write_jpeg(root / split / file, picture.image)
            images.append({"id": number, "file_name": file, "width": SIZE[0], "height": SIZE[1]})
            for seen in picture.people:
                entry = annotate(seen, labelled=17 if seen.actor.person == 0 else 5)
                ids = {"id": len(annotations), "image_id": number, "category_id": 1}
                annotations.append(ids | entry)
        content = {"images": images, "annotations": annotations}
        content["categories"] = [{"id": 1, "name": "person"}]
        writers.write_json(root / f"{split}.json", content)
        # The other person has too few joints.
        sequences[split] = SequenceTruth(split, [(number, 0) for number in range(n)], start)
    pattern = r"(?P<sequence>train|val|test)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    facts = {"raw_masks": True, "n_people": 2}
    write_truth(root, make_truth(FIGURE, pattern, sequences, **facts))


def pose_person(person: int, seed: int) -> np.ndarray:
    """Returns joints ``[17, 3]`` in millimetres."""
    motion = actor.move(3, 10 * seed + person, at=(1700 * person - 850, 0, 900))
    return actor.pose_skeleton(motion, FIGURE.names)[1]


def annotate(seen: Shot, labelled: int) -> dict:
    """Returns box, mask (as plain RLE) and the first so many key points of a person."""
    left, top, right, bottom = seen.box()
    flat = seen.mask(SIZE).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    visibility = np.where(seen.visible, 2, 1) * (np.arange(17) < labelled)
    points = np.where(visibility[:, None] > 0, seen.points, 0).round(2)
    return {
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
        "keypoints": np.column_stack([points, visibility]).ravel(),
        "num_keypoints": labelled,
        "segmentation": {"size": SIZE[::-1], "counts": [0, *runs] if flat[0] else runs},
    }

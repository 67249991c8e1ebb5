"""A tiny COCO-WholeBody v1.0, with its photographs of COCO 2017.

People with all parts, with some and with none; a valid foot of which points are not labelled;
somebody whose body alone would be too small; masks of every form; a crowd region; a tiny person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import details, writers
from posepile.miniature.details import face_and_hands as parts
from posepile.miniature.photos import COCO_NAMES, COCO_PERSON, Album, Sitter, photo_figure
from posepile.miniature.truth import make_truth, write_truth

PARTS = {  # key of its points -> names
    "foot": details.FEET,
    "face": details.FACE,
    "lefthand": details.LEFT_HAND,
    "righthand": details.RIGHT_HAND,
}
FIGURE = photo_figure([*COCO_NAMES, *(name for names in PARTS.values() for name in names)])
BODY, FOOT, NO_FOOT = [2] * 17, [2] * 6, [0] * 6
UPPER = [2] * 9 + [0, 2] + [0] * 6  # down to the elbows, and a wrist
EIGHT = [2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 2, 1, 0, 1, 0, 0, 0]
RIGHT_FOOT = [0, 0, 0, 2, 2, 2]
PHOTOS = {  # phase -> image id -> size, people
    "train": {
        40083: ((740, 440), [
            Sitter(130, v=[*BODY, *FOOT, *parts(1, 2, 1)]),
            Sitter(360, 45, [*BODY, *FOOT, *parts()], kept=False),
            Sitter(600, v=[*UPPER, *RIGHT_FOOT, *parts(1)], mask="compressed"),
        ]),
    },
    "val": {
        785: ((740, 460), [
            Sitter(140, v=[*BODY, *NO_FOOT, *parts(1, 0, 2)], mask="plain"),
            Sitter(330, 70, 0, "plain", kept=False, crowd=True),
            Sitter(450, 240, [*EIGHT, *FOOT, *parts(1, 1, 1)], kept=False),
            Sitter(620, v=[*BODY, *NO_FOOT, *parts()]),
        ]),
    },
}  # fmt: skip


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, album = Path(root), Album(FIGURE, seed, decimals=3)
    for split, photos in PHOTOS.items():
        phase = f"{split}2017"
        for image_id, (size, people) in photos.items():
            name = f"{image_id:012d}.jpg"
            photo = album.take(phase, image_id, size, people, file_name=name)
            writers.write_jpeg(root / phase / name, photo.image, 97)
        content = album.content(phase, COCO_PERSON)
        for person in content["annotations"]:
            divide(person)
        writers.write_json(root / f"coco_wholebody_{split}_v1.0.json", content)
    pattern = r"/(?P<sequence>\w+)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    sequences = album.sequences({"train2017": "train", "val2017": "val"})
    write_truth(root, make_truth(FIGURE, pattern, sequences, raw_masks=True, n_people=4))


def divide(person: dict) -> None:
    """Gives the points of each part, which follow those of the body, a key of their own."""
    points, start = person["keypoints"], 3 * len(COCO_NAMES)
    person["keypoints"] = list(map(round, points[:start]))
    person["num_keypoints"] = sum(v > 0 for v in person["keypoints"][2::3])
    for part, names in PARTS.items():
        own = np.reshape(points[start : start + 3 * len(names)], (-1, 3))
        start += own.size
        labelled = own[own[:, 2] > 0, :2]
        # v of face and feet is 1.0 or 2.0, that of hands 1 or 2.
        triples = [(x, y, int(v) if "hand" in part else v) for x, y, v in own.tolist()]
        person |= {f"{part}_kpts": sum(triples, ()), f"{part}_valid": len(labelled) > 0}
        if part != "foot":
            around = labelled if len(labelled) else np.zeros((1, 2))
            person[f"{part}_box"] = [*around.min(axis=0), *np.ptp(around, axis=0)]

"""A tiny MPII in the official layout: six video frames and the MATLAB file of all annotations.

Arrays of one element, which collapse when read: one rectangle, one point. A rectangle without
points, one with few; visibility as a number, as text, empty, or no such field; a picture of the
test set, whose people have a place only, and one without people.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import photos, truth, writers
from posepile.miniature.writers import mat_structs

NAMES = "rank rkne rhip lhip lkne lank pelv thor neck head rwri relb rsho lsho lelb lwri".split()
FIGURE = photos.photo_figure(NAMES)
RAW = ["htop" if name == "head" else name for name in NAMES]  # the head's point is its top
FULL, FEW, ONE = range(16), (0, 1, 4, 8, 9, 11, 12, 13, 14), [13]


def sit(x: float, points: list[int], form: str, tall: float = 385) -> photos.Sitter:
    """Returns somebody of whom so many points are labelled, visibility in such a form."""
    more = {"points": list(points), "form": form}
    return photos.Sitter(x, tall, kept=len(points) > 6, more=more)


PHOTOS = (  # number, size, whether for training, people alone (from 1), rectangles
    (15601864, (760, 470), 1, [1], [sit(380, FULL, "number")]),
    (5808361, (640, 470), 1, [2], [sit(150, [], ""), sit(490, FULL, "text")]),
    (60111501, (560, 480), 1, [], [sit(200, FULL, "empty"), sit(330, ONE, "number", 275)]),
    (37454012, (660, 470), 1, [1, 2], [sit(160, FULL, "text"), sit(510, FEW, "lacking")]),
    (73199394, (320, 470), 0, [], [sit(160, [], "test")]),
    (20439720, (320, 240), 1, [], []),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, images, kept = Path(root), [], []
    for number, size, _, _, people in PHOTOS:
        (photo,) = photos.take_photos(size, people, FIGURE, number=number, seed=seed, names=RAW)
        writers.write_jpeg(root / f"images/{number:09d}.jpg", photo.image, 97)
        rects = [describe(shot, **s.more) for shot, s in zip(photo.shots, people, strict=True)]
        image = {"image": mat_structs([{"name": f"{number:09d}.jpg"}]), "frame_sec": []}
        images.append(image | {"annorect": mat_structs(rects), "vididx": []})
        kept += [(number, k) for k, sitter in enumerate(people) if sitter.kept]
    alone = np.empty((len(PHOTOS), 1), object)
    alone[:, 0] = [np.array(single, float).reshape(-1, 1) for *_, single, _ in PHOTOS]
    acts = [{"act_name": "curling", "cat_name": "winter activities", "act_id": 2.0}] * len(PHOTOS)
    release = {"annolist": mat_structs(images), "act": mat_structs(acts).T, "version": "12"}
    release |= {"img_train": [float(photo[2]) for photo in PHOTOS], "single_person": alone}
    writers.write_mat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    pattern = r"/train/(?P<frame>\d{9})_(?P<person>\d+)\.jpg$"
    sequences = {"": truth.SequenceTruth("train", kept)}
    facts = {"single": [(number, k - 1) for number, *_, single, _ in PHOTOS for k in single]}
    more = {"n_people": 2, "box": "joints", "facts": facts}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def describe(shot: photos.Shot, points: list[int], form: str) -> dict:
    """Returns a rectangle: MATLAB's pixels, the first of which is 1."""
    at, (left, top, right, bottom) = shot.points.round(1) + 1, np.array(shot.box()) + 1
    height = bottom - top
    middle = {"x": round((left + right) / 2), "y": round((top + bottom) / 2 - 0.075 * height)}
    place = {"scale": round(height / 200, 4), "objpos": mat_structs([middle])}
    if form == "test":
        return place
    told = {"number": np.uint8([0, 1]), "text": "01", "empty": [[], []]}
    rows = [{"x": at[j, 0], "y": at[j, 1], "id": np.uint8(j)} for j in points]
    for j, row in zip(points, rows, strict=True):
        if form in told:
            row["is_visible"] = [] if j in (8, 9) else told[form][int(j not in (4, 10))]
    # The head has a box also where there are no points.
    low, high = np.sort(np.round(at[[8, 9]]), axis=0) + np.array([[-9, 0], [9, 0]])
    head = dict(zip(("x1", "y1", "x2", "y2"), (*low, *high), strict=True))
    labelled = mat_structs([{"point": mat_structs(rows)}] if rows else [])
    return {**head, "annopoints": labelled, **place}

"""A tiny AI Challenger 2017, key points, as converted to COCO's form; also in its original form.

People fully visible, just labelled enough, too little labelled or visible, tiny. The ids of the
photographs start at 1, and their sizes differ.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from posepile.miniature import writers
from posepile.miniature.photos import Album, Sitter, photo_figure
from posepile.miniature.truth import make_truth, write_truth

JOINTS = (
    "Right Shoulder,Right Elbow,Right Wrist,Left Shoulder,Left Elbow,Left Wrist,Right Hip,"
    "Right Knee,Right Ankle,Left Hip,Left Knee,Left Ankle,Head top,Neck"
).split(",")
NAMES = "rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank htop neck".split()
SKELETON = (
    [3, 2], [2, 1], [1, 14], [14, 4], [4, 5], [5, 6], [9, 8], [8, 7], [7, 10], [10, 11], [11, 12],
    [13, 14], [1, 7], [4, 10],
)  # fmt: skip
PERSON = {"id": 1, "name": "person", "supercategory": "person"}
PERSON |= {"keypoints": JOINTS, "skeleton": SKELETON}
FIGURE = photo_figure(NAMES)

SEVEN = [2, 2, 2, 2, 2, 0, 1, 1, 0, 0, 0, 0, 0, 0]  # five visible
FOUR_VISIBLE = [2, 2, 2, 2] + [1] * 10
SIX = [2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
PHOTOS = {  # image id -> size, people
    1: ((640, 400), [Sitter(120), Sitter(310, v=SEVEN), Sitter(520, v=SIX, kept=False)]),
    2: ((500, 420), [Sitter(130, v=FOUR_VISIBLE, kept=False), Sitter(370, v=[2] * 8 + [1] * 6)]),
    3: ((400, 480), [Sitter(60, 45, SIX, kept=False), Sitter(230, v=[1] * 4 + [2] * 10)]),
}
ORIGINAL = "ai_challenger_keypoint_train_20170902"
DAY = ORIGINAL.rsplit("_", 1)[1]
TO_ORIGINAL = {2: 1, 1: 2, 0: 3}  # v


def stem(image_id: int) -> str:
    """Returns the name of a photograph without its extension: 40 hexadecimal digits."""
    return hashlib.sha1(b"%d" % image_id).hexdigest()


def build(root: Path, seed: int = 0, original: bool = False) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, album = Path(root), Album(FIGURE, seed)
    folder = f"{ORIGINAL}/keypoint_train_images_{DAY}" if original else "train/images"
    for image_id, (size, people) in PHOTOS.items():
        entry = {"file_name": f"{stem(image_id)}.jpg", "url": f"http://www.example.com/{image_id}"}
        photo = album.take("", image_id, size, people, **entry)
        writers.write_jpeg(root / folder / entry["file_name"], photo.image, 97)
    content = album.content("", PERSON, without=["area", "iscrowd", "segmentation"])
    if original:
        file = root / ORIGINAL / f"keypoint_train_annotations_{DAY}.json"
        writers.write_json(file, [as_original(image, content) for image in content["images"]])
    else:
        writers.write_json(root / "annotations" / "aic_train.json", content)
    pattern = r"/[0-9a-f]{2}/[0-9a-f]{2}/(?P<frame>[0-9a-f]{40})_(?P<person>\d+)\.jpg$"
    sequences = album.sequences({"": "train"}, {i: stem(i) for i in PHOTOS})
    write_truth(root, make_truth(FIGURE, pattern, sequences, n_people=3))


def as_original(image: dict, content: dict) -> dict:
    """Returns a photograph's entry in the original file: corners of boxes, v of 1, 2 and 3."""
    own = [person for person in content["annotations"] if person["image_id"] == image["id"]]
    boxes, points = {}, {}
    for i, person in enumerate(sorted(own, key=lambda person: person["id"]), 1):
        x, y, w, h = person["bbox"]
        boxes[f"human{i}"] = [x, y, x + w, y + h]
        triples = list(person["keypoints"])
        triples[2::3] = [TO_ORIGINAL[v] for v in triples[2::3]]
        points[f"human{i}"] = triples
    known = {"image_id": Path(image["file_name"]).stem, "url": image["url"]}
    return known | {"human_annotations": boxes, "keypoint_annotations": points}

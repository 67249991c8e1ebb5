"""A tiny CrowdPose in the original layout.

People who overlap, half labelled, with head and neck alone, with a point far outside their box; a
crowd region. The training file, and with it that of training and validation, has width and height
swapped.
"""

from __future__ import annotations

from pathlib import Path

from posepile.miniature import writers
from posepile.miniature.photos import Album, Sitter, photo_figure
from posepile.miniature.truth import make_truth, write_truth

JOINTS = [
    f"{s}_{j}" for j in "shoulder elbow wrist hip knee ankle".split() for s in ("left", "right")
]
JOINTS += ["head", "neck"]
NAMES = "lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank htop neck".split()
# That of COCO, whose joints are others
SKELETON = (
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
    [8, 10], [9, 11],
)  # fmt: skip
PERSON = {"id": 1, "name": "person", "supercategory": "person"}
PERSON |= {"keypoints": JOINTS, "skeleton": SKELETON}
FIGURE = photo_figure(NAMES)

WHOLE = [2] * 12 + [1, 1]  # head and neck are never called visible
HIDDEN = [1, 2] * 6 + [1, 1]  # 1 and 2 mean nothing
SEVEN = [2, 2, 1, 2, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0]  # just enough
SIX = [2, 2, 1, 2, 0, 2, 1, 0, 0, 0, 0, 0, 1, 1]  # eight, but of the limbs only six
HEAD = [0] * 12 + [1, 1]
PHOTOS = {  # split -> image id -> crowd index, size, people
    "train": {100018: (0.05, (500, 400), [Sitter(130, v=WHOLE), Sitter(350, v=HIDDEN)])},
    "val": {
        119953: (0.15, (480, 400), [Sitter(190, v=WHOLE), Sitter(250, 280, HIDDEN)]),
        103319: (0.5, (640, 400), [
            Sitter(90, v=HEAD, kept=False), Sitter(250, v=SIX, kept=False), Sitter(390, v=SEVEN),
            Sitter(540, 200, 0, kept=False, crowd=True),
        ]),
    },
    "test": {106848: (1.2, (400, 480), [Sitter(130, v=HIDDEN), Sitter(290, v=WHOLE)])},
}  # fmt: skip
FAR_PERSON, FAR_JOINT = 1000, 4  # annotation; its left wrist lies far outside the box
UNKNOWN = "area", "segmentation"


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, album, contents = Path(root), Album(FIGURE, seed), {}
    for split, photos in PHOTOS.items():
        for image_id, (index, size, people) in photos.items():
            entry = {"file_name": f"{image_id}.jpg", "crowdIndex": index}
            photo = album.take(split, image_id, size, people, **entry)
            writers.write_jpeg(root / "images" / f"{image_id}.jpg", photo.image, 97)
        contents[split] = album.content(split, PERSON, without=UNKNOWN)
        for person in contents[split]["annotations"]:
            if person["id"] == FAR_PERSON:
                left, _, width, _ = person["bbox"]
                person["keypoints"][3 * FAR_JOINT] = left + round(1.6 * width)
            person["num_keypoints"] = sum(v > 0 for v in person["keypoints"][2:36:3])
    for image in contents["train"]["images"]:
        image["width"], image["height"] = image["height"], image["width"]
    parts = [contents[split] for split in ("train", "val")]
    lists = {k: [*parts[0][k], *parts[1][k]] for k in ("images", "annotations")}
    contents["trainval"] = lists | {"categories": [PERSON]}
    for split, content in contents.items():
        writers.write_json(root / "json" / f"crowdpose_{split}.json", content)
    pattern = r"/(?P<sequence>\w+)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    sequences = album.sequences({split: split for split in PHOTOS}, by_annotation=True)
    write_truth(root, make_truth(FIGURE, pattern, sequences, n_people=4))

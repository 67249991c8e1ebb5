"""A tiny Halpe-FullBody: its training photographs of HICO-DET.

A person with all points, of whose face some are unlabelled though they have coordinates and of
whom a labelled joint is at (0, 0); people half labelled, tiny, without a list of key points.
"""

from __future__ import annotations

from pathlib import Path

from posepile.miniature import details, writers
from posepile.miniature.details import face_and_hands as parts
from posepile.miniature.photos import Album, Sitter, photo_figure
from posepile.miniature.truth import make_truth, write_truth

BODY = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank "
    "htop neck pelv ltoe rtoe ltoe2 rtoe2 lhee rhee"
).split()
FIGURE = photo_figure([*BODY, *details.FACE, *details.LEFT_HAND, *details.RIGHT_HAND])
PERSON = {"id": 1, "name": "person", "supercategory": "person", "keypoints": [], "skeleton": []}


FULL = [2] * 26
# Nine visible, four hidden: just enough, unless one of them is at (0, 0).
THIRTEEN = [2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 2, 1, 1, 0, 0, 0, 0, 2, 2, 2, 1, 1, 0, 0, 0, 0]
TWELVE = [2] * 9 + [1] * 3 + [0] * 14
EIGHT = [2] * 8 + [1] * 18
HALF_FACE = [2] * 36 + [-1] * 32  # unlabelled, with coordinates
PHOTOS = {  # image id -> size, people
    9: ((740, 440), [
        Sitter(130, v=[*FULL, *parts(HALF_FACE, 2, 1)]), Sitter(350, v=[*THIRTEEN, *parts()]),
        Sitter(490, 80, [*FULL, *parts(2, 2, 2)], kept=False),
        Sitter(620, v=[*THIRTEEN, *parts(2)], kept=False),
    ]),
    1243: ((640, 400), [
        Sitter(110, v=[*TWELVE, *parts(2, 2, 2)], kept=False), Sitter(310, v=[*FULL, *parts()]),
        Sitter(420, 90, 0, kept=False), Sitter(530, v=[*EIGHT, *parts()], kept=False),
    ]),
}  # fmt: skip
IMAGES = "hico_20160224_det/images/train2015"
NAME = "HICO_train2015_{:08d}"
AT_ZERO = {1000: BODY.index("lank"), 1003: BODY.index("nose")}  # annotation -> joint
NO_LIST = 1102  # annotation


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, album = Path(root), Album(FIGURE, seed)
    for image_id, (size, people) in PHOTOS.items():
        name = NAME.format(image_id) + ".jpg"
        photo = album.take("", image_id, size, people, file_name=name)
        writers.write_jpeg(root / IMAGES / name, photo.image, 97)
    content = album.content("", PERSON, without=["segmentation"])
    for person in content["annotations"]:
        # Of the body as in COCO
        person["num_keypoints"] = sum(v > 0 for v in person["keypoints"][2:51:3])
        if person["id"] in AT_ZERO:
            at = 3 * AT_ZERO[person["id"]]
            person["keypoints"][at : at + 2] = [0, 0]
        if person["id"] == NO_LIST:
            del person["keypoints"], person["num_keypoints"]
    writers.write_json(root / "halpe_train_v1.json", content)
    pattern = r"/\d\d/HICO_train2015_(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    sequences = album.sequences({"": "train"})
    write_truth(root, make_truth(FIGURE, pattern, sequences, n_people=4))

"""A tiny COCO 2017 in the official layout, readable by pycocotools.

Between four photographs: people fully visible, half labelled, hidden in part, tiny, without key
points; masks as polygons, as plain and as compressed RLE; a crowd region; nobody at all.
"""

from __future__ import annotations

from pathlib import Path

from posepile.miniature import writers
from posepile.miniature.photos import COCO_NAMES, COCO_PERSON, Album, Sitter, photo_figure
from posepile.miniature.truth import make_truth, write_truth

FIGURE = photo_figure(COCO_NAMES)

NINE = [2, 0, 0, 0, 0, 2, 2, 2, 2, 1, 2, 1, 0, 1, 0, 0, 0]  # 9 labelled, 6 of them visible
EIGHT = [2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 2, 1, 0, 1, 0, 0, 0]
HIDDEN = [1] * 12 + [2] * 5
TINY = 45  # pixels
PHOTOS = {  # phase -> image id -> size, people
    "train": {
        7: ((740, 440), [
            Sitter(130), Sitter(390, TINY, kept=False), Sitter(600, v=NINE, mask="compressed"),
        ]),
        31: ((500, 400), [
            Sitter(120, v=EIGHT, kept=False), Sitter(370, v=HIDDEN, kept=False),
        ]),
    },
    "val": {
        285: ((740, 460), [
            Sitter(130, mask="plain"), Sitter(350, 70, 0, "plain", kept=False, crowd=True),
            Sitter(420, TINY, 0, kept=False), Sitter(600),
        ]),
        139: ((500, 400), []),
    },
}  # fmt: skip


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, album = Path(root), Album(FIGURE, seed)
    for split, photos in PHOTOS.items():
        phase = f"{split}2017"
        for image_id, (size, people) in photos.items():
            name = f"{image_id:012d}.jpg"
            photo = album.take(phase, image_id, size, people, file_name=name)
            writers.write_jpeg(root / phase / name, photo.image, 97)
        file = root / "annotations" / f"person_keypoints_{phase}.json"
        writers.write_json(file, album.content(phase, COCO_PERSON))
    pattern = r"/(?P<sequence>\w+)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    sequences = album.sequences({"train2017": "train", "val2017": "val"})
    write_truth(root, make_truth(FIGURE, pattern, sequences, raw_masks=True, n_people=4))

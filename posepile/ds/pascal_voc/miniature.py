"""A tiny PASCAL VOC 2012: two segmented photographs and one that is not.

Every object is a rectangle of one colour with a rim of 255 ("border") in the label image. Between
them: a person, an object that is difficult, one that is truncated, one of 499 and one of 500
pixels, good ones in the middle, at the border of the picture and with another object in the box.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import writers
from posepile.miniature.shoot import Backdrop
from posepile.miniature.truth import Truth, write_truth

BORDER, RIM = 255, 2
# The official palette: the bits of an index, three by three from the lowest, are the highest ones
# of red, green and blue, and so on downwards.
PALETTE = np.array(
    [[sum((i >> (3 * k + c) & 1) << (7 - k) for k in range(3)) for c in range(3)]
     for i in range(256)], np.uint8,
)  # fmt: skip
COLORS = [(255, 0, 0), (255, 0, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0)]
GOOD, DIFFICULT, TRUNCATED = (0, 0), (1, 0), (0, 1)
# Name; rectangle x, y, w, h from 0; (difficult, truncated); pixels that are taken from it; whether
# it is an occluder. The number in the label image is the place in this list, from 1.
SEGMENTED = {
    "2007_000123": ((500, 375), [
        ("person", (30, 40, 80, 250), GOOD, 0, False),
        ("chair", (140, 0, 90, 120), TRUNCATED, 0, False),
        ("car", (260, 60, 120, 80), DIFFICULT, 0, False),
        ("dog", (150, 200, 25, 20), GOOD, 1, False),
        ("cat", (220, 200, 25, 20), GOOD, 0, True),
        ("bottle", (300, 180, 60, 140), GOOD, 0, True),
    ]),
    "2011_003353": ((375, 500), [
        ("sofa", (0, 300, 200, 200), GOOD, 0, True),
        ("person", (220, 30, 120, 300), GOOD, 0, False),
        ("tvmonitor", (20, 40, 160, 130), GOOD, 0, True),
        ("pottedplant", (130, 100, 60, 90), GOOD, 0, True),  # in front of the one before
    ]),
}  # fmt: skip


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of the scenes."""
    root, occluders = Path(root), []
    for n, (name, (size, objects)) in enumerate(SEGMENTED.items()):
        image = Backdrop(size, seed + n).image.copy()
        labels = np.zeros(size[::-1], np.uint8)
        for i, (_, (x, y, w, h), _, fewer, _) in enumerate(objects):
            image[y : y + h, x : x + w] = COLORS[i]
            labels[max(y - RIM, 0) : y + h + RIM, max(x - RIM, 0) : x + w + RIM] = BORDER
            labels[y : y + h, x : x + w] = i + 1
            labels[y + 9, x : x + fewer] = BORDER
        writers.write_jpeg(root / "JPEGImages" / f"{name}.jpg", image, 97)
        writers.write_png(root / "SegmentationObject" / f"{name}.png", labels, PALETTE)
        _write_annotation(root, name, size, objects, 1)
        occluders += [
            {
                "picture": name,
                "number": i + 1,
                "box": _box(rectangle, size),
                "pixels": int((labels == i + 1).sum()),
                "color": COLORS[i],
            }
            for i, (_, rectangle, _, _, good) in enumerate(objects)
            if good
        ]
    size, other = (400, 300), [("horse", (50, 50, 200, 150), None, 0, False)]
    writers.write_jpeg(root / "JPEGImages" / "2009_000789.jpg", Backdrop(size, seed).image, 90)
    _write_annotation(root, "2009_000789", size, other, 0)
    record = {"cache/pascal_voc_occluders.json": {"occluders": len(occluders), "segmented": 2}}
    write_truth(root, Truth({}, artefacts=record, facts={"occluders": occluders}))


def _box(rectangle: tuple[int, ...], size: tuple[int, int]) -> list[int]:
    """Returns the first and last column and row, from 1, two pixels looser than the object."""
    x, y, w, h = rectangle
    return [max(x - 1, 1), max(y - 1, 1), min(x + w + 2, size[0]), min(y + h + 2, size[1])]


def _write_annotation(root: Path, name: str, size: tuple, objects: list, segmented: int) -> None:
    elements = []
    for label, rectangle, flags, *_ in objects:
        xmin, ymin, xmax, ymax = _box(rectangle, size)
        # As in some official files: another order, and numbers with fractions.
        box = [("xmax", f"{xmax}"), ("xmin", f"{xmin}"), ("ymax", f"{ymax}"), ("ymin", f"{ymin}")]
        if label == "pottedplant":
            box[1] = ("xmin", f"{xmin}.00000076293945")
        content = [("name", label), ("pose", "Unspecified"), ("bndbox", box)]
        if flags is not None:  # photographs without segmentation may lack both
            content += [("difficult", f"{flags[0]}"), ("truncated", f"{flags[1]}")]
        if label == "person":
            content.append(("part", [("name", "head"), ("bndbox", box)]))
        elements.append(("object", content))
    head = [("folder", "VOC2012"), ("filename", f"{name}.jpg")]
    head.append(("size", [("width", f"{size[0]}"), ("height", f"{size[1]}"), ("depth", "3")]))
    head.append(("segmented", f"{segmented}"))
    writers.write_xml(root / "Annotations" / f"{name}.xml", ("annotation", head + elements))

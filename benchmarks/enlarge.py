"""Raw data of any size in the official layouts, for measuring whole jobs.

``ENLARGE[name](root, size)`` writes them. Where a miniature's drawings would be decoded faster
than photographs, their pixels are replaced by such (1/f^2 spectrum, common JPEG quality).
"""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import cv2
import deltacamera
import numpy as np
import yaml
from common import photograph, waves


def aspset(root: Path, size: int) -> None:
    """``size`` clips of 132 frames (the card's example), each seen by three 4K cameras."""
    from posepile.ds.aspset import miniature

    clips = tuple(("aaaa", f"{i:04d}", "train", "all", 132) for i in range(size))
    miniature.build(root, list_of_clips=clips)


def coco(root: Path, size: int) -> None:
    """``size`` photographs of 640x480 pixels with two people each, in the training set."""
    from posepile.ds.coco import miniature

    miniature.build(root)
    data_file = root / "annotations" / "person_keypoints_train2017.json"
    data = json.loads(data_file.read_text())
    data["images"], data["annotations"] = [], []
    for i in range(size):
        drawing = miniature.Drawing(1000 + i, 640, 480, i)
        drawing.pixels = photo(640, 480, i)
        for j, x in enumerate((150 + i % 40, 470 - i % 50)):
            drawing.add((x, 60 + i % 30), 300 + i % 50, [2] * 17)
            person = {"id": 10 * i + j, **drawing.people[j]}
            person["segmentation"] = [coarse(p) for p in person["segmentation"]]
            data["annotations"].append(person)
        name = f"{drawing.id:012d}.jpg"
        save_jpeg(root / "train2017" / name, drawing.pixels, 92)
        data["images"].append({"id": drawing.id, "file_name": name, "width": 640, "height": 480})
    data_file.write_text(json.dumps(data))


def coarse(polygon: list[float]) -> list[float]:
    """As few vertices as people click; the drawing's outline has ten times as many."""
    points = np.array(polygon, np.float32).reshape(-1, 1, 2)
    return np.round(cv2.approxPolyDP(points, 1.0, closed=True), 2).ravel().tolist()


def genebody(root: Path, size: int) -> None:
    """``size`` performers of 4 frames in 5 views of 2048x2448 pixels, besides the miniature's."""
    from posepile.ds import genebody as package
    from posepile.ds.genebody import miniature

    miniature.build(root)
    folder = Path(next(iter(package.__path__)))
    names = yaml.safe_load((folder / "genders.yaml").read_text())["female"]
    names = [n for n in names if n not in ("zhuna2", "natacha", "anastasia")][:size]
    train = root / "GeneBody-Train40"
    for i, image in enumerate(sorted((train / "zhuna2").glob("image/*/*.jpg"))):
        height, width = cv2.imread(str(image)).shape[:2]
        save_jpeg(image, photo(width, height, i), 90)
    for name in names:
        shutil.copytree(train / "zhuna2", train / name)
    for part in (train, root / "GeneBody-Test10"):
        split = {"train": ["zhuna2", *names], "test": []}
        np.save(part / "genebody_split.npy", np.array(split, object), allow_pickle=True)


ENLARGE = {"aspset": aspset, "coco": coco, "genebody": genebody}


@functools.lru_cache(maxsize=2)
def _photo(width: int, height: int) -> np.ndarray:
    focal = 1.1 * max(width, height)
    camera = deltacamera.Camera(
        intrinsic_matrix=[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
    )
    return photograph(waves(0.25 * focal), camera, (width, height), samples=1)


def photo(width: int, height: int, number: int) -> np.ndarray:
    """A picture with the spectrum of photographs, another one for every number."""
    image = np.roll(_photo(width, height), (37 * number, 61 * number), axis=(0, 1))
    return np.ascontiguousarray(image[:: 1 if number % 2 else -1])


def save_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    """Writes uint8 RGB as a JPEG with chroma of half resolution."""
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])

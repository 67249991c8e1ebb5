"""Files of helpers: annotations and label images of PASCAL VOC, a detector's people, squares."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fuzzing import heads
from fuzzing import mutators_pictures as pictures_kit
from fuzzing.mutators_pickle import PICKLE
from fuzzing.mutators_text import XML
from fuzzing.target import Target
from posepile.formats.detection_files import read_detections
from posepile.formats.voc_files import read_voc
from posepile.imaging import jpeg
from posepile.imaging.palettes import read_indices
from posepile.miniature import writers
from posepile.shapes.squares import make_squares


def voc_samples(folder: Path) -> Sequence[Path]:
    """An annotation with two objects, one of them with all that may be there."""
    box = ("bndbox", [("xmin", "1"), ("ymin", "2"), ("xmax", "30.5"), ("ymax", "40")])
    flags = [("difficult", "0"), ("truncated", "1")]
    objects = [
        ("object", [("name", "dog"), box]),
        ("object", [("name", "person"), *flags, box, ("part", [("name", "head"), box])]),
    ]
    head = [("filename", "2007_000123.jpg"), ("segmented", "1")]
    writers.write_xml(folder / "a.xml", ("annotation", [*head, *objects]))
    return [folder / "a.xml"]


def use_voc(path: Path, output: Path) -> int:
    """Reads an annotation."""
    return sum(sum(thing.box) for thing in read_voc(path).objects)


def detection_samples(folder: Path) -> Sequence[Path]:
    """Detections as arrays and as lists."""
    arrays = {f"{k}.jpg": np.ones((k, 5), np.float32) for k in range(3)}
    for name, found in (("arrays", arrays), ("lists", {n: a.tolist() for n, a in arrays.items()})):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(found, 2))
    return sorted(folder.iterdir())


def use_detections(path: Path, output: Path) -> int:
    """Counts people."""
    return sum(map(len, read_detections(path).values()))


def index_samples(folder: Path) -> Sequence[Path]:
    """Label images with a palette and in grey."""
    labels = np.arange(48 * 40, dtype=np.uint8).reshape(48, 40) // 8
    writers.write_png(folder / "palette.png", labels, np.zeros((256, 3), np.uint8))
    (folder / "grey.png").write_bytes(cv2.imencode(".png", labels)[1].tobytes())
    return sorted(folder.iterdir())


def use_indices(path: Path, output: Path) -> int:
    """Reads numbers of objects."""
    return int(read_indices(path).sum())


def photo_samples(folder: Path) -> Sequence[Path]:
    """A folder with a photograph that is turned by its tag."""
    inside = folder / "photos"
    inside.mkdir(parents=True)
    tag = b"\xff\xd8\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06"
    picture = jpeg.encode(np.full((50, 70, 3), 90, np.uint8))
    (inside / "a.jpg").write_bytes(tag + b"\0" * 7 + picture[2:])
    return [inside]


def use_photos(folder: Path, output: Path) -> int:
    """Makes squares of photographs."""
    made, _ = make_squares(folder, output / "small", 32)
    return len(made)


TARGETS = [
    Target("voc", voc_samples, use_voc, XML),
    Target("detections", detection_samples, use_detections, PICKLE),
    Target("indices", index_samples, use_indices, pictures_kit.PNG, True, heads.is_png),
    Target("squares", photo_samples, use_photos, pictures_kit.JPEG, isolated=True),
]

"""A tiny INRIA Holidays: photographs turned as their EXIF says, and a detector's people in them.

The corners of the centre square are marked: red, green, blue, yellow, clockwise from the upper
left one of the upright picture. One photograph shows somebody, of one the detector said nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.pickled import write_pickle
from posepile.miniature.shoot import Actor, Backdrop, shoot
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import Truth, write_truth

MARKS = ((230, 20, 20), (20, 200, 20), (20, 20, 230), (230, 230, 20))  # clockwise
MARK = 60  # pixels of a mark's side in the photograph
# EXIF's orientation -> quarter turns, counter-clockwise, of the upright picture to the stored one
STORED = {None: 0, 1: 0, 3: 2, 6: 1, 8: -1}
NONE = np.zeros((0, 5), np.float32)
TWO = np.array([[170, 60, 160, 420, 0.9], [180, 70, 150, 400, 0.4]], np.float32)  # x, y, w, h
ZEROS = np.zeros((1, 5), np.float32)  # somebody all the same: it is the number of rows that counts
PHOTOS = (  # name, upright size, EXIF's orientation, detections (None: not among them)
    ("100000.jpg", (812, 610), 1, NONE),
    ("100001.jpg", (811, 609), 3, NONE),
    ("100100.jpg", (610, 812), 6, NONE),
    ("100101.jpg", (609, 811), 8, NONE),
    ("100200.jpg", (640, 560), None, TWO),
    ("100201.jpg", (640, 640), None, ZEROS),
    ("100300.jpg", (700, 540), 1, None),
    ("149902.jpg", (600, 600), None, NONE),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of scenes and of who is there."""
    root, empty = Path(root), []
    for n, (name, size, orientation, found) in enumerate(PHOTOS):
        image = shoot(Backdrop(size, seed + n), *_people(size, seed, found is TWO)).image.copy()
        side = min(size)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        near, far = slice(0, MARK), slice(side - MARK, side)
        square = image[top : top + side, left : left + side]
        corners = ((near, near), (near, far), (far, far), (far, near))
        for corner, color in zip(corners, MARKS, strict=True):
            square[corner] = color
        path = root / "jpg" / name
        writers.write_jpeg(path, np.rot90(image, STORED[orientation]).copy(), 97)
        if orientation is not None:
            path.write_bytes(_turned(path.read_bytes(), orientation, ">" if n % 2 else "<"))
        if found is not None and len(found) == 0:
            empty.append(name)
    detections = {name: found for name, _, _, found in PHOTOS if found is not None}
    write_pickle(root / "yolov4_person_detections.pkl", detections)
    facts = {"corners": MARKS, "mark": MARK, "pictures": [name for name, *_ in PHOTOS]}
    facts |= {"without_people": empty, "unknown": ["100300.jpg"]}
    listed = {"inria_holidays/non_person_images.txt": "\n".join(sorted(empty))}
    write_truth(root, Truth({}, artefacts=listed, facts=facts))


def _people(size: tuple[int, int], seed: int, somebody: bool) -> tuple[rig.RigCamera, list[Actor]]:
    camera = rig.make_camera(size, (0, 0, 0), (0, 1, 0), focal=900)
    figure = make_figure("pelv neck head lsho lelb lwri rsho relb lhip lkne rhip rkne".split())
    motion = actor.move(1, seed, at=(0, 4000, 100), turned=-20)
    joints = actor.pose_skeleton(motion, figure.names)[0]
    return camera, [Actor(joints, figure)] if somebody else []


def _turned(jpeg: bytes, orientation: int, order: str) -> bytes:
    """Returns a JPEG with EXIF that holds its orientation and nothing else."""
    tiff = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, 1)
    tiff += struct.pack(f"{order}HHIHHI", 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]

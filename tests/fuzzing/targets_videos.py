"""Annotation files of videos, and arrays of structures in MAT files, as of PoseTrack and MPII."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import scipy.io.matlab  # noqa: F401  here, so that not every worker imports it

from fuzzing.looking import look_at
from fuzzing.mutators_mat import MAT5
from fuzzing.mutators_text import JSON, evil_value
from fuzzing.target import Target
from posepile.formats.matlab_files import items_of, numbers_of, read_mat, rows_of, structs_of
from posepile.miniature import writers
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_videos import read_tracked, tracked_pictures

NAMES = ["nose", "head_bottom", "head_top"]


def video_samples(folder: Path) -> list[Path]:
    """The file of a video."""
    region = {"ignore_regions_x": [[0, 9, 9, 0]], "ignore_regions_y": [[0, 0, 9, 9]]}
    images = [{"id": k, "file_name": f"{k}.jpg", "width": 64, "height": 48} for k in range(3)]
    people = [
        {"id": 10 * k + t, "image_id": k, "track_id": t, "bbox": [1, 2, 30, 40], "category_id": 1,
         "keypoints": [10 + 9 * k, 20, 1, 5, 6, 1, 0, 0, 0], "bbox_head": [1, 2, 9, 9]}
        for k in range(3) for t in (0, 5)
    ]  # fmt: skip
    categories = [{"id": 1, "name": "person", "keypoints": NAMES}]
    content = {"images": [image | region for image in images], "annotations": people}
    writers.write_json(folder / "video.json", content | {"categories": categories})
    return [folder / "video.json"]


def use_video(path: Path, output: Path) -> None:
    keys, optional = ("track_id", "bbox_head"), ("iscrowd", "segmentation", "bbox", "keypoints")
    source = CocoFile(
        path, path.parent, 3, visibility=(0, 1), optional=optional, more=keys, read=read_tracked
    )
    pictures, _ = tracked_pictures(
        source, lambda person, others: None, lambda person: math.nan, names=NAMES
    )
    for picture in pictures:
        for person in picture.people:
            look_at([person.image_coords, person.left_out, person.mask and person.mask()])


def change_entry(data: bytes, rng: random.Random) -> bytes:
    """One field of an annotation or image."""
    tree = json.loads(data)
    entry = rng.choice(tree[rng.choice(("annotations", "images", "categories"))])
    key = rng.choice(list(entry))
    regions = (
        [[0, 1], [2]],
        [[1, None, 2, 3]],
        [[1e308] * 4],
        [],
        [[]],
        [7, 8, 9, 9],
        [["a"] * 4],
    )
    is_region = key.startswith("ignore") and rng.random() < 0.8
    entry[key] = rng.choice(regions) if is_region else evil_value(rng)
    if rng.random() < 0.2:
        del entry[key]
    return json.dumps(tree).encode()


def _entry_or_text(data: bytes, rng: random.Random) -> bytes:
    try:
        return change_entry(data, rng)
    except Exception:  # it was damaged before
        return rng.choice(JSON)(data, rng)


def release_samples(folder: Path) -> list[Path]:
    """A MAT file with arrays of structures of several lengths."""
    points = writers.mat_structs(
        [{"x": 1.5, "id": 3.0, "seen": "1"}, {"x": 2.0, "id": 4.0, "seen": []}]
    )
    rects = [writers.mat_structs([{"points": points}] * n) for n in (1, 2, 0)]
    lists = {"list": writers.mat_structs([{"rects": r} for r in rects]), "train": [[1.0, 0, 1]]}
    writers.write_mat(folder / "release.mat", {"RELEASE": lists})
    return [folder / "release.mat"]


def use_release(path: Path, output: Path) -> None:
    release = read_mat(path, {"RELEASE": {"list": None, "train": None}})["RELEASE"]
    for picture, train in rows_of(release, "list", "train", path=path):
        if isinstance(picture, dict):
            points = structs_of(picture, "rects", "points")
            look_at([items_of(train), [numbers_of(p, "x", "id", "seen", "y") for p in points]])


TARGETS = [
    Target("tracked_video", video_samples, use_video, (*(_entry_or_text,) * 8, *JSON[:9])),
    Target("mat_structs", release_samples, use_release, MAT5),
]

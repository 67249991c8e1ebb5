"""A third party's pack of MuCo-3DHP in COCO's format: its pictures, 21 joints, pinholes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import presence, read_json
from posepile.formats.derived import derived_rows, work_folder
from posepile.formats.schema import Array
from posepile.formats.text_files import iter_json
from posepile.geometry import markerless
from posepile.geometry.cameras import make_camera
from posepile.recipe import Sequence, Unit
from posepile.shapes.stills import Person, Picture, picture_sequence
from posepile.shapes.units import make_unit, unit_files

FILE, PER_UNIT = "MuCo-3DHP.json", 500
JOINTS = [*markerless.LABELLED.split(","), "rhan", "lhan", "rtoe", "ltoe"]
OURS = markerless.ALL_NAMES.split(",")
ROWS = [OURS.index(name) for name in JOINTS]
IMAGE = {"id": int, "file_name": str, "width": int, "height": int, "f": Array(2), "c": Array(2)}
PERSON = {"image_id": int, "bbox": Array(4)}
PERSON |= {"keypoints_img": Array(21, 2), "keypoints_cam": Array(21, 3)}
UPRIGHT = np.diag([1.0, -1, -1])  # our world has y up, and is the camera's otherwise


def list_units(root: Path) -> Iterator[Unit]:
    """Yields units of 500 pictures of the pack, of those that are there."""
    path, is_there = root / FILE, presence()
    place = work_folder(root) / "coco_pack"
    pieces = derived_rows([path], place, partial(read_pack, path), "file_name", PER_UNIT)
    for piece, names in pieces.items():
        pictures = {name: root / name for name in names}
        kept = [name for name, picture in pictures.items() if is_there(picture)]
        files = {"rows": piece, "pictures": [pictures[name] for name in kept]}
        yield make_unit(
            f"coco_pack/{piece.stem}", "train", files, names=kept, lost=len(names) - len(kept)
        )


def read_pack(path: Path) -> Iterator[dict]:
    """Yields the pictures of the pack with their ``people``.

    Raises:
        CorruptInput: Not as described, or people of a picture that is not there.
    """
    people = defaultdict(list)
    for person in iter_json(path, "annotations.item", PERSON):
        values = {key: np.float32(person[key]) for key in PERSON if key != "image_id"}
        people[person["image_id"]].append(values)
    for image in iter_json(path, "images.item", IMAGE):
        yield image | {"people": people.pop(image["id"], [])}
    if people:
        raise CorruptInput(path, f"annotations of image {min(people)}, which is not there")


def load_unit(unit: Unit, limit: float) -> Sequence:
    """Returns some pictures of the pack; what its 21 joints lack is NaN.

    Raises:
        CorruptInput: Joints in the picture that are farther from projected ones than the limit.
    """
    files, wanted, pictures = unit_files(unit), set(unit.args["names"]), []
    rows = [row for row in read_json(files["rows"]) if row["file_name"] in wanted]
    cameras, seen = [], []
    for path, row in zip(files["pictures"], rows, strict=True):
        size, people = (row["width"], row["height"]), []
        lens = {"focal": tuple(row["f"]), "principal": tuple(row["c"]), "size": size}
        camera = make_camera(
            path, rotation=UPRIGHT, center=np.zeros(3), **lens, world_up=(0, 1, 0)
        )
        for p, person in enumerate(row["people"]):
            coords = np.full((len(OURS), 3), np.nan, np.float32)
            coords[ROWS] = np.array(person["keypoints_cam"]) @ UPRIGHT
            people.append(Person(p, world_coords=coords, bbox=np.float32(person["bbox"])))
            seen.append((coords[ROWS[:17]], person["keypoints_img"][:17]))
            cameras.append(camera)
        pictures.append(Picture(path, size, people, camera))
    checks = {}
    if seen:
        points, pixels = map(np.array, zip(*seen, strict=True))
        given = (files["rows"], cameras.__getitem__, points, pixels, limit)
        checks = markerless.check_labels(*given)
    name = lambda path, p: f"coco_pack/{path.parent.name}/{path.stem}_{p}.jpg"  # noqa: E731
    told = {"scene": "green-screen", "checks": checks}
    told["dropped"] = {"picture of the pack is not there": unit.args["lost"]}
    return picture_sequence(unit, pictures, image_name=name, **told)

"""Annotations in COCO's form: people in photographs, key points in the image plane.

Their file is one object of hundreds of megabytes; it is cut once into pieces of some hundred
photographs, one for each unit of work. Variants of the form leave things out: ``iscrowd``,
``segmentation``, ``bbox`` and even the key points of a person may be absent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.derived import Pieces, derived_pieces
from posepile.formats.schema import Array
from posepile.formats.text_files import iter_json
from posepile.recipe import Sequence, Stills, Unit
from posepile.shapes.people import Person, tracks_of_pictures

VERSION = 1
CROWD = "crowd region"
UNLABELLED = "no key point labelled"


def coco_pieces(
    path: Path,
    folder: Path,
    n_joints: int,
    *,
    optional: tuple[str, ...] = (),
    per_piece: int = 400,
    hint: str | None = None,
) -> Pieces:
    """Returns the pieces of an annotation file, in order of image id; cuts it if need be.

    A piece is ``{"images": [{"id", "file_name", "width", "height", "people"}], "elsewhere"}``: the
    people of an image in order of annotation id, ``elsewhere`` the people of images of the same
    range of ids in which nobody has key points, counted by reason.

    Args:
        path: e.g. ``person_keypoints_val2017.json``.
        folder: Where the pieces shall lie.
        n_joints: How many key points a person has.
        optional: Which of ``iscrowd``, ``keypoints``, ``bbox``, ``segmentation`` may be absent.
        per_piece: Photographs with labelled people in a piece.
        hint: What to do if the file is missing.

    Raises:
        CorruptInput: Missing, damaged or not of COCO's form; names the annotation.
    """
    kinds = {"iscrowd": int, "keypoints": Array(3 * n_joints), "bbox": Array(4)}
    kinds["segmentation"] = (list, dict)
    schema = {"id": int, "image_id": int, "category_id": int}
    schema |= {f"{k}?" if k in optional else k: kind for k, kind in kinds.items()}
    version = f"{VERSION} {schema} {per_piece}"
    return derived_pieces(
        [path], folder, version, lambda: _cut(path, schema, per_piece), hint=hint
    )


def coco_units(
    pieces: Pieces, prefix: str, split: str, path: Path, image_path: Callable[[str], Path]
) -> Iterator[Unit]:
    """Yields one unit for each piece.

    Args:
        pieces: As :func:`coco_pieces` gives them.
        prefix: First part of the units' ids, e.g. ``val2017``.
        split: ``train``, ``val`` or ``test``.
        path: The annotation file.
        image_path: From the file name that the annotations have to where the image lies.
    """
    for name, content in pieces.index().items():
        images = [image_path(image["file_name"]) for image in pieces.read(name)["images"]]
        yield Unit(f"{prefix}/{name}", split, (path, *images), {"piece": name, "content": content})


def coco_sequence(
    unit: Unit,
    piece: dict,
    image_path: Callable[[str], Path],
    image_name: Callable[[str, int], str],
    why_not: Callable[[dict, list[dict]], str | None],
) -> Sequence:
    """Returns the people of a unit's photographs; the index is their rank in the photograph.

    Args:
        unit: Of :func:`coco_units`.
        piece: Of the unit.
        image_path: As there.
        image_name: (file name, person) -> path of the crop.
        why_not: (person, the others in the photograph) -> why they are left out, or None.
    """
    source, dropped, pictures = unit.inputs[0], Counter(piece["elsewhere"]), []
    for frame, image in enumerate(piece["images"]):
        kept = {}
        for index, person in enumerate(image["people"]):
            others = image["people"][:index] + image["people"][index + 1 :]
            reason = why_not(person, others)
            if reason is None:
                kept[index] = _person(person, image, frame, source)
            else:
                dropped[reason] += 1
        pictures.append(kept)
    names = [image["file_name"] for image in piece["images"]]
    sizes = tuple((image["width"], image["height"]) for image in piece["images"])
    return Sequence(
        id=unit.id,
        split=unit.split,
        frames=Stills(tuple(map(image_path, names)), sizes=sizes),
        camera=None,
        tracks=tracks_of_pictures(pictures),
        image_name=lambda frame, person: image_name(names[frame], person),
        dropped=dropped,
    )


def joint_coords(person: dict) -> np.ndarray:
    """Returns key points ``[J, 2]`` in pixels, float32, NaN where not labelled (visibility 0).

    >>> joint_coords({"keypoints": [10, 20, 2, 0, 0, 0]})
    array([[10., 20.],
           [nan, nan]], dtype=float32)
    """
    points = np.array(person["keypoints"], np.float32).reshape(-1, 3)
    return np.where(points[:, 2:] > 0, points[:, :2], np.float32(np.nan))


def coco_mask(segmentation: list | dict, width: int, height: int) -> dict | None:
    """Turns any of COCO's mask forms into an RLE dict with compressed bytes.

    >>> coco_mask([[0, 0, 4, 0, 4, 4, 0, 4]], 8, 6)["size"]
    [6, 8]

    Args:
        segmentation: Polygons ``[[x, y, ...], ...]``, or RLE with counts as a list (plain) or as a
            string (compressed).
        width: Of the image.
        height: Of the image.

    Returns:
        ``{"size": [h, w], "counts": bytes}``, None if nothing is given.

    Raises:
        ValueError: The mask is made for an image of another size.
    """
    from pycocotools import mask as tools

    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(
                f"mask of size {segmentation['size']} in an image of [{height}, {width}]"
            )
        counts = segmentation["counts"]
        if isinstance(counts, list):
            return tools.frPyObjects(segmentation, height, width)
        return {"size": [height, width], "counts": counts.encode("ascii")}
    # Four numbers would be taken for a box, two for nothing: only real polygons are passed on.
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return None
    return tools.merge(tools.frPyObjects(polygons, height, width))


def _person(person: dict, image: dict, frame: int, source: Path) -> Person:
    masked = person.get("segmentation") is not None
    return Person(
        image_coords=joint_coords(person),
        bbox=person.get("bbox"),
        mask=partial(_mask, person, image, frame, source) if masked else None,
    )


def _mask(person: dict, image: dict, frame: int, source: Path) -> dict | None:
    try:
        return coco_mask(person["segmentation"], image["width"], image["height"])
    except (ValueError, KeyError, TypeError) as e:
        raise CorruptInput(source, f"annotation {person['id']}: {e}", frame=frame) from None


def _cut(path: Path, schema: dict, per_piece: int) -> Iterator[tuple[str, Any]]:
    """Yields the pieces; people of images without labelled people are only counted."""
    categories = iter_json(path, "categories.item", {"id": int, "name?": str})
    persons = {c["id"] for c in categories if c.get("name") == "person"}
    if not persons:
        raise CorruptInput(path, "has no category 'person'; expected COCO's form")
    facts = {"id": int, "file_name": str, "width": int, "height": int}
    images = {image["id"]: image for image in iter_json(path, "images.item", facts, name="id")}
    if not images:
        raise CorruptInput(path, "lists no images; expected COCO's form")
    # As text, people take a tenth of the memory.
    people: dict[int, list[tuple[int, str]]] = {}
    for person in _people(path, schema, persons):
        if person["image_id"] not in images:
            raise CorruptInput(
                path,
                f"annotations with id {person['id']}: found image_id {person['image_id']}; "
                "expected one of the listed images",
            )
        text = json.dumps({k: v for k, v in person.items() if k != "image_id"})
        people.setdefault(person["image_id"], []).append((person["id"], text))

    # A full piece waits for the next photograph with labelled people, so that whoever lies behind
    # the last one is counted as well.
    piece, elsewhere = [], Counter()
    for image_id, image in sorted(images.items()):
        found = [json.loads(text) for _, text in sorted(people.get(image_id, ()))]
        if not any(max(p["keypoints"][2::3], default=0) > 0 for p in found):
            elsewhere.update(CROWD if p["iscrowd"] else UNLABELLED for p in found)
            continue
        if len(piece) == per_piece:
            yield _named(piece, elsewhere)
            piece, elsewhere = [], Counter()
        piece.append({**image, "people": found})
    if piece:
        yield _named(piece, elsewhere)


def _named(images: list[dict], elsewhere: Counter) -> tuple[str, Any]:
    return f"{images[0]['id']:012d}", {"images": images, "elsewhere": dict(elsewhere)}


def _people(path: Path, schema: dict, persons: set[int]) -> Iterator[dict]:
    """Annotations of people, checked, as plain data."""
    for person in iter_json(path, "annotations.item", schema, name="id"):
        if person["category_id"] not in persons:
            continue
        keypoints = person.get("keypoints", np.zeros(0)).tolist()
        if not all(0 <= v <= 2 for v in keypoints[2::3]):
            raise CorruptInput(
                path,
                f"annotations with id {person['id']}: found the visibilities {keypoints[2::3]}; "
                "expected 0 to 2",
            )
        plain = {"id": person["id"], "image_id": person["image_id"], "keypoints": keypoints}
        plain["iscrowd"] = person.get("iscrowd", 0)
        plain["bbox"] = person["bbox"].tolist() if "bbox" in person else None
        yield plain | {"segmentation": person.get("segmentation")}

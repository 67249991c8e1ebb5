"""People in pictures with key points in the image, in an annotation file like COCO's.

The file is cut into pieces once, since reading it whole takes a process some 2 GB. A recipe says
what the file holds and why a person is left out::

    def source(root, phase):
        return CocoFile(root / "annotations" / f"{phase}.json", root / phase, n_joints=17)

    def list_units(root, options):
        for phase in ...:
            yield from coco_units(source(root, phase), root, phase, split)

    def load_unit(root, unit, options):
        phase = unit.id.split("/")[0]
        return [coco_sequence(source(root, phase), root, unit, why_not)]
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import stable_hash
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.text_files import iter_json
from posepile.recipe import Sequence, Unit
from posepile.shapes.stills import Person, Picture, picture_sequence

VERSION = 1
CROWD = "crowd region"
UNLABELLED = "no key point labelled"
FEW_VISIBLE = "fewer visible joints than asked for"
FEW_LABELLED = "fewer labelled joints than asked for"


@dataclass(frozen=True)
class CocoFile:
    """An annotation file and what it holds.

    Attributes:
        path: JSON with ``images``, ``annotations`` and ``categories``.
        pictures: Folder to which the ``file_name`` of an image is relative.
        n_joints: Number of (x, y, v) in ``keypoints``.
        visibility: The values v may have: 0 = not labelled, 2 = visible; None = any number, of
            which those above 0 are labelled.
        optional: Keys that an annotation may lack: of ``iscrowd``, ``segmentation``, ``bbox`` and
            ``keypoints``.
        crowd_key: How ``iscrowd`` is spelt.
        category: Name of the category; annotations of others are passed over. None: there are no
            ``categories``, everything is a person.
        more: Further keys of annotations that the recipe needs, where they are there.
        pictures_per_unit: That many make a unit.
        hint: What the user can do if the file is missing or damaged.
    """

    path: Path
    pictures: Path
    n_joints: int = 17
    visibility: tuple[int, ...] | None = (0, 1, 2)
    optional: tuple[str, ...] = ()
    crowd_key: str = "iscrowd"
    category: str | None = "person"
    more: tuple[str, ...] = ()
    pictures_per_unit: int = 400
    hint: str | None = "fetch or extract it again"


# Person and everybody else in the picture, as dictionaries with COCO's keys -> a reason, or None.
WhyNot = Callable[[dict, list[dict]], str | None]


def coco_units(source: CocoFile, root: Path, id: str, split: str) -> Iterator[Unit]:
    """Yields units of some hundred pictures with labelled people, in order of image id.

    >>> import json
    >>> person = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
    >>> person["keypoints"], person["segmentation"] = [10, 20, 2] * 17, []
    >>> image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
    >>> categories = [{"id": 1, "name": "person"}]
    >>> content = {"images": [image], "annotations": [person], "categories": categories}
    >>> root = folder / "mydata"
    >>> root.mkdir()
    >>> _ = (root / "val.json").write_text(json.dumps(content))
    >>> source = CocoFile(root / "val.json", root / "images")
    >>> [unit.id for unit in coco_units(source, root, "val", "val")]
    ['val/000000000001']

    Args:
        source: The annotation file.
        root: Raw folder of the dataset.
        id: Of the file, e.g. ``val2017``; the units are ``<id>/<id of the first image>``.
        split: ``train``, ``val`` or ``test``.
    """
    for piece in read_pieces(source, root):
        inputs = (source.path, *(source.pictures / name for name in piece["images"]))
        args = {"piece": piece["name"], "content": piece["content"]}
        yield Unit(f"{id}/{piece['name']}", split, inputs, args)


def coco_sequence(
    source: CocoFile,
    root: Path,
    unit: Unit,
    why_not: WhyNot = lambda person, others: None,
    *,
    more: Callable[[dict, dict], dict[str, Any]] = lambda person, image: {},
    image_name: Callable[[Path, int], str] | None = None,
) -> Sequence:
    """Returns the people of a unit of :func:`coco_units`.

    The index of a person is the rank of their annotation's id in the picture. Crowd regions and
    people without a labelled joint are left out and counted.

    >>> import json
    >>> person = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
    >>> person["keypoints"], person["segmentation"] = [10, 20, 2] * 17, []
    >>> image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
    >>> categories = [{"id": 1, "name": "person"}]
    >>> content = {"images": [image], "annotations": [person], "categories": categories}
    >>> root = folder / "mydata"
    >>> root.mkdir()
    >>> _ = (root / "val.json").write_text(json.dumps(content))
    >>> source = CocoFile(root / "val.json", root / "images")
    >>> (unit,) = coco_units(source, root, "val", "val")
    >>> coco_sequence(source, root, unit).tracks[0].image_coords[0, 0]
    array([10., 20.], dtype=float32)

    Args:
        source: The annotation file.
        root: Raw folder of the dataset.
        unit: One of its units.
        why_not: Why a person is left out.
        more: (person, image) -> further fields of :class:`posepile.shapes.stills.Person`.
        image_name: As of :func:`posepile.shapes.stills.picture_sequence`.
    """
    piece = json.loads((_pieces(source, root) / f"{unit.args['piece']}.json").read_text())
    pictures = []
    for image in piece["images"]:
        people = []
        for index, person in enumerate(image["people"]):
            others = [p for p in image["people"] if p is not person]
            has_mask = person["segmentation"] is not None
            fields = {
                "image_coords": joint_coords(person, source.n_joints),
                "bbox": person["bbox"],
                "mask": partial(_mask, source, person, image) if has_mask else None,
                "left_out": _why_not_at_all(person) or why_not(person, others),
            }
            people.append(Person(index, **{**fields, **more(person, image)}))
        size = image["width"], image["height"]
        pictures.append(Picture(source.pictures / image["file_name"], size, people))
    return picture_sequence(unit, pictures, image_name=image_name, dropped=piece["elsewhere"])


def joint_coords(person: dict, n_joints: int = 17) -> np.ndarray:
    """Returns the joints of an annotation, float32 ``[J, 2]`` pixels, NaN where not labelled.

    >>> joint_coords({"keypoints": [10, 20, 2, 0, 0, 0]}, 2)
    array([[10., 20.],
           [nan, nan]], dtype=float32)
    """
    points = np.array(person["keypoints"] or [0] * 3 * n_joints, np.float32).reshape(-1, 3)
    return np.where(points[:, 2:] > 0, points[:, :2], np.float32(np.nan))


def too_few_joints(person: dict, visible_share: float, labelled_share: float) -> str | None:
    """Returns a reason if fewer joints than these shares are visible or labelled, else None.

    >>> too_few_joints({"keypoints": [5, 5, 2, 6, 6, 1, 0, 0, 0, 0, 0, 0]}, 0.25, 0.75)
    'fewer labelled joints than asked for'
    """
    visibility = np.array(person["keypoints"][2::3])
    if (visibility == 2).mean() < visible_share - 1e-9:
        return FEW_VISIBLE
    if (visibility > 0).mean() < labelled_share - 1e-9:
        return FEW_LABELLED
    return None


def read_pieces(source: CocoFile, root: Path) -> list[dict]:
    """Returns the list of the pieces of an annotation file, cutting it if need be.

    >>> import json
    >>> person = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
    >>> person["keypoints"], person["segmentation"] = [10, 20, 2] * 17, []
    >>> image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
    >>> categories = [{"id": 1, "name": "person"}]
    >>> content = {"images": [image], "annotations": [person], "categories": categories}
    >>> root = folder / "mydata"
    >>> root.mkdir()
    >>> _ = (root / "val.json").write_text(json.dumps(content))
    >>> source = CocoFile(root / "val.json", root / "images")
    >>> read_pieces(source, root)[0]["images"]
    ['1.jpg']

    Returns:
        ``{"name", "images": [file names], "content": digest of the annotations}`` per unit. The
        digest tells units apart whose annotations have changed from those whose have not.
    """
    return json.loads((_pieces(source, root) / "index.json").read_text())


def decode_mask(segmentation: list | dict, width: int, height: int) -> dict[str, Any] | None:
    """Returns any of COCO's forms of a mask as an RLE dict with compressed bytes.

    >>> decode_mask([[0, 0, 10, 0, 10, 10, 0, 10]], 64, 48)["size"]
    [48, 64]

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
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(
                f"mask of size {segmentation['size']} in an image of [{height}, {width}]"
            )
        counts = segmentation["counts"]
        if isinstance(counts, list):
            return coco_mask.frPyObjects(segmentation, height, width)
        return {"size": [height, width], "counts": counts.encode("ascii")}
    # Four numbers would be taken for a box, two for nothing: only real polygons are passed on.
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return None
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _mask(source: CocoFile, person: dict, image: dict) -> dict | None:
    try:
        return decode_mask(person["segmentation"], image["width"], image["height"])
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise CorruptInput(source.path, f"annotation {person['id']}: {e}") from None


def _why_not_at_all(person: dict) -> str | None:
    if person["iscrowd"]:
        return CROWD
    return None if any(v > 0 for v in person["keypoints"][2::3]) else UNLABELLED


# ---------------------------------------------------------------- cutting


def _pieces(source: CocoFile, root: Path) -> Path:
    """The folder with the pieces of the annotation file as it is now."""
    # What a piece holds depends on all that is said of the file, but not on where it lies.
    facts = [source.n_joints, source.visibility, source.optional, source.crowd_key]
    facts += [source.category, source.more, source.pictures_per_unit]
    return derived_folder(
        [source.path],
        work_folder(root) / "annotations",
        partial(_write_pieces, source),
        version=f"{VERSION}-{stable_hash(facts)[:8]}",
        hint=source.hint,
    )


def _write_pieces(source: CocoFile, folder: Path) -> None:
    index = []
    for piece in _cut(source):
        names = [image["file_name"] for image in piece["images"]]
        content = stable_hash(piece)
        index.append({"name": piece["name"], "images": names, "content": content})
        (folder / f"{piece['name']}.json").write_text(json.dumps(piece))
    (folder / "index.json").write_text(json.dumps(index))


def _cut(source: CocoFile) -> Iterator[dict]:
    """Yields the pieces; people in pictures without any labelled person are only counted."""
    images = _read_images(source)
    people = _read_people(source, images)
    # A full piece waits for the next picture with labelled people, so that whoever lies behind the
    # last one is counted as well.
    piece: list[dict] = []
    elsewhere: Counter = Counter()
    for image_id in sorted(images):
        group = sorted(map(json.loads, people.pop(image_id, ())), key=lambda p: p["id"])
        if not any(max(p["keypoints"][2::3], default=0) > 0 for p in group):
            elsewhere.update(filter(None, map(_why_not_at_all, group)))
            continue
        if len(piece) == source.pictures_per_unit:
            yield _piece(piece, elsewhere)
            piece, elsewhere = [], Counter()
        piece.append({**images[image_id], "people": group})
    if piece:
        yield _piece(piece, elsewhere)


def _piece(images: list[dict], elsewhere: Counter) -> dict:
    return {"name": f"{images[0]['id']:012d}", "images": images, "elsewhere": dict(elsewhere)}


def _read_images(source: CocoFile) -> dict[int, dict]:
    """Id -> what is needed of an image."""
    keys = ("id", "file_name", "width", "height")
    images: dict[int, dict] = {}
    for number, image in enumerate(iter_json(source.path, "images.item", hint=source.hint)):
        kept = _required(source, image, keys, "image", number)
        if kept["id"] in images:
            raise CorruptInput(source.path, f"found two images of id {kept['id']}; expected one")
        images[kept["id"]] = kept
    if not images:
        raise CorruptInput(
            source.path, "found no list 'images'; expected COCO's format", hint=source.hint
        )
    return images


def _read_people(source: CocoFile, images: dict[int, dict]) -> dict[int, list[str]]:
    """Id of the image -> its people as JSON text, which takes a tenth of the memory of objects."""
    persons = _person_categories(source)
    people: dict[int, list[str]] = {}
    empty = True
    for number, found in enumerate(iter_json(source.path, "annotations.item", hint=source.hint)):
        empty = False
        _required(source, found, (), "annotation", number)
        if persons is not None and found.get("category_id") not in persons:
            continue
        try:
            person = _person(source, found, number)
        except TypeError as e:  # text where numbers belong, null where a list belongs
            name = f"annotation {found.get('id', f'number {number}')}"
            raise CorruptInput(source.path, f"{name} is malformed: {e}") from None
        if found["image_id"] not in images:
            raise CorruptInput(
                source.path,
                f"annotation {person['id']} belongs to image {found['image_id']}, "
                "which is not listed",
            )
        people.setdefault(found["image_id"], []).append(json.dumps(person))
    if empty:
        raise CorruptInput(
            source.path, "found no list 'annotations'; expected COCO's format", hint=source.hint
        )
    return people


def _person_categories(source: CocoFile) -> set[int] | None:
    if source.category is None:
        return None
    entries = iter_json(source.path, "categories.item", {"id": int, "name": str}, hint=source.hint)
    persons = {entry["id"] for entry in entries if entry["name"] == source.category}
    if not persons:
        raise CorruptInput(source.path, f"has no category {source.category!r}")
    return persons


def _person(source: CocoFile, found: dict, number: int) -> dict:
    """What is needed of one annotation; a missing or malformed entry is named."""
    found = {**found, "iscrowd": found.get(source.crowd_key)}
    absent = {"iscrowd": 0, "segmentation": None, "bbox": None, "keypoints": []}
    for key in source.optional:
        found[key] = absent[key] if found.get(key) is None else found[key]
    if found["iscrowd"] is None:
        del found["iscrowd"]
    person = _required(source, found, ("id", "image_id", *absent), "annotation", number)
    del person["image_id"]
    where, joints, box = f"annotation {person['id']}", person["keypoints"], person["bbox"]
    n = 3 * source.n_joints
    if len(joints) != n and not ("keypoints" in source.optional and not joints):
        raise CorruptInput(
            source.path, f"{where} has {len(joints)} key point values, expected {n}"
        )
    if source.visibility is not None and not set(joints[2::3]) <= set(source.visibility):
        known = ", ".join(map(str, source.visibility))
        raise CorruptInput(source.path, f"{where} has a visibility other than {known}")
    if box is not None and (len(box) != 4 or not np.isfinite(box).all()):
        raise CorruptInput(source.path, f"{where} has the box {box}, expected x, y, w, h")
    return person | {key: found[key] for key in source.more if key in found}


def _required(source: CocoFile, found: Any, keys: tuple, what: str, number: int) -> dict:
    if not isinstance(found, dict):
        raise CorruptInput(source.path, f"{what} number {number} is {found!r}; expected an object")
    missing = [key for key in keys if key not in found]
    if missing:
        name = f"{what} {found.get('id', f'number {number}')}"
        raise CorruptInput(source.path, f"{name} lacks {', '.join(missing)}")
    return {key: found[key] for key in keys}

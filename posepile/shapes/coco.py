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
from urllib.parse import quote

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import stable_hash
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.keys import by_key
from posepile.formats.text_files import iter_json
from posepile.recipe import Sequence, Unit
from posepile.shapes.coco_masks import box_fault, decode_mask, is_far, is_numbers, mask_fault
from posepile.shapes.stills import Person, Picture, picture_sequence

VERSION = 2
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
            ``keypoints``; one that lacks another is left out, as is one that is malformed.
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

    The index of a person is the rank of their annotation's id in the picture. Crowd regions,
    people without a labelled joint and malformed annotations are left out and counted.

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
                # That of a group says nothing of where anybody is.
                "bbox": None if person["iscrowd"] else person["bbox"],
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
        ``{"name", "images": [file names], "content": digest of the annotations, "malformed":
        {what is wrong: [how often, the first annotation]}}`` per unit. The digest tells units
        apart whose annotations have changed from those whose have not.
    """
    return json.loads((_pieces(source, root) / "index.json").read_text())


def malformed_lines(units: list[dict]) -> list[str]:
    """Returns a line for everything that is wrong with annotations, with the first one of each.

    >>> malformed_lines([{"malformed": {"lacks bbox": [2, "annotation 7"]}}])
    ['2 annotations left out: lacks bbox (the first one: annotation 7)']

    Args:
        units: As of :func:`read_pieces`.
    """
    found: dict[str, list] = {}
    for unit in units:
        for fault, (n, place) in unit["malformed"].items():
            found.setdefault(fault, [0, place])[0] += n
    return [
        f"{n} annotations left out: {fault} (the first one: {place})"
        for fault, (n, place) in sorted(found.items())
    ]


def _mask(source: CocoFile, person: dict, image: dict) -> dict | None:
    try:
        return decode_mask(person["segmentation"], image["width"], image["height"])
    except ValueError as e:
        raise CorruptInput(source.path, f"annotation {person['id']}: {e}") from None


def _why_not_at_all(person: dict) -> str | None:
    if person["iscrowd"]:
        return CROWD
    if person["fault"]:
        return person["fault"]
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
        entry = {"name": piece["name"], "images": names, "content": stable_hash(piece)}
        index.append(entry | {"malformed": piece.pop("malformed")})
        (folder / f"{piece['name']}.json").write_text(json.dumps(piece))
    (folder / "index.json").write_text(json.dumps(index))


def _cut(source: CocoFile) -> Iterator[dict]:
    """Yields the pieces; people in pictures without any usable person are only counted."""
    images = _read_images(source)
    people = _read_people(source, images)
    # A full piece waits for the next picture with labelled people, so that whoever lies behind the
    # last one is counted as well.
    piece: list[dict] = []
    # Annotations of no picture belong to none of the pieces.
    elsewhere = list(map(json.loads, people.pop(None, ())))
    for image_id in sorted(images, key=_order):
        group = sorted(map(json.loads, people.pop(image_id, ())), key=lambda p: _order(p["id"]))
        if all(map(_why_not_at_all, group)):
            elsewhere += group
            continue
        if len(piece) == source.pictures_per_unit:
            yield _piece(piece, elsewhere)
            piece, elsewhere = [], []
        piece.append({**images[image_id], "people": group})
    if piece:
        yield _piece(piece, elsewhere)
    # Nobody is usable in the whole file, so it is not what the recipe takes it for.
    elif malformed := _malformed(elsewhere):
        fault, (n, place) = next(iter(malformed.items()))
        raise CorruptInput(
            source.path, f"{place}: {fault} ({n} such); expected some that are well-formed"
        )


def _piece(images: list[dict], elsewhere: list[dict]) -> dict:
    first, people = images[0]["id"], [p for image in images for p in image["people"]]
    return {
        "name": f"{first:012d}" if isinstance(first, int) else quote(first, safe=""),
        "images": images,
        "elsewhere": dict(Counter(map(_why_not_at_all, elsewhere))),
        "malformed": _malformed(elsewhere + people),
    }


def _malformed(people: list[dict]) -> dict[str, list]:
    """What is wrong -> how often, and the first annotation."""
    found: dict[str, list] = {}
    for person in people:
        if person["fault"] and not person["iscrowd"]:
            found.setdefault(person["fault"], [0, person["place"]])[0] += 1
    return found


def _order(id: int | str | None) -> tuple:
    """Key for sorting ids: numbers, then texts, then those that are none."""
    return id is None, isinstance(id, str), id if id is not None else 0


def _id(value: Any) -> int | str | None:
    """An id as a number where it is one, also as text; None if it is neither number nor text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) in (int, str) and len(str(value)) < 80 else None


def _read_images(source: CocoFile) -> dict[int | str, dict]:
    """Id -> what is needed of an image."""
    found = by_key(_images(source), source.path, "image id")
    if not found:
        raise CorruptInput(
            source.path, "found no list 'images'; expected COCO's format", hint=source.hint
        )
    named = [(i["file_name"], f"image id {i['id']}", i) for i in found.values() if not i["fault"]]
    by_key(named, source.path, "file_name")
    return found


def _images(source: CocoFile) -> Iterator[tuple[int | str, str, dict]]:
    for number, image in enumerate(iter_json(source.path, "images.item", hint=source.hint)):
        id = _id(_object(source, image, "image", number).get("id"))
        if id is None:
            raise CorruptInput(source.path, f"image number {number} lacks an id")
        name, *size = (image.get(key) for key in ("file_name", "width", "height"))
        size = [_id(side) for side in size]
        is_known = isinstance(name, str) and all(isinstance(n, int) and n > 0 for n in size)
        fault = None if is_known else "its image lacks file_name, width or height"
        kept = {"id": id, "file_name": name, "width": size[0], "height": size[1], "fault": fault}
        yield id, f"images.{number}", kept


def _read_people(source: CocoFile, images: dict) -> dict[int | str | None, list[str]]:
    """Id of the image -> its people as JSON text, which takes a tenth of the memory of objects.

    None -> those that are of no image.
    """
    people: dict[int | str | None, list[str]] = {}
    found = by_key(_people(source, images), source.path, "annotation id", hint=source.hint)
    for image_id, text in found.values():
        people.setdefault(image_id, []).append(text)
    return people


def _people(source: CocoFile, images: dict) -> Iterator[tuple[Any, str, tuple]]:
    persons = _person_categories(source)
    number = -1
    for number, found in enumerate(iter_json(source.path, "annotations.item", hint=source.hint)):
        category = _id(_object(source, found, "annotation", number).get("category_id"))
        if persons is not None and category is not None and category not in persons:
            continue
        id, image_id = _id(found.get("id")), _id(found.get("image_id"))
        if image_id is not None and image_id not in images:
            raise CorruptInput(
                source.path, f"annotation {id} belongs to image {image_id}, which is not listed"
            )
        person = _person(source, found, images.get(image_id))
        if persons is not None and category is None:
            person["fault"] = "lacks category_id"
        place = f"annotations.{number}"
        person |= {"id": id, "place": f"annotation {id}" if id is not None else place}
        # Who has no id is nobody's double.
        yield (place if id is None else id), place, (image_id, json.dumps(person))
    if number < 0:
        raise CorruptInput(
            source.path, "found no list 'annotations'; expected COCO's format", hint=source.hint
        )


def _person_categories(source: CocoFile) -> set[int | str] | None:
    if source.category is None:
        return None
    schema = {"id": (int, float, str), "name": str}
    entries = iter_json(source.path, "categories.item", schema, hint=source.hint)
    persons = {_id(entry["id"]) for entry in entries if entry["name"] == source.category}
    if not persons:
        raise CorruptInput(source.path, f"has no category {source.category!r}")
    return persons


def _person(source: CocoFile, found: dict, image: dict | None) -> dict:
    """What is needed of one annotation, without what is malformed, and ``fault``: what that is."""
    crowd = found.get(source.crowd_key)
    found = {**found, "iscrowd": crowd if isinstance(crowd, bool) else _id(crowd)}
    absent = {"iscrowd": 0, "segmentation": None, "bbox": None, "keypoints": []}
    lacking = [k for k in absent if found.get(k) is None and k not in source.optional]
    lacking += [k for k in ("id", "image_id") if _id(found.get(k)) is None]
    person = {k: empty if found.get(k) is None else found[k] for k, empty in absent.items()}
    fault = f"lacks {', '.join(lacking)}" if lacking else image["fault"]
    if fault is None:
        size = image["width"], image["height"]
        fault = _keypoints_fault(source, person["keypoints"], size)
        fault = fault or box_fault(person["bbox"], *size)
        if fault is None and person["segmentation"] is not None:
            fault = mask_fault(person["segmentation"], *size)
    if fault is not None:
        person = {**absent, "iscrowd": person["iscrowd"]}
    return person | {key: found[key] for key in source.more if key in found} | {"fault": fault}


def _keypoints_fault(source: CocoFile, values: Any, size: tuple[int, int]) -> str | None:
    n = 3 * source.n_joints
    if values == [] and "keypoints" in source.optional:
        return None
    if not is_numbers(values) or len(values) != n:
        return f"key points are not {n} finite numbers"
    labelled = [x for k, x in enumerate(values) if values[k - k % 3 + 2] > 0 and k % 3 < 2]
    if source.visibility is not None and not set(values[2::3]) <= set(source.visibility):
        return f"a visibility other than {', '.join(map(str, source.visibility))}"
    return "key points far outside the picture" if is_far(labelled, *size) else None


def _object(source: CocoFile, found: Any, what: str, number: int) -> dict:
    if not isinstance(found, dict):
        raise CorruptInput(source.path, f"{what} number {number} is {found!r}; expected an object")
    return found

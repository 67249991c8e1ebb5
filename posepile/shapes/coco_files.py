"""Annotation files like COCO's: what is said of one, cutting it into pieces, what is malformed.

A file is cut once into pieces of some hundred pictures, since reading it whole takes a process
some 2 GB. A small one, of a single video, is read as it is: :func:`read_pictures`.
"""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from posepile.errors import CorruptInput
from posepile.files import stable_hash
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.keys import by_key
from posepile.formats.schema import check
from posepile.formats.text_files import iter_json
from posepile.shapes.coco_people import OTHER_VISIBILITY, known_id, read_person, why_unusable
from posepile.shapes.coco_source import CocoFile

VERSION = 3
UNLISTED = "its image is not listed"
MAX_UNLISTED = 0.1  # share of the annotations; some releases have a few
MAX_ODD = 0.1  # the same of visibilities that the format does not have
SOME_ODD = 10  # that many may always have one


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


def read_piece(source: CocoFile, root: Path, name: str) -> dict:
    """Returns one of the pieces of an annotation file.

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
    >>> read_piece(source, root, "000000000001")["images"][0]["people"][0]["bbox"]
    [1, 2, 30, 40]

    Returns:
        ``{"images": [as of read_pictures], "elsewhere": {reason: how many people in pictures
        without anybody who is usable}}``.
    """
    return json.loads((_pieces(source, root) / f"{name}.json").read_text())


def read_pictures(source: CocoFile) -> list[dict]:
    """Returns all pictures of a small annotation file in order of their ids, with their people.

    >>> import json
    >>> person = {"id": 4, "image_id": 1, "category_id": 1, "track_id": 9, "keypoints": [5, 6, 1]}
    >>> content = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [person]}
    >>> _ = (folder / "video.json").write_text(json.dumps(content))
    >>> source = CocoFile(
    ...     folder / "video.json", folder, 1, visibility=(0, 1), category=None, more=("track_id",),
    ...     optional=("iscrowd", "segmentation", "bbox"), sizes_of_files=True)
    >>> (picture,) = read_pictures(source)
    >>> picture["people"][0]["track_id"], picture["people"][0]["keypoints"]
    (9, [5, 6, 1])

    Returns:
        ``{"id", "file_name", "width", "height", "people": [{"id", "keypoints", "bbox", "iscrowd",
        "segmentation", "fault": what is malformed, or None}]}`` and the further keys; people in
        order of their ids. Annotations of no picture are in a last one without ``file_name``.

    Raises:
        CorruptInput: Nobody in it can be used, since what there is is malformed.
    """
    images = _read_images(source)
    people = _read_people(source, images)
    found = [{**images[id], "people": _group(people, id)} for id in sorted(images, key=_order)]
    if lost := _group(people, None):
        found.append({"id": None, "file_name": None, "people": lost})
    everybody = [person for image in found for person in image["people"]]
    if all(map(why_unusable, everybody)):
        _refuse_malformed(source, everybody)
    return found


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


def _pieces(source: CocoFile, root: Path) -> Path:
    """The folder with the pieces of the annotation file as it is now."""
    # What a piece holds depends on all that is said of the file, but not on where it lies.
    facts = [source.n_joints, source.visibility, source.optional, source.crowd_key]
    facts += [source.category, source.more, source.more_of_images, source.parts]
    facts += [source.sizes_of_files, source.pictures_per_unit, source.key_points]
    facts += [_code_of(source.read) if source.read else None]
    return derived_folder(
        [source.path],
        work_folder(root) / "annotations",
        partial(_write_pieces, source),
        version=f"{VERSION}-{stable_hash(facts)[:8]}",
        hint=source.hint,
    )


def _code_of(read: Callable) -> str:
    """Digest of the file in which a function is, so that pieces are cut anew when it changes."""
    while isinstance(read, partial):
        read = read.func
    return stable_hash([read.__qualname__, Path(inspect.getfile(read)).read_text()])


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
    elsewhere = _group(people, None)
    for image_id in sorted(images, key=_order):
        group = _group(people, image_id)
        if all(map(why_unusable, group)):
            elsewhere += group
            continue
        if len(piece) == source.pictures_per_unit:
            yield _piece(piece, elsewhere)
            piece, elsewhere = [], []
        piece.append({**images[image_id], "people": group})
    if piece:
        yield _piece(piece, elsewhere)
        return
    # Nobody is usable in the whole file, so it is not what the recipe takes it for.
    _refuse_malformed(source, elsewhere)
    if not source.may_be_empty:
        text = f"found no labelled key point in {len(elsewhere)} annotations; expected some"
        raise CorruptInput(source.path, text, hint=source.hint)


def _piece(images: list[dict], elsewhere: list[dict]) -> dict:
    first, people = images[0]["id"], [p for image in images for p in image["people"]]
    return {
        "name": f"{first:012d}" if isinstance(first, int) else quote(first, safe=""),
        "images": images,
        "elsewhere": dict(Counter(map(why_unusable, elsewhere))),
        "malformed": _malformed(elsewhere + people),
    }


def _group(people: dict, image_id: int | str | None) -> list[dict]:
    """Takes out the people of an image, in order of their ids."""
    return sorted(map(json.loads, people.pop(image_id, ())), key=lambda p: _order(p["id"]))


def _refuse_malformed(source: CocoFile, people: list[dict]) -> None:
    for fault, (n, place) in _malformed(people).items():
        text = f"{place}: {fault} ({n} such); expected some that are well-formed"
        raise CorruptInput(source.path, text, hint=source.hint)


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
    for number, image in enumerate(_entries(source, "images")):
        id = known_id(_object(source, image, "image", number).get("id"))
        if id is None:
            raise CorruptInput(source.path, f"image number {number} lacks an id")
        name, *size = (image.get(key) for key in ("file_name", "width", "height"))
        stated = [known_id(side) for side in size]
        size = [None, None] if source.sizes_of_files else stated
        is_known = source.sizes_of_files or all(isinstance(n, int) and n > 0 for n in size)
        lacks = "file_name" if source.sizes_of_files else "file_name, width or height"
        is_known = is_known and isinstance(name, str) and "\0" not in name
        fault = image.get("fault") if source.read else None
        fault = fault or (None if is_known else f"its image lacks {lacks}")
        kept = {"id": id, "file_name": name, "width": size[0], "height": size[1], "fault": fault}
        kept |= {key: image[key] for key in source.more_of_images if key in image}
        kept |= {"stated": stated} if source.sizes_of_files == "exchanged" else {}
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
    persons, unlisted, odd = _person_categories(source), [], 0
    number = -1
    for number, found in enumerate(_entries(source, "annotations")):
        category = known_id(_object(source, found, "annotation", number).get("category_id"))
        if persons is not None and category is not None and category not in persons:
            continue
        id, image_id = known_id(found.get("id")), known_id(found.get("image_id"))
        is_listed = image_id is None or image_id in images
        if not is_listed:
            unlisted.append(f"annotation {id} belongs to image {image_id}, which is not listed")
        person = read_person(source, found, images.get(image_id, {"fault": UNLISTED}))
        if persons is not None and category is None:
            person["fault"] = "lacks category_id"
        place = f"annotations.{number}"
        person |= {"id": id, "place": f"annotation {id}" if id is not None else place}
        person |= {"image_id": image_id} if "image_id" in source.more else {}
        odd += str(person["fault"]).startswith(OTHER_VISIBILITY)
        # Who has no id is nobody's double.
        key = image_id if is_listed else None
        yield (place if id is None else id), place, (key, json.dumps(person))
    if len(unlisted) > MAX_UNLISTED * (number + 1):
        text = f"{unlisted[0]}; there are {len(unlisted)} such of {number + 1} annotations"
        raise CorruptInput(source.path, text, hint="images and annotations are of two releases")
    if odd > max(SOME_ODD, MAX_ODD * (number + 1)):
        # What 1 and 2 mean is another thing then, also of those who have no other value.
        text = f"found {OTHER_VISIBILITY} {', '.join(map(str, source.visibility))}"
        text += f" in {odd} of {number + 1} annotations"
        raise CorruptInput(source.path, text, hint="is it a file of another form?")
    if number < 0 and not source.may_be_empty:
        raise CorruptInput(
            source.path, "found no list 'annotations'; expected COCO's format", hint=source.hint
        )


def _entries(source: CocoFile, kind: str, schema: Any = None) -> Iterator[Any]:
    if source.read is None:
        yield from iter_json(source.path, f"{kind}.item", schema, hint=source.hint)
        return
    for number, entry in enumerate(source.read(source.path, kind)):
        yield check(entry, schema, source.path, f"{kind}.{number}", hint=source.hint)


def _person_categories(source: CocoFile) -> set[int | str] | None:
    if source.category is None:
        return None
    schema = {"id": (int, float, str), "name": str}
    schema |= {"keypoints?": [str]} if source.key_points else {}
    names = (source.category,) if isinstance(source.category, str) else source.category
    entries = [e for e in _entries(source, "categories", schema) if e["name"] in names]
    if not entries:
        raise CorruptInput(source.path, f"has no category {source.category!r}")
    for entry in entries:
        _check_names(source, entry.get("keypoints") if source.key_points else None)
    return {known_id(entry["id"]) for entry in entries}


def _check_names(source: CocoFile, stated: list[str] | None) -> None:
    plain, expected = [n.lower().replace(" ", "_") for n in stated or ()], source.key_points
    fit = len(plain) == len(expected)
    fit = fit and all(n in e.split("|") for n, e in zip(plain, expected, strict=True))
    if stated and not fit:
        text = f"key points are {', '.join(plain)}; expected {', '.join(expected)}"
        raise CorruptInput(source.path, text, hint="is it a file of another release?")


def _object(source: CocoFile, found: Any, what: str, number: int) -> dict:
    if not isinstance(found, dict):
        raise CorruptInput(source.path, f"{what} number {number} is {found!r}; expected an object")
    return found

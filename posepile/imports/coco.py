"""Annotation files in COCO's format, of anybody or of an export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import CorruptInput, UsageError
from posepile.export.plain import DESCRIPTION
from posepile.formats.text_files import iter_json, read_json
from posepile.imports.facts import complete, skeleton
from posepile.imports.names import joint_info
from posepile.imports.plain import check_description, facts_of, record_of
from posepile.imports.source import (
    FileOfPicture,
    Options,
    Pictures,
    Source,
    Tally,
    Unit,
    chunks,
    file_stamp,
    one_split,
    split_of,
)
from posepile.joint_info import JointInfo
from posepile.recipe import SPLITS
from posepile.shapes import coco_files
from posepile.shapes.coco_masks import decode_mask
from posepile.shapes.coco_people import why_unusable
from posepile.shapes.coco_source import CocoFile
from posepile.store.fields import Record

OTHER_CATEGORY = "of a category with key points that was not asked for"


def open_source(options: Options) -> Source:
    """Opens annotation files; pictures lie below the folder of ``--images``.

    Raises:
        UsageError: Facts are missing, or no category can be chosen.
        CorruptInput: A file is not in COCO's format.
    """
    described = [_description(path) for path in options.files]
    if all(described):
        return _of_export(options, described)
    if any(described):
        raise UsageError("import --from coco: files of an export and others; one kind at a time")
    return _of_others(options)


# ---------------------------------------------------------------- of anybody


def _of_others(options: Options) -> Source:
    first = options.files[0]
    splits = {path: options.facts.split or split_of(path) for path in options.files}
    found = {"split": "train" if all(splits.values()) else None}
    facts = complete(options.facts, found, ("licence", "split"), first)
    found = {path: _categories(path, options.facts.category) for path in options.files}
    categories = {path: entries[0] for path, (entries, _) in found.items()}
    stated = {json.dumps([c["keypoints"], c["skeleton"]]) for c in categories.values()}
    if len(stated) > 1:
        raise UsageError(
            f"{options.files[1]}: other key points than {first}; import them one by one"
        )
    category = categories[first]
    info = _skeleton(facts, category, first)
    pictures = Pictures(_required(options, first))
    image_dir = facts.image_dir or options.name
    root = paths.data_root() / options.name

    def units() -> Iterator[Unit]:
        files = FileOfPicture()
        for k, path in enumerate(options.files):
            entries, others = found[path]
            source = CocoFile(
                path,
                pictures.place,
                len(category["keypoints"]),
                visibility=None,
                optional=("iscrowd", "segmentation", "bbox", "keypoints"),
                category=tuple(dict.fromkeys(c["name"] for c in entries)),
            )
            for piece in coco_files.read_pieces(source, root):
                files.claim(piece["images"], path)

                def read(
                    tally: Tally, source: Any = source, name: str = piece["name"], n: int = others
                ) -> Any:
                    content = coco_files.read_piece(source, root, name)
                    tally.left_out.update(content["elsewhere"])
                    tally.left_out.update({OTHER_CATEGORY: n} if n else {})
                    return _people(content["images"], image_dir, pictures, facts, tally)

                stamps = [pictures.stamp(name) for name in piece["images"]]
                unit = f"{splits[path]}-{k:03d}-{piece['name']}"
                yield Unit(unit, splits[path], [piece["content"], stamps, others], read)
                others = 0  # counted with the first unit of the file

    names = dict.fromkeys(c["name"] for entries, _ in found.values() for c in entries)
    described = {"keypoints": category["keypoints"], "category": ", ".join(names)}
    return Source(str(first), info, "2d", facts, units, described=described)


def _required(options, path):
    if options.images is None:
        raise UsageError(
            f"{path}: names its pictures by file_name; give the folder they lie in with --images"
        )
    return options.images


def _categories(path: Path, wanted: str | None) -> tuple[list[dict[str, Any]], int]:
    """Returns the categories to read, and how many annotations with key points others have."""
    schema = {"id?": (int, float, str), "name": str, "keypoints?": [str], "skeleton?": None}
    found = [
        {"id": c.get("id"), "name": c["name"], "keypoints": c["keypoints"],
         "skeleton": c.get("skeleton")}
        for c in iter_json(path, "categories.item", schema)
        if c.get("keypoints")
    ]  # fmt: skip
    entries = [e for e in found if wanted in (None, e["name"])]
    if not entries:
        what = f"category {wanted!r}" if wanted else "category"
        raise CorruptInput(path, f"found no {what} with key points; expected one")
    if len({json.dumps([e["keypoints"], e["skeleton"]]) for e in entries}) > 1:
        names = ", ".join(e["name"] for e in entries)
        raise UsageError(f"{path}: several categories have key points: {names}; name one in facts")
    others = [e["id"] for e in found if e not in entries]
    if not others:
        return entries, 0
    of_each = iter_json(path, "annotations.item", {"category_id?": None})
    return entries, sum(a.get("category_id") in others for a in of_each)


def _skeleton(facts, category, path) -> JointInfo:
    n = len(category["keypoints"])
    if facts.joints is not None:
        return skeleton(facts, n, path)
    edges = category["skeleton"] or []
    pairs = [
        (int(e[0]) - 1, int(e[1]) - 1)
        for e in edges
        if isinstance(e, list) and len(e) == 2 and all(type(i) is int and 1 <= i <= n for i in e)
    ]
    return joint_info(category["keypoints"], pairs)


def _people(images, image_dir, pictures, facts, tally) -> Iterator[tuple[Record, Any]]:
    for image in images:
        data = pictures.read(image["file_name"])
        size = (image["width"], image["height"])
        person = 0
        for found in image["people"]:
            reason = why_unusable(found)
            if reason is not None:
                tally.left_out[reason] += 1
                continue
            points = np.array(found["keypoints"], np.float64).reshape(-1, 3)
            coords = points[:, :2].astype(np.float32)
            coords[points[:, 2] <= facts.min_confidence] = np.nan
            box = found["bbox"] or [np.nan] * 4
            mask = found["segmentation"] and decode_mask(found["segmentation"], *size)
            yield (
                Record(
                    image_path=f"{image_dir}/{image['file_name']}",
                    split="train",
                    bbox=np.float32(box),
                    imshape=(size[1], size[0]),
                    frame=0,
                    person=person,
                    sequence=image["file_name"],
                    coords2d=coords,
                    mask=mask or None,
                ),
                data,
            )
            person += 1


# ---------------------------------------------------------------- of an export


def _description(path: Path) -> dict[str, Any] | None:
    """What an export says of itself; None for files of anybody."""
    try:
        info = dict(iter_json(path, "info", keyed=True))
    except CorruptInput:  # there need be none; a damaged file is refused by what is read next
        info = {}
    if "posepile" in info:
        return check_description(info["posepile"], path)
    beside = path.parent.parent / DESCRIPTION
    return check_description(read_json(beside), beside) if beside.is_file() else None


def _of_export(options: Options, described: list[dict[str, Any]]) -> Source:
    first, of_all = options.files[0], described[0]
    facts = complete(options.facts, facts_of(of_all), ("licence",), first)
    info = JointInfo(of_all["joint_names"], of_all["joint_edges"], strict=False)
    pictures = Pictures(options.images or first.parent.parent)

    def units() -> Iterator[Unit]:
        files = FileOfPicture()
        for k, path in enumerate(options.files):
            stamp, by_image = file_stamp(path), _by_image(path)
            files.claim(by_image, path)
            for split in dict.fromkeys(s for s, _ in by_image.values()):
                texts = ((name, (name, text)) for name, (own, group) in by_image.items()
                         if own == split for text in group)  # fmt: skip
                for number, chunk in enumerate(chunks(texts)):
                    names = dict.fromkeys(name for name, _ in chunk)

                    def read(tally: Tally, chunk: list = chunk, path: Path = path) -> Any:
                        for name, text in chunk:
                            example = json.loads(text)
                            where = f"{path}, {name}"
                            yield record_of(example, info.n_joints, where), pictures.read(name)

                    key = [stamp, number, len(chunk), [pictures.stamp(name) for name in names]]
                    yield Unit(f"{split}-{k:03d}-{number:06d}", split, key, read)

    kind = facts.kind or of_all.get("kind") or "3d"
    return Source(str(first), info, kind, facts, units, described=of_all)


def _by_image(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Image path -> its split, and its examples as JSON text, which takes less than objects."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in iter_json(path, "annotations.item", {"posepile": {"*": None}}):
        example = entry["posepile"]
        name, split = example.get("image_path"), example.get("split")
        if not isinstance(name, str) or split not in SPLITS:
            raise CorruptInput(path, f"annotation of {name!r}: found split {split!r}")
        first, group = found.setdefault(name, (split, []))
        one_split(name, (first, path), (split, path))
        group.append(json.dumps(example))
    return found

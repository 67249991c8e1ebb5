"""The big annotation file of a phase, read once and cut into small ones, one per unit of work.

``person_keypoints_train2017.json`` is one object of 240 MB that takes a process 2 GB to hold.
Cutting it once lets every worker read only the few hundred images of its unit.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import disk_error, stable_hash

VERSION = 2
IMAGES_PER_UNIT = 400
N_JOINTS = 17
CROWD = "crowd region"
UNLABELLED = "no key point labelled"


def annotation_file(root: Path, phase: str) -> Path:
    """Returns where the key points of a phase such as ``val2017`` lie."""
    return root / "annotations" / f"person_keypoints_{phase}.json"


def read_index(root: Path, phase: str) -> list[dict]:
    """Lists the units of a phase in order of image id, cutting the annotation file if need be.

    Returns:
        ``{"name", "images": [file names], "content": digest of the annotations}`` per unit. The
        digest tells units apart whose annotations have changed from those whose have not.
    """
    return json.loads((_ensure_cut(root, phase) / "index.json").read_text())


def read_chunk(root: Path, phase: str, name: str) -> dict:
    """Returns the annotations of one unit.

    Returns:
        ``images``: list of ``{file_name, width, height, people}`` in order of id, the people in
        order of annotation id; ``elsewhere``: people in images of the same range of ids in which
        nobody has key points, counted by reason.
    """
    return json.loads((_ensure_cut(root, phase) / f"{name}.json").read_text())


def _ensure_cut(root: Path, phase: str) -> Path:
    """Folder with the pieces of the present annotation file; made if it does not exist."""
    source = annotation_file(root, phase)
    try:
        with open(source, "rb") as f:  # opened, so that a list of units is known to depend on it
            stat = os.fstat(f.fileno())
    except OSError as e:
        raise CorruptInput(
            source,
            f"cannot be read: {e.strerror}",
            hint="it comes with annotations_trainval<year>.zip",
        ) from None
    # The name holds what the pieces were made from, so pieces are never out of date, and
    # processes that make the same ones at the same time do not disturb each other.
    name = f"{phase}-{stat.st_size}-{stat.st_mtime_ns}-v{VERSION}"
    folder = root.parent / f"{root.name}_work" / "annotations" / name
    if folder.is_dir():
        return folder
    temp = folder.with_name(f".{name}.{uuid.uuid4().hex[:8]}")
    try:
        temp.mkdir(parents=True)
        index = []
        for chunk in _cut(_read(source), source):
            index.append(
                {
                    "name": chunk["name"],
                    "images": [i["file_name"] for i in chunk["images"]],
                    "content": stable_hash(chunk),
                }
            )
            (temp / f"{chunk['name']}.json").write_text(json.dumps(chunk))
        (temp / "index.json").write_text(json.dumps(index))
        os.rename(temp, folder)
    except OSError as e:
        if not folder.is_dir():  # another process was faster otherwise
            raise disk_error(e, folder) from e
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return folder


def _read(source: Path) -> dict:
    try:
        data = json.loads(source.read_bytes())
    except ValueError as e:
        raise CorruptInput(source, f"not valid JSON: {e}", hint="extract it again") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise CorruptInput(source, f"no list {key!r}; expected COCO's person_keypoints format")
    return data


def _cut(data: dict, source: Path):
    """Yields the chunks; people of images without labelled people are only counted."""
    persons = {c["id"] for c in data["categories"] if c.get("name") == "person"}
    if not persons:
        raise CorruptInput(source, "has no category 'person'")
    for number, image in enumerate(data["images"]):
        missing = [key for key in ("id", "file_name", "width", "height") if key not in image]
        if missing:
            where = f"image {image.get('id', f'number {number}')}"
            raise CorruptInput(source, f"{where} lacks {', '.join(missing)}")
    images = {image["id"]: {**image, "people": []} for image in data["images"]}
    for number, annotation in enumerate(data["annotations"]):
        if annotation.get("category_id") not in persons:
            continue
        person = _person(annotation, source, number)
        image = images.get(annotation["image_id"])
        if image is None:
            raise CorruptInput(
                source,
                f"annotation {annotation['id']} belongs to image {annotation['image_id']}, "
                "which is not listed",
            )
        image["people"].append(person)

    # A full chunk waits for the next photograph with labelled people, so that whoever lies behind
    # the last one is counted as well.
    chunk, elsewhere = [], Counter()
    for _, image in sorted(images.items()):
        people = sorted(image["people"], key=lambda p: p["id"])
        if not any(max(p["keypoints"][2::3], default=0) > 0 for p in people):
            elsewhere.update(CROWD if p["iscrowd"] else UNLABELLED for p in people)
            continue
        if len(chunk) == IMAGES_PER_UNIT:
            yield _chunk(chunk, elsewhere)
            chunk, elsewhere = [], Counter()
        kept = {key: image[key] for key in ("id", "file_name", "width", "height")}
        chunk.append({**kept, "people": people})
    if chunk:
        yield _chunk(chunk, elsewhere)


def _chunk(images: list[dict], elsewhere: Counter) -> dict:
    return {"name": f"{images[0]['id']:012d}", "images": images, "elsewhere": dict(elsewhere)}


def _person(annotation: dict, source: Path, number: int) -> dict:
    """What is needed of one annotation; a missing or malformed entry is named."""
    where = f"annotation {annotation.get('id', f'number {number}')}"
    keys = ("id", "image_id", "bbox", "keypoints", "iscrowd", "segmentation")
    missing = [key for key in keys if key not in annotation]
    if missing:
        raise CorruptInput(source, f"{where} lacks {', '.join(missing)}")
    if len(annotation["keypoints"]) != 3 * N_JOINTS:
        raise CorruptInput(
            source, f"{where} has {len(annotation['keypoints'])} key point values, expected 51"
        )
    if not set(annotation["keypoints"][2::3]) <= {0, 1, 2}:
        raise CorruptInput(source, f"{where} has a visibility other than 0, 1, 2")
    if len(annotation["bbox"]) != 4 or not np.isfinite(annotation["bbox"]).all():
        raise CorruptInput(
            source, f"{where} has the box {annotation['bbox']}, expected x, y, w, h"
        )
    return {key: annotation[key] for key in keys if key != "image_id"}


def decode_mask(segmentation: list | dict, width: int, height: int) -> dict | None:
    """Turns any of COCO's mask forms into an RLE dict with compressed bytes.

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

"""People in annotation files like COCO's: what is needed of each, and what is malformed."""

from __future__ import annotations

from typing import Any

from posepile.shapes.coco_masks import box_fault, is_far, is_numbers, mask_fault
from posepile.shapes.coco_source import CocoFile

NOBODYS_SIDE = 100_000  # no picture is larger than that
CROWD = "crowd region"
UNLABELLED = "no key point labelled"
OTHER_VISIBILITY = "a visibility other than"


def why_unusable(person: dict) -> str | None:
    """Returns why nobody could use an annotation, None if one could.

    >>> why_unusable({"iscrowd": 0, "fault": None, "keypoints": [0, 0, 0, 0, 0, 0]})
    'no key point labelled'
    """
    if person["iscrowd"]:
        return CROWD
    if person["fault"]:
        return person["fault"]
    return None if any(v > 0 for v in person["keypoints"][2::3]) else UNLABELLED


def known_id(value: Any) -> int | str | None:
    """Returns an id as a number where it is one, also as text; None if it is neither.

    >>> known_id("0007"), known_id(7.0), known_id("a7"), known_id([7])
    (7, 7, 'a7', None)
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) in (int, str) and len(str(value)) < 80 else None


def read_person(source: CocoFile, found: dict, image: dict) -> dict:
    """Returns what is needed of one annotation, without what is malformed.

    >>> source = CocoFile(folder / "val.json", folder, 1, optional=("iscrowd", "segmentation"))
    >>> image = {"width": 64, "height": 48, "fault": None}
    >>> found = {"id": 4, "image_id": 1, "keypoints": [5, 5, 2]}
    >>> read_person(source, found, image)["fault"]
    'lacks bbox'

    Args:
        source: What the annotation file holds.
        found: The annotation.
        image: Width and height, None where they are not known, and its ``fault``.

    Returns:
        Its keys of COCO and the further ones, and ``fault``: what is malformed, or None.
    """
    crowd = found.get(source.crowd_key)
    found = {**found, "iscrowd": crowd if isinstance(crowd, bool) else known_id(crowd)}
    absent = {"iscrowd": 0, "segmentation": None, "bbox": None, "keypoints": []}
    lacking = [k for k in absent if found.get(k) is None and k not in source.optional]
    lacking += [k for k in ("id", "image_id") if known_id(found.get(k)) is None]
    lacking += [key for part in source.parts for key in part[:2] if found.get(key) is None]
    person = {k: empty if found.get(k) is None else found[k] for k, empty in absent.items()}
    fault = f"lacks {', '.join(lacking)}" if lacking else image["fault"]
    if fault is None:
        person["keypoints"], fault = _with_parts(source, person["keypoints"], found)
        size = image["width"], image["height"]
        fault = fault or annotation_fault(source, person, None if None in size else size)
    if fault is not None:
        person = {**absent, "iscrowd": person["iscrowd"]}
    return person | {key: found[key] for key in source.more if key in found} | {"fault": fault}


def _with_parts(source: CocoFile, points: Any, found: dict) -> tuple[Any, str | None]:
    """Key points with those of the parts behind them, and what is malformed of the parts."""
    own = source.n_joints - sum(n for *_, n in source.parts)
    if not source.parts or points == []:
        return points, None
    if not is_numbers(points) or len(points) != 3 * own:
        return points, f"key points are not {3 * own} finite numbers"
    for key, flag, n in source.parts:
        part = found[key] if found[flag] else [0] * 3 * n
        if not is_numbers(part) or len(part) != 3 * n:
            return points, f"{key} are not {3 * n} finite numbers"
        points = points + part
    return points, None


def annotation_fault(source: CocoFile, person: dict, size: tuple[int, int] | None) -> str | None:
    """Returns what is malformed of key points, box or mask in a picture of that size, or None.

    >>> person = {"keypoints": [5, 5, 3], "bbox": None, "segmentation": None}
    >>> annotation_fault(CocoFile(folder / "val.json", folder, 1), person, (64, 48))
    'a visibility other than 0, 1, 2'

    Args:
        source: What the annotation file holds.
        person: As of :func:`posepile.shapes.coco_files.read_pictures`.
        size: Width and height; None: not known yet, so only what lies outside of any picture is
            far outside, and masks are not looked at.
    """
    fault = _keypoints_fault(source, person["keypoints"], size or (NOBODYS_SIDE,) * 2)
    fault = fault or box_fault(person["bbox"], *(size or (NOBODYS_SIDE,) * 2))
    if fault is None and size is not None and person["segmentation"] is not None:
        fault = mask_fault(person["segmentation"], *size)
    return fault


def _keypoints_fault(source: CocoFile, values: Any, size: tuple[int, int]) -> str | None:
    n = 3 * source.n_joints
    if values == [] and "keypoints" in source.optional:
        return None
    if not is_numbers(values) or len(values) != n:
        return f"key points are not {n} finite numbers"
    labelled = [x for k, x in enumerate(values) if values[k - k % 3 + 2] > 0 and k % 3 < 2]
    if source.visibility is not None and not set(values[2::3]) <= set(source.visibility):
        return f"{OTHER_VISIBILITY} {', '.join(map(str, source.visibility))}"
    return "key points far outside the picture" if is_far(labelled, *size) else None

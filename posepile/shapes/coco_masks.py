"""Boxes and masks in annotation files like COCO's: what is wrong with them, and decoding.

Masks have three forms: polygons, plain and compressed RLE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.imaging.declared import max_pixels

# What lies farther outside the picture than so many of its longer sides is no measurement. Drawing
# a polygon takes memory in proportion to its length.
FAR = 10
# Outlines may be as long as the picture has pixels; and so long, in pixels, whatever the picture:
# drawing takes some 100 bytes for each.
ALWAYS_DRAWN, NEVER_DRAWN = 100_000, 5_000_000

OTHER_SIZE = "mask of a picture of another size"
NOT_FULL = "mask: RLE that does not fill the picture"
NO_POLYGONS = "mask: polygons that are not lists of finite numbers"
FAR_OUTSIDE = "mask: polygon far outside the picture"
TOO_LONG = "mask: polygons with outlines longer than any person's"
TOO_LARGE = "mask of a picture of more pixels than POSEPILE_MAX_PIXELS"
NO_MASK = "mask: neither polygons nor RLE"


def mask_fault(segmentation: Any, width: int, height: int) -> str | None:
    """Returns why this is no mask of a picture of that size, None if it is one.

    >>> mask_fault({"size": [48, 64], "counts": [10, 20]}, 64, 48)
    'mask: RLE that does not fill the picture'
    >>> mask_fault([[0, 0, 10, 0, 10, 1e9]], 64, 48)
    'mask: polygon far outside the picture'

    Args:
        segmentation: As of :func:`decode_mask`; anything else is a fault, too.
        width: Of the image.
        height: Of the image.
    """
    if width * height > max_pixels():
        return TOO_LARGE
    if isinstance(segmentation, dict):
        if segmentation.get("size") != [height, width]:
            return OTHER_SIZE
        return None if _fills(segmentation.get("counts"), width, height) else NOT_FULL
    if not isinstance(segmentation, list):
        return NO_MASK
    for polygon in segmentation:
        if not is_numbers(polygon) or len(polygon) % 2:
            return NO_POLYGONS
        if is_far(polygon, width, height):
            return FAR_OUTSIDE
    most = min(max(ALWAYS_DRAWN, width * height), NEVER_DRAWN)
    return TOO_LONG if sum(map(_outline, segmentation)) > most else None


def _outline(polygon: list[float]) -> float:
    """Length of a closed polygon in pixels, as it is drawn: the longer of width and height."""
    points = np.reshape(np.asarray(polygon, np.float64), (-1, 2))
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1, initial=0).sum())


def box_fault(box: Any, width: int, height: int) -> str | None:
    """Returns why this is no box, None if it is one or nothing is given.

    >>> box_fault([1, 2, 3], 64, 48)
    'box is not four finite numbers x, y, w, h'
    """
    if box is None:
        return None
    if not is_numbers(box) or len(box) != 4:
        return "box is not four finite numbers x, y, w, h"
    if min(box[2:]) <= 0:
        return "box without width or height"
    return "box far outside the picture" if is_far(box, width, height) else None


def is_numbers(values: Any) -> bool:
    """Returns whether this is a list of numbers (in JSON as read here, null stands for NaN).

    >>> is_numbers([1, 2.5]), is_numbers([1, None]), is_numbers("12")
    (True, False, False)
    """
    return isinstance(values, list) and all(type(value) in (int, float) for value in values)


def is_far(values: list[float], width: int, height: int) -> bool:
    """Returns whether any coordinate lies far outside a picture.

    >>> is_far([-5, 3], 64, 48), is_far([1e9, 3], 64, 48)
    (False, True)
    """
    limit = FAR * max(width, height)
    return not all(-limit <= value <= limit for value in values)


def _fills(counts: Any, width: int, height: int) -> bool:
    import rlemasklib

    if isinstance(counts, str):
        try:
            packed = {"size": [height, width], "counts": counts.encode("ascii")}
            counts = rlemasklib.decompress(packed)["ucounts"].tolist()
        except ValueError:  # also of characters that are not ASCII
            return False
    whole = isinstance(counts, list) and all(type(n) is int and n >= 0 for n in counts)
    return whole and sum(counts) == width * height


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
        ValueError: It is no mask of an image of this size.
    """
    from pycocotools import mask as coco_mask

    fault = mask_fault(segmentation, width, height)
    if fault:
        raise ValueError(fault)
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        if isinstance(counts, list):
            return coco_mask.frPyObjects(segmentation, height, width)
        return {"size": [height, width], "counts": counts.encode("ascii")}
    # Four numbers would be taken for a box, two for nothing: only real polygons are passed on.
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return None
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))

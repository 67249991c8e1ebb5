"""What the page draws of an example: plain numbers, none of which is missing or infinite."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.errors import PosePileError
from posepile.store.cameras import camera_to_row, example_pixels
from posepile.store.origin import UNKNOWN

_FACTS = (
    "dataset",
    "subject",
    "recording",
    "view",
    "sequence",
    "frame",
    "person",
    "track",
    "activity_name",
    "scene_name",
    "motion",
    "licence",
)


def facts_of(example: Any) -> dict[str, Any]:
    """Returns what tells an example from others; what is not known is left out."""
    found = {}
    for name in _FACTS:
        value = getattr(example, name, None)
        if value is None or value == UNKNOWN or (name == "track" and value < 0):
            continue
        found[name] = value if isinstance(value, str) else int(value)
    return found


def overlay_of(example: Any) -> dict[str, Any]:
    """Returns box, joints and size of the picture, in its pixels: what small pictures show.

    ``joints`` are (index, x, y), only those that have a place; a joint behind the camera has none.
    """
    joints = points2d(example)
    size = getattr(example, "imshape", None)
    return {
        "box": _finite(example.bbox, 4),
        "joints": [] if joints is None else _numbered(joints, 2),
        "size": None if size is None or not all(size) else [int(size[1]), int(size[0])],
    }


def scene_of(example: Any) -> dict[str, Any]:
    """Returns everything that is drawn of an example: in its picture and in space.

    ``mask`` is a list of outlines ``[x, y, x, y, …]`` (holes are outlines inside of others),
    ``valid`` one such outline, ``pose`` joints as (index, x, y, z) in millimetres, ``camera``
    rotation, intrinsics, position and up vector, each in the order of the rows.
    """
    scene = {"facts": facts_of(example), **overlay_of(example), "mask": _outlines(example)}
    polygon = getattr(example, "valid_poly", None)
    if polygon is not None and len(polygon) and np.isfinite(polygon).all():
        scene["valid"] = np.round(np.asarray(polygon, np.float64), 1).ravel().tolist()
    scene["pose"] = pose_of(example)
    scene["camera"] = camera_of(example)
    has_body = getattr(example, "parameters", None) is not None
    scene["has"] = {"parameters": has_body, "densepose": example.densepose is not None}
    return scene


def pose_of(example: Any) -> list[list[float]]:
    """Returns the joints in the world as (index, x, y, z) in millimetres, those that are there."""
    if example.KIND != "3d":
        return []
    world = example.get_world_coords()
    return [] if world is None else _numbered(np.asarray(world, np.float64), 1)


def camera_of(example: Any) -> dict[str, Any] | None:
    """Returns the numbers of an example's camera, None where there is none that can be drawn."""
    # The numbers as they are stored: to import the camera library takes seconds.
    source, place = getattr(example, "place", None) or (None, None)
    row = source.table().camera_row(place) if hasattr(source, "table") else None
    lens = False
    if row is None:
        camera = getattr(example, "camera", None)
        if camera is None:
            return None
        row, lens = camera_to_row(camera), bool(camera.has_distortion())
    row = np.asarray(row, np.float64)
    if not np.isfinite(row).all():
        return None
    values = np.round(row, 6).tolist()
    return {
        "rotation": values[:9],
        "intrinsics": values[9:18],
        "position": values[18:21],
        "up": values[21:],
        "lens": lens,
    }


def points2d(example: Any) -> np.ndarray | None:
    """Returns the joints in the picture, NaN where they have no place; None without any."""
    coords = example.coords if example.KIND == "2d" else None
    if coords is not None:
        return np.asarray(coords, np.float64)
    world = example.get_world_coords() if example.KIND == "3d" else None
    if world is not None and np.isfinite(world).any():
        placed = example_pixels(example, world)
        if placed is not None:
            return placed
    annotated = getattr(example, "coords2d", None)
    return None if annotated is None else np.asarray(annotated, np.float64)


def _numbered(points, digits):
    there = np.flatnonzero(np.isfinite(points).all(axis=1) & (np.abs(points) < 1e9).all(axis=1))
    rounded = np.round(points[there], digits).tolist()
    return [[int(j), *point] for j, point in zip(there, rounded, strict=True)]


def _finite(values, n):
    if values is None:
        return None
    values = np.asarray(values, np.float64).ravel()
    return np.round(values, 1).tolist() if len(values) == n and np.isfinite(values).all() else None


def _outlines(example):
    if example.mask is None:
        return None
    import rlemasklib

    try:
        mask = rlemasklib.decode(example.mask).astype(np.uint8)
    except PosePileError:
        raise
    except Exception:  # whatever the library makes of a damaged mask: posepile verify tells
        return None
    height, width = mask.shape
    return {"size": [width, height], "outlines": _borders(mask)}


def _borders(mask):
    """Returns the borders between the pixels of a mask and the others, each ``[x, y, x, y, …]``.

    They run along the edges of pixels, the mask on their right; holes have borders of their own.
    """
    import cv2

    left, top, width, height = cv2.boundingRect(mask)
    inside = np.pad(mask[top : top + height, left : left + width] > 0, 1).astype(np.int8)
    across = _runs(np.diff(inside, axis=0)[:, 1:-1], reverse=-1)
    turned = _runs(np.diff(inside, axis=1)[1:-1].T, reverse=1)
    down = {start[::-1]: [end[::-1] for end in ends] for start, ends in turned.items()}
    borders = []
    for start in list(across):
        while start in across:
            here, border = start, []
            while not border or here != start:  # at a corner of two pixels either way is right
                for edges in (across, down):
                    border += here[0] + left - 0.5, here[1] + top - 0.5
                    ends = edges[here]
                    there = ends.pop()
                    if not ends:
                        del edges[here]
                    here = there
            borders.append(border)
    return borders


def _runs(change, reverse):
    """Returns where straight borders begin -> where those end, as (column, row) of corners."""
    padded = np.pad(change, ((0, 0), (1, 1)))
    rows, ends = np.nonzero(np.diff(padded, axis=1))
    # Two borders of one row may touch, one of each direction: then an end is a start, too.
    result = {}
    edges = zip(rows.tolist(), ends.tolist(), padded[rows, ends].tolist(), strict=True)
    start = 0
    for row, at, before in edges:
        if before:
            a, b = (start, row), (at, row)
            if before == reverse:
                a, b = b, a
            result.setdefault(a, []).append(b)
        start = at
    return result

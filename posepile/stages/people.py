"""Who is in a frame, and so in the crops of others: everybody, example or not.

Segmentation gives a person no pixels of somebody else, so it has to know of those, too, whom
selection, exclusions, checks, boxes or a recipe's rules have left out, and of those whom a
detector has found and nobody has annotated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.geometry.pictures import box_of_points, project
from posepile.imaging import cropping
from posepile.stages.boxes import MAX_PIXELS
from posepile.stages.neighbours import Neighbour

if TYPE_CHECKING:
    from posepile.recipe import Sequence, Track
    from posepile.stages.select import Selected

JOINT_BOX_FACTOR = 1.25  # a person reaches beyond the box of the joints
# A detection that shares more than this with somebody known, of the smaller box, may be theirs.
SAME_PERSON = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a person in a frame.

    Attributes:
        who: The track, where there is one.
        world: Joints in the world ``[J, 3]``, or None.
        pixels: Joints in the frame ``[J, 2]``, or None.
        bbox: Box in the frame ``[4]``, or None.
        mask: Function that returns an RLE dict of the frame, or None.
    """

    who: Track | None = None
    world: np.ndarray | None = None
    pixels: np.ndarray | None = None
    bbox: np.ndarray | None = None
    mask: Callable[[], dict | None] | None = None


def people_in_frame(
    sequence: Sequence,
    index: int,
    camera: Any,
    group: list[Selected],
    boxes: list[np.ndarray | None],
    detected: np.ndarray | None,
) -> list[Seen]:
    """Returns everybody who is known to be in a frame.

    Args:
        sequence: The recording.
        index: Of the frame.
        camera: Of the frame, or None.
        group: Who was selected in it.
        boxes: Of each of those, if it is known.
        detected: ``[n, 5]`` what a detector has found in the frame, or None.
    """
    chosen = {id(s.track): box for s, box in zip(group, boxes, strict=True) if box is not None}
    people = []
    for track in sequence.tracks:
        k = int(np.searchsorted(track.frames, index))
        if k < len(track.frames) and track.frames[k] == index:
            people.append(_of_track(track, k, chosen.get(id(track))))
    for other in sequence.bystanders.get(index, ()):
        box = _if_readable(other.bbox) if callable(other.bbox) else other.bbox
        people.append(Seen(None, other.world_coords, other.image_coords, _usable(box), other.mask))
    if detected is not None and len(detected):
        known = [box for person in people if (box := _box_in_frame(person, camera)) is not None]
        people += [Seen(bbox=box) for box in strangers(detected, known)]
    return people


def strangers(detected: np.ndarray, known: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the boxes of detections ``[n, 5]`` that cannot be those of the people known."""
    boxes = np.asarray(detected, np.float64)[:, :4]
    if not known:
        return list(boxes)
    others = np.asarray(known, np.float64)[None]
    mine = boxes[:, None]
    low = np.maximum(mine[..., :2], others[..., :2])
    high = np.minimum(mine[..., :2] + mine[..., 2:], others[..., :2] + others[..., 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    smaller = np.minimum(mine[..., 2:].prod(axis=-1), others[..., 2:].prod(axis=-1))
    return list(boxes[(common <= SAME_PERSON * smaller).all(axis=1)])


def neighbours(
    people: list[Seen], own: Track, camera: Any, plan: cropping.CropPlan, n_joints: int
) -> list[Neighbour]:
    """Returns who else is seen in a crop.

    Args:
        people: Everybody in the frame.
        own: The person whose crop it is.
        camera: Of the frame, or None.
        plan: The crop.
        n_joints: Of the dataset's skeleton.
    """
    me = next(person for person in people if person.who is own)
    others = [p for p in people if p.who is not own and not _is_twice(p, me)]
    places = _joints_in_crop(others, camera, plan, n_joints), _boxes_in_crop(others, camera, plan)
    found = []
    for person, joints, bbox in zip(others, *places, strict=True):
        reach = bbox if np.isfinite(bbox).all() else box_of_points(joints, None, JOINT_BOX_FACTOR)
        is_placed = bool(np.isfinite(reach).all())
        if is_placed and not _touches(reach, plan.size):
            continue
        mask = _mask_in_crop(person, camera, plan)
        if is_placed or mask is not None:
            found.append(Neighbour(joints, bbox, mask))
    return found


def _joints_in_crop(
    people: list[Seen], camera: Any, plan: cropping.CropPlan, n_joints: int
) -> np.ndarray:
    """Joints ``[P, J, 2]``, NaN where not known; a projection takes as long for one as for all."""
    joints = np.full((len(people), n_joints, 2), np.nan, np.float32)
    worlds = {} if plan.camera is None else _given([person.world for person in people])
    if worlds:
        joints[list(worlds)] = project(plan.camera, np.stack(list(worlds.values())))
    pixels = _given([None if i in worlds else p.pixels for i, p in enumerate(people)])
    if pixels:
        placed = cropping.transform_points(np.stack(list(pixels.values())), camera, plan)
        joints[list(pixels)] = placed
    return joints


def _boxes_in_crop(people: list[Seen], camera: Any, plan: cropping.CropPlan) -> np.ndarray:
    """Boxes around the corners of those in the frame, ``[P, 4]``, NaN where not known."""
    boxes = np.full((len(people), 4), np.nan, np.float32)
    known = _given([person.bbox for person in people])
    if known:
        corners = np.stack([_corners(box) for box in known.values()])
        corners = cropping.transform_points(corners, camera, plan)
        low, high = corners.min(axis=1), corners.max(axis=1)
        boxes[list(known)] = np.concatenate([low, high - low], axis=1)
    return boxes


def _given(values: list) -> dict[int, Any]:
    """Place of each value that is not None -> the value."""
    return {i: value for i, value in enumerate(values) if value is not None}


def _of_track(track: Track, k: int, chosen: np.ndarray | None) -> Seen:
    box = chosen
    if box is None and track.bbox is not None:
        box = _if_readable(lambda: track.bbox[k])
    return Seen(
        track,
        None if track.world_coords is None else np.asarray(track.world_coords[k]),
        None if track.image_coords is None else np.asarray(track.image_coords[k]),
        _usable(box),
        None if track.mask is None else lambda: track.mask(k),
    )


def _if_readable(read: Callable[[], Any]) -> Any:
    """What a function returns, None if its file is damaged: no example is made of it."""
    try:
        return read()
    except CorruptInput:
        return None


def _is_twice(person: Seen, me: Seen) -> bool:
    """Whether somebody is the same person, annotated a second time."""
    for theirs, mine in ((person.world, me.world), (person.pixels, me.pixels)):
        if theirs is not None and mine is not None and np.isfinite(mine).any():
            return np.array_equal(theirs, mine, equal_nan=True)
    return False


def _usable(box: Any) -> np.ndarray | None:
    if box is None:
        return None
    box = np.asarray(box, np.float64)[:4]
    return box if np.isfinite(box).all() and (box[2:] > 0).all() else None


def _box_in_frame(person: Seen, camera: Any) -> np.ndarray | None:
    if person.bbox is not None:
        return person.bbox
    pixels = person.pixels
    if pixels is None and person.world is not None and camera is not None:
        pixels = project(camera, person.world)
    return None if pixels is None else _usable(box_of_points(pixels, None, JOINT_BOX_FACTOR))


def _corners(box: np.ndarray) -> np.ndarray:
    x, y, w, h = np.clip(box, -MAX_PIXELS, MAX_PIXELS)
    return np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]])


def _touches(box: np.ndarray, size: tuple[int, int]) -> bool:
    x, y, w, h = map(float, box)
    return x < size[0] - 0.5 and y < size[1] - 0.5 and x + w > -0.5 and y + h > -0.5


def _mask_in_crop(person: Seen, camera: Any, plan: cropping.CropPlan) -> dict | None:
    """The pixels of a person, None where they have none in the crop or are not known."""
    mask = None if person.mask is None else _if_readable(person.mask)
    if mask is None or tuple(mask["size"]) != plan.image_size[::-1]:
        return None
    mask = cropping.warp_mask(mask, camera, plan)
    return mask if rlemasklib.area(mask) else None

"""Whether labels in the image are numbered like other labels of the same people.

Releases of one dataset number their frames differently; labels of one and pictures of the other
are then some frames apart, which looks right wherever people stand still.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import boxlib
import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.robot_files import read_track_boxes
from posepile.geometry.pictures import box_of_points
from posepile.shapes.coco import joint_coords
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_videos import read_tracked, tracked_pictures
from posepile.shapes.stills import Picture

# Track and frame -> x, y, width, height.
Boxes = Mapping[tuple[int, int], np.ndarray]

OFFSET = "frames by which labels are off from those of boxes"
NO_PICTURE = "its picture is not there"
NO_NAME = "its image lacks file_name"
SEAM = "crosses the seam of the panorama"
_MOVED = 0.8  # less overlap than that between a person's boxes of two frames tells them apart
_LEAST_JOINTS = 9  # a box around fewer says little of where somebody is
_GAIN = 0.05  # by which another offset has to overlap more


def numbered_pictures(
    source: CocoFile,
    pictures: Iterable[Path],
    boxes: Path | None,
    limit: float,
    *,
    offset: int,
    factor: float = 1.15,
    around: int | None = None,
    **more: Any,
) -> tuple[list[Picture], Counter, dict[str, float]]:
    """Returns pictures of a video whose numbers are some above those of their labels.

    >>> import json
    >>> people = [{"id": k, "image_id": k, "track_id": 7, "keypoints": [5, 6, 1, 9, 9 + k, 1]}
    ...           for k in range(3)]
    >>> images = [{"id": k, "file_name": f"walk/{k:06d}.jpg"} for k in range(3)]
    >>> content = {"images": images, "annotations": people}
    >>> _ = (folder / "walk.json").write_text(json.dumps(content))
    >>> source = CocoFile(folder / "walk.json", folder, 2, category=None,
    ...                   optional=("iscrowd", "segmentation", "bbox"))
    >>> pictures = [folder / f"{k:06d}.jpg" for k in (0, 1, 2)]
    >>> found, lost, _ = numbered_pictures(source, pictures, None, 0.1, offset=1)
    >>> [picture.path.name for picture in found], lost
    (['000001.jpg', '000002.jpg'], Counter({'its picture is not there': 1}))

    Args:
        source: The labels of tracked people, whose images are named by numbers, and the folder of
            the pictures. Sizes are read from these.
        pictures: Those that are there.
        boxes: File of labelled boxes of the same tracks, by numbers of pictures, as of
            :func:`posepile.formats.robot_files.read_track_boxes`; None: there is none.
        limit: By which share of the longer side of the box around them some joint has to move.
        offset: Number of a picture less that of its labels.
        factor: By which boxes around joints are enlarged.
        around: Width of panoramas that go all around: who has joints at both ends is left out.
        **more: Of :func:`check_frame_offset`.

    Returns:
        As of :func:`posepile.shapes.coco_videos.tracked_pictures`; and the self-check.
    """

    def joint_box(person: dict) -> np.ndarray:
        return box_of_points(joint_coords(person, source.n_joints))

    def why_not(person: dict, others: list[dict]) -> str | None:
        return SEAM if around is not None and joint_box(person)[2] > around / 2 else None

    names = frozenset(path.name for path in pictures)
    source = replace(
        source,
        more=("track_id", *source.more),
        read=partial(_read, offset, names),
        sizes_of_files=True,
        may_be_empty=True,
    )
    found, lost = tracked_pictures(
        source, why_not, lambda person: limit * factor * float(joint_box(person)[2:].max())
    )
    # An image has no name here since there is no picture, whatever the file says.
    lost = Counter({NO_PICTURE if why == NO_NAME else why: n for why, n in lost.items()})
    labels = _boxes_of_labels(found, offset, factor)
    known = read_track_boxes(boxes) if boxes is not None else {}
    return found, lost, check_frame_offset(source.path, labels, known, offset, **more)


def check_frame_offset(
    where: str | os.PathLike,
    labels: Boxes,
    boxes: Boxes,
    offset: int,
    *,
    most: int = 3,
    least: int = 30,
    hint: str | None = None,
) -> dict[str, float]:
    """Makes sure that labels belong to the frames that boxes of the same tracks belong to.

    For every offset, overlaps of labels with boxes (of the same size, since boxes of joints are
    smaller) are compared with those for the one that is expected, wherever the person has moved
    between the two frames. Where too few have moved, nothing is said.

    >>> boxes = {(7, k): np.array([40.0 * k, 0, 50, 100]) for k in range(40)}
    >>> labels = {(7, k): boxes[7, k + 2] + [5, 5, -10, -10] for k in range(38)}
    >>> check_frame_offset("walk.json", labels, boxes, 2)
    {'frames by which labels are off from those of boxes': 0.0}
    >>> check_frame_offset("walk.json", labels, boxes, 0)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: walk.json: found labels that fit boxes 2 frames later best \
(median overlap 1.00 and not 0.00, 38 compared); expected 0 frames later
    >>> check_frame_offset("walk.json", labels, {}, 0)
    {}

    Args:
        where: The file of the labels, for the message.
        labels: Boxes around the labels.
        boxes: Those of the same tracks, by frames of the pictures.
        offset: By how many frames the pictures' numbers are expected to be above the labels'.
        most: Offsets up to so many frames from there are tried, both ways.
        least: So many pairs have to be compared before anything is said.
        hint: What the user can do.

    Returns:
        A self-check for :class:`posepile.recipe.Sequence`; empty if nothing can be said.

    Raises:
        CorruptInput: Another offset fits better.
    """
    best, best_gain, compared, text = offset, _GAIN, set(), ""
    for other in range(offset - most, offset + most + 1):
        keys = [(t, f) for t, f in labels if {(t, f + offset), (t, f + other)} <= boxes.keys()]
        if other == offset or len(keys) < least:
            continue
        own = np.stack([labels[key] for key in keys])
        expected, found = (np.stack([boxes[t, f + n] for t, f in keys]) for n in (offset, other))
        has_moved = _overlaps(expected, found) < _MOVED
        if (n := int(has_moved.sum())) < least:
            continue
        compared.add(other - offset)
        now, then = (_overlaps(_resized(own, b), b)[has_moved] for b in (expected, found))
        gain = float(np.median(then - now))
        if gain > best_gain:
            best, best_gain = other, gain
            text = f"median overlap {np.median(then):.2f} and not {np.median(now):.2f}"
            text += f", {n} compared"
    if best != offset:
        text = f"found labels that fit boxes {best} frames later best ({text})"
        raise CorruptInput(where, f"{text}; expected {offset} frames later", hint=hint)
    return {OFFSET: 0.0} if min(compared, default=0) < 0 < max(compared, default=0) else {}


def _boxes_of_labels(pictures: Iterable[Picture], offset: int, factor: float) -> Boxes:
    """Boxes around the joints of people, by their index and the number of their labels."""
    return {
        (person.index, int(picture.path.stem) - offset): boxlib.expand(
            box_of_points(person.image_coords), factor
        )
        for picture in pictures
        for person in picture.people
        if np.isfinite(person.image_coords).all(axis=1).sum() >= _LEAST_JOINTS
    }


def _read(offset: int, pictures: frozenset[str], path: Path, kind: str) -> Iterator[dict]:
    """Entries of a file of a video, its images by the names of pictures; None: not there."""
    for entry in read_tracked(path, kind):
        if kind == "images" and isinstance(entry, dict):
            stem = Path(str(entry.get("file_name"))).stem
            name = f"{int(stem) + offset:06d}.jpg" if stem.isdecimal() and len(stem) < 10 else None
            entry |= {"file_name": name if name in pictures else None}
        yield entry


def _resized(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Boxes around the middles of these, with the sizes of those."""
    return np.concatenate([a[:, :2] + (a[:, 2:] - b[:, 2:]) / 2, b[:, 2:]], axis=1)


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with the one of the same row."""
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    return shared / np.maximum(a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared, 1e-9)

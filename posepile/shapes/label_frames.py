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
from posepile.shapes.coco_videos import (
    OTHER_FRAME,
    OTHER_VIDEO,
    read_tracked,
    tracked_pictures,
)
from posepile.shapes.stills import Picture

# Track and frame -> x, y, width, height.
Boxes = Mapping[tuple[int, int], np.ndarray]

OFFSET = "frames by which labels are off from those of boxes"
NO_PICTURE = "its picture is not there"
SEAM = "crosses the seam of the panorama"
_MOVED = 0.03  # widths of the box in a frame; less is its shaking
_FARTHEST = 1.0
_SIDE = 0.02  # widths; about so far beside the middle of the box joints are, of all people
_DOUBT = 0.25  # frames; a larger standard error tells nothing
_NEAR = 0.5  # widths
_LEAST_JOINTS = 9  # a box around fewer says little of where somebody is


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
    >>> people = [{"id": k, "image_id": k + 1, "track_id": 7, "keypoints": [5, 6, 1, 9, 9 + k, 1]}
    ...           for k in range(3)]
    >>> images = [{"id": k + 1, "file_name": f"{k:06d}.jpg"} for k in range(3)]
    >>> content = {"images": images, "annotations": people}
    >>> _ = (folder / "walk.json").write_text(json.dumps(content))
    >>> source = CocoFile(folder / "walk.json", folder, 2, category=None,
    ...                   optional=("iscrowd", "segmentation", "bbox"))
    >>> pictures = [folder / f"{k:06d}.jpg" for k in (0, 1, 2)]
    >>> found, lost, _ = numbered_pictures(source, pictures, None, 0.1, offset=1)
    >>> [picture.path.name for picture in found], lost
    (['000001.jpg', '000002.jpg'], Counter({'its picture is not there': 1}))

    Args:
        source: The labels of tracked people, and the folder of the pictures, by which sizes are
            read. Images are named by numbers, one less than their ids, perhaps with the last two
            folders of the pictures.
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

    Raises:
        CorruptInput: None of the pictures is there, or labels are of others.
    """

    def joint_box(person: dict) -> np.ndarray:
        return box_of_points(joint_coords(person, source.n_joints))

    def why_not(person: dict, others: list[dict]) -> str | None:
        return SEAM if around is not None and joint_box(person)[2] > around / 2 else None

    names = frozenset(path.name for path in pictures)
    source = replace(
        source,
        more=("track_id", *source.more),
        read=partial(_read, offset, source.pictures, names),
        sizes_of_files=True,
        may_be_empty=True,
    )
    if all(image.get("fault") == NO_PICTURE for image in source.read(source.path, "images")):
        text = f"found {len(names)} pictures, none of those that {source.path} is of"
        raise CorruptInput(source.pictures, text, hint=more.get("hint"))
    found, lost = tracked_pictures(
        source, why_not, lambda person: limit * factor * float(joint_box(person)[2:].max())
    )
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

    How far the middle of labels is from that of the box is compared with how far the box moves
    from one frame to the next: labels of n frames later are n such steps ahead. That joints lie
    a little to one side of their box, the same in all frames, is allowed for. Where too few have
    moved, or all the same way at one speed, nothing is said.

    >>> boxes = {(7, k): np.array([40.0 * k, 0, 50, 100]) for k in range(40)}
    >>> labels = {(7, k): boxes[7, k + 2] + [5, 5, -10, -10] for k in range(38)}
    >>> check_frame_offset("walk.json", labels, boxes, 2)
    {'frames by which labels are off from those of boxes': 0.0}
    >>> check_frame_offset("walk.json", labels, boxes, 0)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: walk.json: found labels that fit boxes 2 frames later best \
(38 compared); expected 0 frames later
    >>> check_frame_offset("walk.json", labels, {}, 0)
    {}

    Args:
        where: The file of the labels, for the message.
        labels: Boxes around the labels.
        boxes: Those of the same tracks, by frames of the pictures.
        offset: By how many frames the pictures' numbers are expected to be above the labels'.
        most: Offsets up to so many frames from there are told, both ways.
        least: So many people who move have to be compared before anything is said.
        hint: What the user can do.

    Returns:
        A self-check for :class:`posepile.recipe.Sequence`; empty if nothing can be said.

    Raises:
        CorruptInput: Another offset fits better, or the labels are nowhere near the boxes.
    """
    apart, step = _in_widths(labels, boxes, offset)
    far = float(np.median(np.abs(apart))) if len(apart) >= least else 0.0
    found, told, n = offset, False, int(_moves(step).sum())
    for _ in range(most):
        moves = _moves(step)
        if moves.sum() < least:
            break
        ahead, doubt = _frames_ahead(apart[moves], step[moves])
        told = told or (found == offset and doubt < _DOUBT)
        if not told or round(ahead) == 0:
            break
        found = int(np.clip(found + round(ahead), offset - most, offset + most))
        apart, step = _in_widths(labels, boxes, found)
    if found != offset and len(apart) and np.median(np.abs(apart)) < _NEAR:
        text = f"found labels that fit boxes {found} frames later best ({n} compared)"
        raise CorruptInput(where, f"{text}; expected {offset} frames later", hint=hint)
    if far > _NEAR:
        text = f"found labels {far:.1f} widths beside the boxes of the same tracks, in the median"
        raise CorruptInput(where, f"{text}; expected them in these: are they of other pictures?")
    return {OFFSET: 0.0} if told else {}


def _in_widths(labels: Boxes, boxes: Boxes, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """How far labels are beside their boxes, and these move in a frame, in widths of the box."""
    apart, step = [], []
    for (track, frame), label in labels.items():
        at = frame + offset
        steps = [
            _middle(boxes[track, k + 1]) - _middle(boxes[track, k])
            for k in (at - 1, at)
            if {(track, k), (track, k + 1)} <= boxes.keys()
        ]
        if steps:
            width = max(boxes[track, at][2], 1.0)
            apart.append((_middle(label) - _middle(boxes[track, at])) / width)
            step.append(np.mean(steps) / width)
    return np.array(apart), np.array(step)


def _moves(step: np.ndarray) -> np.ndarray:
    """Which boxes move, and not as far as only from one end of a panorama to the other."""
    return (np.abs(step) > _MOVED) & (np.abs(step) < _FARTHEST)


def _middle(box: np.ndarray) -> float:
    return box[0] + box[2] / 2


def _frames_ahead(apart: np.ndarray, step: np.ndarray) -> tuple[float, float]:
    """By how many steps labels are ahead, and the standard error of that.

    Least squares of ``apart`` = side + ahead * step, where the side is small, without outliers.
    """
    kept = np.ones(len(apart), bool)
    for _ in range(3):
        a, b = np.stack([np.ones(kept.sum()), step[kept]], axis=1), apart[kept]
        spread = 0.05
        for _ in range(2):
            inverse = np.linalg.inv(a.T @ a / spread**2 + np.diag([_SIDE**-2, 1e-6]))
            side, ahead = inverse @ (a.T @ b) / spread**2
            rest = np.abs(apart - side - ahead * step)
            spread = max(1.48 * float(np.median(rest[kept])), 0.01)
        kept = rest <= 4 * spread
    return float(ahead), float(np.sqrt(inverse[1, 1]))


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


def _read(
    offset: int, folder: Path, pictures: frozenset[str], path: Path, kind: str
) -> Iterator[dict]:
    """Entries of a file of a video, its images by the names of pictures.

    Those of another camera or video, or of another frame than their id says (which counts from 1),
    have a fault, as have those whose picture is not there.
    """
    for entry in read_tracked(path, kind):
        if kind == "images" and isinstance(entry, dict):
            named = Path(str(entry.get("file_name")))
            above = [part for part in named.parts[:-1] if part][-2:]
            is_number = named.stem.isdecimal() and len(named.stem) < 10
            name = f"{int(named.stem) + offset:06d}.jpg" if is_number else None
            fault = None if name in pictures else NO_PICTURE
            if is_number and type(entry.get("id")) is int and entry["id"] != int(named.stem) + 1:
                fault = OTHER_FRAME
            if above != [*folder.parts][len(folder.parts) - len(above) :]:
                fault = OTHER_VIDEO
            entry |= {"file_name": name, "fault": fault}
        yield entry

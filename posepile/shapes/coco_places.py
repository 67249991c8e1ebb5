"""Where annotation files like COCO's and their pictures lie, and whether they belong together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.imaging.declared import size_if_readable
from posepile.recipe import Sequence


def first_there(places: Iterable[Path]) -> Path:
    """Returns the first of some places at which there is something; the first if there is none.

    >>> (folder / "json").mkdir()
    >>> first_there([folder / "annotations", folder / "json"]).name
    'json'

    Args:
        places: Where it may lie, what is preferred first.
    """
    places = list(places)
    there = [path for path in places if path.name in names_in(path.parent)]
    # An empty folder, or a file that is to be downloaded again, hides nothing.
    full = (p for p in there if (names_in(p) if p.is_dir() else p.stat().st_size))
    return next(full, next(iter(there), places[0]))


def check_labels(sequence: Sequence, path: Path, options: Any) -> Sequence:
    """Makes sure that joints and boxes are in the pictures: ``check`` of ``coco_recipe``.

    ``options.max_beyond`` is the limit of :func:`check_inside`.

    >>> from types import SimpleNamespace
    >>> from posepile.shapes.stills import picture_sequence
    >>> from posepile.shapes.units import make_unit
    >>> sequence = picture_sequence(make_unit("val", "val", {}), [])
    >>> check_labels(sequence, Path("val.json"), SimpleNamespace(max_beyond=0.1)).checks
    {'beyond_border': 0.0}
    """
    return check_inside(sequence, path, options.max_beyond)


def check_joints(sequence: Sequence, path: Path, options: Any) -> Sequence:
    """Does as :func:`check_labels`, where boxes may reach beyond the picture.

    >>> from types import SimpleNamespace
    >>> from posepile.shapes.stills import picture_sequence
    >>> from posepile.shapes.units import make_unit
    >>> sequence = picture_sequence(make_unit("val", "val", {}), [])
    >>> check_joints(sequence, Path("val.json"), SimpleNamespace(max_beyond=0.1)).checks
    {'beyond_border': 0.0}
    """
    return check_inside(sequence, path, options.max_beyond, boxes=False)


def check_inside(sequence: Sequence, path: Path, limit: float, *, boxes: bool = True) -> Sequence:
    """Notes how many joints and corners of boxes lie beyond the borders of their pictures.

    Many do where labels belong to other pictures, or width and height are exchanged. Also who is
    left out is looked at.

    >>> from posepile.shapes.stills import Person, Picture, picture_sequence
    >>> from posepile.shapes.units import make_unit
    >>> person = Person(0, image_coords=np.array([[5, 5], [9, 470], [630, 5], [630, 500]]))
    >>> pictures = [Picture(Path("1.jpg"), (640, 480), [person])]
    >>> sequence = picture_sequence(make_unit("val", "val", {}), pictures)
    >>> check_inside(sequence, Path("val.json"), 0.3).checks
    {'beyond_border': 0.25}
    >>> check_inside(sequence, Path("val.json"), 0.02)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: val.json: val: found 25.0% of joints and boxes beyond ...

    Args:
        sequence: Of :func:`posepile.shapes.coco.coco_sequence`.
        path: The annotation file, for the message.
        limit: Largest share.
        boxes: Whether boxes are looked at.

    Raises:
        CorruptInput: A larger share lies there.
    """
    # None where a picture is damaged, which is told when it is its turn.
    sizes = sequence.frames.sizes or [size_if_readable(path) for path in sequence.frames.paths]
    beyond = []
    for frame, joints, box in people_of(sequence):
        points = np.vstack([joints, [box[:2], box[:2] + box[2:]]]) if boxes else joints
        points = points[np.isfinite(points).all(axis=1)]
        # A pixel's breadth is nothing to quarrel about: some count from the corner, some from 1.
        outside = (points < -1) | (points > np.array(sizes[frame] or (np.inf, np.inf)) + 1)
        beyond.extend(outside.any(axis=1))
    what = "of joints and boxes beyond the border"
    return note_share(sequence, path, "beyond_border", beyond, limit, what, "max_beyond")


def note_share(
    sequence: Sequence,
    path: Path,
    key: str,
    faults: list[bool],
    limit: float,
    what: str,
    option: str,
) -> Sequence:
    """Notes a share among the checks of a sequence.

    >>> from posepile.shapes.stills import picture_sequence
    >>> from posepile.shapes.units import make_unit
    >>> sequence = picture_sequence(make_unit("val", "val", {}), [])
    >>> path, faults = Path("val.json"), [True, False]
    >>> note_share(sequence, path, "tall", faults, 0.6, "are tall", "max_tall").checks
    {'tall': 0.5}

    Args:
        sequence: Of :func:`posepile.shapes.coco.coco_sequence`.
        path: The annotation file, for the message.
        key: Among the checks.
        faults: Of everything that was looked at, whether it is wrong.
        limit: Largest share.
        what: What is wrong with so many per cent, for the message.
        option: Of the dataset that is the limit.

    Raises:
        CorruptInput: A larger share is wrong.
    """
    share = sum(map(bool, faults)) / max(len(faults), 1)
    if share > limit:
        hint = f"do the labels belong to others? if they are right: dataset.{option}"
        text = f"{sequence.id}: found {share:.1%} {what}; expected up to {limit:.1%}"
        raise CorruptInput(path, text, hint=hint)
    sequence.checks[key] = share
    return sequence


def people_of(sequence: Sequence) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields frame, joints ``[J, 2]`` and box of all, also of those left out; NaN = not known.

    >>> from posepile.shapes.stills import Person, Picture, picture_sequence
    >>> from posepile.shapes.units import make_unit
    >>> person = Person(0, image_coords=np.ones((17, 2)), left_out="too small")
    >>> pictures = [Picture(Path("1.jpg"), (640, 480), [person])]
    >>> sequence = picture_sequence(make_unit("val", "val", {}), pictures)
    >>> [(frame, joints.shape, box) for frame, joints, box in people_of(sequence)]
    [(0, (17, 2), array([nan, nan, nan, nan]))]
    """
    unknown = np.full(4, np.nan)
    for track in sequence.tracks:
        boxes = [unknown] * len(track.frames) if track.bbox is None else track.bbox
        yield from zip(track.frames.tolist(), track.image_coords, boxes, strict=True)
    for frame, people in sequence.bystanders.items():
        for person in people:
            box = unknown if person.bbox is None else np.array(person.bbox, np.float64)
            yield frame, person.image_coords, box

"""Which frames of a video with key points in the image show something new."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from posepile.shapes.stills import Person, Picture

STILL = "has moved too little since the last frame that was kept"


def moved(coords: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Returns which frames of a person to keep, bool ``[n]``.

    The first one; and every other in which some joint has moved by more than the frame's limit
    since the last one that is kept, or is labelled and was not there.

    >>> coords = np.array([[[0, 0]], [[3, 0]], [[6, 0]], [[np.nan] * 2], [[6, 0]]], float)
    >>> moved(coords, np.full(5, 5.0))
    array([ True, False,  True, False, False])

    Args:
        coords: ``[n, J, 2]`` pixels, NaN = not labelled.
        limits: ``[n]`` pixels; NaN = not known, then the frame is kept.

    Returns:
        bool ``[n]``.
    """
    keep = np.zeros(len(coords), bool)
    last = np.full(coords.shape[1:], np.nan)
    for k, (joints, limit) in enumerate(zip(coords, limits, strict=True)):
        is_new = np.isfinite(joints[:, 0]) & np.isnan(last[:, 0])
        away = np.linalg.norm(joints - last, axis=-1)
        if k == 0 or np.isnan(limit) or is_new.any() or (away > limit).any():
            keep[k], last = True, joints
    return keep


def thin_out(pictures: list[Picture], limit: Callable[[int, Person], float]) -> None:
    """Leaves out people who have moved too little since their last picture that is kept.

    >>> from pathlib import Path
    >>> people = [Person(7, image_coords=np.array([[x, 0.0]])) for x in (0, 3, 6)]
    >>> pictures = [Picture(Path(f"{k}.jpg"), None, [p]) for k, p in enumerate(people)]
    >>> thin_out(pictures, lambda k, person: 5.0)
    >>> [person.left_out for person in people]
    [None, 'has moved too little since the last frame that was kept', None]

    Args:
        pictures: Of one video, in order; a person has the same index in all of them. ``left_out``
            of people is changed; who is left out already does not count.
        limit: (position of the picture, person) -> pixels, NaN = not known.
    """
    by_index: dict[int, list[tuple[int, Person]]] = {}
    for k, picture in enumerate(pictures):
        for person in picture.people:
            if person.left_out is None:
                by_index.setdefault(person.index, []).append((k, person))
    for seen in by_index.values():
        coords = np.stack([person.image_coords for _, person in seen])
        kept = moved(coords, np.array([limit(k, person) for k, person in seen]))
        for (_, person), keep in zip(seen, kept, strict=True):
            person.left_out = None if keep else STILL

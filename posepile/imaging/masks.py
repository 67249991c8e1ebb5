"""Masks of a person that are stored as pictures: a video, or a folder of image files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.imaging.frames import open_frames
from posepile.recipe import Stills, Video

# A video is decoded in runs of so many frames: asked in order, that is about one pass.
RUN = 32


def person_rule(text: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function that finds the person's pixels in a mask picture.

    >>> picture = np.uint8([[[0, 0, 0], [200, 0, 0]]])
    >>> person_rule("value > 127")(picture)
    array([[False,  True]])

    Args:
        text: ``value > 127`` (the brightest channel), ``label in [1, 2]`` (the first channel) or
            ``color in [[255, 0, 0]]`` (exact RGB).

    Returns:
        A function from uint8 RGB ``[h, w, 3]`` to bool ``[h, w]``.

    Raises:
        ValueError: Any other text.
    """
    if m := re.fullmatch(r"value\s*>\s*(\d+)", text.strip()):
        limit = int(m[1])
        return lambda picture: picture.max(axis=-1) > limit
    if m := re.fullmatch(r"(label|color)\s+in\s+(\[[\d\s,\[\]]*\])", text.strip()):
        listed = np.array(json.loads(m[2]))
        if m[1] == "label" and listed.ndim == 1:
            return lambda picture: np.isin(picture[..., 0], listed)
        if m[1] == "color" and listed.shape[1:] == (3,):
            return lambda picture: (picture[..., None, :] == listed).all(axis=-1).any(axis=-1)
    raise ValueError(
        "must be like 'value > 127', 'label in [1, 2]' or 'color in [[255, 0, 0], [0, 255, 0]]'"
    )


def read_label_image(path: Path) -> np.ndarray:
    """Returns a picture of labels as stored: uint8 RGB ``[h, w, 3]``; a palette becomes colours.

    Raises:
        CorruptInput: Not a readable picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise CorruptInput(path, "not a readable picture", hint="extract it again")
    return picture[..., ::-1]


class MaskFrames:
    """Masks by frame, as RLE; called with a frame index, it returns the mask of that frame.

    Args:
        source: The pictures.
        person: Finds the person's pixels, as :func:`person_rule` makes it.
    """

    def __init__(self, source: Video | Stills, person: Callable[[np.ndarray], np.ndarray]):
        self._source = source
        self._person = person
        self._known: dict[int, dict] = {}

    def __call__(self, frame: int) -> dict:
        """Returns the mask of a frame.

        Raises:
            CorruptInput: There is no such frame, or it cannot be decoded.
        """
        if frame not in self._known:
            self._read(frame, RUN if isinstance(self._source, Video) else 1)
        return self._known[frame]

    def _read(self, first: int, n: int) -> None:
        with open_frames(self._source) as frames:
            wanted = range(first, min(first + n, frames.n_frames))
            if not wanted:
                video = isinstance(self._source, Video)
                place = self._source.path if video else self._source.paths[0].parent
                raise CorruptInput(
                    place,
                    f"has {frames.n_frames} masks; expected one for every frame",
                    frame=first,
                    hint="extract it again",
                )
            for i, picture in frames.read(wanted):
                self._known[i] = rlemasklib.encode(self._person(picture.rgb()).astype(np.uint8))

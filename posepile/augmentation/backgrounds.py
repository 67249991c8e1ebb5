"""Photographs without people, put behind people who have been cut out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from posepile import paths
from posepile.errors import UsageError
from posepile.files import names_in
from posepile.formats.text_files import read_bytes, read_lines
from posepile.imaging import jpeg

FOLDER, LIST, SMALL = "inria_holidays", "non_person_images.txt", "jpg_small"
_LEAST, _MOST, _AWAY = 1.2, 1.5, 0.1  # size over what is needed, and share of it that it is moved


class Backgrounds:
    """JPEG pictures by their files; each is read and decoded when it is used.

    >>> import cv2
    >>> _ = cv2.imwrite(str(folder / "wall.jpg"), np.full((80, 100, 3), 128, np.uint8))
    >>> Backgrounds([folder / "wall.jpg"]).picture(32, np.random.default_rng(0)).shape
    (32, 32, 3)

    Args:
        files: At least one.
    """

    def __init__(self, files: Sequence[str | os.PathLike]):
        if not len(files):
            raise UsageError("backgrounds: found no file, expected at least one JPEG picture")
        self.files = [os.fspath(file) for file in files]

    @classmethod
    def find(cls) -> Backgrounds:
        """Those that ``posepile run inria_holidays`` has left below ``$DATA_ROOT``.

        Raises:
            UsageError: They are not there.
        """
        folder = paths.raw_dir(FOLDER)
        if LIST not in names_in(folder):
            raise UsageError(
                f"{folder / LIST}: file is missing, expected the names of photographs without "
                "people; make it with: posepile run inria_holidays"
            )
        names = sorted(read_lines(folder / LIST))
        lost = sorted({*names} - names_in(folder / SMALL))
        if lost:
            raise UsageError(
                f"{folder / SMALL / lost[0]}: file is missing, as are {len(lost) - 1} others that "
                f"{LIST} names; make them again with: posepile run inria_holidays"
            )
        return cls([folder / SMALL / name for name in names])

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """A piece of one of them, uint8 RGB ``[side, side, 3]``, with nothing beyond its border.

        Raises:
            CorruptInput: The file is missing or damaged.
        """
        which, size, angle, away = rng.random(4).tolist()
        file = Path(self.files[int(which * len(self.files))])
        image = jpeg.decode(read_bytes(file), name=file)
        h, w = image.shape[:2]
        scale = side / min(h, w) * (_LEAST + size * (_MOST - _LEAST))
        radius, turn = away**0.5 * _AWAY * side, 2 * np.pi * angle
        x = (side - scale * w) / 2 + radius * np.cos(turn) + (scale - 1) / 2
        y = (side - scale * h) / 2 + radius * np.sin(turn) + (scale - 1) / 2
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        return cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)

    def __repr__(self):
        return f"<Backgrounds: {len(self.files)} pictures, the first is {self.files[0]}>"

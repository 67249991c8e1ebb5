"""Objects cut out of photographs, put in front of people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posepile import paths
from posepile.errors import CorruptInput, UsageError
from posepile.files import names_in
from posepile.formats.pickles import read_pickle

FILE = "pascal_voc_occluders.pkl"
_USUAL = 256  # side of the pictures that the scale of objects refers to


class Occluders:
    """Objects with soft masks, as ``pascal_voc`` leaves them; read once in each process.

    >>> import pickle
    >>> ball = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32)
    >>> _ = (folder / "things.pkl").write_bytes(pickle.dumps([ball]))
    >>> len(Occluders(folder / "things.pkl"))
    1

    Args:
        path: Pickle of a list of (uint8 ``[h, w, 3]`` RGB, share of the object in each pixel
            ``[h, w]`` from 0 to 1).

    Raises:
        CorruptInput: Not such a file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._things: list[np.ndarray] | None = None
        self._n = len(self.things)

    @classmethod
    def find(cls) -> Occluders:
        """Those that ``posepile run pascal_voc`` has left in ``$CACHE_DIR``.

        Raises:
            UsageError: They are not there.
        """
        folder = paths.cache_dir()
        if FILE not in names_in(folder):
            raise UsageError(
                f"{folder / FILE}: file is missing, expected the objects that are put in front of "
                "people; make it with: posepile run pascal_voc"
            )
        return cls(folder / FILE)

    def __len__(self) -> int:
        return self._n

    @property
    def things(self) -> list[np.ndarray]:
        """The objects, uint8 ``[h, w, 4]``: RGB, and how much of a pixel is the object."""
        if self._things is None:
            self._things = _read(self.path)
        return self._things

    def put_before(
        self,
        picture: np.ndarray,
        mask: np.ndarray | None,
        n: int,
        scale: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        """Puts objects into a picture, in place, anywhere; takes what they hide off the mask.

        Args:
            picture: uint8 ``[side, side, 3]``, C-contiguous.
            mask: uint8 ``[side, side]`` or None.
            n: How many.
            scale: Smallest and largest size, of objects as stored in a picture of 256 pixels.
            rng: Random numbers.
        """
        side = picture.shape[0]
        for draw in rng.random((n, 4)).tolist():
            thing = self.things[int(draw[0] * self._n)]
            factor = (scale[0] + draw[1] * (scale[1] - scale[0])) * side / _USUAL
            h, w = (max(1, round(length * factor)) for length in thing.shape[:2])
            left, top = round(draw[2] * side - w / 2), round(draw[3] * side - h / 2)
            x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + w, side), min(top + h, side)
            if x1 <= x0 or y1 <= y0:
                continue
            how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            thing = cv2.resize(thing, (w, h), interpolation=how)
            thing = thing[y0 - top : y1 - top, x0 - left : x1 - left]
            share = thing[..., 3]
            rest = cv2.bitwise_not(share)
            part = picture[y0:y1, x0:x1]
            over = cv2.multiply(thing[..., :3], cv2.merge([share] * 3), scale=1 / 255)
            part[:] = cv2.add(over, cv2.multiply(part, cv2.merge([rest] * 3), scale=1 / 255))
            if mask is not None:
                place = mask[y0:y1, x0:x1]
                place[:] = cv2.multiply(place, rest, scale=1 / 255)

    def __getstate__(self) -> dict[str, Any]:
        # Other processes read the file rather than be sent all objects.
        return {"path": self.path, "_n": self._n, "_things": None}

    def __repr__(self):
        return f"<Occluders: {self._n} objects of {self.path}>"


def _read(path: Path) -> list[np.ndarray]:
    listed = read_pickle(path)
    if not isinstance(listed, list) or not listed:
        raise CorruptInput(path, "expected a list of objects with masks", hint=_AGAIN)
    things = []
    for i, pair in enumerate(listed):
        image, share = pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (0, 0)
        image, share = np.asarray(image), np.asarray(share)
        numbers = image.dtype == np.uint8 and share.dtype.kind in "fbiu"
        if not numbers or image.shape != (*share.shape, 3) or 0 in share.shape:
            text = f"object {i}: found {image.dtype} {image.shape} and {share.dtype} "
            text += f"{share.shape}; expected uint8 [h, w, 3] and numbers [h, w]"
            raise CorruptInput(path, text, hint=_AGAIN)
        share = np.nan_to_num(np.clip(share.astype(np.float32), 0, 1))
        things.append(np.dstack([image, np.uint8(np.rint(255 * share))]))
    return things


_AGAIN = "make it again with: posepile run pascal_voc"

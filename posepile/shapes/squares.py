"""Photographs made into upright squares of one size, as backgrounds for training are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in, write_atomically
from posepile.formats.text_files import read_bytes
from posepile.imaging import jpeg
from posepile.imaging.declared import picture_size
from posepile.shapes.in_threads import in_threads


def make_squares(
    originals: Path, squares: Path, side: int, max_damaged: float = 1, quality: int = 95
) -> tuple[dict[str, bool], dict[str, CorruptInput]]:
    """Makes the squares of a folder's JPEG pictures that are not there yet, or are older.

    A square whose original is gone is taken as it is. Originals stay.

    >>> write = (folder / "a.jpg").write_bytes
    >>> _ = write(jpeg.encode(np.zeros((40, 60, 3), np.uint8)))
    >>> make_squares(folder, folder / "small", 16), make_squares(folder, folder / "small", 16)[0]
    (({'a.jpg': True}, {}), {'a.jpg': False})

    Args:
        originals: Folder of photographs.
        squares: Folder of the squares.
        side: Theirs, in pixels.
        max_damaged: Largest share of the pictures that may be damaged.
        quality: Of JPEG.

    Returns:
        Name -> whether it was made now, sorted; and what is wrong with those that are damaged.

    Raises:
        CorruptInput: More are damaged, or there are none.
    """
    given, there = names_in(originals), names_in(squares)
    names = sorted(name for name in given | there if name.lower().endswith((".jpg", ".jpeg")))

    def make(name: str) -> bool:
        source, target = originals / name, squares / name
        fault = square_fault(target, side) if name in there else "file is missing"
        is_older = name in given & there and os.path.getmtime(target) < os.path.getmtime(source)
        if name in given and (fault or is_older):
            data = _upright_square(read_bytes(source), side, quality, source)
            write_atomically(target, data, durable=False)
            return True
        if fault:
            raise CorruptInput(target, fault)
        return False

    made, damaged = {}, {}
    for name, found in in_threads(make, names):
        (damaged if isinstance(found, CorruptInput) else made)[name] = found
    if len(damaged) > max_damaged * len(names) or not made:
        text = (
            f"found {len(made)} good pictures and {len(damaged)} damaged ones; expected some, of"
        )
        first = "".join(f": {fault}" for fault in [*damaged.values()][:1])
        raise CorruptInput(originals, f"{text} which at most {max_damaged:.0%} damaged{first}")
    return made, damaged


def _upright_square(data: bytes, side: int, quality: int, name: Path) -> bytes:
    """The centre square of a JPEG file as another, turned as its EXIF tag asks for."""
    import cv2

    image = jpeg.orient(jpeg.decode(data, name=name), jpeg.read_orientation(data))
    shorter = min(image.shape[:2])
    if 2 * shorter < side:
        text = f"found {image.shape[1]}x{image.shape[0]} pixels; expected a side of {side // 2}"
        raise CorruptInput(name, f"{text} at least")
    top, left = ((n - shorter) // 2 for n in image.shape[:2])
    square = np.ascontiguousarray(image[top : top + shorter, left : left + shorter])
    return jpeg.encode(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), quality)


def square_fault(path: Path, side: int) -> str | None:
    """Returns why a square cannot be used, None if it can, by its head and its end.

    >>> square_fault(folder / "none.jpg", 16)
    'file is missing'
    """
    try:
        width, height = picture_size(path)
    except CorruptInput as e:
        return e.reason
    if (width, height) != (side, side):
        return f"found {width}x{height} pixels; expected {side}x{side}"
    return jpeg.unfinished(path)

"""Amodal masks, whose pixels others may hide, beside the pixels that are seen of somebody."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.imaging.masks import read_mask

MARGIN = 2  # pixels by which somebody's outlines may differ in two renderings


def compare_amodal(visible: dict, path: Path) -> tuple[float, float]:
    """Returns which share of somebody is hidden, and of the visible pixels is not of them.

    >>> amodal = np.zeros((20, 30), np.uint8)
    >>> amodal[:, 5:15] = 255
    >>> _ = cv2.imwrite(str(folder / "a.png"), amodal)
    >>> seen = rlemasklib.encode(np.uint8((np.arange(30) >= 10) & (amodal >= 0)))
    >>> compare_amodal(seen, folder / "a.png")
    (0.0, 0.65)

    Args:
        visible: Visible pixels as RLE.
        path: Picture of all pixels that would be seen with nothing in front.

    Raises:
        CorruptInput: It cannot be read, or is of another size.
    """
    seen, whole = rlemasklib.decode(visible) > 0, read_mask(path)
    if whole.shape != seen.shape:
        found = f"holds {whole.shape[1]} x {whole.shape[0]} pixels"
        expected = f"{seen.shape[1]} x {seen.shape[0]}, as what is visible"
        raise CorruptInput(path, f"{found}; expected {expected}", hint="extract it again")
    brush = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    outside = seen & (cv2.dilate(whole.astype(np.uint8), brush) == 0)
    hidden = 1 - seen.sum() / max(whole.sum(), 1)
    return max(float(hidden), 0.0), float(outside.sum() / max(seen.sum(), 1))


def check_amodal(
    where: str | os.PathLike,
    people: Iterable[tuple[Callable[[int], dict | None], Sequence[Path]]],
    max_outside: float,
    max_share: float,
    *,
    hint: str | None = None,
) -> float:
    """Returns of which share of people, in some pictures, pixels are visible that are not theirs.

    >>> _ = cv2.imwrite(str(folder / "black.png"), np.zeros((20, 30), np.uint8))
    >>> seen = rlemasklib.encode(np.ones((20, 30), np.uint8))
    >>> people = [(lambda k: seen, [folder / "black.png"])]
    >>> check_amodal("scene", people, max_outside=0.1, max_share=1)
    1.0

    Args:
        where: File or folder, for the message.
        people: Of each, a function from k to the visible pixels in their k-th picture (a track's
            ``mask``), and the pictures of their amodal masks. Some three of each are compared, as
            :func:`compare_amodal` does.
        max_outside: Somebody is among them if a larger share of the visible pixels is outside.
        max_share: Largest share of these that may be so.
        hint: What the user can do.

    Raises:
        CorruptInput: There are more: masks or maps are of other frames or people.
    """
    wrong = []
    for look, paths in people:
        for k in range(0, len(paths), 1 + len(paths) // 3):
            if (visible := look(k)) is not None:
                wrong.append(compare_amodal(visible, paths[k])[1] > max_outside)
    if sum(wrong) > max_share * len(wrong):
        found = f"in {sum(wrong)} of {len(wrong)} pictures of people more than {max_outside:.0%} "
        found += (
            f"of their visible pixels are outside of the amodal mask; expected {max_share:.0%}"
        )
        raise CorruptInput(where, f"{found} of them at most", hint=hint)
    return float(np.mean(wrong or [0]))

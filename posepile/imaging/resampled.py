"""Videos whose frames were labelled after a filter had changed their rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput

VIDEO_RATES = (Fraction(60), Fraction(60000, 1001))


def shown_frames(n: int, rate: float | None, where: Path) -> np.ndarray:
    """Returns the frame of the video that each of n labels is of, as ``fps=60:round=down`` does.

    >>> shown_frames(1002, 60000 / 1001, "a.mp4")[-3:].tolist()
    [999, 999, 1000]

    Args:
        n: How many labels, 60 per second.
        rate: Frames per second of the video, None = unknown.
        where: The video, for the message.

    Raises:
        CorruptInput: The video has neither 60 nor 59.94 frames per second.
    """
    near = next((r for r in VIDEO_RATES if rate and abs(r - rate) < 0.02), None)
    if near is None:
        text = f"has {rate or 0:.2f} frames per second; expected 59.94 or 60"
        raise CorruptInput(where, text, hint="a converted copy? fetch the original file")
    # Frame k is put out from position floor(k 60 / rate) on.
    return (np.arange(1, n + 1) * near.numerator - 1) // (60 * near.denominator)

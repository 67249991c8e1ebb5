"""How a person gets from frame to frame of a video.

What jumps away and back is wrong in between, and dropped. Who jumps and stays may be somebody
whose index another person had before: each of the frames is right, so they are counted only. A
pose that is held, to the last bit of all joints, is a label that nobody measured, or in all frames
the same example: the first is kept. None of it makes other frames doubtful, but for the jumps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from posepile.stages.plausible import IMPLAUSIBLE, add_faults

if TYPE_CHECKING:
    from posepile.stages.plausible import CheckParams, Faults

JUMP = IMPLAUSIBLE + "jumps away and back"
HELD = "pose held, the same to the last bit"  # no reason to doubt other poses
MAX_RATE = 240.0  # frames per second of videos: slower motion is fast in none of them
MIN_HELD_JOINTS = 5
MAX_MM = 1e11  # what cannot be squared is found elsewhere


def check_motion(
    frames: np.ndarray,
    coords: np.ndarray,
    chosen: np.ndarray,
    rate: Callable[[], float | None],
    params: CheckParams,
    *,
    synthetic: bool = False,
) -> tuple[Faults, int]:
    """Returns which poses of one person cannot be right for what is before and after, and jumps.

    Args:
        frames: Frame of each pose of the track ``[n]``, increasing.
        coords: ``[n, J, 3]`` millimetres in the world, NaN = missing.
        chosen: Positions along the first axis that are looked at, increasing.
        rate: Gives frames per second, None = not known, so that nothing is said; asked only where
            something may be wrong.
        params: Limits.
        synthetic: People may stand still as nobody does.

    Returns:
        Position in ``chosen`` -> the reason, and what was found there; and how many of the others
        are where the person jumps and does not come back.
    """
    coords, frames, chosen = np.asarray(coords), np.asarray(frames, np.int64), np.asarray(chosen)
    faults: Faults = {}
    if len(chosen) == 0 or coords.shape[1] == 0:
        return faults, 0
    before, after = np.maximum(chosen - 1, 0), np.minimum(chosen + 1, len(coords) - 1)
    now, past, future = (_tame(coords[at]) for at in (chosen, before, after))
    arriving = _way(past, now, frames[chosen] - frames[before])
    leaving = _way(now, future, frames[after] - frames[chosen])
    if max(arriving.max(), leaving.max()) * MAX_RATE > 1000 * params.max_speed:
        per_second = rate()
    else:
        per_second = None
    n_jumps = 0
    if per_second:
        limit = 1000 * params.max_speed / per_second
        staying = _way(past, future, frames[after] - frames[before]) <= limit
        away = (arriving > limit) & (leaving > limit) & staying
        text = "all joints move by {:.3g} m from the frame before, and back"
        add_faults(faults, away, JUMP, lambda k: text.format(_metres(past[k], now[k])))
        n_jumps = int((((arriving > limit) | (leaving > limit)) & ~away).sum())
    if not synthetic:
        _check_held(faults, frames[chosen], now, chosen, rate, params)
    return faults, n_jumps


def _check_held(
    faults: Faults,
    frames: np.ndarray,
    coords: np.ndarray,
    chosen: np.ndarray,
    rate: Callable[[], float | None],
    params: CheckParams,
) -> None:
    """Adds poses ``[n, J, 3]`` that are those of frames long before, and of all in between."""
    known = np.isfinite(coords)
    same = ((coords[1:] == coords[:-1]) | ~(known[1:] | known[:-1])).all(axis=(1, 2))
    same &= (known[1:, :, 0].sum(axis=1) >= MIN_HELD_JOINTS) & (np.diff(chosen) == 1)
    if not same.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
    spans = [(a, b) for a, b in edges.reshape(-1, 2) if b - a >= 2]
    per_second = rate() if spans else None
    for start, end in spans if per_second else ():
        seconds = (frames[end] - frames[start]) / per_second
        if seconds > params.max_held:
            held = np.zeros(len(frames), bool)
            held[start + 1 : end + 1] = True
            text = f"is that of frame {frames[start]}, held for {seconds:.3g} s"
            add_faults(faults, held, HELD, lambda k, text=text: text)


def _tame(coords: np.ndarray) -> np.ndarray:
    """Coordinates as float64, NaN where they are too large to be squared."""
    coords = np.asarray(coords, np.float64)
    return np.where(np.abs(coords) <= MAX_MM, coords, np.nan)


def _way(start: np.ndarray, end: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
    """Millimetres per frame ``[n]`` by which all joints have moved at least; 0 = not known."""
    ways = end - start
    squares = np.einsum("njk,njk->nj", ways, ways)
    least = np.where(np.isnan(squares), np.inf, squares).min(axis=1)
    return np.sqrt(np.where(np.isinf(least), 0, least)) / np.maximum(n_frames, 1)


def _metres(start: np.ndarray, end: np.ndarray) -> float:
    return float(_way(start[None], end[None], np.ones(1))[0]) / 1000

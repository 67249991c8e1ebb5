"""How a person gets from frame to frame of a video.

Who jumps away and back is wrong in between: that frame is dropped. Who jumps and stays may be
somebody who has taken over another person's index: each frame is right, so they are only counted.
A pose that stays the same to the last bit of all joints was not measured in each frame, or is the
same example again and again: the first one is kept. Too many dropped jumps make a unit doubtful,
held poses do not.
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
# Frames per second that videos have at most: who is slow enough at this rate is so at any other,
# and the file need not be asked for its own.
MAX_RATE = 240.0
MIN_HELD_JOINTS = 5  # a pose of fewer may be the same by chance
MAX_MM = 1e11  # beyond, `check_poses` drops the pose, and squares might overflow


def check_motion(
    frames: np.ndarray,
    coords: np.ndarray,
    chosen: np.ndarray,
    rate: Callable[[], float | None],
    params: CheckParams,
    *,
    synthetic: bool = False,
) -> tuple[Faults, int]:
    """Returns the poses of one person that contradict those before and after, and counts jumps.

    Args:
        frames: Frame of each pose of the track ``[n]``, increasing.
        coords: ``[n, J, 3]`` millimetres in the world, NaN = missing.
        chosen: Positions along the first axis that are looked at, increasing.
        rate: Gives frames per second, None = not known, so that nothing is said; asked only where
            something may be wrong.
        params: Limits.
        synthetic: People may stand perfectly still, so that held poses are right.

    Returns:
        Position in ``chosen`` -> the reason, and what was found there; and how many of the others
        are before or after a jump from which the person does not come back.
    """
    coords, frames, chosen = np.asarray(coords), np.asarray(frames, np.int64), np.asarray(chosen)
    faults: Faults = {}
    if len(chosen) == 0 or coords.shape[1] == 0:
        return faults, 0
    before, after = _neighbours(chosen, len(coords))
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
        away = _away(coords, frames, chosen, limit)
        text = "all joints move by at least {:.3g} m from the frame before, and back"
        add_faults(faults, away, JUMP, lambda k: text.format(_metres(past[k], now[k])))
        arrives = (arriving > limit) & ~_away(coords, frames, before, limit)
        leaves = (leaving > limit) & ~_away(coords, frames, after, limit)
        n_jumps = int(((arrives | leaves) & ~away).sum())
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
    """Adds poses ``[n, J, 3]`` that repeat the one before, where that goes on for too long."""
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


def _neighbours(at: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions before and after others, of ``n``; the first and the last have themselves."""
    return np.maximum(at - 1, 0), np.minimum(at + 1, n - 1)


def _away(coords: np.ndarray, frames: np.ndarray, at: np.ndarray, limit: float) -> np.ndarray:
    """Which poses are far from those before and after, which are near each other: bool ``[n]``.

    Args:
        coords: All poses of the track.
        frames: Frame of each.
        at: Positions of the ``n`` poses asked for.
        limit: Millimetres per frame from which on it is far.
    """
    before, after = _neighbours(at, len(coords))
    now, past, future = (_tame(coords[k]) for k in (at, before, after))
    return (
        (_way(past, now, frames[at] - frames[before]) > limit)
        & (_way(now, future, frames[after] - frames[at]) > limit)
        & (_way(past, future, frames[after] - frames[before]) <= limit)
    )


def _tame(coords: np.ndarray) -> np.ndarray:
    """Coordinates as float64, NaN where they are too large to be a place."""
    coords = np.asarray(coords, np.float64)
    return np.where(np.abs(coords) <= MAX_MM, coords, np.nan)


def _way(start: np.ndarray, end: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
    """Millimetres per frame ``[n]`` of the joint that moved least; 0 where nothing is known."""
    ways = end - start
    squares = np.einsum("njk,njk->nj", ways, ways)
    least = np.where(np.isnan(squares), np.inf, squares).min(axis=1)
    return np.sqrt(np.where(np.isinf(least), 0, least)) / np.maximum(n_frames, 1)


def _metres(start: np.ndarray, end: np.ndarray) -> float:
    """Metres by which the joint that moved least did, from one pose ``[J, 3]`` to another."""
    return float(_way(start[None], end[None], np.ones(1))[0]) / 1000

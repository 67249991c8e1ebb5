"""Errors of velocity and acceleration, and jitter: differences of poses that follow each other.

Units are those of the input per ``1 / fps``: with ``fps=1`` per entry (per frame), with the
frame rate per second. A difference counts where every entry in it counts, lies in the same clip,
and follows the one before it in time: with ``frames`` given, at most ``max_step`` later. What is
missing: as in :mod:`posepile.metrics.errors`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from posepile.metrics.means import RunningMean, label_numbers
from posepile.metrics.planes import as_poses, batches, distances, planes


def velocity_errors(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    fps: float = 1.0,
    frames: Sequence[int] | None = None,
    max_step: int = 1,
    clips: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """Returns the distance of predicted and true velocity: ``[T - 1, J]``, NaN = not counted.

    Velocity is the difference of consecutive entries times ``fps``.

    Args:
        pred: ``[T, J, D]``.
        true: ``[T, J, D]``.
        valid: bool ``[T, J]``, None = all.
        fps: Entries per second.
        frames: Frame number of each entry ``[T]``; None = gaps are not seen.
        max_step: Largest difference of the frame numbers of entries that follow each other.
        clips: Label of each entry ``[T]``; no difference is taken across clips. None = one clip.
    """
    facts = {"fps": fps, "frames": frames, "max_step": max_step, "clips": clips}
    return _collected(_differences((pred, true), valid, 1, **facts))


def acceleration_errors(
    pred: np.ndarray,
    true: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    fps: float = 1.0,
    frames: Sequence[int] | None = None,
    max_step: int = 1,
    clips: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """Returns the distance of predicted and true acceleration: ``[T - 2, J]``.

    Acceleration is the second difference of entries times ``fps`` squared. Some programs leave
    out the first and last value of a sequence, ``values[1:-1]``.

    Args:
        pred: ``[T, J, D]``.
        true: ``[T, J, D]``.
        valid: bool ``[T, J]``, None = all.
        fps: Entries per second.
        frames: As in :func:`velocity_errors`.
        max_step: As there.
        clips: As there.
    """
    facts = {"fps": fps, "frames": frames, "max_step": max_step, "clips": clips}
    return _collected(_differences((pred, true), valid, 2, **facts))


def jitter_values(
    poses: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    fps: float = 1.0,
    frames: Sequence[int] | None = None,
    max_step: int = 1,
    clips: Sequence[Hashable] | None = None,
) -> np.ndarray:
    """Returns the size of the third difference of poses times ``fps`` cubed: ``[T - 3, J]``.

    Args:
        poses: ``[T, J, D]``, of predictions as a rule; NaN = missing and not counted.
        valid: bool ``[T, J]``, None = all.
        fps: Entries per second.
        frames: As in :func:`velocity_errors`.
        max_step: As there.
        clips: As there.
    """
    facts = {"fps": fps, "frames": frames, "max_step": max_step, "clips": clips}
    return _collected(_differences((poses,), valid, 3, **facts))


def mpjve(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None, **facts: Any
) -> float:
    """Mean per-joint velocity error: the mean of :func:`velocity_errors`, of which arguments are.

    Without ``frames`` gaps between entries are not seen.

    >>> true = np.zeros((3, 1, 3))
    >>> pred = np.arange(3.0)[:, None, None] * [10, 0, 0]
    >>> mpjve(pred, true, fps=50)
    500.0

    Returns:
        Mean over counted joints and pairs, in units per second (``fps=1``: per entry).
    """
    return _mean(_differences((pred, true), valid, 1, **facts))


def mean_acceleration_error(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None, **facts: Any
) -> float:
    """Mean of :func:`acceleration_errors`, of which arguments are, in units per second squared.

    >>> true = np.zeros((3, 1, 3))
    >>> pred = np.array([0.0, 0, 4])[:, None, None] * [1, 0, 0]
    >>> mean_acceleration_error(pred, true)
    4.0
    """
    return _mean(_differences((pred, true), valid, 2, **facts))


def mean_jitter(poses: np.ndarray, valid: np.ndarray | None = None, **facts: Any) -> float:
    """Mean of :func:`jitter_values`, of which arguments are, in units per second cubed.

    >>> poses = np.array([0.0, 0, 0, 2])[:, None, None] * [1, 0, 0]
    >>> mean_jitter(poses)
    2.0
    """
    return _mean(_differences((poses,), valid, 3, **facts))


def _differences(
    poses, valid, order, *, fps=1.0, frames=None, max_step=1, clips=None
) -> Iterator[np.ndarray]:
    """Yields sizes of the difference of two pose sequences, or of one, in batches ``[n, J]``."""
    poses = [x if isinstance(x, np.ndarray) else as_poses(x) for x in poses]
    shape = poses[-1].shape
    if poses[0].shape != shape:
        raise ValueError(f"prediction has shape {poses[0].shape}, truth {shape}")
    if valid is not None:
        if np.shape(valid) != shape[:2]:
            raise ValueError(f"valid has shape {np.shape(valid)}, joints {shape[:2]}")
        valid = np.asarray(valid, bool)
    follows = _follows(shape[0], frames, max_step, clips)
    for part in batches((max(shape[0] - order, 0), *shape[1:])):
        rows = slice(part.start, part.stop + order)
        with np.errstate(invalid="ignore", over="ignore"):
            steps = [np.diff(planes(x[rows]), n=order) for x in poses]
        # Of one sequence: its own differences are the truth, so that missing ones do not count.
        pred = steps[0] if len(steps) > 1 else np.zeros_like(steps[0])
        values = distances(pred, steps[-1], None).T
        n = len(values)
        if fps != 1:
            values *= fps**order
        if valid is not None:
            together = [valid[rows][i : i + n] for i in range(order + 1)]
            values[~np.logical_and.reduce(together)] = np.nan
        if follows is not None:
            in_a_row = [follows[rows.start : rows.stop - 1][i : i + n] for i in range(order)]
            values[~np.logical_and.reduce(in_a_row)] = np.nan
        yield values


def _follows(n, frames, max_step, clips) -> np.ndarray | None:
    """Which entries ``[n - 1]`` are followed by the next one in time; None = all."""
    if frames is None and clips is None:
        return None
    follows = np.ones(max(n - 1, 0), bool)
    for name, column in (("frames", frames), ("clips", clips)):
        if column is not None and len(column) != n:
            raise ValueError(f"{len(column)} {name}, {n} entries")
    if frames is not None:
        step = np.diff(np.asarray(frames, np.int64))
        follows &= (step > 0) & (step <= max_step)
    if clips is not None:
        follows &= np.diff(label_numbers(clips)[0]) == 0
    return follows


def _collected(parts: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(parts))


def _mean(parts: Iterator[np.ndarray]) -> float:
    mean = RunningMean()
    for values in parts:
        mean.add(values)
    return mean.result()

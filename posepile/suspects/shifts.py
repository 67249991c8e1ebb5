"""Cameras that are off: sequences whose joints all lie beside the person by the same way.

The middle of an outline is not that of the joints: that depends on the pose. How, is learned from
how the two change within sequences, all of them together; what is left is compared between
sequences. What all have alike is told by itself, where it is large: joints lie in the middle of
limbs, and clearly more of them are in their masks once they are moved back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posepile.suspects.batches import Batch
from posepile.suspects.collecting import Collector
from posepile.suspects.outlines import LEAST, STEP, Outlines

_SHIFT = 0.012  # of the size of the person
_BETTER = 0.004  # share of the joints that must be in the mask beside those that were
# Of one sequence by itself, whatever the others are like.
_SHIFT_ALONE = 0.08
_SHIFT_ALONE_MASKS = 0.03
_BETTER_ALONE = 0.08
_NEARLY_ALL = 0.8  # of the sequences
_OTHERS = 4  # sequences without which there is nothing to compare with
_RIDGE = 1e-3


@dataclass
class _Run:
    """One sequence: means of what the pose is and of how the outline differs from the joints."""

    positions: np.ndarray
    pose: np.ndarray
    off: np.ndarray
    each: np.ndarray
    shifts: np.ndarray | None


@dataclass
class _Alike:
    """Sequences with the same joints, and outlines of the same kind."""

    products: np.ndarray
    answers: np.ndarray
    runs: list[_Run] = field(default_factory=list)


class Shifts:
    """Collects sequences, and says at the end which are off."""

    def __init__(self):
        self._alike: dict[tuple, _Alike] = {}

    def add(self, batch: Batch, run: slice, seen: Outlines) -> None:
        """Takes a sequence."""
        use = np.flatnonzero(seen.usable[run]) + run.start
        masked = seen.by_mask[use]
        by_mask = bool(2 * masked.sum() > len(use))
        use = use[masked == by_mask]
        if len(use) < LEAST:
            return
        size = seen.sizes[use][:, None]
        off = seen.edges[use] - seen.own[use]
        off = np.concatenate([off[:, 4:], (off[:, :2] + off[:, 2:4]) / 2], axis=1) / size
        middle, spread = np.median(off, axis=0), np.median(np.abs(off - np.median(off, axis=0)))
        off = np.clip(off, middle - 5 * spread, middle + 5 * spread)
        points = batch.pixels[use][:, batch.body.inner]
        pose = (points - seen.own[use][:, None, 4:]) / size[:, None]
        pose = np.nan_to_num(pose).reshape(len(use), -1).astype(np.float64)
        # Means of fewer joints are others.
        known = np.isfinite(points).all(axis=2)
        pose = np.concatenate([pose, known], axis=1)
        n = pose.shape[1]
        key = (by_mask, batch.body.inner.tobytes())
        alike = self._alike.setdefault(key, _Alike(np.zeros((n, n)), np.zeros((n, 4))))
        about, left = pose - pose.mean(axis=0), off - off.mean(axis=0)
        alike.products += about.T @ about
        alike.answers += about.T @ left
        shifts = None
        if by_mask:
            shifts = seen.shifts[use].sum(axis=0) / max(1, known.sum())
        each = np.full((run.stop - run.start, 2), np.nan, np.float32)
        each[use - run.start] = (off[:, :2] + off[:, 2:]) / 2
        alike.runs.append(
            _Run(batch.positions[run], pose.mean(axis=0), off.mean(axis=0), each, shifts)
        )

    def finish(self, out: Collector) -> None:
        """Says which sequences are off."""
        for alike in self._alike.values():
            ridge = _RIDGE * np.trace(alike.products) / len(alike.products) + 1e-9
            factors = np.linalg.solve(
                alike.products + ridge * np.eye(len(alike.products)), alike.answers
            )
            pose = np.array([run.pose for run in alike.runs])
            off = np.array([run.off for run in alike.runs])
            off -= (pose - np.median(pose, axis=0)) @ factors
            found = [off[:, :2], off[:, 2:]]
            if alike.runs[0].shifts is not None:
                found.append(np.array([_best(run.shifts) for run in alike.runs]))
            compared = None
            if len(alike.runs) > _OTHERS:
                compared = _agreed([one - np.median(one, axis=0) for one in found])
            _say(alike.runs, _agreed(found), compared, out)


def _best(shifts: np.ndarray) -> np.ndarray:
    """Returns the middle of the shifts with which the joints are in the mask, of the size."""
    weight = np.maximum(0, shifts - 0.85 * shifts.max())
    steps = STEP * (np.arange(len(shifts)) - len(shifts) // 2)
    along = np.array([(weight.sum(axis=0) * steps).sum(), (weight.sum(axis=1) * steps).sum()])
    return along / max(weight.sum(), 1e-9)


def _agreed(found: list[np.ndarray]) -> np.ndarray:
    """Returns the median of three estimates, the smaller of two; 0 where two disagree."""
    if len(found) == 3:
        return np.median(found, axis=0)
    a, b = found
    return np.where(a * b > 0, np.where(np.abs(a) < np.abs(b), a, b), 0)


def _say(
    runs: list[_Run], shifts: np.ndarray, compared: np.ndarray | None, out: Collector
) -> None:
    """Says which sequences are off.

    Args:
        runs: The sequences.
        shifts: ``[n, 2]`` of the size of the person, of each.
        compared: The same, without what the sequences have in common; None for too few of them.
        out: Takes what is found.
    """
    least = _SHIFT_ALONE if runs[0].shifts is None else _SHIFT_ALONE_MASKS
    # Boxes may reach farther down than the joints that a dataset has, in all of it.
    sideways = runs[0].shifts is None and compared is not None
    alone = np.abs(shifts[:, : 1 if sideways else 2]).max(axis=1) / least
    for k, run in enumerate(runs):
        alone[k] *= _fits_better(run.shifts, shifts[k], _BETTER_ALONE)
    same = _common(shifts[alone > 1], len(runs))
    scores = np.zeros(len(runs))
    if compared is not None:
        limit = np.maximum(_SHIFT, 5 * 1.4826 * np.median(np.abs(compared), axis=0))
        scores = (np.abs(compared) / limit).max(axis=1)
    for k, run in enumerate(runs):
        off, score, where = shifts[k], alone[k], "all sequences" if same else "the whole sequence"
        if scores[k] > 1 and _fits_better(run.shifts, compared[k], _BETTER):
            off, score, where = compared[k], scores[k], "the whole sequence"
        if score <= 1:
            continue
        text = f"by {{:.1f}} % of the person's size, the same way in {where}"
        value = 100 * float(np.hypot(*off))
        out.add_run("shifted_camera", run.positions, score, value, text, run.each @ off)
        for kind in ("outside_mask", "outside_box", "mirrored_image"):
            out.drop(kind, run.positions)


def _common(shifts: np.ndarray, n: int) -> bool:
    """Returns whether nearly all of some sequences are off, and that by the same way."""
    if n < 2 or len(shifts) < _NEARLY_ALL * n:
        return False
    middle = np.median(shifts, axis=0)
    return bool(np.abs(shifts - middle).max() < 0.5 * np.abs(middle).max())


def _fits_better(shifts: np.ndarray | None, off: np.ndarray, least: float) -> bool:
    """Returns whether more joints are in their masks if they are moved back."""
    if shifts is None:
        return True
    middle = len(shifts) // 2
    x, y = (int(np.clip(round(v / STEP), -middle, middle)) + middle for v in off)
    return shifts[y, x] - shifts[middle, middle] > least

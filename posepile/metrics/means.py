"""Averages of values, NaN ones not counted: over all, by joint, group of joints or label."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np

Average = Literal["joint", "pose"]


class RunningMean:
    """A mean over values that come in batches ``[n, J]``."""

    def __init__(self, average: Average = "joint"):
        if average not in ("joint", "pose"):
            raise ValueError(f"average is {average!r}, expected 'joint' or 'pose'")
        self._average, self._total, self._n = average, 0.0, 0

    def add(self, values: np.ndarray) -> None:
        """Adds values ``[n, J]``, NaN = not counted."""
        if self._average == "pose":
            values = pose_means(values)
        total = values.sum(dtype=np.float64)
        n = values.size
        if np.isnan(total):
            counted = ~np.isnan(values)
            total = np.where(counted, values, 0.0).sum(dtype=np.float64)
            n = int(np.count_nonzero(counted))
        self._total, self._n = self._total + total, self._n + n

    def result(self) -> float:
        """Returns the mean so far; NaN if nothing was counted."""
        return float(self._total / self._n) if self._n else float("nan")


def mean_value(values: np.ndarray, average: Average = "joint") -> float:
    """Returns the mean of all values that are not NaN; NaN if there are none.

    Args:
        values: ``[..., J]``.
        average: ``"joint"``: over all; ``"pose"``: over the means along the last axis.
    """
    mean = RunningMean(average)
    values = np.asarray(values, np.float64)
    mean.add(values[None] if values.ndim == 0 else values)
    return mean.result()


def pose_means(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the counted joints of each pose: ``[...]``, NaN where there is none.

    Args:
        values: ``[..., J]``, NaN = not counted.
    """
    values = np.asarray(values, np.float64)
    counted = ~np.isnan(values)
    n = counted.sum(axis=-1)
    total = np.where(counted, values, 0.0).sum(axis=-1)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def joint_means(values: np.ndarray) -> np.ndarray:
    """Returns the mean of each joint over all poses: ``[J]``, NaN where it never counts.

    >>> joint_means(np.array([[10.0, 20], [30, np.nan]])).tolist()
    [20.0, 20.0]

    Args:
        values: ``[..., J]``, NaN = not counted.
    """
    values = np.asarray(values, np.float64)
    return pose_means(values.reshape(-1, values.shape[-1]).T)


def group_means(
    values: np.ndarray, groups: Mapping[str, Sequence[int]], average: Average = "joint"
) -> dict[str, float]:
    """Returns the mean of each group of joints, such as knees or major joints.

    >>> group_means(np.array([[10.0, 20, 60]]), {"legs": [0, 1], "head": [2]})
    {'legs': 15.0, 'head': 60.0}

    Args:
        values: ``[..., J]``, NaN = not counted.
        groups: Name -> indices of joints.
        average: As in :func:`mean_value`.
    """
    values = np.asarray(values, np.float64)
    return {name: mean_value(values[..., list(j)], average) for name, j in groups.items()}


def label_means(
    values: np.ndarray, labels: Sequence[Hashable], average: Average = "joint"
) -> dict[Hashable, float]:
    """Returns the mean of each label, such as an activity, a sequence or a scene.

    The mean over these, each counting once, is ``mean_value(list(label_means(...).values()))``.

    >>> label_means(np.array([10.0, 20, 60]), ["walk", "walk", "sit"])
    {'walk': 15.0, 'sit': 60.0}

    Args:
        values: ``[n]`` or ``[n, J]``, NaN = not counted.
        labels: ``[n]``.
        average: As in :func:`mean_value`; for values ``[n]`` it makes no difference.

    Returns:
        Label -> mean, in the order in which labels first appear; NaN where nothing counts.
    """
    values = np.asarray(values, np.float64)
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} values, {len(labels)} labels")
    if values.ndim == 1:
        values = values[:, None]
    numbers, members = label_numbers(labels)
    order = np.argsort(numbers, kind="stable")
    borders = np.searchsorted(numbers[order], np.arange(len(members) + 1))
    parts = (order[a:b] for a, b in itertools.pairwise(borders))
    return {
        label: mean_value(values[rows], average)
        for label, rows in zip(members, parts, strict=True)
    }


def label_numbers(labels: Sequence[Hashable]) -> tuple[np.ndarray, list[Hashable]]:
    """Returns the number of each label, int ``[n]``, and the labels in order of appearance."""
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    number: dict[Hashable, int] = {}
    numbers = [number.setdefault(label, len(number)) for label in labels]
    return np.array(numbers, np.int64), list(number)

"""Sums of figures, clip by clip: means over entries, clips or groups, intervals, worst entries.

Memory grows with the number of clips and groups, not with that of entries.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from posepile.evaluation.benchmark import Clip, Picture, Protocol
from posepile.metrics import interval_of_sums


class Worst(NamedTuple):
    """An entry with a large error.

    Attributes:
        value: Of the first figure of the protocol.
        clip: Name of the clip.
        key: Name of the entry.
        picture: Where it can be seen, or None.
        pred: Joints ``[J, 3]`` or None.
        true: Joints ``[J, 3]`` or None.
    """

    value: float
    clip: str
    key: str
    picture: Picture | None
    pred: np.ndarray | None
    true: np.ndarray | None


class Tally:
    """What has been scored so far.

    Args:
        protocol: How figures are averaged.
        n_worst: How many of the worst entries are kept.
    """

    def __init__(self, protocol: Protocol, n_worst: int = 0):
        self.protocol, self.n_worst = protocol, n_worst
        self.entries = 0
        self.clips: list[str] = []
        self._sums = defaultdict(dict)  # figure -> clip -> (sum, count)
        self._groups = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: [0.0, 0])))
        self._joints: dict[str, list[np.ndarray]] = {}
        self._worst, self._order = [], itertools.count()

    def add(self, clip: Clip, pred: dict[str, Any], figures: dict[str, np.ndarray]) -> None:
        """Adds the figures of a clip.

        Args:
            clip: The truth.
            pred: The predictions.
            figures: As of :attr:`posepile.evaluation.benchmark.Benchmark.score`.
        """
        n = len(clip.keys)
        self.entries += n
        self.clips.append(clip.name)
        for name, given in figures.items():
            values = np.asarray(given, np.float64)
            known = ~np.isnan(values) | self.protocol.nan_counts
            axes = tuple(range(1, values.ndim))
            total = np.where(known, values, 0.0).sum(axis=axes)
            count = known.sum(axis=axes)
            self._sums[name][len(self.clips) - 1] = (float(total.sum()), int(count.sum()))
            if values.ndim == 2 and len(values) == n:
                self._add_joints(name, values, known)
            if self.protocol.pool == "clips" and name not in self.protocol.summed:
                # Of a group, too, a clip counts once, with its mean.
                n_values = count.sum()
                total = total.sum(keepdims=True) / max(n_values, 1)
                count = np.array([min(n_values, 1)])
            for grouping, labels in clip.groups.items():
                self._add_group(self._groups[grouping], name, labels, total, count)
        if self.n_worst and self.protocol.figures[0] in figures:
            self._keep_worst(clip, pred, figures[self.protocol.figures[0]])

    def figures(self) -> dict[str, float]:
        """Returns every figure, averaged as the protocol says."""
        return {name: self._figure(name) for name in self._sums}

    def per_clip(self) -> dict[str, dict[str, float]]:
        """Returns clip -> figure -> mean (or number) within the clip."""
        return {
            clip: {
                name: self._value(name, *sums[i]) for name, sums in self._sums.items() if i in sums
            }
            for i, clip in enumerate(self.clips)
        }

    def per_group(self) -> dict[str, dict[str, dict[str, float]]]:
        """Returns grouping -> label -> figure -> mean."""
        return {
            grouping: {
                label: {name: self._value(name, *sums) for name, sums in figures.items()}
                for label, figures in sorted(labels.items())
            }
            for grouping, labels in self._groups.items()
        }

    def per_joint(self) -> dict[str, list[float]]:
        """Returns figure -> mean of each joint."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                name: (total / count).tolist() for name, (total, count) in self._joints.items()
            }

    def intervals(self, samples: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Returns 95 % bootstrap intervals of the figures, from resampled clips.

        Frames of a clip resemble each other, so clips are drawn, not frames (Efron and
        Tibshirani, An Introduction to the Bootstrap, 1993). Nothing with fewer than two clips.
        """
        n = len(self.clips)
        if n < 2 or self.protocol.pool not in ("entries", "clips"):
            return {}
        result = {}
        for name, by_clip in self._sums.items():
            sums = np.array([pair for pair in by_clip.values() if pair[1]]).reshape(-1, 2)
            if name in self.protocol.summed or len(sums) < 2:
                continue
            totals, counts = sums.T
            if self.protocol.pool == "clips":
                totals, counts = totals / counts, np.ones(len(sums))
            result[name] = interval_of_sums(totals, counts, n_resamples=samples, seed=seed)
        return result

    def worst(self) -> list[Worst]:
        """Returns the worst entries, the worst first."""
        return [entry for _, _, entry in sorted(self._worst, key=lambda kept: kept[:2])[::-1]]

    def _value(self, name: str, total: float, count: int) -> float:
        if name in self.protocol.summed:
            return total
        return total / count if count else float("nan")

    def _figure(self, name: str) -> float:
        sums, pool = list(self._sums[name].values()), self.protocol.pool
        if name in self.protocol.summed or pool == "entries":
            return self._value(name, sum(t for t, _ in sums), sum(c for _, c in sums))
        if pool != "clips":
            sums = [figures[name] for figures in self._groups[pool].values() if name in figures]
        means = [total / count for total, count in sums if count]
        return float(np.mean(means)) if means else float("nan")

    def _add_joints(self, name: str, values: np.ndarray, known: np.ndarray) -> None:
        total, count = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
        if name in self._joints:
            self._joints[name][0] += total
            self._joints[name][1] += count
        else:
            self._joints[name] = [total, count]

    @staticmethod
    def _add_group(groups, name: str, labels, total: np.ndarray, count: np.ndarray) -> None:
        """Adds to each label's sums; values that are not one per entry need a single label."""
        if len(total) != len(labels):
            if len(set(labels)) != 1:
                return
            labels = [labels[0]] * len(total)
        names, inverse = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        totals = np.bincount(inverse, total, len(names))
        counts = np.bincount(inverse, count, len(names))
        for label, t, c in zip(names.tolist(), totals.tolist(), counts.tolist(), strict=True):
            groups[label][name][0] += t
            groups[label][name][1] += int(c)

    def _keep_worst(self, clip: Clip, pred: dict[str, Any], values: np.ndarray) -> None:
        values = np.asarray(values, np.float64)
        if len(values) != len(clip.keys):
            return
        with np.errstate(invalid="ignore"):
            known = ~np.isnan(values)
            axes = tuple(range(1, values.ndim))
            count = known.sum(axis=axes)
            means = np.where(known, values, 0.0).sum(axis=axes) / np.maximum(count, 1)
        means = np.where(count > 0, means, -np.inf)
        for i in np.argsort(-means)[: self.n_worst].tolist():
            if not np.isfinite(means[i]):
                continue
            seen = clip.picture(i) if clip.picture else None
            joints = (side.get("joints") for side in (pred, clip.truth))
            shown = [None if j is None else np.array(j[i]) for j in joints]
            entry = Worst(float(means[i]), clip.name, clip.keys[i], seen, *shown)
            heapq.heappush(self._worst, (entry.value, -next(self._order), entry))
            if len(self._worst) > self.n_worst:
                heapq.heappop(self._worst)

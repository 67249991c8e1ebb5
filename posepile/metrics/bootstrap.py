"""How sure a mean is: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from posepile.metrics.means import label_numbers, pose_means

_AT_ONCE = 1 << 16  # numbers drawn in one call, so that they stay in the cache of a processor


def bootstrap_interval(
    values: np.ndarray,
    clips: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the percentile interval of the mean: lower and upper end.

    Poses of one clip are alike, so whole clips are drawn where there are any; each drawn clip
    brings all its values, so that the mean is that over values, not over clips.

    >>> low, high = bootstrap_interval(np.arange(100.0), clips=["a", "b"] * 50)
    >>> round(low, 1), round(high, 1)
    (49.0, 50.0)

    Args:
        values: ``[n]``, or ``[n, J]`` of which each entry's mean is taken; NaN = not counted.
        clips: Clip of each entry ``[n]``; None = entries are drawn one by one.
        level: Share of resampled means inside.
        n_resamples: How many times the entries or clips are drawn.
        seed: Of the draws: the same gives the same interval.

    Returns:
        NaN, NaN where nothing counts.
    """
    values = np.asarray(values, np.float64)
    values = pose_means(values) if values.ndim == 2 else values
    counted = ~np.isnan(values)
    if clips is None:
        sums, counts = values[counted], np.ones(int(counted.sum()))
    else:
        if len(clips) != len(values):
            raise ValueError(f"{len(values)} values, {len(clips)} clips")
        numbers, members = label_numbers(clips)
        sums = np.bincount(numbers[counted], values[counted], len(members))
        counts = np.bincount(numbers[counted], minlength=len(members)).astype(np.float64)
        sums, counts = sums[counts > 0], counts[counts > 0]
    return interval_of_sums(sums, counts, level=level, n_resamples=n_resamples, seed=seed)


def interval_of_sums(
    sums: np.ndarray,
    counts: np.ndarray,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the percentile interval of a mean of which the sum within each clip is known.

    Args:
        sums: Of the values of each clip ``[k]``, infinite where one is.
        counts: Number of these values ``[k]``, none of them 0.
        level: As of :func:`bootstrap_interval`.
        n_resamples: As there.
        seed: As there.

    Returns:
        NaN, NaN without a clip.
    """
    if not len(sums):
        return float("nan"), float("nan")
    rng, means = np.random.default_rng(seed), np.empty(n_resamples)
    sums, counts, at_once = np.asarray(sums), np.asarray(counts), max(1, _AT_ONCE // len(sums))
    for i in range(0, n_resamples, at_once):  # the same draws as one resample at a time
        drawn = rng.integers(len(sums), size=(min(at_once, n_resamples - i), len(sums)))
        means[i : i + at_once] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - level) / 2
    # The nearest resampled mean, not one between two: also right where some are infinite.
    low, high = np.quantile(means, [tail, 1 - tail], method="nearest")
    return float(low), float(high)

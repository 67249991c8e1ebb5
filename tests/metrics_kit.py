"""Poses with gaps, and what plain loops say of them."""

import math

import numpy as np

INF, NAN = float("inf"), float("nan")


def make_poses(seed, n=6, n_joints=7, missing=0.2, lost=0.0):
    """Predictions, truths ``[n, J, 3]`` with gaps in both, and a mask."""
    rng = np.random.default_rng(seed)
    true = rng.normal(scale=300, size=(n, n_joints, 3)) + rng.normal(scale=2000, size=3)
    pred = true + rng.normal(scale=80, size=true.shape)
    true[rng.random(true.shape[:2]) < missing] = np.nan
    pred[rng.random(true.shape[:2]) < lost] = np.nan
    return rng, pred, true, rng.random(true.shape[:2]) > missing


def length(vector):
    return math.sqrt(sum(float(x) ** 2 for x in vector))


def known(point):
    return all(math.isfinite(x) for x in point)


def loop_errors(pred, true, valid):
    """``[n][J]``: NaN where nothing counts, inf where the prediction is missing."""
    rows = []
    for p, t, v in zip(pred, true, valid, strict=True):
        rows.append([])
        for j in range(len(p)):
            if not v[j] or not known(t[j]):
                rows[-1].append(NAN)
            else:
                rows[-1].append(length(p[j] - t[j]) if known(p[j]) else INF)
    return np.array(rows)


def loop_similarity(source, target, scale=True):
    """Umeyama's formula for two lists of points, by scipy's rotation where it is defined."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = 1.0 if np.linalg.det(u @ vt) > 0 else -1.0
    rotation = u @ np.diag([1, 1, sign]) @ vt
    factor = (s[0] + s[1] + sign * s[2]) / (a**2).sum() if scale else 1.0
    return factor, rotation, target.mean(0) - factor * rotation @ source.mean(0)


def mean(values):
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else NAN

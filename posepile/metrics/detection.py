"""Shares of what was found: precision, recall, F1, errors divided by F1, contacts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """Precision, recall and F1 (0..1): numbers, or arrays with one value per entry."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def detection_scores(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> Scores:
    """Returns precision, recall and F1 of counts; NaN where a ratio is 0 / 0.

    Args:
        tp: Number of right detections, any shape.
        fp: Number of detections of nothing.
        fn: Number of missed ones.
    """
    tp, fp, fn = (np.asarray(x, np.float64) for x in (tp, fp, fn))
    return Scores(_ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(tp, tp + 0.5 * (fp + fn)))


def normalized_error(error: float, f1: float) -> float:
    """Returns NMJE of an MPJPE, NMVE of an MVE: the error divided by F1; inf where F1 is 0.

    Args:
        error: Mean error over the people that were found.
        f1: F1 of finding them (0..1).
    """
    return float(error / f1) if f1 else float("inf")


def binary_counts(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the numbers of hits, false alarms and misses of each entry: three ``[...]``.

    Args:
        pred: bool ``[..., V]``.
        true: bool ``[..., V]``.
        valid: bool ``[..., V]``, None = all.
    """
    pred, true = np.asarray(pred, bool), np.asarray(true, bool)
    if pred.shape != true.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth {true.shape}")
    if valid is not None:
        pred, true = pred & np.asarray(valid, bool), true & np.asarray(valid, bool)
    return (pred & true).sum(-1), (pred & ~true).sum(-1), (~pred & true).sum(-1)


def contact_scores(
    pred: np.ndarray,
    true: np.ndarray,
    threshold: float = 0.5,
    *,
    epsilon: float = 0.0,
) -> Scores:
    """Returns precision, recall and F1 of the contacts of each entry: arrays ``[...]``.

    Args:
        pred: Probability of contact ``[..., V]``.
        true: bool ``[..., V]``.
        threshold: Least probability that is a contact.
        epsilon: Added to denominators, by which 0 / 0 becomes 0; BSTRO has 1e-10. With 0 it is
            NaN. F1 is then ``2 p r / (p + r + epsilon)``.
    """
    tp, fp, fn = (x.astype(np.float64) for x in binary_counts(pred >= threshold, true))
    if not epsilon:
        return detection_scores(tp, fp, fn)
    precision, recall = tp / (tp + fp + epsilon), tp / (tp + fn + epsilon)
    return Scores(precision, recall, 2 * precision * recall / (precision + recall + epsilon))


def contact_distances(
    pred: np.ndarray, true: np.ndarray, geodesic: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """Returns how far along the body false alarms lie from a true contact: ``[n]``.

    Mean over the vertices predicted in contact of the distance to the nearest vertex that is.
    Where none is predicted, all count as predicted; where there is none, all as true, so that
    the distance is zero. The unit is that of ``geodesic``.

    Args:
        pred: Probability of contact ``[n, V]``.
        true: bool ``[n, V]``.
        geodesic: Distances between vertices ``[V, V]``.
        threshold: Least probability that is a contact.
    """
    everything = np.ones(geodesic.shape[0], bool)
    result = np.empty(len(pred))
    for i, (found, real) in enumerate(
        zip(np.asarray(pred) >= threshold, np.asarray(true, bool), strict=True)
    ):
        rows = found if found.any() else everything
        columns = real if real.any() else everything
        result[i] = geodesic[np.ix_(rows, columns)].min(axis=1).mean()
    return result


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)

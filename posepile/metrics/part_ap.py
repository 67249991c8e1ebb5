"""Average precision of each joint over the people of many pictures, as PoseTrack has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

HEAD_FACTOR = 0.6  # of the diagonal of a head's box: the head size of PCKh


class PosedPeople(NamedTuple):
    """Predicted and true people of one picture; joints with NaN are not there.

    Attributes:
        pred: Pixels ``[k, J, 2]``.
        scores: Of the predicted joints ``[k, J]``.
        true: ``[m, J, 2]``.
        head_size: Of the true people, pixels ``[m]``; see :func:`head_size`.
        ignored: Corners ``[c, 2]`` of each region in which joints of neither side count.
        pred_tracks: Who the predicted people are ``[k]``, for tracking.
        true_tracks: Who the true ones are ``[m]``.
    """

    pred: np.ndarray
    scores: np.ndarray
    true: np.ndarray
    head_size: np.ndarray
    ignored: Sequence[np.ndarray] = ()
    pred_tracks: Sequence[int] = ()
    true_tracks: Sequence[int] = ()

    def counted(self) -> PosedPeople:
        """Returns what counts: without joints in ignored regions and who has no joint left.

        Where nothing is ignored, people without joints stay.
        """
        pred, true = (_without_ignored(side, self.ignored) for side in (self.pred, self.true))
        keep, keep_true = (
            np.isfinite(side).all(axis=-1).any(axis=-1) | (not self.ignored)
            for side in (pred, true)
        )
        tracks = (
            np.asarray(ids)[some] if len(ids) else ()
            for ids, some in ((self.pred_tracks, keep), (self.true_tracks, keep_true))
        )
        scores = np.asarray(self.scores, np.float64)[keep]
        size = np.asarray(self.head_size, np.float64)[keep_true]
        return PosedPeople(pred[keep], scores, true[keep_true], size, (), *tracks)


class PartScores(NamedTuple):
    """Of each joint ``[J]`` (0..1); NaN where nobody has the joint, see :func:`part_ap`."""

    ap: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def head_size(bbox: np.ndarray) -> np.ndarray:
    """Returns the size of heads by which PCKh divides distances, in pixels ``[...]``.

    Args:
        bbox: Of the heads: left, top, width, height ``[..., 4]``.
    """
    low, extent = np.split(np.asarray(bbox, np.float64), 2, axis=-1)
    extent = (low + extent) - low  # as it is after poseval has made two corners of it
    return HEAD_FACTOR * np.sqrt(np.square(extent).sum(axis=-1))


def part_ap(pictures: Iterable[PosedPeople], threshold: float = 0.5) -> PartScores:
    """Returns AP, precision and recall of each joint as poseval, PoseTrack's program, does.

    A joint is right if it is at most ``threshold`` head sizes from the true one. A prediction goes
    to the person of whose joints it has the largest share right; of several predictions that do so
    the one with the largest share stays. Joints of that one which are right are hits. All others
    are false alarms. AP is the area below precision over recall, precision being the largest one
    at this recall or a higher one.

    Quirks of that program, which decide the number:

    * A prediction that has lost its person to another is nobody's, also where it would fit a
      second person.
    * A predicted joint of which the matched person has no label is a false alarm.
    * Pictures without any person do not count, and false alarms in them neither; pictures in
      which all joints lie in ignored regions do, and all that is left there is a false alarm.
    * A joint on the border of an ignored region counts.
    * A joint that nobody predicts has AP, precision and recall 0, also where nobody has it. One
      that nobody has and somebody predicts has AP and recall NaN and precision 0.
    * The mean over joints (``nanmean``) weighs all alike, and leaves NaN out.

    Among equal scores its order is not defined. Here the last one comes first, as where the
    program sorts few of them.

    Args:
        pictures: All that are evaluated, in order.
        threshold: In head sizes.
    """
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    total, n_joints = 0, 0
    for picture in pictures:
        n_joints = np.shape(picture.true)[1]
        if not len(picture.true):
            continue
        counted = picture.counted()
        total = total + np.isfinite(counted.true).all(axis=-1).sum(axis=0)
        there = np.isfinite(counted.pred).all(axis=-1)
        found.append((counted.scores, _right_joints(counted, threshold), there))
    if not found:
        return PartScores(*np.full((3, n_joints), np.nan))
    scores, right, there = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rows = [
        _curve_figures(scores[there[:, j], j], right[there[:, j], j], total[j])
        for j in range(n_joints)
    ]
    return PartScores(*np.array(rows).T)


def _without_ignored(points: np.ndarray, regions: Sequence[np.ndarray]) -> np.ndarray:
    """Returns points ``[..., 2]`` with NaN for those inside of a region, but not on its border.

    Args:
        points: Float.
        regions: Corners ``[c, 2]`` of each; one that crosses itself has holes.
    """
    points = np.array(points, np.float64)
    x, y = points[..., 0], points[..., 1]
    inside = np.zeros(x.shape, bool)
    for region in regions:
        odd, on_border = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
        corners = np.asarray(region, np.float64)
        for (x0, y0), (x1, y1) in zip(np.roll(corners, 1, axis=0), corners, strict=True):
            side = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
            within = (np.minimum(x0, x1) <= x) & (x <= np.maximum(x0, x1))
            within &= (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1))
            on_border |= (side == 0) & within
            odd ^= ((y0 > y) != (y1 > y)) & ((side > 0) == (y1 > y0))
        inside |= odd & ~on_border
    points[inside] = np.nan
    return points


def head_distances(people: PosedPeople) -> np.ndarray:
    """Returns how far joints are from true ones, in head sizes ``[k, m, J]``; NaN = not there."""
    off = np.sqrt(np.square(people.pred[:, None] - people.true).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return off / people.head_size[:, None]


def _right_joints(people: PosedPeople, threshold: float) -> np.ndarray:
    """Which predicted joints are hits: bool ``[k, J]``."""
    right = np.zeros(people.pred.shape[:2], bool)
    if not len(people.pred) or not len(people.true):
        return right
    near = head_distances(people) <= threshold  # NaN is not near
    n_labelled = np.isfinite(people.true).all(axis=-1).sum(axis=1)
    share = near.sum(axis=-1) / np.maximum(n_labelled, 1)
    best = share.argmax(axis=1)
    share[np.arange(len(people.true)) != best[:, None]] = 0
    for person, prediction in enumerate(share.argmax(axis=0)):
        if share[prediction, person] > 0:
            right[prediction] = near[prediction, person]
    return right


def _curve_figures(
    scores: np.ndarray, right: np.ndarray, total: int
) -> tuple[float, float, float]:
    """AP, and precision and recall of all predictions of a joint together."""
    if not len(scores):
        return 0.0, 0.0, 0.0
    hits = np.cumsum(right[np.argsort(scores, kind="stable")[::-1]])
    precision = hits / np.arange(1, len(hits) + 1)
    if not total:
        return np.nan, float(precision[-1]), np.nan
    recall = hits / total
    best = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float((np.diff(recall, prepend=0.0) * best).sum())
    return ap, float(precision[-1]), float(recall[-1])

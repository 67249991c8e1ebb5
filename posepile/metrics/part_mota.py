"""Accuracy of tracking each joint through videos, as PoseTrack has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from posepile.metrics.part_ap import PosedPeople, head_distances

# Cost of a pair that cannot match: more than all that can, together.
_NEVER = 1e6


class TrackScores(NamedTuple):
    """Of each joint ``[J]``; NaN where nobody has the joint, or nobody was found to have it."""

    mota: np.ndarray
    motp: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def part_mota(videos: Iterable[Sequence[PosedPeople]], threshold: float = 0.5) -> TrackScores:
    """Returns MOTA, MOTP, precision and recall of each joint, as poseval of PoseTrack does.

    In every picture a true person's joint stays with the track that it was last matched to, if
    this is within ``threshold`` head sizes. Those that are left are matched so that as many pairs
    as possible are as near as possible. A pair is a switch if the person was matched to another
    track before, however long ago. MOTA is 1 less the share of misses, false alarms and switches
    among all true joints; MOTP 1 less the mean distance of pairs in head sizes. They are counted
    over all videos.

    Quirks of that program, which decide the number:

    * The last of the pictures with people of every video does not count.
    * A picture in which nobody is left on either side, after joints in ignored regions are taken
      away, counts as one joint of each kind that was missed, and one false alarm.
    * Pictures without any true person do not count.
    * Where no pair is found, MOTP is 0.

    What the program adds up for MOTP depends on the release of the library below it; here it is
    the distance of every pair once.

    Args:
        videos: The pictures of each, in order, with tracks.
        threshold: In head sizes.
    """
    counts, n_joints = {}, 0
    for video in videos:
        n_joints = max([n_joints, *(picture.pred.shape[1] for picture in video)])
        last: dict[tuple[int, int], int] = {}  # joint and true track -> predicted track
        for picture in [picture for picture in video if len(picture.true)][:-1]:
            for name, values in _counts(picture.counted(), last, threshold).items():
                counts[name] = counts.get(name, 0) + values
    if not counts:
        return TrackScores(*np.full((4, n_joints), np.nan))
    objects, false, pairs = (counts[name].astype(float) for name in ("objects", "false", "pairs"))
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong = objects - pairs + counts["switches"] + false
        mota = np.where(objects > 0, 1 - wrong / objects, np.nan)
        motp = np.where(pairs > 0, 1 - counts["distance"] / pairs, 0.0)
        recall = np.where(objects > 0, pairs / objects, np.nan)
        return TrackScores(mota, motp, pairs / (pairs + false), recall)


def _counts(
    people: PosedPeople, last: dict[tuple[int, int], int], threshold: float
) -> dict[str, np.ndarray]:
    """Objects, pairs, switches and false alarms ``[J]`` of a picture, and distances of pairs."""
    n_joints = people.pred.shape[1]
    zeros, ones = np.zeros(n_joints, int), np.ones(n_joints, int)
    if not len(people.pred) or not len(people.true):
        return {
            "objects": ones,
            "pairs": zeros,
            "switches": zeros,
            "false": ones,
            "distance": zeros,
        }
    distances = head_distances(people)
    there, labelled = (np.isfinite(side).all(axis=-1) for side in (people.pred, people.true))
    rows = []
    for j in range(n_joints):
        off = distances[:, :, j][np.ix_(there[:, j], labelled[:, j])]
        tracks = np.asarray(people.pred_tracks)[there[:, j]].tolist()
        persons = [(j, track) for track in np.asarray(people.true_tracks)[labelled[:, j]].tolist()]
        cost = np.where(off <= threshold, off, _NEVER)
        pairs = _pairs(cost, tracks, persons, last)
        n_switches = sum(last.get(persons[m], tracks[k]) != tracks[k] for k, m in pairs)
        last.update((persons[m], tracks[k]) for k, m in pairs)
        way = sum(off[pair] for pair in pairs)
        rows.append((len(persons), len(pairs), n_switches, len(tracks) - len(pairs), way))
    names = ("objects", "pairs", "switches", "false", "distance")
    return dict(zip(names, np.array(rows).T, strict=True))


def _pairs(
    cost: np.ndarray,
    tracks: Sequence[int],
    persons: Sequence[tuple[int, int]],
    last: dict[tuple[int, int], int],
) -> list[tuple[int, int]]:
    """Positions of predictions and people who are matched; ``cost`` is changed."""
    pairs = []
    for m, person in enumerate(persons):
        k = tracks.index(last[person]) if last.get(person) in tracks else None
        if k is not None and cost[k, m] < _NEVER:
            pairs.append((k, m))
            cost[k], cost[:, m] = _NEVER, _NEVER
    from scipy.optimize import linear_sum_assignment  # slow to import, so not for everyone

    rest = zip(*linear_sum_assignment(cost), strict=True)
    return pairs + [(int(k), int(m)) for k, m in rest if cost[k, m] < _NEVER]

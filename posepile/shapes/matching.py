"""People of single frames into tracks over time.

Where a dataset lists whoever is there in each frame, with ids that do not last, or without any::

    people = match_over_time(frames, poses)  # [n]: who each row of poses [n, J, 3] is
    tracks = tracks_of_people(frames, poses, people)
"""

from __future__ import annotations

import numpy as np

from posepile.recipe import Track

# Cost of a pair that cannot be the same person: more than all allowed pairs of a frame together.
_NEVER = 1e9


def match_over_time(
    frames: np.ndarray,
    poses: np.ndarray,
    *,
    max_distance_mm: float = 500.0,
    max_gap: int = 30,
) -> np.ndarray:
    """Returns which person each pose is of, as a number in order of first appearance: int ``[n]``.

    The poses of a frame are compared with the last pose of everyone seen before, by the mean
    distance of the joints known in both. Of the pairs near enough, as many as possible are
    matched, with the least sum of distances. Whoever matches nobody is a new person.

    >>> poses = np.array([[[0.0, 0, 0]], [[900, 0, 0]], [[890, 0, 0]], [[10, 0, 0]]])
    >>> match_over_time([0, 0, 1, 1], poses).tolist()
    [0, 1, 1, 0]

    Args:
        frames: Frame of each pose ``[n]``, not decreasing.
        poses: ``[n, J, 3]`` millimetres, NaN = missing; a pose without any joint in common with
            another cannot be matched to it.
        max_distance_mm: Farther than this, on average over the joints, is somebody else.
        max_gap: Who was not seen for more frames than this is forgotten.
    """
    frames, poses = np.asarray(frames), np.asarray(poses, np.float64)
    people = np.empty(len(frames), np.int64)
    last: dict[int, int] = {}  # person -> row of the last pose
    n_people = 0
    starts = np.flatnonzero(np.diff(frames, prepend=frames[:1] - 1))
    for rows in np.split(np.arange(len(frames)), starts[1:]):
        now = frames[rows[:1]]
        last = {who: row for who, row in last.items() if now - frames[row] <= max_gap}
        known = np.array(list(last), int)
        who = _match(poses[rows], poses[list(last.values())], max_distance_mm)
        for row, place in zip(rows, who, strict=True):
            people[row] = known[place] if place >= 0 else n_people
            n_people += place < 0
            last[int(people[row])] = row
    return people


def _match(poses: np.ndarray, before: np.ndarray, max_distance_mm: float) -> np.ndarray:
    """Which of the poses before each one belongs to, -1 = none: int ``[len(poses)]``."""
    found = np.full(len(poses), -1)
    if not (len(poses) and len(before)):
        return found
    distances = np.linalg.norm(poses[:, None] - before[None], axis=-1)
    known = np.isfinite(distances)
    n_known = known.sum(axis=-1)
    cost = np.where(known, distances, 0).sum(axis=-1) / np.maximum(n_known, 1)
    cost[(n_known == 0) | (cost > max_distance_mm)] = _NEVER
    from scipy.optimize import linear_sum_assignment  # slow to import, so not for everyone

    for i, k in zip(*linear_sum_assignment(cost), strict=True):
        if cost[i, k] < _NEVER:
            found[i] = k
    return found


def tracks_of_people(frames: np.ndarray, poses: np.ndarray, people: np.ndarray) -> list[Track]:
    """Returns one track per person, with joints in the world.

    >>> tracks = tracks_of_people(np.array([7, 7, 8]), np.zeros((3, 19, 3)), np.array([0, 1, 0]))
    >>> [(track.person, list(map(int, track.frames))) for track in tracks]
    [(0, [7, 8]), (1, [7])]

    Args:
        frames: Frame of each pose ``[n]``, not decreasing.
        poses: ``[n, J, 3]`` millimetres, NaN = missing.
        people: Who each pose is of, as of :func:`match_over_time`.
    """
    tracks = []
    for person in range(int(np.max(people, initial=-1)) + 1):
        rows = np.flatnonzero(people == person)
        tracks.append(Track(frames[rows], person=person, world_coords=poses[rows]))
    return tracks


def wider_than_others(tracks: list[Track], ratio: float, share: float) -> list[bool]:
    """Returns who is wide for their height beside somebody narrower: sensors take chairs for such.

    >>> man, chair = [[0, 0, 0], [400, 1800, 0]], [[0, 0, 0], [900, 900, 0]]
    >>> tracks = tracks_of_people(np.array([0, 0]), np.array([man, chair]), np.array([0, 1]))
    >>> wider_than_others(tracks, 0.8, 0.7)
    [False, True]

    Args:
        tracks: With joints in the axes of a level camera. Those who share a frame are compared.
        ratio: Who is wider than so much of their height is wide.
        share: In so many of the frames, at least.
    """
    widths = []
    for track in tracks:
        span = np.nanmax(track.world_coords, axis=1) - np.nanmin(track.world_coords, axis=1)
        widths.append(np.quantile(span[:, 0] / span[:, 1], 1 - share))
    seen = [{*track.frames} for track in tracks]
    beside = [[w for w, them in zip(widths, seen, strict=True) if them & one] for one in seen]
    return [bool(w > max(ratio, min(near))) for w, near in zip(widths, beside, strict=True)]

"""What promptable segmenters are asked with: points on a person, beside them, and of their box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posepile.models.person_mask import stand_in_joints


@dataclass(frozen=True)
class Prompt:
    """What a network is asked with.

    Attributes:
        points: ``[n, 2]`` pixels of the picture.
        labels: ``[n]``.
        box: x0, y0, x1, y1.
    """

    points: np.ndarray
    labels: np.ndarray
    box: np.ndarray


def prompt_joints(joints: np.ndarray, shape: tuple[int, int], n: int) -> np.ndarray:
    """Chooses up to ``n`` joints inside the image that are spread widely, ``[m, 2]``.

    The first is the one nearest to the middle of all, the others follow by farthest distance.
    """
    joints = np.asarray(joints, np.float64)
    inside = np.isfinite(joints).all(axis=-1)
    inside[inside] &= (
        (joints[inside] >= 0) & (joints[inside] <= [shape[1] - 1, shape[0] - 1])
    ).all(axis=-1)
    points = joints[inside]
    if not len(points) or n <= 0:
        return np.zeros((0, 2))
    chosen = [int(np.argmin(np.linalg.norm(points - np.median(points, axis=0), axis=1)))]
    away = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(n, len(points)) and away.max() > 0:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


def make_prompt(
    shape: tuple[int, int],
    box: np.ndarray,
    joints: np.ndarray | None,
    others: list[np.ndarray],
    n: int,
    *,
    corners: bool = True,
    negatives: bool = False,
) -> Prompt:
    """Returns up to ``n`` points: corners of the box, joints, one joint of each other person.

    Args:
        shape: Height and width of the picture.
        box: x, y, w, h of the person.
        joints: ``[J, 2]`` or None.
        others: Joints of the others.
        n: Largest number of points.
        corners: Whether the network knows the corners of a box as points.
        negatives: Whether it knows points beside the object.
    """
    x, y, w, h = (float(v) for v in box[:4])
    ends = np.clip([[x, y], [x + w, y + h]], 0, [shape[1] - 1, shape[0] - 1])
    given = ends if corners else ends[:0]
    free = n - len(given)
    against = np.zeros((0, 2))
    if negatives and others:
        against = np.concatenate([prompt_joints(other, shape, 1) for other in others])
        against = against[: free // 2]
    on = prompt_joints(
        joints if joints is not None else stand_in_joints(box), shape, free - len(against)
    )
    labels = [2, 3][: len(given)] + [1] * len(on) + [0] * len(against)
    return Prompt(np.concatenate([given, on, against]), np.array(labels, float), ends.ravel())


def filled_up(
    points: np.ndarray, labels: np.ndarray, n: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Points and labels, filled up with points that are none where a file fixes their number."""
    if n is None:
        return points, labels
    if len(points) > n:
        return points[:n], labels[:n]
    rest = n - len(points)
    return np.pad(points, [(0, rest), (0, 0)]), np.pad(labels, (0, rest), constant_values=-1)

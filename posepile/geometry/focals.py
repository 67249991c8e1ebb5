"""Cameras of pictures of which only points in the world and their pixels are published."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Mapping

import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.fitting import fit_focal


def fit_focals(
    where: str | os.PathLike,
    points: Mapping[tuple[Hashable, int], np.ndarray],
    principal: tuple[float, float],
    focals: tuple[float, float],
    limit: float,
    *,
    max_unfitted: float,
) -> dict[int, tuple[float, dict[str, np.ndarray]]]:
    """Returns how uncertain a focal length is, and it, rotation and centre, by picture.

    >>> world = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 2], [0, 2, 1]])
    >>> rows = np.hstack([world, 100 * world[:, :2] / (world[:, 2:] + 5)])
    >>> points = {("me", 7): rows[:3], ("you", 7): rows[3:], ("me", 8): rows[:5]}
    >>> fits = fit_focals("scene", points, (0, 0), (50, 200), 1, max_unfitted=0.5)
    >>> list(fits), round(float(fits[7][1]["focal"]))
    ([7], 100)

    Args:
        where: File or folder of the labels, for messages.
        points: Of each person in each picture, places in the world and pixels ``[n, 5]``; those
            of all people in a picture go to :func:`posepile.geometry.fitting.fit_focal`.
        principal: Principal point, pixels.
        focals: Least and largest focal length, pixels.
        limit: Pictures of a larger root mean square of distances, in pixels, are left out.
        max_unfitted: Largest share of them.

    Raises:
        CorruptInput: There are more: ``dataset.max_unfitted``.
    """
    cameras, pictures = {}, defaultdict(list)
    for (_, number), some in points.items():
        pictures[number].append(some)
    for number, several in sorted(pictures.items()):
        seen, pixels = np.split(np.concatenate(several), [3], axis=1)
        fit = fit_focal(where, seen, pixels, principal, focals)
        if fit and fit[0] <= limit:
            cameras[number] = fit[1:]
    if (lost := len(pictures) - len(cameras)) > max_unfitted * len(pictures):
        found = f"no camera fits {lost} of {len(pictures)} pictures within {limit:g} px; expected "
        hint = "rows, axes or units are not those meant, or raise dataset.max_unfitted"
        raise CorruptInput(where, f"{found}at most {max_unfitted:.0%} such", hint=hint)
    return cameras

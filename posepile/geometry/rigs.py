"""Where the cameras of a studio stand, if that is known from elsewhere than their calibration."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from posepile.errors import CorruptInput


def check_place(where: str | os.PathLike, place, known, limit: float) -> float:
    """Returns how far a camera is from where it is known to be, in millimetres.

    >>> check_place("l01.txt", (1925, 1435, 2417), (1925, 1435, 2414), limit=5)
    3.0

    Args:
        where: The file of the calibration, for the message.
        place: Of the camera, ``[3]`` in the world.
        known: Where it is known to be, ``[3]``.
        limit: How far it may be from there.

    Raises:
        CorruptInput: It is farther.
    """
    off = float(np.linalg.norm(np.subtract(place, known)))
    if not off <= limit:
        raise CorruptInput(
            where,
            f"is {off:.3g} mm from {tuple(known)}, its known place; expected at most {limit:g} mm",
        )
    return off


def check_ring(
    where: str | os.PathLike,
    places,
    angles: Sequence[float],
    distances: tuple[float, float],
    hint: str = "",
) -> None:
    """Makes sure that cameras stand round the origin of a world with y up in a known order.

    >>> check_ring("a.json", [(0, 1000, 5000), (-5000, 1000, 0)], [0, 90], (3000, 8000))
    Traceback (most recent call last):
    posepile.errors.CorruptInput: a.json: camera 2 of 2 is at -90 degrees about y, 5000 mm ...

    Args:
        where: The file of the calibration, for the message.
        places: Of the cameras, ``[n, 3]`` millimetres.
        angles: Where each is expected about y, degrees: 0 is at +z, 90 at +x.
        distances: The least and the largest distance from the y axis, millimetres.
        hint: What to do if they do not.

    Raises:
        CorruptInput: One is more than 30 degrees from there, or at another distance.
    """
    for k, ((x, _, z), angle) in enumerate(zip(places, angles, strict=True), 1):
        found, distance = np.degrees(np.arctan2(x, z)), np.hypot(x, z)
        off = abs((found - angle + 180) % 360 - 180)
        if not (off <= 30 and distances[0] <= distance <= distances[1]):
            raise CorruptInput(
                where,
                f"camera {k} of {len(places)} is at {found:.0f} degrees about y, {distance:.0f} "
                f"mm away; expected {(angle + 180) % 360 - 180:.0f} degrees, "
                f"{distances[0]:g} to {distances[1]:g} mm",
                hint=hint,
            )

"""Names of the points of faces and hands, and whether such parts are at their own side.

Numbers of left and right points mirror each other, so that exchanging l and r is what happens
when a picture is mirrored.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from posepile.joint_info import JointInfo
from posepile.recipe import Sequence
from posepile.shapes.coco_places import note_share

# 68 points in the order of iBUG, contour and brows from the person's right.
FACE = (
    "rface1 rface2 rface3 rface4 rface5 rface6 rface7 rface8 chin "
    "lface8 lface7 lface6 lface5 lface4 lface3 lface2 lface1 "
    "rface9 rface10 rface11 rface12 rface13 lface13 lface12 lface11 lface10 lface9 "
    "nose1 nose2 nose3 nose4 rface14 rface15 nose5 lface15 lface14 "
    "reye1 reye2 reye3 reye4 reye5 reye6 leye4 leye3 leye2 leye1 leye6 leye5 "
    "rmouth1 rmouth2 rmouth3 mouth1 lmouth3 lmouth2 lmouth1 lmouth4 lmouth5 mouth2 "
    "rmouth5 rmouth4 rmouth6 rmouth7 mouth3 lmouth7 lmouth6 lmouth8 mouth4 rmouth8"
).split()
# The wrist, then four points for each finger from the thumb on; the left hand first.
HANDS = [f"{side}han{k}" for side in "lr" for k in range(1, 22)]

# Joint of the body -> what hangs on it: that is nearer to the one of its own side.
ANCHORS = {
    "wri": ("hands", [f"han{k}" for k in range(1, 22)]),
    "ank": ("feet", ["toe", "toe2", "hee"]),
    "eye": ("eyes", [f"eye{k}" for k in range(1, 7)]),
    "ear": ("contours", [f"face{k}" for k in range(1, 5)]),
}
FEWEST = 10  # points that tell anything
# Indices of the face that follow one another in lines: contour, brows, nose, eyes, mouth
_FACE_LINES = (0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 68)


def face_and_hand_edges(first: int) -> list[tuple[int, int]]:
    """Returns the edges of a face and two hands, as Halpe's authors draw them.

    >>> face_and_hand_edges(26)[:2], face_and_hand_edges(26)[-1]
    ([(26, 27), (27, 28)], (134, 135))

    Args:
        first: Index of the first point of the face; the hands follow it.
    """
    lines = [range(first + a, first + b) for a, b in _FACE_LINES]
    for wrist in (first + 68, first + 89):
        lines += [(wrist, *range(wrist + k, wrist + k + 4)) for k in range(1, 21, 4)]
    return [edge for line in lines for edge in pairwise(line)]


def check_sides(sequence: Sequence, path: Path, joint_info: JointInfo, limit: float) -> Sequence:
    """Notes how many points of hands, feet and faces are at the joint of the other side.

    Only points count that are at least twice as far from one of the two joints as from the other.
    The parts of a body may follow one another in another order than the names say.

    >>> from posepile.shapes.stills import Person, Picture, picture_sequence
    >>> from posepile.shapes.units import make_unit
    >>> joint_info = JointInfo("lwri,rwri," + ",".join(HANDS))
    >>> coords = np.array([[0, 0], [99, 0], *[[3, 2]] * 21, *[[95, 2]] * 21])
    >>> pictures = [Picture(Path("1.jpg"), (640, 480), [Person(0, image_coords=coords)])]
    >>> sequence = picture_sequence(make_unit("val", "val", {}), pictures)
    >>> check_sides(sequence, Path("val.json"), joint_info, 0.25).checks
    {'hands_at_other_side': 0.0}

    Args:
        sequence: With joints in the image.
        path: The annotation file, for the message.
        joint_info: Names of the joints.
        limit: Largest share.

    Raises:
        CorruptInput: A larger share is at the other side.
    """
    coords = [track.image_coords for track in sequence.tracks if track.image_coords is not None]
    ids = joint_info.ids
    for anchor, (word, names) in ANCHORS.items():
        named = [name for name in names if f"l{name}" in ids]
        if not (named and coords and f"l{anchor}" in ids):
            continue
        points = np.concatenate(coords)
        other = np.concatenate([_at_other(points, ids, side, anchor, named) for side in "lr"])
        if len(other) < FEWEST:
            continue
        key, what = (
            f"{word}_at_other_side",
            f"of the points of {word} at the joint of the other side",
        )
        note_share(sequence, path, key, other.tolist(), limit, what, "max_other_side")
    return sequence


def _at_other(
    points: np.ndarray, ids: dict, side: str, anchor: str, names: list[str]
) -> np.ndarray:
    """Of the points that tell a side, whether it is the other one."""
    parts = points[:, [ids[side + name] for name in names]]
    own, other = (
        np.linalg.norm(parts - points[:, None, ids[s + anchor]], axis=-1)
        for s in (side, "r" if side == "l" else "l")
    )
    tells = np.maximum(own, other) >= 2 * np.minimum(own, other)  # never where one is missing
    return (own > other)[tells]

"""Points of face, hands and feet that the actor's skeleton has beyond its joints.

They are fixed to joints that turn, as the others of :mod:`posepile.miniature.skeleton` are. Only a
hand's middle finger is drawn.
"""

from __future__ import annotations

import numpy as np

from posepile.miniature.skeleton import REST

# The 68 points of a face in iBUG's order, from the person's right: contour, brows, nose, eyes,
# mouth. Numbers of the two sides mirror each other.
FACE = (
    "rface1 rface2 rface3 rface4 rface5 rface6 rface7 rface8 chin "
    "lface8 lface7 lface6 lface5 lface4 lface3 lface2 lface1 "
    "rface9 rface10 rface11 rface12 rface13 lface13 lface12 lface11 lface10 lface9 "
    "nose1 nose2 nose3 nose4 rface14 rface15 nose5 lface15 lface14 "
    "reye1 reye2 reye3 reye4 reye5 reye6 leye4 leye3 leye2 leye1 leye6 leye5 "
    "rmouth1 rmouth2 rmouth3 mouth1 lmouth3 lmouth2 lmouth1 lmouth4 lmouth5 mouth2 rmouth5 "
    "rmouth4 rmouth6 rmouth7 mouth3 lmouth7 lmouth6 lmouth8 mouth4 rmouth8"
).split()
# The wrist, then four for each finger, from the thumb on.
LEFT_HAND = [f"lhan{i}" for i in range(1, 22)]
RIGHT_HAND = [f"rhan{i}" for i in range(1, 22)]
# Big toe, small toe, heel
FEET = "ltoe ltoe2 lhee rtoe rtoe2 rhee".split()

# x (to the left), y and z in centimetres from the pelvis, of the left half and the middle
_LEFT_FACE = {
    "mouth1": (0, 61.5, 10.4), "mouth2": (0, 59.5, 10.2), "mouth3": (0, 60.9, 10.3),
    "mouth4": (0, 60.2, 10.2),
    "lmouth1": (2.6, 60.6, 9.2), "lmouth2": (1.7, 61.3, 9.8), "lmouth3": (0.8, 61.6, 10.2),
    "lmouth4": (1.7, 59.9, 9.6), "lmouth5": (0.8, 59.6, 10.0),
    "lmouth6": (2.1, 60.6, 9.3), "lmouth7": (0.8, 60.9, 10.1), "lmouth8": (0.8, 60.2, 10.0),
    "nose1": (0, 69.2, 9.9), "nose2": (0, 68.0, 10.4), "nose3": (0, 66.9, 10.9),
    "nose4": (0, 65.8, 11.4), "nose5": (0, 64.4, 10.6),
    "lface14": (1.5, 64.9, 9.8), "lface15": (0.8, 64.6, 10.3),
    "leye1": (5.0, 69.0, 8.2), "leye2": (4.0, 69.6, 8.8), "leye3": (2.9, 69.6, 9.1),
    "leye4": (2.0, 69.0, 8.9), "leye5": (2.9, 68.5, 9.0), "leye6": (4.0, 68.5, 8.7),
    "lface9": (6.1, 70.8, 7.6), "lface10": (5.1, 71.7, 8.4), "lface11": (3.9, 72.0, 9.0),
    "lface12": (2.7, 71.8, 9.4), "lface13": (1.6, 71.3, 9.6),
}  # fmt: skip
_FINGERS = "thumb index middle ring pinky".split()


def _details() -> dict[str, tuple[np.ndarray, str]]:
    left = {name: (np.array(at) / 100, "head") for name, at in _LEFT_FACE.items()}
    for i in range(1, 9):  # from beside the ear round the jaw to the chin
        angle = np.pi / 2 * (i - 1) / 8
        at = 0.076 * np.cos(angle), 0.69 - 0.12 * np.sin(angle), 0.02 + 0.06 * np.sin(angle)
        left[f"lface{i}"] = np.array(at), "head"
    left["lhan1"] = REST["lwri"], "lwri"
    for f, finger in enumerate(_FINGERS):
        for k in range(1, 5):
            left[f"lhan{1 + 4 * f + k}"] = REST[f"l{finger}{k}"], "lwri"
    left["ltoe2"] = np.array([0.20, -0.935, 0.09]), "ltoe"
    found = {}
    for name, (at, to) in left.items():
        found[name] = at, to
        if name.startswith("l"):
            found["r" + name[1:]] = at * (-1, 1, 1), to if to == "head" else "r" + to[1:]
    return found


# Name -> where it is at rest, metres, and the joint that turns it.
DETAILS = _details()


def face_and_hands(face: int | list[int] = 0, left: int = 0, right: int = 0) -> list[int]:
    """Returns v of the points of a face and of both hands, one after the other.

    >>> len(face_and_hands(2, 1, 0))
    110

    Args:
        face: Of all its points, or of each.
        left: Of those of the left hand.
        right: Of those of the right hand.
    """
    points = face if isinstance(face, list) else [face] * len(FACE)
    return [*points, *[left] * len(LEFT_HAND), *[right] * len(RIGHT_HAND)]

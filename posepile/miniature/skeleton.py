"""The actor's skeleton: where joints are at rest, what they hang on, and what of it is drawn.

Joints have the four-letter names of :class:`posepile.joint_info.JointInfo`. 24 of them turn (those
of SMPL, in its order); all others are fixed to one of these. Metres, x to the person's left, y up,
z to the front; the pelvis is the origin.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from posepile.miniature.marks import spread_colors

# The joints that turn, in the order of SMPL, and their parents.
TURNING = (
    "pelv lhip rhip bell lkne rkne spin lank rank thor ltoe rtoe neck lcla rcla head lsho rsho "
    "lelb relb lwri rwri lhan rhan"
).split()
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]

# Middle and left half; names of the left half lack their l. With it, what a fixed joint hangs on.
_MIDDLE = {
    "pelv": ((0, 0, 0), ""),
    "bell": ((0, 0.11, -0.02), ""),
    "spin": ((0, 0.25, -0.01), ""),
    "tors": ((0, 0.25, -0.01), "spin"),
    "thor": ((0, 0.34, 0), ""),
    "neck": ((0, 0.50, -0.02), ""),
    "head": ((0, 0.61, 0.01), ""),
    "jaw": ((0, 0.59, 0.03), "head"),
    "chin": ((0, 0.57, 0.08), "head"),
    "nose": ((0, 0.66, 0.11), "head"),
    "htop": ((0, 0.78, 0.01), "head"),
}
_LEFT = {
    "hip": ((0.10, -0.07, 0), ""),
    "kne": ((0.12, -0.48, 0.01), ""),
    "ank": ((0.13, -0.88, -0.02), ""),
    "toe": ((0.15, -0.93, 0.11), ""),
    "foo": ((0.14, -0.92, 0.07), "ank"),
    "hee": ((0.13, -0.94, -0.07), "ank"),
    "to2": ((0.13, -0.94, 0.17), "toe"),
    "to3": ((0.20, -0.94, 0.13), "toe"),
    "cla": ((0.07, 0.44, -0.01), ""),
    "sho": ((0.19, 0.45, -0.01), ""),
    "elb": ((0.46, 0.45, -0.02), ""),
    "wri": ((0.71, 0.45, -0.01), ""),
    "han": ((0.79, 0.45, -0.01), ""),
    "fin": ((0.88, 0.45, 0), "han"),
    "thu": ((0.78, 0.44, 0.07), "wri"),
    "eye": ((0.035, 0.69, 0.09), "head"),
    "eyehf": ((0.035, 0.69, 0.08), "head"),
    "ear": ((0.08, 0.66, 0.01), "head"),
}
for _i, _finger in enumerate(("index", "middle", "pinky", "ring", "thumb")):
    _across = (0.04, 0.015, -0.04, -0.015, 0.06)[_i]
    for _k in range(1, 5):
        _reach = 0.06 + 0.03 * _k if _finger != "thumb" else 0.01 + 0.03 * _k
        _LEFT[f"{_finger}{_k}"] = ((0.71 + _reach, 0.45, _across - 0.01), "wri")
    _LEFT[_finger] = (_LEFT[f"{_finger}4"][0], "wri")


def _both_sides() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    rest = {name: np.array(at, float) for name, (at, _) in _MIDDLE.items()}
    fixed_to = {name: to for name, (_, to) in _MIDDLE.items() if to}
    for name, (at, to) in _LEFT.items():
        for side, sign in (("l", 1), ("r", -1)):
            rest[side + name] = np.array(at, float) * (sign, 1, 1)
            if to:
                fixed_to[side + name] = to if to in _MIDDLE else side + to
    return rest, fixed_to


REST, FIXED_TO = _both_sides()

# Lines of the figure; of each, only the joints that a dataset has are connected.
_LINES = (
    "htop head neck thor spin bell pelv",
    "htop head neck thor tors bell pelv",
    "thor lcla lsho lelb lwri lhan",
    "thor rcla rsho relb rwri rhan",
    "pelv lhip lkne lank lfoo ltoe",
    "pelv rhip rkne rank rfoo rtoe",
    "head nose",
    "neck nose",
    "neck lsho",
    "neck rsho",
    "lsho lhip",
    "rsho rhip",
    "lank lhee",
    "rank rhee",
)
# Limbs that are long enough for the cells of a picture's number, in the order of its bits.
_LONG = (
    "lhip lkne|rhip rkne|lkne lank|rkne rank|lsho lelb|rsho relb|lelb lwri|relb rwri|lsho lhip|"
    "rsho rhip|neck pelv|thor pelv"
).split("|")
# Who gets a disc first; whoever is within APART of one that has one gets none.
_FIRST = (
    "lwri rwri lelb relb lsho rsho lank rank lkne rkne lhip rhip head neck pelv spin tors htop "
    "nose ltoe rtoe"
).split()
APART = 0.09


@dataclass(frozen=True)
class Figure:
    """How an actor is drawn, for joints in one order.

    Attributes:
        names: Joint names; a name of :data:`REST`, or anything else for a joint that is not drawn.
        edges: Pairs of joint indices between which there is a limb.
        limbs: Those that carry the picture's number, two or more cells each, in the order of its
            bits.
        colors: RGB of each joint's disc, None where there is none.
        trunk: Joint indices of a polygon that belongs to the body; may be empty.
        radius_mm: Half width of a limb.
        disc: Radius of a disc as a part of ``radius_mm``.
    """

    names: tuple[str, ...]
    edges: list[tuple[int, int]]
    limbs: list[tuple[int, int]]
    colors: list[list[int] | None]
    trunk: list[int]
    radius_mm: float = 48.0
    disc: float = 0.62


def make_figure(
    names: list[str], discs: list[str] | None = None, radius_mm: float = 48.0, disc: float = 0.62
) -> Figure:
    """Returns the figure that connects the joints that a dataset has.

    >>> make_figure(["pelv", "neck", "head", "lsho", "lelb"]).limbs
    [(3, 4), (1, 0)]

    Args:
        names: In the order in which the joints will be given (that of the dataset's JointInfo, so
            that ``Figure.colors`` and ``Figure.limbs`` can go into the truth as they are).
        discs: Names of those that get a disc; None = as many as stay apart from each other.
        radius_mm: Half width of a limb.
        disc: Radius of a disc as a part of that.
    """
    index = {name: i for i, name in enumerate(names) if name in REST}
    edges: dict[tuple[int, int], None] = {}
    for line in _LINES:
        there = [index[n] for n in line.split() if n in index]
        edges |= dict.fromkeys(itertools.pairwise(there))
    pairs = [pair.split() for pair in _LONG]
    limbs = [(index[a], index[b]) for a, b in pairs if a in index and b in index]
    if "neck" in index and "pelv" in index:
        limbs = [(a, b) for a, b in limbs if (names[a], names[b]) != ("thor", "pelv")]
    if discs is None:
        discs = []
        drawn = {names[i] for edge in edges for i in edge}
        for name in [n for n in [*_FIRST, *names] if n in drawn]:
            if all(np.linalg.norm(REST[name] - REST[other]) >= APART for other in discs):
                discs.append(name)
    colors: list[list[int] | None] = [None] * len(names)
    for name, color in zip(discs, spread_colors(len(discs)).tolist(), strict=True):
        colors[index[name]] = color
    trunk = [index[n] for n in ("lsho", "rsho", "rhip", "lhip") if n in index]
    return Figure(
        tuple(names), list(edges), limbs, colors, trunk if len(trunk) == 4 else [], radius_mm, disc
    )

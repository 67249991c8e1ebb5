"""The joints of a skeleton that say something about a body, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posepile.geometry.sides import PAIRED_LIMBS
from posepile.joint_info import JointInfo

_PAIRED = ("hip", "kne", "ank", "sho", "elb", "wri", "toe", "ear", "eye")
# Joints that lie inside the outline of a person, whatever the skeleton means by them exactly.
_INNER = ("hip", "kne", "ank", "sho", "elb", "wri")
_MIDDLE = ("pelv", "spin", "neck", "thor", "head", "nose")
_OTHER_NAMES = {"hipl": "hip", "foo": "toe"}
_MOST_BONES = 64


@dataclass(frozen=True)
class Body:
    """Where the joints are that detectors look at.

    Attributes:
        index: Plain name, ``lkne``, -> index of the joint.
        pairs: Indices of left and right joints that belong together, ``[p, 2]``.
        inner: Indices of joints that lie inside the outline of a person.
        inner_bits: Number of each of these among all that there are, below 32; it is the same in
            all batches.
        bones: Pairs of joints, ``[b, 2]``.
        bone_names: Of each.
        sides: Pairs of bones, left and right, that are equally long, ``[s, 2]``.
    """

    index: dict[str, int]
    pairs: np.ndarray
    inner: np.ndarray
    inner_bits: np.ndarray
    bones: np.ndarray
    bone_names: tuple[str, ...]
    sides: np.ndarray

    def at(self, points: np.ndarray, *names: str) -> np.ndarray:
        """Returns the first of some joints that the skeleton has, NaN without any."""
        for name in names:
            if name in self.index:
                return points[:, self.index[name]]
        return np.full((len(points), points.shape[2]), np.nan)


def body_of(joint_info: JointInfo, joint_ids: Sequence[int], known: np.ndarray) -> Body:
    """Returns where the joints are that detectors look at.

    Args:
        joint_info: The skeleton of the list.
        joint_ids: Of each joint in the arrays, its index there.
        known: bool ``[j]``, which of them are there at all: merged skeletons have every joint
            several times, and examples of one dataset have those of one.
    """
    place = {int(j): k for k, j in enumerate(joint_ids) if j >= 0 and known[k]}
    index: dict[str, int] = {}
    for j, k in place.items():
        name = str(joint_info.names[j]).partition("_")[0]
        if name[:1] in ("l", "r"):
            name = name[0] + _OTHER_NAMES.get(name[1:], name[1:])
        index.setdefault(name, k)
    pairs = [(index["l" + n], index["r" + n]) for n in _PAIRED if {"l" + n, "r" + n} <= {*index}]
    inner_names = [*(s + n for n in _INNER for s in "lr"), *_MIDDLE]
    inner = [(index[name], bit) for bit, name in enumerate(inner_names) if name in index]
    limbs = [
        (index[s + a], index[s + b], f"{s}{a}-{s}{b}")
        for a, b in PAIRED_LIMBS
        for s in "lr"
        if {s + a, s + b} <= {*index}
    ]
    known = {frozenset(limb[:2]) for limb in limbs}
    for a, b in joint_info.stick_figure_edges:
        ends = frozenset((place.get(int(a), -1), place.get(int(b), -1)))
        if -1 not in ends and ends not in known and len(ends) == 2 and len(limbs) < _MOST_BONES:
            known.add(ends)
            names = f"{joint_info.names[a]}-{joint_info.names[b]}"
            limbs.append((place[int(a)], place[int(b)], names))
    names = [name for _, _, name in limbs]
    sides = [
        (i, names.index("r" + name[1:].replace("-l", "-r")))
        for i, name in enumerate(names)
        if name.startswith("l") and "r" + name[1:].replace("-l", "-r") in names
    ]
    return Body(
        index,
        np.array(pairs, int).reshape(-1, 2),
        *np.array(inner, int).reshape(-1, 2).T,
        np.array([limb[:2] for limb in limbs], int).reshape(-1, 2),
        tuple(names),
        np.array(sides, int).reshape(-1, 2),
    )

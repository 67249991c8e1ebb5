"""Limbs: which joints they join, how long they are, and the bones of a skeleton.

What is known of limbs has three uses, each with a list of its own: whoever adds the length of a
hand to the first changes neither what sides are compared nor what joints tell a person's reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from posepile.joint_info import JointInfo

# Lengths as shares of the stature, by R. Drillis and R. Contini (Body Segment Parameters, 1966; in
# D. Winter, Biomechanics and Motor Control of Human Movement, 4th ed., fig. 4.1).
LIMB_SHARES = {
    ("sho", "elb"): 0.186,
    ("elb", "wri"): 0.146,
    ("hip", "kne"): 0.245,
    ("kne", "ank"): 0.246,
}
# Joints of arms and legs: what they reach is how large a person's box must be. Two of each.
REACHING_JOINTS = frozenset(("sho", "elb", "wri", "hip", "kne", "ank"))


@dataclass(frozen=True)
class Bones:
    """The bones of a skeleton: its edges, and arms and legs if they are none.

    Attributes:
        pairs: int ``[n, 2]`` joints.
        names: Of each, ``rhip-rkne``.
        shares: ``[n]`` of the stature, NaN where nobody has measured.
        limbs: Indices of the joints by which a person's reach is told, those of arms and legs.
    """

    pairs: np.ndarray
    names: tuple[str, ...]
    shares: np.ndarray
    limbs: np.ndarray

    @classmethod
    def of(cls, joint_info: JointInfo) -> Bones:
        """Returns those of a skeleton; joints are known by their names up to an underscore."""
        names = joint_info.names
        plain = [name.partition("_") for name in names]
        index = {parts: j for j, parts in enumerate(plain)}
        shares = {tuple(sorted(pair)): np.nan for pair in joint_info.stick_figure_edges}
        for j, (name, *suffix) in enumerate(plain):
            for (first, second), share in LIMB_SHARES.items():
                other = index.get((name[:1] + second, *suffix))
                if name[:1] in ("l", "r") and name[1:] == first and other is not None:
                    shares[tuple(sorted((j, other)))] = share
        return cls(
            np.array(list(shares), int).reshape(-1, 2),
            tuple(f"{names[a]}-{names[b]}" for a, b in shares),
            np.array(list(shares.values()), float),
            np.array([j for j, (n, *_) in enumerate(plain) if n[1:] in REACHING_JOINTS], int),
        )

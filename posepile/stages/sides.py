"""Whether poses are of bodies at all: left where the front says, both sides alike.

Knees bend to the front and toes point there; where the front is, follows from the leg itself and
from which hip is the left one, whatever the person does. The nose is in front of the ears. Limbs
of the two sides are equally long. A single pose may be measured badly, but hardly all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.sides import front, side_ratios
from posepile.stages.plausible import FEW_POSES

if TYPE_CHECKING:
    from posepile.joint_info import JointInfo
    from posepile.stages.plausible import CheckParams


def refuse_wrong_sides(
    where: str, coords: np.ndarray, joint_info: JointInfo, params: CheckParams
) -> None:
    """Sets poses aside that are those of a mirror image, or have joints of one side exchanged.

    Args:
        where: Their file, for the message.
        coords: ``[n, J, 3]`` millimetres, NaN = missing; of one person or of several.
        joint_info: The skeleton.
        params: Limits.

    Raises:
        CorruptInput: They are.
    """
    coords = np.asarray(coords, np.float64)
    if not coords.size:  # body models without joints
        return
    index = {name.partition("_")[0]: j for j, name in reversed(list(enumerate(joint_info.names)))}
    ahead = front(coords, index)
    ahead = ahead[ahead != 0]
    if len(ahead) > FEW_POSES and (ahead < 0).mean() > params.max_backwards:
        raise CorruptInput(
            where,
            f"knees, toes or noses point backwards in {(ahead < 0).sum()} of {len(ahead)} poses; "
            f"expected at most {params.max_backwards:.0%}",
            hint="left and right are exchanged, or the world is mirrored; if they are right, "
            "raise check.max_backwards",
        )
    for name, ratio in side_ratios(coords, index).items():
        if max(ratio, 1 / ratio) > params.max_asymmetry:
            raise CorruptInput(
                where,
                f"l{name} is {ratio:.2g} times as long as r{name} in the median of "
                f"{len(coords)} poses; expected at most {params.max_asymmetry:g}, either way",
                hint="joints are in another order; if they are right, raise check.max_asymmetry",
            )

"""Whether poses are of bodies at all: left where the front says, both sides alike.

Knees bend to the front and toes point there; where the front is, follows from the leg itself and
from which hip is the left one, whatever the person does. The nose is in front of the ears. Limbs
of the two sides are equally long. A single pose may be measured badly, but hardly all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.stages.limbs import PAIRED_LIMBS
from posepile.stages.plausible import FEW_POSES

if TYPE_CHECKING:
    from posepile.joint_info import JointInfo
    from posepile.stages.plausible import CheckParams

# Less says nothing, millimetres: legs are never quite straight, and joints are not where bones
# meet. A toe is some 130 mm in front of its ankle, a bent knee as much; a nose is 100.
CLEAR_MM = 50.0
# A shin that runs along the hips, cosine, says nothing: where legs are crossed, as in the lotus
# position, the knee may be behind the line from hip to ankle.
CROSSED = 0.7
# Joint that the front is told by -> what it may be called instead, as by sets of markers.
OTHER_NAMES = {"hip": "hipl", "toe": "foo"}


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


def front(coords: np.ndarray, index: Mapping[str, int]) -> np.ndarray:
    """Returns how far knees, toes and nose are in front, mm ``[n]``; 0 = nothing is to be said.

    Args:
        coords: ``[n, J, 3]``, NaN = missing.
        index: Joint name -> position.
    """

    def at(name: str) -> np.ndarray:
        if name not in index:
            name = name[0] + OTHER_NAMES.get(name[1:], name[1:])
        return coords[:, index[name]] if name in index else np.full((len(coords), 3), np.nan)

    left, total = at("lhip") - at("rhip"), np.zeros(len(coords))
    for side in "lr":
        hip, knee, ankle, toe = (at(side + name) for name in ("hip", "kne", "ank", "toe"))
        along = _unit(hip - ankle)
        ahead = np.cross(_unit(left), along)
        # A leg stretched out to the side has no front that the hips could tell.
        ahead[np.linalg.norm(ahead, axis=-1) < 0.5] = np.nan
        ahead[np.abs(_dot(_unit(left), _unit(knee - ankle))) > CROSSED] = np.nan
        total += _clear(_dot(knee - ankle, ahead)) + _clear(_dot(toe - ankle, ahead))
    ears = (at("lear") + at("rear")) / 2
    ahead = _unit(np.cross(at("lear") - at("rear"), ears - at("neck")))
    return total + _clear(_dot(at("nose") - ears, ahead))


def side_ratios(coords: np.ndarray, index: Mapping[str, int]) -> dict[str, float]:
    """Returns limb -> its length on the left by that on the right, in the median of the poses.

    Left out are limbs that are known in hardly any pose.
    """
    ratios = {}
    for limb in PAIRED_LIMBS:
        ends = {side: [side + name for name in limb] for side in "lr"}
        if not {*ends["l"], *ends["r"]} <= index.keys():
            continue
        left, right = (
            np.linalg.norm(coords[:, index[a]] - coords[:, index[b]], axis=-1)
            for a, b in ends.values()
        )
        known = (left > 0) & (right > 0)
        if known.sum() > FEW_POSES:
            ratios["-".join(limb)] = float(np.median(left[known] / right[known]))
    return ratios


def _unit(vectors: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nk->n", a, b)


def _clear(distance: np.ndarray) -> np.ndarray:
    """Distances without those that are unknown or say nothing."""
    return np.where(np.abs(np.nan_to_num(distance)) > CLEAR_MM, distance, 0)

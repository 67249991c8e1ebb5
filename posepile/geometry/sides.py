"""Left and right of a body, as its own joints tell them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Less says nothing, millimetres: legs are never quite straight, and joints are not where bones
# meet. A toe is some 130 mm in front of its ankle, a bent knee as much; a nose is 100.
CLEAR_MM = 50.0
# A shin that runs along the hips, cosine, says nothing: where legs are crossed, as in the lotus
# position, the knee may be behind the line from hip to ankle.
CROSSED = 0.7
# Limbs that are equally long on the left and on the right.
PAIRED_LIMBS = (("sho", "elb"), ("elb", "wri"), ("hip", "kne"), ("kne", "ank"))
FEW_POSES = 2  # so few may be measured badly
# Joint that the front is told by -> what it may be called instead, as by sets of markers.
OTHER_NAMES = {"hip": "hipl", "toe": "foo"}


def front(coords: np.ndarray, index: Mapping[str, int]) -> np.ndarray:
    """Returns how far knees, toes and nose are in front, mm ``[n]``; 0 = nothing is to be said.

    >>> index = {name: j for j, name in enumerate(["lhip", "rhip", "lkne", "lank"])}
    >>> leg = [[100, 0, 900], [-100, 0, 900], [100, -120, 450], [100, 0, 0]]  # faces -y
    >>> front(np.array([leg, leg]) * [[[1, 1, 1]], [[-1, 1, 1]]], index).tolist()
    [120.0, -120.0]

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

    >>> names = ["lhip", "lkne", "rhip", "rkne"]
    >>> legs = np.array([[[0, 0, 900], [0, 0, 300], [0, 0, 900], [0, 0, 500]]] * 3)
    >>> side_ratios(legs, {name: j for j, name in enumerate(names)})
    {'hip-kne': 1.5}

    Left out are limbs that are known in hardly any pose.

    Args:
        coords: ``[n, J, 3]``, NaN = missing.
        index: Joint name -> position.
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

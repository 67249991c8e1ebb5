"""Whether joints in the world can be those of a person: coordinates, bones, stature.

Nothing is asked of the pose, so people may lie, sit or stand on their hands. A single bone is
compared with what people of the allowed statures have, halved and raised by half for what a
dataset calls a joint, for children's proportions and for noise; the median over many bones and
poses is compared more closely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posepile.stages.limbs import Bones
from posepile.stages.plausible import FEW_POSES, IMPLAUSIBLE, add_faults

if TYPE_CHECKING:
    from posepile.joint_info import JointInfo
    from posepile.stages.plausible import CheckParams, Faults

INFINITE = IMPLAUSIBLE + "a coordinate is infinite"
FAR = IMPLAUSIBLE + "more than a kilometre from the origin"
NOWHERE = IMPLAUSIBLE + "more than 100,000 km from the origin"
FAR_IN_PICTURE = IMPLAUSIBLE + "more than a million pixels from the picture"
ONE_PLACE = IMPLAUSIBLE + "all joints in one place"
BONE_LENGTH = IMPLAUSIBLE + "a bone of no human length"
BONE_CHANGE = IMPLAUSIBLE + "a bone far from its usual length"
STATURE = IMPLAUSIBLE + "limbs of no human stature"

LIMB_TOLERANCE = (0.5, 1.5)
LONGEST_BONE = 0.45  # of the largest stature: pelvis to neck is 0.33 of it
MAX_DISTANCE_MM, MAX_PIXELS = 1e6, 1e6
# Where a dataset is far from the origin: twice as far as places on the Earth are from its centre
# or, in a map's coordinates, from the equator, and near enough to be squared.
MAX_GEOCENTRIC_MM = 1e11
MIN_EXTENT_MM = 20  # of five joints; the smallest child's hand has twice as much
# The median of a track over several limbs. What datasets call hips and shoulders makes it 10 %
# less to 8 % more than the stature; children of two years have limbs that are 10 % shorter.
STATURE_TOLERANCE = (0.85, 1.1)
MIN_LIMBS = 4  # from which a stature is told: those of an arm and a leg, or of both arms


def check_poses(
    coords: np.ndarray,
    joint_info: JointInfo,
    params: CheckParams,
    *,
    one_person: bool = True,
    far_from_origin: bool = False,
) -> Faults:
    """Returns which poses of a track cannot be right.

    Args:
        coords: ``[n, J, 3]`` millimetres in the world, NaN = missing.
        joint_info: The skeleton.
        params: Limits.
        one_person: All poses are of one person, so that bones keep their lengths.
        far_from_origin: Coordinates may be that.

    Returns:
        Position along the first axis -> the reason, and what was found there.
    """
    coords = np.array(coords, np.float64)
    if not coords.size:
        return {}
    faults: Faults = {}
    infinite = np.isinf(coords).any(axis=(1, 2))
    add_faults(faults, infinite, INFINITE, lambda k: "a coordinate is infinite")
    coords[infinite] = np.nan
    missing = np.isnan(coords)
    high = np.where(missing, -np.inf, coords).max(axis=1)
    low = np.where(missing, np.inf, coords).min(axis=1)
    largest = np.maximum(high, -low).max(axis=1)
    far = largest > (MAX_GEOCENTRIC_MM if far_from_origin else MAX_DISTANCE_MM)
    reason = NOWHERE if far_from_origin else FAR
    add_faults(faults, far, reason, lambda k: f"a coordinate is {largest[k]:.3g} mm")
    coords[far], high[far], low[far] = np.nan, 0, 0  # no number is left that cannot be squared
    extent = (high - low).max(axis=1)
    collapsed = ~far & (extent < MIN_EXTENT_MM) & ((~missing[..., 0]).sum(axis=1) >= 5)
    text = "all joints lie within {:.2g} mm"
    add_faults(faults, collapsed, ONE_PLACE, lambda k: text.format(extent[k]))
    _check_bones(faults, coords, Bones.of(joint_info), params, one_person)
    return dict(sorted(faults.items()))


def check_pixels(coords: np.ndarray) -> Faults:
    """Returns which poses in pictures ``[n, J, 2]``, NaN = missing, cannot be right."""
    coords = np.array(coords, np.float64)
    if not coords.size:
        return {}
    faults: Faults = {}
    largest = np.abs(np.where(np.isnan(coords), 0, coords)).max(axis=(1, 2))
    add_faults(faults, np.isinf(largest), INFINITE, lambda k: "a coordinate is infinite")
    text = "a coordinate is {:.3g} px"
    far = largest > MAX_PIXELS
    add_faults(faults, far, FAR_IN_PICTURE, lambda k: text.format(largest[k]))
    return dict(sorted(faults.items()))


def _check_bones(
    faults: Faults, coords: np.ndarray, bones: Bones, params: CheckParams, one_person: bool
) -> None:
    """Adds poses ``[n, J, 3]`` with a bone too short, too long, or not like in other poses.

    All poses are added that show it if their median is nobody's.
    """
    if not len(bones.pairs):
        return
    vectors = coords[:, bones.pairs[:, 0]] - coords[:, bones.pairs[:, 1]]
    lengths = np.sqrt(np.einsum("nbk,nbk->nb", vectors, vectors))
    smallest, largest = (m * 1000 for m in params.statures)
    low = np.nan_to_num(LIMB_TOLERANCE[0] * smallest * bones.shares)
    high = np.where(np.isnan(bones.shares), LONGEST_BONE, LIMB_TOLERANCE[1] * bones.shares)
    high *= largest
    unfit = (lengths < low) | (lengths > high)

    def describe(k: int, b: int) -> str:
        return f"{bones.names[b]} is {lengths[k, b]:.3g} mm long"

    def unfit_text(k: int) -> str:
        b = int(np.argmax(unfit[k]))
        return f"{describe(k, b)}, expected {low[b]:.0f} to {high[b]:.0f}"

    add_faults(faults, unfit.any(axis=1), BONE_LENGTH, unfit_text)
    if len(coords) <= FEW_POSES:
        return
    # Missing ones are sorted to the end.
    present = np.isfinite(lengths).sum(axis=0)
    ordered, bone = np.sort(lengths, axis=0), np.arange(len(present))
    usual = (ordered[np.maximum(present - 1, 0) // 2, bone] + ordered[present // 2, bone]) / 2
    usual = np.where(present > FEW_POSES, usual, np.nan)
    if one_person:
        allowed = np.fmax(params.bone_change * usual, params.bone_change_mm)
        changed = np.abs(lengths - usual) > allowed

        def changed_text(k: int) -> str:
            b = int(np.argmax(changed[k]))
            return f"{describe(k, b)}, {usual[b]:.3g} in the median of the track"

        add_faults(faults, changed.any(axis=1), BONE_CHANGE, changed_text)
    known = np.isfinite(usual) & np.isfinite(bones.shares)
    if known.sum() >= MIN_LIMBS:
        stature = float(np.median(usual[known] / bones.shares[known]))
        low_mm, high_mm = smallest * STATURE_TOLERANCE[0], largest * STATURE_TOLERANCE[1]
        wrong = np.isfinite(lengths[:, known]).any(axis=1) & ~(low_mm <= stature <= high_mm)
        text = (
            f"arms and legs are those of somebody of {stature / 1000:.2g} m, expected "
            f"{low_mm / 1000:.2g} to {high_mm / 1000:.2g}"
        )
        add_faults(faults, wrong, STATURE, lambda k: text)

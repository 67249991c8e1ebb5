"""Whether people are where their boxes are, and boxes as large as people."""

from __future__ import annotations

from collections.abc import Sequence as List
from typing import TYPE_CHECKING

import numpy as np

from posepile.geometry.pictures import inside
from posepile.stages.limbs import REACHING_JOINTS
from posepile.stages.plausible import FEW_JOINTS, IMPLAUSIBLE, add_faults

if TYPE_CHECKING:
    from posepile.stages.plausible import CheckParams, Faults

NOT_IN_PICTURE = IMPLAUSIBLE + "no joint in the picture"
OUTSIDE_BOX = IMPLAUSIBLE + "joints outside of the box"
BOX_TOO_SMALL = IMPLAUSIBLE + "box too small for the joints"
BOX_TOO_LARGE = IMPLAUSIBLE + "box too large for the joints"

# In units of the longer side: how far around the box joints count as inside, and how much longer
# or shorter the box of the limbs may be. Half of a person may be hidden, or most of them.
BOX_MARGIN, USUAL_BOX_MARGIN, BOX_SIZES = 0.25, 0.05, (1 / 12, 6)
FLESH = 0.05  # around joints, on each side, of the longer side of what they reach
WHOLE = 10  # so many joints of arms and legs make a person whole, of
N_REACHING = 2 * len(REACHING_JOINTS)


def check_views(
    people: List[tuple[np.ndarray | None, np.ndarray | None]],
    size: tuple[int, int],
    limbs: np.ndarray,
    params: CheckParams,
) -> tuple[Faults, dict[int, tuple[float, bool]]]:
    """Returns which people of a frame cannot be where their box says, and how well the others fit.

    Args:
        people: Joints ``[J, 2]`` in pixels, NaN = missing, and box x, y, width, height of each;
            who lacks one of them is not looked at.
        size: Width and height of the picture.
        limbs: Indices of the joints of arms and legs.
        params: Limits.

    Returns:
        Position in ``people`` -> the reason, and what was found there; and of each other one the
        share of the joints in the picture that are in the box, or hardly outside, and whether
        arms and legs are nearly all in the picture.
    """
    known = [i for i, (points, box) in enumerate(people) if points is not None and box is not None]
    if not known:
        return {}, {}
    points = np.array([people[i][0] for i in known], np.float64)
    boxes = np.array([people[i][1] for i in known], np.float64)
    longer = boxes[:, 2:].max(axis=1)
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    outside = np.maximum(low - points, points - high).max(axis=-1) / longer[:, None]
    pictured = inside(points, size)
    n_pictured = pictured.sum(axis=1)
    n_boxed = (pictured & (outside <= BOX_MARGIN)).sum(axis=1)
    faults: Faults = {}
    add_faults(faults, n_pictured == 0, NOT_IN_PICTURE, lambda k: "no joint is in the picture")
    few = (n_pictured > FEW_JOINTS) & (n_boxed < params.joints_in_box * n_pictured)
    text = "{} of {} joints in the picture are in or near the box {}"
    add_faults(
        faults, few, OUTSIDE_BOX,
        lambda k: text.format(n_boxed[k], n_pictured[k], boxes[k].round().tolist()),
    )  # fmt: skip
    of_limbs = points[:, limbs]
    unknown = ~np.isfinite(of_limbs)
    enough = (~unknown[..., 0]).sum(axis=1) >= 4
    # A foot near the plane of the camera lands tens of thousands of pixels away.
    w, h = size
    of_limbs = np.minimum(np.maximum(of_limbs, (-w, -h)), (2 * w, 2 * h))
    high = np.where(unknown, -np.inf, of_limbs).max(axis=1, initial=-np.inf)
    low = np.where(unknown, np.inf, of_limbs).min(axis=1, initial=np.inf)
    span = (high - low).max(axis=1)
    ratio = longer / np.where(enough & (span > 0), span, longer)
    text = "the box {} is {:.2g} times as long as arms and legs reach"
    for wrong, reason in (
        (ratio < BOX_SIZES[0], BOX_TOO_SMALL),
        (ratio > BOX_SIZES[1], BOX_TOO_LARGE),
    ):
        add_faults(
            faults, wrong, reason, lambda k: text.format(boxes[k].round().tolist(), ratio[k])
        )
    shares = (pictured & (outside <= USUAL_BOX_MARGIN)).sum(axis=1) / np.maximum(n_pictured, 1)
    # Some skeletons have every joint of a limb twice.
    n_limb_joints = max(1, len(limbs) / N_REACHING) * WHOLE
    whole = pictured[:, limbs].sum(axis=1) >= n_limb_joints
    fitting = {
        known[k]: (float(shares[k]), bool(whole[k])) for k in range(len(known)) if k not in faults
    }
    return {known[k]: fault for k, fault in faults.items()}, fitting


def box_fits(points: np.ndarray, boxes: np.ndarray, expand: float = 1.0) -> np.ndarray:
    """Returns IoU ``[n]`` of boxes with the boxes of joints that have some flesh around them.

    Args:
        points: ``[n, J, 2]`` pixels, NaN = missing.
        boxes: ``[n, 4]`` x, y, width, height.
        expand: Factor by which boxes have been enlarged; it is undone.
    """
    points, boxes = np.asarray(points, np.float64), np.asarray(boxes, np.float64)
    known = np.isfinite(points)
    low = np.where(known, points, np.inf).min(axis=1)
    high = np.where(known, points, -np.inf).max(axis=1)
    flesh = FLESH * (high - low).max(axis=1, keepdims=True)
    low, high = low - flesh, high + flesh
    half = boxes[:, 2:] / 2 / expand
    center = boxes[:, :2] + boxes[:, 2:] / 2
    common = np.minimum(high, center + half) - np.maximum(low, center - half)
    common = np.prod(np.maximum(common, 0), axis=1)
    return common / (np.prod(high - low, axis=1) + np.prod(2 * half, axis=1) - common)

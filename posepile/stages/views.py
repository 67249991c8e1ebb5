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
LEAVING = "no joint in the picture, but flesh at its edge"  # no reason to doubt other people
OUTSIDE_BOX = IMPLAUSIBLE + "joints outside of the box"
BOX_TOO_SMALL = IMPLAUSIBLE + "box too small for the joints"
BOX_TOO_LARGE = IMPLAUSIBLE + "box too large for the joints"

# In units of the longer side: how far around the box joints count as inside, and how much longer
# or shorter the box of the limbs may be. Half of a person may be hidden, or most of them.
BOX_MARGIN, USUAL_BOX_MARGIN, BOX_SIZES = 0.25, 0.05, (1 / 12, 6)
EDGE_PX = 1.0  # boxes that end as near to the picture's edge may go on beyond it
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
    of_limbs = points[:, limbs]
    # A foot near the plane of the camera lands tens of thousands of pixels away.
    w, h = size
    reach = np.minimum(np.maximum(of_limbs, (-w, -h)), (2 * w, 2 * h))
    leaving = (n_pictured == 0) & _at_edge(points, boxes, _longer_side(reach), size)
    add_faults(faults, leaving, LEAVING, lambda k: "no joint is in the picture")
    add_faults(faults, n_pictured == 0, NOT_IN_PICTURE, lambda k: "no joint is in the picture")
    few = (n_pictured > FEW_JOINTS) & (n_boxed < params.joints_in_box * n_pictured)
    text = "{} of {} joints in the picture are in or near the box {}"
    add_faults(
        faults, few, OUTSIDE_BOX,
        lambda k: text.format(n_boxed[k], n_pictured[k], boxes[k].round().tolist()),
    )  # fmt: skip
    enough = np.isfinite(of_limbs[..., 0]).sum(axis=1) >= 4
    # A box may end where the picture does.
    shown = np.where(pictured[:, limbs, None], of_limbs, np.nan)
    text = "the box {} is {:.2g} times as long as arms and legs reach"
    for joints, fits, reason in (
        (shown, lambda ratio: ratio >= BOX_SIZES[0], BOX_TOO_SMALL),
        (reach, lambda ratio: ratio <= BOX_SIZES[1], BOX_TOO_LARGE),
    ):
        span = _longer_side(joints)
        ratio = longer / np.where(enough & (span > 0), span, longer)
        add_faults(
            faults, ~fits(ratio), reason,
            lambda k, ratio=ratio: text.format(boxes[k].round().tolist(), ratio[k]),
        )  # fmt: skip
    shares = (pictured & (outside <= USUAL_BOX_MARGIN)).sum(axis=1) / np.maximum(n_pictured, 1)
    # Some skeletons have every joint of a limb twice.
    n_limb_joints = max(1, len(limbs) / N_REACHING) * WHOLE
    whole = pictured[:, limbs].sum(axis=1) >= n_limb_joints
    fitting = {
        known[k]: (float(shares[k]), bool(whole[k])) for k in range(len(known)) if k not in faults
    }
    return {known[k]: fault for k, fault in faults.items()}, fitting


def _at_edge(
    points: np.ndarray, boxes: np.ndarray, reach: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Which boxes ``[n, 4]`` reach the picture's edge and may hold flesh around a joint beyond.

    Args:
        points: ``[n, J, 2]`` pixels, NaN = missing.
        boxes: x, y, width, height.
        reach: Longer sides ``[n]`` of the boxes of arms and legs.
        size: Width and height of the picture.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    cut = (low <= EDGE_PX - 0.5) | (high >= np.array(size) - 0.5 - EDGE_PX)
    away = np.maximum(np.maximum(low[:, None] - points, points - high[:, None]), 0)
    away = np.linalg.norm(np.where(np.isnan(away), np.inf, away), axis=-1).min(axis=1)
    # On either side of the joints; a trunk is thicker than limbs.
    return cut.any(axis=1) & (away <= 4 * FLESH * reach)


def _longer_side(points: np.ndarray) -> np.ndarray:
    """Longer sides ``[n]`` of the boxes of points ``[n, J, 2]``; -inf where none is known."""
    known = np.isfinite(points)
    high = np.where(known, points, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(known, points, np.inf).min(axis=1, initial=np.inf)
    return (high - low).max(axis=1)


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

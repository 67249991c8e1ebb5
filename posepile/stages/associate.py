"""Which detected box is which annotated person.

The box around a person's projected joints, or the annotated one, is compared with every detection.
The assignment is one-to-one and maximises the sum of IoUs over all pairs that are allowed at all,
so that two people close together cannot both take the better box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boxlib
import numpy as np

from posepile.geometry.pictures import box_of_points
from posepile.models.boxes import iou_matrix

if TYPE_CHECKING:
    from posepile.models.params import DetectParams

NO_JOINTS = "no joint in the image"
NO_BOX = "no box in the annotations"
NO_DETECTION = "no detection in the image"
LOW_IOU = "no detection overlaps enough"
TOO_LARGE = "the overlapping detection is too large"
FEW_JOINTS = "no overlapping detection holds enough joints"
TAKEN = "the matching detection belongs to another person"


@dataclass(frozen=True)
class AssociateResult:
    """The outcome for the people of one image.

    Attributes:
        index: Row of ``boxes`` for each person, -1 = none; int ``[P]``.
        reasons: Why a person has none, None where there is one; ``P`` entries.
        iou: IoU of the compared box with the assigned detection, 0 where none; float ``[P]``.
    """

    index: np.ndarray
    reasons: list[str | None]
    iou: np.ndarray = field(default_factory=lambda: np.zeros(0))


def joints_inside(boxes: np.ndarray, joints2d: np.ndarray) -> np.ndarray:
    """How many joints of each person lie in each box: int ``[P, n]``."""
    boxes = np.asarray(boxes, np.float64)[:, :4]
    x, y = np.moveaxis(np.asarray(joints2d, np.float64)[:, None], -1, 0)  # [P, 1, J]
    x0, y0, w, h = (boxes[:, i][None, :, None] for i in range(4))
    return ((x >= x0) & (x <= x0 + w) & (y >= y0) & (y <= y0 + h)).sum(axis=-1)


def associate(
    boxes: np.ndarray,
    joints2d: np.ndarray,
    params: DetectParams,
    annotated: np.ndarray | None = None,
) -> AssociateResult:
    """Assigns detections to people, one-to-one.

    A pair is allowed if the IoU of the detection with the (expanded) box of the person is at least
    ``params.iou``, its area below ``params.max_area`` times that of this box, and the detection
    holds at least ``params.min_joints_inside`` of the person's joints, or all of them if the
    person has fewer. Among the allowed pairs the assignment with the most pairs is taken, and
    among those the one with the largest sum of IoUs.

    Args:
        boxes: ``[n, 4]`` or ``[n, 5]`` x, y, w, h(, score) in the pixels of the joints.
        joints2d: ``[P, J, 2]``, NaN = missing.
        params: Thresholds (``iou``, ``expand``, ``max_area``, ``min_joints_inside``).
        annotated: Boxes ``[P, 4]`` of the people that are compared instead of those of their
            joints, NaN where there is none.

    Returns:
        Index of the detection per person, and the reason where there is none.
    """
    boxes = np.asarray(boxes, np.float64)
    boxes = boxes.reshape(-1, boxes.shape[-1] if boxes.ndim == 2 else 5)
    joints2d = np.asarray(joints2d, np.float64)
    n_people = len(joints2d)
    index = np.full(n_people, -1)
    n_joints = np.isfinite(joints2d).all(axis=-1).sum(axis=-1)

    if annotated is None:
        people = box_of_points(joints2d, None, params.expand)
    else:
        people = np.asarray(annotated, np.float64).reshape(-1, 4)
        people = np.array([boxlib.expand(box, params.expand) for box in people]).reshape(-1, 4)
    known = np.isfinite(people).all(axis=-1)
    iou = np.where(known[:, None], iou_matrix(people, boxes[:, :4]), 0)
    needed = np.minimum(params.min_joints_inside, n_joints)[:, None]
    overlaps = (iou >= params.iou) & (iou > 0)
    fits = overlaps
    if params.max_area is not None:
        areas = np.prod(boxes[:, 2:4], axis=-1)
        fits = overlaps & (areas < params.max_area * np.prod(people[:, 2:], axis=-1)[:, None])
    allowed = fits & (joints_inside(boxes, joints2d) >= needed)

    from scipy.optimize import linear_sum_assignment  # slow to import, so not for everyone

    # Every allowed pair gains more than all IoUs together could, so no pair is given up for a
    # better sum; pairs that are not allowed gain nothing and are removed afterwards.
    gain = np.where(allowed, min(iou.shape) + 1.0 + iou, 0.0)
    for p, d in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if allowed[p, d]:
            index[p] = d

    reasons: list[str | None] = []
    for p in range(n_people):
        if index[p] >= 0:
            reasons.append(None)
        elif not known[p]:
            reasons.append(NO_JOINTS if annotated is None else NO_BOX)
        elif len(boxes) == 0:
            reasons.append(NO_DETECTION)
        elif not overlaps[p].any():
            reasons.append(LOW_IOU)
        elif not fits[p].any():
            reasons.append(TOO_LARGE)
        elif not allowed[p].any():
            reasons.append(FEW_JOINTS)
        else:
            reasons.append(TAKEN)
    matched = index >= 0
    value = np.where(matched, iou[np.arange(n_people), index] if len(boxes) else 0.0, 0.0)
    return AssociateResult(index, reasons, value)

"""Which detected box is which annotated person.

The box around a person's projected joints is compared with every detection; the assignment is
one-to-one and maximises the sum of IoUs over all pairs that are allowed at all, so that two people
close together cannot both take the better box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from posepile.geometry.pictures import box_of_points
from posepile.models.boxes import iou_matrix

if TYPE_CHECKING:
    from posepile.models.params import DetectParams

NO_JOINTS = "no joint in the image"
NO_DETECTION = "no detection in the image"
LOW_IOU = "no detection overlaps enough"
FEW_JOINTS = "no overlapping detection holds enough joints"
TAKEN = "the matching detection belongs to another person"


@dataclass(frozen=True)
class AssociateResult:
    """The outcome for the people of one image.

    Attributes:
        index: Row of ``boxes`` for each person, -1 = none; int ``[P]``.
        reasons: Why a person has none, None where there is one; ``P`` entries.
        iou: IoU of the joint box with the assigned detection, 0 where none; float ``[P]``.
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


def associate(boxes: np.ndarray, joints2d: np.ndarray, params: DetectParams) -> AssociateResult:
    """Assigns detections to people, one-to-one.

    A pair is allowed if the IoU of the detection with the (expanded) box of the projected joints
    is at least ``params.iou`` and the detection holds at least ``params.min_joints_inside`` of the
    person's joints, or all of them if the person has fewer. Among the allowed pairs the assignment
    with the most pairs is taken, and among those the one with the largest sum of IoUs.

    Args:
        boxes: ``[n, 4]`` or ``[n, 5]`` x, y, w, h(, score) in the pixels of the joints.
        joints2d: ``[P, J, 2]``, NaN = missing.
        params: Thresholds (``iou``, ``expand``, ``min_joints_inside``).

    Returns:
        Index of the detection per person, and the reason where there is none.
    """
    boxes = np.asarray(boxes, np.float64)
    boxes = boxes.reshape(-1, boxes.shape[-1] if boxes.ndim == 2 else 5)
    joints2d = np.asarray(joints2d, np.float64)
    n_people = len(joints2d)
    index = np.full(n_people, -1)
    n_joints = np.isfinite(joints2d).all(axis=-1).sum(axis=-1)

    iou = iou_matrix(box_of_points(joints2d, None, params.expand), boxes[:, :4])
    needed = np.minimum(params.min_joints_inside, n_joints)[:, None]
    overlaps = (iou >= params.iou) & (iou > 0)
    allowed = overlaps & (joints_inside(boxes, joints2d) >= needed)

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
        elif n_joints[p] == 0:
            reasons.append(NO_JOINTS)
        elif len(boxes) == 0:
            reasons.append(NO_DETECTION)
        elif not overlaps[p].any():
            reasons.append(LOW_IOU)
        elif not allowed[p].any():
            reasons.append(FEW_JOINTS)
        else:
            reasons.append(TAKEN)
    matched = index >= 0
    value = np.where(matched, iou[np.arange(n_people), index] if len(boxes) else 0.0, 0.0)
    return AssociateResult(index, reasons, value)

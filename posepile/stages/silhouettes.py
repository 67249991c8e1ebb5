"""Whether the masks of people are where their boxes and joints are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import rlemasklib

from posepile.geometry.pictures import box_of_mask, inside
from posepile.stages.plausible import FEW_JOINTS, IMPLAUSIBLE

if TYPE_CHECKING:
    from posepile.stages.plausible import CheckParams

MASK_ELSEWHERE = IMPLAUSIBLE + "mask outside of the box"
MARGIN = 0.02  # of the box's longer side: joints may lie that far outside of a mask
AROUND = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float64)


def check_masks(
    people: Sequence[tuple[np.ndarray | None, np.ndarray, dict | None]], params: CheckParams
) -> tuple[dict[int, tuple[str, str]], list[float]]:
    """Returns whose mask is not where the box is, and how well the others fit the joints.

    Args:
        people: Of each the joints ``[J, 2]`` in pixels, None = not known, the box x, y, width,
            height, and the mask of the picture as RLE; None = there is none.
        params: Limits.

    Returns:
        Position in ``people`` -> the reason, and what was found; and for each other one the share
        of the joints in the picture that are on the mask, or nearly.
    """
    faults, shares = {}, []
    for i, (points, box, mask) in enumerate(people):
        frame = box_of_mask(mask)
        if np.isnan(frame[2]):  # without a pixel
            continue
        share = common_share(frame, box)
        if share < params.mask_in_box:
            at, of = ([round(float(value)) for value in place] for place in (frame, box))
            faults[i] = MASK_ELSEWHERE, f"the mask at {at} and the box {of} share {share:.0%}"
        elif points is not None:
            pictured = points[inside(points, mask["size"][::-1])]
            if len(pictured) > FEW_JOINTS:
                shares.append(float(on_mask(pictured, mask, MARGIN * max(box[2:])).mean()))
    return faults, shares


def common_share(frame: np.ndarray, box: np.ndarray) -> float:
    """Returns what two boxes x, y, width, height share, of the smaller one."""
    x, y, w, h = map(float, frame)
    left, top, width, height = map(float, box)
    across = min(x + w, left + width) - max(x, left)
    down = min(y + h, top + height) - max(y, top)
    return max(across, 0) * max(down, 0) / max(min(w * h, width * height), 1e-9)


def on_mask(points: np.ndarray, mask: dict, margin: float) -> np.ndarray:
    """Returns which points ``[n, 2]`` of a picture lie on a mask, or as near as ``margin`` pixels.

    The mask is not decoded: where in the runs of its columns a pixel is, is looked up.
    """
    height, width = mask["size"]
    ends = np.cumsum(rlemasklib.RLEMask.from_dict(mask).counts_view)
    near = (points[:, None] + (margin * AROUND + 0.5)).astype(np.int64)
    near = np.minimum(np.maximum(near, 0), (width - 1, height - 1))
    # Runs are of background and mask in turn.
    runs = np.searchsorted(ends, near[..., 0] * height + near[..., 1], side="right")
    return (runs % 2 == 1).any(axis=1)

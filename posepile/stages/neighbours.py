"""What the crop stage tells segmentation of the other people in a crop.

The crop stage sees the frame and leaves what is known of them in its part, in pixels of each crop;
segmentation can then run later and elsewhere. No archive contains it. It is kept only of crops
without a mask of their own, the others are not segmented: 20 bytes and 4 for each joint per
neighbour, and their mask if they have one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FAR = 30000  # pixels; twice that is still a float16


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What is known of another person in a crop.

    Attributes:
        joints: ``[J, 2]`` pixels of the crop, NaN = missing.
        bbox: x, y, width, height in pixels of the crop, NaN = not known.
        mask: RLE dict of the crop's size, or None.
    """

    joints: np.ndarray
    bbox: np.ndarray
    mask: dict | None = None


def to_arrays(rows: list[list[Neighbour]]) -> dict[str, np.ndarray]:
    """Returns the neighbours of each example as arrays by name; none where there are none.

    Pixels of crops are float16: below 1024 they are rounded by at most a quarter of a pixel.
    """
    flat = [(row, person) for row, people in enumerate(rows) for person in people]
    if not flat:
        return {}
    masks = [b"" if p.mask is None else bytes(p.mask["counts"]) for _, p in flat]
    with np.errstate(over="ignore"):  # joints too far away to matter
        joints = np.array([p.joints for _, p in flat], np.float16)
    x, y, w, h = np.array([p.bbox for _, p in flat], np.float64).T
    # What reaches far beyond the crop on both sides still covers it.
    low, high = np.clip([[x, y], [x + w, y + h]], -_FAR, _FAR)
    boxes = np.concatenate([low, high - low]).T.astype(np.float16)
    return {
        "neighbours_row": np.array([row for row, _ in flat], np.int32),
        "neighbours_joints": joints,
        "neighbours_bbox": boxes,
        "neighbours_mask": np.frombuffer(b"".join(masks), np.uint8),
        "neighbours_mask_ptr": np.cumsum([0, *map(len, masks)]).astype(np.uint64),
    }


def from_arrays(
    arrays: dict[str, np.ndarray], shapes: list[tuple[int, int]]
) -> list[list[Neighbour]]:
    """Inverse of :func:`to_arrays`.

    Args:
        arrays: By name.
        shapes: Height and width of the crop of each example.
    """
    rows: list[list[Neighbour]] = [[] for _ in shapes]
    if "neighbours_row" not in arrays:
        return rows
    joints, boxes = arrays["neighbours_joints"], arrays["neighbours_bbox"]
    data, ptr = arrays["neighbours_mask"].tobytes(), arrays["neighbours_mask_ptr"].tolist()
    for i, row in enumerate(arrays["neighbours_row"].tolist()):
        counts = data[ptr[i] : ptr[i + 1]]
        mask = {"size": list(shapes[row]), "counts": counts} if counts else None
        points, box = (np.array(values[i], np.float32) for values in (joints, boxes))
        points[~np.isfinite(points).all(axis=-1)] = np.nan
        rows[row].append(Neighbour(points, box, mask))
    return rows

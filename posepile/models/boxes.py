"""Operations on boxes in image pixels, plain numpy.

Boxes are x, y, width, height in pixels of the given image, in the convention of the annotations
the networks were trained on: the whole image is the box (0, 0, width, height). An image that is
resized from width ``w`` to ``w'`` takes its boxes along by the plain factor ``w'/w`` (points,
whose pixel centres are at integers, by ``(x + 0.5) * w'/w - 0.5``). Letterboxing rounds the
resized size down to whole pixels, so the factor differs a little between the axes, and boxes are
taken back by the factor of each axis, not by the common nominal ratio.
"""

from __future__ import annotations

import numpy as np


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a: ``[n, 4]`` x, y, w, h, more columns are ignored; NaN rows overlap nothing.
        b: ``[m, 4]`` likewise.

    Returns:
        float64 ``[n, m]``.
    """
    a = _four(a)[:, None]
    b = _four(b)[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - common
    good = np.isfinite(union) & (union > 0)
    return np.where(good, common / np.where(good, union, 1), 0.0)


def _four(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, np.float64)
    return boxes[:, :4] if boxes.size else np.zeros((0, 4))


def nms(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, iou: float) -> np.ndarray:
    """Class-aware non-maximum suppression.

    Args:
        boxes: ``[n, 4]`` x, y, w, h, more columns are ignored.
        scores: ``[n]``.
        classes: ``[n]``; boxes of different classes do not suppress each other.
        iou: A box is dropped if it overlaps a kept, better one by more than this.

    Returns:
        Indices of the kept boxes, best first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, classes = boxes[order], classes[order]
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            later = i + 1 + np.flatnonzero(alive[i + 1 :] & (classes[i + 1 :] == classes[i]))
            alive[later[iou_matrix(boxes[i : i + 1], boxes[later])[0] > iou]] = False
    return order[alive]


def scale_boxes(boxes: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """Takes boxes from an image of ``size`` (w, h) to the same image resized to ``new_size``.

    Args:
        boxes: ``[n, 4]`` or ``[n, 5]`` x, y, w, h(, score).
        size: Of the image the boxes belong to.
        new_size: Of the image they are wanted for.

    Returns:
        A float32 copy.
    """
    scaled = np.array(boxes, np.float32)
    scaled[:, :4] *= np.array([new_size[0] / size[0], new_size[1] / size[1]] * 2, np.float32)
    return scaled


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cuts boxes to an image of ``size`` (w, h) and drops those of which nothing is left."""
    low = np.clip(boxes[:, :2], 0, size)
    high = np.clip(boxes[:, :2] + boxes[:, 2:4], 0, size)
    clipped = np.concatenate([low, high - low, boxes[:, 4:]], axis=1)
    return clipped[((high - low) > 0).all(axis=1)]

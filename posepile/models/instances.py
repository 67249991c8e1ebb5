"""Instance networks: boxes with classes and a mask for each, of which one is the wanted person.

They are detectors whose outputs hold masks besides, so they are recognised, and their boxes
checked, as detectors are (:mod:`posepile.models.recognise`): YOLO with prototypes, before and
after suppression; RF-DETR; RTMDet-Ins and Mask R-CNN of OpenMMLab; torchvision's Mask R-CNN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from posepile.errors import UsageError
from posepile.models.boxes import nms, scale_boxes
from posepile.models.decoders import Given, Outputs
from posepile.models.decoders.detr import _arrays as queries_of
from posepile.models.decoders.form import cells_of_people, centred, cornered
from posepile.models.decoders.listed import read, read_mmdet
from posepile.models.onnx import ImageNetwork, refuse_nan
from posepile.models.person_mask import choose_instance
from posepile.models.recognise import Recognised, n_classes

SCORE, IOU = 0.25, 0.6  # lowest score of an instance; overlap above which the weaker is dropped
MOST = 40  # instances that are looked at
_WHOLE = 4  # a mask of fewer pixels than a quarter of the input is one of a box


@dataclass(frozen=True)
class Found:
    """Instances of people in one picture.

    Attributes:
        boxes: ``[n, 5]`` x, y, w, h in pixels of the network's input, and score, best first.
        masks: ``[n, h, w]``, of the whole input, or of its box each.
        level: Above it is the person.
        cut: Whether a mask counts within its box alone.
    """

    boxes: np.ndarray
    masks: np.ndarray
    level: float = 0.0
    cut: bool = False


def _four_dimensional(outputs: Outputs) -> np.ndarray:
    return next(out for out in outputs.values() if out.ndim >= 4)


def _by_prototypes(boxes, scores, coefficients, outputs: Outputs) -> Found:
    """Masks as sums of prototypes ``[1, k, h, w]`` by coefficients ``[n, k]``."""
    (prototypes,) = _four_dimensional(outputs)
    k, h, w = prototypes.shape
    order = np.argsort(-scores, kind="stable")[:MOST]
    masks = coefficients[order, :k].astype(np.float32) @ prototypes.reshape(k, -1)
    rows = np.concatenate([boxes[order], scores[order, None]], axis=1)
    return Found(rows, masks.reshape(-1, h, w), cut=True)


def read_cells(outputs: Outputs, given: Given) -> Found:
    """Reads YOLO v8 to v12: ``[1, 4 + classes + k, cells]``."""
    first, *_ = outputs.values()
    rows, n = first[0].T, 4 + given.n_classes
    hit, scores = cells_of_people(rows[:, 4:n], given)
    return _suppressed(centred(rows[hit, :4]), scores, rows[hit, n:], outputs, given)


def read_anchors(outputs: Outputs, given: Given) -> Found:
    """Reads YOLO v5 and v7: ``[1, boxes, 5 + classes + k]``."""
    first, *_ = outputs.values()
    rows, n = first[0], 5 + given.n_classes
    hit, scores = cells_of_people(rows[:, 5:n], given, rows[:, 4])
    return _suppressed(centred(rows[hit, :4]), scores, rows[hit, n:], outputs, given)


def _suppressed(boxes, scores, coefficients, outputs: Outputs, given: Given) -> Found:
    keep = nms(boxes, scores, np.zeros(len(boxes)), given.nms)
    return _by_prototypes(boxes[keep], scores[keep], coefficients[keep], outputs)


def read_rows(outputs: Outputs, given: Given) -> Found:
    """Reads YOLO after suppression: ``[1, n, 6 + k]``, corners, score, class, coefficients."""
    first, *_ = outputs.values()
    rows = first[0]
    rows = rows[(rows[:, 5] == given.person_class) & (rows[:, 4] >= given.score)]
    return _by_prototypes(cornered(rows[:, :4]), rows[:, 4], rows[:, 6:], outputs)


def read_queries(outputs: Outputs, given: Given) -> Found:
    """Reads RF-DETR: logits, boxes as shares and masks ``[1, queries, h, w]``."""
    logits, boxes = queries_of({name: out for name, out in outputs.items() if out.ndim == 3})
    scores = 1 / (1 + np.exp(-logits[0, :, given.person_class].astype(np.float32)))
    h, w = given.input_size
    return _listed(centred(boxes[0]) * np.float32([w, h, w, h]), scores, outputs, given)


def read_corners(outputs: Outputs, given: Given) -> Found:
    """Reads lists of corners, scores and classes beside masks (torchvision)."""
    return _of_class(*read(_without_masks(outputs)), outputs, given)


def read_dets(outputs: Outputs, given: Given) -> Found:
    """Reads dets ``[1, n, 5]`` and labels beside masks (OpenMMLab)."""
    return _of_class(*read_mmdet(_without_masks(outputs)), outputs, given)


def _without_masks(outputs: Outputs) -> Outputs:
    return {name: out for name, out in outputs.items() if out.ndim < 4}


def _of_class(corners, scores, labels, outputs: Outputs, given: Given) -> Found:
    mine = np.where(np.round(labels[0]) == given.person_class, scores[0], 0)
    return _listed(cornered(corners[0]), mine, outputs, given)


def _listed(boxes, scores, outputs: Outputs, given: Given) -> Found:
    """Instances whose masks are in the order of their boxes."""
    every = _four_dimensional(outputs)[0]
    masks = every.reshape(len(every), *every.shape[-2:])
    order = np.flatnonzero(scores >= given.score)
    order = order[np.argsort(-scores[order], kind="stable")][:MOST]
    # Logits of people who are hardly there may be positive nowhere, but not of all boxes.
    level = 0.0 if masks.dtype.kind == "f" and masks.min(initial=0) < 0 else 0.5
    rows = np.concatenate([boxes[order], scores[order, None]], axis=1)
    return Found(rows, masks[order].astype(np.float32), level)


READERS: dict[str, Callable[[Outputs, Given], Found]] = {
    "yolo": read_cells,
    "yolov5": read_anchors,
    "yolo_list": read_rows,
    "rfdetr": read_queries,
    "mmdet": read_dets,
    "torchvision": read_corners,
}


class Instances:
    """A network that finds instances, of which the one is taken that fits the person."""

    kind = "instances"

    def __init__(self, network: ImageNetwork, found: Recognised):
        masks = [port for port in network.signature.outputs if len(port.shape) >= 4]
        if found.form.name not in READERS or not masks:
            raise UsageError(
                f"{network.path}: {network.signature}: a detector ({found.form.title}), which "
                f"gives boxes and no masks; name it under detect.model"
            )
        self.network = network
        self.form = found.form
        self.title = f"instances: {found.form.title}, masks in {masks[0]}"
        self.why = found.why
        self.given = Given(
            network.input_size, found.person_class, SCORE, IOU, n_classes(network, found.form)
        )
        network.show(found.look, found.form)

    def find(self, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the people in a uint8 RGB picture.

        Returns:
            Boxes ``[n, 5]`` x, y, w, h and score in its pixels, best first; masks bool
            ``[n, h, w]``.
        """
        outputs = self.network.answer([crop])
        refuse_nan(outputs, self.network.path)
        found = READERS[self.form.name](outputs, self.given)
        size = crop.shape[1::-1]
        boxes = np.array(found.boxes, np.float32)
        boxes[:, :2] -= self.network.offset(size)
        boxes = scale_boxes(boxes, self.network.resized_size(size), size)
        masks = np.zeros((len(boxes), *crop.shape[:2]), bool)
        for mask, plane, own in zip(masks, found.masks, boxes, strict=True):
            mask[:] = self._in_crop(plane, own, size) > found.level
            if found.cut:
                self._cut(mask, own)
        there = masks.any(axis=(1, 2))
        low, high = np.clip(boxes[:, :2], 0, size), np.clip(boxes[:, :2] + boxes[:, 2:4], 0, size)
        boxes = np.concatenate([low, high - low, boxes[:, 4:]], axis=1)
        return boxes[there], masks[there]

    def _in_crop(self, plane: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A mask of the network's input, or of a box, in the pixels of the picture."""
        (h, w), inner = self.network.input_size, np.array(plane.shape[::-1], float)
        if plane.shape[0] * _WHOLE >= h:
            part = np.array(self.network.resized_size(size), float)
            step = part / size * inner / [w, h]
            first = (0.5 * part / size + self.network.offset(size)) * inner / [w, h] - 0.5
            border = cv2.BORDER_REPLICATE
        else:
            extent = np.maximum(box[2:4].astype(float), 1e-3)
            step = inner / extent
            first = (0.5 - box[:2]) * step - 0.5
            border = cv2.BORDER_CONSTANT
        columns, rows = (
            (first[i] + step[i] * np.arange(size[i])).astype(np.float32) for i in (0, 1)
        )
        columns, rows = np.meshgrid(columns, rows)
        return cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=border)

    def _cut(self, mask: np.ndarray, box: np.ndarray) -> None:
        """Clears what of a mask is not in its box: pixels count by their index, as in YOLO."""
        x0, y0, x1, y1 = *box[:2], *(box[:2] + box[2:4])
        rows, columns = np.arange(mask.shape[0]), np.arange(mask.shape[1])
        mask[(rows < y0) | (rows >= y1)] = False
        mask[:, (columns < x0) | (columns >= x1)] = False

    def __call__(self, crop, box, joints, others, edges) -> np.ndarray:
        """The instance that fits the person best, bool ``[h, w]``; empty if none does."""
        boxes, masks = self.find(crop)
        chosen = choose_instance(masks, boxes, joints, box, others)
        return np.zeros(crop.shape[:2], bool) if chosen is None else masks[chosen]

"""Ultralytics and its kin before suppression: YOLOv5 and v7 (anchors), v8 to v12 (cells)."""

from __future__ import annotations

import ast

import numpy as np

from posepile.models.decoders.form import (
    Form,
    Given,
    Look,
    Outputs,
    cells_of_people,
    centred,
    doubt_of_pixels,
    doubt_of_scores,
    only_picture,
    suppressed,
)
from posepile.models.decoders.grids import doubt_of_count, doubt_of_places, grid_of
from posepile.models.signature import Port, Signature

ANCHORS = 3  # per cell
LOOK = Look(resize="centred")  # RGB, 0..1


def _boxes_port(signature: Signature) -> Port | None:
    """The output of boxes: the first, of three dimensions; others are masks or feature maps."""
    first = signature.outputs[0]
    others = signature.outputs[1:]
    if not only_picture(signature) or len(first.shape) != 3:
        return None
    return first if all(len(port.shape) in (4, 5) for port in others) else None


def mask_columns(signature: Signature) -> int:
    """Returns how many columns of a box are mask coefficients: the channels of the prototypes."""
    prototypes = [port for port in signature.outputs[1:] if len(port.shape) == 4]
    return (prototypes[0].shape[1] or 0) if prototypes else 0


def keypoint_columns(signature: Signature) -> int:
    """Returns how many columns of a box are joints, by the metadata ``kpt_shape``."""
    try:
        shape = ast.literal_eval(signature.metadata.get("kpt_shape", "()"))
        return int(np.prod(shape)) if len(shape) == 2 else 0
    except (ValueError, SyntaxError, TypeError):
        return 0


def _extra(signature: Signature) -> int:
    return mask_columns(signature) + keypoint_columns(signature)


def claims_cells(signature: Signature) -> str | None:
    """Returns why a file may be a network of the v8 kind: ``[batch, 4 + classes, cells]``."""
    port = _boxes_port(signature)
    if port is None:
        return None
    _, columns, cells = port.shape
    if columns is None or columns < 5 or (cells is not None and cells < columns):
        return None
    return f"output {port}: boxes and classes by cell, without objectness"


def claims_anchors(signature: Signature) -> str | None:
    """Returns why a file may be a network of the v5 kind: ``[batch, boxes, 5 + classes]``."""
    port = _boxes_port(signature)
    if port is None:
        return None
    _, boxes, columns = port.shape
    if columns is None or columns < 6 or (boxes is not None and boxes < columns):
        return None
    return f"output {port}: {ANCHORS} boxes for each cell, with objectness and classes"


def n_classes_cells(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return signature.outputs[0].shape[1] - 4 - _extra(signature)


def n_classes_anchors(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return signature.outputs[0].shape[2] - 5 - _extra(signature)


def doubts_cells(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against boxes in pixels and probabilities, cell by cell."""
    rows = next(iter(outputs.values())).transpose(0, 2, 1)
    return _doubts(rows[..., :4], rows[..., 4 : 4 + (given.n_classes or 80)], given, 1)


def _classes_of_boxes(rows: np.ndarray, given: Given) -> np.ndarray:
    """Scores by class ``[..., classes]`` of rows with an objectness in column 4.

    YOLOv7 trains no class scores where there is one class alone: they stay near 0.5 and are left
    out, as its own suppression does.
    """
    classes = rows[..., 5 : 5 + (given.n_classes or rows.shape[-1])]
    untrained = classes.shape[-1] == 1 and np.abs(classes - 0.5).max(initial=0) < 0.05
    return np.ones_like(classes) if untrained else classes


def doubts_anchors(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against boxes in pixels, objectness and classes, box by box."""
    rows = next(iter(outputs.values()))
    objectness, classes = rows[..., 4:5], _classes_of_boxes(rows, given)
    signed = min(objectness.min(), classes.min()) < 0
    scores = np.concatenate([objectness, classes], axis=-1) if signed else objectness * classes
    return _doubts(rows[..., :4], scores, given, ANCHORS)


def _doubts(boxes: np.ndarray, scores: np.ndarray, given: Given, anchors: int) -> str | None:
    return (
        doubt_of_count(boxes.shape[1], given.input_size, anchors)
        or doubt_of_scores(scores)
        or doubt_of_pixels(boxes, given.input_size)
        or doubt_of_places(boxes, *grid_of(boxes.shape[1], given.input_size, anchors))
    )


def decode_cells(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads ``[batch, 4 + classes, cells]``, see :class:`Form`."""
    output = next(iter(outputs.values()))
    last = 4 + given.n_classes if given.n_classes else None  # what follows are masks, joints
    found = []
    for rows in output.transpose(0, 2, 1):
        hit, scores = cells_of_people(rows[:, 4:last], given)
        found.append(suppressed(centred(rows[hit, :4]), scores, given))
    return found


def decode_anchors(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads ``[batch, boxes, 5 + classes]``, see :class:`Form`."""
    found = []
    for rows in next(iter(outputs.values())):
        hit, scores = cells_of_people(_classes_of_boxes(rows, given), given, rows[:, 4])
        found.append(suppressed(centred(rows[hit, :4]), scores, given))
    return found


YOLO = Form(
    name="yolo",
    title="YOLO v8 to v12, before suppression",
    look=LOOK,
    claims=claims_cells,
    n_classes=n_classes_cells,
    doubts=doubts_cells,
    decode=decode_cells,
)
YOLOV5 = Form(
    name="yolov5",
    title="YOLO v5 or v7, before suppression",
    look=LOOK,
    claims=claims_anchors,
    n_classes=n_classes_anchors,
    doubts=doubts_anchors,
    decode=decode_anchors,
)

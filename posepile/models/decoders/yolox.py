"""YOLOX (Megvii, 2021), an anchor-free grid, with and without decoded boxes; also YOLOv6."""

from __future__ import annotations

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
from posepile.models.decoders.grids import (
    cells_away,
    doubt_of_count,
    doubt_of_places,
    grid,
    grid_of,
)
from posepile.models.signature import Signature


def claims(signature: Signature) -> str | None:
    """Returns why a file may be such a network: ``[batch, cells, 5 + classes]``."""
    if not only_picture(signature) or len(signature.outputs) != 1:
        return None
    (output,) = signature.outputs
    if len(output.shape) != 3 or (output.shape[2] is not None and output.shape[2] < 6):
        return None
    shape = signature.inputs[0].shape
    sides = shape[1:3] if shape[-1] == 3 else shape[2:]
    if None not in (*sides, output.shape[1]) and grid_of(output.shape[1], sides) is None:
        return None
    return f"output {output}: cells with objectness and classes"


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    last = signature.outputs[0].shape[-1]
    return None if last is None else last - 5


def _common_doubts(output: np.ndarray, given: Given) -> str | None:
    return doubt_of_count(output.shape[1], given.input_size) or doubt_of_scores(
        output[..., 4:5] * output[..., 5:] if output[..., 4:].min() >= 0 else output[..., 4:]
    )


def _is_decoded(output: np.ndarray, given: Given) -> bool:
    """Whether centres are pixels about their cells rather than offsets in cells."""
    cells, strides = grid_of(output.shape[1], given.input_size)
    in_cells = float(np.median(np.abs(output[..., :2] - 0.5)))
    return cells_away(output[..., :2], cells, strides) < in_cells


def _all_objects(output: np.ndarray) -> bool:
    return bool((output[..., 4] == 1).all())


def doubts_raw(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against offsets in cells and logarithms of sizes."""
    (output,) = outputs.values()
    doubt = _common_doubts(output, given)
    if doubt:
        return doubt
    if _is_decoded(output, given):
        return "boxes are decoded to pixels already, expected offsets in cells"
    away = np.median(np.abs(output[..., :2] - 0.5))
    if away > 8:
        return f"box centres are {away:.3g} cells away from their cells"
    return None


def doubts_decoded(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against boxes in pixels and an objectness."""
    (output,) = outputs.values()
    doubt = _common_doubts(output, given) or _doubts_boxes(output, given)
    if doubt:
        return doubt
    if _all_objects(output):
        return "the objectness is 1 everywhere (YOLOv6), expected one of its own"
    return None


def doubts_v6(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against boxes in pixels and an objectness that is always 1."""
    (output,) = outputs.values()
    doubt = _common_doubts(output, given) or _doubts_boxes(output, given)
    if doubt:
        return doubt
    if not _all_objects(output):
        return "the objectness differs from 1"
    return None


def _doubts_boxes(output: np.ndarray, given: Given) -> str | None:
    boxes = output[..., :4]
    if not _is_decoded(output, given):
        return "boxes are offsets in cells, expected pixels"
    cells, strides = grid_of(output.shape[1], given.input_size)
    return doubt_of_pixels(boxes, given.input_size) or doubt_of_places(boxes, cells, strides)


def decode_raw(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads centre offsets in cells and logarithms of sizes in cells, see :class:`Form`."""
    (output,) = outputs.values()
    cells, strides = grid_of(output.shape[1], given.input_size) or grid(given.input_size)
    found = []
    for rows in output:
        hit, scores = cells_of_people(rows[:, 5:], given, rows[:, 4])
        centre = (rows[hit, :2] + cells[hit]) * strides[hit]
        size = np.exp(rows[hit, 2:4]) * strides[hit]
        found.append(suppressed(centred(np.hstack([centre, size])), scores, given))
    return found


def decode_pixels(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads centre and size in pixels, objectness and classes, see :class:`Form`."""
    (output,) = outputs.values()
    found = []
    for rows in output:
        hit, scores = cells_of_people(rows[:, 5:], given, rows[:, 4])
        found.append(suppressed(centred(rows[hit, :4]), scores, given))
    return found


_LOOK = Look(channels="bgr", scale=1.0, resize="letterbox")
YOLOX = Form(
    name="yolox",
    title="YOLOX, boxes as offsets in cells",
    look=_LOOK,
    claims=claims,
    n_classes=n_classes,
    doubts=doubts_raw,
    decode=decode_raw,
)
YOLOX_DECODED = Form(
    name="yolox_decoded",
    title="YOLOX, boxes in pixels",
    look=_LOOK,
    claims=claims,
    n_classes=n_classes,
    doubts=doubts_decoded,
    decode=decode_pixels,
)
YOLOV6 = Form(
    name="yolov6",
    title="YOLOv6, boxes in pixels",
    look=Look(resize="centred"),
    claims=claims,
    n_classes=n_classes,
    doubts=doubts_v6,
    decode=decode_pixels,
)

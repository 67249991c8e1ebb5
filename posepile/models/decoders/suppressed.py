"""YOLO exports with the suppression inside: lists of boxes in pixels of the network's input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from posepile.models.decoders.form import (
    Form,
    Given,
    Look,
    Outputs,
    cornered,
    doubt_of_pixels,
    doubt_of_scores,
    listed,
    only_picture,
    suppressed,
    unknown_classes,
)
from posepile.models.decoders.grids import doubt_of_count
from posepile.models.decoders.yolo import LOOK, keypoint_columns, mask_columns
from posepile.models.signature import Port, Signature

Columns = tuple[int, int]  # of the score and of the class


def claims_list(signature: Signature) -> str | None:
    """Returns why a file may be end-to-end: ``[batch, boxes, 6]``, or more for masks or joints."""
    first, others = signature.outputs[0], signature.outputs[1:]
    if not only_picture(signature) or len(first.shape) != 3:
        return None
    if any(len(port.shape) != 4 for port in others):
        return None
    if first.shape[2] != 6 + mask_columns(signature) + keypoint_columns(signature):
        return None
    return f"output {first}: corners, score and class of boxes that are suppressed already"


def _claims_flat(signature: Signature) -> str | None:
    if not only_picture(signature) or len(signature.outputs) != 1:
        return None
    (output,) = signature.outputs
    if len(output.shape) != 2 or output.shape[1] != 7:
        return None
    return f"output {output}: boxes of all pictures, by the number of the picture"


def _doubts_of_rows(rows: np.ndarray, given: Given, columns: Columns) -> str | None:
    """What speaks against boxes ``[n, 6]`` as corners and the columns as score and class."""
    score, index = rows[:, columns[0]], rows[:, columns[1]]
    if not len(rows):
        return None
    if not np.array_equal(index, np.round(index)) or index.min() < 0:
        if np.array_equal(score, np.round(score)) and index.min() >= 0 and index.max() <= 1:
            return "class and score are the other way round"
        return f"classes of {index.min():.3g} to {index.max():.3g}, expected whole numbers"
    if score.min() < 0 or score.max() > 1.001:
        return f"scores of {score.min():.3g} to {score.max():.3g}, expected 0 to 1"
    if given.n_classes is not None and index.max() >= given.n_classes:
        return f"a box of class {int(index.max())}, but there are {given.n_classes} classes"
    return doubt_of_pixels(rows[:, :4], given.input_size) or doubt_of_corners(rows[:, :4])


def doubt_of_corners(boxes: np.ndarray) -> str | None:
    """Returns what speaks against boxes ``[n, 4]`` given by two corners."""
    wrong = (boxes[:, 2:4] < boxes[:, :2] - 0.01).any(axis=1).mean() if len(boxes) else 0
    if wrong > 0.1:
        return (
            f"{wrong:.0%} of the boxes have their second corner left of or above the first, "
            f"expected two corners (centre and size?)"
        )
    return None


def _decode_rows(output: np.ndarray, given: Given, columns: Columns) -> list[np.ndarray]:
    found = []
    for rows in output:
        of_people = rows[rows[:, columns[1]] == given.person_class]
        found.append(listed(cornered(of_people[:, :4]), of_people[:, columns[0]], given))
    return found


def _of_first(function: Callable, columns: Columns) -> Callable:
    """Returns ``function`` of the first output, with the score and class in those columns."""

    def read(outputs: Outputs, given: Given):
        return function(next(iter(outputs.values())), given, columns)

    return read


def _doubts_of_list(output: np.ndarray, given: Given, columns: Columns) -> str | None:
    rows = output.reshape(-1, output.shape[-1])
    return _doubts_of_rows(rows[np.abs(rows).sum(axis=1) > 0], given, columns)


def _four(outputs: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers ``[b]``, boxes ``[b, n, 4]``, scores and classes ``[b, n]`` of the four outputs."""
    arrays = list(outputs.values())
    boxes = next(a for a in arrays if a.ndim == 3)
    count, *rest = (a for a in arrays if a is not boxes)
    scores, classes = sorted(rest, key=lambda a: a.dtype.kind != "f")  # stable: as declared
    return count.reshape(-1), boxes, scores, classes


def _four_ports(signature: Signature) -> tuple[Port, ...] | None:
    if len(signature.outputs) != 4 or not only_picture(signature):
        return None
    count, *rest = (port for port in signature.outputs if len(port.shape) != 3)
    boxes = [port for port in signature.outputs if len(port.shape) == 3]
    if len(boxes) != 1 or boxes[0].shape[2] not in (4, None) or len(rest) != 2:
        return None
    if not count.type.startswith("int") or any(len(port.shape) != 2 for port in rest):
        return None
    return count, boxes[0], *rest


def _is_nas(signature: Signature) -> bool:
    return any("predictions" in port.name or "pred_" in port.name for port in signature.outputs)


def claims_four(signature: Signature) -> str | None:
    """Returns why a file may be of the EfficientNMS kind: numbers, boxes, scores, classes."""
    ports = _four_ports(signature)
    if ports is None or _is_nas(signature):
        return None
    return f"outputs {', '.join(map(str, ports))}: EfficientNMS"


def claims_nas_four(signature: Signature) -> str | None:
    """Returns why a file may be YOLO-NAS exported with its boxes by picture."""
    ports = _four_ports(signature)
    if ports is None or not _is_nas(signature):
        return None
    return f"outputs {', '.join(map(str, ports))}"


def doubts_four(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against numbers, corners in pixels, scores and classes."""
    rows = []
    for n, boxes, scores, classes in zip(*_four(outputs), strict=True):
        if not 0 <= n <= len(boxes):
            return f"{n} boxes counted, but there are places for {len(boxes)}"
        columns = [boxes[:n], scores[:n, None], classes[:n, None]]
        rows.append(np.concatenate(columns, axis=1, dtype=np.float32))
    return _doubts_of_rows(np.concatenate(rows), given, (4, 5))


def decode_four(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads numbers, boxes, scores and classes, see :class:`Form`."""
    found = []
    for n, boxes, scores, classes in zip(*_four(outputs), strict=True):
        person = classes[:n] == given.person_class
        found.append(listed(cornered(boxes[:n][person]), scores[:n][person], given))
    return found


def _raw_ports(signature: Signature) -> tuple[Port, Port] | None:
    three = [port for port in signature.outputs if len(port.shape) == 3]
    boxes = [port for port in three if port.shape[2] == 4]
    scores = [port for port in three if port not in boxes]
    if len(signature.outputs) != 2 or len(boxes) != 1 or len(scores) != 1:
        return None
    return (boxes[0], scores[0]) if only_picture(signature) else None


def claims_nas_raw(signature: Signature) -> str | None:
    """Returns why a file may be YOLO-NAS before suppression: corners and classes by cell."""
    ports = _raw_ports(signature)
    return ports and f"outputs {ports[0]} and {ports[1]}: corners and classes by cell"


def n_classes_nas_raw(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return _raw_ports(signature)[1].shape[2]


def _raw(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    boxes = next(a for a in outputs.values() if a.shape[2] == 4)
    return boxes, next(a for a in outputs.values() if a is not boxes)


def doubts_nas_raw(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against corners in pixels and probabilities."""
    boxes, scores = _raw(outputs)
    return (
        doubt_of_count(boxes.shape[1], given.input_size)
        or doubt_of_scores(scores)
        or doubt_of_pixels(boxes, given.input_size)
        or doubt_of_corners(boxes.reshape(-1, 4))
    )


def decode_nas_raw(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads corners and classes by cell, see :class:`Form`."""
    found = []
    for boxes, classes in zip(*_raw(outputs), strict=True):
        scores = classes[:, given.person_class]
        hit = np.flatnonzero(scores >= given.score)
        found.append(suppressed(cornered(boxes[hit]), scores[hit], given))
    return found


_NAS_LOOK = Look(resize="centred", margin=4)
YOLO_LIST = Form(
    name="yolo_list",
    title="YOLO end-to-end (v10, 26) or with suppression inside",
    look=LOOK,
    claims=claims_list,
    n_classes=unknown_classes,
    doubts=_of_first(_doubts_of_list, (4, 5)),
    decode=_of_first(_decode_rows, (4, 5)),
)
YOLOV7_LIST = Form(
    name="yolov7_list",
    title="YOLOv7 with suppression inside, one list for all pictures",
    look=LOOK,
    claims=_claims_flat,
    n_classes=unknown_classes,
    doubts=_of_first(_doubts_of_list, (5, 4)),
    decode=_of_first(_decode_rows, (5, 4)),
    flat=True,
)
YOLO_NAS_LIST = Form(
    name="yolo_nas_list",
    title="YOLO-NAS with suppression inside, one list for all pictures",
    look=_NAS_LOOK,
    claims=_claims_flat,
    n_classes=unknown_classes,
    doubts=_of_first(_doubts_of_list, (4, 5)),
    decode=_of_first(_decode_rows, (4, 5)),
    flat=True,
)
EFFICIENT_NMS = Form(
    name="efficient_nms",
    title="YOLO v6 or v7 with suppression inside, four outputs",
    look=LOOK,
    claims=claims_four,
    n_classes=unknown_classes,
    doubts=doubts_four,
    decode=decode_four,
)
YOLO_NAS = Form(
    name="yolo_nas",
    title="YOLO-NAS with suppression inside, four outputs",
    look=_NAS_LOOK,
    claims=claims_nas_four,
    n_classes=unknown_classes,
    doubts=doubts_four,
    decode=decode_four,
)
YOLO_NAS_RAW = Form(
    name="yolo_nas_raw",
    title="YOLO-NAS before suppression",
    look=_NAS_LOOK,
    claims=claims_nas_raw,
    n_classes=n_classes_nas_raw,
    doubts=doubts_nas_raw,
    decode=decode_nas_raw,
)

"""RT-DETR as Ultralytics exports it: shares of a stretched picture, with scores in one output."""

from __future__ import annotations

import numpy as np

from posepile.models.decoders.form import (
    Form,
    Given,
    Look,
    Outputs,
    centred,
    doubt_of_scores,
    listed,
    only_picture,
    unknown_classes,
)
from posepile.models.decoders.grids import grid_of
from posepile.models.signature import Signature

HEAD = "RTDETRDecoder"


def _claims(signature: Signature, columns: int | None) -> str | None:
    if not only_picture(signature) or len(signature.outputs) != 1:
        return None
    (output,) = signature.outputs
    if len(output.shape) != 3 or output.shape[2] is None:
        return None
    if (output.shape[2] == 6) != (columns == 6) or output.shape[2] < 5:
        return None
    sides = signature.inputs[0].shape[2:]
    if signature.metadata.get("head", HEAD) != HEAD:
        return None
    if columns is None and None not in (*sides, output.shape[1]):
        if any(grid_of(output.shape[1], sides, anchors) for anchors in (1, 3)):
            return None  # as many as there are cells
    return f"output {output}: boxes as shares of the picture, by query"


def claims_list(signature: Signature) -> str | None:
    """Returns why a file may be a list of boxes, score and class (since 2026)."""
    return _claims(signature, 6)


def claims_classes(signature: Signature) -> str | None:
    """Returns why a file may be boxes and the scores of all classes (before)."""
    return _claims(signature, None)


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return signature.outputs[0].shape[2] - 4


def _doubt_of_shares(boxes: np.ndarray) -> str | None:
    if np.abs(boxes).max(initial=0) > 3:
        return f"boxes reach {np.abs(boxes).max():.3g}, expected shares of the picture"
    if (boxes[..., 2:] >= boxes[..., :2]).all():
        return "boxes are two corners, expected centre and size"
    return None


def doubts_list(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against centre and size as shares, score, class."""
    (output,) = outputs.values()
    score, index = output[..., 4], output[..., 5]
    if (index != np.round(index)).any() or index.min() < 0:
        return f"classes of {index.min():.3g} to {index.max():.3g}, expected whole numbers"
    if score.min() < 0 or score.max() > 1.001:
        return f"scores of {score.min():.3g} to {score.max():.3g}, expected 0 to 1"
    if given.n_classes is not None and index.max() >= given.n_classes:
        return f"a box of class {int(index.max())}, but there are {given.n_classes} classes"
    return _doubt_of_shares(output[..., :4])


def doubts_classes(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against centre and size as shares and probabilities by class."""
    (output,) = outputs.values()
    return _doubt_of_shares(output[..., :4]) or doubt_of_scores(output[..., 4:])


def _found(boxes: np.ndarray, scores: np.ndarray, given: Given) -> np.ndarray:
    h, w = given.input_size
    return listed(centred(boxes) * np.float32([w, h, w, h]), scores, given)


def decode_list(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads ``[batch, queries, 6]``, see :class:`Form`."""
    (output,) = outputs.values()
    people = (rows[rows[:, 5] == given.person_class] for rows in output)
    return [_found(rows[:, :4], rows[:, 4], given) for rows in people]


def decode_classes(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads ``[batch, queries, 4 + classes]``, see :class:`Form`."""
    (output,) = outputs.values()
    last = [rows[rows[:, 4:].argmax(axis=1) == given.person_class] for rows in output]
    return [_found(rows[:, :4], rows[:, 4 + given.person_class], given) for rows in last]


_LOOK = Look(antialias=False)  # RGB, 0..1, stretched
RTDETR_LIST = Form(
    name="rtdetr_list",
    title="RT-DETR of Ultralytics, score and class",
    look=_LOOK,
    claims=claims_list,
    n_classes=unknown_classes,
    doubts=doubts_list,
    decode=decode_list,
)
RTDETR = Form(
    name="rtdetr",
    title="RT-DETR of Ultralytics, scores by class",
    look=_LOOK,
    claims=claims_classes,
    n_classes=n_classes,
    doubts=doubts_classes,
    decode=decode_classes,
)

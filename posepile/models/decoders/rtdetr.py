"""RT-DETR as Ultralytics exports it: one output, a row for each query, boxes as shares.

Rows were centre, size and the probability of each class; they now are centre, size, the best
class's score and which class that is.
"""

from __future__ import annotations

import functools

import numpy as np

from posepile.models.decoders.detr import doubt_of_shares
from posepile.models.decoders.form import (
    Form,
    Given,
    Look,
    Outputs,
    centred,
    doubt_of_scores,
    listed,
    only_picture,
)
from posepile.models.signature import Port, Signature

_MOST_QUERIES = 1000  # grids of cells have more
_HEAD = "RTDETRDecoder"


def _only(signature: Signature) -> Port | None:
    """The only output if it may be rows of queries ``[batch, queries, columns]``."""
    if not only_picture(signature) or len(signature.outputs) != 1:
        return None
    (port,) = signature.outputs
    if signature.metadata.get("head", _HEAD) != _HEAD or len(port.shape) != 3:
        return None
    return None if port.shape[1] is not None and port.shape[1] > _MOST_QUERIES else port


def claims_best(signature: Signature) -> str | None:
    """Returns why a file may have rows of a box, its score and its class."""
    port = _only(signature)
    if port is None or port.shape[2] != 6:
        return None
    return f"output {port}: centre and size, score and class by query"


def claims_each(signature: Signature) -> str | None:
    """Returns why a file may have rows of a box and each class's score."""
    port, names = _only(signature), signature.class_names()
    if port is None or port.shape[2] is None or port.shape[2] != 4 + len(names or range(80)):
        return None
    return f"output {port}: centre, size and classes by query"


def _of_best(rows: np.ndarray, given: Given) -> np.ndarray:
    return np.where(rows[:, 5].round() == given.person_class, rows[:, 4], 0)


def _of_each(rows: np.ndarray, given: Given) -> np.ndarray:
    person = rows[:, 4 + given.person_class]
    return np.where(person >= rows[:, 4:].max(axis=1), person, 0)


def doubts_best(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against rows of a box, its score and its class."""
    (rows,) = outputs.values()
    score, index = rows[..., 4], rows[..., 5]
    if np.abs(index - index.round()).max() > 1e-3 or index.min() < 0:
        return f"classes of {index.min():.3g} to {index.max():.3g}, expected whole numbers"
    if given.n_classes is not None and index.max() >= given.n_classes:
        return f"a box of class {int(index.max())}, but there are {given.n_classes} classes"
    if score.min() < -1e-3 or score.max() > 1.001:
        return f"scores of {score.min():.3g} to {score.max():.3g}, expected 0 to 1"
    return doubt_of_shares(rows[..., :4])


def doubts_each(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against rows of a box and each class's score."""
    (rows,) = outputs.values()
    return doubt_of_shares(rows[..., :4]) or doubt_of_scores(rows[..., 4:])


def _decode(outputs: Outputs, given: Given, scores) -> list[np.ndarray]:
    (output,) = outputs.values()
    h, w = given.input_size
    return [
        listed(centred(rows[:, :4]) * np.float32([w, h, w, h]), scores(rows, given), given)
        for rows in output
    ]


_LOOK = Look(antialias=False)
RTDETR = Form(
    name="rtdetr",
    title="RT-DETR of Ultralytics, the best class by query",
    look=_LOOK,
    claims=claims_best,
    n_classes=lambda signature: None,
    doubts=doubts_best,
    decode=functools.partial(_decode, scores=_of_best),
    of_picture=True,
)
RTDETR_EACH = Form(
    name="rtdetr_each",
    title="RT-DETR of Ultralytics, each class by query",
    look=_LOOK,
    claims=claims_each,
    n_classes=lambda signature: signature.outputs[0].shape[2] - 4,
    doubts=doubts_each,
    decode=functools.partial(_decode, scores=_of_each),
    of_picture=True,
)

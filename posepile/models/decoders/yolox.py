"""YOLOX (Megvii, 2021): an anchor-free grid, letterboxed BGR of 0..255."""

from __future__ import annotations

import functools

import numpy as np

from posepile.models.boxes import nms
from posepile.models.decoders.form import Form, Given, Look, Outputs, centred, only_picture
from posepile.models.signature import Signature

STRIDES = (8, 16, 32)


@functools.lru_cache(maxsize=8)
def grid(input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cell corners ``[n, 2]`` (x, y in cells) and strides ``[n, 1]``, in output order."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = input_size[0] // stride, input_size[1] // stride
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def claims(signature: Signature) -> str | None:
    """Returns why a file may be a YOLOX network: ``[batch, cells, 5 + classes]``."""
    if not only_picture(signature) or len(signature.outputs) != 1:
        return None
    (output,) = signature.outputs
    if len(output.shape) != 3 or (output.shape[2] is not None and output.shape[2] < 6):
        return None
    sides = signature.inputs[0].shape[2:]
    if None not in sides and output.shape[1] not in (None, len(grid(sides)[0])):
        return None
    return f"output {output}: cells of strides 8, 16 and 32, objectness and classes"


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    last = signature.outputs[0].shape[-1]
    return None if last is None else last - 5


def doubts(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against raw YOLOX outputs."""
    (output,) = outputs.values()
    cells, _ = grid(given.input_size)
    if output.ndim != 3 or output.shape[1] != len(cells):
        return f"{len(cells)} cells expected, output is {list(output.shape)}"
    scores = output[..., 4:]
    if scores.min() < 0 or scores.max() > 1:
        return f"scores of {scores.min():.3g} to {scores.max():.3g}, expected 0 to 1"
    away = np.abs(output[..., :2] - 0.5)
    if np.median(away) > 8:
        return f"box centres are {np.median(away):.3g} cells away from their cells"
    return None


def decode(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads centre offsets in cells and logarithms of sizes in cells, see :class:`Form`."""
    cells, strides = grid(given.input_size)
    found = []
    (output,) = outputs.values()
    for rows in output:
        scores = rows[:, 4] * rows[:, 5 + given.person_class]
        hit = np.flatnonzero(scores >= given.score)
        centre = (rows[hit, :2] + cells[hit]) * strides[hit]
        size = np.exp(rows[hit, 2:4]) * strides[hit]
        boxes = np.concatenate([centred(np.hstack([centre, size])), scores[hit, None]], axis=1)
        found.append(boxes[nms(boxes, boxes[:, 4], np.zeros(len(boxes)), given.nms)])
    return found


YOLOX = Form(
    name="yolox",
    title="YOLOX, boxes as offsets in cells",
    look=Look(channels="bgr", scale=1.0, resize="letterbox"),
    claims=claims,
    n_classes=n_classes,
    doubts=doubts,
    decode=decode,
)

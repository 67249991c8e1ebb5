"""NanoDet and NanoDet-Plus: distances to the four sides as distributions, by cell."""

from __future__ import annotations

import numpy as np

from posepile.models.decoders.form import (
    IMAGENET_BGR,
    Form,
    Given,
    Look,
    Outputs,
    cornered,
    doubt_of_scores,
    only_picture,
    suppressed,
)
from posepile.models.decoders.grids import doubt_of_count, grid_of
from posepile.models.signature import Port, Signature

BINS = (8, 11)  # of a distance in cells: most networks, those on EfficientNet and RepVGG
COCO = 80


def _bins(columns: int) -> int:
    """How many bins a distance has in an output of classes and four distances."""
    return next((bins for bins in BINS if columns - 4 * bins == COCO), BINS[0])


def _pairs(ports: tuple[Port, ...]) -> bool:
    """Whether outputs are classes by level, then distances by level (the first NanoDet)."""
    half = len(ports) // 2
    if len(ports) != 6 or any(len(port.shape) != 3 for port in ports):
        return False
    columns = [port.shape[2] for port in ports]
    return len(set(columns[:half])) == 1 and set(columns[half:]) <= {4 * bins for bins in BINS}


def claims(signature: Signature) -> str | None:
    """Returns why a file may be NanoDet: ``[batch, cells, classes + distances]``."""
    if not only_picture(signature):
        return None
    if _pairs(signature.outputs):
        return f"outputs {signature.outputs[0]} and more: classes, then distances, by level"
    output = signature.outputs[0]
    if len(signature.outputs) != 1 or len(output.shape) != 3:
        return None
    if (output.shape[2] or 0) <= 4 * BINS[0] or (output.shape[1] or 1 << 30) < output.shape[2]:
        return None
    return f"output {output}: classes and four distributions of {_bins(output.shape[2])} distances"


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    columns = signature.outputs[0].shape[2]
    return columns if len(signature.outputs) > 1 else columns - 4 * _bins(columns)


def _arrays(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``[b, n, classes]`` and distances ``[b, n, 4 * bins]``."""
    arrays = list(outputs.values())
    if len(arrays) == 1:
        split = arrays[0].shape[2] - 4 * _bins(arrays[0].shape[2])
        return arrays[0][..., :split], arrays[0][..., split:]
    half = len(arrays) // 2
    return np.concatenate(arrays[:half], axis=1), np.concatenate(arrays[half:], axis=1)


def doubts(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against probabilities and distributions before their softmax."""
    scores, distances = _arrays(outputs)
    doubt = doubt_of_count(scores.shape[1], given.input_size) or doubt_of_scores(scores)
    if doubt:
        return doubt
    if distances.min() >= 0 and distances.max() <= 1:
        return "distances are all within 0 to 1, expected logits of distributions"
    return None


def decode(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads probabilities and distances, see :class:`Form`."""
    scores, distances = _arrays(outputs)
    cells, strides = grid_of(scores.shape[1], given.input_size)
    # NanoDet-Plus, with a stride of 64, counts distances from the corner of a cell, NanoDet from
    # its middle.
    origin = cells * strides if strides.max() == 64 else (cells + 0.5) * strides
    bins = distances.shape[2] // 4
    h, w = given.input_size
    found = []
    for classes, rows in zip(scores[..., given.person_class], distances, strict=True):
        hit = np.flatnonzero(classes >= given.score)
        logits = rows[hit].reshape(-1, 4, bins)
        shares = np.exp(logits - logits.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        sides = shares @ np.arange(bins, dtype=np.float32) * strides[hit]
        corners = np.hstack([origin[hit] - sides[:, :2], origin[hit] + sides[:, 2:]])
        boxes = cornered(np.clip(corners, 0, [w, h, w, h]))
        found.append(suppressed(boxes, classes[hit], given))
    return found


NANODET = Form(
    name="nanodet",
    title="NanoDet or NanoDet-Plus",
    look=Look(channels="bgr", scale=1.0, **IMAGENET_BGR, antialias=False),
    claims=claims,
    n_classes=n_classes,
    doubts=doubts,
    decode=decode,
)

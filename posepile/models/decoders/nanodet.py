"""NanoDet and NanoDet-Plus: distances to the four sides as distributions, by cell."""

from __future__ import annotations

import numpy as np

from posepile.models.decoders.form import (
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
from posepile.models.signature import Signature

BINS = 8  # of a distance: 0 to 7 cells


def claims(signature: Signature) -> str | None:
    """Returns why a file may be NanoDet: ``[batch, cells, classes + 32]``."""
    if not only_picture(signature) or len(signature.outputs) != 1:
        return None
    (output,) = signature.outputs
    if len(output.shape) != 3 or (output.shape[2] or 0) <= 4 * BINS:
        return None
    return f"output {output}: classes and four distributions of {BINS} distances"


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return signature.outputs[0].shape[2] - 4 * BINS


def doubts(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against probabilities and distributions before their softmax."""
    (output,) = outputs.values()
    doubt = doubt_of_count(output.shape[1], given.input_size)
    doubt = doubt or doubt_of_scores(output[..., : -4 * BINS])
    if doubt:
        return doubt
    last = output[..., -4 * BINS :]
    if last.min() >= 0 and last.max() <= 1:
        return "distances are all within 0 to 1, expected logits of distributions"
    return None


def decode(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads probabilities and distances, see :class:`Form`."""
    (output,) = outputs.values()
    cells, strides = grid_of(output.shape[1], given.input_size)
    # With a stride of 64 (NanoDet-Plus) distances count from the corner of a cell, without
    # (NanoDet) from its middle.
    origin = cells * strides if strides.max() == 64 else (cells + 0.5) * strides
    h, w = given.input_size
    found = []
    for rows in output:
        scores = rows[:, given.person_class]
        hit = np.flatnonzero(scores >= given.score)
        logits = rows[hit, -4 * BINS :].reshape(-1, 4, BINS)
        shares = np.exp(logits - logits.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        distances = shares @ np.arange(BINS, dtype=np.float32) * strides[hit]
        corners = np.hstack([origin[hit] - distances[:, :2], origin[hit] + distances[:, 2:]])
        boxes = cornered(np.clip(corners, 0, [w, h, w, h]))
        found.append(suppressed(boxes, scores[hit], given))
    return found


NANODET = Form(
    name="nanodet",
    title="NanoDet or NanoDet-Plus",
    look=Look(
        channels="bgr",
        scale=1.0,
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
        antialias=False,
    ),
    claims=claims,
    n_classes=n_classes,
    doubts=doubts,
    decode=decode,
)

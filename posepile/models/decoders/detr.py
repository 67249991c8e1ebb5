"""DETR-like networks (RT-DETR, D-FINE, RF-DETR): queries, each one object; no suppression."""

from __future__ import annotations

import numpy as np

from posepile.models.decoders.form import Form, Given, Look, Outputs, centred, only_picture
from posepile.models.signature import Port, Signature


def _ports(signature: Signature) -> tuple[Port, Port] | None:
    """Logits ``[batch, queries, classes]`` and boxes ``[batch, queries, 4]``."""
    three = [port for port in signature.outputs if len(port.shape) == 3]
    boxes = [port for port in three if port.shape[2] == 4]
    logits = [port for port in three if port not in boxes]
    if len(boxes) != 1 or len(logits) != 1:
        return None
    return logits[0], boxes[0]


def claims(signature: Signature) -> str | None:
    """Returns why a file may be a network of queries with logits and boxes."""
    ports = _ports(signature)
    if ports is None or not only_picture(signature) or ports[0].shape[1] != ports[1].shape[1]:
        return None
    return f"outputs {ports[0]} and {ports[1]}: classes and boxes by query"


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return _ports(signature)[0].shape[2]


def _arrays(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    boxes = next(a for a in outputs.values() if a.ndim == 3 and a.shape[2] == 4)
    logits = next(a for a in outputs.values() if a.ndim == 3 and a is not boxes)
    return logits, boxes


def doubts(outputs: Outputs, given: Given) -> str | None:
    """Returns what speaks against logits and boxes as shares."""
    logits, boxes = _arrays(outputs)
    if np.abs(boxes).max() > 3:
        return f"boxes reach {np.abs(boxes).max():.3g}, expected shares of the picture"
    if logits.min() >= 0:
        return f"class scores of {logits.min():.3g} to {logits.max():.3g}, expected logits"
    return None


def decode(outputs: Outputs, given: Given) -> list[np.ndarray]:
    """Reads logits and boxes as shares of the picture, see :class:`Form`."""
    logits, shares = _arrays(outputs)
    h, w = given.input_size
    found = []
    for one, boxes in zip(logits, shares, strict=True):
        scores = 1 / (1 + np.exp(-one[:, given.person_class].astype(np.float32)))
        hit = np.flatnonzero(scores >= given.score)
        hit = hit[np.argsort(-scores[hit], kind="stable")]
        pixels = centred(boxes[hit]) * np.float32([w, h, w, h])
        found.append(np.concatenate([pixels, scores[hit, None]], axis=1))
    return found


DETR = Form(
    name="detr",
    title="DETR-like with sigmoid scores (RT-DETR, D-FINE, RF-DETR)",
    look=Look(),
    claims=claims,
    n_classes=n_classes,
    doubts=doubts,
    decode=decode,
)

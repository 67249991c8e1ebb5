"""DETR and its descendants: queries, each of one object with its box as shares of the picture.

Nothing is suppressed. The older ones choose one of the classes or "nothing" (softmax, "nothing"
is the last); the newer ones have a probability for each class (sigmoid). Both give logits of the
same shape, so what is said of a picture must tell: "nothing" wins for most queries.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from posepile.models.decoders.form import (
    IMAGENET_RGB,
    Form,
    Given,
    Look,
    Outputs,
    centred,
    only_picture,
)
from posepile.models.signature import Port, Signature

IMAGENET = Look(**IMAGENET_RGB)
_BOXES = ("pred_boxes", "dets", "boxes")
_LOGITS = ("logits", "pred_logits", "labels", "scores")
_CATEGORIES = (90, 91, 92)  # columns of networks that number COCO's classes by their category
_MASK = "pixel_mask"


def _named(ports, names: tuple[str, ...]) -> Port | None:
    return next((port for name in names for port in ports if port.name == name), None)


def _ports(signature: Signature) -> tuple[Port, Port] | None:
    """Logits ``[batch, queries, classes]`` and boxes ``[batch, queries, 4]``."""
    three = [port for port in signature.outputs if len(port.shape) == 3]
    boxes = _named([p for p in three if p.shape[2] in (4, None)], _BOXES)
    logits = _named([p for p in three if p is not boxes], _LOGITS)
    if boxes is not None and logits is not None:
        return logits, boxes
    fours = [port for port in three if port.shape[2] == 4]
    others = [port for port in three if port not in fours]
    return (others[0], fours[0]) if len(fours) == len(others) == 1 else None


def _claims(signature: Signature) -> str | None:
    """Returns why a file may be a network of queries with logits and boxes."""
    ports = _ports(signature)
    more = [port for port in signature.inputs[1:] if port.name != _MASK or len(port.shape) != 3]
    if ports is None or more or ports[0].shape[1] != ports[1].shape[1]:
        return None
    return f"outputs {ports[0]} and {ports[1]}: classes and boxes by query"


def claims_plain(signature: Signature) -> str | None:
    """Returns why a file may be RT-DETR, D-FINE or DEIM as transformers has them."""
    claim = _claims(signature)
    if claim is None or not only_picture(signature) or _rfdetr_names(signature):
        return None
    return None if _ports(signature)[0].shape[2] in _CATEGORIES else claim


def claims_normalised(signature: Signature) -> str | None:
    """Returns why a file may be RF-DETR, or Conditional or Deformable DETR."""
    claim = _claims(signature)
    usual = claim and _ports(signature)[0].shape[2] == 80 and not _rfdetr_names(signature)
    return None if usual else claim


def claims_softmax(signature: Signature) -> str | None:
    """Returns why a file may be DETR or YOLOS."""
    claim = _claims(signature)
    return None if claim is None or _rfdetr_names(signature) else claim


def _rfdetr_names(signature: Signature) -> bool:
    return {"dets", "labels"} <= {port.name for port in signature.outputs}


def n_classes(signature: Signature) -> int | None:
    """Returns the number of classes."""
    return _ports(signature)[0].shape[2]


def n_classes_softmax(signature: Signature) -> int | None:
    """Returns the number of classes besides "nothing"."""
    columns = n_classes(signature)
    return None if columns is None else columns - 1


def _arrays(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    ports = [Port(name, str(a.dtype), a.shape) for name, a in outputs.items()]
    logits, boxes = _ports(Signature("", (), tuple(ports)))
    return outputs[logits.name], outputs[boxes.name]


def doubts(outputs: Outputs, given: Given, nothing: bool) -> str | None:
    """Returns what speaks against logits and boxes as shares.

    Args:
        outputs: For pictures.
        given: See :class:`Given`.
        nothing: Whether the last class is to mean "nothing".
    """
    logits, boxes = _arrays(outputs)
    if doubt := doubt_of_shares(boxes):
        return doubt
    if logits.min() >= 0:
        return f"class scores of {logits.min():.3g} to {logits.max():.3g}, expected logits"
    last = logits[..., -1]
    wins = float(((last >= logits.max(axis=2)) & (last > 0)).mean())
    told = f"the last class wins for {wins:.0%} of all queries"
    if nothing:
        return None if wins > 0.3 else f"{told}, expected most, as it is to be 'nothing'"
    if wins > 0.3 and logits.shape[2] > 1:
        return f"{told}, as 'nothing' does beside classes that exclude each other (softmax)"
    if float((logits > 0).mean()) > 0.2:
        return f"{float((logits > 0).mean()):.0%} of all logits are positive, expected few"
    return None


def doubt_of_shares(boxes: np.ndarray) -> str | None:
    """Returns what speaks against boxes ``[..., 4]`` as centre and size, shares of the picture."""
    boxes = boxes.reshape(-1, 4)
    boxes = boxes[boxes.any(axis=1)]
    if not len(boxes):
        return None
    if np.abs(boxes).max() > 3:
        return f"boxes reach {np.abs(boxes).max():.3g}, expected shares of the picture"
    if len(boxes) < 10:
        return None
    negative = float((boxes[:, 2:] < 0).any(axis=1).mean())
    if negative > 0.01:
        return f"{negative:.0%} of the boxes have a negative size, expected centre and size"
    if (boxes[:, 2:] >= boxes[:, :2]).all():
        return "boxes look like two corners, expected centre and size"
    return None


def decode(outputs: Outputs, given: Given, nothing: bool) -> list[np.ndarray]:
    """Reads logits and boxes as shares of the picture, see :class:`Form`."""
    logits, shares = _arrays(outputs)
    h, w = given.input_size
    found = []
    for one, boxes in zip(logits, shares, strict=True):
        person = one[:, given.person_class].astype(np.float32)
        with np.errstate(over="ignore"):
            if nothing:
                largest = one.max(axis=1)
                scores = np.exp(person - largest) / np.exp(one - largest[:, None]).sum(axis=1)
                # Whose likeliest class is another one is no person; "nothing" does not count.
                scores[person < one[:, :-1].max(axis=1)] = 0
            else:
                scores = 1 / (1 + np.exp(-person))
        hit = np.flatnonzero((scores >= given.score) & (scores > 0))
        hit = hit[np.argsort(-scores[hit], kind="stable")]
        pixels = centred(boxes[hit]) * np.float32([w, h, w, h])
        found.append(np.concatenate([pixels, scores[hit, None]], axis=1))
    return found


def mask_of_picture(signature: Signature, batch: np.ndarray, input_size: tuple[int, int]):
    """Returns ``pixel_mask``: 1 where the input is picture, 0 where it is filled up.

    It is filled with the mean colour, which no pixel has: that is no whole number.
    """
    port = next((port for port in signature.inputs if port.name == _MASK), None)
    if port is None:
        return {}
    mask = (np.abs(batch) > 1e-5).any(axis=1)
    sizes = [n or m for n, m in zip(port.shape[1:], input_size, strict=True)]
    if tuple(sizes) != tuple(input_size):  # exports of a fixed small mask scale it themselves
        rows, columns = (
            np.arange(n) * size // n for n, size in zip(sizes, input_size, strict=True)
        )
        mask = mask[:, rows][:, :, columns]
    return {_MASK: mask.astype(port.type if port.type != "bool" else bool)}


def normalised(signature: Signature) -> Look:
    """Returns how pictures are shown: with a mask they keep their aspect and are filled up."""
    if any(port.name == _MASK for port in signature.inputs):
        return replace(IMAGENET, resize="letterbox", fill="mean")
    return IMAGENET


def _form(name, title, claims, nothing, look_of=None, **more) -> Form:
    return Form(
        name=name,
        title=title,
        claims=claims,
        n_classes=n_classes_softmax if nothing else n_classes,
        doubts=functools.partial(doubts, nothing=nothing),
        decode=functools.partial(decode, nothing=nothing),
        look_of=look_of,
        feeds=mask_of_picture,
        of_picture=True,
        **more,
    )


DETR = _form(
    "detr",
    "DETR-like with sigmoid scores, pictures of 0 to 1 (RT-DETR, D-FINE, DEIM)",
    claims_plain,
    nothing=False,
    look=Look(),
)
RFDETR = _form(
    "rfdetr",
    "DETR-like with sigmoid scores, pictures by ImageNet's mean (RF-DETR, Conditional DETR)",
    claims_normalised,
    nothing=False,
    look=replace(IMAGENET, antialias=False),  # RF-DETR's predict() resizes without a filter
    look_of=lambda s: replace(normalised(s), antialias=not only_picture(s)),
)
DETR_SOFTMAX = _form(
    "detr_softmax",
    "DETR or YOLOS, one class or nothing by query",
    claims_softmax,
    nothing=True,
    look=IMAGENET,
    look_of=normalised,
)

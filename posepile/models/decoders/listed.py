"""Networks that suppress and sort inside, and give lists: boxes, their scores, their classes.

The official deploy forms of RT-DETR, D-FINE and DEIM, torchvision's detectors, OpenMMLab's as
mmdeploy exports them (RTMDet, Faster and Mask R-CNN), TensorFlow's object detection interface.
They differ in where a box's numbers are, in what unit, and in how classes are counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from posepile.models.decoders.form import (
    IMAGENET_BGR,
    Form,
    Given,
    Look,
    Outputs,
    cornered,
    listed,
    only_picture,
)
from posepile.models.signature import Port, Signature

_COCO = 80  # classes, numbered in a row from 0, the person first
_CATEGORIES = 91  # numbers that COCO's categories take, from 1, the person first
_INTEGERS = ("int64", "int32", "uint8", "int16")


def _sizes_input(signature: Signature) -> Port | None:
    """The input of the pictures' sizes ``[n, 2]`` beside the pictures', None if there is none."""
    if len(signature.inputs) != 2:
        return None
    two = [port for port in signature.inputs if len(port.shape) == 2]
    right = len(two) == 1 and two[0].shape[1] in (2, None) and two[0].type in ("int64", "int32")
    return two[0] if right else None


def _lists(signature: Signature, rank: int) -> dict[str, str] | None:
    """Names of the outputs by what they are: boxes of ``rank`` dimensions, scores, labels."""
    boxes = [p for p in signature.outputs if len(p.shape) == rank and p.shape[-1] == 4]
    flat = [port for port in signature.outputs if len(port.shape) == rank - 1]
    labels = [p for p in flat if p.type in _INTEGERS] or [p for p in flat if "label" in p.name]
    scores = [p for p in flat if p not in labels]
    if not len(boxes) == len(labels) == len(scores) == 1:
        return None
    return {"boxes": boxes[0].name, "scores": scores[0].name, "labels": labels[0].name}


def _of_outputs(outputs: Outputs) -> Signature:
    ports = [Port(name, str(a.dtype), a.shape) for name, a in outputs.items()]
    return Signature("", (), tuple(ports))


def _claim(signature: Signature, names: dict[str, str] | None) -> str | None:
    if names is None:
        return None
    told = ", ".join(str(port) for port in signature.outputs if port.name in names.values())
    return f"outputs {told}: lists of boxes, scores and classes"


def claims_deploy(signature: Signature) -> str | None:
    """Returns why a file may be an official deploy form, with or without the sizes' input."""
    if _sizes_input(signature) is None and not only_picture(signature):
        return None
    claim = _claim(signature, _lists(signature, 3))
    size = _sizes_input(signature)
    return claim if claim is None or size is None else f"{claim}; input {size}: the sizes"


def claims_torchvision(signature: Signature) -> str | None:
    """Returns why a file may be one of torchvision's detectors: lists of one picture."""
    return _claim(signature, _lists(signature, 2)) if only_picture(signature) else None


def claims_mmdet(signature: Signature) -> str | None:
    """Returns why a file may be of mmdeploy: ``dets [n, k, 5]`` and ``labels [n, k]``."""
    if not only_picture(signature) or _mmdet(signature) is None:
        return None
    dets, labels = _mmdet(signature)
    return f"outputs {dets} and {labels}: corners with score, and classes"


def _mmdet(signature: Signature) -> tuple[Port, Port] | None:
    dets = [p for p in signature.outputs if len(p.shape) == 3 and p.shape[2] == 5]
    labels = [p for p in signature.outputs if len(p.shape) == 2]
    return (dets[0], labels[0]) if len(dets) == len(labels) == 1 else None


_TF = ("detection_boxes", "detection_scores", "detection_classes")


def _tf_names(signature: Signature) -> dict[str, str] | None:
    names = [port.name for port in signature.outputs]
    found = [next((n for n in names if n.split(":")[0] == wanted), None) for wanted in _TF]
    return None if None in found else dict(zip(("boxes", "scores", "labels"), found, strict=True))


def claims_tf(signature: Signature) -> str | None:
    """Returns why a file may have the interface of TensorFlow's object detection."""
    return _claim(signature, _tf_names(signature)) if only_picture(signature) else None


def read(outputs: Outputs, rank: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns boxes ``[n, k, 4]``, scores and labels ``[n, k]`` of three lists."""
    names = _lists(_of_outputs(outputs), rank)
    return tuple(outputs[names[key]] for key in ("boxes", "scores", "labels"))


def read_mmdet(outputs: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns boxes ``[n, k, 4]``, scores and labels ``[n, k]`` of dets and labels."""
    dets, labels = _mmdet(_of_outputs(outputs))
    dets = outputs[dets.name]
    return dets[..., :4], dets[..., 4], outputs[labels.name]


def read_tf(outputs: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns boxes ``[n, k, 4]`` x0, y0, x1, y1, scores and labels of TensorFlow's lists."""
    names = _tf_names(_of_outputs(outputs))
    boxes, scores, labels = (outputs[names[key]] for key in ("boxes", "scores", "labels"))
    return boxes[..., [1, 0, 3, 2]], scores, labels


Read = Callable[[Outputs], tuple[np.ndarray, np.ndarray, np.ndarray]]


def doubts(outputs: Outputs, given: Given, read: Read, shares: bool, by_category: bool):
    """Returns what speaks against lists of corners, scores and classes.

    Args:
        outputs: For pictures.
        given: See :class:`Given`.
        read: Takes the lists out of the outputs.
        shares: Whether corners are shares of the picture, else pixels of the network's input.
        by_category: Whether classes are counted from 1, as COCO's categories are.
    """
    boxes, scores, labels = (a.reshape(-1, *a.shape[2:]) for a in read(outputs))
    if not len(boxes) or not scores.any():
        return None
    if scores.min() < -1e-3 or scores.max() > 1.001:
        return f"scores of {scores.min():.3g} to {scores.max():.3g}, expected 0 to 1"
    if np.abs(labels - np.round(labels)).max() > 1e-3 or labels.min() < 0:
        return (
            f"classes of {labels.min():.4g} to {labels.max():.4g}, expected whole numbers from 0"
        )
    there = scores > 1e-3
    boxes, labels = boxes[there], labels[there]
    if not len(boxes):
        return None
    if doubt := doubt_of_corners(boxes, given.input_size, shares):
        return doubt
    return doubt_of_labels(labels, given, by_category)


def doubt_of_corners(boxes: np.ndarray, input_size: tuple[int, int], shares: bool) -> str | None:
    """Returns what speaks against corners ``[n, 4]`` x0, y0, x1, y1."""
    largest = float(np.abs(boxes).max())
    if shares and largest > 3:
        return f"boxes reach {largest:.3g}, expected shares of the picture"
    if not shares and largest <= 2:
        return f"boxes reach {largest:.3g}, like shares of the picture; expected pixels"
    if not shares and largest > 20 * max(input_size):
        return f"boxes reach {largest:.3g} in an input of {input_size[1]}x{input_size[0]} pixels"
    wrong = float((boxes[:, 2:] < boxes[:, :2] - 1e-3).any(axis=1).mean())
    if wrong > 0.01:
        return (
            f"{wrong:.0%} of the boxes end before they begin, expected two corners "
            f"(they may be given by size, or x and y swapped)"
        )
    return None


def doubt_of_labels(labels: np.ndarray, given: Given, by_category: bool) -> str | None:
    """Returns what speaks against classes as counted by this kind of network."""
    largest = int(labels.max())
    if by_category and (labels < 0.5).any():
        return "there is a class 0, which is the background where classes count from 1"
    usual = _CATEGORIES if by_category else _COCO
    known = None if by_category else given.n_classes  # such networks do not say it themselves
    if known is not None and largest >= known:
        return f"classes reach {largest}, expected less than {known}"
    if known is None and largest >= usual and not given.stated:
        return f"classes reach {largest}, expected less than {usual} (COCO); set person_class:"
    return None


def decode(outputs: Outputs, given: Given, read: Read, shares: bool) -> list[np.ndarray]:
    """Reads lists of corners, see :class:`Form`."""
    h, w = given.input_size
    factor = np.float32([w, h, w, h] if shares else [1, 1, 1, 1])
    found = []
    for boxes, certain, labels in zip(*read(outputs), strict=True):
        scores = np.where(np.round(labels) == given.person_class, certain, 0).astype(np.float32)
        found.append(listed(cornered(boxes.astype(np.float32)) * factor, scores, given))
    return found


def sizes(signature: Signature, batch: np.ndarray, input_size: tuple[int, int]) -> Outputs:
    """Returns the pictures' width and height, so that boxes come in pixels of the input."""
    port = _sizes_input(signature)
    if port is None:
        return {}
    return {port.name: np.array([input_size[::-1]] * (port.shape[0] or len(batch)), port.type)}


def _form(name, title, claims, read, look, *, shares=False, by_category=False, **more) -> Form:
    return Form(
        name=name,
        title=title,
        look=look,
        claims=claims,
        n_classes=lambda signature: _CATEGORIES if by_category else None,
        doubts=functools.partial(doubts, read=read, shares=shares, by_category=by_category),
        decode=functools.partial(decode, read=read, shares=shares),
        **more,
    )


DEPLOY = _form(
    "detr_deploy",
    "labels, boxes and scores with the pictures' sizes as input (RT-DETR, D-FINE, DEIM deployed)",
    claims_deploy,
    read,
    Look(),
    feeds=sizes,
)
TORCHVISION = _form(
    "torchvision",
    "boxes, labels and scores of one picture (torchvision's Faster R-CNN, SSD, RetinaNet)",
    claims_torchvision,
    functools.partial(read, rank=3),
    Look(resize="letterbox"),
    by_category=True,
    alone=True,
)
MMDET = _form(
    "mmdet",
    "dets and labels (RTMDet and others as mmdeploy exports them)",
    claims_mmdet,
    read_mmdet,
    Look("bgr", scale=1.0, **IMAGENET_BGR, resize="letterbox"),
)
TENSORFLOW = _form(
    "tensorflow",
    "detection_boxes, detection_scores and detection_classes (TensorFlow object detection)",
    claims_tf,
    read_tf,
    Look(scale=1.0),
    shares=True,
    by_category=True,
    of_picture=False,
)

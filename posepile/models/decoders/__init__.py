"""How the outputs of person detectors are read: one :class:`Form` for each kind of export.

A form says of a file whether its declared inputs and outputs may be of its kind (``claims``),
says of what the network gave for a picture what speaks against it (``doubts``), and turns outputs
into boxes (``decode``). :mod:`posepile.models.recognise` chooses among them. A new kind of export
is one more form in a module of its family here, named in ``FORMS``.
"""

from __future__ import annotations

from posepile.models.decoders.detr import DETR, DETR_SOFTMAX, RFDETR
from posepile.models.decoders.form import Form, Given, Look, Outputs
from posepile.models.decoders.listed import DEPLOY, MMDET, TENSORFLOW, TORCHVISION
from posepile.models.decoders.nanodet import NANODET
from posepile.models.decoders.rtdetr import RTDETR, RTDETR_LIST
from posepile.models.decoders.suppressed import (
    EFFICIENT_NMS,
    YOLO_LIST,
    YOLO_NAS,
    YOLO_NAS_LIST,
    YOLO_NAS_RAW,
    YOLOV7_LIST,
)
from posepile.models.decoders.yolo import YOLO, YOLOV5
from posepile.models.decoders.yolox import YOLOV6, YOLOX, YOLOX_DECODED

__all__ = ["FORMS", "Form", "Given", "Look", "Outputs", "form_named"]

FORMS: tuple[Form, ...] = (
    YOLOX,
    YOLOX_DECODED,
    YOLO,
    YOLO_LIST,
    YOLOV5,
    YOLOV6,
    YOLOV7_LIST,
    EFFICIENT_NMS,
    YOLO_NAS,
    YOLO_NAS_LIST,
    YOLO_NAS_RAW,
    NANODET,
    RTDETR,
    RTDETR_LIST,
    DETR,
    RFDETR,
    DETR_SOFTMAX,
    DEPLOY,
    TORCHVISION,
    MMDET,
    TENSORFLOW,
)


def form_named(name: str) -> Form:
    """Returns the form of a ``decoder:`` setting.

    >>> form_named("yolox").title
    'YOLOX, boxes as offsets in cells'
    """
    return next(form for form in FORMS if form.name == name)

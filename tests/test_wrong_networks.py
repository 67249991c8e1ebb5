"""Networks offered as what they are not: refused with the reason, before a picture is processed.

One row of ``WRONG`` for each pairing: who offers what as what, and a part of what is said. A row
makes its file with :mod:`answering` (any arrays in any interface), or names another way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import answering
import numpy as np
import pytest
from yolo_answers import (
    logits,
    made_for_tensorrt,
    rows,
    rtdetr,
    yolo,
    yolov6,
    yolov7_of_one_class,
    yolox,
)

from posepile.errors import CorruptInput, UsageError
from posepile.models import DetectorFile, DetectParams, load_detector

COCO = {i: "person" if i == 0 else f"thing {i}" for i in range(80)}


@dataclass(frozen=True)
class Wrong:
    """A pairing that must be refused.

    Attributes:
        what: In words, the id of the test.
        make: Writes the network to a path.
        said: Regular expression, found in the message.
        settings: Of ``detect.model``.
    """

    what: str
    make: Callable[[Path], object]
    said: str
    settings: dict = field(default_factory=dict)


def of(outputs: Callable[[], dict[str, np.ndarray]], **more) -> Callable[[Path], object]:
    """Returns a maker of the network that answers ``outputs()``."""
    return lambda path: answering.network(path, outputs(), **more)


def copied(name: str) -> Callable[[Path], object]:
    """Returns a maker that copies an exported network."""
    return lambda path: shutil.copyfile(Path(__file__).parent / "networks" / name, path)


ULTRALYTICS = {"names": COCO, "task": "detect", "stride": 32, "imgsz": [64, 64]}
EXPECTED_PERSON = r"a photograph of a person, and class 0 0\.[89]"

WRONG = [
    # Which class is the person
    Wrong(
        "person class beyond the classes",
        of(lambda: {"output": yolox()}),
        "person_class: 80, but it has 80 classes",
        {"person_class": 80},
    ),
    Wrong(
        "person class that the file's names contradict",
        of(lambda: {"output": yolox()}, metadata={"names": COCO}),
        "person_class: 17 is 'thing 17' in the file's own list of classes, and 'person' is 0",
        {"person_class": 17},
    ),
    Wrong(
        "person class that the test picture contradicts",
        of(lambda: {"output": yolox()}),
        "person_class: 17 has a score of 0 in the test picture, " + EXPECTED_PERSON,
        {"person_class": 17},
    ),
    Wrong(
        "person class of a list that the test picture contradicts",
        of(lambda: {"output0": rows(everybody=True)}),
        "person_class: 17 has a score of 0 in the test picture, " + EXPECTED_PERSON,
        {"person_class": 17},
    ),
    Wrong(
        "a number of classes that nobody knows",
        of(lambda: {"output": yolox(17)}),
        "17 classes and no names; set person_class",
    ),
    Wrong(
        "names without a person",
        of(lambda: {"output": yolox(3)}, metadata={"names": {0: "cat", 1: "dog", 2: "cow"}}),
        "no class 'person' among the file's 3 classes",
    ),
    Wrong(
        "Ultralytics' names without a person",
        of(lambda: {"output0": yolo(2)}, metadata={"names": {0: "helmet", 1: "vest"}}),
        "no class 'person' among the file's 2 classes",
    ),
    Wrong(
        "more names than classes",
        of(lambda: {"output0": yolo(60)}, metadata=ULTRALYTICS),
        "80 names of classes, but its output has 60 classes",
    ),
    Wrong(
        "a list with a class that has no name",
        of(lambda: {"output0": rows()}, metadata={"names": {0: "person", 1: "car"}}),
        "a box of class 79, but there are 2 classes",
    ),
    # Which task
    Wrong(
        "classification as detector",
        of(lambda: {"output": answering.scores(1, 1000)}),
        "not the interface of any known detector",
    ),
    Wrong(
        "Ultralytics' classification as detector",
        copied("yolov8_cls.onnx"),
        "its metadata says task classify: one class for a picture",
    ),
    Wrong(
        "Ultralytics' oriented boxes as detector",
        copied("yolov8_obb.onnx"),
        "its metadata says task obb: oriented boxes",
    ),
    Wrong(
        "oriented boxes whose metadata is lost",
        of(lambda: {"output0": yolo(15, np.linspace(-0.7, 2.3, 84)[:, None])}),
        "class scores of -0.7 to 2.3, like logits; expected 0 to 1",
        {"person_class": 0},
    ),
    Wrong(
        "pose whose metadata is lost",
        of(lambda: {"output0": yolo(1, np.random.default_rng(0).uniform(0, 64, (84, 51)))}),
        "class scores of .* no probabilities; expected 0 to 1",
        {"person_class": 0},
    ),
    Wrong(
        "matting as detector",
        of(lambda: {"alpha": np.zeros((1, 1, 64, 64), np.float32)}),
        "alpha float32 .*not the interface of any known detector",
    ),
    Wrong(
        "class map as detector",
        of(lambda: {"out": np.zeros((1, 21, 64, 64), np.float32)}),
        "not the interface of any known detector",
    ),
    # Scores
    Wrong(
        "logits where probabilities belong",
        of(lambda: {"output0": yolo(scores=logits())}, metadata=ULTRALYTICS),
        "like logits; expected 0 to 1",
    ),
    Wrong(
        "a sigmoid applied twice",
        of(lambda: {"output0": yolo(scores=1 / (1 + np.exp(-answering.scores(84, 80))))}),
        "in most places, expected nearly 0 .a sigmoid applied twice",
    ),
    Wrong(
        "percent where probabilities belong",
        of(lambda: {"output0": yolo(scores=100 * answering.scores(84, 80))}),
        "no probabilities; expected 0 to 1",
    ),
    Wrong(
        "values that are no numbers",
        of(lambda: {"output0": yolo(scores=np.full((84, 80), np.nan))}),
        "output output0 has values that are not finite",
    ),
    Wrong(
        "class and score of a list the other way round",
        of(lambda: {"output0": rows(order=(0, 1, 2, 3, 5, 4))}),
        "class and score are the other way round",
    ),
    # Boxes
    Wrong(
        "decoded YOLOX as raw",
        of(lambda: {"output": yolox(decoded=True)}),
        "boxes are decoded to pixels already.*set decoder: yolox_decoded",
        {"decoder": "yolox"},
    ),
    Wrong(
        "raw YOLOX as decoded",
        of(lambda: {"output": yolox()}),
        "boxes are offsets in cells, expected pixels; set decoder: yolox",
        {"decoder": "yolox_decoded"},
    ),
    Wrong(
        "decoded YOLOX as YOLOv6",
        of(lambda: {"output": yolox(decoded=True)}),
        "the objectness differs from 1; set decoder: yolox_decoded",
        {"decoder": "yolov6"},
    ),
    Wrong(
        "corners where centre and size belong",
        of(lambda: {"output0": yolo(corners=True)}, metadata=ULTRALYTICS),
        "boxes are two corners, expected centre and size",
    ),
    Wrong(
        "corners where centre and size belong, three boxes for each cell",
        of(lambda: {"output": yolov7_of_one_class(corners=True)}),
        "boxes are two corners, expected centre and size",
    ),
    Wrong(
        "centre and size where corners belong",
        of(lambda: {"output0": rows(sizes=True)}),
        "have their second corner left of or above the first",
    ),
    Wrong(
        "shares where pixels belong, before suppression",
        of(lambda: {"output0": yolo(unit=64)}),
        "like shares of the picture; expected pixels",
    ),
    Wrong(
        "shares where pixels belong, in a list",
        of(lambda: {"output0": rows(unit=64)}),
        "like shares of the picture; expected pixels",
    ),
    Wrong(
        "pixels of another picture",
        of(lambda: {"output0": rows(unit=1 / 40)}),
        "pixels in an input of 64x64",
    ),
    Wrong(
        "RT-DETR in pixels where shares belong",
        of(lambda: {"output0": rows(sizes=True)}, metadata={"head": "RTDETRDecoder"}),
        "expected shares of the picture",
        {"decoder": "rtdetr_list"},
    ),
    # Sizes and layouts
    Wrong(
        "YOLOv8 with its columns last",
        of(lambda: {"output0": yolo().transpose(0, 2, 1).copy()}, metadata=ULTRALYTICS),
        "80 names of classes, but its output has 79 classes",
    ),
    Wrong(
        "cells of another input size",
        of(lambda: {"output0": yolo()}, image=(1, 3, 128, 128), metadata=ULTRALYTICS),
        "84 boxes, expected 336 for an input of 128x128",
    ),
    Wrong(
        "an input size that the file does not have",
        of(lambda: {"output0": yolo()}),
        r"expected an input size of \[640, 640\]",
        {"input_size": (640, 640)},
    ),
    Wrong(
        "channels last as channels first",
        of(lambda: {"output0": yolo()}, image=(1, 64, 64, 3)),
        "expected .batch, 3, height, width. .layout nchw.*set layout: nhwc",
        {"layout": "nchw"},
    ),
    Wrong(
        "YOLOv5 as YOLOv8",
        copied("yolov8.onnx"),
        "not the interface of YOLO v5 or v7.*; set decoder: yolo",
        {"decoder": "yolov5"},
    ),
    Wrong(
        "feature maps that were never turned into boxes",
        of(
            lambda: {
                f"output{i}": np.zeros((1, 3, 64 // s, 64 // s, 85), np.float32)
                for i, s in enumerate((8, 16, 32))
            }
        ),
        "not the interface of any known detector",
    ),
    Wrong(
        "an input that nobody knows",
        of(lambda: {"output0": yolo()}, inputs={"memory": ("float32", (1, 8))}),
        "memory float32 .*not the interface of any known detector",
    ),
    Wrong(
        "suppression that only TensorRT has",
        made_for_tensorrt,
        "made for TensorRT, whose suppression ONNX Runtime does not have",
    ),
    # What pictures become
    Wrong(
        "pixels of 0 to 1 for a network of 0 to 255",
        of(lambda: {"output": yolox()}, bright=("output",)),
        "shown as BGR / 255 the person in the test picture has a score of 0, "
        "shown as BGR / 1 0.8.*; set scale: 1 without mean and std",
        {"scale": 1 / 255},
    ),
    Wrong(
        "a scale for a network that takes bytes",
        of(lambda: {"output0": yolo()}, kind="uint8"),
        "scale: but its input images uint8 .* takes pixels as they are",
        {"scale": 1 / 255},
    ),
]


def refused_with_the_reason(wrong: Wrong, tmp_path: Path) -> None:
    """Asserts that a pairing is refused in one line that names the file and the reason."""
    path = tmp_path / "offered.onnx"
    wrong.make(path)
    with pytest.raises((UsageError, CorruptInput), match=wrong.said) as refusal:
        load_detector(DetectParams(model=DetectorFile(path=str(path), **wrong.settings)))
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_it_is_refused_with_the_reason(wrong, tmp_path):
    refused_with_the_reason(wrong, tmp_path)


RIGHT = {
    "rtdetr": rtdetr,
    "yolov6": yolov6,
    "yolov5": yolov7_of_one_class,
    "yolox": yolox,
    "yolox_decoded": lambda: yolox(decoded=True),
    "yolo": yolo,
    "yolo_list": rows,
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_same_arrays_are_taken_where_nothing_is_wrong(name, tmp_path):
    """Rows of ``WRONG`` differ from these by what is said alone."""
    path = answering.network(tmp_path / "right.onnx", {"output": RIGHT[name]()})
    detector = load_detector(DetectParams(model=DetectorFile(path=str(path))))
    assert detector.form.name == name


def test_channels_may_be_last(tmp_path):
    path = tmp_path / "nhwc.onnx"
    answering.network(path, {"output": yolox()}, image=(1, 64, 64, 3))
    detector = load_detector(DetectParams(model=DetectorFile(path=str(path))))
    assert (detector.form.name, detector.network.layout) == ("yolox", "nhwc")


def test_an_untrained_class_score_does_not_halve_the_only_class(tmp_path):
    outputs = {"output": yolov7_of_one_class()}
    path = answering.network(tmp_path / "one.onnx", outputs)
    detector = load_detector(DetectParams(model=DetectorFile(path=str(path))))
    (found,) = detector([np.zeros((64, 64, 3), np.uint8)])
    assert found[0, 4] == pytest.approx(outputs["output"][..., 4].max(), abs=1e-5)


def test_a_range_that_nobody_stated_is_found(tmp_path):
    path = tmp_path / "dark.onnx"
    corners = rows()[..., :4]
    scores = answering.scores(84, 80)[None]
    outputs = {"pred_bboxes": corners, "pred_scores": scores}
    answering.network(path, outputs, bright=("pred_scores",))
    detector = load_detector(DetectParams(model=DetectorFile(path=str(path))))
    assert detector.form.name == "yolo_nas_raw"
    assert detector.form.look.scale == 1 / 255
    assert detector.network.look.scale == 1.0


def test_what_the_test_picture_could_not_tell_is_told_by_the_first_pictures(tmp_path):
    path = answering.network(tmp_path / "right.onnx", {"output": rows()})
    detector = load_detector(DetectParams(model=DetectorFile(path=str(path))))
    picture = np.zeros((64, 64, 3), np.uint8)
    detector.network.answer_prepared = lambda _: {"output": np.zeros((1, 84, 6), np.float32)}
    for _ in range(9):
        detector([picture])
    detector.network.answer_prepared = lambda _: {"output": rows(unit=64)}
    with pytest.raises(UsageError, match="like shares of the picture; expected pixels"):
        detector([picture])


def test_what_is_no_number_is_not_nobody(tmp_path, monkeypatch):
    """No score compares with it, so the people of such pictures were once not there at all."""
    boxes = np.zeros((1, 300, 6), np.float32)
    boxes[0, 0] = [10, 10, 50, 60, 0.9, 0]
    names = {"task": "detect", "names": "{0: 'person'}"}
    path = answering.network(tmp_path / "net.onnx", {"output0": boxes}, metadata=names)
    detector = load_detector(DetectParams(model=DetectorFile(path=str(path))))
    picture = np.zeros((64, 64, 3), np.uint8)
    for _ in range(9):  # also beyond those that are watched
        assert len(detector([picture])[0]) == 1
    broken = boxes.copy()
    broken[0, 0, 4] = np.nan
    answer = {"output0": broken}
    monkeypatch.setattr(detector.network, "answer_prepared", lambda batch: answer)
    with pytest.raises(UsageError, match="output output0 has values that are not a number"):
        detector([picture])


def test_a_batch_of_two_fixed_inside_is_no_fault_of_the_program(tmp_path):
    boxes = np.zeros((2, 300, 6), np.float32)
    boxes[:, 0] = [10, 10, 50, 60, 0.9, 0]
    names = {"task": "detect", "names": "{0: 'person'}"}
    path = answering.network(tmp_path / "net.onnx", {"output0": boxes}, metadata=names)
    with pytest.raises(UsageError, match="answers one picture with 2 lists of boxes"):
        load_detector(DetectParams(model=DetectorFile(path=str(path))))

"""Networks of queries and lists offered as what they are not; see ``test_wrong_networks``."""

import answering
import numpy as np
import pytest
from networks_kit import NETWORKS, load
from test_wrong_networks import Wrong, of, refused_with_the_reason


def queries(classes=80, unit=1.0, corners=False, seen=None, n=40):
    """Returns logits and boxes of queries; ``seen``: the class that the best query is of."""
    rng = np.random.default_rng(2)
    logits = rng.normal(-6, 1, (1, n, classes))
    if seen is not None:
        logits[0, 3, seen] = 3
    centre, size = rng.uniform(0.2, 0.8, (1, n, 2)), rng.uniform(0.05, 0.3, (1, n, 2))
    parts = [centre - size / 2, centre + size / 2] if corners else [centre, size]
    boxes = unit * np.concatenate(parts, axis=2)
    return {"logits": logits.astype(np.float32), "pred_boxes": boxes.astype(np.float32)}


def lists(unit=64.0, sized=False, classes=80, first=0, n=40):
    """Returns labels, boxes and scores."""
    rng = np.random.default_rng(2)
    low, size = rng.uniform(0.1, 0.5, (1, n, 2)), rng.uniform(0.05, 0.3, (1, n, 2))
    boxes = unit * np.concatenate([low, size if sized else low + size], axis=2)
    labels = np.linspace(first, classes - 1, n).astype(np.int64)[None]
    scores = np.linspace(0.4, 0.01, n)[None].astype(np.float32)
    return {"labels": labels, "boxes": boxes.astype(np.float32), "scores": scores}


def alone(**how):
    """Returns lists as torchvision has them: of one picture."""
    return {name: array[0] for name, array in lists(**how).items()}


def dets(**how):
    """Returns lists as mmdeploy has them."""
    found = lists(**how)
    rows = np.concatenate([found["boxes"], found["scores"][..., None]], axis=2)
    return {"dets": rows, "labels": found["labels"]}


def tensorflow(swapped=False, **how):
    """Returns lists as TensorFlow's object detection has them."""
    found = lists(unit=1.0, first=1, classes=91, **how)
    scores, labels = found["scores"], found["labels"].astype(np.float32)
    if swapped:
        scores, labels = labels, scores
    boxes = found["boxes"][..., [1, 0, 3, 2]]
    names = ("detection_boxes", "detection_scores", "detection_classes")
    return dict(zip(names, (boxes, scores, labels), strict=True))


def copy_of(name):
    """Returns a maker of a network that a library has exported."""
    return lambda path: path.write_bytes((NETWORKS / f"{name}.onnx").read_bytes())


SIZES = {"inputs": {"orig_target_sizes": ("int64", (1, 2))}}
WRONG = [
    Wrong(
        "DETR's softmax as sigmoid",
        copy_of("detr_hf"),
        r"the last class wins for .*% of all queries, as 'nothing' does .* detr_softmax",
        {"decoder": "rfdetr", "input_size": (96, 128)},
    ),
    Wrong(
        "RT-DETR's sigmoid as softmax",
        copy_of("rtdetr_hf"),
        "the last class wins for .*% of all queries, expected most.* set decoder: detr",
        {"decoder": "detr_softmax", "person_class": 0},
    ),
    Wrong(
        "'nothing' as the person",
        copy_of("detr_hf"),
        "person_class: 91, but it has 91 classes",
        {"decoder": "detr_softmax", "person_class": 91, "input_size": (96, 128)},
    ),
    Wrong(
        "deploy form without its sizes, as logits",
        copy_of("rtdetr_deploy"),
        "orig_target_sizes.* not the interface of DETR-like.*; set decoder: detr_deploy",
        {"decoder": "detr"},
    ),
    Wrong(
        "RF-DETR's dets as OpenMMLab's",
        copy_of("rfdetr"),
        "not the interface of dets and labels.*; set decoder: rfdetr",
        {"decoder": "mmdet"},
    ),
    Wrong(
        "queries with boxes in pixels",
        of(lambda: queries(unit=64.0)),
        "expected shares of the picture",
    ),
    Wrong(
        "queries with boxes by corners",
        of(lambda: queries(corners=True)),
        "boxes look like two corners, expected centre and size",
    ),
    Wrong(
        "queries with probabilities where logits belong",
        of(lambda: {**queries(), "logits": 1 / (1 + np.exp(-queries()["logits"]))}),
        "expected logits",
    ),
    Wrong(
        "class 0 of a list by category",
        of(lambda: queries(91, seen=1)),
        "person_class: 0 has a score of .* and class 1 0.95",
        {"person_class": 0, "decoder": "rfdetr"},
    ),
    Wrong(
        "queries of a number of classes that nobody knows",
        of(lambda: queries(13)),
        "13 classes and no names; set person_class",
        {"decoder": "detr"},
    ),
    Wrong(
        "deployed lists with shares where pixels belong",
        of(lambda: lists(unit=1.0), **SIZES),
        "like shares of the picture; expected pixels",
    ),
    Wrong(
        "deployed lists with classes by category",
        of(lambda: lists(classes=91), **SIZES),
        r"classes reach 90, expected less than 80 \(COCO\); set person_class:",
    ),
    Wrong(
        "deployed lists with sizes where corners belong",
        of(lambda: lists(sized=True), **SIZES),
        "of the boxes end before they begin, expected two corners",
    ),
    Wrong(
        "a second input that is no size",
        of(lambda: lists(), inputs={"scale_factor": ("float32", (1, 2))}),
        "scale_factor.*not the interface of any known detector",
    ),
    Wrong(
        "dets by size",
        of(lambda: dets(sized=True)),
        "of the boxes end before they begin",
    ),
    Wrong(
        "dets as shares",
        of(lambda: dets(unit=1.0)),
        "like shares of the picture; expected pixels",
    ),
    Wrong(
        "torchvision's lists with the background among them",
        of(lambda: alone(classes=91)),
        "there is a class 0, which is the background",
    ),
    Wrong(
        "TensorFlow's scores and classes the other way round",
        of(lambda: tensorflow(swapped=True)),
        "scores of 1 to 90, expected 0 to 1",
    ),
    Wrong(
        "TensorFlow's boxes in pixels",
        of(lambda: {**tensorflow(), "detection_boxes": 64 * tensorflow()["detection_boxes"]}),
        "expected shares of the picture",
    ),
    Wrong(
        "RF-DETR as channels last",
        copy_of("rfdetr"),
        r"expected \[batch, h, w, 3\] \(layout nhwc\); set layout: nchw",
        {"layout": "nhwc"},
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_it_is_refused_with_the_reason(wrong, tmp_path):
    refused_with_the_reason(wrong, tmp_path)


RIGHT = {
    "detr": (queries, {}),
    "rfdetr": (lambda: queries(91), {}),
    "detr_deploy": (lists, SIZES),
    "torchvision": (lambda: alone(first=1, classes=91), {}),
    "mmdet": (dets, {}),
    "tensorflow": (tensorflow, {}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_same_arrays_are_taken_where_nothing_is_wrong(name, tmp_path):
    """Rows of ``WRONG`` differ from these by what is said alone."""
    make, more = RIGHT[name]
    path = answering.network(tmp_path / "right.onnx", make(), **more)
    assert load(path).form.name == name


def test_classes_beyond_coco_are_taken_where_the_person_is_stated(tmp_path):
    path = answering.network(tmp_path / "right.onnx", lists(classes=366), **SIZES)
    assert load(path, person_class=0).form.name == "detr_deploy"

"""Networks that give lists of boxes, scores and classes, and what all kinds have in common."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from networks_kit import NETWORKS, answers, assert_same_boxes, assert_same_pixels, load
from onnx import TensorProto, helper

FORMS = {
    "torchvision_faster": "torchvision",
    "torchvision_mask": "torchvision",
    "mmdet": "mmdet",
    "tensorflow": "tensorflow",
}


@pytest.fixture(scope="module", params=FORMS)
def network(request):
    return request.param, load(NETWORKS / f"{request.param}.onnx")


def test_it_is_recognised_by_itself(network):
    name, detector = network
    assert detector.form.name == FORMS[name]


def test_boxes_are_those_of_the_library(network):
    name, detector = network
    compared = 0
    for found in answers(name):
        least = 0.0 if name.startswith("torchvision") else found["scores"].min()
        compared += assert_same_boxes(detector, found, least, classes=8)
    assert compared >= 10


def test_pictures_are_shown_as_by_the_library(network):
    name, detector = network
    for found in answers(name):
        assert_same_pixels(detector, found)


@pytest.mark.parametrize(
    "name", [*FORMS, "rtdetr_hf", "rtdetr_deploy", "detr_hf", "rfdetr", "rfdetr_seg"]
)
def test_several_pictures_are_like_each_alone(name):
    """Of fixed and free batches, of lists as long as the picture has boxes."""
    size = {"input_size": (96, 128)} if name == "detr_hf" else {}
    detector = load(NETWORKS / f"{name}.onnx", **size)
    pictures = [found["picture"] for found in answers(name)]
    pictures += [np.full((40, 70, 3), 90, np.uint8), pictures[0]]
    together = detector(pictures)
    for picture, boxes in zip(pictures, together, strict=True):
        (alone,) = detector([picture])
        np.testing.assert_allclose(boxes, alone, rtol=1e-3, atol=1e-3)


def rewritten(name, path, *, half=False, last=False):
    """A network whose interface is in half precision, or has the channels last."""
    model = onnx.load(str(NETWORKS / f"{name}.onnx"))
    graph, image = model.graph, model.graph.input[0]
    sizes = image.type.tensor_type.shape.dim
    sizes = [d.dim_param or d.dim_value for d in sizes]
    inner = image.name + "_inside"
    for node in graph.node:
        node.input[:] = [inner if n == image.name else n for n in node.input]
    kind, steps, at = TensorProto.FLOAT, [], image.name
    if half:
        kind = TensorProto.FLOAT16
        steps.append(helper.make_node("Cast", [at], ["as_float"], to=TensorProto.FLOAT))
        at = "as_float"
    if last:
        sizes = [sizes[0], sizes[2], sizes[3], sizes[1]]
        steps.append(helper.make_node("Transpose", [at], ["planes"], perm=[0, 3, 1, 2]))
        at = "planes"
    steps.append(helper.make_node("Identity", [at], [inner]))
    for step in reversed(steps):
        graph.node.insert(0, step)
    del graph.input[0]
    graph.input.insert(0, helper.make_tensor_value_info(image.name, kind, sizes))
    if half:
        for port in graph.output:
            if port.type.tensor_type.elem_type == TensorProto.FLOAT:
                for node in graph.node:
                    renamed = [n + "_float" if n == port.name else n for n in node.output]
                    node.output[:] = renamed
                cast = helper.make_node("Cast", [port.name + "_float"], [port.name], to=kind)
                graph.node.append(cast)
                port.type.tensor_type.elem_type = kind
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("how", [{"half": True}, {"last": True}], ids=["fp16", "nhwc"])
@pytest.mark.parametrize("name", ["mmdet", "rfdetr", "rtdetr_deploy"])
def test_half_precision_and_channels_last(name, how, tmp_path):
    changed = load(rewritten(name, tmp_path / "net.onnx", **how))
    plain = load(NETWORKS / f"{name}.onnx")
    assert changed.form is plain.form
    assert changed.network.layout == ("nhwc" if "last" in how else "nchw")
    found = answers(name)[0]
    picture, label = found["picture"], int(np.bincount(found["labels"]).argmax())
    for detector in (changed, plain):
        detector.given = replace(detector.given, person_class=label)
    (mine,), (theirs,) = changed([picture]), plain([picture])
    assert len(theirs)
    if "last" in how:
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    else:  # numbers of half precision: boxes to a quarter of a pixel
        best = theirs[:3]
        for row in best:
            assert np.abs(mine - row).max(axis=1).min() < 0.25

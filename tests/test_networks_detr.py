"""DETR and its descendants as libraries export them, against the libraries' own answers."""

import pytest
from networks_kit import NETWORKS, answers, assert_same_boxes, assert_same_pixels, load

FORMS = {
    "rtdetr_hf": "detr",
    "dfine_hf": "detr",
    "rtdetr_deploy": "detr_deploy",
    "dfine_deploy": "detr_deploy",
    "detr_hf": "detr_softmax",
    "conditional_hf": "rfdetr",
    "rfdetr": "rfdetr",
    "rfdetr_seg": "rfdetr",
}
SETTINGS = {"detr_hf": {"input_size": (96, 128)}}


@pytest.fixture(scope="module", params=FORMS)
def network(request):
    settings = SETTINGS.get(request.param, {})
    return request.param, load(NETWORKS / f"{request.param}.onnx", **settings)


def test_it_is_recognised_by_itself(network):
    name, detector = network
    assert detector.form.name == FORMS[name]


def test_boxes_are_those_of_the_library(network):
    name, detector = network
    found = answers(name)
    # What libraries list ends with their best pairs of query and class; ours has all.
    assert assert_same_boxes(detector, found[0], least=found[0]["scores"].min()) >= 10
    if name == "detr_hf":  # no pixel is resized in the second, but it fills half the input
        assert_same_boxes(detector, found[1], least=found[1]["scores"].min())


def test_pictures_are_shown_as_by_the_library(network):
    name, detector = network
    for found in answers(name):
        assert_same_pixels(detector, found)

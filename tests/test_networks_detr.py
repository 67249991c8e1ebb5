"""DETR and its descendants as libraries export them, against the libraries' own answers."""

import numpy as np
import pytest
from networks_kit import NETWORKS, answers, assert_same_boxes, assert_same_pixels, load

from posepile.models.decoders.detr import mask_of_picture
from posepile.models.signature import Port, Signature

FORMS = {
    "rtdetr_hf": "detr",
    "dfine_hf": "detr",
    "rtdetr_deploy": "detr_deploy",
    "dfine_deploy": "detr_deploy",
    "detr_hf": "detr_softmax",
    "conditional_hf": "rfdetr",
    "rfdetr": "rfdetr",
    "rfdetr_seg": "rfdetr",
    "rtdetr_ultralytics_each": "rtdetr",
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


@pytest.mark.parametrize("declared", [(1, 64, 64), (None, None, None)], ids=str)
def test_mask_of_a_picture_says_what_is_filled_up(declared):
    """Exports of transformers.js have a mask of 64x64, others one as large as the picture."""
    signature = Signature("", (Port("pixel_mask", "int64", declared),), ())
    batch = np.full((1, 3, 96, 128), 0.3, np.float32)
    batch[:, :, :, 64:] = 0  # the mean colour
    (mask,) = mask_of_picture(signature, batch, (96, 128)).values()
    assert mask.shape == ((1, 64, 64) if declared[1] else (1, 96, 128))
    assert mask.dtype == np.int64
    half = mask.shape[2] // 2
    assert mask[:, :, :half].all()
    assert not mask[:, :, half:].any()

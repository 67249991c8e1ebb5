"""Small detectors that the real libraries exported: boxes as the libraries themselves find them.

``networks/export_*.py`` made them and say with what. Where a library does not install, the same
graph is written down here after its export code; that is said at the place.
"""

from pathlib import Path

import numpy as np
import pytest
from networks.pictures import drawn_pictures

from posepile.models import DetectorFile, DetectParams, load_detector

NETWORKS = Path(__file__).parent / "networks"
EXPORTS = {
    "yolov8": "yolo",
    "yolov8_dynamic": "yolo",
    "yolov8_half": "yolo",
    "yolov8_wide": "yolo",
    "yolov8_nms": "yolo_list",
    "yolov8_seg": "yolo",
    "yolov8_seg_nms": "yolo_list",
    "yolov8_pose": "yolo",
    "yolov10": "yolo_list",
    "yolo26": "yolo_list",
    "yolo26_raw": "yolo",
    "yolo26_seg": "yolo_list",
    "rtdetr_ultralytics": "rtdetr_list",
    "yolov5": "yolov5",
    "yolov5_dynamic": "yolov5",
    "yolov5_seg": "yolov5",
    "yolov7_list": "yolov7_list",
    "yolov7_four": "efficient_nms",
    "yolo_nas": "yolo_nas",
    "yolo_nas_list": "yolo_nas_list",
    "yolo_nas_raw": "yolo_nas_raw",
    "nanodet": "nanodet",
    "nanodet_pairs": "nanodet",
    "nanodet_plus": "nanodet",
    "yolox": "yolox",
    "yolox_decoded": "yolox_decoded",
    "yolox_half": "yolox",
}


def corners(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:4], boxes[:, 4:]], axis=1)


def paired(found, expected):
    """``expected`` in the order of ``found``: by score, equal ones by place."""
    order = [np.lexsort((*b[:, :4].T, -b[:, 4].round(3))) for b in (found, expected)]
    return found[order[0]], expected[order[1]]


def check_like_the_library(detector, answers):
    for i, picture in enumerate(drawn_pictures()):
        (found,) = detector([picture])
        expected = answers[f"people_{i}"]
        h, w = picture.shape[:2]
        expected[:, :4] = np.clip(expected[:, :4], 0, [w, h, w, h])
        # Of some boxes of random weights nothing lies in the picture.
        expected = expected[(expected[:, 2:4] > expected[:, :2] + 1e-3).all(axis=1)]
        found, expected = paired(corners(found), expected)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=2e-3)
        # A picture is scaled to whole pixels of the network; the library takes boxes back by the
        # factor before rounding, which moves them by up to half a pixel of the network's.
        pixel = max(1.0, h / detector.network.input_size[0], w / detector.network.input_size[1])
        assert np.abs(found[:, :4] - expected[:, :4]).max(initial=0) <= pixel


def check_batches(detector):
    """Any number of pictures at once gives the boxes of each alone."""
    pictures = drawn_pictures()[:3]
    for found, picture in zip(detector(pictures), pictures, strict=True):
        (alone,) = detector([picture])
        np.testing.assert_allclose(*paired(found, alone), atol=1e-2)


# What neither file nor metadata say.
STATED = {
    "yolov5_dynamic": {"input_size": (160, 160)},
    "yolo_nas_raw": {"person_class": 0},
}


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_give_the_librarys_boxes(name):
    path = NETWORKS / f"{name}.onnx"
    detector = load_detector(
        DetectParams(model=DetectorFile(path=str(path), **STATED.get(name, {})))
    )
    assert detector.form.name == EXPORTS[name]
    with np.load(NETWORKS / f"{name}.npz") as answers:
        assert sum(map(len, answers.values())) > 5
        check_like_the_library(detector, answers)
    check_batches(detector)

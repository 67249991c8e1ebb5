import typing
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tiny_networks
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from posepile.errors import CorruptInput, UsageError
from posepile.formats.yaml_files import describe
from posepile.models import DetectorFile, DetectParams, load_detector
from posepile.models.boxes import clip_boxes, iou_matrix, nms, scale_boxes
from posepile.models.decoders import FORMS, Given, form_named
from posepile.models.decoders.grids import grid as yolox_grid
from posepile.models.onnx import letterbox_size
from posepile.models.params import Decoder


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    root = tmp_path_factory.mktemp("nets")
    return {
        "yolox": tiny_networks.yolox(root / "yolox.onnx", (256, 256)),
        "yolox_free": tiny_networks.yolox(root / "free.onnx", (256, 256), batch="n"),
        "yolox_three": tiny_networks.yolox(root / "three.onnx", (256, 256), batch=3),
        "detr": tiny_networks.detr(root / "detr.onnx", (256, 256), classes=80),
        "matting": tiny_networks.matting(root / "matting.onnx"),
        "nhwc": tiny_networks.matting(root / "nhwc.onnx", layout="nhwc"),
    }


def load(nets, name, decoder="yolox", batch=8, **more):
    model = DetectorFile(**{"path": str(nets[name]), "decoder": decoder, "person_class": 0} | more)
    return load_detector(DetectParams(model=model, batch=batch))


def drawn(w, h, box):
    image = np.full((h, w, 3), 30, np.uint8)
    x, y, bw, bh = box
    image[y : y + bh, x : x + bw] = 255
    return image


SIZES = [(512, 60), (60, 512), (427, 291), (291, 427), (256, 256), (257, 255), (511, 509), (9, 5)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["yolox", "detr"])
def test_drawn_box_comes_back_within_a_pixel(nets, size, name):
    detector = load(nets, name, name)
    w, h = size
    for box in [
        (w // 3, h // 2, w // 2, h // 3),
        (0, 0, w, h),
        (w - w // 3, h - h // 3, w // 3, h // 3),
    ]:
        (found,) = detector([drawn(w, h, box)])
        assert found.dtype == np.float32
        assert found.shape == (1, 5)
        assert np.abs(found[0, :4] - box).max() <= 1.0


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_letterbox_is_inverted_exactly(w, h):
    rw, rh = letterbox_size((w, h), (416, 416))
    assert 1 <= rw <= 416
    assert 1 <= rh <= 416
    assert max(rw, rh) >= 415
    back = scale_boxes(np.array([[0, 0, rw, rh]]), (rw, rh), (w, h))[0]
    np.testing.assert_allclose(back, [0, 0, w, h], rtol=1e-6)


def test_nothing_there_gives_empty_arrays(nets):
    for name in ("yolox", "detr"):
        found = load(nets, name, name)([np.zeros((40, 30, 3), np.uint8)])
        assert found[0].shape == (0, 5)
        assert found[0].dtype == np.float32
    assert load(nets, "yolox")([]) == []


@pytest.mark.parametrize("name", ["yolox", "yolox_free", "yolox_three"])
@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_any_batch_size_gives_the_same_boxes(nets, name, batch):
    images = [drawn(w, h, (w // 4, h // 4, w // 2, h // 2)) for w, h in SIZES[:5]]
    reference = [load(nets, "yolox", batch=1)([image])[0] for image in images]
    for a, b in zip(load(nets, name, batch=batch)(images), reference, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_grey_is_repeated_and_other_types_are_refused(nets):
    detector = load(nets, "yolox")
    image = drawn(100, 80, (10, 20, 30, 40))
    (color,), (grey,) = detector([image]), detector([image[..., 0]])
    np.testing.assert_array_equal(color, grey)
    np.testing.assert_array_equal(color, detector([image[..., :1]])[0])
    for wrong in (image.astype(np.uint16), image.astype(np.float32)):
        with pytest.raises(UsageError, match="8 bits per channel expected"):
            detector([wrong])
    with pytest.raises(UsageError, match=r"\[h, w, 3\] RGB"):
        detector([np.zeros((8, 8, 4), np.uint8)])


def test_channel_order_and_normalisation_reach_the_network(nets):
    """The tiny networks look at their first channel only: blue for YOLOX, red for DETR."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32, 0] = 255  # red on the left
    image[:, 32:, 2] = 255  # blue on the right
    np.testing.assert_allclose(load(nets, "yolox")([image])[0][0, :4], [32, 0, 32, 64], atol=0.6)
    left = load(nets, "detr", "detr")([image])[0][0, :4]
    np.testing.assert_allclose(left, [0, 0, 32, 64], atol=0.6)
    # 255 / 255 shifted by -0.3 is below the tiny network's level of 0.75
    shifted = load(nets, "detr", "detr")
    shifted.network.show(replace(shifted.network.look, mean=(0.3, 0.3, 0.3)))
    assert len(shifted([image])[0]) == 0
    with pytest.raises(UsageError, match=r"has a score of 0, shown as RGB / 255 1; set scale"):
        load(nets, "detr", "detr", mean=(0.3, 0.3, 0.3))


def test_wrong_networks_are_explained(nets, tmp_path):
    with pytest.raises(CorruptInput, match=r"layout nchw.*set layout: nhwc"):
        load(nets, "nhwc", layout="nchw")
    with pytest.raises(CorruptInput, match=r"expected an input size of \[640, 640\]"):
        load(nets, "yolox", input_size=(640, 640))
    with pytest.raises(UsageError, match="not the interface of YOLOX"):
        load(nets, "matting")
    with pytest.raises(UsageError, match="not the interface of DETR-like"):
        load(nets, "matting", "detr")
    with pytest.raises(UsageError, match="not the interface of any known detector"):
        load(nets, "matting", None)
    with pytest.raises(UsageError, match="not the interface of YOLOX.*; set decoder: detr"):
        load(nets, "detr", "yolox")
    with pytest.raises(UsageError, match="3 classes and no names; set person_class"):
        load(nets, "yolox", person_class=None)
    with pytest.raises(UsageError, match="person_class: 3, but it has 3 classes"):
        load(nets, "yolox", person_class=3)
    with pytest.raises(UsageError, match="no such ONNX file"):
        load({"x": tmp_path / "none.onnx"}, "x")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07not a network")
    with pytest.raises(CorruptInput, match=r"broken\.onnx: not an ONNX network"):
        load({"x": broken}, "x")
    with pytest.raises(UsageError, match=r"unknown model 'yolo9'.*yolox_nano"):
        load_detector(DetectParams(model="yolo9"))


def test_a_file_is_recognised_by_itself(nets):
    for name, form in (("yolox", "yolox"), ("yolox_free", "yolox"), ("detr", "detr")):
        assert load(nets, name, None).form.name == form


def test_every_form_can_be_named_in_settings():
    assert [form.name for form in FORMS] == list(typing.get_args(Decoder))


def test_cuda_that_is_not_there_is_refused(nets):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime has CUDA")
    model = DetectorFile(path=str(nets["yolox"]), decoder="yolox")
    with pytest.raises(UsageError, match="device: cuda"):
        load_detector(DetectParams(model=model, device="cuda"))


def test_no_network_is_loaded_where_none_is_needed():
    assert load_detector(DetectParams(model="none")) is None
    assert load_detector(DetectParams(model="joints")) is None


def slow_nms(boxes, scores, classes, limit):
    """One box at a time, by the definition."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for j in kept:
            (ax, ay, aw, ah), (bx, by, bw, bh) = boxes[i], boxes[j]
            iw = max(0.0, min(ax + aw, bx + bw) - max(ax, bx))
            ih = max(0.0, min(ay + ah, by + bh) - max(ay, by))
            union = aw * ah + bw * bh - iw * ih
            if classes[i] == classes[j] and union > 0 and iw * ih / union > limit:
                break
        else:
            kept.append(i)
    return kept


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 9)] * 2, *[st.integers(0, 3)] * 2),
        max_size=12,
    ),
    st.sampled_from([0.1, 0.3, 0.45, 0.7]),
)
def test_nms_is_class_aware_and_like_the_definition(rows, limit):
    array = np.array(rows, float).reshape(-1, 6)
    boxes, scores, classes = array[:, :4], array[:, 4] / 4, array[:, 5]
    assert nms(boxes, scores, classes, limit).tolist() == slow_nms(
        boxes.tolist(), scores, classes, limit
    )


@given(st.lists(st.tuples(*[st.floats(-50, 150)] * 2, *[st.floats(0, 120)] * 2), max_size=8))
def test_clipped_boxes_lie_in_the_image(rows):
    boxes = clip_boxes(np.array(rows, float).reshape(-1, 4), (90, 60))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= np.array([90, 60]) + 1e-9).all()


def test_other_classes_do_not_count(nets):
    grid = yolox_grid((64, 64))
    output = np.zeros((len(grid[0]), 8), np.float32)
    output[:, 2:4] = 0
    output[3] = [0.5, 0.5, 0, 0, 0.9, 0.1, 0.95, 0]  # class 1
    output[70] = [0.25, 0.5, np.log(2), 0, 0.8, 0.9, 0, 0]  # class 0, in the grid of stride 16
    given = Given((64, 64), person_class=0, score=0.5, nms=0.45)
    (boxes,) = form_named("yolox").decode({"output": output[None]}, given)
    cell = (70 - 64) % 4, (70 - 64) // 4
    expected = [(cell[0] + 0.25) * 16 - 16, (cell[1] + 0.5) * 16 - 8, 32, 16, 0.72]
    np.testing.assert_allclose(boxes, [expected], rtol=1e-5)
    assert iou_matrix(boxes, boxes)[0, 0] == pytest.approx(1)


def test_exif_orientation_is_not_applied(nets, tmp_path):
    """Annotations refer to stored pixels, so a rotation tag must not turn the image."""
    frames = pytest.importorskip("posepile.imaging.frames")
    from posepile.recipe import Stills

    image = drawn(120, 80, (20, 10, 40, 50))
    ok, plain = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert ok
    orientation_6 = bytes.fromhex(
        "ffe1001e4578696600004d4d002a000000080001011200030000000100060000"
    )
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain.tobytes()[:2] + orientation_6 + plain.tobytes()[2:])
    with frames.open_frames(Stills((path,))) as reader:
        ((_, frame),) = list(reader.read([0]))
        assert frame.size == (120, 80)
        (found,) = load(nets, "yolox")([frame.rgb()])
    np.testing.assert_allclose(found[0, :4], [20, 10, 40, 50], atol=1)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({}, "detect.model.path is missing"),
        (3, "detect.model = 3 is not allowed: expected a mapping"),
        ({"path": "a.onnx", "scale": 0}, "detect.model.scale = 0 is not allowed"),
        ({"path": "a.onnx", "pth": 1}, "unknown key detect.model.pth (did you mean path?)"),
    ],
)
def test_mistakes_are_told_by_the_keys_that_there_are(model, said):
    """Not by pydantic's names of the two forms of a model."""
    raw = {"model": model}
    with pytest.raises(ValidationError) as found:
        DetectParams.model_validate(raw)
    assert said in describe(found.value, "coco.yaml", raw, DetectParams, "detect")

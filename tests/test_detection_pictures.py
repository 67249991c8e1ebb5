"""What a detector is shown: scaled and converted at once, with the exact picture's colours."""

import json

import av
import cv2
import numpy as np
import pytest
from real_data import real_data

from posepile.imaging import pictures
from posepile.imaging.frames import open_frames
from posepile.imaging.pictures import PLANAR_FORMATS, ConvertedFrame, PlanarFrame
from posepile.models import DetectorFile, DetectParams, load_detector
from posepile.models.boxes import iou_matrix, scale_boxes
from posepile.recipe import Video
from posepile.stages.detect import picture_of

# The planar ones have an exact conversion of our own, the others are FFmpeg's; 4:1:0 and 4:4:0 are
# written by nobody, and share its code.
FORMATS = (
    *PLANAR_FORMATS,
    *("yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv422p10le", "yuv444p10le", "yuva420p"),
    *("nv12", "p010le", "yuyv422", "uyvy422", "yuv411p"),
    *("gray", "gray10le", "rgb24", "bgr24", "rgba", "gbrp", "gbrp10le", "rgb48le"),
)
MATRICES = (1, 5, 7, 9)  # BT.709, BT.601, SMPTE 240M, BT.2020
RANGES = (1, 2)  # limited, full


def coloured(w, h, seed=0):
    """A picture with soft and sharp edges in all colours, uint8 RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (h // 60 + 2, w // 60 + 2, 3), np.uint8)
    image = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        at, colour = rng.integers(0, (w, h)), rng.integers(0, 256, 3)
        cv2.circle(image, tuple(map(int, at)), h // 12, tuple(map(int, colour)), -1)
    return image


def tagged(image, form, matrix, limits):
    source = av.VideoFrame.from_ndarray(image, "rgb24")
    frame = source.reformat(format=form, dst_colorspace=matrix, dst_color_range=limits)
    frame.colorspace, frame.color_range = matrix, limits
    return frame


@pytest.mark.parametrize("form", FORMATS)
def test_colours_are_those_of_the_exact_picture(form):
    image = coloured(640, 480)
    whole = cv2.resize(image, (200, 150), interpolation=cv2.INTER_AREA).astype(int)
    for matrix in MATRICES:
        for limits in RANGES:
            frame = ConvertedFrame(tagged(image, form, matrix, limits))
            exact = cv2.resize(frame.rgb(), (200, 150), interpolation=cv2.INTER_AREA)
            small = frame.reduced((200, 150))
            assert small.shape == (150, 200, 3) and small.dtype == np.uint8
            off = np.abs(small.astype(int) - exact)
            # FFmpeg's own conversion of whole pictures is up to 2 levels too dark.
            assert off.mean() < (1 if form in PLANAR_FORMATS else 2.5), (matrix, limits)
            assert np.percentile(off, 99) <= 12, (matrix, limits)  # edges of saturated colours
            if not form.startswith("gray"):
                assert np.abs(small - whole).mean() < 2.5, (matrix, limits)


def plain_conversion(frame):
    """The exact picture of a planar frame, as its formula says."""
    planar = PlanarFrame(frame)
    (w, h), (luma, *chroma) = planar.size, planar._planes
    to_chroma = np.array([[0.5, 0, 0], [0, 0.5, -0.25]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = [
        cv2.warpAffine(
            c[:, : -(-w // 2)], to_chroma, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        for c in chroma
    ]
    yuv = cv2.merge([luma[:, :w], *grown]).astype(np.float32)
    rgb = cv2.transform(yuv, planar._to_rgb) * 255 + np.float32(0.5)
    return np.clip(rgb, 0, 255.5).astype(np.uint8)


@pytest.mark.parametrize("form", PLANAR_FORMATS)
@pytest.mark.parametrize("size", [(640, 480), (641, 479), (7, 3), (2, 2), (1, 1)], ids=str)
def test_whole_pictures_have_the_bytes_of_the_plain_formula(form, size):
    rng = np.random.default_rng(sum(size))
    for matrix in MATRICES:
        for limits in RANGES:
            frame = av.VideoFrame(*size, form)
            frame.colorspace, frame.color_range = matrix, limits
            for plane in frame.planes:  # any samples, also those that no picture has
                n, depth = plane.buffer_size, PLANAR_FORMATS[form]
                wide = rng.integers(0, 1 << depth, n // 2).astype(np.uint16)
                plane.update(wide if depth > 8 else rng.integers(0, 256, n, np.uint8))
            found = PlanarFrame(frame).rgb()
            assert np.array_equal(found, plain_conversion(frame)), (matrix, limits)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("form", ["yuv420p", "yuv444p"])
def test_turned_frames_are_reduced_before_they_are_turned(form, turns, mirrored, monkeypatch):
    frame = tagged(coloured(640, 360), form, 1, 1)
    turned = ConvertedFrame(frame, turns, mirrored)
    size = (90, 160) if turns % 2 else (160, 90)
    small = turned.reduced(size)
    expected = np.rot90(ConvertedFrame(frame).reduced((160, 90)), turns)
    assert np.array_equal(small, expected[:, ::-1] if mirrored else expected)
    whole = np.rot90(ConvertedFrame(frame).rgb(), turns)
    assert np.array_equal(turned.rgb(), whole[:, ::-1] if mirrored else whole)


def test_a_picture_for_a_detector_costs_no_whole_conversion(monkeypatch):
    frame = tagged(coloured(1280, 720), "yuv420p", 1, 1)
    for kind in (PlanarFrame(frame), ConvertedFrame(frame, 1)):
        with monkeypatch.context() as m:
            m.setattr(PlanarFrame, "rgb", lambda *_: pytest.fail("converted as a whole"))
            assert picture_of(kind, (200, 300)).shape == (300, 200, 3)


class Noted:
    """A frame that notes what is asked of it."""

    def __init__(self, size):
        self.size = size

    def rgb(self, short_side=None):
        return "rgb", short_side

    def reduced(self, size):
        return "reduced", size


@pytest.mark.parametrize(
    ("size", "wanted", "short_side", "expected"),
    [
        ((3840, 2160), (416, 234), None, ("reduced", (416, 234))),
        ((3840, 2160), (416, 234), 448, ("reduced", (416, 234))),
        ((3840, 2160), (640, 640), 448, ("reduced", (796, 448))),  # no more than is allowed
        ((1280, 1280), (640, 640), None, ("reduced", (640, 640))),
        ((1278, 1280), (640, 640), None, ("rgb", None)),  # less than a half: the network resizes
        ((640, 480), (416, 312), 448, ("rgb", 448)),
        ((340, 256), (416, 313), None, ("rgb", None)),
    ],
)
def test_the_network_is_shown_no_larger_picture_than_it_takes(size, wanted, short_side, expected):
    assert picture_of(Noted(size), wanted, short_side) == expected


# ---------------------------------------------------------------- boxes


def write_h264(path, images):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path


def real_pictures():
    """Frames of the video of tai chi and photographs, uint8 RGB."""
    root = real_data()
    with open_frames(Video(root / "video" / "ta_chi.mp4")) as reader:
        found = [[frame.rgb() for _, frame in reader.read([0, 60, 120, 180, 240])]]
    data = json.loads(
        (root / "coco" / "annotations" / "person_keypoints_val2017.json").read_text()
    )
    for entry in data["images"]:
        image = cv2.imread(str(root / "coco" / "val2017" / entry["file_name"]))
        h, w = (n // 2 * 2 for n in image.shape[:2])
        found.append([np.ascontiguousarray(image[:h, :w, ::-1])])
    return found


@pytest.mark.parametrize("long_side", [640, 1408, 3840])
def test_boxes_are_those_of_the_exact_picture(long_side, tmp_path):
    weights = real_data() / "models" / "yolox_nano.onnx"
    if not weights.is_file():
        pytest.skip(f"no {weights}")
    model = DetectorFile(path=str(weights), decoder="yolox")
    detector = load_detector(DetectParams(model=model))
    n = 0
    for k, images in enumerate(real_pictures()):
        scale = long_side / max(images[0].shape)
        size = [round(s * scale) // 2 * 2 for s in images[0].shape[1::-1]]
        large = [cv2.resize(i, size, interpolation=cv2.INTER_CUBIC) for i in images]
        video = write_h264(tmp_path / f"{k}.mkv", large)
        with open_frames(Video(video)) as reader:
            for index, frame in reader.read(range(len(images))):
                assert isinstance(frame, PlanarFrame)
                wanted = detector.picture_size(frame.size)
                exact = frame.rgb()
                if 2 * wanted[0] <= frame.size[0]:
                    exact = cv2.resize(exact, wanted, interpolation=cv2.INTER_AREA)
                (expected,) = detector([exact])
                expected = scale_boxes(expected, exact.shape[1::-1], frame.size)
                picture = picture_of(frame, wanted)
                (found,) = detector.detect([detector.prepare(picture)])
                found = scale_boxes(found, picture.shape[1::-1], frame.size)
                assert len(found) == len(expected), (k, index)
                same = iou_matrix(expected, found).max(axis=1)
                assert (same >= 0.98).all(), (k, index, same)
                n += len(expected)
    assert n >= 15


def test_colours_by_tag_are_known_to_ffmpeg():
    """What has no tag is taken by its size, as the exact conversion takes it."""
    for height, matrix in ((480, 5), (720, 1)):
        frame = av.VideoFrame(640, height, "yuv420p")
        assert pictures.colorspace(frame) == (matrix, False)
        image = coloured(640, height)
        source = av.VideoFrame.from_ndarray(image, "rgb24")
        untagged = source.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=1)
        untagged.colorspace, untagged.color_range = 2, 0
        small = PlanarFrame(untagged).reduced((320, height // 2)).astype(int)
        plain = cv2.resize(image, (320, height // 2), interpolation=cv2.INTER_AREA)
        assert np.abs(small - plain).mean() < 1

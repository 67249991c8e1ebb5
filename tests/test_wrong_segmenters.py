"""Networks offered as segmenters that are something else: refused with the reason.

A row makes its files with :mod:`answering`, or names exported ones.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import answering
import numpy as np
import pytest
from networks_kit import NETWORKS
from test_networks_masks import WINDOW, A, alpha, logit
from test_wrong_networks import rows, yolo

from posepile.errors import CorruptInput, UsageError
from posepile.models import SegmenterFile, SegmentParams, load_segmenter


@dataclass(frozen=True)
class Wrong:
    """A pairing that must be refused.

    Attributes:
        what: In words, the id of the test.
        make: Writes the network to a path; or the name of an exported one.
        said: Regular expression, found in the message.
        settings: Of ``segment.model``; ``decoder_path`` is the name of an exported network.
    """

    what: str
    make: Callable[[Path], object] | str
    said: str
    settings: dict = field(default_factory=dict)


def says(output, **more) -> Callable[[Path], object]:
    """Returns a maker of the network with one output."""
    outputs = output if isinstance(output, dict) else {"out": output}
    return lambda path: answering.network(path, outputs, **more)


DEPTH = np.linspace(0.5, 12, 64 * 64).reshape(1, 1, 64, 64).astype(np.float32)
NORMALS = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
MATTING, SAM = {"decoder": "matting"}, {"decoder": "sam"}

WRONG = [
    # Another task
    Wrong("a detector as matting", says(yolo()), r"expected a map of the 64x64 input", MATTING),
    Wrong("a detector's list as matting", says(rows()), "expected a map of the 64x64", MATTING),
    Wrong("a detector as segmenter", says(yolo()), "a detector .*gives boxes and no masks"),
    Wrong("classification", says(answering.scores(1, 1000)), "no segmenter of a known kind"),
    Wrong("depth", says(DEPTH), "values of 0.5 to 12, neither probabilities nor logits"),
    Wrong("depth of 0 to 1", says(DEPTH / 12), "neither person nor background"),
    Wrong("normals", says(NORMALS), "3 planes, as of colours or normals.*set person_class"),
    Wrong("matting as promptable", says(A), "expected images, point coordinates", SAM),
    Wrong(
        "instances whose metadata is lost are not matting",
        "yolov8_seg",
        "expected a map of the 160x160 input",
        MATTING,
    ),
    # Parts of networks in two files
    Wrong("an encoder alone", "sam_encoder", "the encoder of a promptable.*set decoder_path"),
    Wrong("SAM 2's encoder alone", "sam2_encoder", "the encoder of a promptable"),
    Wrong("a decoder alone", "sam_decoder", "the decoder of a promptable.*set path: to its enc"),
    Wrong(
        "files the other way round",
        "sam_decoder",
        "path: and decoder_path: are the other way round",
        {"decoder_path": "sam_encoder"},
    ),
    Wrong(
        "the decoder of another network",
        "sam_encoder",
        "high_res_feats_0.*the encoder .* has no such output",
        {"decoder_path": "sam2_decoder"},
    ),
    Wrong(
        "a decoder that makes nothing of the encoder's finer maps",
        "sam2_encoder",
        "does not take high_res_feats_0.*the two files are of different networks",
        {"decoder_path": "sam_decoder"},
    ),
    Wrong(
        "an encoder as decoder",
        "sam_encoder",
        "not the decoder of a promptable network",
        {"decoder_path": "sam2_encoder"},
    ),
    Wrong(
        "matting as encoder",
        "deeplab",
        "the encoder .* has no such output",
        {"decoder_path": "sam_decoder"},
    ),
    # Values
    Wrong(
        "background as foreground",
        says(1 - A[None, None]),
        "marks everything in the test picture but the person",
    ),
    Wrong(
        "two classes the other way round",
        says(np.stack([A, 1 - A])[None]),
        "but the person.*set person_class: 0",
    ),
    Wrong(
        "pixels of 0 to 1 for a network of 0 to 255",
        says(20 * logit(A)[None, None] - 1, bright=("out",)),
        "shown as RGB / 255 it marks .*; set scale: 1, mean",
        {"scale": 1 / 255},
    ),
    Wrong(
        "a scale for a network that takes bytes",
        says(A[None, None], kind="uint8"),
        "scale: but its input images uint8",
        {"scale": 1 / 255},
    ),
    Wrong("values that are no numbers", says(A[None, None] * np.nan), "not finite"),
    Wrong("classes without names", says(np.zeros((1, 37, *WINDOW), np.float32)), "set person_cl"),
    Wrong(
        "a person class beyond the classes",
        says(np.zeros((1, 21, *WINDOW), np.float32)),
        "person_class: 30, but it has 21 classes",
        {"person_class": 30},
    ),
    Wrong(
        "numbers of classes without names",
        says((7 * (A > 0.5)).astype(np.int64)[None]),
        "the person in the test picture is 7 .* set person_class",
    ),
    # Interfaces
    Wrong(
        "one channel",
        says(A, image=(1, 1, 64, 64)),
        "it does not take RGB images",
    ),
    Wrong(
        "an input that nobody knows",
        says(A, inputs={"trimap": ("float32", (1, 1, 64, 64))}),
        "trimap float32",
    ),
    Wrong(
        "channels last as channels first",
        says(A, image=(1, 64, 64, 3)),
        "set layout: nhwc",
        {"layout": "nchw"},
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_it_is_refused_with_the_reason(wrong, tmp_path):
    path = tmp_path / "offered.onnx"
    if isinstance(wrong.make, str):
        shutil.copyfile(NETWORKS / f"{wrong.make}.onnx", path)
    else:
        wrong.make(path)
    settings = dict(wrong.settings)
    if "decoder_path" in settings:
        settings["decoder_path"] = str(NETWORKS / f"{settings['decoder_path']}.onnx")
    with pytest.raises((UsageError, CorruptInput), match=wrong.said) as refusal:
        load_segmenter(SegmentParams(model=SegmenterFile(path=str(path), **settings)))
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value) or str(NETWORKS) in str(refusal.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(1 - alpha(), "the background instead of the person"), (0 * alpha() + 1, "everything")],
    ids=["inverted", "everything"],
)
def test_a_wrong_mask_is_told_by_the_first_crops(tmp_path, answer, said):
    """Where the test picture tells nothing: the joints are what is not marked, or all is."""
    path = answering.network(tmp_path / "net.onnx", {"out": np.zeros((1, 1, 64, 64), np.float32)})
    segmenter = load_segmenter(SegmentParams(model=SegmenterFile(path=str(path))))
    segmenter.foreground.network.answer = lambda _: {"out": answer[None, None]}
    crop = np.zeros((64, 64, 3), np.uint8)
    joints = np.array([[28.0, 14], [20, 40], [32, 45], [25, 50], [30, 55], [14, 55]])
    box = np.array([4.0, 4, 56, 56])
    with pytest.raises(UsageError, match=said):
        for _ in range(30):
            segmenter(crop, box, joints)


def test_decoder_path_needs_a_promptable_network():
    with pytest.raises(ValueError, match="decoder_path has no effect with decoder: matting"):
        SegmenterFile(path="a.onnx", decoder_path="b.onnx", decoder="matting")

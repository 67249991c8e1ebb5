"""Matting, class-map and instance networks: masks as the libraries themselves find."""

import answering
import numpy as np
import pytest
from networks.pictures import drawn_pictures
from networks_kit import NETWORKS

from posepile.models import SegmenterFile, SegmentParams, load_segmenter
from posepile.models.recognise import load_test_picture
from posepile.models.recognise_masks import person_and_background

WINDOW = (64, 64)


def load(path, **more):
    return load_segmenter(SegmentParams(model=SegmenterFile(path=str(path), **more)))


def iou(a, b):
    return (a & b).sum() / max(1, (a | b).sum())


@pytest.mark.parametrize("name", ["yolov8_seg", "yolov8_seg_nms", "yolo26_seg", "mask_rcnn"])
def test_instances_are_those_of_the_library(name):
    found = load(NETWORKS / f"{name}.onnx").foreground
    assert found.kind == "instances"
    compared = 0
    with np.load(NETWORKS / f"{name}_masks.npz") as stored:
        for i, picture in enumerate(drawn_pictures()):
            if f"boxes_{i}" not in stored:
                continue
            boxes = stored[f"boxes_{i}"]
            bits = stored[f"masks_{i}"]
            if not len(boxes):
                continue
            shape = (len(boxes), *picture.shape[:2])
            masks = np.unpackbits(bits, count=np.prod(shape)).reshape(shape) > 0
            ours, mine = found.find(picture)
            for box, mask in zip(boxes, masks, strict=True):
                if mask.sum() < 50:
                    continue
                corners = np.concatenate([ours[:, :2], ours[:, :2] + ours[:, 2:4]], axis=1)
                near = int(np.abs(corners - box[:4]).max(axis=1).argmin())
                # Of Mask R-CNN's boxes of equal score others are kept in another runtime.
                if name == "mask_rcnn" and np.abs(corners[near] - box[:4]).max() > 1:
                    continue
                # The library counts the filled-up border in whole pixels of the prototypes.
                least = 0.99 if picture.shape[0] == picture.shape[1] else 0.93
                assert iou(mine[near], mask) >= least, (i, iou(mine[near], mask))
                compared += 1
    assert compared >= 3


@pytest.mark.parametrize("name", ["deeplab", "deeplab_numbers"])
def test_class_maps_are_those_of_torchvision(name):
    stated = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    found = load(NETWORKS / f"{name}.onnx", person_class=15, **stated).foreground
    assert found.form.person == 15
    with np.load(NETWORKS / "deeplab.npz") as stored:
        for i, picture in enumerate(drawn_pictures()[:1]):
            size = picture.shape[0] * picture.shape[1]
            mask = np.unpackbits(stored[f"masks_{i}"], count=size).reshape(picture.shape[:2]) > 0
            assert iou(found.probability(picture) > 0.5, mask) >= 0.99


def alpha(inside=0.98, outside=0.02, size=WINDOW):
    """What a network says that sees the person in the test picture, [h, w]."""
    h, w = size
    rows = np.linspace(0, 287, h).astype(int)
    person = person_and_background()[0][rows][:, np.linspace(0, 287, w).astype(int)]
    return np.where(person, inside, outside).astype(np.float32)


def logit(p):
    return np.log(p / (1 - p)).astype(np.float32)


def classes(n, person, p):
    """Scores of n classes, of which only two matter, [1, n, h, w]."""
    scores = np.full((1, n, *p.shape), -4, np.float32)
    scores[0, person] = logit(p)
    scores[0, 0] = -logit(p)
    return scores


A = alpha()
SAID = {
    "MODNet": ({"output": A[None, None]}, "alpha"),
    "BiRefNet": (
        {
            "d4": logit(alpha(0.4, 0.6, (8, 8)))[None, None],
            "d2": logit(alpha(size=(32, 32)))[None, None],
            "out": logit(A)[None, None],
        },
        "logits",
    ),
    "U2-Net": ({f"d{i}": A[None, None] for i in range(7)}, "alpha"),
    "IS-Net": (
        {
            "features": np.zeros((1, 16, 1, 1), np.float32),
            "coarse": alpha(size=(32, 32))[None, None],
            "out": A[None, None],
        },
        "alpha",
    ),
    "selfie, channels last": ({"out": A[None, :, :, None]}, "alpha"),
    "height and width alone": ({"out": A}, "alpha"),
    "height, width, one": ({"out": A[:, :, None]}, "alpha"),
    "PP-HumanSeg": ({"out": np.stack([1 - A, A])[None]}, "classes"),
    "two classes, logits, last": (
        {"out": np.stack([-logit(A), logit(A)], axis=2)[None]},
        "classes",
    ),
    "DeepLab": ({"out": classes(21, 15, A), "aux": classes(21, 3, A)}, "classes"),
    "SegFormer on ADE20K": ({"logits": classes(150, 12, alpha(size=(16, 16)))}, "classes"),
    "numbers of VOC": ({"out": (15 * (A > 0.5)).astype(np.int64)[None]}, "numbers"),
    "bytes": ({"out": (255 * A).round().astype(np.float32)[None, None]}, "bytes"),
    "halves": ({"out": A[None, None].astype(np.float16)}, "alpha"),
}


@pytest.mark.parametrize("name", SAID)
def test_every_form_of_a_map_is_read(name, tmp_path):
    outputs, values = SAID[name]
    path = answering.network(tmp_path / "net.onnx", outputs)
    found = load(path).foreground
    assert (found.kind, found.form.values) == ("matting", values)
    mask = found.probability(load_test_picture()) > 0.5
    person, background = person_and_background()
    assert mask[person].mean() > (0.8 if name.startswith("SegFormer") else 0.9)
    assert not mask[background].any()
    assert found.form.output == {"U2-Net": "d0", "DeepLab": "out"}.get(name, list(outputs)[-1])


def test_free_sizes_are_the_usual_ones(tmp_path):
    path = answering.network(
        tmp_path / "net.onnx", {"out": alpha(size=(512, 512))[None, None]}, image=(1, 3, "h", "w")
    )
    assert load(path).foreground.network.input_size == (512, 512)


def test_a_network_for_videos_gets_an_empty_state(tmp_path):
    state = {f"r{i}o": np.zeros((1, 4, 8, 8), np.float32) for i in range(1, 5)}
    colours = np.zeros((1, 3, *WINDOW), np.float32)
    path = answering.network(
        tmp_path / "rvm.onnx",
        {"fgr": colours, "pha": A[None, None], **state},
        inputs={
            **{f"r{i}i": ("float32", ("b", "c", "h", "w")) for i in range(1, 5)},
            "downsample_ratio": ("float32", (1,)),
        },
    )
    found = load(path).foreground
    assert (found.kind, found.form.output) == ("matting", "pha")
    given = found.network.feeds(found.network.signature, None, WINDOW)
    assert {k: v.shape for k, v in given.items()} == {
        **{f"r{i}i": (1, 1, 1, 1) for i in range(1, 5)},
        "downsample_ratio": (1,),
    }
    assert given["downsample_ratio"] == 0.5
    feeds = load(path, downsample_ratio=0.25).foreground.network.feeds
    assert feeds(found.network.signature, None, WINDOW)["downsample_ratio"] == 0.25


def test_a_range_that_nobody_stated_is_found(tmp_path):
    outputs = {"out": 20 * logit(A)[None, None] - 1}
    path = answering.network(tmp_path / "net.onnx", outputs, bright=("out",))
    assert load(path).foreground.network.look.scale == 1.0

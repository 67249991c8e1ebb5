"""Exports small YOLOv5 networks with the library, and what the library finds with them.

Made with yolov5 7.0.14 (Ultralytics' repository as a package), torch 2.14.1 and onnx 1.23.2:

    cd tests/networks && python export_yolov5.py

The body before the head is five convolutions with random weights. ``NAME.npz`` holds ``people_I``
``[n, 5]``, corners and score of class 0, by the library's ``letterbox``, ``non_max_suppression``
and ``scale_boxes``.

YOLOv7 is no package. Its output before suppression is that of YOLOv5; the two exports with the
suppression inside (``export.py --end2end --max-wh``, and the four outputs of YOLOv6's
``--end2end --ort`` and of TensorRT's EfficientNMS) are written down here as
``models/experimental.py`` has them, around the same network.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from pictures import drawn_pictures
from torch import nn
from yolov5.export import export_onnx
from yolov5.models.yolo import DetectionModel, SegmentationModel
from yolov5.utils.augmentations import letterbox
from yolov5.utils.general import non_max_suppression, scale_boxes

HERE = Path(__file__).parent
SIDE, CONF, IOU = 160, 0.5, 0.45
torch.onnx.export = partial(torch.onnx.export, dynamo=False)  # the exporter of the library's time
NAMES = {0: "person", 1: "bicycle", 2: "car"}
ANCHORS = [
    [10, 13, 16, 30, 33, 23],
    [30, 61, 62, 45, 59, 119],
    [116, 90, 156, 198, 373, 326],
]


def build(kind, head: str, *arguments):
    """Returns a small network of the library whose scores and boxes differ."""
    config = {
        "nc": len(NAMES),
        "anchors": ANCHORS,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "backbone": [[-1, 1, "Conv", [8, 3, 2]]] * 5,
        "head": [[[2, 3, 4], 1, head, ["nc", "anchors", *arguments]]],
    }
    torch.manual_seed(0)
    network = kind(config).eval()
    network.names = NAMES
    head, fed = network.model[-1], []
    for layer in network.model[:-1].modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)
    hook = head.register_forward_pre_hook(lambda _, given: fed.append(list(given[0])))
    stacked = np.stack([prepared(picture) for picture in drawn_pictures()])
    with torch.no_grad():
        network(torch.tensor(stacked))
        hook.remove()
        for layer, features in zip(head.m, fed[0], strict=True):
            layer.weight *= 1 / layer(features).std((0, 2, 3))[:, None, None, None]
            layer.bias[:] = 0
            layer.bias[:] = -layer(features).mean((0, 2, 3))
            bias = layer.bias.view(head.na, head.no)
            weight = layer.weight.view(head.na, head.no, -1)
            bias[:, 4], weight[:, 4] = bias[:, 4] - 4.5, weight[:, 4] * 3
            bias[:, 5] += 2
    return network


def prepared(picture: np.ndarray) -> np.ndarray:
    """Returns a picture as the library prepares it, ``[3, SIDE, SIDE]``."""
    boxed = letterbox(picture[..., ::-1], (SIDE, SIDE), auto=False)[0]
    return np.ascontiguousarray(boxed.transpose(2, 0, 1)[::-1], np.float32) / 255


def save(name: str, people) -> None:
    """Writes what ``people(picture)`` gives for each picture: corners (network), score, class."""
    kept = {}
    for i, picture in enumerate(drawn_pictures()):
        found = people(prepared(picture)[None])
        found[:, :4] = scale_boxes((SIDE, SIDE), found[:, :4], picture.shape)
        kept[f"people_{i}"] = found[found[:, 5] == 0, :5].numpy()
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    size = (HERE / f"{name}.onnx").stat().st_size
    print(name, size, [len(v) for v in kept.values()])


def export(name: str, network, masks: int = 0, **how) -> None:
    """Exports by the library."""
    for layer in network.modules():
        if hasattr(layer, "export"):
            layer.export, layer.dynamic = True, bool(how.get("dynamic"))
    example = torch.zeros(1, 3, SIDE, SIDE)
    network(example)
    path = HERE / f"{name}.onnx"
    how = {"opset": 17, "dynamic": False, "simplify": False} | how
    export_onnx(network, example, path, **how)
    session = onnxruntime.InferenceSession(path)

    def people(blob):
        output = torch.tensor(session.run(None, {"images": blob})[0])
        return non_max_suppression(output, CONF, IOU, nm=masks)[0]

    save(name, people)


class _Nms(torch.autograd.Function):
    @staticmethod
    def forward(ctx, boxes, scores, most, iou, score):
        """Returns anything of the right shape, for tracing."""
        return torch.zeros(7, 3, dtype=torch.int64)

    @staticmethod
    def symbolic(g, boxes, scores, most, iou, score):
        """Returns ONNX's own suppression."""
        return g.op("NonMaxSuppression", boxes, scores, most, iou, score)


class Suppressed(nn.Module):
    """YOLOv7's ONNX_ORT: rows of picture, corners, class, score; or the four outputs."""

    def __init__(self, network, four: bool):
        super().__init__()
        self.network, self.four = network, four
        half = [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]]
        self.matrix = torch.tensor(half, dtype=torch.float32)

    def forward(self, x):
        """Returns the export's outputs."""
        x = self.network(x)[0]
        boxes, scores = x[:, :, :4] @ self.matrix, x[:, :, 5:] * x[:, :, 4:5]
        best, index = scores.max(2, keepdim=True)
        settings = torch.tensor([100]), torch.tensor([IOU]), torch.tensor([0.25])
        apart = boxes + index.float() * SIDE * 4
        chosen = _Nms.apply(apart, best.transpose(1, 2).contiguous(), *settings)
        picture, cell = chosen[:, 0], chosen[:, 2]
        boxes, index = boxes[picture, cell], index[picture, cell].float()
        best, picture = best[picture, cell], picture[:, None].float()
        if not self.four:
            return torch.cat([picture, boxes, index, best], 1)
        rows = torch.cat([boxes, index, best], 1)
        count = (picture >= 0).sum().to(torch.int32).reshape(1, 1)
        rows = torch.cat([rows, torch.zeros(100, 6)])[:100][None]
        return count, rows[..., :4], rows[..., 5], rows[..., 4].to(torch.int32)


def export_suppressed(name: str, network, four: bool) -> None:
    """Exports with the suppression inside, without metadata, as YOLOv7 does."""
    path = HERE / f"{name}.onnx"
    outputs = ["num_dets", "det_boxes", "det_scores", "det_classes"] if four else ["output"]
    torch.onnx.export(
        Suppressed(network, four).eval(),
        torch.zeros(1, 3, SIDE, SIDE),
        path,
        opset_version=17,
        input_names=["images"],
        output_names=outputs,
        dynamic_axes=None if four else {"output": {0: "objects"}},
    )
    session = onnxruntime.InferenceSession(path)

    def people(blob):
        found = session.run(None, {"images": blob})
        if four:
            n = int(found[0][0, 0])
            rows = [found[1][0, :n], found[2][0, :n, None], found[3][0, :n, None]]
            rows = np.concatenate(rows, axis=1)
        else:
            rows = found[0][:, [1, 2, 3, 4, 6, 5]]
        return torch.tensor(rows[rows[:, 4] >= CONF].astype(np.float32))

    save(name, people)


if __name__ == "__main__":
    with torch.no_grad():
        detect = build(DetectionModel, "Detect")
        export("yolov5", detect)
        export_suppressed("yolov7_list", detect, four=False)
        export_suppressed("yolov7_four", detect, four=True)
        export("yolov5_dynamic", build(DetectionModel, "Detect"), dynamic=True)
        export("yolov5_seg", build(SegmentationModel, "Segment", 8, 8), masks=8)

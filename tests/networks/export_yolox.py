"""Exports small YOLOX networks with the library's head, and what the library finds with them.

Made with pixeltable-yolox 0.4.3 (Megvii's YOLOX as a package), torch 2.14.1 and onnx 1.23.2:

    cd tests/networks && python export_yolox.py

The body before the head is five convolutions with random weights. ``NAME.npz`` holds ``people_I``
``[n, 5]``, corners and score of class 0, by the library's ``preproc`` and ``postprocess``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from pictures import drawn_pictures
from torch import nn
from yolox.data.data_augment import preproc
from yolox.models.yolo_head import YoloxHead
from yolox.utils import postprocess

HERE = Path(__file__).parent
SIDE, CLASSES, CONF, IOU = 160, 80, 0.5, 0.45


class Small(nn.Module):
    """Five convolutions, then the library's head."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8, 8, 3, 2, 1) for i in range(5))
        self.head = YoloxHead(CLASSES, width=1 / 32, in_channels=[256] * 3)

    def features(self, x):
        """Returns the maps of strides 8, 16 and 32."""
        found = []
        x = (x - 114) / 64
        for layer in self.body:
            x = nn.functional.silu(layer(x))
            found.append(x)
        return found[2:]

    def forward(self, x):
        """Returns the head's output."""
        return self.head(self.features(x))


def spread(network: Small) -> None:
    """Scales the last convolutions so that scores and boxes differ."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)
    stacked = np.stack([cv2.resize(p, (SIDE, SIDE)) for p in drawn_pictures()])
    maps = network.features(torch.tensor(stacked).permute(0, 3, 1, 2).float())
    head = network.head
    for i, x in enumerate(maps):
        x = head.stems[i](x)
        classes, boxes = head.cls_convs[i](x), head.reg_convs[i](x)
        for layer, given, mean, std in (
            (head.cls_preds[i], classes, -2.0, 2.0),
            (head.obj_preds[i], boxes, -3.0, 3.0),
            (head.reg_preds[i], boxes, 0.8, 0.4),
        ):
            layer.weight *= std / layer(given).std((0, 2, 3))[:, None, None, None]
            layer.bias[:] = 0
            layer.bias[:] = mean - layer(given).mean((0, 2, 3))
        head.cls_preds[i].bias[0] += 3


def export(network: Small, name: str, decoded: bool, half: bool = False, **how) -> None:
    """Writes one network and what the library finds with it."""
    network.head.decode_in_inference = decoded
    example = torch.zeros(1, 3, SIDE, SIDE)
    if half:
        network, example = network.half(), example.half()
    path = HERE / f"{name}.onnx"
    names = {"input_names": ["images"], "output_names": ["output"]}
    torch.onnx.export(network, example, path, dynamo=False, opset_version=17, **names, **how)
    session = onnxruntime.InferenceSession(path)
    kept = {}
    for i, picture in enumerate(drawn_pictures()):
        given, ratio = preproc(picture[..., ::-1], (SIDE, SIDE))
        (output,) = session.run(None, {"images": given[None].astype(example.numpy().dtype)})
        output = torch.tensor(output.astype(np.float32))
        if not decoded:
            output = network.head.decode_outputs(output, torch.float32)
        (found,) = postprocess(output, CLASSES, CONF, IOU)
        found = found.numpy() if found is not None else np.zeros((0, 7))
        found = found[found[:, 6] == 0]
        corners = np.clip(found[:, :4] / ratio, 0, [*picture.shape[1::-1]] * 2)
        score = found[:, 4:5] * found[:, 5:6]
        kept[f"people_{i}"] = np.concatenate([corners, score], axis=1).astype(np.float32)
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    print(name, path.stat().st_size, [len(v) for v in kept.values()])


if __name__ == "__main__":
    torch.manual_seed(1)
    small = Small().eval()
    batch = {"dynamic_axes": {"images": {0: "batch"}, "output": {0: "batch"}}}
    with torch.no_grad():
        spread(small)
        export(small, "yolox", decoded=False)
        export(small, "yolox_decoded", decoded=True, **batch)
        export(small, "yolox_half", decoded=False, half=True)

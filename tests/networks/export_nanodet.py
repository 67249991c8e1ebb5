"""Exports small networks in the interfaces of NanoDet and NanoDet-Plus, and what they find.

Made with torch 2.14.1, torchvision 0.29.1 and onnx 1.23.2:

    cd tests/networks && python export_nanodet.py

NanoDet (RangiLyu/nanodet) is no package and does not install. What its heads do when they are
exported and what its post-processing does with that is written down here after
``nanodet_plus_head.py``, ``nanodet_head.py`` and ``gfl_head.py``, one cell and one box at a time.
Pictures are stretched by ``cv2.resize`` as its C++ examples do. ``NAME.npz`` holds ``people_I``
``[n, 5]``, corners and score of class 0.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from pictures import drawn_pictures
from torch import nn
from torchvision.ops import nms

HERE = Path(__file__).parent
SIDE, CLASSES, CONF, IOU = 160, 80, 0.5, 0.45
MEAN, STD = np.float32([103.53, 116.28, 123.675]), np.float32([57.375, 57.12, 58.395])


class Small(nn.Module):
    """Convolutions, and a head that gives classes and distributions by cell."""

    def __init__(self, strides, bins: int, pairs: bool):
        super().__init__()
        self.strides, self.bins, self.pairs = strides, bins, pairs
        n = len(strides) + 2
        self.body = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8, 8, 3, 2, 1) for i in range(n))
        self.head = nn.ModuleList(nn.Conv2d(8, CLASSES + 4 * bins, 1) for _ in strides)

    def features(self, x):
        """Returns the maps of all strides."""
        found = []
        for layer in self.body:
            x = nn.functional.silu(layer(x))
            found.append(x)
        return found[2:]

    def forward(self, x):
        """Returns the outputs of the export."""
        classes, distances = [], []
        for layer, feature in zip(self.head, self.features(x), strict=True):
            columns = layer(feature).flatten(start_dim=2).permute(0, 2, 1)
            classes.append(columns[..., :CLASSES].sigmoid())
            distances.append(columns[..., CLASSES:])
        if self.pairs:
            return *classes, *distances
        return torch.cat([torch.cat(classes, 1), torch.cat(distances, 1)], 2)


def blob(picture: np.ndarray) -> np.ndarray:
    """Returns a picture as the network takes it."""
    small = cv2.resize(np.ascontiguousarray(picture[..., ::-1]), (SIDE, SIDE))
    return ((small - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)


def people(network: Small, outputs: list[np.ndarray]) -> np.ndarray:
    """Returns corners and score of class 0, in pixels of the input."""
    if network.pairs:
        half = len(outputs) // 2
        classes, distances = (np.concatenate(o, 1)[0] for o in (outputs[:half], outputs[half:]))
    else:
        classes, distances = outputs[0][0][:, :CLASSES], outputs[0][0][:, CLASSES:]
    offset = 0.0 if len(network.strides) == 4 else 0.5
    rows, i = [], 0
    for stride in network.strides:
        side = -(-SIDE // stride)
        for y in range(side):
            for x in range(side):
                sides = []
                for logits in distances[i].reshape(4, network.bins):
                    e = np.exp(logits.astype(np.float64))
                    sides.append((e / e.sum() * np.arange(network.bins)).sum() * stride)
                cx, cy = (x + offset) * stride, (y + offset) * stride
                box = [cx - sides[0], cy - sides[1], cx + sides[2], cy + sides[3]]
                rows.append([*np.clip(box, 0, SIDE), classes[i, 0]])
                i += 1
    rows = torch.tensor([row for row in rows if row[4] > CONF]).reshape(-1, 5)
    return rows[nms(rows[:, :4], rows[:, 4], IOU)].numpy()


def export(name: str, strides, bins: int, pairs: bool = False) -> None:
    """Writes one network and what is found with it."""
    torch.manual_seed(2)
    network = Small(strides, bins, pairs).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)
    maps = network.features(torch.tensor(np.concatenate([blob(p) for p in drawn_pictures()])))
    for layer, given in zip(network.head, maps, strict=True):
        layer.weight *= 1.2 / layer(given).std((0, 2, 3))[:, None, None, None]
        layer.weight[:CLASSES] *= 2
        layer.bias[:] = 0
        layer.bias[:] = -layer(given).mean((0, 2, 3))
        layer.bias[:CLASSES] -= 9
        layer.bias[0] += 5
    path = HERE / f"{name}.onnx"
    example = torch.zeros(1, 3, SIDE, SIDE)
    torch.onnx.export(network, example, path, dynamo=False, opset_version=17, input_names=["data"])
    session = onnxruntime.InferenceSession(path)
    kept = {}
    for i, picture in enumerate(drawn_pictures()):
        found = people(network, session.run(None, {"data": blob(picture)}))
        h, w = picture.shape[:2]
        found[:, :4] *= np.array([w, h, w, h]) / SIDE
        kept[f"people_{i}"] = found.astype(np.float32)
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    print(name, path.stat().st_size, [len(v) for v in kept.values()])


if __name__ == "__main__":
    with torch.no_grad():
        export("nanodet_plus", (8, 16, 32, 64), 8)
        export("nanodet", (8, 16, 32), 11)
        export("nanodet_pairs", (8, 16, 32), 8, pairs=True)

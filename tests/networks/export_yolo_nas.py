"""Exports small YOLO-NAS networks with the library, and what the library finds with them.

Made with super-gradients 3.7.1, torch 2.14.1, onnx 1.23.2 and onnx-graphsurgeon:

    cd tests/networks && python export_yolo_nas.py

The body before the heads is five convolutions with random weights. ``NAME.npz`` holds ``people_I``
``[n, 5]``, corners and score of class 0: the pictures prepared by the library's processing for
YOLO-NAS, the exported suppression or the library's own, boxes taken back by its processing.
"""

from __future__ import annotations

import os

os.environ["CRASH_HANDLER"] = "FALSE"

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from pictures import drawn_pictures
from super_gradients.conversion import DetectionOutputFormatMode
from super_gradients.training import models
from super_gradients.training.models.detection_models.pp_yolo_e import (
    PPYoloEPostPredictionCallback,
)
from super_gradients.training.models.detection_models.yolo_nas.dfl_heads import NDFLHeads
from super_gradients.training.processing.processing import (
    ComposeProcessing,
    DetectionCenterPadding,
    DetectionLongestMaxSizeRescale,
    ImagePermute,
    StandardizeImage,
)
from super_gradients.training.utils.predict import DetectionPrediction
from torch import nn

HERE = Path(__file__).parent
SIDE, CONF, IOU = 160, 0.5, 0.45
torch.onnx.export = partial(torch.onnx.export, dynamo=False)  # the exporter of the library's time


class Body(nn.Module):
    """Five convolutions; gives the maps of strides 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8, 8, 3, 2, 1) for i in range(5))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)

    def forward(self, x):
        """Returns three maps."""
        found = []
        for layer in self.layers:
            x = nn.functional.silu(layer(x))
            found.append(x)
        return found[2:]


def build():
    """Returns a YOLO-NAS of the library with small parts."""
    torch.manual_seed(0)
    network = models.get("yolo_nas_s", num_classes=3)
    heads = [
        {
            "YoloNASDFLHead": {
                "inter_channels": 8,
                "width_mult": 1,
                "first_conv_group_size": 0,
                "stride": stride,
            }
        }
        for stride in (8, 16, 32)
    ]
    network.backbone, network.neck = Body(), nn.Identity()
    network.heads = NDFLHeads(num_classes=3, in_channels=[8, 8, 8], heads_list=heads)
    network.eval()
    stacked = np.stack([prepared(picture)[0] for picture in drawn_pictures()])
    maps = network.backbone(torch.tensor(stacked, dtype=torch.float32))
    for i, x in enumerate(maps):
        head = getattr(network.heads, f"head{i + 1}")
        x = head.stem(x)
        for layer, given, mean, std in (
            (head.cls_pred, head.cls_convs(x), -4.0, 2.5),
            (head.reg_pred, head.reg_convs(x), 0.0, 1.0),
        ):
            layer.weight *= std / layer(given).std((0, 2, 3))[:, None, None, None]
            layer.bias[:] = 0
            layer.bias[:] = mean - layer(given).mean((0, 2, 3))
    network.set_dataset_processing_params(
        class_names=["person", "bicycle", "car"], image_processor=processing(), conf=0.25, iou=IOU
    )
    return network


def processing():
    """Returns the library's processing for YOLO-NAS, for this input size."""
    return ComposeProcessing(
        [
            DetectionLongestMaxSizeRescale(output_shape=(SIDE - 4, SIDE - 4)),
            DetectionCenterPadding(output_shape=(SIDE, SIDE), pad_value=114),
            StandardizeImage(max_value=255.0),
            ImagePermute(permutation=(2, 0, 1)),
        ]
    )


def prepared(picture):
    """Returns a picture as the library prepares it, and what takes boxes back."""
    return processing().preprocess_image(picture)


def save(name: str, people, uint8: bool) -> None:
    """Writes what ``people(blob)`` gives for each picture: corners (network), score, class."""
    kept = {}
    for i, picture in enumerate(drawn_pictures()):
        blob, back = prepared(picture)
        blob = np.round(blob * 255).astype(np.uint8) if uint8 else blob.astype(np.float32)
        rows = people(blob[None])
        rows = rows[(rows[:, 5] == 0) & (rows[:, 4] >= CONF)]
        found = DetectionPrediction(rows[:, :4], "xyxy", rows[:, 4], rows[:, 5], picture.shape)
        corners = processing().postprocess_predictions(found, back).bboxes_xyxy
        corners = np.clip(corners, 0, [*picture.shape[1::-1]] * 2)
        kept[f"people_{i}"] = np.hstack([corners, rows[:, 4:5]]).astype(np.float32)
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    size = (HERE / f"{name}.onnx").stat().st_size
    print(name, size, [len(v) for v in kept.values()])


def export(name: str, network, **how) -> onnxruntime.InferenceSession:
    """Exports by the library."""
    path = HERE / f"{name}.onnx"
    network.export(
        str(path),
        confidence_threshold=0.25,
        nms_threshold=IOU,
        input_image_shape=(SIDE, SIDE),
        input_image_channels=3,
        max_predictions_per_image=100,
        num_pre_nms_predictions=300,
        onnx_simplify=False,
        **how,
    )
    return onnxruntime.InferenceSession(path)


def main() -> None:
    """Writes the three."""
    network = build()
    batch = export("yolo_nas", network)

    def of_batch(blob):
        n, boxes, scores, classes = batch.run(None, {batch.get_inputs()[0].name: blob})
        n = int(n[0, 0])
        return np.hstack([boxes[0, :n], scores[0, :n, None], classes[0, :n, None]])

    save("yolo_nas", of_batch, uint8=True)
    network = build()
    flat_format = DetectionOutputFormatMode.FLAT_FORMAT
    flat = export("yolo_nas_list", network, output_predictions_format=flat_format)
    name = flat.get_inputs()[0].name
    save("yolo_nas_list", lambda blob: flat.run(None, {name: blob})[0][:, 1:], uint8=True)
    network = build()
    raw = export("yolo_nas_raw", network, preprocessing=False, postprocessing=False)
    suppress = PPYoloEPostPredictionCallback(
        score_threshold=CONF,
        nms_threshold=IOU,
        nms_top_k=1000,
        max_predictions=300,
        multi_label_per_box=True,
    )

    def of_raw(blob):
        outputs = [torch.tensor(a) for a in raw.run(None, {raw.get_inputs()[0].name: blob})]
        return suppress(tuple(outputs))[0].numpy()

    save("yolo_nas_raw", of_raw, uint8=False)


if __name__ == "__main__":
    with torch.no_grad():
        main()

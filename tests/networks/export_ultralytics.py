"""Exports small YOLO networks with Ultralytics, and what it finds with them.

Made with ultralytics 8.4.190, torch 2.14.1 and onnx 1.23.2:

    cd tests/networks && python export_ultralytics.py

Heads, export and metadata are the library's; the body before the heads is five convolutions with
random weights. Beside each ``NAME.onnx`` stands ``NAME.npz`` with what ``YOLO(NAME.onnx).predict``
finds in the pictures of :mod:`pictures`: ``people_I`` ``[n, 5]``, corners and score of class 0.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from pictures import drawn_pictures
from ultralytics import RTDETR, YOLO
from ultralytics.nn.tasks import (
    ClassificationModel,
    DetectionModel,
    OBBModel,
    PoseModel,
    RTDETRDetectionModel,
    SegmentationModel,
)
from ultralytics.utils import ops

HERE = Path(__file__).parent
SIDE = 160
NAMES = {0: "person", 1: "bicycle", 2: "car"}
CONF, IOU = 0.5, 0.45
YAML = {
    "detect": "yolov8n.yaml",
    "segment": "yolov8n-seg.yaml",
    "pose": "yolov8n-pose.yaml",
    "obb": "yolov8n-obb.yaml",
    "classify": "yolov8n-cls.yaml",
}
BODY = [[-1, 1, "Conv", [8, 3, 2]]] * 5


# The library drops people whose mask is empty; the masks of random weights do not count here.
ops.process_mask = lambda prototypes, coefficients, *_, **__: torch.ones(len(coefficients), 1, 1)


def config(head: str, *arguments, **more) -> dict:
    """Returns what the library builds a network from."""
    layer = [[2, 3, 4], 1, head, [len(NAMES), *arguments]]
    return {"nc": len(NAMES), "backbone": BODY, "head": [layer], "ch": 3, **more}


def small(network) -> None:
    """Makes the branches of the head one convolution each, of random weights that spread."""
    head, fed = network.model[-1], []
    for layer in network.model[:-1].modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)
    hook = head.register_forward_pre_hook(lambda _, inputs: fed.append(list(inputs[0])))
    pictures = [cv2.resize(picture, (SIDE, SIDE)) for picture in drawn_pictures()]
    with torch.no_grad():
        network.eval()(torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2) / 255)
    hook.remove()
    branches = ["cv2", "cv3", "cv4", "one2one_cv2", "one2one_cv3", "one2one_cv4"]
    for name in branches:
        branch = getattr(head, name, None)
        if not isinstance(branch, torch.nn.ModuleList):
            continue
        for i, features in enumerate(fed[0]):
            last = [m for m in branch[i].modules() if isinstance(m, torch.nn.Conv2d)][-1]
            branch[i] = layer = torch.nn.Conv2d(8, last.out_channels, 1)
            mean, std = (-5.0, 3.0) if name.endswith("cv3") else (3.0, 1.0)
            with torch.no_grad():
                given = layer(features)
                layer.weight *= std / given.std((0, 2, 3))[:, None, None, None]
                layer.bias[:] = 0
                layer.bias[:] = mean - layer(features).mean((0, 2, 3))


def spread_queries(network) -> None:
    """Scales what queries become, so that scores and boxes differ."""
    head = network.model[-1]
    stacked = np.stack([cv2.resize(picture, (SIDE, SIDE)) for picture in drawn_pictures()])
    for layer, mean, std in (
        (head.dec_score_head[-1], -2.0, 2.5),
        (head.dec_bbox_head[-1].layers[-1], 0.8, 0.8),
    ):
        fed = []
        hook = layer.register_forward_pre_hook(lambda _, given, fed=fed: fed.append(given[0]))
        with torch.no_grad():
            torch.nn.init.normal_(layer.weight)
            network.eval()(torch.tensor(stacked).permute(0, 3, 1, 2) / 255)
            hook.remove()
            layer.weight *= std / layer(fed[0]).std((0, 1))[:, None]
            layer.bias[:] = 0
            layer.bias[:] = mean - layer(fed[0]).mean((0, 1))


def export(name: str, kind, cfg: dict, imgsz=SIDE, **how) -> None:
    """Writes one network and what the library finds with it."""
    torch.manual_seed(5)
    network = kind(cfg, verbose=False)
    network.names, network.task = (
        NAMES,
        {
            SegmentationModel: "segment",
            PoseModel: "pose",
            OBBModel: "obb",
            ClassificationModel: "classify",
        }.get(kind, "detect"),
    )
    if kind is RTDETRDetectionModel:
        spread_queries(network)
    elif kind is not ClassificationModel:
        small(network)
    with tempfile.TemporaryDirectory() as folder:
        library = RTDETR if kind is RTDETRDetectionModel else YOLO
        model = library("rtdetr-l.yaml" if library is RTDETR else YAML[network.task])
        model.model = network.eval()
        network.args = {"task": network.task, "imgsz": SIDE, "data": ""}
        network.pt_path = network.yaml_file = str(Path(folder) / "net.pt")
        try:
            model.export(format="onnx", imgsz=imgsz, simplify=False, **how)
        except AssertionError as e:  # once it is written, files below 0.1 MB are suspected
            if "too small" not in str(e):
                raise
        shutil.move(Path(folder) / "net.onnx", HERE / f"{name}.onnx")
    size = (HERE / f"{name}.onnx").stat().st_size
    if network.task in ("obb", "classify"):
        print(name, size)
        return
    path = HERE / f"{name}.onnx"
    reader = RTDETR(path) if library is RTDETR else YOLO(path, task=network.task)
    kept = {}
    for i, picture in enumerate(drawn_pictures()):
        (found,) = reader.predict(
            picture[..., ::-1],
            conf=CONF,
            iou=IOU,
            imgsz=imgsz,
            max_det=1000,
            rect=False,
            verbose=False,
        )
        rows = found.boxes.data.cpu().numpy()
        kept[f"people_{i}"] = rows[rows[:, 5] == 0, :5].astype(np.float32)
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    print(name, size, [len(v) for v in kept.values()])


DETECT = config("Detect")
TWENTY_SIX = config("Detect", end2end=True, reg_max=1)
if __name__ == "__main__":
    export("yolov8", DetectionModel, DETECT)
    export("yolov8_dynamic", DetectionModel, DETECT, dynamic=True)
    export("yolov8_wide", DetectionModel, DETECT, imgsz=(96, 160))
    export("yolov8_half", DetectionModel, DETECT, quantize=16)
    export("yolov8_nms", DetectionModel, DETECT, nms=True, conf=0.25, iou=IOU)
    export("yolov8_seg", SegmentationModel, config("Segment", 8, 8))
    export("yolov8_seg_nms", SegmentationModel, config("Segment", 8, 8), nms=True, iou=IOU)
    export("yolov8_pose", PoseModel, config("Pose", [17, 3], kpt_shape=[17, 3]))
    export("yolov8_obb", OBBModel, config("OBB", 1))
    export("yolov10", DetectionModel, config("v10Detect"), nms=False)
    export("yolo26", DetectionModel, TWENTY_SIX, nms=False)
    export("yolo26_raw", DetectionModel, TWENTY_SIX)
    segment26 = config("Segment26", 8, 8, end2end=True, reg_max=1)
    export("yolo26_seg", SegmentationModel, segment26, nms=False)
    queries = config("RTDETRDecoder", 16, 40, 1, 2, 1, 16)
    export("rtdetr_ultralytics", RTDETRDetectionModel, queries)
    classify = {"nc": 3, "backbone": BODY, "head": [[-1, 1, "Classify", [3]]], "ch": 3}
    export("yolov8_cls", ClassificationModel, classify)

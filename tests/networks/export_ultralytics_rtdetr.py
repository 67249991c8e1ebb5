"""Exports a small RT-DETR with Ultralytics as it did before 8.4, and what it found with it.

Made with ultralytics 8.4.190, torch 2.14.1 and onnx 1.23.2:

    cd tests/networks && python export_ultralytics_rtdetr.py

Head, export and metadata are the library's; the body is five convolutions, weights are random.
Rows are those of earlier versions, whose ``RTDETRDecoder`` joined boxes and probabilities, and
whose predictor took each query's best class; both are written down here.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from export_detr import HERE, slim, spread
from pictures import SIDE, squares_and_ramps
from ultralytics import RTDETR
from ultralytics.engine.results import Results
from ultralytics.models.rtdetr.predict import RTDETRPredictor
from ultralytics.nn.modules.head import RTDETRDecoder
from ultralytics.nn.tasks import RTDETRDetectionModel
from ultralytics.utils import ops

NAMES = dict(enumerate(["person", "bicycle", "car", "motorcycle", "airplane"]))
CONFIG = {
    "nc": len(NAMES),
    "ch": 3,
    "backbone": [[-1, 1, "Conv", [8, 3, 2]]] * 5,
    "head": [[[2, 3, 4], 1, "RTDETRDecoder", [len(NAMES), 8, 20, 1, 2, 1, 16]]],
}


def export(name: str) -> None:
    """Writes a network."""
    torch.manual_seed(5)
    network = RTDETRDetectionModel(CONFIG, verbose=False)
    spread(network, ("score",), ("bbox",), gain=0.3, shift=-2.0)
    network.names, network.task = NAMES, "detect"
    with tempfile.TemporaryDirectory() as folder:
        model = RTDETR("rtdetr-l.yaml")
        model.model = network.eval()
        network.args = {"task": "detect", "imgsz": SIDE, "data": ""}
        network.pt_path = network.yaml_file = str(Path(folder) / "net.pt")
        try:
            model.export(format="onnx", imgsz=SIDE, simplify=False, opset=17)
        except AssertionError as e:  # once it is written, files below 0.1 MB are suspected
            if "too small" not in str(e):
                raise
        shutil.move(Path(folder) / "net.onnx", HERE / f"{name}.onnx")
    slim(HERE / f"{name}.onnx")


def keep(name: str, rows_of) -> None:
    """Writes what ``rows_of(reader, picture)`` has: corners, score and class."""
    reader, kept = RTDETR(HERE / f"{name}.onnx"), {}
    for i, picture in enumerate(squares_and_ramps()):
        (found,) = reader.predict(picture[..., ::-1], conf=0.001, imgsz=SIDE, verbose=False)
        pixels = reader.predictor.preprocess([picture[..., ::-1]])
        rows = rows_of(found, reader.predictor, pixels, picture)
        kept |= {
            f"size_{i}": picture.shape[:2],
            f"pixels_{i}": pixels[0].cpu().numpy()[:, ::8, ::8],
        }
        kept |= {f"boxes_{i}": rows[:, :4], f"scores_{i}": rows[:, 4]}
        kept[f"labels_{i}"] = rows[:, 5].astype(int)
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    print((HERE / f"{name}.onnx").stat().st_size, len(kept["boxes_0"]))


def each_query(found, predictor, pixels, picture) -> np.ndarray:
    """The best class of every query, as before 8.4."""
    out = predictor.inference(pixels)
    out = torch.as_tensor(out[0] if isinstance(out, (list, tuple)) else out).reshape(20, -1)
    scores, labels = out[:, 4:].max(dim=1)
    h, w = picture.shape[:2]
    corners = ops.xywh2xyxy(out[:, :4]) * torch.tensor([w, h, w, h])
    return torch.cat([corners, scores[:, None], labels[:, None]], dim=1).cpu().numpy()


def main() -> None:
    """Writes the networks and the library's answers."""
    RTDETRDecoder.postprocess = lambda self, boxes, scores: torch.cat([boxes, scores], dim=-1)
    export("rtdetr_ultralytics_each")
    RTDETRPredictor.postprocess = lambda self, preds, img, orig: [Results(o, "", {}) for o in orig]
    keep("rtdetr_ultralytics_each", each_query)


if __name__ == "__main__":
    main()

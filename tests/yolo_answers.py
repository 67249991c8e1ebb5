"""What detectors of the YOLO family answer, for an input of 64x64 pixels."""

from pathlib import Path

import answering
import numpy as np
import onnx


def _boxes(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Centres and sizes in pixels, ``[84, 2]`` each, about the cells of a 64x64 input."""
    cells = answering.cells()
    rng = np.random.default_rng(seed)
    centre = cells[:, :2] + rng.uniform(-0.8, 0.8, (len(cells), 2)) * cells[:, 2:]
    return centre, np.exp(rng.uniform(-0.5, 1.5, (len(cells), 2))) * cells[:, 2:]


def yolox(classes: int = 80, decoded: bool = False) -> np.ndarray:
    """Returns what YOLOX says, ``[1, 84, 5 + classes]``."""
    centre, size = _boxes()
    cells = answering.cells()
    if not decoded:
        centre = (centre - cells[:, :2]) / cells[:, 2:] + 0.5
        size = np.log(size / cells[:, 2:])
    score = np.sqrt(answering.scores(len(cells), 1 + classes))
    score[:, 1] = score[:, 0]  # the first class is what there is
    return np.concatenate([centre, size, score], axis=1)[None].astype(np.float32)


def yolo(classes: int = 80, *more: np.ndarray, corners=False, unit=1.0, scores=None):
    """Returns what YOLOv8 says, ``[1, 4 + classes, 84]``, with further columns."""
    centre, size = _boxes()
    if corners:
        centre, size = centre - size / 2, centre + size / 2
    scores = answering.scores(len(centre), classes) if scores is None else scores
    boxes = np.concatenate([centre, size], axis=1) / unit
    return np.concatenate([boxes, scores, *more], axis=1).T[None].astype(np.float32)


def logits(classes: int = 80) -> np.ndarray:
    """Returns class scores before their sigmoid, ``[84, classes]``."""
    p = answering.scores(84, classes)
    return np.log(p / (1 - p))


def rows(unit=1.0, sizes=False, order=(0, 1, 2, 3, 4, 5), everybody=False) -> np.ndarray:
    """Returns a list of suppressed boxes, ``[1, 84, 6]``: corners, score, class."""
    centre, size = _boxes()
    corners = [centre, size] if sizes else [centre - size / 2, centre + size / 2]
    rng = np.random.default_rng(2)
    score, index = rng.uniform(0.01, 0.9, (84, 1)), rng.integers(0, 80, (84, 1))
    if everybody:
        index[:] = 0
    table = np.concatenate([*(c / unit for c in corners), score, index], axis=1)
    return table[None, :, order].astype(np.float32)


def rtdetr(queries: int = 40) -> np.ndarray:
    """Returns what Ultralytics' RT-DETR said until 2026: shares and all classes by query."""
    rng = np.random.default_rng(3)
    boxes = np.hstack([rng.uniform(0.2, 0.8, (queries, 2)), rng.uniform(0.05, 0.4, (queries, 2))])
    return np.hstack([boxes, answering.scores(queries, 80)])[None].astype(np.float32)


def yolov6() -> np.ndarray:
    """Returns what YOLOv6 says: like decoded YOLOX, its objectness always 1."""
    output = yolox(decoded=True)
    output[..., 5:] *= output[..., 4:5]
    output[..., 4] = 1
    return output


def yolov7_of_one_class(corners=False) -> np.ndarray:
    """Returns what YOLOv7 says, three boxes for each cell, where all it knows is people."""
    levels = np.split(yolox(1, decoded=True), [64, 80], axis=1)
    output = np.concatenate([level for level in levels for _ in range(3)], axis=1)
    output[..., 5] = 0.5
    if corners:
        centre, half = output[..., :2].copy(), output[..., 2:4] / 2
        output[..., :2], output[..., 2:4] = centre - half, centre + half
    return output


def made_for_tensorrt(path: Path) -> None:
    """Writes what YOLOv7 exports for TensorRT: suppression by a plugin of TensorRT's."""
    node = onnx.helper.make_node("EfficientNMS_TRT", ["images"], ["num_dets"], domain="TRT")
    tensor, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    image, count = tensor("images", kind, [1, 3, 64, 64]), tensor("num_dets", kind, [1, 1])
    graph = onnx.helper.make_graph([node], "plugin", [image], [count])
    sets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("TRT", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=sets, ir_version=8), str(path))

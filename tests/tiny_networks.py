"""Networks of a few nodes, so that the real inference code runs without weights.

They "detect" whatever is brighter than half: its bounding box, its pixels.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _save(path: Path, nodes, inputs, outputs, constants) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        outputs,
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _bright_bounds(size, level):
    """Nodes from ``images`` [n, 3, h, w] to x0, y0, x1, y1 of what is brighter, each [n, 1, 1]."""
    h, w = size
    constants = {
        "level": np.float32(level),
        "chan": np.array([0], np.int64),
        "chan_end": np.array([1], np.int64),
        "axis1": np.array([1], np.int64),
        "xs": np.arange(w, dtype=np.float32)[None, None] + 1,
        "ys": np.arange(h, dtype=np.float32)[None, None] + 1,
        "xs_back": w - np.arange(w, dtype=np.float32)[None, None],
        "ys_back": h - np.arange(h, dtype=np.float32)[None, None],
        "w": np.float32(w),
        "h": np.float32(h),
    }
    nodes = [
        helper.make_node("Slice", ["images", "chan", "chan_end", "axis1"], ["plane"]),
        helper.make_node("Greater", ["plane", "level"], ["is_bright"]),
        helper.make_node("Cast", ["is_bright"], ["bright"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["bright"], ["columns"], axes=[2], keepdims=0),
        helper.make_node("ReduceMax", ["bright"], ["rows"], axes=[3], keepdims=0),
    ]
    for name, profile, ramp, back, length in (
        ("x", "columns", "xs", "xs_back", "w"),
        ("y", "rows", "ys", "ys_back", "h"),
    ):
        nodes += [
            helper.make_node("Mul", [profile, ramp], [f"{name}_up"]),
            helper.make_node("ReduceMax", [f"{name}_up"], [f"{name}1"], axes=[2], keepdims=1),
            helper.make_node("Mul", [profile, back], [f"{name}_down"]),
            helper.make_node(
                "ReduceMax", [f"{name}_down"], [f"{name}_last"], axes=[2], keepdims=1
            ),
            helper.make_node("Sub", [length, f"{name}_last"], [f"{name}0"]),
            helper.make_node("Add", [f"{name}0", f"{name}1"], [f"{name}_sum"]),
            helper.make_node("Sub", [f"{name}1", f"{name}0"], [f"{name}_size"]),
        ]
    return nodes, constants


def yolox(path: Path, size=(64, 64), batch=1, level=200.0, classes=3) -> Path:
    """A YOLOX-like output whose first cell holds the box of what is brighter than ``level``."""
    nodes, constants = _bright_bounds(size, level)
    n = sum((size[0] // s) * (size[1] // s) for s in (8, 16, 32))
    constants |= {
        "twice_stride": np.float32(16),
        "stride": np.float32(8),
        "tiny_size": np.float32(1e-6),
        "zero": np.float32(0),
        "pads": np.array([0, 0, 0, 0, n - 1, 0], np.int64),
        "pad_classes": np.array([0, 0, 0, 0, 0, classes - 1], np.int64),
    }
    nodes += [
        helper.make_node("Div", ["x_sum", "twice_stride"], ["cx"]),
        helper.make_node("Div", ["y_sum", "twice_stride"], ["cy"]),
    ]
    for name in "xy":
        nodes += [
            helper.make_node("Max", [f"{name}_size", "tiny_size"], [f"{name}_safe"]),
            helper.make_node("Div", [f"{name}_safe", "stride"], [f"{name}_cells"]),
            helper.make_node("Log", [f"{name}_cells"], [f"{name}_log"]),
        ]
    nodes += [
        # 1 where there is anything bright: objectness and the score of class 0
        helper.make_node("Max", ["x_size", "zero"], ["x_positive"]),
        helper.make_node("Sign", ["x_positive"], ["score"]),
        helper.make_node(
            "Concat", ["cx", "cy", "x_log", "y_log", "score", "score"], ["row"], axis=2
        ),
        helper.make_node("Pad", ["row", "pad_classes"], ["row_all"]),
        helper.make_node("Pad", ["row_all", "pads"], ["output"]),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, *size])
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, n, 5 + classes])
    return _save(path, nodes, [image], [out], constants)


def detr(path: Path, size=(64, 64), *, batch="n", level=0.75, queries=4, classes=7) -> Path:
    """A DETR-like output whose first query holds the box of what is brighter than ``level``."""
    nodes, constants = _bright_bounds(size, level)
    constants |= {
        "wh2": np.array([2 * size[1], 2 * size[0]], np.float32),
        "wh1": np.array([size[1], size[0]], np.float32),
        "minus": np.float32(-9),
        "eighteen": np.float32(18),
        "zero": np.float32(0),
        "pad_queries": np.array([0, 0, 0, 0, queries - 1, 0], np.int64),
        "pad_classes": np.array([0, 0, 0, 0, 0, classes - 1], np.int64),
    }
    nodes += [
        helper.make_node("Concat", ["x_sum", "y_sum"], ["sums"], axis=2),
        helper.make_node("Div", ["sums", "wh2"], ["centers"]),
        helper.make_node("Concat", ["x_size", "y_size"], ["extent"], axis=2),
        helper.make_node("Div", ["extent", "wh1"], ["shares"]),
        helper.make_node("Concat", ["centers", "shares"], ["box"], axis=2),
        helper.make_node("Pad", ["box", "pad_queries"], ["pred_boxes"]),
        helper.make_node("Max", ["x_size", "zero"], ["x_positive"]),
        helper.make_node("Sign", ["x_positive"], ["there"]),
        helper.make_node("Mul", ["there", "eighteen"], ["there18"]),
        helper.make_node("Add", ["there18", "minus"], ["logit"]),
        helper.make_node("Pad", ["logit", "pad_classes", "minus"], ["logit_all"]),
        helper.make_node("Pad", ["logit_all", "pad_queries", "minus"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, *size])
    outs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, queries, classes]),
        helper.make_tensor_value_info("pred_boxes", TensorProto.FLOAT, [batch, queries, 4]),
    ]
    return _save(path, nodes, [image], outs, constants)


def matting(path: Path, size=(64, 64), two_classes=False, layout="nchw") -> Path:
    """Marks what is brighter than half, given pixels in 0..1."""
    shape = [1, 3, *size] if layout == "nchw" else [1, *size, 3]
    axis = 1 if layout == "nchw" else 3
    constants = {
        "start": np.array([0], np.int64),
        "end": np.array([1], np.int64),
        "axis": np.array([axis], np.int64),
        "half": np.float32(0.5),
        "gain": np.float32(40),
        "minus_gain": np.float32(-40),
    }
    nodes = [
        helper.make_node("Slice", ["images", "start", "end", "axis"], ["plane"]),
        helper.make_node("Sub", ["plane", "half"], ["off"]),
        helper.make_node("Mul", ["off", "gain"], ["person"]),
        helper.make_node("Mul", ["off", "minus_gain"], ["background"]),
    ]
    if two_classes:
        nodes.append(helper.make_node("Concat", ["background", "person"], ["alpha"], axis=1))
    else:
        nodes.append(helper.make_node("Sigmoid", ["person"], ["alpha"]))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    out_shape = [1, 2 if two_classes else 1, *size] if layout == "nchw" else [1, *size, 1]
    out = helper.make_tensor_value_info("alpha", TensorProto.FLOAT, out_shape)
    return _save(path, nodes, [image], [out], constants)


def sam(path: Path, size=(64, 64), points=6, label_rank=4) -> Path:
    """Three masks: everything, what is bright left of the box's right edge, nothing."""
    h, w = size
    constants = {
        "start": np.array([0], np.int64),
        "end": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
        "half": np.float32(0.5),
        "xs": np.arange(w, dtype=np.float32)[None, None, None],
        "from": np.array([1, 0], np.int64),
        "to": np.array([2, 1], np.int64),
        "axes": np.array([2, 3], np.int64),
        "one": np.float32(1),
        "quality": np.array([[[0.5, 0.4, 0.9]]], np.float32),
        "as5": np.array([1, 1, 3, h, w], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["images", "start", "end", "axis"], ["plane"]),
        helper.make_node("Sub", ["plane", "half"], ["bright"]),
        helper.make_node("Slice", ["points", "from", "to", "axes"], ["right"]),
        helper.make_node("Sub", ["right", "xs"], ["left_of"]),
        helper.make_node("Min", ["bright", "left_of"], ["part"]),
        helper.make_node("Mul", ["plane", "plane"], ["squared"]),
        helper.make_node("Add", ["squared", "one"], ["all"]),
        helper.make_node("Neg", ["all"], ["none"]),
        helper.make_node("Concat", ["all", "part", "none"], ["three"], axis=1),
        helper.make_node("Reshape", ["three", "as5"], ["masks"]),
        helper.make_node("ReduceMax", ["labels"], ["label_max"], keepdims=0),
        helper.make_node("Mul", ["label_max", "zero"], ["nothing"]),
        helper.make_node("Add", ["quality", "nothing"], ["iou"]),
    ]
    constants["zero"] = np.float32(0)
    label_shape = [1, 1, points, 1] if label_rank == 4 else [1, 1, points]
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, h, w]),
        helper.make_tensor_value_info("points", TensorProto.FLOAT, [1, 1, points, 2]),
        helper.make_tensor_value_info("labels", TensorProto.FLOAT, label_shape),
    ]
    outs = [
        helper.make_tensor_value_info("masks", TensorProto.FLOAT, [1, 1, 3, h, w]),
        helper.make_tensor_value_info("iou", TensorProto.FLOAT, [1, 1, 3]),
    ]
    return _save(path, nodes, inputs, outs, constants)

"""Networks that answer every picture with the arrays they were made of, in any interface.

What a picture looks like reaches them only through ``bright``: outputs named there are scaled by
how bright the picture is, 1 for pictures of 0..255, nearly nothing for the same given as 0..1.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_CODES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
}


def network(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    image=(1, 3, 64, 64),
    kind="float32",
    inputs: dict[str, tuple[str, tuple]] | None = None,
    metadata: dict | None = None,
    bright: tuple[str, ...] = (),
    shapes: dict[str, tuple] | None = None,
) -> Path:
    """Writes a network that gives ``outputs`` (batch of 1) whatever it is shown.

    Args:
        path: Where to.
        outputs: By name, in order.
        image: Shape of the input of pictures ``images``; text = a free size.
        kind: Its type.
        inputs: Further inputs: type and shape by name.
        metadata: Written into the file, as text.
        bright: Outputs that are scaled by the brightness of the picture.
        shapes: Declared shapes of outputs, where they differ from those given.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["as_float"], ["largest"], keepdims=0),
        helper.make_node("Div", ["largest", "white"], ["share"]),
        helper.make_node("Min", ["share", "one"], ["brightness"]),
        helper.make_node("Mul", ["brightness", "zero"], ["nothing"]),
    ]
    constants = {"zero": np.float32(0), "one": np.float32(1), "white": np.float32(255)}
    for name, array in outputs.items():
        constants[f"{name}_is"] = array.astype(np.float32)
        how = ("Mul", "brightness") if name in bright else ("Add", "nothing")
        nodes.append(helper.make_node(how[0], [f"{name}_is", how[1]], [f"{name}_float"]))
        code = _CODES[str(array.dtype)]
        nodes.append(helper.make_node("Cast", [f"{name}_float"], [name], to=code))
    wanted = {"images": (kind, image)} | (inputs or {})
    declared = {k: a.shape for k, a in outputs.items()} | (shapes or {})
    graph = helper.make_graph(
        nodes,
        "answering",
        [helper.make_tensor_value_info(k, _CODES[t], s) for k, (t, s) in wanted.items()],
        [
            helper.make_tensor_value_info(k, _CODES[str(outputs[k].dtype)], s)
            for k, s in declared.items()
        ],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    helper.set_model_props(model, {k: str(v) for k, v in (metadata or {}).items()})
    onnx.save(model, str(path))
    return path


def cells(size: int = 64, strides=(8, 16, 32)) -> np.ndarray:
    """Centres x, y and stride of the cells of a square input, ``[n, 3]``, in output order."""
    rows = []
    for stride in strides:
        y, x = np.mgrid[: size // stride, : size // stride]
        flat = [(x.ravel() + 0.5) * stride, (y.ravel() + 0.5) * stride, np.full(x.size, stride)]
        rows.append(np.stack(flat, axis=1))
    return np.concatenate(rows).astype(np.float32)


def scores(n: int, classes: int, seed: int = 0) -> np.ndarray:
    """Probabilities ``[n, classes]`` like those of a detector: nearly all close to nothing."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-6, 1, (n, classes))
    logits[rng.integers(0, n, 3), 0] = 2.0
    return (1 / (1 + np.exp(-logits))).astype(np.float32)

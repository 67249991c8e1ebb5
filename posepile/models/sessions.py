"""ONNX Runtime sessions: on which device a network runs, and with how many threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from posepile.errors import CorruptInput, UsageError, one_line
from posepile.models.external import files_beside

Device = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
# ``auto`` never takes TensorRT: it builds an engine for minutes before the first picture.
_WANTED = {"auto": (CUDA, CPU), "cpu": (CPU,), "cuda": (CUDA, CPU), "tensorrt": (TENSORRT, CUDA)}
_NAMES = {"cuda": (CUDA, "CUDA", "CUDA and cuDNN"), "tensorrt": (TENSORRT, "TensorRT", "TensorRT")}


def open_session(path: Path, threads: int, device: Device, half: bool = False):
    """Returns an ONNX Runtime session with a fixed number of threads.

    Args:
        path: The network.
        threads: Threads of one call on the CPU.
        device: ``auto`` takes CUDA where ONNX Runtime has it and it starts, else the CPU; the
            others are refused where they are not there. What ``tensorrt`` cannot run, CUDA does.
        half: TensorRT may compute in 16 bits.

    Raises:
        UsageError: ONNX Runtime is missing, or the device was asked for and is not there.
        CorruptInput: The file is not a network.
    """
    # As of 1.31 it tells its maker about the machine as soon as it is imported, and leaves files
    # in the home and temporary folders.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            "detection and segmentation networks need ONNX Runtime, which comes with PosePile and "
            "is gone; put it back with: pip install onnxruntime (or onnxruntime-gpu)"
        ) from None
    available = onnxruntime.get_available_providers()
    wanted, name, needs = _NAMES.get(device, (None, "", ""))
    if wanted is not None and wanted not in available:
        raise UsageError(
            f"device: {device}, but this ONNX Runtime has {', '.join(available)}; install "
            f"onnxruntime-gpu or set device: cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings about graph details are not for the user
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=providers(Path(path), device, available, half)
        )
    except Exception as e:  # the binding raises bare Exceptions of its own, one class per status
        if not Path(path).is_file():
            raise UsageError(f"{path}: no such ONNX file") from None
        told = f"not an ONNX network that can be run: {one_line(e)}"
        hint = None
        gone = [other for other in files_beside(path) if not other.is_file()]
        if gone:
            told = f"not a network that can be run: its weights {gone[0]} are missing"
            hint = "they belong beside it, under that name"
        if "_TRT" in told:
            hint = (
                "it was made for TensorRT, whose suppression ONNX Runtime does not have; export "
                "it without, or for ONNX Runtime (YOLOv7: --max-wh 640, YOLOv6: --ort)"
            )
        raise CorruptInput(path, told, hint=hint) from None
    if wanted is not None and wanted not in session.get_providers():
        raise UsageError(
            f"device: {device}, but ONNX Runtime could not start {name} for {path}; check that "
            f"its {needs} versions are installed, or set device: cpu"
        )
    return session


def providers(
    path: Path, device: Device, available: list[str], half: bool = False
) -> list[str | tuple[str, dict[str, Any]]]:
    """Returns the providers that ONNX Runtime shall try, in this order, with their options.

    Results shall depend neither on the run nor, more than need be, on the device: CUDA chooses
    its algorithms by rules instead of by timing them, and computes in 32 bits throughout.

    >>> providers(Path("n.onnx"), "auto", ["CPUExecutionProvider"])
    ['CPUExecutionProvider']

    Args:
        path: The network; TensorRT keeps its engines in a folder beside it, ``<name>.tensorrt``.
        device: As asked for.
        available: The providers that there are.
        half: TensorRT may compute in 16 bits.
    """
    engines = {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(path.with_name(path.name + ".tensorrt")),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(path.with_name(path.name + ".tensorrt")),
        "trt_fp16_enable": half,
    }
    options = {
        CUDA: {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0},
        TENSORRT: engines,
    }
    names = [name for name in (*_WANTED[device], CPU) if name in available]
    return [(n, options[n]) if n in options else n for n in dict.fromkeys(names)]


def on_gpu(session) -> bool:
    """Returns whether the session's first choice is not the CPU."""
    return session.get_providers()[0] != CPU

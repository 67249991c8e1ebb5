"""ONNX Runtime behind one small class: providers, threads, layout checks, batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from posepile.errors import CorruptInput, UsageError, one_line

_LARGEST_INPUT = 16384  # pixels of a side
_LARGEST_BATCH = 1024


def open_session(path: Path, threads: int, device: Literal["auto", "cpu", "cuda"]):
    """Opens an ONNX Runtime session with a fixed number of threads.

    Raises:
        UsageError: ONNX Runtime is missing, or CUDA was asked for and is not there.
        CorruptInput: The file is not a network.
    """
    # As of 1.31 it tells its maker about the machine as soon as it is imported, and leaves files
    # in the home and temporary folders.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            "detection and segmentation networks need ONNX Runtime; "
            "install it with: pip install 'posepile[models]'"
        ) from None
    available = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in available:
        raise UsageError(
            f"device: cuda, but this ONNX Runtime has {', '.join(available)}; install "
            f"onnxruntime-gpu or set device: cpu"
        )
    use_cuda = device != "cpu" and "CUDAExecutionProvider" in available
    providers = ["CUDAExecutionProvider"] * use_cuda + ["CPUExecutionProvider"]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings about graph details are not for the user
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as e:  # the binding raises bare Exceptions of its own, one class per status
        if not Path(path).is_file():
            raise UsageError(f"{path}: no such ONNX file") from None
        told = f"not an ONNX network that can be run: {one_line(e)}"
        raise CorruptInput(path, told) from None
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise UsageError(
            f"device: cuda, but ONNX Runtime could not start CUDA for {path}; check that its CUDA "
            f"and cuDNN versions are installed, or set device: cpu"
        )
    return session


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Checks an image and makes it uint8 RGB ``[h, w, 3]``.

    The stated rule: 8-bit grey is repeated over the three channels; everything that would need a
    decision about its range or transparency (16-bit, float, alpha) is refused. Images are taken as
    they are stored: an EXIF orientation tag has no influence, because annotations refer to stored
    pixels.

    Raises:
        UsageError: Any other type or shape.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise UsageError(
            f"image of type {image.dtype}: 8 bits per channel expected; convert it to uint8 first"
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(f"image of shape {image.shape}: [h, w, 3] RGB or [h, w] grey expected")
    return image


def letterbox_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Size ``(w, h)`` an image of ``size`` is resized to before it is padded to ``target``."""
    ratio = min(target[0] / size[0], target[1] / size[1])
    return max(1, int(size[0] * ratio)), max(1, int(size[1] * ratio))


class ImageNetwork:
    """A network whose first input is a batch of images.

    Args:
        path: ONNX file.
        threads: Intra-op threads.
        device: See :func:`open_session`.
        input_size: ``(h, w)``; None: as fixed in the file.
        layout: ``nchw`` or ``nhwc``.
        channels: ``bgr`` or ``rgb``.
        scale: Factor on 0..255, or ``max`` (divide by the image's maximum).
        mean: Subtracted after scaling, in the network's channel order.
        std: Divisor after that.
        resize: ``letterbox`` (top-left, padded with 114) or ``stretch``.

    Raises:
        CorruptInput: The file's image input does not have the stated layout.
    """

    PAD = 114

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        input_size: tuple[int, int] | None = None,
        layout: Literal["nchw", "nhwc"] = "nchw",
        channels: Literal["bgr", "rgb"] = "rgb",
        scale: float | Literal["max"] = 1 / 255,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
        resize: Literal["letterbox", "stretch"] = "stretch",
    ):
        self.path = Path(path)
        self.session = open_session(self.path, threads, device)
        self.layout, self.channels, self.resize, self.scale = layout, channels, resize, scale
        self.mean, self.std = np.array(mean, np.float32), np.array(std, np.float32)
        self.plain = scale == 1.0 and not self.mean.any() and (self.std == 1).all()
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.fixed_batch, self.input_size = self._check_input(input_size)

    def _check_input(self, wanted: tuple[int, int] | None) -> tuple[int | None, tuple[int, int]]:
        node = self.session.get_inputs()[0]
        dims = [d if isinstance(d, int) else None for d in node.shape]
        shown = f"input {node.name} is {node.type} {node.shape}"
        expected = "[batch, 3, height, width]" if self.layout == "nchw" else "[batch, h, w, 3]"
        if node.type != "tensor(float)" or len(dims) != 4:
            raise CorruptInput(self.path, f"{shown}, expected tensor(float) {expected}")
        c, h, w = (1, 2, 3) if self.layout == "nchw" else (3, 1, 2)
        if dims[c] not in (3, None):
            other = 3 if self.layout == "nchw" else 1
            name = "nhwc" if self.layout == "nchw" else "nchw"
            raise CorruptInput(
                self.path,
                f"{shown}, expected {expected} (layout {self.layout})",
                hint=f"set layout: {name}" if dims[other] == 3 else "it does not take RGB images",
            )
        size = tuple(
            fixed if fixed is not None else (wanted[i] if wanted else None)
            for i, fixed in enumerate((dims[h], dims[w]))
        )
        if None in size:
            raise UsageError(f"{self.path}: {shown}; its size is free, so set input_size: [h, w]")
        batch = 1 if dims[0] is None else dims[0]
        if not all(0 < n <= _LARGEST_INPUT for n in size) or not 0 < batch <= _LARGEST_BATCH:
            expected = f"a batch of 1 to {_LARGEST_BATCH}, sides of 1 to {_LARGEST_INPUT}"
            raise CorruptInput(self.path, f"{shown}, expected {expected}")
        if wanted is not None and tuple(wanted) != size:
            raise CorruptInput(self.path, f"{shown}, expected an input size of {list(wanted)}")
        return dims[0], size

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The part ``(w, h)`` of the network's input that an image of ``size`` (w, h) fills."""
        h, w = self.input_size
        return (w, h) if self.resize == "stretch" else letterbox_size(size, (w, h))

    def preprocess(self, images: list[np.ndarray]) -> np.ndarray:
        """Turns uint8 RGB images into the network's input, float32."""
        h, w = self.input_size
        shape = (len(images), 3, h, w)
        pad = float(self.PAD) if self.resize == "letterbox" else 0.0
        batch = np.empty(shape, np.float32)
        for out, image in zip(batch, images, strict=True):
            size = self.resized_size((image.shape[1], image.shape[0]))
            # Linear is what the letterboxed networks were trained and are deployed with; the
            # stretched ones were trained with an antialiasing filter, which area averaging is.
            shrinks = size[0] < image.shape[1] and size[1] < image.shape[0]
            area = self.resize == "stretch" and shrinks
            small = cv2.resize(
                image, size, interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR
            )
            planes = cv2.split(small)
            for plane, source in zip(
                out, planes[:: -1 if self.channels == "bgr" else 1], strict=True
            ):
                plane[: size[1], : size[0]] = source
                plane[size[1] :] = pad
                plane[: size[1], size[0] :] = pad
            if not self.plain:
                scale = 1 / max(1.0, float(out.max())) if self.scale == "max" else self.scale
                mean, std = self.mean[:, None, None], self.std[:, None, None]
                out[:] = (out * np.float32(scale) - mean) / std
        if self.layout == "nhwc":
            batch = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
        return batch

    def run(self, batch: np.ndarray, **more: np.ndarray) -> list[np.ndarray]:
        """Runs the network on any number of inputs, also where the file fixes the batch size.

        Args:
            batch: Output of :meth:`preprocess`.
            **more: Further inputs by name; only with a single call's worth of images.

        Returns:
            Every output, as long as ``batch`` in the first dimension.
        """
        name = self.session.get_inputs()[0].name
        if more or self.fixed_batch is None or self.fixed_batch == len(batch):
            return self._run({name: batch, **more})
        step, parts = self.fixed_batch, []
        for i in range(0, len(batch), step):
            piece = batch[i : i + step]
            n = len(piece)
            if n < step:
                piece = np.concatenate([piece, np.zeros((step - n, *piece.shape[1:]), np.float32)])
            parts.append([out[:n] for out in self._run({name: piece})])
        return [np.concatenate(outs) for outs in zip(*parts, strict=True)]

    def _run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self.session.run(None, inputs)
        except Exception as e:  # bare ones of the binding's own, one class per status
            if not type(e).__module__.startswith("onnxruntime"):
                raise
            text = one_line(e)
        if "alloc" in text.lower():
            raise MemoryError(f"{self.path}: {text}")
        raise CorruptInput(self.path, f"fails at a picture: {text}")

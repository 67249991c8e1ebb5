"""Person detectors: image batches in, boxes with scores out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.models import onnx, weights
from posepile.models.boxes import clip_boxes, nms, scale_boxes
from posepile.models.params import DetectorFile, DetectParams

YOLOX_STRIDES = (8, 16, 32)


def load_detector(params: DetectParams) -> Detector | None:
    """Loads the detector of ``params.model``; None for ``none`` and ``joints``, which need none.

    Raises:
        UsageError: Unknown name, missing file or missing ONNX Runtime.
        CorruptInput: A weight file that is not what it should be.
        WorkError: Weights that cannot be fetched.
    """
    if params.model in ("none", "joints"):
        return None
    if isinstance(params.model, DetectorFile):
        own = params.model
        usual = _USUAL[own.decoder]
        settings = {k: getattr(own, k) for k in (*usual, "input_size", "layout")}
        settings |= {k: v for k, v in usual.items() if settings[k] is None}
        path, person_class, decoder = Path(own.path), own.person_class, own.decoder
        if not path.is_file():
            raise UsageError(f"{path}: no such ONNX file (detect.model.path)")
        label = f"{path.name}@{weights.file_sha256(path)[:12]}"
    else:
        spec = weights.find_spec("detectors", params.model)
        path, digest = weights.ensure_weights(spec, params.cache_dir)
        keys = ("input_size", "layout", "channels", "scale", "mean", "std", "resize")
        settings = {k: getattr(spec, k) for k in keys}
        person_class, decoder = spec.person_class, spec.decoder
        label = f"{spec.name}@{digest[:12]}"
    network = onnx.ImageNetwork(path, threads=params.threads, device=params.device, **settings)
    return Detector(network, decoder, person_class, params, label)


_USUAL = {
    "yolox": {
        "channels": "bgr",
        "scale": 1.0,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "resize": "letterbox",
    },
    "detr": {
        "channels": "rgb",
        "scale": 1 / 255,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "resize": "stretch",
    },
}


def yolox_grid(input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cell corners ``[n, 2]`` (x, y in cells) and strides ``[n, 1]``, in output order."""
    cells, strides = [], []
    for stride in YOLOX_STRIDES:
        rows, columns = input_size[0] // stride, input_size[1] // stride
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode_yolox(
    output: np.ndarray, grid: tuple[np.ndarray, np.ndarray], person_class: int, score: float
) -> np.ndarray:
    """Reads the raw output of a YOLOX network for one image.

    Only the person class is looked at: suppression is class-aware, so no other class has a say.

    Args:
        output: ``[n, 5 + classes]``: centre offset in cells, log size in cells, objectness and
            class scores (after the sigmoid).
        grid: From :func:`yolox_grid`.
        person_class: Index among the classes.
        score: Lowest objectness times class score.

    Returns:
        float32 ``[m, 5]`` x, y, w, h in network pixels and score, in no particular order.
    """
    cells, strides = grid
    scores = output[:, 4] * output[:, 5 + person_class]
    hit = np.flatnonzero(scores >= score)
    center = (output[hit, :2] + cells[hit]) * strides[hit]
    size = np.exp(output[hit, 2:4]) * strides[hit]
    return np.concatenate([center - size / 2, size, scores[hit, None]], axis=1)


def decode_detr(
    logits: np.ndarray, boxes: np.ndarray, person_class: int, score: float
) -> np.ndarray:
    """Reads the output of a DETR-like network (RT-DETR, D-FINE, RF-DETR) for one image.

    Args:
        logits: ``[queries, classes]`` before the sigmoid.
        boxes: ``[queries, 4]`` centre x, centre y, width, height as shares of the image.
        person_class: Index among the classes.
        score: Lowest score.

    Returns:
        float32 ``[m, 5]`` x, y, w, h as shares of the image and score. Queries are one-to-one with
        objects by training, so there is nothing to suppress.
    """
    scores = 1 / (1 + np.exp(-logits[:, person_class].astype(np.float32)))
    hit = np.flatnonzero(scores >= score)
    center, size = boxes[hit, :2], boxes[hit, 2:]
    return np.concatenate([center - size / 2, size, scores[hit, None]], axis=1)


class Detector:
    """Detects people.

    Attributes:
        label: Name and abbreviated checksum of the network, for the manifest.
    """

    def __init__(
        self,
        network: onnx.ImageNetwork,
        decoder: str,
        person_class: int,
        params: DetectParams,
        label: str,
    ):
        self.network = network
        self.decoder = decoder
        self.person_class = person_class
        self.params = params
        self.label = label
        self.grid = yolox_grid(network.input_size) if decoder == "yolox" else None

    def __call__(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Detects the people in each image.

        Args:
            images: Any number of uint8 RGB ``[h, w, 3]`` or grey ``[h, w]`` images of any sizes.

        Returns:
            Per image float32 ``[n, 5]``: x, y, width, height in pixels of that image, and score;
            best first.

        Raises:
            UsageError: An image that is not 8-bit RGB or grey.
            CorruptInput: The network's output does not fit the decoder.
        """
        found = []
        for i in range(0, len(images), self.params.batch):
            chunk = [onnx.as_rgb(image) for image in images[i : i + self.params.batch]]
            outputs = self.network.run(self.network.preprocess(chunk))
            found += self._decode(outputs, [(im.shape[1], im.shape[0]) for im in chunk])
        return found

    def _decode(self, outputs: list[np.ndarray], sizes: list[tuple[int, int]]) -> list[np.ndarray]:
        p = self.params
        found = []
        for k, size in enumerate(sizes):
            if self.decoder == "yolox":
                output = self._yolox_output(outputs)[k]
                boxes = decode_yolox(output, self.grid, self.person_class, p.score)
                boxes = boxes[nms(boxes, boxes[:, 4], np.zeros(len(boxes)), p.nms)]
                boxes = scale_boxes(boxes, self.network.resized_size(size), size)
            else:
                logits, shares = self._detr_outputs(outputs)
                boxes = decode_detr(logits[k], shares[k], self.person_class, p.score)
                boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
                boxes = scale_boxes(boxes, (1, 1), size)
            found.append(clip_boxes(boxes, size).astype(np.float32))
        return found

    def _yolox_output(self, outputs: list[np.ndarray]) -> np.ndarray:
        output, n = outputs[0], len(self.grid[0])
        if output.ndim != 3 or output.shape[1] != n or output.shape[2] < 6 + self.person_class:
            raise CorruptInput(
                self.network.path,
                f"output {self.network.outputs[0]} is {list(output.shape)}, expected "
                f"[batch, {n}, 5 + classes] from a YOLOX network with input size "
                f"{list(self.network.input_size)}",
                hint="choose another decoder or another export",
            )
        return output

    def _detr_outputs(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        three = [o for o in outputs if o.ndim == 3]
        boxes = [o for o in three if o.shape[2] == 4]
        logits = [o for o in three if o.shape[2] > max(4, self.person_class)]
        if not boxes or not logits or boxes[0].shape[1] != logits[0].shape[1]:
            shapes = ", ".join(
                f"{name} {list(o.shape)}"
                for name, o in zip(self.network.outputs, outputs, strict=True)
            )
            raise CorruptInput(
                self.network.path,
                f"outputs are {shapes}, expected [batch, queries, classes] and "
                f"[batch, queries, 4] from a DETR-like network",
                hint="choose another decoder or another export",
            )
        return logits[0], boxes[0]

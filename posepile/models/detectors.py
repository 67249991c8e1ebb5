"""Person detectors: image batches in, boxes with scores out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from posepile.errors import UsageError
from posepile.models import onnx, weights
from posepile.models.boxes import clip_boxes, scale_boxes
from posepile.models.decoders import Given, Look
from posepile.models.external import network_sha256
from posepile.models.params import DetectorFile, DetectParams
from posepile.models.recognise import Recognised, n_classes, recognise

LOOK = tuple(field.name for field in fields(Look))
_WATCHED_CALLS = 3  # of real pictures, whose answers are looked at like that to the test picture


def load_detector(params: DetectParams) -> Detector | None:
    """Loads the detector of ``params.model``; None for ``none`` and ``joints``, which need none.

    Raises:
        UsageError: Unknown name, missing file, missing ONNX Runtime, or a network that is not what
            it is said to be.
        CorruptInput: A weight file that is not what it should be.
        WorkError: Weights that are not there.
    """
    if params.model in ("none", "joints"):
        return None
    if isinstance(params.model, DetectorFile):
        spec, path = params.model, Path(params.model.path).expanduser()
        if not path.is_file():
            raise UsageError(f"{path}: no such ONNX file (detect.model.path)")
        name, digest = path.name, network_sha256(path)
    else:
        spec = weights.find_spec("detectors", params.model)
        path, digest = weights.ensure_weights(spec, params.cache_dir)
        name = spec.name
    network = onnx.ImageNetwork(
        path,
        threads=params.threads,
        device=params.device,
        half=params.half,
        batch=params.batch,
        input_size=spec.input_size,
        layout=spec.layout,
    )
    stated = {k: v for k in LOOK if (v := getattr(spec, k, None)) is not None}
    found = recognise(network, spec.decoder, spec.person_class, stated)
    return Detector(network, found, params, f"{name}@{digest[:12]}", digest)


@dataclass(frozen=True)
class Prepared:
    """An image as the network takes it.

    Attributes:
        batch: The network's input, of this image alone.
        size: Width and height of the image.
    """

    batch: np.ndarray
    size: tuple[int, int]


class Detector:
    """Detects people.

    Attributes:
        label: Name and abbreviated checksum of the network, for the manifest.
        sha256: The whole checksum.
    """

    def __init__(
        self,
        network: onnx.ImageNetwork,
        found: Recognised,
        params: DetectParams,
        label: str,
        sha256: str = "",
    ):
        self.network = network
        self.form = found.form
        self.params = params
        self.label, self.sha256 = label, sha256
        self.given = Given(
            network.input_size,
            found.person_class,
            params.score,
            params.nms,
            n_classes(network, found.form),
            found.stated,
        )
        self.watched = _WATCHED_CALLS
        network.show(found.look, found.form)

    def __call__(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Detects the people in each image.

        Args:
            images: Any number of uint8 RGB ``[h, w, 3]`` or grey ``[h, w]`` images of any sizes.

        Returns:
            Per image float32 ``[n, 5]``: x, y, width, height in pixels of that image, and score;
            best first.

        Raises:
            UsageError: An image that is not 8-bit RGB or grey; or the network's output does not
                fit the decoder.
        """
        found = []
        for i in range(0, len(images), self.batch):
            found += self.detect([self.prepare(image) for image in images[i : i + self.batch]])
        return found

    @property
    def batch(self) -> int:
        """Pictures per call of the network, see :class:`posepile.models.onnx.ImageNetwork`."""
        return self.network.batch

    def picture_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size (w, h) that the network shrinks or enlarges a picture of ``size`` (w, h) to."""
        return self.network.resized_size(size)

    def prepare(self, image: np.ndarray) -> Prepared:
        """Makes the network's input of an image; may be called in another thread.

        Raises:
            UsageError: An image that is not 8-bit RGB or grey.
        """
        image = onnx.as_rgb(image)
        return Prepared(self.network.preprocess([image]), (image.shape[1], image.shape[0]))

    def detect(self, prepared: list[Prepared]) -> list[np.ndarray]:
        """Detects the people in any number of prepared images; returns what a call does."""
        answers, n = [], self.batch
        for i in range(0, len(prepared), n):
            images = [p.batch for p in prepared[i : i + n]]
            batch = images[0] if len(images) == 1 else np.concatenate(images)
            answers.append(self.network.answer_prepared(batch))
        # All answers together, as code that was not run for a while costs three times as much.
        boxes = []
        for outputs in answers:
            onnx.refuse_nan(outputs, self.network.path)
            self._watch(outputs)
            boxes += self.form.decode(outputs, self.given)
        return [self._in_image(b, p.size) for b, p in zip(boxes, prepared, strict=True)]

    def _watch(self, outputs: dict[str, np.ndarray]) -> None:
        if not self.watched:
            return
        self.watched -= any(array.any() for array in outputs.values())
        doubt = self.form.doubts(outputs, self.given)
        if doubt:
            raise UsageError(
                f"{self.network.path}: not {self.form.name} ({self.form.title}): {doubt}; "
                f"posepile model check FILE shows more"
            )

    def _in_image(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if not self.form.of_picture:
            boxes[:, :2] -= self.network.offset(size)
        h, w = self.network.input_size
        filled = (w, h) if self.form.of_picture else self.network.resized_size(size)
        boxes = scale_boxes(boxes, filled, size)
        return clip_boxes(boxes, size).astype(np.float32)

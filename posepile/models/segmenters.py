"""Person segmenters: a crop with one wanted person in, that person's mask out.

Three kinds share one interface. Matting networks mark every person in the crop; promptable ones
are asked for one by box and joints; GrabCut needs no network. Whatever marks the foreground, the
same steps then cut it down to the wanted person: pixels nearer to another person's skeleton go to
that person, and only connected parts that the wanted person's own skeleton runs through are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.models import grabcut, onnx, weights
from posepile.models.decoders.form import Look
from posepile.models.params import SegmenterFile, SegmentParams
from posepile.models.person_mask import (
    BOX_MARGIN,
    Edges,
    box_region,
    select_person,
    square_window,
    stand_in_joints,
)


def load_segmenter(params: SegmentParams) -> Segmenter | None:
    """Loads the segmenter of ``params.model``; None for ``none`` and ``raw``, which need none.

    Raises:
        UsageError: Unknown name, missing file or missing ONNX Runtime.
        CorruptInput: A weight file that is not what it should be.
        WorkError: Weights that are not there.
    """
    if params.model in ("none", "raw"):
        return None
    if params.model == "grabcut":
        return Segmenter(grabcut.foreground, params, "grabcut")
    if isinstance(params.model, SegmenterFile):
        spec = params.model
        path = Path(spec.path)
        if not path.is_file():
            raise UsageError(f"{path}: no such ONNX file (segment.model.path)")
        label = f"{path.name}@{weights.file_sha256(path)[:12]}"
    else:
        spec = weights.find_spec("segmenters", params.model)
        path, digest = weights.ensure_weights(spec, params.cache_dir)
        label = f"{spec.name}@{digest[:12]}"
    look = Look(spec.channels, spec.scale, spec.mean, spec.std)
    network = onnx.ImageNetwork(
        path,
        threads=params.threads,
        device=params.device,
        input_size=spec.input_size,
        layout=spec.layout,
        look=look,
    )
    if spec.decoder == "matting":
        threshold = params.threshold if params.threshold is not None else spec.threshold
        return Segmenter(Matting(network, threshold), params, label)
    if params.threshold is not None:
        raise UsageError(
            f"segment.threshold has no effect with {label}: promptable networks give masks, "
            f"not probabilities; leave it out"
        )
    return Segmenter(Promptable(network, spec.max_points, spec.negatives), params, label)


def foreground_probability(output: np.ndarray, path: Path) -> np.ndarray:
    """Reads the output of a matting or two-class network for one image.

    Args:
        output: ``[h, w]``, ``[1, h, w]`` (alpha or logit) or ``[2, h, w]`` (background, person, as
            probabilities or scores).
        path: For the error message.

    Returns:
        float32 ``[h, w]`` in 0..1.
    """
    output = np.asarray(output, np.float32)
    if output.ndim == 3 and output.shape[0] == 2:
        if output.min() < 0 or abs(float(output.sum(axis=0).mean()) - 1) > 1e-2:
            return 1 / (1 + np.exp(output[0] - output[1]))
        return output[1]
    if output.ndim == 3 and output.shape[0] == 1:
        output = output[0]
    if output.ndim != 2:
        raise CorruptInput(
            path,
            f"output is {list(output.shape)} per image, expected [1, h, w] or [2, h, w]",
            hint="choose another decoder or another export",
        )
    if output.min() < -1e-3 or output.max() > 1 + 1e-3:
        return 1 / (1 + np.exp(-output))
    return output


def prompt_joints(joints: np.ndarray, shape: tuple[int, int], n: int) -> np.ndarray:
    """Chooses up to ``n`` joints inside the image that are spread widely, ``[m, 2]``.

    The first is the one nearest to the middle of all, the others follow by farthest distance.
    """
    joints = np.asarray(joints, np.float64)
    inside = np.isfinite(joints).all(axis=-1)
    inside[inside] &= (
        (joints[inside] >= 0) & (joints[inside] <= [shape[1] - 1, shape[0] - 1])
    ).all(axis=-1)
    points = joints[inside]
    if not len(points) or n <= 0:
        return np.zeros((0, 2))
    chosen = [int(np.argmin(np.linalg.norm(points - np.median(points, axis=0), axis=1)))]
    away = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(n, len(points)) and away.max() > 0:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


class Matting:
    """A network that marks all people, with a threshold on its probability."""

    def __init__(self, network: onnx.ImageNetwork, threshold: float):
        self.network = network
        self.threshold = threshold

    def __call__(self, crop, box, joints, others, edges) -> np.ndarray:
        """Foreground around the box, bool ``[h, w]``; joints are not looked at."""
        window = square_window(crop.shape[:2], box)
        seen = np.ascontiguousarray(crop[window])
        output = self.network.run(self.network.preprocess([seen]))[0][0]
        probability = foreground_probability(output, self.network.path)
        size = seen.shape[1::-1]
        foreground = np.zeros(crop.shape[:2], bool)
        foreground[window] = cv2.resize(probability, size) > self.threshold
        return foreground


class Promptable:
    """A network asked with points: the joints, and the corners of the box.

    Labels are those of the Segment Anything family: 1 point on the object, 0 point beside it
    (where the network knows it), 2 and 3 top-left and bottom-right corner of its box, -1 padding.
    """

    def __init__(self, network: onnx.ImageNetwork, max_points: int, negatives: bool):
        self.network = network
        self.max_points = max_points
        self.negatives = negatives
        inputs = network.session.get_inputs()
        if len(inputs) != 3:
            names = ", ".join(f"{node.name} {node.shape}" for node in inputs)
            raise CorruptInput(
                network.path,
                f"inputs are {names}, expected images, point coordinates and point labels",
                hint="choose another decoder or another export",
            )
        self.points, self.labels = inputs[1], inputs[2]

    def __call__(self, crop, box, joints, others, edges) -> np.ndarray:
        """The answer to the prompt that covers the joints best, bool ``[h, w]``."""
        shape = crop.shape[:2]
        points, labels = self._prompt(shape, box, joints, others)
        h, w = self.network.input_size
        points = (points + 0.5) * [w / shape[1], h / shape[0]] - 0.5
        feeds = {
            self.points.name: _lift(points.astype(np.float32), len(self.points.shape)),
            self.labels.name: _lift(labels.astype(np.float32), len(self.labels.shape), 1),
        }
        outputs = self.network.run(self.network.preprocess([crop]), **feeds)
        masks, quality = self._read(outputs)
        resized = [cv2.resize(m, shape[::-1], interpolation=cv2.INTER_LINEAR) > 0 for m in masks]
        wanted = prompt_joints(stand_in_joints(box) if joints is None else joints, shape, 1000)
        if not len(wanted):
            return resized[int(np.argmax(quality))]
        x, y = wanted.round().astype(int).T
        rows, columns = box_region(shape, box, BOX_MARGIN)

        def agreement(k: int) -> float:
            # A part of a person can be the best answer to a point, and so can the whole scene; the
            # person covers the joints and stays in the box.
            within = resized[k][rows, columns].sum() / max(1, resized[k].sum())
            return resized[k][y, x].mean() * within + 0.1 * quality[k]

        return resized[max(range(len(resized)), key=agreement)]

    def _prompt(self, shape, box, joints, others) -> tuple[np.ndarray, np.ndarray]:
        x, y, w, h = (float(v) for v in box[:4])
        corners = np.clip([[x, y], [x + w, y + h]], 0, [shape[1] - 1, shape[0] - 1])
        free = self.max_points - 2
        against = np.zeros((0, 2))
        if self.negatives and others:
            near = [prompt_joints(other, shape, 1) for other in others]
            against = np.concatenate(near)[: free // 2]
        given = joints if joints is not None else stand_in_joints(box)
        on = prompt_joints(given, shape, free - len(against))
        pad = np.zeros((self.max_points - 2 - len(on) - len(against), 2))
        labels = [2, 3, *[1] * len(on), *[0] * len(against), *[-1] * len(pad)]
        return np.concatenate([corners, on, against, pad]), np.array(labels)

    def _read(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        masks = [o for o in outputs if o.ndim >= 4]
        if not masks:
            shapes = ", ".join(
                f"{name} {list(o.shape)}"
                for name, o in zip(self.network.outputs, outputs, strict=True)
            )
            raise CorruptInput(
                self.network.path,
                f"outputs are {shapes}, expected masks [1, ..., n, h, w] and their quality",
                hint="choose another decoder or another export",
            )
        found = masks[0].reshape(-1, *masks[0].shape[-2:]).astype(np.float32)
        quality = [o for o in outputs if o is not masks[0] and o.size == len(found)]
        return found, quality[0].ravel() if quality else np.zeros(len(found), np.float32)


def _lift(values: np.ndarray, rank: int, inner: int = 2) -> np.ndarray:
    """Adds the leading dimensions of size 1 (batch, queries) a network's prompt input has."""
    if inner == 1 and rank == 4:
        values = values[:, None]
    return values.reshape((1,) * (rank - values.ndim) + values.shape)


class Segmenter:
    """Segments the wanted person of a crop.

    Attributes:
        label: Method, and for networks the abbreviated checksum, for the manifest.
    """

    def __init__(self, foreground, params: SegmentParams, label: str):
        self.foreground = foreground
        self.params = params
        self.label = label

    def __call__(
        self,
        crop: np.ndarray,
        box: np.ndarray,
        joints: np.ndarray | None = None,
        others: Sequence[np.ndarray] = (),
        edges: Edges | None = None,
        taken: np.ndarray | None = None,
    ) -> dict | None:
        """Makes the mask of one person.

        Args:
            crop: uint8 RGB ``[h, w, 3]`` or grey.
            box: x, y, w, h of the person in crop pixels.
            joints: ``[J, 2]`` of the person in crop pixels, NaN = missing; None without joints.
            others: Joints of the other people, in the same pixels and order.
            edges: Pairs of joint indices that bones connect; None: guessed from distances.
            taken: Pixels that are known to be of others, bool ``[h, w]``; None: not known.

        Returns:
            RLE dict ``{"size": [h, w], "counts": bytes}``, or None where no mask agrees with box
            and joints.

        Raises:
            UsageError: A crop that is not 8-bit RGB or grey, or a box that is not finite.
        """
        crop = onnx.as_rgb(crop)
        box = np.asarray(box, np.float64)
        if not np.isfinite(box[:4]).all():
            raise UsageError(f"box {box[:4].tolist()}: finite x, y, w, h expected")
        rows, columns = box_region(crop.shape[:2], box)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        people = [np.asarray(o, np.float64) for o in others]
        foreground = self.foreground(crop, box, joints, people, edges)
        mask = select_person(
            foreground, box, joints, people, params=self.params, edges=edges, taken=taken
        )
        if mask is None:
            return None
        import rlemasklib

        return rlemasklib.encode(mask.astype(np.uint8))

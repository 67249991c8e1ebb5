"""Promptable segmenters: a picture and points in, masks of what the points are on out.

Points are the joints and the corners of the box. In one file (EfficientSAM), or in two: an
encoder that sees the picture once, and a decoder that is asked for each person (SAM, MobileSAM,
HQ-SAM, EdgeSAM, SAM 2, EfficientSAM; exported officially, by samexporter or by transformers).

Labels of points are those of the Segment Anything family: 1 on the object, 0 beside it (where the
network knows it), 2 and 3 the corners of its box, -1 none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from posepile.errors import UsageError, one_line
from posepile.models.decoders.form import Look
from posepile.models.onnx import ImageNetwork
from posepile.models.person_mask import BOX_MARGIN, box_region, stand_in_joints
from posepile.models.prompts import Prompt, filled_up, make_prompt, prompt_joints
from posepile.models.signature import Port, Signature

SIDE = 1024  # of the input of the whole family, where a file leaves it free
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_NOBODYS_LABEL = 9


class OneFile:
    """A promptable network whose file takes picture, points and labels together."""

    kind = "sam"
    title = "promptable, one file: pictures, points and labels"
    negatives, corners = False, True

    def __init__(self, network: ImageNetwork):
        self.network = network
        inputs = [port for port in network.signature.inputs if port.name != network.image.name]
        labels = [port for port in inputs if "label" in port.name.lower()]
        self.labels = labels[0] if labels else inputs[-1]
        self.points = next(port for port in inputs if port is not self.labels)
        self.why = (f"inputs {network.image}, {self.points} and {self.labels}",)
        self.n_points = self.points.shape[-2]

    def masks(self, crop: np.ndarray, prompt: Prompt) -> tuple[np.ndarray, np.ndarray]:
        """Logits ``[n, h, w]`` in pixels of the crop, and their predicted quality ``[n]``."""
        shape = crop.shape[:2]
        h, w = self.network.input_size
        points = (prompt.points + 0.5) * [w / shape[1], h / shape[0]] - 0.5
        points, labels = filled_up(points, prompt.labels, self.n_points)
        feeds = {
            self.points.name: lifted(points, self.points),
            self.labels.name: lifted(labels, self.labels, inner=1),
        }
        outputs = self.network.run(self.network.preprocess([crop]), **feeds)
        named = dict(zip(self.network.outputs, outputs, strict=True))
        found, quality = read_masks(named, self.network.path)
        return np.stack([cv2.resize(m, shape[::-1]) for m in found]), quality


class TwoFiles:
    """A promptable network in two files: the picture is encoded once, then asked for people.

    Attributes:
        network: The encoder.
        form: How the decoder is asked.
        negatives: Whether it tells a point beside the object (label 0) from no label.
        corners: Whether it knows the corners of a box, as points or as an input.
    """

    kind = "sam"

    def __init__(self, network: ImageNetwork, decoder, signature: Signature, form: DecoderForm):
        self.network, self.decoder, self.signature, self.form = network, decoder, signature, form
        self.title = f"promptable, two files: {form.title}"
        self.negatives, self.corners = False, True
        self.why: tuple[str, ...] = (form.why,)
        self.n_points = form.points.shape[-2] if form.points else None
        self._seen: tuple[bytes, dict[str, np.ndarray]] = (b"", {})

    def embeddings(self, crop: np.ndarray) -> dict[str, np.ndarray]:
        """What the encoder gives for a picture, by the decoder's names; the last one is kept."""
        key = hashlib.blake2b(np.ascontiguousarray(crop), digest_size=16).digest()
        key += str(crop.shape).encode()
        if self._seen[0] != key:
            if self.form.unpadded:
                h, w = self.form.side
                size = crop.shape[1::-1]
                ratio = min(w / size[0], h / size[1])
                self.network.input_size = tuple(max(1, round(n * ratio)) for n in size[::-1])
            elif self.form.of_picture and None in self.network.dims[1:]:
                self.network.input_size = crop.shape[:2]  # the encoder scales it itself
            outputs = self.network.run(self.network.preprocess([crop]))
            named = dict(zip(self.network.outputs, outputs, strict=True))
            self._seen = key, {mine: named[its] for mine, its in self.form.embeddings.items()}
        return self._seen[1]

    def masks(self, crop: np.ndarray, prompt: Prompt) -> tuple[np.ndarray, np.ndarray]:
        """Logits ``[n, h, w]`` in pixels of the crop, and their predicted quality ``[n]``."""
        form, shape = self.form, crop.shape[:2]
        embeddings = self.embeddings(crop)
        filled = self._filled(shape)
        factor = np.array([1.0, 1.0])
        if not form.of_picture:
            factor = np.array([filled[1] / shape[1], filled[0] / shape[0]])
        feeds = dict(embeddings)
        # As the libraries do: they count half a pixel more after the scaling, not before.
        points, labels = filled_up(prompt.points * factor, prompt.labels, self.n_points)
        if form.points:
            feeds[form.points.name] = lifted(points, form.points)
            feeds[form.labels.name] = lifted(labels, form.labels, inner=1)
        if form.box:
            corners = prompt.box.reshape(2, 2) * factor
            feeds[form.box.name] = lifted(corners.reshape(1, 4), form.box)
        for port in form.nothing:
            sizes = [1 if n is None else n for n in port.shape]
            if len(sizes) == 4:
                sizes[2:] = [
                    SIDE // 4 if n is None else m
                    for n, m in zip(port.shape[2:], sizes[2:], strict=True)
                ]
            feeds[port.name] = np.zeros(sizes, port.type)
        if form.size:
            feeds[form.size.name] = np.array(shape, form.size.type)
        try:
            answer = self.decoder.run(None, feeds)
        except Exception as e:  # bare ones of the binding's own
            if not type(e).__module__.startswith("onnxruntime") and not isinstance(e, ValueError):
                raise
            told = f"{self.signature}: fails at a prompt: {one_line(e)}"
            raise UsageError(f"{self.signature.path}: {told}") from None
        named = {port.name: out for port, out in zip(self.signature.outputs, answer, strict=True)}
        found, quality = read_masks(named, self.signature.path, form.of_picture)
        return np.stack([self._in_crop(mask, filled, shape) for mask in found]), quality

    def _filled(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the encoder's input that a picture fills."""
        if self.form.unpadded:
            ratio = min(n / m for n, m in zip(self.form.side, shape, strict=True))
            return tuple(max(1, round(n * ratio)) for n in shape)
        w, h = self.network.resized_size(shape[::-1])
        return h, w

    def _in_crop(self, mask, filled: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """A mask of the encoder's whole input in the pixels of the picture that fills a part."""
        if mask.shape == shape and self.form.size is not None:
            return mask
        h, w = self.form.side
        if filled != (h, w):
            mask = cv2.resize(mask, (w, h))[: filled[0], : filled[1]]
        return cv2.resize(mask, shape[::-1])

    def learn(self, crop: np.ndarray, box: np.ndarray) -> None:
        """Finds out which labels the decoder knows: those that differ from one nobody has."""
        x, y, w, h = (float(v) for v in box)
        here, there = [x + w / 2, y + h / 2], [x + w, y + h]

        def answer(label: int) -> np.ndarray | None:
            points = np.array([here, there])
            prompt = Prompt(points, np.array([1.0, label]), np.array([x, y, x + w, y + h]))
            try:
                return self.masks(crop, prompt)[0]
            except UsageError:
                return None

        if self.form.points is None:
            return
        without = answer(_NOBODYS_LABEL)
        known = {
            label: (mask := answer(label)) is not None
            and (without is None or not np.allclose(mask, without, atol=1e-4))
            for label in (0, 3)
        }
        self.negatives = known[0]
        self.corners = known[3] and self.form.box is None
        told = {True: "knows", False: "does not know"}
        self.why += (
            f"it {told[known[0]]} points beside the object (label 0)",
            "it has an input for the box"
            if self.form.box
            else f"it {told[known[3]]} the corners of a box as points (labels 2 and 3)",
        )


@dataclass(frozen=True)
class DecoderForm:
    """How the decoder of a network in two files is asked.

    Attributes:
        title: In words.
        why: By what it is recognised.
        look: How the encoder is shown the picture, unless stated otherwise.
        embeddings: Output of the encoder by input of the decoder.
        points: Input of the points, None if it takes boxes alone.
        labels: Input of their labels.
        box: Input of a box.
        size: Input of the picture's height and width.
        nothing: Inputs that get zeros: no mask is given.
        of_picture: Points are in pixels of the picture, else of the encoder's input.
        side: Height and width of the square that pictures are scaled to.
        unpadded: The encoder fills up the picture to the square itself.
    """

    title: str
    why: str
    look: Look
    embeddings: dict[str, str]
    points: Port | None
    labels: Port | None
    box: Port | None
    size: Port | None
    nothing: tuple[Port, ...]
    of_picture: bool
    side: tuple[int, int]
    unpadded: bool


def decoder_form(encoder: ImageNetwork, signature: Signature) -> DecoderForm:
    """Finds out how a decoder is to be asked, by the interfaces of both files.

    Raises:
        UsageError: An input that nobody knows, or that this encoder has no output for.
    """
    points = labels = box = size = None
    nothing, left = [], []
    for port in signature.inputs:
        name, last = port.name.lower(), port.shape[-1] if port.shape else None
        if "label" in name:
            labels = port
        elif "mask" in name:
            nothing.append(port)
        elif ("point" in name or "coord" in name) and last in (2, None):
            points = port
        elif "box" in name and last in (4, None):
            box = port
        elif "size" in name and len(port.shape) == 1:
            size = port
        else:
            left.append(port)
    told = f"{signature.path}: {signature}"
    if (points is None) != (labels is None) or (points is None and box is None):
        raise UsageError(
            f"{told}: not the decoder of a promptable network, which takes embeddings of the "
            f"picture, points and their labels"
        )
    if not left:
        raise UsageError(f"{told}: takes no embeddings of the picture, so it is no decoder")
    embeddings = {port.name: _output_for(port, encoder, signature) for port in left}
    # SAM's decoder takes SAM 2's embedding, of the same shape, and makes nothing of it.
    unused = [out for out in encoder.signature.outputs if out.name not in embeddings.values()]
    taken = [out for out in encoder.signature.outputs if out.name in embeddings.values()]
    fine = [out for out in unused if len(out.shape) == 4 and _is_finer(out, taken)]
    if fine:
        raise UsageError(
            f"{told}: does not take {', '.join(map(str, fine))} of the encoder {encoder.path}; "
            f"the two files are of different networks"
        )
    maps = [port for port in left if len(port.shape) == 4]
    several = len({port.shape[1:] for port in maps}) > 1
    lifted_points = points is not None and len(points.shape) == 4
    efficient = lifted_points and size is not None
    if efficient:
        title, look = "EfficientSAM", Look()
    elif several:
        title, look = "SAM 2", Look(**_IMAGENET)
    else:
        title, look = "SAM", Look(**_IMAGENET, resize="longest", fill="mean")
    unpadded = len(encoder.image.shape) == 3 and None in encoder.image.shape
    if unpadded:
        look = Look(scale=1.0)
    names = ", ".join(port.name for port in signature.inputs)
    return DecoderForm(
        title=title,
        why=f"the second file takes {names}",
        look=look,
        embeddings=embeddings,
        points=points,
        labels=labels,
        box=box,
        size=size,
        nothing=tuple(nothing),
        of_picture=efficient,
        side=encoder.input_size,
        unpadded=unpadded,
    )


def _output_for(port: Port, encoder: ImageNetwork, signature: Signature) -> str:
    """The encoder's output that a decoder's input takes: of the same name, or the only fitting."""
    outputs = encoder.signature.outputs
    fitting = [out for out in outputs if _fits(out.shape, port.shape)]
    for out in fitting:
        if out.name == port.name:
            return out.name
    shaped = [out for out in fitting if None not in out.shape[1:]] or fitting
    if len(shaped) == 1:
        return shaped[0].name
    told = "no such output" if not fitting else f"{len(fitting)} such outputs of other names"
    has = ", ".join(map(str, outputs))
    raise UsageError(
        f"{signature.path}: input {port}: the encoder {encoder.path} has {told} ({has}); the two "
        f"files are of different networks, or one of them is no part of a promptable network"
    )


def _is_finer(port: Port, than: list[Port]) -> bool:
    """Whether a map has more pixels in both directions than all of others."""
    sizes = [other.shape[2:] for other in than if len(other.shape) == 4]
    return None not in port.shape[2:] and all(
        None not in size and port.shape[2] > size[0] and port.shape[3] > size[1] for size in sizes
    )


def _fits(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool:
    same_rank = len(a) == len(b)
    return same_rank and all(n == m or None in (n, m) for n, m in zip(a, b, strict=True))


def lifted(values: np.ndarray, port: Port, inner: int = 2) -> np.ndarray:
    """Values with the leading dimensions of size 1 (batch, queries) and the type of an input."""
    rank = len(port.shape)
    if inner == 1 and rank == 4:
        values = values[:, None]
    values = values.reshape((1,) * (rank - values.ndim) + values.shape)
    return np.ascontiguousarray(values, port.type)


def read_masks(
    outputs: dict[str, np.ndarray], path, of_picture: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mask logits float32 ``[n, h, w]`` and their quality ``[n]``.

    Small masks are preferred to those scaled to the picture: exports have frozen the proportions
    of the picture they were made with into the scaling.

    Args:
        outputs: By name.
        path: For the message.
        of_picture: Masks scaled to the picture are right, and wanted.

    Raises:
        UsageError: None of them are masks.
    """
    four = {name: out for name, out in outputs.items() if out.ndim >= 4}
    if not four:
        shapes = ", ".join(f"{name} {list(out.shape)}" for name, out in outputs.items())
        raise UsageError(
            f"{path}: outputs are {shapes}, expected masks [1, ..., n, h, w] and their quality"
        )
    names = list(four)
    if not of_picture:
        names.sort(key=lambda name: "low_res" not in name)
    chosen = four[names[0]]
    found = chosen.reshape(-1, *chosen.shape[-2:]).astype(np.float32)
    quality = [out for name, out in outputs.items() if name not in four and out.size == len(found)]
    quality = [q for q in quality if q.dtype.kind == "f"]
    return found, quality[0].ravel() if quality else np.zeros(len(found), np.float32)


class Promptable:
    """A promptable network, asked for one person of a crop.

    Attributes:
        asked: The network.
        max_points: Largest number of points.
    """

    def __init__(self, asked: OneFile | TwoFiles, max_points: int, negatives: bool | None):
        self.asked = asked
        self.network = asked.network
        self.kind, self.title = asked.kind, asked.title
        self.max_points = min(max_points, asked.n_points or max_points)
        self.negatives = asked.negatives if negatives is None else negatives

    @property
    def why(self) -> tuple[str, ...]:
        """What speaks for reading it as it is read, one sentence each."""
        return self.asked.why

    def __call__(self, crop, box, joints, others, edges) -> np.ndarray:
        """The answer to the prompt that covers the joints best, bool ``[h, w]``."""
        shape = crop.shape[:2]
        prompt = make_prompt(
            shape,
            box,
            joints,
            others,
            self.max_points,
            corners=self.asked.corners,
            negatives=self.negatives,
        )
        if not len(prompt.points):
            return np.zeros(shape, bool)
        logits, quality = self.asked.masks(crop, prompt)
        masks = logits > 0
        wanted = prompt_joints(stand_in_joints(box) if joints is None else joints, shape, 1000)
        if not len(wanted):
            return masks[int(np.argmax(quality))]
        x, y = wanted.round().astype(int).T
        rows, columns = box_region(shape, box, BOX_MARGIN)

        def agreement(k: int) -> float:
            # A part of a person can be the best answer to a point, and so can the whole scene; the
            # person covers the joints and stays in the box.
            within = masks[k][rows, columns].sum() / max(1, masks[k].sum())
            return masks[k][y, x].mean() * within + 0.1 * quality[k]

        return masks[max(range(len(masks)), key=agreement)]

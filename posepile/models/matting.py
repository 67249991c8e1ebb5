"""Matting and class-map networks: a picture in, for each of its pixels whether it is a person out.

Alpha or logits in any order of dimensions, background and person, one of many classes, or numbers
of classes; of several outputs the one that is the mask; networks for videos that hand a state on.
What the values are is told by what the network says of a test picture, see
:mod:`posepile.models.recognise_masks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.models.onnx import ImageNetwork
from posepile.models.person_mask import places_of, square_window
from posepile.models.signature import Signature

# Person among the classes of the usual lists, by their number: VOC, Cityscapes, ADE20K.
PERSON_OF = {2: 1, 19: 11, 21: 15, 150: 12}
_COARSEST = 32  # pixels of the input for one of a map
_WATCHED = 20  # crops whose masks are compared with the joints
_FEW = 5  # joints
STATE = ("r1i", "r2i", "r3i", "r4i")
RATIO = "downsample_ratio"
VIDEO_RATIO = 0.5  # at 512x512, measured on photographs: as good as 1, and three times as fast

Values = Literal["alpha", "bytes", "logits", "classes", "numbers"]


@dataclass(frozen=True)
class MapForm:
    """How the output of a matting network is read.

    Attributes:
        output: Its name.
        values: ``alpha`` 0 to 1; ``bytes`` 0 to 255; ``logits``; ``classes``, a plane of scores or
            probabilities for each; ``numbers`` of classes.
        person: Index of the person, of ``classes`` and ``numbers``.
        shares: The classes' values are probabilities.
    """

    output: str
    values: Values
    person: int = 1
    shares: bool = False

    @property
    def title(self) -> str:
        """In words."""
        of = {
            "alpha": "share of the person, 0 to 1",
            "bytes": "share of the person, 0 to 255",
            "logits": "logit of the person",
            "classes": f"{'probability' if self.shares else 'score'} of each class",
            "numbers": "number of the class",
        }
        who = (
            f", the person is class {self.person}" if self.values in ("classes", "numbers") else ""
        )
        return f"output {self.output}: {of[self.values]}{who}"


def planes(output: np.ndarray, input_size: tuple[int, int]) -> np.ndarray | None:
    """Returns an output for one picture as ``[c, h, w]``; None if it is no map of the picture.

    >>> planes(np.zeros((1, 32, 48, 2)), (64, 96)).shape
    (2, 32, 48)
    >>> planes(np.zeros((1, 84, 8400)), (640, 640)) is None
    True

    Args:
        output: ``[1, c, h, w]``, ``[1, h, w, c]``, or either without dimensions of size 1.
        input_size: Height and width of the network's input; of a map they are the same, or divided
            by one whole number.
    """
    array = np.asarray(output)
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        return None
    if is_map(array.shape[1:], input_size):
        return array
    if is_map(array.shape[:2], input_size):
        return array.transpose(2, 0, 1)
    return None


def is_map(size: tuple[int, ...], input_size: tuple[int, int]) -> bool:
    """Whether a height and width are those of the input, or a whole part of them."""
    return any(
        all(n in (m // k, -(-m // k)) for n, m in zip(size, input_size, strict=True))
        for k in range(1, _COARSEST + 1)
    )


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + exp(-x)), without a warning where x is large."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.asarray(x, np.float32)))


def person_probability(
    maps: np.ndarray, form: MapForm, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Returns how probably each pixel is a person, float32 ``[h, w]`` in 0 to 1.

    Args:
        maps: ``[c, h, w]``, see :func:`planes`.
        form: How it is read.
        shape: Height and width that are wanted; None: those of the maps. Scores of classes are
            scaled before they are compared, one after the other to save memory.
    """
    size = (shape or maps.shape[1:])[::-1]

    def scaled(plane: np.ndarray) -> np.ndarray:
        plane = np.ascontiguousarray(plane, np.float32)
        return plane if plane.shape[::-1] == size else cv2.resize(plane, size)

    if form.values == "alpha":
        return np.clip(scaled(maps[0]), 0, 1)
    if form.values == "bytes":
        return np.clip(scaled(maps[0]) / 255, 0, 1)
    if form.values == "logits":
        return scaled(sigmoid(maps[0]))
    if form.values == "numbers":
        return scaled(maps[0] == form.person)
    own, best = scaled(maps[form.person]), None
    for i, plane in enumerate(maps):
        if i != form.person:
            other = scaled(plane)
            best = other if best is None else np.maximum(best, other)
    if form.shares:
        return own / np.maximum(own + best, 1e-6)
    return sigmoid(own - best)


def video_feeds(ratio: float | None):
    """Returns what gives a network for videos its ratio and the state before a first picture."""

    def feeds(signature: Signature, batch: np.ndarray, input_size: tuple[int, int]) -> dict:
        given = {}
        for port in signature.inputs:
            if port.name in STATE:
                given[port.name] = np.zeros([n or 1 for n in port.shape], port.type)
            elif port.name == RATIO:
                given[port.name] = np.full(
                    [n or 1 for n in port.shape] or [1], ratio or VIDEO_RATIO, port.type
                )
        return given

    return feeds


class Matting:
    """A network that marks all people, with a threshold on its probability."""

    kind = "matting"

    def __init__(
        self, network: ImageNetwork, form: MapForm, threshold: float, why: tuple[str, ...] = ()
    ):
        self.network = network
        self.form = form
        self.threshold = threshold
        self.title, self.why = form.title, why
        self.watched: list[tuple[float, float]] | None = []

    def __call__(self, crop, box, joints, others, edges) -> np.ndarray:
        """Foreground around the box, bool ``[h, w]``."""
        window = square_window(crop.shape[:2], box)
        seen = np.ascontiguousarray(crop[window])
        probability = np.zeros(crop.shape[:2], np.float32)
        probability[window] = self.probability(seen)
        if joints is not None and self.watched is not None:
            self._watch(probability[window], joints - [window[1].start, window[0].start])
        return probability > self.threshold

    def probability(self, picture: np.ndarray) -> np.ndarray:
        """Returns how probably each pixel of a uint8 RGB picture is a person, ``[h, w]``.

        Raises:
            CorruptInput: The output is not as it was for the test picture.
        """
        output = self.network.answer([picture])[self.form.output]
        maps = planes(output, self.network.input_size)
        if maps is None or len(maps) <= (self.form.person if self.form.values == "classes" else 0):
            raise CorruptInput(
                self.network.path,
                f"output is {list(np.shape(output))}, expected a map of the picture",
                hint="choose another decoder or another export",
            )
        if doubt := doubt_of_values(maps, self.form):
            raise CorruptInput(self.network.path, f"{self.title}: {doubt}", hint="export it anew")
        return person_probability(maps, self.form, picture.shape[:2])

    def _watch(self, probability: np.ndarray, joints: np.ndarray) -> None:
        """Looks whether the first crops' masks are where the joints are.

        Raises:
            UsageError: They are where the joints are not.
        """
        on = places_of(joints, probability.shape)
        if len(on) < _FEW:
            return
        x, y = on.T
        border = np.concatenate([probability[0], probability[:, 0], probability[:, -1]])
        self.watched.append((float(probability[y, x].mean()), float(border.mean())))
        if len(self.watched) < _WATCHED:
            return
        at_joints, around = np.mean(self.watched, axis=0)
        self.watched = None
        inverted = at_joints < 0.3 and around > at_joints + 0.3
        if inverted or around > 0.95:
            marked = "the background instead of the person" if inverted else "everything"
            raise UsageError(
                f"{self.network.path}: of {_WATCHED} crops it marks {at_joints:.0%} at the joints "
                f"and {around:.0%} at the border: {marked}; or pictures are shown in another "
                f"range; posepile model check FILE shows more"
            )


def doubt_of_values(maps: np.ndarray, form: MapForm) -> str | None:
    """Returns what speaks against the values of maps ``[c, h, w]`` that are read so."""
    if not np.isfinite(maps).all():
        return "values that are not finite"
    low, high = float(maps.min()), float(maps.max())
    limit = {"alpha": 1, "bytes": 255}.get(form.values)
    if limit is not None and (low < -0.01 * limit or high > 1.01 * limit):
        return f"values of {low:.3g} to {high:.3g}, expected 0 to {limit}"
    return None

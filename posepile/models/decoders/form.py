"""What every form of a detector's outputs consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from posepile.models.boxes import nms
from posepile.models.signature import Signature

Outputs = dict[str, np.ndarray]
# Mean and deviation of ImageNet's pixels, see Look: of RGB in 0..1, of BGR in 0..255.
IMAGENET_RGB = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
IMAGENET_BGR = {"mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}


@dataclass(frozen=True)
class Look:
    """How pictures are shown to a network.

    Attributes:
        channels: Channel order the network wants.
        scale: Factor on 0..255, or ``max`` (divide by the image's maximum).
        mean: Subtracted after scaling, in the network's channel order.
        std: Divisor after that.
        resize: ``stretch``; or the same factor for both axes and the rest filled with 114:
            ``letterbox`` at the top left with sizes rounded down, ``centred`` in the middle with
            sizes rounded to the nearest (Ultralytics); ``longest`` at the top left with sizes
            rounded to the nearest (Segment Anything).
        margin: By how many pixels less than the network's input the picture may be wide and high
            (YOLO-NAS: 4); only where it is ``centred``.
        antialias: Shrinks with an area filter where pictures are stretched.
        fill: What is beside a picture that keeps its aspect: 114, or the mean that is subtracted.
    """

    channels: Literal["bgr", "rgb"] = "rgb"
    scale: float | Literal["max"] = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Literal["letterbox", "centred", "stretch", "longest"] = "stretch"
    margin: int = 0
    antialias: bool = True
    fill: Literal["grey", "mean"] = "grey"

    @property
    def range(self) -> str:
        """What pixel values become, in words."""
        scale = "its maximum" if self.scale == "max" else f"{1 / self.scale:.6g}"
        plain = not any(self.mean) and all(n == 1 for n in self.std)
        return f"{self.channels.upper()} / {scale}" + ("" if plain else ", minus mean, by std")


@dataclass(frozen=True)
class Given:
    """What a decoder needs to know besides the outputs.

    Attributes:
        input_size: Height and width of the network's input.
        person_class: Index of the person among the classes.
        score: Lowest score of a detection.
        nms: IoU above which the weaker of two boxes is suppressed, where the form needs it.
        n_classes: How many classes the network has; None: unknown.
        stated: Somebody, or the file, says which class is the person: it is not just the usual.
    """

    input_size: tuple[int, int]
    person_class: int
    score: float
    nms: float
    n_classes: int | None = None
    stated: bool = False


def no_feeds(signature: Signature, batch: np.ndarray, input_size: tuple[int, int]) -> Outputs:
    """Returns the further inputs of a network that has none."""
    return {}


@dataclass(frozen=True)
class Form:
    """One kind of detector export.

    Attributes:
        name: As ``decoder:`` has it.
        title: In words, for messages.
        look: What is usual for it; settings may differ.
        claims: Of a file, why it may be of this kind ("output [1, 84, n] ..."); None if it
            cannot be.
        n_classes: How many classes the file has; None where the outputs do not say.
        doubts: Of the outputs for pictures (batch first), what speaks against this kind; None if
            nothing does. Asked with a test picture when the file is opened, and with the first
            pictures of a run.
        decode: Per image float32 ``[n, 5]``: x, y, w, h in pixels of the network's input, and
            score; best first, suppressed where needed.
        feeds: Values of the inputs besides the pictures, by name: of the file, of the pictures as
            they are given to it ``[batch, 3, h, w]``, and of the size they are of.
        flat: Whether it lists the boxes of all pictures in one output ``[n, columns]`` whose first
            column is the number of the picture. ``doubts`` and ``decode`` see it picture by
            picture as ``[batch, most, columns - 1]``, filled up with zeros.
        look_of: The usual look of a file, where files of this kind differ.
        of_picture: Boxes are as if the picture filled the whole input, also where it keeps its
            aspect and is filled up.
        alone: Its outputs are of one picture, without a dimension for more; ``doubts`` and
            ``decode`` see them with it.
    """

    name: str
    title: str
    look: Look
    claims: Callable[[Signature], str | None]
    n_classes: Callable[[Signature], int | None]
    doubts: Callable[[Outputs, Given], str | None]
    decode: Callable[[Outputs, Given], list[np.ndarray]]
    feeds: Callable[[Signature, np.ndarray, tuple[int, int]], Outputs] = no_feeds
    flat: bool = False
    look_of: Callable[[Signature], Look] | None = None
    of_picture: bool = False
    alone: bool = False


def unknown_classes(signature: Signature) -> None:
    """Returns None for the number of classes, which a list of boxes does not say."""
    return


def only_picture(signature: Signature) -> bool:
    """Returns whether a picture is all that the network takes."""
    return len(signature.inputs) == 1


def centred(boxes: np.ndarray) -> np.ndarray:
    """Returns boxes ``[n, 4]`` x, y, w, h of boxes given by their centre, width and height."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, 2:4]], axis=1)


def cornered(boxes: np.ndarray) -> np.ndarray:
    """Returns boxes ``[n, 4]`` x, y, w, h of boxes given by two corners."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], axis=1)


def cells_of_people(
    classes: np.ndarray, given: Given, objectness: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cells whose best class is the person, with a high enough score, and the scores.

    Args:
        classes: ``[n, classes]``.
        given: Class and lowest score.
        objectness: ``[n]``, a factor on the scores.
    """
    scores = classes[:, given.person_class]
    scores = scores if objectness is None else scores * objectness
    hit = np.flatnonzero(scores >= given.score)
    hit = hit[classes[hit].argmax(axis=1) == given.person_class]
    return hit, scores[hit]


def suppressed(boxes: np.ndarray, scores: np.ndarray, given: Given) -> np.ndarray:
    """Returns ``[n, 5]`` of boxes of people ``[m, 4]`` x, y, w, h, best first.

    Boxes of other classes suppress nothing.
    """
    boxes = np.concatenate([boxes, scores[:, None]], axis=1)
    return boxes[nms(boxes, boxes[:, 4], np.zeros(len(boxes)), given.nms)]


def listed(boxes: np.ndarray, scores: np.ndarray, given: Given) -> np.ndarray:
    """Returns ``[n, 5]`` of boxes ``[m, 4]`` that are suppressed already, best first."""
    hit = np.flatnonzero((scores >= given.score) & (scores > 0))
    hit = hit[np.argsort(-scores[hit], kind="stable")]
    return np.concatenate([boxes[hit], scores[hit, None]], axis=1)


def doubt_of_scores(scores: np.ndarray) -> str | None:
    """Returns what speaks against probabilities ``[..., classes]`` of all cells of a picture."""
    if scores.min() < -1e-3 or scores.max() > 1.001:
        kind = "like logits" if scores.min() < 0 and scores.max() < 100 else "no probabilities"
        return f"class scores of {scores.min():.3g} to {scores.max():.3g}, {kind}; expected 0 to 1"
    usual = float(np.median(scores.max(axis=-1)))
    if usual > 0.45:
        return (
            f"class scores of {usual:.3g} in most places, expected nearly 0 "
            f"(a sigmoid applied twice, or another quantity among them)"
        )
    return None


def doubt_of_pixels(boxes: np.ndarray, input_size: tuple[int, int]) -> str | None:
    """Returns what speaks against coordinates in pixels of the network's input."""
    largest = float(np.abs(boxes).max(initial=0))
    if largest <= 2:
        return f"boxes reach {largest:.3g}, like shares of the picture; expected pixels"
    if largest > 20 * max(input_size):
        return f"boxes reach {largest:.3g} pixels in an input of {input_size[1]}x{input_size[0]}"
    return None

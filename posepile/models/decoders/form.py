"""What every form of a detector's outputs consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from posepile.models.signature import Signature

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Look:
    """How pictures are shown to a network.

    Attributes:
        channels: Channel order the network wants.
        scale: Factor on 0..255, or ``max`` (divide by the image's maximum).
        mean: Subtracted after scaling, in the network's channel order.
        std: Divisor after that.
        resize: ``stretch``, or ``letterbox``: the same factor for both axes, at the top left, the
            rest filled with 114.
    """

    channels: Literal["bgr", "rgb"] = "rgb"
    scale: float | Literal["max"] = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Literal["letterbox", "stretch"] = "stretch"


@dataclass(frozen=True)
class Given:
    """What a decoder needs to know besides the outputs.

    Attributes:
        input_size: Height and width of the network's input.
        person_class: Index of the person among the classes.
        score: Lowest score of a detection.
        nms: IoU above which the weaker of two boxes is suppressed, where the form needs it.
    """

    input_size: tuple[int, int]
    person_class: int
    score: float
    nms: float


def no_feeds(signature: Signature, n_images: int, input_size: tuple[int, int]) -> Outputs:
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
        feeds: Values of the inputs besides the picture, by name.
    """

    name: str
    title: str
    look: Look
    claims: Callable[[Signature], str | None]
    n_classes: Callable[[Signature], int | None]
    doubts: Callable[[Outputs, Given], str | None]
    decode: Callable[[Outputs, Given], list[np.ndarray]]
    feeds: Callable[[Signature, int, tuple[int, int]], Outputs] = no_feeds


def only_picture(signature: Signature) -> bool:
    """Returns whether a picture is all that the network takes."""
    return len(signature.inputs) == 1


def centred(boxes: np.ndarray) -> np.ndarray:
    """Returns boxes ``[n, 4]`` x, y, w, h of boxes given by their centre, width and height."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, 2:4]], axis=1)


def cornered(boxes: np.ndarray) -> np.ndarray:
    """Returns boxes ``[n, 4]`` x, y, w, h of boxes given by two corners."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], axis=1)

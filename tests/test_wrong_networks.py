"""Networks offered as what they are not: refused with the reason, before a picture is processed.

One row of ``WRONG`` for each pairing: who offers what as what, and a part of what is said. A row
makes its file with :mod:`answering` (any arrays in any interface), or names another way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import answering
import numpy as np
import pytest

from posepile.errors import CorruptInput, UsageError
from posepile.models import DetectorFile, DetectParams, load_detector

COCO = {i: "person" if i == 0 else f"thing {i}" for i in range(80)}


@dataclass(frozen=True)
class Wrong:
    """A pairing that must be refused.

    Attributes:
        what: In words, the id of the test.
        make: Writes the network to a path.
        said: Regular expression, found in the message.
        settings: Of ``detect.model``.
    """

    what: str
    make: Callable[[Path], object]
    said: str
    settings: dict = field(default_factory=dict)


def of(outputs: Callable[[], dict[str, np.ndarray]], **more) -> Callable[[Path], object]:
    """Returns a maker of the network that answers ``outputs()``."""
    return lambda path: answering.network(path, outputs(), **more)


def yolox(classes: int = 80, decoded: bool = False) -> np.ndarray:
    """Returns what YOLOX says, ``[1, 84, 5 + classes]``."""
    cells = answering.cells()
    rng = np.random.default_rng(1)
    centre = rng.uniform(-0.3, 1.3, (len(cells), 2))
    size = rng.uniform(-0.5, 1.5, (len(cells), 2))
    if decoded:
        centre = cells[:, :2] + (centre - 0.5) * cells[:, 2:]
        size = np.exp(size) * cells[:, 2:]
    score = np.sqrt(answering.scores(len(cells), 1 + classes))
    return np.concatenate([centre, size, score], axis=1)[None].astype(np.float32)


WRONG = [
    Wrong(
        "person class beyond the classes",
        of(lambda: {"output": yolox()}),
        "person_class: 80, but it has 80 classes",
        {"person_class": 80},
    ),
    Wrong(
        "person class that the file's names contradict",
        of(lambda: {"output": yolox()}, metadata={"names": COCO}),
        "person_class: 17 is 'thing 17' in the file's own list of classes, and 'person' is 0",
        {"person_class": 17},
    ),
    Wrong(
        "a number of classes that nobody knows",
        of(lambda: {"output": yolox(17)}),
        "17 classes and no names; set person_class",
    ),
    Wrong(
        "names without a person",
        of(lambda: {"output": yolox(3)}, metadata={"names": {0: "cat", 1: "dog", 2: "cow"}}),
        "no class 'person' among the file's 3 classes",
    ),
    Wrong(
        "classification as detector",
        of(lambda: {"output": answering.scores(1, 1000)}),
        "not the interface of any known detector",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_it_is_refused_with_the_reason(wrong, tmp_path):
    path = tmp_path / "offered.onnx"
    wrong.make(path)
    with pytest.raises((UsageError, CorruptInput), match=wrong.said) as refusal:
        load_detector(DetectParams(model=DetectorFile(path=str(path), **wrong.settings)))
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)

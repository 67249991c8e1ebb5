"""What libraries' own post-processing says of the networks below ``tests/networks``."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from networks.pictures import squares_and_ramps

from posepile.models import DetectorFile, DetectParams, load_detector
from posepile.models.boxes import iou_matrix

NETWORKS = Path(__file__).parent / "networks"
_KEYS = ("pixels", "scores", "labels", "boxes")


def load(path, score=0.0, **settings):
    """Returns the detector of a file; nothing of it is stated but what ``settings`` say."""
    model = DetectorFile(path=str(path), **settings)
    return load_detector(DetectParams(model=model, score=score))


def answers(name: str) -> list[dict[str, np.ndarray]]:
    """Returns for each picture what the library sees (some pixels) and finds.

    Keys: ``picture`` uint8 RGB, ``pixels`` every eighth of the network's input ``[3, h, w]``,
    ``scores``, ``labels``, ``boxes`` (corners in pixels of the picture).
    """
    stored = np.load(NETWORKS / f"{name}.npz")
    sizes = [tuple(stored[f"size_{i}"].tolist()) for i in range(2)]
    return [
        {"picture": picture, **{k: stored[f"{k}_{i}"] for k in _KEYS}}
        for i, picture in enumerate(squares_and_ramps(*sizes))
    ]


def of_class(found: dict[str, np.ndarray], label: int) -> np.ndarray:
    """Returns ``[n, 5]`` x, y, w, h, score of one class, cut to the picture, best first."""
    size = found["picture"].shape[1::-1]
    mine = found["labels"] == label
    corners, scores = found["boxes"][mine].astype(float), found["scores"][mine]
    low, high = np.clip(corners[:, :2], 0, size), np.clip(corners[:, 2:], 0, size)
    rows = np.concatenate([low, high - low, scores[:, None]], axis=1)
    rows = rows[((high - low) > 0).all(axis=1)]
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def assert_same_boxes(detector, found: dict[str, np.ndarray], least=0.0, classes=5) -> int:
    """Asserts that the boxes of the commonest classes are the library's; returns their number.

    Args:
        detector: Ours.
        found: One of :func:`answers`.
        least: Lowest score that is compared.
        classes: How many classes, one after the other taken for the person.
    """
    labels, counts = np.unique(found["labels"], return_counts=True)
    compared = 0
    for label in labels[np.argsort(-counts, kind="stable")][:classes].tolist():
        detector.given = replace(detector.given, person_class=label)
        (mine,) = detector([found["picture"]])
        theirs = of_class(found, label)
        mine, theirs = (rows[rows[:, 4] > least + 1e-3] for rows in (mine, theirs))
        assert len(mine) == len(theirs), (mine, theirs)
        for row in theirs:
            near = np.abs(mine - row).max(axis=1, initial=0)
            best = mine[int(np.argmin(near))]
            assert np.abs(best[:4] - row[:4]).max() <= 1, (mine, row)
            assert np.abs(best[4] - row[4]) <= 1e-3
            if row[2:4].min() > 2:
                assert iou_matrix(best[None], row[None])[0, 0] >= 0.99
        compared += len(theirs)
    return compared


def assert_same_pixels(detector, found: dict[str, np.ndarray], grey_levels=2.0) -> None:
    """Asserts that a picture is shown to the network as the library shows it."""
    network = detector.network
    (mine,) = network.preprocess([found["picture"]])
    if network.layout == "nhwc":
        mine = mine.transpose(2, 0, 1)
    one = network.scale / network.std.reshape(-1, 1, 1)  # grey level
    assert np.abs((mine[:, ::8, ::8] - found["pixels"]) / one).max() <= grey_levels

"""Agreement of 2D key points: OKS, and average precision by COCO's own program."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Spread of what people click, by joint of COCO's 17, as a share of the person's size.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
# Those of COCO-WholeBody by part, in the order of its 133 joints.
_FACE = (
    *(42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45),  # contour
    *(13, 12, 11, 11, 12, 12, 11, 11, 13, 15),  # brows
    *(9, 7, 7, 7, 12, 9, 8, 16, 10),  # nose
    *(17, 11, 9, 11, 9, 7, 13, 8, 11, 12, 10, 34),  # eyes
    *(8, 8, 9, 8, 8, 7, 10, 8, 9, 9, 9, 7, 7, 8, 11, 8, 8, 8, 10, 8),  # mouth
)
_HAND = (29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31)
_HAND_SIGMAS = tuple(thousandths / 1000 for thousandths in _HAND)
WHOLEBODY_SIGMAS = {
    "body": COCO_SIGMAS,
    "foot": (0.068, 0.066, 0.066, 0.092, 0.094, 0.094),
    "face": tuple(thousandths / 1000 for thousandths in _FACE),
    "lefthand": _HAND_SIGMAS,
    "righthand": _HAND_SIGMAS,
}
# In the order in which COCO's program gives them.
COCO_FIGURES = (
    *("AP", "AP50", "AP75", "AP-medium", "AP-large"),
    *("AR", "AR50", "AR75", "AR-medium", "AR-large"),
)


def oks(
    pred: np.ndarray,
    true: np.ndarray,
    area: np.ndarray,
    labelled: np.ndarray | None = None,
    *,
    sigmas: Sequence[float] = COCO_SIGMAS,
) -> np.ndarray:
    """Returns the object keypoint similarity (0..1) of each pair of people: ``[...]``.

    Mean over labelled joints of ``exp(-d**2 / (2 * area * (2 * sigma)**2))``. A joint without
    prediction has similarity 0. A person without labelled joints gets NaN; COCO's program
    compares its predictions with the doubled box instead (:func:`oks_beside_box`).

    >>> true = np.random.default_rng(0).uniform(0, 100, (17, 2))
    >>> float(oks(true, true, 5000)), round(float(oks(true + 5, true, 5000)), 2)
    (1.0, 0.65)

    Args:
        pred: ``[..., J, 2]`` in pixels.
        true: ``[..., J, 2]``; joints with NaN do not count.
        area: Of the person's segment, square pixels ``[...]``.
        labelled: bool ``[..., J]``, None = all.
        sigmas: ``[J]``.
    """
    pred, true = np.asarray(pred, np.float64), np.asarray(true, np.float64)
    counted = np.isfinite(true).all(axis=-1) & np.ones(pred.shape[:-1], bool)
    if labelled is not None:
        counted &= np.asarray(labelled, bool)
    with np.errstate(invalid="ignore"):
        square = np.square(pred - true).sum(axis=-1)
    square = np.where(np.isnan(square), np.inf, square)
    similarity = _similarity(square, np.asarray(area, np.float64), sigmas)
    n = counted.sum(axis=-1)
    total = np.where(counted, similarity, 0.0).sum(axis=-1)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def oks_beside_box(
    pred: np.ndarray,
    bbox: np.ndarray,
    area: np.ndarray,
    *,
    sigmas: Sequence[float] = COCO_SIGMAS,
) -> np.ndarray:
    """Returns the similarity (0..1) with a person without labelled joints: ``[...]``.

    1 for joints inside the box enlarged threefold, less by their distance from it.

    Args:
        pred: ``[..., J, 2]`` in pixels.
        bbox: Left, top, width, height ``[..., 4]``.
        area: As in :func:`oks`.
        sigmas: As there.
    """
    pred, bbox = np.asarray(pred, np.float64), np.asarray(bbox, np.float64)
    low = (bbox[..., :2] - bbox[..., 2:])[..., None, :]
    high = (bbox[..., :2] + 2 * bbox[..., 2:])[..., None, :]
    outside = np.maximum(low - pred, 0) + np.maximum(pred - high, 0)
    square = np.square(np.where(np.isnan(outside), np.inf, outside)).sum(axis=-1)
    return _similarity(square, np.asarray(area, np.float64), sigmas).mean(axis=-1)


def keypoint_ap(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """Returns the ten numbers of COCO's keypoint evaluation (0..1), by pycocotools itself.

    >>> points = [x for k in range(17) for x in (10.0 + k, 20.0 + 2 * k, 2)]
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": points}
    >>> person |= {"bbox": [5, 15, 60, 60], "area": 3600, "iscrowd": 0, "num_keypoints": 17}
    >>> category = {"id": 1, "name": "person", "keypoints": ["k"] * 17, "skeleton": []}
    >>> truth = {"images": [{"id": 1}], "annotations": [person], "categories": [category]}
    >>> found = {"image_id": 1, "category_id": 1, "keypoints": points, "score": 0.9}
    >>> round(keypoint_ap(truth, [found])["AP"], 3)
    1.0

    Args:
        truth: Content of an annotation file.
        results: Content of a results file: ``image_id``, ``category_id``, ``keypoints``, ``score``
            of each detection. Images without any are misses.
        sigmas: One per joint, for other joints than COCO's 17.

    Returns:
        Figure (``COCO_FIGURES``) -> value; -1 as there, where there is nobody of that size.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        labels, found = COCO(), COCO()
        # pycocotools writes into both.
        labels.dataset = copy.deepcopy({"info": {}, **truth})
        labels.createIndex()
        if results:
            found = labels.loadRes(copy.deepcopy([dict(r) for r in results]))
        else:
            parts = {name: labels.dataset[name] for name in ("images", "categories")}
            found.dataset = {"info": {}, **parts, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(labels, found, "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_FIGURES, map(float, evaluation.stats), strict=True))


def _similarity(square: np.ndarray, area: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    variance = (2 * np.asarray(sigmas, np.float64)) ** 2
    # The term against 0 / 0, and the order of divisions, are those of COCO's program.
    return np.exp(-(square / variance / (area[..., None] + np.spacing(1)) / 2))

"""Annotated places in the picture: against the camera, and against what a face looks like."""

from __future__ import annotations

import numpy as np

from posepile.suspects.batches import Batch
from posepile.suspects.collecting import MOST, Collector
from posepile.suspects.outlines import features

_OFF = 0.1  # of the size of the person
_FEW = 5
_FACE = 0.15  # of the distance between the eyes, squared: a face seen from the side says nothing
_WIDE = 0.35  # of the length of the trunk


def places(batch: Batch, out: Collector) -> None:
    """Finds annotated places that are not those of a body, or not where the camera sees it."""
    if batch.annotated is not None:
        _reprojected(batch, out)
    if not np.isfinite(batch.world).any():
        _faces(batch, out)
        _crossed(batch, out)


def _reprojected(batch: Batch, out: Collector) -> None:
    seen = batch.project(batch.world)
    off = np.linalg.norm(batch.annotated - seen, axis=-1)
    known = np.isfinite(off)
    own = features(batch.annotated)
    size = np.hypot(own[:, 2] - own[:, 0], own[:, 3] - own[:, 1])
    rows = np.flatnonzero((known.sum(axis=1) >= _FEW) & (size > 0))
    if not len(rows):
        return
    filled = np.where(known, off, np.nan)[rows]
    share = np.nanmedian(filled, axis=1) / size[rows]
    limit = max(_OFF, 6 * float(np.median(share)))  # not all are annotated well
    bad = share > limit
    out.add(
        "reprojection", batch.positions[rows[bad]], share[bad] / limit, 100 * share[bad],
        "by {:.0f} % of the person's size in the median of the joints",
    )  # fmt: skip


def _faces(batch: Batch, out: Collector) -> None:
    at, points = batch.body.at, batch.pixels.astype(np.float64)
    left, right, nose = (at(points, name) for name in ("leye", "reye", "nose"))
    across, down = left - right, nose - (left + right) / 2
    area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = -area / (across**2).sum(axis=1)
        wide = np.hypot(*across.T) > 6
        bad = np.flatnonzero((share > _FACE) & wide)
    out.add(
        "swapped_sides", batch.positions[bad], np.minimum(MOST, share[bad] / _FACE), share[bad],
        "the left eye is where the right one belongs (by {:.2f} of the distance of the eyes)",
    )  # fmt: skip


def _crossed(batch: Batch, out: Collector) -> None:
    at, points = batch.body.at, batch.pixels.astype(np.float64)
    hips, shoulders = (at(points, "l" + j) - at(points, "r" + j) for j in ("hip", "sho"))
    trunk = (at(points, "lsho") + at(points, "rsho") - at(points, "lhip") - at(points, "rhip")) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.hypot(*trunk.T)
        broad, wide = np.hypot(*shoulders.T) / length, np.hypot(*hips.T) / length
        cosine = (hips * shoulders).sum(axis=1) / (length**2 * broad * wide)
        least = np.minimum(broad, wide)
        bad = np.flatnonzero((cosine < -0.7) & (least > _WIDE))
    out.add(
        "swapped_sides", batch.positions[bad], np.minimum(MOST, least[bad] / _WIDE), least[bad],
        "left and right are other ways round in hips and shoulders ({:.2f} of the trunk apart)",
    )  # fmt: skip

"""Joints against what was seen in the picture: the mask of the person, or the box without one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posepile.suspects.batches import Batch
from posepile.suspects.collecting import Collector

LEAST = 20  # examples of a sequence that are enough to judge all of it
_FEW = 6  # joints in the picture that are enough for a verdict
_FAR = 0.08  # of the size of the person: farther outside is not the thickness of clothes
_OUTSIDE_MASK = 0.34  # share of the joints
_OUTSIDE_BOX = 0.25
_BORDER = 0.25  # share of the picture's border that a mask may touch
_MIRRORED = 0.05  # by how much more joints are in the mask's mirror image
_MIRRORED_ONE = 0.4  # in one picture
STEP = 0.015  # of the size of the person, in which shifts are tried
_CERTAIN = 5.0  # standard errors
_SOON = 12  # frames over which a velocity is known
_OFF = 0.5  # frames


@dataclass
class Outlines:
    """What was measured of the outline of each person in a batch.

    Attributes:
        edges: ``[n, 6]`` left, top, right, bottom, mean x and y of the mask, or of the box.
        own: The same of the joints.
        sizes: ``[n]`` pixels: the diagonal of the joints' frame.
        usable: Which examples have enough joints and an outline.
        by_mask: Which have a mask.
        shown: ``[n]`` how many inner joints are in the picture.
        fits: ``[n, 2]`` share of these inside the mask, and its mirror image.
        shifts: ``[n, k, k]`` how many are inside if they are moved.
        border: ``[n]`` share of the picture's border that the mask touches.
        outside: ``[n, j]`` by how many pixels inner joints are outside the mask.
    """

    edges: np.ndarray
    own: np.ndarray
    sizes: np.ndarray
    usable: np.ndarray
    by_mask: np.ndarray
    shown: np.ndarray
    fits: np.ndarray
    shifts: np.ndarray
    border: np.ndarray
    outside: np.ndarray


def outlines(batch: Batch) -> Outlines:
    """Measures the outlines of a batch."""
    points = np.ascontiguousarray(batch.pixels[:, batch.body.inner], np.float32)
    own = features(points)
    points = _shown(batch, points)
    sizes = np.hypot(own[:, 2] - own[:, 0], own[:, 3] - own[:, 1])
    known = np.isfinite(points).all(axis=2).sum(axis=1)
    n, n_joints = points.shape[:2]
    facts, outside = np.zeros((n, 10), np.float32), np.zeros((n, n_joints), np.float32)
    fits, shifts = np.zeros((n, 2), np.float32), np.zeros((n, 0, 0), np.int32)
    by_mask = np.zeros(n, bool)
    if (batch.mask_ends[:, 1] > batch.mask_ends[:, 0]).any():
        from posepile.suspects.kernels import REACH, look_at_masks

        shifts = np.zeros((n, 2 * REACH + 1, 2 * REACH + 1), np.int32)
        steps = np.nan_to_num(STEP * sizes).astype(np.float32)
        look_at_masks(
            batch.masks, batch.mask_ends, batch.sizes, points, steps, facts, outside, fits, shifts
        )
        by_mask = (facts[:, 9] > 0) & (facts[:, 8] >= _FEW)
    x, y, w, h = batch.boxes.T
    edges = np.stack([x, y, x + w, y + h, x + w / 2, y + h / 2], axis=1).astype(np.float64)
    edges[by_mask] = facts[by_mask, :6]
    own[~by_mask, 4:] = (own[~by_mask, :2] + own[~by_mask, 2:4]) / 2
    # What is partly outside the picture has its edges elsewhere.
    inside = ((own[:, :2] > batch.valid[:, :2]) & (own[:, 2:4] < batch.valid[:, 2:])).all(axis=1)
    usable = (known >= _FEW) & np.isfinite(edges).all(axis=1) & inside & (sizes > 10)
    return Outlines(
        edges, own, sizes, usable, by_mask, known, fits, shifts, facts[:, 7], outside
    )  # fmt: skip


def _shown(batch: Batch, points: np.ndarray) -> np.ndarray:
    """Returns points ``[n, j, 2]`` with NaN for what the source picture does not show."""
    with np.errstate(invalid="ignore"):
        low, high = batch.valid[:, None, :2], batch.valid[:, None, 2:]
        seen = ((points >= low) & (points < high)).all(axis=2, keepdims=True)
    return np.where(seen, points, np.float32(np.nan))


def features(points: np.ndarray) -> np.ndarray:
    """Returns left, top, right, bottom and the mean of points, ``[n, 6]``; NaN without any."""
    known = np.isfinite(points).all(axis=2, keepdims=True)
    if not points.shape[1]:
        return np.full((len(points), 6), np.nan)
    low = np.where(known, points, np.inf).min(axis=1)
    high = np.where(known, points, -np.inf).max(axis=1)
    n = known.sum(axis=1)
    mean = np.where(known, points, 0).sum(axis=1, dtype=np.float64) / np.where(n > 0, n, np.nan)
    found = np.concatenate([low, high, mean], axis=1).astype(np.float64)
    found[n[:, 0] == 0] = np.nan
    return found


def examples(batch: Batch, seen: Outlines, out: Collector) -> None:
    """Finds examples whose joints are not where the person was seen."""
    points = _shown(batch, batch.pixels[:, batch.body.inner])
    known = np.isfinite(points).all(axis=2).sum(axis=1)
    share = (seen.outside > _FAR * seen.sizes[:, None]).sum(axis=1) / np.maximum(1, known)
    bad = np.flatnonzero(seen.by_mask & (share > _OUTSIDE_MASK))
    text = "{:.0f} % of the joints are clearly outside"
    score = share[bad] / _OUTSIDE_MASK
    out.add("outside_mask", batch.positions[bad], score, 100 * share[bad], text)
    bad = np.flatnonzero(seen.by_mask & (seen.border > _BORDER))
    score, value = seen.border[bad] / _BORDER, 100 * seen.border[bad]
    out.add("cut_mask", batch.positions[bad], score, value, "it touches {:.0f} % of the border")
    better = seen.fits[:, 1] - seen.fits[:, 0]
    bad = np.flatnonzero(seen.by_mask & (better > _MIRRORED_ONE) & (seen.fits[:, 1] > 0.9))
    out.add(
        "mirrored_image", batch.positions[bad], better[bad] / _MIRRORED_ONE, 100 * better[bad],
        "{:.0f} % more of the joints are in the mirror image of the mask than in the mask",
    )  # fmt: skip
    for kind in ("outside_mask", "outside_box"):  # which follows from it
        out.drop(kind, batch.positions[bad])
    x, y, w, h = batch.boxes.T[..., None]
    with np.errstate(invalid="ignore"):
        far = np.maximum(
            np.maximum(x - points[..., 0], points[..., 0] - x - w),
            np.maximum(y - points[..., 1], points[..., 1] - y - h),
        )
        wrong = far > 0.1 * np.hypot(w, h)
    share = wrong.sum(axis=1) / np.maximum(1, known)
    bad = np.flatnonzero((known >= _FEW) & (share > _OUTSIDE_BOX))
    score = share[bad] / _OUTSIDE_BOX
    out.add("outside_box", batch.positions[bad], score, 100 * share[bad], text)


def mirrored(batch: Batch, run: slice, seen: Outlines, out: Collector) -> bool:
    """Finds out whether joints fit the mirror image of a sequence's masks better."""
    use = seen.by_mask[run] & seen.usable[run]
    if use.sum() < LEAST:
        return False
    better = (seen.fits[run, 1] - seen.fits[run, 0]).astype(np.float64)
    mean, error = better[use].mean(), better[use].std() / np.sqrt(use.sum())
    if mean < _MIRRORED or mean < _CERTAIN * error:
        return False
    # Whoever stands in the middle is where the mirror image is: a shift may explain more.
    if (
        seen.shifts[run][use].sum(axis=0).max()
        > (seen.fits * seen.shown[:, None])[run][use, 1].sum()
    ):
        return False
    out.add_run(
        "mirrored_image", batch.positions[run], mean / _MIRRORED, 100 * mean,
        "{:.0f} % more of the joints are in the mirror images of the sequence's masks",
        np.where(use, better, -1),
    )  # fmt: skip
    return True


def off_by_frames(batch: Batch, run: slice, seen: Outlines, out: Collector) -> None:
    """Finds out whether the outline moves ahead of, or behind, the joints of a sequence.

    What the outline differs by from the joints is compared with how fast these move in the
    picture. A person who goes to the left also looks there, and nose and feet lie ahead of the
    joints; that part is told apart by where the body faces.
    """
    frames = batch.frames[run].astype(np.float64)
    n = len(frames)
    if n < 2 * LEAST or not np.isfinite(batch.cameras[run]).all(axis=1).any():
        return
    before, after = np.maximum(np.arange(n) - 1, 0), np.minimum(np.arange(n) + 1, n - 1)
    gap = frames[after] - frames[before]
    inner = batch.body.inner
    world = batch.world[run][:, inner]
    then = [features(batch.project(world[k], run)) for k in (before, after)]
    now = features(batch.project(world, run))
    with np.errstate(invalid="ignore", divide="ignore"):
        speed = (then[1] - then[0]) / gap[:, None]
    facing = _facing(batch, run)
    residual = seen.edges[run] - seen.own[run]
    if not seen.by_mask[run].all():  # the middle of a box is no middle of joints
        for array in (speed, now):
            array[:, 4:] = (array[:, :2] + array[:, 2:4]) / 2
    size = np.where(seen.usable[run], seen.sizes[run], np.nan)[:, None]
    speed, residual = speed / size, residual / size
    by_mask = seen.by_mask[run]
    use = (gap > 0) & (gap <= _SOON) & seen.usable[run] & (by_mask == by_mask[0])
    use &= np.isfinite(speed).all(axis=1) & np.isfinite(residual).all(axis=1)
    if use.sum() < 2 * LEAST:
        return
    columns = np.concatenate([np.ones((n, 1)), facing, now[:, 2:4] - now[:, :2]], axis=1)[use]
    columns[:, 3:] /= size[use]
    speed, residual = (_without(columns, values[use]) for values in (speed, residual))
    # Outlines with other people or furniture in them say nothing.
    limit = 4 * 1.4826 * np.median(np.abs(residual), axis=0) + 1e-9
    weight = (np.abs(residual) < limit) / limit**2
    total = (weight * speed**2).sum()
    if total <= 0:
        return
    frames_off = -(weight * speed * residual).sum() / total
    # Errors of neighbours are alike: each block of frames is one witness.
    blocks = np.arange(use.sum()) * 20 // use.sum()
    left = weight * speed * (residual + frames_off * speed)
    error = np.sqrt((np.bincount(blocks, left.sum(axis=1)) ** 2).sum()) / total
    score = min(abs(frames_off) / _OFF, abs(frames_off) / max(error, 1e-9) / _CERTAIN)
    if score > 1:
        way = "later" if frames_off > 0 else "earlier"
        visible = np.zeros(n)
        visible[use] = np.abs(speed).max(axis=1)
        out.add_run(
            "off_by_frames", batch.positions[run], score, abs(frames_off),
            f"joints are those of about {{:.1f}} frames {way} than what the pictures show",
            visible,
        )  # fmt: skip


def _facing(batch: Batch, run: slice) -> np.ndarray:
    """Returns which way bodies face in the picture, ``[n, 2]`` of unit vectors; 0 = unknown."""
    at, world = batch.body.at, batch.world[run]
    left = at(world, "lsho") - at(world, "rsho") + at(world, "lhip") - at(world, "rhip")
    up = at(world, "lsho") + at(world, "rsho") - at(world, "lhip") - at(world, "rhip")
    ahead = np.cross(left, up).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    rotation = batch.cameras[run, :9].reshape(-1, 3, 3).astype(np.float64)
    return np.nan_to_num(np.einsum("nab,nb->na", rotation, ahead))[:, :2]


def _without(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns what of values is no linear combination of columns."""
    return values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]

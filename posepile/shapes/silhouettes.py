"""Checks of people's masks against their joints: labels of another view, release or frame."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.geometry.agreement import better_shift, in_silhouette
from posepile.geometry.pictures import inside, project
from posepile.recipe import Track

if TYPE_CHECKING:
    from posepile.shapes.multiview import Cameras

FAR = 0.25  # of the longer side of the joints' box: further outside of it are no parts of a person


def joints_outside_mask(
    where: str | os.PathLike,
    track: Track | list[Track],
    camera: Cameras,
    limit: float,
    *,
    joints: slice = slice(None),
    hint: str | None = None,
) -> float:
    """Returns the share of joints that project outside the person's masks.

    Of each third of a person's frames, the first that has a mask and a joint is looked at. Without
    2D labels to compare with, it tells cameras of another view and labels of another release. Who
    is never visible says nothing, unless that is everybody.

    >>> from posepile.geometry.cameras import make_camera
    >>> from posepile.recipe import Track
    >>> camera = make_camera("left", focal=100, size=(64, 48))
    >>> mask = rlemasklib.encode(np.ones((48, 64), np.uint8))
    >>> joints = np.float32([[[0, 0, 900], [5000, 0, 900]]])
    >>> person = Track(np.arange(1), world_coords=joints, mask=lambda k: mask)
    >>> joints_outside_mask("left.mp4", person, camera, limit=0.6)
    0.5

    Args:
        where: File or folder of the masks, for the message.
        track: Has ``world_coords`` and ``mask``; or those of several people. A mask that cannot be
            read is passed over: that is said when its frame is selected.
        camera: As of :func:`view_sequence`.
        limit: Largest share allowed.
        joints: Which ones count, e.g. those of the body without fingers.
        hint: What the user can do about it.

    Raises:
        CorruptInput: The share is larger.
    """
    shares, n_large, hidden = [], 0, False
    people = track if isinstance(track, list) else [track]
    parts = [(t, rows) for t in people for rows in np.array_split(np.arange(len(t.frames)), 3)]
    for person, rows in parts:
        for k in rows.tolist():
            try:
                found = person.mask(k)
            except CorruptInput:
                continue
            now = camera(int(person.frames[k])) if callable(camera) else camera
            known = np.isfinite(person.world_coords[k][joints]).all(axis=-1).sum()
            if found is None or now is None or not known:
                continue
            size = tuple(found["size"][::-1])
            points = project(now, person.world_coords[k][joints])
            seen = points[inside(points, size)]
            if not rlemasklib.area(found):
                hidden |= len(seen) > known / 2
                continue
            mask = rlemasklib.decode(found)
            large = _is_far_larger(mask, points)
            n_large += large
            n_in = 0 if large else in_silhouette(seen, size, mask, margin=0).sum()
            shares.append(1 - n_in / known)
            break
    share = float(np.mean(shares)) if shares else float(hidden)
    if share > limit:
        why = "camera, poses and masks do not belong together, as with another view's camera"
        why = "masks are much larger than the people" if n_large else why
        why = why if shares else "all masks are empty"
        text = f"{share:.0%} of the joints project outside the mask; expected at most {limit:.0%}"
        raise CorruptInput(where, f"{text}: {why}", hint=hint)
    return share


def joints_outside_masks(
    where: str | os.PathLike,
    track: Track,
    views: Mapping[Any, tuple[Cameras, Callable[[int], dict | None]]],
    own: Any,
    limits: tuple[float, float],
    *,
    groups: Iterable[slice] = (slice(None),),
) -> dict[str, float]:
    """Returns the shares of joints outside the masks: in one view, and in half of all views.

    Things hide much of a person from one view, seldom from half of them: so the limit of these can
    be lower, and tells cameras, masks or poses of two views that were exchanged.

    >>> from posepile.geometry.cameras import make_camera
    >>> from posepile.recipe import Track
    >>> camera = make_camera("left", focal=100, size=(64, 48))
    >>> mask = rlemasklib.encode(np.ones((48, 64), np.uint8))
    >>> person = Track(np.arange(1), world_coords=np.float32([[[0, 0, 900], [5000, 0, 900]]]))
    >>> views = {name: (camera, lambda k: mask) for name in ("left", "right")}
    >>> joints_outside_masks("walk", person, views, "left", (0.6, 0.5))
    {'outside_mask': 0.5, 'outside_half': 0.5}

    Args:
        where: Folder of the masks, for the message.
        track: Has ``world_coords``, which are those of all views.
        views: Of each view that has masks: camera, and masks as of
            :class:`posepile.recipe.Track`.
        own: The view that is judged by itself; it may have no masks.
        limits: Largest share allowed in that view, and in half of the views: what the worse half
            has at least.
        groups: Groups of joints, of which the worst one counts.

    Raises:
        CorruptInput: A share is larger.
    """
    shares, parts = {own: 0.0}, list(groups)
    for view, (camera, mask) in views.items():
        seen, limit = dataclasses.replace(track, mask=mask), limits[0] if view == own else 1.0
        found = (joints_outside_mask(where, seen, camera, limit, joints=part) for part in parts)
        shares[view] = max(found)
    half = sorted(shares[view] for view in views)[len(views) // 2] if views else 0.0
    if half > limits[1]:
        raise CorruptInput(
            where,
            f"in half of {len(views)} views {half:.0%} or more of the joints project outside the "
            f"mask; expected at most {limits[1]:.0%}: cameras, masks or poses are others",
        )
    return {"outside_mask": shares[own], "outside_half": half}


def check_same_frames(
    where: str | os.PathLike, track: Track, camera: Cameras, *, hint: str | None = None
) -> None:
    """Makes sure that masks move like the joints of their frame, not of one that is near.

    A frame later, most joints still lie in the mask. Compared is how the corners of the boxes
    around the mask and around the joints move, in the first hundred frames; with fewer than some
    fifty nothing is concluded.

    >>> from posepile.geometry.cameras import make_camera
    >>> from posepile.recipe import Track
    >>> camera = make_camera("left", focal=100, size=(64, 48))
    >>> mask = rlemasklib.encode(np.ones((48, 64), np.uint8))
    >>> person = Track(np.arange(9), world_coords=np.ones((9, 17, 3)), mask=lambda k: mask)
    >>> check_same_frames("left.mp4", person, camera)

    Args:
        where: File or folder of the masks, for the message.
        track: Has ``world_coords`` and ``mask``, of frames that follow each other.
        camera: As of :func:`view_sequence`.
        hint: What the user can do about it.

    Raises:
        CorruptInput: Masks move like the joints one or two frames before or later.
    """
    n = min(len(track.frames), 100)
    outlines, bodies = np.full((2, n, 2, 2), np.nan)
    for k in range(n):
        now = camera(int(track.frames[k])) if callable(camera) else camera
        known = np.isfinite(track.world_coords[k]).all(axis=-1)
        try:
            mask = track.mask(k)
        except CorruptInput:
            continue
        if mask is not None and now is not None and rlemasklib.area(mask) and known.any():
            x, y, width, height = rlemasklib.to_bbox(mask)
            outlines[k] = (x, y), (x + width, y + height)
            points = project(now, track.world_coords[k][known])
            bodies[k] = points.min(axis=0), points.max(axis=0)
    if shift := better_shift(outlines, bodies):
        text = f"masks move like the joints {abs(shift)} frame(s) "
        text += f"{'later' if shift > 0 else 'before'}; expected those of the same frame"
        raise CorruptInput(where, text, hint=hint)


def _is_far_larger(mask: np.ndarray, points: np.ndarray) -> bool:
    """Whether most of a mask is far outside the box of joints, if half of the joints are known."""
    known = points[np.isfinite(points).all(axis=-1)]
    if len(known) < max(2, len(points) / 2):
        return False
    low, high = known.min(axis=0), known.max(axis=0)
    margin = FAR * (high - low).max()
    size = mask.shape[1::-1]
    left, top = np.clip(low - margin, 0, size).astype(int)
    right, bottom = np.clip(high + margin + 1, 0, size).astype(int)
    return bool(2 * mask[top:bottom, left:right].sum() < mask.sum())

"""Points in pictures: projections, the box of joints, inside or not.

Pixel centres lie at integers, so a picture of width w reaches from -0.5 to w - 0.5.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import rlemasklib

from posepile.errors import CorruptInput

if TYPE_CHECKING:
    import deltacamera


def project(
    camera: deltacamera.Camera, points: np.ndarray, max_angle: float | None = None
) -> np.ndarray:
    """Returns points in pixels, NaN where missing, behind the camera or beyond the lens.

    Computed by the camera itself in float32, like everywhere else where the pixels of a point are
    asked for: half a thousandth of a pixel.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("a.json", intrinsics=[[900, 0, 500], [0, 900, 400], [0, 0, 1]])
    >>> project(camera, [[0, 0, 1000], [0, 0, -1000]]).round(3).tolist()
    [[500.0, 400.0], [nan, nan]]

    Args:
        camera: The camera.
        points: ``[..., 3]`` millimetres.
        max_angle: Degrees from the axis up to which the lens is known; beyond, points are NaN.

    Returns:
        float64 ``[..., 2]``.
    """
    points = np.asarray(points)
    with warnings.catch_warnings():  # NaN is a missing point, infinite what is too large
        warnings.simplefilter("ignore", RuntimeWarning)
        flat = points.reshape(-1, 3).astype(np.float32)
        pixels = np.array(camera.world_to_image(flat), np.float64)
        if max_angle is not None:
            x, y, z = camera.world_to_camera(flat).T
            pixels[~(np.arctan2(np.hypot(x, y), z) <= np.radians(max_angle))] = np.nan
    return pixels.reshape(*points.shape[:-1], 2)


def project_frames(
    camera: deltacamera.Camera | Callable[[int], deltacamera.Camera | None],
    frames: Iterable[int],
    points: np.ndarray,
) -> np.ndarray:
    """Returns points ``[n, J, 3]`` of n frames in pixels, by a camera that may move.

    >>> from posepile.geometry.cameras import moving_cameras
    >>> cameras = moving_cameras("a.pkl", [4], world_to_camera=[np.eye(4)], intrinsics=np.eye(3))
    >>> project_frames(cameras, [3, 4], np.ones((2, 1, 3))).tolist()
    [[[nan, nan]], [[1.0, 1.0]]]

    Args:
        camera: The camera, or frame -> camera.
        frames: Number of each frame.
        points: Millimetres.

    Returns:
        float64 ``[n, J, 2]``; NaN also where there is no camera.
    """
    if not callable(camera):
        return project(camera, points)
    pixels = np.full((*np.shape(points)[:-1], 2), np.nan)
    for k, frame in enumerate(frames):
        now = camera(int(frame))
        if now is not None:
            pixels[k] = project(now, points[k])
    return pixels


def inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns which points ``[..., 2]`` lie in a picture of that width and height; NaN do not.

    >>> inside([[-0.5, 0], [99.6, 0]], (100, 80)).tolist()
    [True, False]
    """
    points = np.asarray(points)
    return ((points >= -0.5) & (points <= np.array(size) - 0.5)).all(axis=-1)


def check_inside(
    where: str | os.PathLike,
    camera: deltacamera.Camera,
    points: np.ndarray,
    size: tuple[int, int],
    limit: float,
    *,
    hint: str | None = None,
) -> float:
    """Returns the share of points that project outside the picture, in some ten frames.

    Where nothing in the picture is labelled, it tells cameras of another session or convention.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("left", focal=100, size=(64, 48))
    >>> check_inside("left", camera, np.array([[[0, 0, 900], [5e3, 0, 900]]]), (64, 48), limit=0.6)
    0.5

    Args:
        where: File of the camera, for the message.
        camera: A static one.
        points: ``[n, ..., 3]`` millimetres; those with a NaN do not count.
        size: Width and height of the picture.
        limit: Largest share allowed.
        hint: What the user can do about it.

    Raises:
        CorruptInput: The share is larger.
    """
    some = np.asarray(points)[:: 1 + len(points) // 10]
    known = np.isfinite(some).all(axis=-1)
    share = 1 - inside(project(camera, some[known]), size).sum() / max(known.sum(), 1)
    if known.any() and share > limit:
        found = f"{share:.0%} of the joints project outside the picture; expected at most "
        raise CorruptInput(where, f"{found}{limit:.0%}", hint=hint)
    return float(share) if known.any() else 0.0


def box_of_points(
    points: np.ndarray, size: tuple[int, int] | None = None, expand: float = 1.0
) -> np.ndarray:
    """Returns the box of a person's joints: around them, expanded, then clipped to the picture.

    >>> box_of_points([[10, 20], [30, 60], [np.nan, np.nan]], (100, 60), expand=1.5).tolist()
    [5.0, 10.0, 30.0, 49.5]

    Args:
        points: ``[..., J, 2]`` pixels; those that are not finite do not count.
        size: Width and height of the picture; None = not clipped.
        expand: Factor on width and height about the centre.

    Returns:
        float32 ``[..., 4]`` x, y, width, height. NaN where there is no box: no point, all of them
        in one row or column, or the box is outside the picture.
    """
    with np.errstate(over="ignore"):  # infinite, so that it does not count
        points = np.asarray(points, np.float32)
    missing = ~np.isfinite(points).all(axis=-1, keepdims=True)
    low = np.where(missing, np.float32(np.inf), points).min(axis=-2, initial=np.inf)
    high = np.where(missing, np.float32(-np.inf), points).max(axis=-2, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        extent = high - low
        center = low + extent / 2
        extent = extent * np.float32(expand)
        low = center - extent / 2
        if size is not None:
            high = np.minimum(low + extent, np.float32(size) - np.float32(0.5))
            low = np.maximum(low, np.float32(-0.5))
            extent = high - low
        box = np.concatenate([low, extent], axis=-1)
        box[~((extent > 0) & np.isfinite(box[..., :2])).all(axis=-1)] = np.nan
    return box


def check_projection(
    where: str | os.PathLike,
    camera: deltacamera.Camera | Callable[[int], deltacamera.Camera],
    points: np.ndarray,
    pixels: np.ndarray,
    limit: float,
    *,
    frames: Iterable[int] | None = None,
) -> float:
    """Returns how far published pixels are from where the camera puts the points, at most.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> round(check_projection("a.json", camera, [[0, 0, 3000]], [[320, 243]], limit=5))
    3

    Args:
        where: File and place in it, for the message.
        camera: The camera, or frame -> camera.
        points: ``[..., 3]`` world millimetres; ``[n, J, 3]`` if the camera moves.
        pixels: ``[..., 2]``; pairs with a NaN in either are not compared.
        limit: Largest distance allowed, pixels.
        frames: Frame of each of the n, if the camera moves.

    Raises:
        CorruptInput: A pair is further apart, or a point behind the camera.
    """
    points, pixels = np.asarray(points, np.float64), np.asarray(pixels, np.float64)
    frames = None if frames is None else [int(frame) for frame in frames]
    projected = (
        project(camera, points) if frames is None else project_frames(camera, frames, points)
    )
    off = np.linalg.norm(projected - pixels, axis=-1)
    known = np.isfinite(points).all(axis=-1) & np.isfinite(pixels).all(axis=-1)
    off = np.where(known, np.where(np.isnan(off), np.inf, off), 0)
    if off.max(initial=0) > limit:
        i = np.unravel_index(np.argmax(off), off.shape)
        place = f"point {', '.join(map(str, i))}"
        if frames is not None:
            place = f"frame {frames[i[0]]}, point {i[1]}"
        raise CorruptInput(
            where,
            f"{place} projects {off[i]:.3g} px from its published place "
            f"{np.round(pixels[i], 1).tolist()}; expected at most {limit:g} px",
            hint="axes, units or distortion are not what the recipe assumes",
        )
    return float(off.max(initial=0))


def check_median_projection(
    where: str | os.PathLike,
    camera: deltacamera.Camera | Callable[[int], deltacamera.Camera | None],
    frames: Iterable[int],
    points: np.ndarray,
    pixels: np.ndarray,
    limit: float,
    *,
    parts: Mapping[str, slice],
    hint: str | None = None,
) -> dict[str, float]:
    """Returns how far published pixels are from where the camera puts the points in the median.

    For labels that are scattered, where :func:`check_projection` would find some that are far off.
    Parts of the body are compared one by one: in one median over all, the many joints of hands
    would outvote a body that is displaced.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> points, pixels = np.array([[[0.0, 0, 3000]]]), np.array([[[320.0, 243]]])
    >>> whole = {"body": slice(None)}
    >>> found = check_median_projection("a.json", camera, [0], points, pixels, 5, parts=whole)
    >>> round(found["body"])
    3

    Args:
        where: File and place in it, for the message.
        camera: The camera, or frame -> camera.
        frames: Number of each of n frames.
        points: ``[n, J, 3]`` world millimetres.
        pixels: ``[n, J, 2]``. Pairs are not compared of which either is missing, or which have no
            camera or are behind it.
        limit: Largest median allowed, pixels.
        parts: Name of each part -> its joints.
        hint: What the user can do if it is larger.

    Returns:
        Part -> median, pixels; without those of which there is no pair.

    Raises:
        CorruptInput: A median is larger.
    """
    off = np.linalg.norm(project_frames(camera, frames, points) - pixels, axis=-1)
    found = {}
    for part, joints in parts.items():
        known = off[:, joints][np.isfinite(off[:, joints])]
        if not known.size:
            continue
        found[part] = median = float(np.median(known))
        if median > limit:
            raise CorruptInput(
                where,
                f"{part.replace('_', ' ')}: 2D labels lie {median:.1f} px (median) from the "
                f"projected 3D labels, allowed {limit:g}",
                hint=hint,
            )
    return found


def box_of_mask(mask: np.ndarray | Mapping | None) -> np.ndarray:
    """Returns the box of a mask, ``[h, w]`` or RLE: the outer edges of its outermost pixels.

    >>> box_of_mask(np.array([[0, 1, 1]]))
    array([ 0.5, -0.5,  2. ,  1. ], dtype=float32)
    >>> box_of_mask(rlemasklib.encode(np.uint8([[0, 1, 1]])))
    array([ 0.5, -0.5,  2. ,  1. ], dtype=float32)

    Returns:
        float32 ``[4]`` x, y, width, height; NaN if the mask is empty or None.
    """
    if mask is None:
        return np.full(4, np.nan, np.float32)
    if isinstance(mask, Mapping):
        x, y, width, height = np.float32(rlemasklib.to_bbox(mask))
        return np.float32([x - 0.5, y - 0.5, width, height]) if width else box_of_mask(None)
    y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(x):
        return np.full(4, np.nan, np.float32)
    return np.float32([x[0] - 0.5, y[0] - 0.5, x[-1] - x[0] + 1, y[-1] - y[0] + 1])


def move_boxes(
    camera: deltacamera.Camera, boxes: np.ndarray, places: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Returns the boxes of people who have moved by some way in the world.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> move_boxes(camera, [[300, 200, 40, 80]], [[0, 0, 2000]], [100, 0, 0]).round(2).tolist()
    [[350.0, 200.0, 40.0, 80.0]]

    Args:
        camera: The camera.
        boxes: ``[n, 4]`` x, y, width, height.
        places: Where they were, ``[n, 3]`` millimetres: that far away are the boxes.
        step: By what they have moved, ``[3]`` or ``[n, 3]``.
    """
    boxes = np.asarray(boxes)
    depth = camera.world_to_camera(np.float32(places))[:, 2:]
    corners = [boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]
    world = [camera.image_to_world(np.float32(c), camera_depth=depth) for c in corners]
    return box_of_points(np.stack([project(camera, w + step) for w in world], axis=1))


def check_principal(
    where: str | os.PathLike, intrinsics: np.ndarray, size: tuple[int, int], limit: float = 0.1
) -> float:
    """Returns how far the principal point is from the middle of the picture, as a share of it.

    A copy of the pictures that somebody has made smaller or turned shows by it.

    >>> round(check_principal("a.xml", [[900, 0, 330], [0, 900, 239], [0, 0, 1]], (640, 480)), 3)
    0.016

    Args:
        where: File of the camera, for the message.
        intrinsics: ``[3, 3]`` pixels.
        size: Width and height of the pictures.
        limit: Largest share allowed.

    Raises:
        CorruptInput: It is further off.
    """
    principal = np.asarray(intrinsics, np.float64)[:2, 2]
    off = float(np.abs((principal + 0.5) / size - 0.5).max())
    if off > limit:
        text = f"principal point {np.round(principal).tolist()}; expected about the middle of "
        text += f"pictures of {size[0]} x {size[1]} pixels"
        raise CorruptInput(where, text, hint="are the pictures smaller copies, or turned?")
    return off


def check_in_boxes(
    where: str | os.PathLike, points: np.ndarray, boxes: np.ndarray, limit: float = 0.25
) -> float:
    """Returns how far any point lies outside of its box, in pixels; 0 where all are inside.

    >>> check_in_boxes("a.csv", np.array([[[12.0, 5.0], [3.0, 3.0]]]), np.array([[0, 0, 10, 10]]))
    2.0

    Args:
        where: File of the boxes, for the message.
        points: ``[n, J, 2]`` pixels, NaN = missing.
        boxes: ``[n, 4]`` x, y, width, height, NaN = unknown.
        limit: Largest distance allowed, as a share of the box's longer side.

    Raises:
        CorruptInput: A point is further outside.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    outside = np.nan_to_num(np.maximum(low - points, points - high)).max(axis=-1, initial=0)
    allowed = limit * np.nan_to_num(boxes[:, None, 2:]).max(axis=-1, initial=0)
    if (outside > allowed).any():
        n, j = np.unravel_index(np.argmax(outside - allowed), outside.shape)
        raise CorruptInput(
            where,
            f"point {j} projects {outside[n, j]:.0f} px outside of the {n}-th box "
            f"{np.round(boxes[n], 1).tolist()}; expected at most {allowed[n, 0]:.0f} px",
            hint="boxes, poses and camera are not of one recording or release",
        )
    return float(outside.max(initial=0))

"""Pixels of an augmented crop: the picture in one step from the stored crop, masks, the border."""

from __future__ import annotations

import math

import cv2
import numpy as np

from posepile.augmentation.geometry import Shot
from posepile.imaging import warp

_GRID_ERROR = 0.02  # pixels of the new picture: how far the interpolated map may be off
_STRIDE = 16
_FRACTION = 4  # bits after the point of the outline's places
_FRINGE = 3  # pixels around what is seen that are mixed with black


def draw_picture(shot: Shot, image: np.ndarray) -> np.ndarray:
    """The picture that a shot takes of a stored crop; black where that does not reach.

    Resampling is that of cropping: in linear light, anti-aliased for the local scale.

    Args:
        shot: Where the camera looks.
        image: uint8 ``[h, w, 3]``.

    Returns:
        uint8 ``[side, side, 3]``.
    """
    size = image.shape[1], image.shape[0]
    stride = _STRIDE
    while True:
        view = warp.survey(shot.grid(stride), stride, size)
        if stride == 1:
            break
        if not view.finite:
            stride = 1
            continue
        # As in cropping: interpolation is off by at most an eighth of the second difference
        allowed = 8 * _GRID_ERROR * max(view.step, 0.1)
        if view.bend <= allowed:
            break
        finer = stride * math.sqrt(allowed / view.bend)
        stride = max(1, min(stride // 2, 1 << math.floor(math.log2(max(finer, 1)))))
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    out = np.zeros((shot.side, shot.side, 4), np.uint8)
    for level in view.levels():
        warp.draw_packed(pixels, 0, view, level, out)
    return cv2.cvtColor(out, cv2.COLOR_RGBA2RGB)


def draw_mask(shot: Shot, mask: np.ndarray) -> np.ndarray:
    """A mask of the stored crop as the shot sees it: uint8 ``[side, side]``, from 0 to 255.

    A value is interpolated between the four pixels of the stored crop around the new pixel's
    middle. Unlike the picture it is no mean over the new pixel, so where the shot is smaller
    than the stored crop edges of the mask are harder than those of the picture.

    Args:
        shot: Where the camera looks.
        mask: uint8 ``[h, w]``, 0 or 255.
    """
    size = (shot.side, shot.side)
    how = cv2.INTER_LINEAR
    if not shot.source.has_distortion():
        matrix = shot.homography
        return cv2.warpPerspective(mask, matrix, size, flags=how | cv2.WARP_INVERSE_MAP)
    places = shot.grid(1)[: shot.side, : shot.side]
    places = np.nan_to_num(places, nan=-1e4).astype(np.float32)
    return cv2.remap(mask, places, None, how)


def draw_seen(
    shot: Shot, outline: np.ndarray | None, image_size: tuple[int, int]
) -> np.ndarray | None:
    """Where the new picture has something to show: uint8 ``[side, side]``, 255 there and else 0.

    Args:
        shot: Where the camera looks.
        outline: Of what of the stored crop is not black, ``[k, 2]``; None or empty: all.
        image_size: Width and height of the stored crop.

    Returns:
        None where all of the new picture does.
    """
    w, h = image_size
    if outline is None or len(outline) == 0:
        # Straight lines stay straight where there is no lens: corners tell of the inside
        if not shot.source.has_distortion() and _inside(shot.corners(), w, h):
            return None
        outline = np.array([[0, 0], [w, 0], [w, h], [0, h]]) - 0.5
    if shot.source.has_distortion():
        outline = _divided(np.asarray(outline, np.float64))
    seen = np.zeros((shot.side, shot.side), np.uint8)
    places = shot.seen(outline)
    if len(places) >= 3:
        fixed = np.clip(np.rint(places * (1 << _FRACTION)), -(1 << 20), 1 << 20)
        cv2.fillPoly(seen, [fixed.astype(np.int32)], 255, shift=_FRACTION)
        cv2.polylines(seen, [fixed.astype(np.int32)], True, 0, _FRINGE, shift=_FRACTION)
    return None if seen.min() else seen


def lay_over(picture: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Two pictures mixed: ``picture`` where the share is 255, ``other`` where it is 0.

    Args:
        picture: uint8 ``[h, w, 3]``.
        other: uint8 ``[h, w, 3]``.
        share: uint8 ``[h, w]``.
    """
    wide = cv2.merge([share, share, share])
    over = cv2.multiply(picture, wide, scale=1 / 255)
    return cv2.add(over, cv2.multiply(other, cv2.bitwise_not(wide), scale=1 / 255))


def _inside(points: np.ndarray, w: int, h: int) -> bool:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0 >= -0.5 and y0 >= -0.5 and x1 <= w - 0.5 and y1 <= h - 0.5


def _divided(outline: np.ndarray, n: int = 16) -> np.ndarray:
    """An outline with more vertices, for lines that a lens bends."""
    t = np.arange(n)[:, None] / n
    ends = np.roll(outline, -1, axis=0)
    return np.concatenate([a + t * (b - a) for a, b in zip(outline, ends, strict=True)])

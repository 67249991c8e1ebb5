"""Finding drawn people in stored crops again."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from posepile.miniature import kit
from posepile.miniature.marks import is_colourful

NEAR = 14.0  # pixels of the stored crop: how far from its place a disc is looked for first


def hue_gaps(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns hue and distance to the nearest other hue of each disc colour, degrees ``[n]``."""
    hues = np.array([360 * colorsys.rgb_to_hsv(*(c / 255))[0] for c in np.asarray(colors, float)])
    apart = np.abs(hues[:, None] - hues)
    apart = np.minimum(apart, 360 - apart)
    np.fill_diagonal(apart, 360)
    return hues, apart.min(axis=1) if len(hues) > 1 else np.full(len(hues), 360.0)


def find_discs(
    image: np.ndarray, points: np.ndarray, colors: list, figure: np.ndarray | None
) -> np.ndarray:
    """Finds the disc of every joint, near its recorded place or, failing that, anywhere.

    Args:
        image: uint8 RGB crop.
        points: ``[J, 2]`` recorded places; NaN = missing, such a joint is not looked for.
        colors: RGB of each joint's disc, None where it has none.
        figure: bool ``[h, w]``: where else than near its place a disc of this person may be;
            None = nowhere.

    Returns:
        ``[J, 2]`` centroids, NaN where no disc was found whole.
    """
    drawn = np.array([c is not None for c in colors])
    rgb = np.array([c or [0, 0, 0] for c in colors], np.uint8)
    expected = np.where(drawn[:, None], points, np.nan)
    found = kit.find_joints(image, expected, rgb, search=NEAR)
    lost = np.isfinite(expected).all(axis=1) & np.isnan(found).any(axis=1)
    if figure is None or not lost.any():
        return found
    hues, gaps = np.zeros(len(colors)), np.zeros(len(colors))
    hues[drawn], gaps[drawn] = hue_gaps(rgb[drawn])
    centers, blob_hues = _blobs(image)
    h, w = figure.shape
    on_figure = [figure[min(h - 1, round(y)), min(w - 1, round(x))] for x, y in centers]
    for j in np.flatnonzero(lost & (gaps >= 10)):
        off = np.abs(blob_hues - hues[j])
        fits = (np.minimum(off, 360 - off) < 0.35 * gaps[j]) & np.array(on_figure, bool)
        if fits.sum() == 1:
            found[j] = centers[np.argmax(fits)]
    return found


def _blobs(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centroids ``[n, 2]`` and hues ``[n]`` (degrees) of round, saturated spots of one colour."""
    n, labels, stats, centers = cv2.connectedComponentsWithStats(is_colourful(image, 110))
    keep, hues = [], []
    for i in range(1, n):
        x, y, w, h, area = stats[i]
        if not (0.75 < w / h < 1.33 and area > 0.65 * w * h and area >= 9):
            continue
        window = np.s_[y : y + h, x : x + w]
        core = cv2.erode((labels[window] == i).astype(np.uint8), np.ones((3, 3))).astype(bool)
        if not core.any():
            continue
        color = np.median(image[window][core], axis=0) / 255
        keep.append(i)
        hues.append(360 * colorsys.rgb_to_hsv(*color)[0])
    return centers[keep].reshape(-1, 2), np.array(hues)


def bounds(mask: np.ndarray) -> np.ndarray | None:
    """Returns left, top, right, bottom of the outer edges of a mask's pixels, None if empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return np.array([columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5])

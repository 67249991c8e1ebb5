"""Resampling in linear light at about the cost of decoding: the fast path under ``cropping``.

How a crop is made:

1. The map from crop to source pixels is computed on a coarse grid and interpolated bilinearly in
   between; the grid is refined until the interpolation error is below 0.02 crop pixels.
2. Block by block, the touched pixels of the source are brought to linear light, 15 bit, four
   channels, in a scratch area that stays in the processor's cache, at the pyramid level (1, 1/2,
   1/4, ... of the size, the mean light of 2x2, 4x4, ... pixels) at which one crop pixel spans at
   most 4.2 pixels. The level is chosen per grid cell, so strong perspective and fisheye views are
   neither aliased nor blurred.
3. Each crop pixel is a 4x4-tap weighted sum of that level. The taps are the least-squares optimal
   estimate of what a sensor pixel of the crop's size would have collected, given the source
   pixels (see :func:`optimal_taps`); they depend on the sub-pixel phase and on the local
   downscaling, and so do interpolation and anti-aliasing in one.
4. The sum goes back to sRGB.

Light is linear in the sense of sRGB. Sums have a fixed order and run in one thread: the same input
gives the same bytes whatever runs beside it. Kernels release the GIL.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

PHASES = 64  # sub-pixel steps of the tap tables, as in kernels
RATIOS = np.linspace(1.0, 4.25, 27)  # downscalings for which tap tables are kept
_LEVEL_RATIO = 2.1  # finest level on which a crop pixel spans at most twice this


def optimal_taps(ratio: float, phases: int = PHASES) -> np.ndarray:
    """Weights of four source pixels that best predict one output pixel, for each sub-pixel phase.

    One-dimensional model: the scene has the 1/f^2 power spectrum of natural images; a source
    pixel collects it over a width of 1, an output pixel over a width of ``ratio``; noise
    like that of a JPEG of quality 90. The weights minimise the expected squared error, under
    the condition that they sum to one.

    Args:
        ratio: Source pixels per output pixel; below 1 counts as 1.
        phases: Number of steps per source pixel.

    Returns:
        float32 ``[phases, 4]``: weights of the source pixels at -1, 0, 1, 2 relative to the floor
        of the position, for the fractional part ``i / phases``.
    """
    f, waves = _waves(phases)
    power = 1 / (f**2 + 0.02**2)
    source, output = np.sinc(f), np.sinc(max(ratio, 1.0) * f)
    offsets = np.arange(4)
    lag = np.cos(2 * np.pi * f * np.arange(4)[:, None]) @ (power * source**2)
    gram = lag[np.abs(offsets[:, None] - offsets)]
    gram = gram + np.eye(4) * 4e-3 * lag[0]
    cross = waves @ (power * source * output)
    # Lagrange multiplier for the sum
    inverse = np.linalg.inv(gram)
    free = cross @ inverse
    excess = (1 - free.sum(axis=1)) / inverse.sum()
    return (free + excess[:, None] * inverse.sum(axis=1)).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _waves(phases: int) -> tuple[np.ndarray, np.ndarray]:
    """Cycles per source pixel ``[F]``, and their waves at the four taps ``[phases, 4, F]``."""
    f = (np.arange(2048) + 0.5) * (8 / 2048)
    distance = np.arange(phases)[:, None] / phases - (np.arange(4) - 1)
    return f, np.cos(2 * np.pi * distance[..., None] * f)


@functools.lru_cache(maxsize=1)
def _tap_tables() -> tuple[np.ndarray, np.ndarray]:
    """The taps of all ratios in the forms that the kernel takes.

    Returns:
        For x float32 ``[ratios, phases * 16]``: each weight four times, those of the pixels 0 and
        2 before those of 1 and 3, scaled to what the other sums leave; for y int32
        ``[ratios, phases * 2]``: two weights in 16 bits each, 32768 = 1.
    """
    from posepile.imaging import kernels

    taps = np.stack([optimal_taps(r) for r in RATIOS]).astype(np.float64)
    _waves.cache_clear()  # 4 MB
    one = 1 << 15
    rows = np.rint(taps * one)
    largest = rows.argmax(axis=-1, keepdims=True)
    rest = one - rows.sum(axis=-1, keepdims=True)  # rounding must not change the brightness
    np.put_along_axis(rows, largest, np.take_along_axis(rows, largest, -1) + rest, -1)
    pairs = np.ascontiguousarray(rows.astype(np.int16)).view(np.int32)
    columns = np.repeat(taps[..., [0, 2, 1, 3]], 4, axis=-1) / (one * kernels.WHITE)
    n = len(taps)
    return columns.astype(np.float32).reshape(n, -1), pairs.reshape(n, -1)


class View(NamedTuple):
    """A coarse map from output to source pixels and how it must be sampled; see :func:`survey`.

    Attributes:
        grid: float64 ``[gh, gw, 2]``: source position of every ``stride``-th output pixel.
        stride: Grid spacing in output pixels.
        high: Largest x and y inside the source picture; the smallest are -0.5.
        finite: The map is defined everywhere.
        bend: Largest second difference along x plus that along y, source pixels.
        step: Smallest step along a grid axis per output pixel, source pixels.
        level: int8 ``[gh - 1, gw - 1]``: pyramid level of each cell, -1 where it sees nothing.
        banks: uint8 ``[gh - 1, gw - 1, 2]``: tap tables for x and y at that level.
    """

    grid: np.ndarray
    stride: int
    high: tuple[float, float]
    finite: bool
    bend: float
    step: float
    level: np.ndarray
    banks: np.ndarray

    def levels(self) -> list[int]:
        """The pyramid levels in use, finest first."""
        return np.flatnonzero(np.bincount(self.level.ravel() + 1)[1:]).tolist()


def survey(grid: np.ndarray, stride: int, image_size: tuple[int, int]) -> View:
    """Works out how a coarse map must be sampled.

    Args:
        grid: float64 ``[gh, gw, 2]``: source position of every ``stride``-th output pixel; NaN
            where there is none.
        stride: Grid spacing.
        image_size: Width and height of the source picture.
    """
    from posepile.imaging import kernels

    grid = np.ascontiguousarray(grid)
    high = (image_size[0] - 0.5, image_size[1] - 0.5)
    ratios = (RATIOS[0], RATIOS[1] - RATIOS[0], len(RATIOS), _LEVEL_RATIO)
    level, banks, shape = kernels.survey(grid, stride, high, ratios)
    undefined, bend, step = shape.tolist()
    return View(grid, stride, high, undefined == 0, bend, step, level, banks)


def draw_packed(image: np.ndarray, decoded: int, view: View, level: int, out: np.ndarray) -> None:
    """Draws the part of a view that is to be sampled at one pyramid level.

    Args:
        image: uint8 ``[h, w, 4]``, C-contiguous; the fourth channel is unused.
        decoded: Level of ``image`` itself, at most ``level``.
        view: From :func:`survey`.
        level: One of the view's levels.
        out: uint8 ``[H, W, 4]``, C-contiguous, written in place except where the source picture
            does not reach; the fourth channel is unused.
    """
    h, w, _ = image.shape
    _draw((image.reshape(h, -1), (w, h)), 1 << (level - decoded), view, level, out)


def draw_planar(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    size: tuple[int, int],
    to_rgb: np.ndarray,
    view: View,
    level: int,
    out: np.ndarray,
) -> None:
    """The same from a picture in planes.

    Args:
        planes: Luma and two chroma planes of half width and height, uint8 or uint16; rows may be
            longer than the picture is wide.
        size: Width and height of the picture.
        to_rgb: float32 ``[3, 4]``: stored (Y, U, V, 1) to RGB in 0..1.
        view: As there.
        level: As there.
        out: As there.
    """
    _draw((planes, size, to_rgb), 1 << level, view, level, out)


def _draw(source: tuple, side: int, view: View, level: int, out: np.ndarray) -> None:
    from posepile.imaging import kernels

    mesh = (view.grid, view.stride, view.high, view.level, view.banks)
    kernels.draw(source, side, mesh, level, _tap_tables(), out.reshape(len(out), -1))

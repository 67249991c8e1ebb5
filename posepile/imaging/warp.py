"""Resampling in linear light at about the cost of decoding: the fast path under ``cropping``.

How a crop is made:

1. The map from crop to source pixels is computed on a coarse grid and interpolated bilinearly in
   between; the grid is refined until the interpolation error is below 0.02 crop pixels.
2. The touched region of the source is brought to linear light once, 16 bit, four channels, at the
   pyramid level (1, 1/2, 1/4, ... of the size, each by averaging 2x2 light values) at which one
   crop pixel spans at most 4.2 pixels. The level is chosen per grid cell, so strong perspective
   and fisheye views are neither aliased nor blurred.
3. Each crop pixel is a 4x4-tap weighted sum of that level. The taps are the least-squares optimal
   estimate of what a sensor pixel of the crop's size would have collected, given the source
   pixels (see :func:`optimal_taps`); they depend on the sub-pixel phase and on the local
   downscaling, and so do interpolation and anti-aliasing in one.
4. The sum goes back to sRGB through a table.

Light is linear in the sense of sRGB. Everything is integer tables and fixed-order sums in one
thread: the same input gives the same bytes whatever runs beside it. Kernels release the GIL.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

MARGIN = 3  # source pixels needed around a position: 4x4 taps and rounding
PHASES = 64  # sub-pixel steps of the tap tables, as in kernels
_ONE = 1 << 20  # fixed-point one of positions, as in kernels
_YUV_ONE = 1 << 12  # fixed-point one of sums of luma and chroma, as in kernels
RATIOS = np.linspace(1.0, 4.25, 27)  # downscalings for which tap tables are kept
_LEVEL_RATIO = 2.1  # finest level on which a crop pixel spans at most twice this
_ENCODE_SHIFT = 2  # 16-bit light -> 14-bit index of the encoding table, as in kernels


def srgb_to_light(values: np.ndarray) -> np.ndarray:
    """SRGB values in 0..1 to linear light in 0..1."""
    v = np.asarray(values, np.float64)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light in 0..1 to sRGB values in 0..1."""
    v = np.asarray(light, np.float64)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0) ** (1 / 2.4) - 0.055)


@functools.lru_cache(maxsize=1)
def light_table() -> np.ndarray:
    """Linear light of each 8-bit sRGB value, uint16 ``[256]``."""
    return np.round(srgb_to_light(np.arange(256) / 255) * 65535).astype(np.uint16)


@functools.lru_cache(maxsize=1)
def fine_light_table() -> tuple[np.ndarray, int, int]:
    """Linear light of sRGB values in steps of 1/1023, clipped, for sums that overshoot.

    Returns:
        uint16 table over values from -1.5 to 3.5; its steps per unit; the index of black.
    """
    unit, zero = 1023, 1536
    values = np.clip((np.arange(5 * 1024) - zero) / unit, 0, 1)
    return np.round(srgb_to_light(values) * 65535).astype(np.uint16), unit, zero


@functools.lru_cache(maxsize=1)
def srgb_table() -> np.ndarray:
    """8-bit sRGB value of linear light, indexed by the upper 14 of 16 bits."""
    one = 1 << _ENCODE_SHIFT
    light = (np.arange(65536 // one) * one + (one - 1) / 2) / 65535
    return np.round(light_to_srgb(light) * 255).astype(np.uint8)


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
    f = (np.arange(2048) + 0.5) * (8 / 2048)  # cycles per source pixel
    power = 1 / (f**2 + 0.02**2)
    source, output = np.sinc(f), np.sinc(max(ratio, 1.0) * f)
    offsets = np.arange(4)
    lag = np.cos(2 * np.pi * f * np.arange(4)[:, None]) @ (power * source**2)
    gram = lag[np.abs(offsets[:, None] - offsets)]
    gram = gram + np.eye(4) * 4e-3 * lag[0]
    t = np.arange(phases) / phases
    distance = t[:, None] - (offsets - 1)
    cross = np.cos(2 * np.pi * distance[..., None] * f) @ (power * source * output)
    # Lagrange multiplier for the sum
    inverse = np.linalg.inv(gram)
    free = cross @ inverse
    excess = (1 - free.sum(axis=1)) / inverse.sum()
    return (free + excess[:, None] * inverse.sum(axis=1)).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _tap_tables() -> tuple[np.ndarray, np.ndarray]:
    """Tables ``[ratios, phases, 4]`` for y and ``[ratios, phases, 16]`` for x."""
    taps = np.stack([optimal_taps(r) for r in RATIOS])
    return np.ascontiguousarray(taps), np.ascontiguousarray(np.repeat(taps, 4, axis=-1))


class Survey(NamedTuple):
    """What a coarse map needs: see :func:`survey`.

    Attributes:
        finite: The map is defined everywhere.
        bend: Largest second difference along x plus that along y, source pixels.
        step: Smallest step along a grid axis per crop pixel, source pixels.
        level: int8 ``[gh - 1, gw - 1]``: pyramid level of each cell, -1 where it sees nothing.
        banks: uint8 ``[gh - 1, gw - 1, 2]``: tap tables for x and y at that level.
        extents: For each level in use: lowest x and y, highest x and y, source pixels.
    """

    finite: bool
    bend: float
    step: float
    level: np.ndarray
    banks: np.ndarray
    extents: dict[int, tuple[float, float, float, float]]


def survey(grid: np.ndarray, stride: int, high: np.ndarray) -> Survey:
    """Works out how a coarse map must be sampled.

    Args:
        grid: float64 ``[gh, gw, 2]``: source position of every ``stride``-th crop pixel.
        stride: Grid spacing.
        high: Largest x and y inside the source picture; the smallest are -0.5.
    """
    from posepile.imaging import kernels

    ratios = (RATIOS[0], RATIOS[1] - RATIOS[0], len(RATIOS), _LEVEL_RATIO)
    level, banks, extents, shape = kernels.survey(
        np.ascontiguousarray(grid), stride, (float(high[0]), float(high[1])), ratios
    )
    used = {n: tuple(e) for n, e in enumerate(extents.tolist()) if e[0] <= e[2]}
    return Survey(bool(shape[0] == 0), float(shape[1]), float(shape[2]), level, banks, used)


def linearize(image: np.ndarray, region: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
    """Linear light of a region, downscaled by ``2**level``.

    Args:
        image: uint8 ``[h, w, 4]``, C-contiguous; the fourth channel is carried along.
        region: Left, top, right and bottom (exclusive) in pixels of the level; may reach beyond
            the image, where the outermost pixels are repeated.
        level: 0 for full resolution.

    Returns:
        uint16 ``[y1 - y0, x1 - x0, 4]``.
    """
    from posepile.imaging import kernels

    if level == 0:
        light = kernels.linearize(image.reshape(len(image), -1), region)
        return light.reshape(len(light), -1, 4)
    region = tuple(v << (level - 1) for v in region)
    light = kernels.linearize_half(image, region, light_table())
    return halve(light, level - 1)


def planes_to_light(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    to_rgb: np.ndarray,
    region: tuple[int, int, int, int],
    level: int = 0,
) -> np.ndarray:
    """Linear light of a region of a picture in planes, as :func:`linearize` gives it.

    Args:
        planes: Luma ``[h, w]`` and the two chroma planes ``[ceil(h / 2), ceil(w / 2)]``, uint8 or
            uint16.
        to_rgb: float32 ``[3, 4]``: stored (Y, U, V, 1) to RGB in 0..1.
        region: As there.
        level: 0 for full resolution.

    Returns:
        uint16 ``[y1 - y0, x1 - x0, 4]``.
    """
    from posepile.imaging import kernels

    table, unit, zero = fine_light_table()
    fixed = np.rint(to_rgb * (unit * _YUV_ONE)).astype(np.int32)
    fixed[:, 3] += zero * _YUV_ONE + _YUV_ONE // 2
    if level == 0:
        return kernels.planes_to_light(planes, fixed, table, region)
    region = tuple(v << (level - 1) for v in region)
    half = kernels.planes_to_half(planes, fixed, table, region)
    return halve(half, level - 1)


def halve(light: np.ndarray, times: int = 1) -> np.ndarray:
    """Averages 2x2 light values, ``times`` times over."""
    from posepile.imaging import kernels

    for _ in range(times):
        light = kernels.halve(light)
    return light


def sample(
    light: np.ndarray,
    mesh: tuple[np.ndarray, int, np.ndarray, np.ndarray],
    bounds: tuple[float, float, float, float],
    out: np.ndarray,
) -> None:
    """Fills the selected cells of ``out``.

    Args:
        light: uint16 ``[h, w, 4]`` from :func:`linearize`.
        mesh: ``(grid, stride, banks, cells)``: grid float ``[gh, gw, 2]``, the position in
            pixels of ``light`` of the crop pixels ``(i * stride, j * stride)``, NaN = nothing
            there; tap tables for x and y, uint8 ``[gh - 1, gw - 1, 2]``; which cells to fill,
            bool ``[gh - 1, gw - 1]``.
        bounds: Lowest and highest valid x, lowest and highest valid y, in pixels of ``light``;
            pixels outside stay as they are in ``out``.
        out: uint8 RGB ``[H, W, 3]``, C-contiguous, written in place.
    """
    from posepile.imaging import kernels

    tables = (*_tap_tables(), srgb_table())
    grid, stride, banks, cells = mesh
    # A position that does not exist lies outside any bounds
    fixed = np.rint(np.nan_to_num(grid, nan=-(2.0**20)) * _ONE).astype(np.int64)
    low_high = np.rint(np.array(bounds) * _ONE).astype(np.int64)
    kernels.sample(light, (fixed, stride, banks, cells), low_high, tables, out)

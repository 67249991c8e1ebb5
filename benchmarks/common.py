"""What the benchmarks share: JSON lines, timing, and photographs whose truth is known."""

from __future__ import annotations

import functools
import json
import time

import deltacamera
import numpy as np
from numba import njit


def report(benchmark: str, case: str, unit: str, ours: float, baseline: float | None, **more):
    """Prints one result as a JSON line; ``ratio`` is how many times better ours is.

    ``unit`` decides what better means: for ``ms`` and other times less is better, for ``1/s``
    more.
    """
    line = {"benchmark": benchmark, "case": case, "unit": unit, "ours": round(ours, 3)}
    if baseline is not None:
        ratio = ours / baseline if unit.endswith("/s") else baseline / ours
        line |= {"baseline": round(baseline, 3), "ratio": round(ratio, 3)}
    line |= {k: round(v, 2) if isinstance(v, float) else v for k, v in more.items()}
    print(json.dumps(line), flush=True)


def best_times(*functions, repeats: int = 7) -> list[float]:
    """Best wall time in ms of each function.

    They take turns so that all see the same machine, three runs a turn so that none pays for
    the memory that another one gave back.
    """
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for i, f in enumerate(functions):
            for _ in range(3):
                start = time.perf_counter()
                f()
                best[i] = min(best[i], time.perf_counter() - start)
    return [1000 * b for b in best]


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """In dB over the pixels of ``where``."""
    error = (a[where].astype(np.float64) - b[where]) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


@functools.lru_cache(maxsize=4)
def waves(finest: float, n: int = 24, seed: int = 0):
    """Plane waves in ray space with a 1/f^2 power spectrum, in linear light.

    Args:
        finest: Cycles per radian of the finest one.
        n: How many.
        seed: Of the random directions, phases and colours.
    """
    rng = np.random.default_rng(seed)
    frequency = np.geomspace(finest / 256, finest, n)
    direction = rng.normal(size=(n, 3)) * [1, 1, 0.3]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # Natural images: as much contrast in each octave, less in colour than in brightness
    amplitude = rng.uniform(0.5, 1, (n, 1)) + rng.normal(size=(n, 3)) * 0.1
    amplitude *= 0.13 / np.sqrt((amplitude**2).sum(axis=0) / 2)
    return direction * frequency[:, None], rng.uniform(0, 1, n), amplitude


def photograph(
    scene: tuple, camera: deltacamera.Camera, size: tuple[int, int], samples: int = 3
) -> np.ndarray:
    """The picture a sensor makes whose pixels collect light over their area; uint8 sRGB.

    Only the numbers of the camera are used (pinhole or Brown-Conrady with five coefficients);
    pixels are turned into rays here.
    """
    lens = np.zeros(5)
    if camera.has_distortion():
        lens = camera.distortion_model.coeffs
    numbers = tuple(np.array(a, np.float64) for a in (camera.intrinsic_matrix, camera.R, lens))
    light = _photograph(scene, numbers, size, samples)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * value).astype(np.uint8)


@njit(cache=True, fastmath=True)
def _photograph(scene, camera, size, samples):
    vectors, phases, amplitudes = scene
    k, rotation, d = camera
    w, h = size
    out = np.zeros((h, w, 3), np.float32)
    for i in range(h):
        for j in range(w):
            for s in range(samples * samples):
                sx = (s % samples + 0.5) / samples - 0.5
                sy = (s // samples + 0.5) / samples - 0.5
                tx = (j + sx - k[0, 2]) / k[0, 0]
                ty = (i + sy - k[1, 2]) / k[1, 1]
                x, y = tx, ty
                for _ in range(20):  # fixed point, converges fast for moderate lenses
                    r2 = x * x + y * y
                    radial = 1 + r2 * (d[0] + r2 * (d[1] + r2 * d[4]))
                    nx = (tx - 2 * d[2] * x * y - d[3] * (r2 + 2 * x * x)) / radial
                    ny = (ty - d[2] * (r2 + 2 * y * y) - 2 * d[3] * x * y) / radial
                    change = abs(nx - x) + abs(ny - y)
                    x, y = nx, ny
                    if change < 1e-9:
                        break
                n = 1 / np.sqrt(x * x + y * y + 1)
                rx = (rotation[0, 0] * x + rotation[1, 0] * y + rotation[2, 0]) * n
                ry = (rotation[0, 1] * x + rotation[1, 1] * y + rotation[2, 1]) * n
                rz = (rotation[0, 2] * x + rotation[1, 2] * y + rotation[2, 2]) * n
                r = g = b = 0.4
                for q in range(len(phases)):
                    c = np.cos(
                        2
                        * np.pi
                        * (
                            vectors[q, 0] * rx
                            + vectors[q, 1] * ry
                            + vectors[q, 2] * rz
                            + phases[q]
                        )
                    )
                    r += c * amplitudes[q, 0]
                    g += c * amplitudes[q, 1]
                    b += c * amplitudes[q, 2]
                out[i, j, 0] += min(max(r, 0.0), 1.0)
                out[i, j, 1] += min(max(g, 0.0), 1.0)
                out[i, j, 2] += min(max(b, 0.0), 1.0)
    return out / (samples * samples)

"""A scene whose colour is known at every ray, and cameras by the textbook formulas.

Nothing here uses the camera library or the resampling under test: pixels are turned into rays by
Newton's method on the forward formulas, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.spatial


@dataclass(frozen=True)
class TextbookCamera:
    """A camera at the origin; ``rotation`` is world to camera."""

    focal: float
    center: tuple[float, float]
    rotation: np.ndarray
    brown_conrady: tuple = ()  # k1 k2 p1 p2 k3
    kannala_brandt: tuple = ()  # k1 k2 k3 k4

    def distort(self, p: np.ndarray) -> np.ndarray:
        """Ideal plane coordinates ``[n, 2]`` to where the lens puts them."""
        x, y = p[:, 0], p[:, 1]
        if self.brown_conrady:
            k1, k2, p1, p2, k3 = self.brown_conrady
            r2 = x * x + y * y
            radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
            return np.stack(
                [
                    x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                    y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
                ],
                axis=-1,
            )
        if self.kannala_brandt:
            r = np.hypot(x, y)
            theta = np.arctan(r)
            powers = theta[:, None] ** np.array([3, 5, 7, 9])
            bent = theta + powers @ np.array(self.kannala_brandt)
            return p * np.where(r > 1e-12, bent / np.maximum(r, 1e-12), 1.0)[:, None]
        return p

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Unit rays in the world, ``[n, 3]``, of pixel positions ``[n, 2]``."""
        target = (np.asarray(pixels, np.float64) - self.center) / self.focal
        p = target.copy()
        if self.brown_conrady or self.kannala_brandt:
            if self.kannala_brandt:
                p *= 1 + 0.3 * np.minimum((target**2).sum(-1, keepdims=True), 1)
            step = 1e-6
            for _ in range(20):
                value = self.distort(p)
                miss = target - value
                if np.abs(miss).max() < 1e-9:
                    break
                jx = (self.distort(p + np.array([step, 0])) - value) / step
                jy = (self.distort(p + np.array([0, step])) - value) / step
                det = jx[:, 0] * jy[:, 1] - jx[:, 1] * jy[:, 0]
                p[:, 0] += (miss[:, 0] * jy[:, 1] - miss[:, 1] * jy[:, 0]) / det
                p[:, 1] += (miss[:, 1] * jx[:, 0] - miss[:, 0] * jx[:, 1]) / det
        camera = np.column_stack([p, np.ones(len(p))])
        camera /= np.linalg.norm(camera, axis=1, keepdims=True)
        return camera @ self.rotation  # rotation transposed, times each ray

    def project(self, rays: np.ndarray) -> np.ndarray:
        """World rays ``[n, 3]`` to pixels ``[n, 2]``."""
        camera = np.asarray(rays, np.float64) @ self.rotation.T
        return self.distort(camera[:, :2] / camera[:, 2:]) * self.focal + self.center


@dataclass(frozen=True)
class Waves:
    """Plane waves in ray space with amplitudes falling as 1/f, as in natural images.

    Attributes:
        vectors: ``[n, 3]`` cycles per unit of ray direction.
        phases: ``[n]``.
        amplitudes: ``[n, 3]`` per colour, in linear light.
    """

    vectors: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @staticmethod
    def random(finest: float, n: int = 24, seed: int = 0) -> Waves:
        """Args: ``finest`` cycles per radian of the finest wave."""
        rng = np.random.default_rng(seed)
        frequency = np.geomspace(finest / 64, finest, n)
        direction = rng.normal(size=(n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        amplitude = rng.uniform(0.5, 1, (n, 3)) / frequency[:, None] ** 0.75
        amplitude *= 0.42 / np.sqrt((amplitude**2).sum(axis=0)) / 1.6
        return Waves(direction * frequency[:, None], rng.uniform(0, 1, n), amplitude)

    def light(self, rays: np.ndarray) -> np.ndarray:
        """Linear light ``[n, 3]`` in 0..1."""
        total = np.full((len(rays), 3), 0.45)
        for k, phase, amplitude in zip(self.vectors, self.phases, self.amplitudes, strict=True):
            total += np.cos(2 * np.pi * (rays @ k + phase))[:, None] * amplitude
        return np.clip(total, 0, 1)


@dataclass(frozen=True)
class Dots:
    """Bright Gaussian dots at known directions on grey, at least 12 radii apart.

    Attributes:
        centers: Unit rays ``[n, 3]``.
        radius: Standard deviation in radians.
    """

    centers: np.ndarray
    radius: float

    def light(self, rays: np.ndarray) -> np.ndarray:
        """Linear light ``[n, 3]`` in 0..1."""
        total = np.full(len(rays), 0.1)
        distance, nearest = scipy.spatial.cKDTree(self.centers).query(
            rays, distance_upper_bound=6 * self.radius
        )
        near = nearest < len(self.centers)
        total[near] += 0.8 * np.exp(-((distance[near] / self.radius) ** 2) / 2)
        return np.repeat(total[:, None], 3, axis=1)


def photograph(scene, camera: TextbookCamera, size: tuple[int, int], samples: int = 3):
    """The picture a sensor makes: each pixel collects light over its area; uint8 sRGB."""
    w, h = size
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    light = np.zeros((h * w, 3))
    ys, xs = np.mgrid[:h, :w]
    for dy in offsets:
        for dx in offsets:
            pixels = np.stack([xs + dx, ys + dy], axis=-1).reshape(-1, 2)
            light += scene.light(camera.rays(pixels))
    return to_srgb(light / samples**2).reshape(h, w, 3)


def srgb_to_light(values: np.ndarray) -> np.ndarray:
    """SRGB values in 0..1 to linear light in 0..1."""
    v = np.asarray(values, np.float64)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light in 0..1 to sRGB values in 0..1."""
    v = np.asarray(light, np.float64)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0) ** (1 / 2.4) - 0.055)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light in 0..1 to 8-bit sRGB."""
    return np.round(255 * light_to_srgb(light)).astype(np.uint8)


def to_light(image: np.ndarray) -> np.ndarray:
    """8-bit sRGB to linear light in 0..1."""
    return srgb_to_light(image / 255)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit pictures, over the pixels of ``where``."""
    error = (np.asarray(a, np.float64) - b) ** 2
    return float(
        10 * np.log10(255**2 / max((error if where is None else error[where]).mean(), 1e-9))
    )


def find_dots(image: np.ndarray, expected: np.ndarray, window: int) -> np.ndarray:
    """Centroids in linear light near the expected positions ``[n, 2]``, NaN beyond the border."""
    light = to_light(image).mean(axis=-1)
    h, w = light.shape
    found = np.full(expected.shape, np.nan)
    for i, (x, y) in enumerate(expected):
        if not (window + 1 < x < w - window - 2 and window + 1 < y < h - window - 2):
            continue
        cx, cy = x, y
        for _ in range(8):  # weigh by a Gaussian around the current estimate, then unbias
            ys, xs = np.mgrid[
                round(cy) - window : round(cy) + window + 1,
                round(cx) - window : round(cx) + window + 1,
            ]
            patch = light[ys, xs] - 0.1
            weight = np.exp(-((xs - cx) ** 2 + (ys - cy) ** 2) / (2 * (window / 3) ** 2))
            mass = (patch * weight).sum()
            mx, my = (patch * weight * xs).sum() / mass, (patch * weight * ys).sum() / mass
            cx, cy = cx + 2 * (mx - cx), cy + 2 * (my - cy)
        found[i] = cx, cy
    return found

"""Rays of cameras: from pixels to directions, and the outline of what a camera sees."""

from __future__ import annotations

import functools

import numpy as np

from posepile.imaging import lenses

NEAR = 1e-3  # how close to the plane of the virtual camera rays may come, as z of a unit ray


def of_pixels(camera, points: np.ndarray) -> np.ndarray:
    """Rays ``[n, 3]`` in camera coordinates, z = 1; NaN where the lens model ends."""
    if camera.has_distortion():
        lenses.compile_lens(camera.distortion_model)
        points = np.ascontiguousarray(points, np.float32)
        return np.asarray(camera.image_to_camera(points), np.float64)
    k = np.asarray(camera.intrinsic_matrix, np.float64)
    y = (points[:, 1] - k[1, 2]) / k[1, 1]
    x = (points[:, 0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def project(rays: np.ndarray) -> np.ndarray:
    """Rays ``[n, 3]`` to the plane z = 1, NaN for those not in front."""
    length = np.linalg.norm(rays, axis=1)
    z = np.where(rays[:, 2] > NEAR * length, rays[:, 2], np.nan)
    return rays[:, :2] / z[:, None]


def outline_seen(camera, image_size: tuple[int, int], rotation: np.ndarray) -> np.ndarray:
    """Outline of the source picture on the virtual camera's plane z = 1, ``[n, 2]``."""
    rays = _outline_rays(camera, tuple(int(v) for v in image_size)) @ rotation.T
    rays = clip(rays, rays[:, 2] - 2 * NEAR * np.linalg.norm(rays, axis=1))
    return rays[:, :2] / rays[:, 2:]


def _outline_rays(camera, image_size: tuple[int, int]) -> np.ndarray:
    model = camera.distortion_model
    return _outline_rays_cached(
        np.asarray(camera.intrinsic_matrix).tobytes(),
        None if model is None else type(model),
        None if model is None else model.coeffs.tobytes(),
        image_size,
    )


@functools.lru_cache(maxsize=64)
def _outline_rays_cached(intrinsics: bytes, model: type | None, coeffs: bytes | None, size):
    """Unit rays ``[n, 3]`` along the outline of what a camera sees, in camera coordinates."""
    import deltacamera

    k = np.frombuffer(intrinsics, np.float32).reshape(3, 3)
    lens = None if model is None else model(np.frombuffer(coeffs, np.float32))
    camera = deltacamera.Camera(intrinsic_matrix=k, distortion_model=lens)
    w, h = size
    n = 1 if lens is None else 48
    t = np.arange(n) / n
    one, zero = np.ones(n), np.zeros(n)
    unit = np.concatenate(
        [np.stack(p, -1) for p in ((t, zero), (one, t), (1 - t, one), (zero, 1 - t))]
    )
    rays = of_pixels(camera, unit * [w, h] - 0.5)
    if not np.all(np.isfinite(rays)):
        rays = of_pixels(camera, _lens_limit(camera, size))
        rays = rays[np.isfinite(rays).all(axis=1)]
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _lens_limit(camera, size: tuple[int, int]) -> np.ndarray:
    """Outline in pixels of the part of the picture where the lens model is one-to-one."""
    import shapely
    from deltacamera import validity

    w, h = size
    # The library counts the picture from 0 to w, we count it from -0.5
    shifted = camera.image_shifted((0.5, 0.5))
    polygon = validity.get_valid_poly(shifted, (h, w))
    if polygon.geom_type == "MultiPolygon":
        polygon = max(polygon.geoms, key=lambda p: p.area)
    if polygon.is_empty:
        return np.zeros((0, 2))
    polygon = shapely.segmentize(polygon.buffer(-0.5), max_segment_length=max(w, h) / 48)
    return np.array(polygon.exterior.coords)[:-1] - 0.5


def clip(polygon: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Part of a polygon ``[n, d]`` where a linear function, given at the vertices, is >= 0."""
    if len(polygon) == 0 or np.all(inside >= 0):
        return polygon
    following, after = np.roll(polygon, -1, axis=0), np.roll(inside, -1)
    crossing = (inside >= 0) != (after >= 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = inside / (inside - after)
        cut = polygon + t[:, None] * (following - polygon)
    pairs = np.stack([polygon, cut], axis=1)
    keep = np.stack([inside >= 0, crossing], axis=1)
    return pairs[keep]

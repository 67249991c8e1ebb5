"""The reference implementation's way of making crops, written from its description.

Everything is decoded; the whole picture goes to float and to the power of 2.2, for each person
anew; cubic remap at twice the size, shrinking by area, back, encoding at quality 95. The map for
distorted pictures is computed over rows of points in numpy, as there.
"""

from __future__ import annotations

import cv2
import numpy as np

from posepile.imaging import cropping, jpeg


def reference_way(data: bytes, camera, boxes, size, make_map=None) -> list[bytes]:
    """Crops of a JPEG picture; it is decoded and converted once per person."""
    done = []
    for box in boxes:
        plan = cropping.plan_crop(camera, box, size)
        done += [
            jpeg.encode(c) for c in reference_crops(jpeg.decode(data), camera, [plan], make_map)
        ]
    return done


def reference_crops(image: np.ndarray, camera, plans, make_map=None) -> list[np.ndarray]:
    """Crops of a decoded picture, uint8 ``[h, w, 3]``."""
    light = np.power(image.astype(np.float32) / 255, 2.2)
    crops = []
    for plan in plans:
        w, h = plan.size
        if camera is not None and camera.has_distortion():
            to_source_ray = _turn(camera, plan) @ np.linalg.inv(_doubled(plan))
            map_x, map_y = (make_map or reference_map)(
                camera, to_source_ray.astype(np.float32), (2 * w, 2 * h)
            )
            doubled = cv2.remap(light, map_x, map_y, cv2.INTER_CUBIC)
        else:
            doubled = cv2.warpPerspective(
                light, _homography(camera, plan), (2 * w, 2 * h),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            )  # fmt: skip
        small = np.clip(cv2.resize(doubled, (w, h), interpolation=cv2.INTER_AREA), 0, 1)
        crops.append((small ** (1 / 2.2) * 255).astype(np.uint8))
    return crops


def _turn(camera, plan) -> np.ndarray:
    return np.asarray(camera.R) @ np.asarray(plan.camera.R).T


def _doubled(plan) -> np.ndarray:
    """Intrinsics of the crop's camera at twice the size."""
    large = np.asarray(plan.camera.intrinsic_matrix, np.float32) * np.float32([[2], [2], [1]])
    large[:2, 2] += 0.5
    return large


def _homography(camera, plan) -> np.ndarray:
    """From pixels of the doubled crop to those of the source."""
    if camera is None:
        s, (x, y) = plan.scale, plan.offset
        large = np.array([[2 * s, 0, 2 * x + 0.5], [0, 2 * s, 2 * y + 0.5], [0, 0, 1]])
        return np.linalg.inv(large).astype(np.float32)
    ray = (_turn(camera, plan) @ np.linalg.inv(_doubled(plan))).astype(np.float32)
    return np.asarray(camera.intrinsic_matrix) @ ray


def reference_map(camera, to_source_ray: np.ndarray, size: tuple[int, int]):
    """Source position of every pixel: rows of points in numpy, float32, as there."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ to_source_ray.T
    p = points[:, :2] / points[:, 2:]
    k1, k2, p1, p2, k3 = camera.distortion_model.coeffs[:5]
    tangential = np.array([p2, p1], np.float32)
    r2 = np.sum(p * p, axis=1)
    factor = ((k3 * r2 + k2) * r2 + k1) * r2 + np.float32(1)
    factor += np.float32(2) * np.sum(p * tangential, axis=1)
    p = p * factor[:, None] + r2[:, None] * tangential
    k = np.asarray(camera.intrinsic_matrix, np.float32)
    where = (p @ k[:2, :2].T + k[:2, 2]).reshape(size[1], size[0], 2)
    return where[..., 0], where[..., 1]


def lean_map(camera, to_source_ray: np.ndarray, size: tuple[int, int]):
    """The same positions by columns, a good deal faster."""
    m = to_source_ray
    x = np.arange(size[0], dtype=np.float32)[None]
    y = np.arange(size[1], dtype=np.float32)[:, None]
    z = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    px = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / z
    py = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / z
    k1, k2, p1, p2, k3 = camera.distortion_model.coeffs
    r2 = px * px + py * py
    factor = ((k3 * r2 + k2) * r2 + k1) * r2 + 1 + 2 * (p2 * px + p1 * py)
    k = np.asarray(camera.intrinsic_matrix)
    map_x = k[0, 0] * (px * factor + p2 * r2) + k[0, 2]
    map_y = k[1, 1] * (py * factor + p1 * r2) + k[1, 2]
    return map_x, map_y

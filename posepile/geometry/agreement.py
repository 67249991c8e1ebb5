"""Whether cameras, poses and silhouettes that were published apart belong together.

For data without 2D annotations: joints must lie in the silhouettes, and the rays through
silhouettes of several views must meet at the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import deltacamera


def values_at(points: np.ndarray, size: tuple[int, int], picture: np.ndarray) -> np.ndarray:
    """Returns the values of a map over the image at points of the image.

    >>> values_at(np.array([[2.0, 1.0]]), (4, 2), np.array([[5, 7]]))
    array([7])

    Args:
        points: ``[n, 2]`` pixels of the image; those beyond its border count as on it.
        size: Width and height of the image.
        picture: ``[h, w, ...]``, perhaps of another size than the image.

    Returns:
        ``[n, ...]``.
    """
    scale = np.array(picture.shape[1::-1]) / size
    nearest = np.rint((np.asarray(points) + 0.5) * scale - 0.5).astype(int)
    x, y = np.clip(nearest, 0, np.array(picture.shape[1::-1]) - 1).T
    return picture[y, x]


def in_silhouette(
    points: np.ndarray, size: tuple[int, int], mask: np.ndarray, margin: int = 2
) -> np.ndarray:
    """Returns which points ``[n, 2]`` of an image lie in a person's silhouette, or nearly.

    >>> in_silhouette(np.array([[1.0, 1.0], [9.0, 9.0]]), (10, 10), np.eye(10) > 1)
    array([False, False])

    Args:
        points: Pixels of the image, inside it.
        size: Width and height of the image.
        mask: bool ``[h, w]``.
        margin: Pixels by which the outline may be off: lossy masks are not sharp.
    """
    side = 2 * margin + 1
    grown = cv2.dilate(np.asarray(mask, np.uint8), np.ones((side, side), np.uint8))
    return values_at(points, size, grown) > 0


def in_box(points: np.ndarray, box: np.ndarray, margin: float = 0.03) -> np.ndarray:
    """Returns which points ``[n, 2]`` lie in a box x, y, width, height, or nearly.

    >>> in_box(np.array([[5.0, 5.0], [11.0, 5.0]]), np.array([0, 0, 10, 10]))
    array([ True, False])

    Args:
        points: Pixels.
        box: x, y, width, height.
        margin: By how much they may lie outside, as a share of the box's longer side.
    """
    low, high = box[:2], box[:2] + box[2:]
    slack = margin * np.max(box[2:])
    return ((points >= low - slack) & (points <= high + slack)).all(axis=-1)


def ray_distance(camera: deltacamera.Camera, pixel: np.ndarray, point: np.ndarray) -> float:
    """Returns how far the ray through a pixel passes a point of the world, in millimetres.

    Taken of the centre of a silhouette and the middle of the body in several views, it tells
    swapped views and clocks that do not run together, which one view alone may not show.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> round(ray_distance(camera, np.array([320.0, 240.0]), np.array([0.0, 50.0, 3000.0])))
    50

    Args:
        camera: The camera.
        pixel: ``[2]``.
        point: ``[3]`` millimetres.
    """
    origin = np.asarray(camera.t, np.float64)
    far = camera.image_to_world(np.asarray(pixel, np.float32)[None], camera_depth=1000.0)
    ray = np.asarray(far, np.float64)[0] - origin
    ray /= np.linalg.norm(ray)
    return float(np.linalg.norm(point - origin - ray * (ray @ (point - origin))))

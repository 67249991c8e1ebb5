"""Where the camera of an augmented crop looks, and the map between it and the stored crop.

The new camera stands where the stored crop's camera stands: turned towards the (shifted) centre
of the box, upright, then rolled, mirrored and zoomed. So one map between pictures holds for
everything in the scene, and camera coordinates follow by a rotation.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import WorkError
from posepile.imaging import rays

if TYPE_CHECKING:
    import deltacamera

_STEEP = 0.1  # sine of the angle to the vertical below which upright has no meaning


@dataclass(frozen=True)
class Turn:
    """How one crop differs from the plain one.

    Attributes:
        shift: Where the camera looks past the box's centre, in longer sides of the box, ``[2]``.
        roll: About the camera's axis, radians; the picture turns clockwise.
        zoom: 1 = the box as large as it is to be.
        mirror: Left for right.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    roll: float = 0.0
    zoom: float = 1.0
    mirror: bool = False


@dataclass(frozen=True)
class Shot:
    """An augmented crop's camera, and what it was made from.

    Attributes:
        source: Camera of the stored crop.
        turned: float64 ``[3, 3]``, from the stored crop's camera coordinates to the new ones;
            its determinant is -1 where the picture is mirrored.
        rotation: The same from the world: ``turned @ source.R``.
        center: float64 ``[3]``, where both cameras stand, mm.
        intrinsics: float64 ``[3, 3]`` of the new camera.
        side: Its width and height in pixels.
        mirrored: Left is right.
    """

    source: deltacamera.Camera
    turned: np.ndarray
    rotation: np.ndarray
    center: np.ndarray
    intrinsics: np.ndarray
    side: int
    mirrored: bool = False

    def world(self, points: np.ndarray) -> np.ndarray:
        """World points ``[..., 3]`` in the new camera's coordinates, mm, float64."""
        return (np.asarray(points, np.float64) - self.center) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points ``[n, 3]`` of the new camera to its pixels ``[n, 2]``; NaN behind it."""
        focal, middle = self.intrinsics[0, 0], self.intrinsics[:2, 2]
        return rays.project(points) * focal + middle

    def points(self, points: np.ndarray) -> np.ndarray:
        """Pixels ``[n, 2]`` of the stored crop as pixels of the new one, float64; NaN stays."""
        points = np.asarray(points, np.float64)
        if not self.source.has_distortion():
            seen = points @ self.to_new[:, :2].T + self.to_new[:, 2]
            with np.errstate(invalid="ignore"):
                depth = np.where(seen[:, 2:] > 0, seen[:, 2:], np.nan)
            return seen[:, :2] / depth
        known = np.isfinite(points).all(axis=1)
        result = np.full(points.shape, np.nan)
        if known.any():
            directions = rays.of_pixels(self.source, points[known])
            result[known] = self.project(directions @ self.turned.T)
        return result

    @functools.cached_property
    def to_source(self) -> np.ndarray:
        """Homogeneous pixels of the new camera to directions of the stored crop's, ``[3, 3]``."""
        focal, (x, y) = self.intrinsics[0, 0], self.intrinsics[:2, 2].tolist()
        to_ray = np.array([[1, 0, -x], [0, 1, -y], [0, 0, focal]]) / focal
        return self.turned.T @ to_ray

    @functools.cached_property
    def homography(self) -> np.ndarray:
        """Homogeneous pixels of the new camera to those of the stored crop, without lens."""
        return np.asarray(self.source.intrinsic_matrix, np.float64) @ self.to_source

    @functools.cached_property
    def to_new(self) -> np.ndarray:
        """Homogeneous pixels of the stored crop to those of the new camera, without lens."""
        (fx, skew, cx), (_, fy, cy) = self.source.intrinsic_matrix.tolist()[:2]
        to_ray = np.array(
            [[1 / fx, -skew / (fx * fy), (skew * cy - cx * fy) / (fx * fy)], [0, 1 / fy, -cy / fy],
             [0, 0, 1]]
        )  # fmt: skip
        return self.intrinsics @ self.turned @ to_ray

    def grid(self, stride: int) -> np.ndarray:
        """Places in the stored crop of every ``stride``-th new pixel and the next beyond.

        Returns:
            float64 ``[g, g, 2]``; NaN where the stored crop's camera cannot see.
        """
        places = _places(self.side, stride)
        if self.source.has_distortion():
            normalized = _divide(places @ self.to_source.T)
            result = np.full(normalized.shape, np.nan)
            known = np.isfinite(normalized).all(axis=-1)
            some = np.ascontiguousarray(normalized[known], np.float32)
            result[known] = self.source.camera_to_image(some)
            return result
        return _divide(places @ self.homography.T)

    def corners(self) -> np.ndarray:
        """Places in the stored crop of the four outermost pixels, ``[4, 2]``, without lens."""
        return _divide(_corners(self.side) @ self.homography.T)

    def seen(self, outline: np.ndarray) -> np.ndarray:
        """Outline ``[k, 2]`` in the stored crop as one in the new one, without what is behind."""
        directions = rays.of_pixels(self.source, np.asarray(outline, np.float64))
        directions = directions[np.isfinite(directions).all(axis=1)] @ self.turned.T
        ahead = directions[:, 2] - 2 * rays.NEAR * np.linalg.norm(directions, axis=1)
        return self.project(rays.clip(directions, ahead))

    def box(self, box: np.ndarray) -> np.ndarray:
        """Box of the ellipse in a box of the stored crop, as x, y, width, height here.

        People seldom reach into the corners of their box; the box of the turned corners would be
        too large for them.
        """
        x, y, w, h = np.asarray(box, np.float64).tolist()
        middle = [x + w / 2, y + h / 2]
        at = self.points(
            np.array([middle, [middle[0] + 1, middle[1]], [middle[0], middle[1] + 1]])
        )
        half = np.hypot((at[1] - at[0]) * w / 2, (at[2] - at[0]) * h / 2)
        return np.concatenate([at[0] - half, 2 * half])


def plan_shot(
    camera: deltacamera.Camera,
    box: np.ndarray,
    side: int,
    fill: float,
    turn: Turn | None = None,
) -> Shot:
    """Decides where the camera of an augmented crop looks.

    Args:
        camera: Of the stored crop.
        box: x, y, width, height in it.
        side: Width and height of the new picture.
        fill: Longer side of the box over the side, at zoom 1.
        turn: How it differs from the plain one.

    Raises:
        WorkError: The camera does not see where the box is.
    """
    turn = turn or Turn()
    x, y, w, h = np.asarray(box, np.float64).tolist()
    longer = max(w, h)
    middle = np.array([x + w / 2, y + h / 2])
    ends = np.array([[w / 2, 0], [0, h / 2]])[int(h > w)]
    aim = middle + longer * np.asarray(turn.shift)
    # What is looked at, the ends of the box's middle line, and its middle
    spots = np.stack([aim, aim - ends, aim + ends, middle])
    directions = rays.of_pixels(camera, spots)
    r = np.asarray(camera.R, np.float64)
    ahead = directions[0] if np.isfinite(directions[0]).all() else directions[3]
    if not np.isfinite(ahead).all():
        raise WorkError(
            f"box {x:g}, {y:g}, {w:g}, {h:g} (x, y, width, height): the lens of the camera sees "
            "nothing at its middle, expected a box in the crop; leave the example out, or mend "
            "its box or camera"
        )
    look = _look_along(ahead, r @ np.asarray(camera.world_up, np.float64))
    ends = rays.project(directions[1:3] @ look.T)
    extent = math.hypot(*(ends[1] - ends[0]).tolist())
    k = np.asarray(camera.intrinsic_matrix, np.float64)
    if not (math.isfinite(extent) and extent > 0):  # the box reaches beyond what a camera can see
        extent = longer / ((k[0, 0] + k[1, 1]) / 2)
    focal = side * fill * turn.zoom / extent
    c, s = math.cos(turn.roll), math.sin(turn.roll)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ look
    if turn.mirror:
        turned[0] = -turned[0]
    center = (side - 1) / 2
    return Shot(
        source=camera,
        turned=turned,
        rotation=turned @ r,
        center=np.asarray(camera.t, np.float64),
        intrinsics=np.array([[focal, 0, center], [0, focal, center], [0, 0, 1]]),
        side=side,
        mirrored=turn.mirror,
    )


def assumed_camera(image_size: tuple[int, int], fov: float) -> deltacamera.Camera:
    """Camera of a crop that has none: in the origin, looking along z, with y down.

    Args:
        image_size: Width and height of the crop.
        fov: Field of view along the longer side, degrees.
    """
    import deltacamera

    w, h = image_size
    focal = max(w, h) / 2 / math.tan(math.radians(fov) / 2)
    matrix = [[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]]
    return deltacamera.Camera(intrinsic_matrix=matrix, world_up=(0, -1, 0))


def _look_along(forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rotation to a camera that looks along a direction, upright where that has a meaning."""
    forward = forward / math.sqrt(forward @ forward)
    right = _cross(forward, up)
    length = math.sqrt(right @ right)
    if not length > _STEEP:
        right = np.array([1.0, 0, 0]) - forward * forward[0]
        length = math.sqrt(right @ right)
    right = right / length
    return np.stack([right, _cross(forward, right), forward])


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of two vectors; numpy's is made for many and takes 20 times as long."""
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


@functools.lru_cache(maxsize=16)
def _places(side: int, stride: int) -> np.ndarray:
    """Every ``stride``-th pixel and the next beyond the border, homogeneous ``[g, g, 3]``."""
    along = np.arange(max(-(-side // stride), 2) + 1) * float(stride)
    x, y = np.meshgrid(along, along)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


@functools.lru_cache(maxsize=16)
def _corners(side: int) -> np.ndarray:
    end = side - 1.0
    return np.array([[0, 0, 1], [end, 0, 1], [end, end, 1], [0, end, 1]])


def _divide(directions: np.ndarray) -> np.ndarray:
    """Directions on the plane z = 1; NaN where they do not point ahead."""
    depth = directions[..., 2:]
    if depth.min() <= 0:
        depth = np.where(depth > 0, depth, np.nan)
    return directions[..., :2] / depth

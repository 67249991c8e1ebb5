"""Cameras of a miniature: the textbook's projection, without the pipeline's camera library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posepile.miniature.kit import look_at, project


@dataclass(frozen=True)
class RigCamera:
    """A camera at one instant; a moving one is a list of them.

    Attributes:
        size: Width and height of the picture.
        intrinsics: ``[3, 3]``.
        rotation: World to camera, ``[3, 3]``; with determinant -1 the picture is a mirror image.
        translation: Millimetres, after rotation: ``x_cam = R x + t``.
        distortion: As of :func:`posepile.miniature.kit.project`; empty = none.
        fisheye: Likewise.
        half_tangential: Likewise.
    """

    size: tuple[int, int]
    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    distortion: tuple[float, ...] = ()
    fisheye: bool = False
    half_tangential: bool = False

    @property
    def center(self) -> np.ndarray:
        """Position in the world, millimetres ``[3]``."""
        return -np.linalg.inv(self.rotation) @ self.translation

    def matrix(self, unit_mm: float = 1.0) -> np.ndarray:
        """World to camera as ``[4, 4]``, lengths in units of so many millimetres."""
        result = np.eye(4)
        result[:3, :3], result[:3, 3] = self.rotation, np.asarray(self.translation) / unit_mm
        return result

    def from_world(self, points: np.ndarray) -> np.ndarray:
        """Returns world points ``[..., 3]`` in the axes of the camera, millimetres."""
        return np.asarray(points) @ np.asarray(self.rotation).T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """Returns pixels ``[..., 2]`` of world points ``[..., 3]`` (mm), NaN behind the camera."""
        distortion = np.array(self.distortion) if self.distortion else None
        pose, forms = (self.rotation, self.translation), (self.fisheye, self.half_tangential)
        return project(points, self.intrinsics, *pose, distortion, *forms)

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Depth of world points ``[..., 3]``, millimetres ``[...]``."""
        return np.asarray(points) @ np.asarray(self.rotation)[2] + self.translation[2]


_UP = {"y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1)}


def make_camera(
    size: tuple[int, int],
    position: Sequence[float],
    target: Sequence[float],
    focal: float,
    *,
    up: str = "z",
    shift: Sequence[float] = (0, 0),
    stretch: float = 1.0,
    distortion: Sequence[float] = (),
    fisheye: bool = False,
) -> RigCamera:
    """Returns an upright camera.

    >>> camera = make_camera((640, 480), (0, -4000, 1000), (0, 0, 1000), focal=500)
    >>> camera.project(np.array([0.0, 0.0, 1000.0])).round(3)
    array([319.5, 239.5])

    Args:
        size: Width and height of the picture.
        position: Millimetres.
        target: What it looks at, millimetres.
        focal: Pixels, along x.
        up: Axis of the world that points up: ``y``, ``-y`` or ``z``.
        shift: Of the principal point from the middle of the picture, pixels.
        stretch: Focal length along y by that along x.
        distortion: As in :class:`RigCamera`.
        fisheye: As in :class:`RigCamera`.
    """
    position = np.asarray(position, float)
    rotation, translation = look_at(position, np.asarray(target, float), _UP[up])
    x, y = (size[0] - 1) / 2 + shift[0], (size[1] - 1) / 2 + shift[1]
    intrinsics = np.array([[focal, 0, x], [0, focal * stretch, y], [0, 0, 1]])
    return RigCamera(size, intrinsics, rotation, translation, tuple(distortion), fisheye)


def around(
    target: Sequence[float],
    distance: float,
    angle: float,
    height: float = 0,
    up: str = "z",
) -> np.ndarray:
    """Returns a position round a target; 0 is in front of an actor who is not turned.

    >>> around((0, 0, 1000), 4000, 90).shape
    (3,)

    Args:
        target: Millimetres.
        distance: Millimetres, on the level.
        angle: Degrees round the vertical, 0 = in front, 90 = on the actor's left.
        height: Above the target, millimetres.
        up: As in :func:`make_camera`.
    """
    left, top, front = {
        "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
        "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    }[up]
    a = np.radians(angle)
    level = np.cos(a) * np.array(front) + np.sin(a) * np.array(left)
    return np.asarray(target, float) + distance * level + height * np.array(top, float)


def sensor_camera(
    size: tuple[int, int],
    sensor: Sequence[float],
    focal: float,
    aspect: float,
    offset: Sequence[float],
    origin: Sequence[float],
    up: Sequence[float],
    right: Sequence[float],
) -> RigCamera:
    """Returns a camera from millimetres on its sensor.

    >>> camera = sensor_camera((640, 480), (8, 6), 5, 1, (0, 0), (0, 0, 0), (0, -1, 0), (1, 0, 0))
    >>> camera.intrinsics[0].tolist()
    [400.0, 0.0, 320.0]

    Args:
        size: Width and height of the picture.
        sensor: Width and height of the sensor.
        focal: Focal length.
        aspect: Of a pixel, y by x.
        offset: Of the principal point from the middle of the sensor, to the right and down.
        origin: Optical centre in the world.
        up: Of the picture, in the world.
        right: Likewise.
    """
    (x, y), (cx, cy) = np.array(size) / sensor, np.array(sensor) / 2 + offset
    lens = np.array([[focal * x, 0, cx * x], [0, focal * y * aspect, cy * y], [0, 0, 1]])
    rotation = np.stack([right, -np.array(up), np.cross(up, right)])
    return RigCamera(size, lens, rotation, -rotation @ np.array(origin))

"""Scenes of the Unreal Engine: x forward, y right, z up, centimetres, degrees.

As AGORA and BEDLAM are rendered. In our axes, x is to the right, y down and z ahead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posepile.miniature.actor import matrix
from posepile.miniature.rig import RigCamera


def unreal_camera(
    size: tuple[int, int],
    place: Sequence[float],
    yaw: float,
    pitch: float = 0.0,
    *,
    focal_mm: float,
    sensor_mm: float = 36.0,
) -> RigCamera:
    """Returns a camera of a scene.

    >>> camera = unreal_camera((640, 480), (0, 0, 170), 0, focal_mm=28)
    >>> camera.project(np.array([0.0, -1700, 3000])).tolist()
    [319.5, 239.5]

    Args:
        size: Width and height of the picture; the principal point is in its middle.
        place: Centimetres.
        yaw: To the right.
        pitch: Upwards.
        focal_mm: Focal length.
        sensor_mm: Width of the sensor.
    """
    rotation = matrix([np.radians(-pitch), 0, 0]) @ matrix([0, np.radians(-yaw), 0])
    focal = focal_mm / sensor_mm * size[0]
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    intrinsics = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
    return RigCamera(size, intrinsics, rotation, -rotation @ _ours(place))


def put_into_scene(points: np.ndarray, place: Sequence[float], yaw: float) -> np.ndarray:
    """Returns points of a body where it stands in a scene, millimetres in our axes.

    >>> put_into_scene(np.array([0.0, 900, 100]), (200, 0, 0), 90).tolist()
    [0.0, -900.0, 1900.0]

    Args:
        points: ``[..., 3]`` millimetres of the body: y up, x to its left.
        place: Of the body's origin, centimetres.
        yaw: Of the body; with 90 it looks towards smaller x.
    """
    turn = matrix([0, np.radians(yaw - 90), 0]) @ np.diag([1.0, -1, -1])
    return points @ turn.T + _ours(place)


def _ours(place: Sequence[float]) -> np.ndarray:
    x, y, z = place
    return 10 * np.array([y, -z, x], float)

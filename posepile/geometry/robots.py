"""Cameras of robots, which look around in a ring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posepile.formats.robot_files import read_sensors
from posepile.geometry.cameras import make_camera
from posepile.geometry.rigs import check_ring

if TYPE_CHECKING:
    import deltacamera


def ring_cameras(
    path: Path,
    headings: Sequence[float],
    distances: tuple[float, float],
    world_up: tuple[float, float, float],
) -> list[tuple[deltacamera.Camera, tuple[int, int]]]:
    """Returns the cameras of a ring and the sizes of their pictures.

    >>> text = "cameras: {sensor_0: {width: 752, height: 480, D: -0.3 0.1 0 0 0, T: 0 0 -50,"
    >>> text += "K: 476 0 360 0 476 220 0 0 1, R: 1 0 0 0 1 0 0 0 1}}"
    >>> _ = (folder / "cameras.yaml").write_text(text)
    >>> ((camera, size),) = ring_cameras(folder / "cameras.yaml", [0], (40, 60), (0, -1, 0))
    >>> float(camera.t[2]), size
    (50.0, (752, 480))

    Args:
        path: As of :func:`posepile.formats.robot_files.read_sensors`, in millimetres.
        headings: Where each looks, degrees about y: 0 is +z, 90 is +x.
        distances: The least and the largest distance from the y axis, millimetres.
        world_up: Up in the world.

    Raises:
        CorruptInput: The file is not as expected, or a camera is elsewhere.
    """
    sensors = read_sensors(path, len(headings))
    cameras = [make_camera(path, world_up=world_up, **sensor) for sensor in sensors]
    check_ring(path, [camera.t for camera in cameras], headings, distances)
    return [(camera, sensor["size"]) for camera, sensor in zip(cameras, sensors, strict=True)]

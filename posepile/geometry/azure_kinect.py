"""Several Azure Kinects before one scene: their colour cameras, from JSON.

Such files are written by programs that record with several sensors at once. Of each sensor there
is a calibration of its factory, ``calibration.json``, and a place in the world, ``config.json``;
the world is the colour camera of one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera

if TYPE_CHECKING:
    import deltacamera

# In the order of the list ``opencv``; the rational model of OpenCV.
LENS_NAMES = "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6".split()
_LENS = {key: Array() for key in (*LENS_NAMES, "width", "height")} | {"opencv": Array(12)}
_POSE = {"rotation": Array(9), "translation": Array(3)}  # from the camera to the world, metres


def color_camera(
    lens: Path,
    places: tuple[Path, Path],
    size: tuple[int, int],
    world_up: tuple[float, float, float],
    *,
    max_origin: float,
    known: tuple[tuple[float, float, float, float], float] | None = None,
) -> deltacamera.Camera:
    """Returns a sensor's colour camera, in millimetres.

    >>> from posepile.miniature.azure_kinect import write_kinects
    >>> cameras = write_kinects(folder, "room", (0, 100, 2600), (75, 0), main=1)
    >>> places = folder / "room/0/config.json", folder / "room/1/config.json"
    >>> lens = folder / "intrinsics/0/calibration.json"
    >>> camera = color_camera(lens, places, (2048, 1536), (0, -1, 0), max_origin=1e-3)
    >>> bool(np.allclose(camera.t, cameras[0].center, atol=0.01))
    True

    Args:
        lens: Calibration of the sensor.
        places: Of the sensor, and of the one that is the world.
        size: Of the pictures, which must be that of the calibration.
        world_up: Unit vector pointing up in the world.
        max_origin: How far the second sensor may be from the origin: metres, and entries of its
            rotation.
        known: Focal lengths and principal point, if it is known from elsewhere what they are, and
            how far the numbers may be from these, pixels.

    Raises:
        CorruptInput: The numbers by name are not those of the list ``opencv`` or those that are
            known; the size is another one; the world is another sensor's.
    """
    numbers = read_json(lens, {"color": _LENS})["color"]
    named = np.array([numbers[key] for key in LENS_NAMES])
    found = numbers["width"], numbers["height"]
    if not np.allclose(named, numbers["opencv"], rtol=1e-6, atol=0) or found != size:
        raise CorruptInput(
            lens,
            f"{' '.join(LENS_NAMES)}: found {named.tolist()}, opencv "
            f"{numbers['opencv'].tolist()}, size {found}; expected the same numbers, of pictures "
            f"{size}",
        )
    if known is not None and abs(named[:4] - known[0]).max() > known[1]:
        raise CorruptInput(lens, f"fx fy cx cy: found {named[:4].tolist()}; expected {known[0]}")
    poses = (read_json(file, _POSE) for file in places)
    pose, world = (np.c_[p["rotation"].reshape(3, 3), p["translation"]] for p in poses)
    if (off := abs(world - np.eye(3, 4)).max()) > max_origin:
        raise CorruptInput(
            places[1],
            f"this Kinect is {off:.3g} from the origin of the world; expected at most "
            f"{max_origin:g}, since it is the world",
        )
    return make_camera(
        places[0],
        camera_to_world=pose,
        unit="m",
        focal=tuple(named[:2]),
        principal=tuple(named[2:4]),
        distortion=named[4:],
        size=size,
        world_up=world_up,
    )

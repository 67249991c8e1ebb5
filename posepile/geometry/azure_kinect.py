"""Several Azure Kinects before one scene: lens and place of the colour cameras, from JSON.

Such files are written by programs that record with several sensors at once. Of each sensor there
is a calibration of its factory, ``calibration.json``, and a place in the world, ``config.json``;
the world is the colour camera of one of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json

# In the order of the list ``opencv``; the rational model of OpenCV.
LENS_NAMES = "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6".split()
_LENS = {key: Array() for key in (*LENS_NAMES, "width", "height")} | {"opencv": Array(12)}
_POSE = {"rotation": Array(9), "translation": Array(3)}  # from the camera to the world, metres


def read_place(path: Path, origin: Path, limit: float) -> np.ndarray:
    """Returns the pose of a sensor's colour camera ``[3, 4]``, camera to world, metres.

    >>> from posepile.miniature.azure_kinect import write_kinects
    >>> cameras = write_kinects(folder, "room", (0, 100, 2600), (75, 0), main=1)
    >>> place = read_place(folder / "room/0/config.json", folder / "room/1/config.json", 1e-3)
    >>> bool(np.allclose(1000 * place[:, 3], cameras[0].center))
    True

    Args:
        path: Of the sensor.
        origin: Of the sensor that is the world.
        limit: How far that one may be from the origin: metres, and entries of its rotation.

    Raises:
        CorruptInput: It is further away, so that the world is another one.
    """
    poses = (read_json(file, _POSE) for file in (origin, path))
    world, pose = (np.c_[p["rotation"].reshape(3, 3), p["translation"]] for p in poses)
    if (off := abs(world - np.eye(3, 4)).max()) > limit:
        found = f"this Kinect is {off:.3g} from the origin of the world"
        raise CorruptInput(origin, f"{found}; expected at most {limit:g}, since it is the world")
    return pose


def read_color_lens(
    path: Path,
    size: tuple[int, int],
    known: tuple[float, float, float, float] | None = None,
    limit: float = np.inf,
) -> dict:
    """Returns focal lengths, principal point, distortion and size of a sensor's colour camera.

    >>> from posepile.miniature.azure_kinect import write_kinects
    >>> cameras = write_kinects(folder, "room", (0, 100, 2600), (75, 0), main=1)
    >>> lens = read_color_lens(folder / "intrinsics/1/calibration.json", (2048, 1536))
    >>> [round(float(v), 3) for v in lens["focal"]], len(lens["distortion"])
    ([979.784, 979.84], 8)

    Args:
        path: The file.
        size: Of the pictures, which must be that of the file.
        known: Focal lengths and principal point, if it is known from elsewhere what they are.
        limit: How far the numbers may be from these, pixels.

    Returns:
        What :func:`posepile.geometry.cameras.make_camera` takes.

    Raises:
        CorruptInput: The numbers by name are not those of the list or those that are known, or
            the size is another one.
    """
    lens = read_json(path, {"color": _LENS})["color"]
    named, found = np.array([lens[key] for key in LENS_NAMES]), (lens["width"], lens["height"])
    if not np.allclose(named, lens["opencv"], rtol=1e-6, atol=0) or found != size:
        raise CorruptInput(
            path,
            f"{' '.join(LENS_NAMES)}: found {named.tolist()}, opencv {lens['opencv'].tolist()}, "
            f"size {found}; expected the same numbers, of pictures {size}",
        )
    if known is not None and abs(named[:4] - known).max() > limit:
        raise CorruptInput(path, f"fx fy cx cy: found {named[:4].tolist()}; expected {known}")
    focal, principal = tuple(named[:2]), tuple(named[2:4])
    return {"focal": focal, "principal": principal, "distortion": named[4:], "size": size}

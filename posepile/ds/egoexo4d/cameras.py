"""Cameras of the GoPros: the true lens behind the released matrix.

The videos are fisheye images. ``camera_intrinsics`` of the released ``camera_pose`` files is *not*
the matrix of that lens: it belongs to the image after undistortion, being what OpenCV's fisheye
``estimateNewCameraMatrixForUndistortRectify`` with balance 0.8 makes of the lens matrix. Only
``distortion_coeffs`` is of the lens. The lens matrix is in ``gopro_calibs.csv``; without that file
it is recovered here by inverting the function above.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.ds.egoexo4d.annotations import AGAIN
from posepile.formats.aria_files import read_static_calibs
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import camera_pose, make_camera, resize_intrinsics
from posepile.geometry.static_lens import Agreement, Released, calibrated_lens, recover_lens

if TYPE_CHECKING:
    from posepile.shapes.multiview import Cameras

BALANCE = 0.8
FULL_SIZES = ((3840, 2160), (2160, 3840))
SHORT_SIDE = 448  # of the downscaled copies
GET_CALIBS = "download the part take_trajectory, its gopro_calibs.csv settles it"
BOTH_AGAIN = "one of the two is of another release: download both again"

CAMERA_POSE = {"camera_intrinsics": None, "camera_extrinsics?": None, "distortion_coeffs?": None}
GOPRO = {
    "camera_intrinsics": Array(3, 3),
    "distortion_coeffs": Array(4, 1, squeezed=True),
    "camera_extrinsics": Array("3 or 4", 4),
}


def read_camera_pose(path: Path) -> dict[str, dict]:
    """Returns a take's localized cameras: key -> intrinsics, extrinsics, distortion."""
    found = read_json(path, {"metadata?": None, "*": None}, hint=AGAIN)
    entries = {k: v for k, v in found.items() if k != "metadata" and v is not None}
    entries = check(entries, {"*": CAMERA_POSE}, path, hint=AGAIN)
    names = ("camera_intrinsics", "camera_extrinsics")  # null: not localized
    return {k: v for k, v in entries.items() if all(v.get(n) is not None for n in names)}


def load_cameras(
    entry: dict, csv_file: Path | None, where: str, key: str, options: Any
) -> tuple[Cameras, Cameras]:
    """Returns the camera of a GoPro's video and that of the undistorted image of its 2D labels.

    The downscaled copy of a video is a resize of the full image by each axis' own factor (796/3840
    and 448/2160 differ).

    Args:
        entry: Entry of the camera in ``camera_pose``.
        csv_file: ``gopro_calibs.csv``, if there.
        where: File and camera, for messages.
        key: Of the camera.
        options: Of the dataset.
    """
    found = check(entry, GOPRO, where)
    pose = {"world_to_camera": found["camera_extrinsics"], "unit": "m"}
    rows = read_static_calibs(csv_file, hint=GET_CALIBS).get(key, []) if csv_file else []
    matrix, distortion, full = gopro_lens(found, rows, where, str(csv_file), options)
    size = downscaled_size(full) if options.video == "448" else full
    pixels = {"intrinsics": resize_intrinsics(matrix, full, size), "size": size}
    lens = {"distortion": distortion, "lens": "kannala_brandt"}
    undistorted = make_camera(where, **pose, intrinsics=found["camera_intrinsics"])
    return make_camera(where, **pose, **pixels, **lens), undistorted


def gopro_lens(
    entry: dict, rows: list[dict], where: str, csv_name: str, options: Any
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Returns matrix, Kannala-Brandt coefficients and size (width, height) of full-size images.

    Args:
        entry: Checked entry of the camera in the ``camera_pose`` file.
        rows: Its localized rows of ``gopro_calibs.csv``, empty if there are none.
        where: File and camera, for messages.
        csv_name: The csv file, for messages.
        options: Of the dataset.

    Raises:
        CorruptInput: Sources contradict each other, or the lens cannot be recovered.
    """
    distortion = entry["distortion_coeffs"].ravel()
    released = Released(entry["camera_intrinsics"], distortion, BALANCE, FULL_SIZES)
    if not rows:
        matrix, size = recover_lens(where, released, hint=GET_CALIBS)
        return matrix, distortion, size
    given = where, released, camera_pose(where, world_to_camera=entry["camera_extrinsics"]), rows
    limits = (options.max_calibs_difference, options.max_calibs_degrees, options.max_calibs_mm)
    return calibrated_lens(*given, Agreement(*limits), source=csv_name, hint=BOTH_AGAIN)


def downscaled_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns the size of the copies: short side 448, long side to the nearest even number."""
    long_side = 2 * round(max(size) * SHORT_SIDE / min(size) / 2)
    return (long_side, SHORT_SIDE) if size[0] >= size[1] else (SHORT_SIDE, long_side)

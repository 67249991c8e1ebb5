"""Cameras of the GoPros: the true lens behind the released matrix.

The videos are fisheye images. ``camera_intrinsics`` of the released ``camera_pose`` files is *not*
the matrix of that lens: it belongs to the image after undistortion, being what OpenCV's fisheye
``estimateNewCameraMatrixForUndistortRectify`` with balance 0.8 makes of the lens matrix. Only
``distortion_coeffs`` is of the lens. The lens matrix is in ``gopro_calibs.csv``; without that file
it is recovered here by inverting the function above.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d.annotations import AGAIN
from posepile.errors import CorruptInput
from posepile.formats.aria_files import read_static_calibs
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import camera_pose, make_camera, resize_intrinsics
from posepile.geometry.fitting import matrix_before_undistortion, undistorted_matrix
from posepile.geometry.rotations import matrix_rotvec, quaternion_matrix

if TYPE_CHECKING:
    from posepile.shapes.multiview import Cameras

BALANCE = 0.8
FULL_SIZES = ((3840, 2160), (2160, 3840))
SHORT_SIDE = 448  # of the downscaled copies
# How far gopro_calibs.csv may be from what is released: relative, degrees, millimetres.
MAX_DISAGREEMENT, MAX_ANGLE, MAX_DISTANCE = 1e-3, 0.1, 10
GET_CALIBS = "download the part take_trajectory, its gopro_calibs.csv settles it"
BOTH_AGAIN = "one of the two is of another release: download both again"

CAMERA_POSE = {"camera_intrinsics": None, "camera_extrinsics?": None, "distortion_coeffs?": None}
GOPRO = {
    "camera_intrinsics": Array(3, 3),
    "distortion_coeffs": Array(4, 1, squeezed=True),
    "camera_extrinsics": Array("3 or 4", 4),
}

# Matrix [3, 3], Kannala-Brandt coefficients [4], and the size (width, height) that they are for.
Lens = tuple[np.ndarray, np.ndarray, tuple[int, int]]


def read_camera_pose(path: Path) -> dict[str, dict]:
    """Returns a take's cameras: key -> intrinsics, extrinsics, distortion; one entry each."""
    found = read_json(path, {"metadata?": None, "*": CAMERA_POSE}, hint=AGAIN)
    return {key: value for key, value in found.items() if key != "metadata"}


def load_cameras(
    entry: dict, csv_file: Path | None, where: str, small: bool, key: str
) -> tuple[Cameras, Cameras]:
    """Returns the camera of a GoPro's video and that of the undistorted image of its 2D labels.

    Args:
        entry: Entry of the camera in ``camera_pose``.
        csv_file: ``gopro_calibs.csv``, if there.
        where: File and camera, for messages.
        small: For the downscaled copy of the video, a resize of the full image by each axis' own
            factor (796/3840 and 448/2160 differ).
        key: Of the camera.
    """
    found = check(entry, GOPRO, where)
    pose = {"world_to_camera": found["camera_extrinsics"], "unit": "m"}
    rows = read_static_calibs(csv_file, hint=GET_CALIBS).get(key, []) if csv_file else []
    matrix, distortion, full = gopro_lens(found, rows, where, str(csv_file))
    size = downscaled_size(full) if small else full
    pixels = {"intrinsics": resize_intrinsics(matrix, full, size), "size": size}
    lens = {"distortion": distortion, "lens": "kannala_brandt"}
    undistorted = make_camera(where, **pose, intrinsics=found["camera_intrinsics"])
    return make_camera(where, **pose, **pixels, **lens), undistorted


def gopro_lens(entry: dict, rows: list[dict], where: str, csv_name: str) -> Lens:
    """Returns the lens of one GoPro for full-size images.

    Args:
        entry: Its checked entry in the ``camera_pose`` file.
        rows: Its localized rows of ``gopro_calibs.csv``, empty if there are none.
        where: File and camera, for messages.
        csv_name: The csv file, for messages.

    Raises:
        CorruptInput: Sources contradict each other, or the lens cannot be recovered.
    """
    released, distortion = entry["camera_intrinsics"], entry["distortion_coeffs"].ravel()
    if not rows:
        return recover_lens(released, distortion, where)
    rotation, center = camera_pose(where, world_to_camera=entry["camera_extrinsics"])
    distances = [np.linalg.norm(row["center"] - center) for row in rows]
    row, distance = rows[np.argmin(distances)], 1000 * min(distances)
    turn = matrix_rotvec(rotation @ quaternion_matrix(row["rotation"]))
    angle = np.degrees(np.linalg.norm(turn))
    if angle > MAX_ANGLE or distance > MAX_DISTANCE:
        raise CorruptInput(
            where,
            f"pose differs from {csv_name} by {angle:.3f} degrees and {distance:.1f} mm",
            hint=BOTH_AGAIN,
        )
    matrix, size, full = row["intrinsics"], row["size"], full_size(released)
    if full and (size[0] > size[1]) != (full[0] > full[1]):  # upright, but given as landscape
        matrix, size = matrix[[1, 0, 2]][:, [1, 0, 2]], size[::-1]
    if full:
        matrix, size = np.diag([full[0] / size[0], full[0] / size[0], 1]) @ matrix, full
    fx = undistorted_matrix(matrix, row["distortion"], size, BALANCE)[0, 0]
    relative = abs(fx / released[0, 0] - 1)
    message = f"released fx {released[0, 0]:.3f} but {csv_name} gives {fx:.3f}"
    if abs(matrix[0, 2] - size[0] / 2) < 1 and full:
        f, recovered = matrix[0, 0], recover_lens(released, distortion, where)[0][0, 0]
        relative = max(relative, abs(recovered / f - 1))
        message += f" (lens f {recovered:.3f} and {f:.3f})"
    lens_off = np.abs(row["distortion"] - distortion).max()
    if max(relative, lens_off) > MAX_DISAGREEMENT:
        raise CorruptInput(
            where,
            f"{message}, distortion differs by {lens_off:.2g}: relative {relative:.2g}, "
            f"allowed {MAX_DISAGREEMENT:g}",
            hint=BOTH_AGAIN,
        )
    return matrix, row["distortion"], size


def recover_lens(released: np.ndarray, distortion: np.ndarray, where: str) -> Lens:
    """Returns the lens behind a released matrix ``[3, 3]``.

    Raises:
        CorruptInput: Off-centre matrix, or no focal length reproduces the released one.
    """
    size = full_size(released)
    if size is None:
        raise CorruptInput(
            where,
            f"principal point ({released[0, 2]:.3f}, {released[1, 2]:.3f}) is the centre of "
            "neither a 3840x2160 nor a 2160x3840 image, so the lens cannot be recovered",
            hint=GET_CALIBS,
        )
    given = (where, released, distortion, size, BALANCE)
    return matrix_before_undistortion(*given, hint=GET_CALIBS), distortion, size


def full_size(released: np.ndarray) -> tuple[int, int] | None:
    """Returns the image size of which the principal point is the middle, None if of neither."""
    twice = 2 * released[:2, 2]
    return next((size for size in FULL_SIZES if np.abs(twice - size).max() < 0.02), None)


def downscaled_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns the size of the copies: short side 448, long side to the nearest even number."""
    long_side = 2 * round(max(size) * SHORT_SIDE / min(size) / 2)
    return (long_side, SHORT_SIDE) if size[0] >= size[1] else (SHORT_SIDE, long_side)

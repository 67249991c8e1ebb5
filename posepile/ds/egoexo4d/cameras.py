"""Calibration of the GoPros: the true lens behind the released matrix.

The videos are fisheye images. ``camera_intrinsics`` of the released ``camera_pose`` files is *not*
the matrix of that lens: it belongs to the image after undistortion, being what OpenCV's fisheye
``estimateNewCameraMatrixForUndistortRectify`` with balance 0.8 makes of the lens matrix. Only
``distortion_coeffs`` is of the lens. The lens matrix is in ``gopro_calibs.csv``; without that file
it is recovered here by inverting the function above.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d.annotations import AGAIN
from posepile.errors import CorruptInput
from posepile.formats.schema import Array, OneOf, check
from posepile.formats.text_files import read_csv, read_json
from posepile.geometry import cameras
from posepile.geometry.fitting import matrix_before_undistortion, undistorted_matrix

if TYPE_CHECKING:
    import deltacamera

BALANCE = 0.8
FULL_SIZES = ((3840, 2160), (2160, 3840))
MAX_DISAGREEMENT = 1e-3  # relative: released or recovered against gopro_calibs.csv
GET_CALIBS = "download the part take_trajectory, its gopro_calibs.csv settles it"
ENTRY = {"camera_intrinsics": None, "camera_extrinsics?": None, "distortion_coeffs?": None}
GOPRO = {
    "camera_intrinsics": Array(3, 3),
    "distortion_coeffs": Array(4, 1, squeezed=True),
    "camera_extrinsics": Array("3 or 4", 4),
}
NUMBERS = [*(f"t{a}_world_cam" for a in "xyz"), *(f"q{a}_world_cam" for a in "xyzw")]
NUMBERS += ["image_width", "image_height", *(f"intrinsics_{i}" for i in range(8))]
# Of a camera that is not localized, the others may be empty.
CALIB_COLUMNS = {"cam_uid": str, "quality": float, "intrinsics_type?": str}
CALIB_COLUMNS |= {f"{name}?": float for name in NUMBERS}
CALIB_ROW = {"cam_uid": str, "intrinsics_type": OneOf("KANNALABRANDTK3")}
CALIB_ROW |= dict.fromkeys(NUMBERS, float)

released_matrix = partial(undistorted_matrix, balance=BALANCE)


@dataclass(frozen=True)
class Lens:
    """A GoPro as it is, for full-size images.

    Attributes:
        matrix: Intrinsics of the lens ``[3, 3]``.
        distortion: k1..k4 of the Kannala-Brandt model.
        size: Width and height of the image the matrix is for.
        rotation: World to camera ``[3, 3]``.
        translation: After rotation, metres ``[3]``.
        source: ``gopro_calibs`` or ``recovered``.
    """

    matrix: np.ndarray
    distortion: np.ndarray
    size: tuple[int, int]
    rotation: np.ndarray
    translation: np.ndarray
    source: str = "gopro_calibs"


def read_camera_pose(path: Path) -> dict:
    """Returns a take's cameras: key -> intrinsics, extrinsics, distortion; one entry each."""
    found = read_json(path, {"metadata?": None, "*": ENTRY}, hint=AGAIN)
    return {key: value for key, value in found.items() if key != "metadata"}


def load_camera(
    entry: dict, csv_file: Path | None, key: str, where: str, downscaled: bool
) -> deltacamera.Camera:
    """Returns the static camera of a GoPro for frames of the video, full-size or downscaled."""
    rows = read_gopro_calibs(csv_file) if csv_file else {}
    lens = exo_lens(entry, rows.get(key, []), where, str(csv_file or ""))
    return make_camera(lens, downscaled_size(lens.size) if downscaled else lens.size)


def exo_lens(entry: dict, calibs: list[Lens], where: str, csv_name: str = "") -> Lens:
    """Returns the calibration of one GoPro.

    Args:
        entry: Its entry in the ``camera_pose`` file.
        calibs: Its usable rows of ``gopro_calibs.csv``, empty if there are none.
        where: File and camera, for messages.
        csv_name: The csv file, for messages.

    Raises:
        CorruptInput: Sources contradict each other, or the lens cannot be recovered.
    """
    found = check(entry, GOPRO, where)
    released, distortion = found["camera_intrinsics"], found["distortion_coeffs"].ravel()
    rotation, _ = cameras.camera_pose(where, world_to_camera=found["camera_extrinsics"])
    translation = found["camera_extrinsics"][:3, 3]
    if not calibs:
        matrix, size = recover_lens(released, distortion, where)
        return Lens(matrix, distortion, size, rotation, translation, "recovered")

    calib = min(calibs, key=lambda c: _pose_difference(c, rotation, translation)[1])
    calib = _fit_to_released(calib, released)
    angle, distance = _pose_difference(calib, rotation, translation)
    fx = released[0, 0], released_matrix(calib.matrix, calib.distortion, calib.size)[0, 0]
    relative, lens_off = abs(fx[1] / fx[0] - 1), np.abs(calib.distortion - distortion).max()
    if abs(calib.matrix[0, 2] - calib.size[0] / 2) < 1 and centred_size(released):
        recovered, _ = recover_lens(released, distortion, where)
        relative = max(relative, abs(recovered[0, 0] / calib.matrix[0, 0] - 1))
    reason = ""
    if angle > 0.1 or distance > 0.01:
        reason = f"pose differs from {csv_name} by {angle:.3f} degrees and "
        reason += f"{1000 * distance:.1f} mm"
    elif relative > MAX_DISAGREEMENT or lens_off > MAX_DISAGREEMENT:
        reason = f"released fx {fx[0]:.3f} but {csv_name} gives {fx[1]:.3f} (relative "
        reason += f"{relative:.2g}), distortion differs by {lens_off:.2g}, allowed "
        reason += f"{MAX_DISAGREEMENT:g}"
    if reason:
        hint = "one of the two is of another release: download both again"
        raise CorruptInput(where, reason, hint=hint)
    return replace(calib, rotation=rotation, translation=translation)


def recover_lens(
    released: np.ndarray, distortion: np.ndarray, where: str = "camera_intrinsics"
) -> tuple[np.ndarray, tuple[int, int]]:
    """Returns the lens matrix ``[3, 3]`` behind a released one, and the image size.

    Raises:
        CorruptInput: Off-centre matrix, or no focal length reproduces the released one.
    """
    size = centred_size(released)
    if size is None:
        raise CorruptInput(
            where,
            f"principal point ({released[0, 2]:.3f}, {released[1, 2]:.3f}) is the centre of "
            "neither a 3840x2160 nor a 2160x3840 image, so the lens cannot be recovered",
            hint=GET_CALIBS,
        )
    lens = matrix_before_undistortion(where, released, distortion, size, BALANCE, hint=GET_CALIBS)
    return lens, size


def centred_size(released: np.ndarray) -> tuple[int, int] | None:
    """Returns the image size of which the principal point is the centre, None if of neither."""
    twice = 2 * released[:2, 2]
    return next((size for size in FULL_SIZES if np.abs(twice - size).max() < 0.02), None)


def read_gopro_calibs(path: Path) -> dict[str, list[Lens]]:
    """Returns ``gopro_calibs.csv``: camera -> its localized rows (quality 1).

    Raises:
        CorruptInput: Missing columns, not a number, or another lens model.
    """
    from scipy.spatial.transform import Rotation

    result: dict[str, list[Lens]] = {}
    for line, row in enumerate(read_csv(path, CALIB_COLUMNS, hint=GET_CALIBS), start=2):
        if row["quality"] != 1:
            continue
        row["intrinsics_type"] = (row["intrinsics_type"] or "").upper()
        found = check(row, CALIB_ROW, path, f"line {line}")
        to_world = Rotation.from_quat([found[f"q{a}_world_cam"] for a in "xyzw"]).as_matrix()
        center = np.array([found[f"t{a}_world_cam"] for a in "xyz"])
        fx, fy, cx, cy, *distortion = (found[f"intrinsics_{i}"] for i in range(8))
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        size = (int(found["image_width"]), int(found["image_height"]))
        lens = Lens(matrix, np.array(distortion), size, to_world.T, -to_world.T @ center)
        result.setdefault(found["cam_uid"], []).append(lens)
    return result


def make_camera(lens: Lens, image_size: tuple[int, int] | None = None) -> deltacamera.Camera:
    """Returns the camera for frames of the video, in millimetres.

    Frames of another size than the lens has are a resize of the full image, each axis by its own
    factor (796/3840 and 448/2160 differ).
    """
    size = image_size or lens.size
    return cameras.make_camera(
        "camera_pose",
        rotation=lens.rotation,
        translation=lens.translation,
        unit="m",
        intrinsics=cameras.resize_intrinsics(lens.matrix, lens.size, size),
        distortion=lens.distortion,
        lens="kannala_brandt",
        size=size,
    )


def downscaled_size(size: tuple[int, int], short_side: int = 448) -> tuple[int, int]:
    """Returns the size of the copies: short side 448, long side to the nearest even number."""
    long_side = 2 * round(max(size) * short_side / min(size) / 2)
    return (long_side, short_side) if size[0] >= size[1] else (short_side, long_side)


def project_undistorted(
    coords: np.ndarray, released: np.ndarray, rotation: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """Returns world millimetres ``[..., 3]`` as pixels ``[..., 2]`` of the undistorted image."""
    cam = coords / 1000 @ rotation.T + translation
    with np.errstate(invalid="ignore", divide="ignore"):
        cam = np.where(cam[..., 2:] > 0, cam, np.nan)
        return (cam @ released.T)[..., :2] / cam[..., 2:]


def _fit_to_released(calib: Lens, released: np.ndarray) -> Lens:
    """Turns a landscape calibration of an upright GoPro, then scales it to the released width."""
    size = centred_size(released)
    if size is None:
        return calib
    matrix, width = calib.matrix, calib.size[0]
    if (calib.size[0] > calib.size[1]) != (size[0] > size[1]):
        matrix, width = matrix[[1, 0, 2]][:, [1, 0, 2]], calib.size[1]
    scale = size[0] / width
    return replace(calib, matrix=matrix * np.array([[scale], [scale], [1.0]]), size=size)


def _pose_difference(calib: Lens, rotation: np.ndarray, translation: np.ndarray):
    """Returns the angle in degrees and the distance of the optical centres in metres."""
    cosine = (np.trace(calib.rotation @ rotation.T) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    centers = calib.rotation.T @ calib.translation - rotation.T @ translation
    return float(angle), float(np.linalg.norm(centers))

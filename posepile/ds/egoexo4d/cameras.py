"""Cameras: the GoPros with the true lens behind the released matrix, and the Aria glasses.

The GoPros' videos are fisheye images. ``camera_intrinsics`` of the ``camera_pose`` files is *not*
the matrix of that lens: it belongs to the image after undistortion, being what OpenCV's fisheye
``estimateNewCameraMatrixForUndistortRectify`` with balance 0.8 makes of the lens matrix. Only
``distortion_coeffs`` is of the lens. The lens matrix is in ``gopro_calibs.csv``; without that file
it is recovered here by inverting the function above.

The glasses have a pose per frame and a lens of their own, in a factory calibration.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d.annotations import AGAIN
from posepile.errors import CorruptInput
from posepile.formats.aria_files import (
    RECORDED_SIZE,
    StaticCamera,
    read_aria_lens,
    read_static_cameras,
    recorded_lens,
)
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import MovingCameras, camera_pose, make_camera, resize_intrinsics
from posepile.geometry.fitting import (
    centred_size,
    fit_fisheye624,
    matrix_before_undistortion,
    undistorted_matrix,
)

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

# Of the glasses
RGB_STREAM = "214-1"
MAX_RESIDUAL = 0.3  # pixels of the 1408 image
MAX_ANGLE = 55.0  # degrees from the axis: half the nominal field of view
QUARTER_TURNS = 1  # the video is turned clockwise: turn it back
GET_LENS = "download the part take_vrs_noimagestream or put the benchmark's JSON at "
# Corners of an upright column, mm from the glasses: 1.2 m wide, 0.2 m above to 1.75 m below them.
WEARER = np.array([[x, y, z] for x in (-600, 600) for y in (-600, 600) for z in (200, -1750)])

released_matrix = partial(undistorted_matrix, balance=BALANCE)
LENS = {"sizes": FULL_SIZES, "balance": BALANCE, "hint": GET_CALIBS}
recover_lens = partial(matrix_before_undistortion, **LENS)


def read_camera_pose(path: Path) -> dict:
    """Returns a take's cameras: key -> intrinsics, extrinsics, distortion; one entry each."""
    found = read_json(path, {"metadata?": None, "*": ENTRY}, hint=AGAIN)
    return {key: value for key, value in found.items() if key != "metadata"}


def load_gopro(
    entry: dict, csv_file: Path | None, key: str, where: str, downscaled: bool
) -> deltacamera.Camera:
    """Returns the static camera of a GoPro for frames of the video, full-size or downscaled."""
    rows = read_static_cameras(csv_file, hint=GET_CALIBS) if csv_file else {}
    return gopro_camera(gopro_lens(entry, rows.get(key, []), where, str(csv_file)), downscaled)


def gopro_lens(
    entry: dict, calibs: list[StaticCamera], where: str, csv_name: str = ""
) -> StaticCamera:
    """Returns the calibration of a GoPro by ``camera_pose`` and its rows of ``gopro_calibs.csv``.

    Raises:
        CorruptInput: The two contradict each other, or the lens cannot be recovered without rows.
    """
    found = check(entry, GOPRO, where)
    released, distortion = found["camera_intrinsics"], found["distortion_coeffs"].ravel()
    rotation, _ = camera_pose(where, world_to_camera=found["camera_extrinsics"])
    translation = found["camera_extrinsics"][:3, 3]
    if not calibs:
        matrix, size = recover_lens(where, released, distortion)
        return StaticCamera(matrix, distortion, size, rotation, translation)

    calib = min(calibs, key=lambda c: _pose_difference(c, rotation, translation)[1])
    calib = _fit_to_released(calib, released)
    angle, distance = _pose_difference(calib, rotation, translation)
    f, fx = calib.matrix[0, 0], released[0, 0]
    reproduced = released_matrix(calib.matrix, calib.distortion, calib.size)[0, 0]
    if abs(calib.matrix[0, 2] - calib.size[0] / 2) < 1 and centred_size(released, FULL_SIZES):
        recovered = recover_lens(where, released, distortion)[0][0, 0]
    else:
        recovered = f
    relative = max(abs(reproduced / fx - 1), abs(recovered / f - 1))
    lens_off, reason = np.abs(calib.distortion - distortion).max(), ""
    if angle > 0.1 or distance > 0.01:
        reason = f"pose differs from {csv_name} by {angle:.3f} degrees and "
        reason += f"{1000 * distance:.1f} mm"
    elif relative > MAX_DISAGREEMENT or lens_off > MAX_DISAGREEMENT:
        reason = f"released fx {fx:.3f} but {csv_name} gives {reproduced:.3f} (lens f "
        reason += f"{recovered:.3f} and {f:.3f}), distortion differs by {lens_off:.2g}: relative "
        reason += f"{relative:.2g}, allowed {MAX_DISAGREEMENT:g}"
    if reason:
        hint = "one of the two is of another release: download both again"
        raise CorruptInput(where, reason, hint=hint)
    return replace(calib, rotation=rotation, translation=translation)


def gopro_camera(lens: StaticCamera, downscaled: bool = False) -> deltacamera.Camera:
    """Returns the camera for frames of the video, in millimetres.

    The downscaled copies have a short side of 448 and a long one of the nearest even number, so
    each axis has its own factor (796/3840 and 448/2160 differ).
    """
    size = lens.size
    if downscaled:
        size = tuple(2 * round(side * 448 / min(size) / 2) for side in size)
    return make_camera(
        "camera_pose",
        rotation=lens.rotation,
        translation=lens.translation,
        unit="m",
        intrinsics=resize_intrinsics(lens.matrix, lens.size, size),
        distortion=lens.distortion,
        lens="kannala_brandt",
        size=size,
    )


def project_undistorted(
    coords: np.ndarray, released: np.ndarray, rotation: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """Returns world millimetres ``[..., 3]`` as pixels ``[..., 2]`` of the undistorted image."""
    cam = coords / 1000 @ rotation.T + translation
    with np.errstate(invalid="ignore", divide="ignore"):
        cam = np.where(cam[..., 2:] > 0, cam, np.nan)
        return (cam @ released.T)[..., :2] / cam[..., 2:]


def _fit_to_released(calib: StaticCamera, released: np.ndarray) -> StaticCamera:
    """Turns a landscape calibration of an upright GoPro, then scales it to the released width."""
    size = centred_size(released, FULL_SIZES)
    if size is None:
        return calib
    matrix, width = calib.matrix, calib.size[0]
    if (calib.size[0] > calib.size[1]) != (size[0] > size[1]):
        matrix, width = matrix[[1, 0, 2]][:, [1, 0, 2]], calib.size[1]
    scale = size[0] / width
    return replace(calib, matrix=matrix * np.array([[scale], [scale], [1.0]]), size=size)


def _pose_difference(calib: StaticCamera, rotation: np.ndarray, translation: np.ndarray):
    """Returns the angle in degrees and the distance of the optical centres in metres."""
    cosine = np.clip((np.trace(calib.rotation @ rotation.T) - 1) / 2, -1, 1)
    centers = calib.rotation.T @ calib.translation - rotation.T @ translation
    return float(np.degrees(np.arccos(cosine))), float(np.linalg.norm(centers))


# ---------------------------------------------------------------- the glasses


def in_field(rays: np.ndarray) -> np.ndarray:
    """Returns whether points in camera axes ``[..., 3]`` are where the fitted lens holds."""
    with np.errstate(invalid="ignore"):
        angle = np.arctan2(np.hypot(rays[..., 0], rays[..., 1]), rays[..., 2])
        return angle <= np.radians(MAX_ANGLE)


def extrinsics(entry: dict, where: str) -> dict[int, np.ndarray]:
    """Returns the poses of the glasses as published: frame -> world to camera, metres."""
    found = check(entry.get("camera_extrinsics") or {}, {"*": Array("3 or 4", 4)}, where)
    return {int(frame): matrix for frame, matrix in found.items()}


def moving(entry: dict, where: str, **lens) -> MovingCameras:
    """Returns the cameras of the glasses by frame number; single frames are missing."""
    poses = extrinsics(entry, where)
    matrices = np.array(list(poses.values())) if poses else np.empty((0, 3, 4))
    return MovingCameras(where, list(poses), {"world_to_camera": matrices, "unit": "m", **lens})


def aria_key(entries: dict) -> str | None:
    """Returns the key of the glasses in a ``camera_pose`` file: the first with ``aria`` in it."""
    return next((k for k in entries if "aria" in k), None)


def wearer_outlines(entries: dict, where: str) -> dict[int, np.ndarray]:
    """Returns where the wearer is by the pose of the glasses in a ``camera_pose`` file alone.

    That is frame -> corners of a column, ``[8, 3]`` world millimetres; gaps are missing.
    """
    key = aria_key(entries)
    found = moving(entries[key] if key else {}, f"{where}, {key}")
    return dict(zip(found.frames.tolist(), found.centers[:, None] + WEARER, strict=True))


@lru_cache(maxsize=8)
def read_glasses(path: Path) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], str]:
    """Returns poses of the glasses by frame (rotation, translation in metres), and their key.

    Raises:
        CorruptInput: No glasses in the file, or an entry that is no pose.
    """
    entries = read_camera_pose(path)
    key = aria_key(entries)
    if key is None:
        raise CorruptInput(path, "no camera of the glasses (a key with 'aria') in it")
    moving(entries[key], f"{path}, {key}")  # checks that they are poses
    # As published, not by way of the centre: figures agree with the official ones to the digit.
    poses = extrinsics(entries[key], f"{path}, {key}")
    return {frame: (m[:3, :3], m[:3, 3]) for frame, m in poses.items()}, key


def load_glasses(
    entry: dict, calibration: Path | None, where: str, downscaled: bool, take_name: str
) -> tuple[MovingCameras, float]:
    """Returns cameras of the ego view by frame, and the residual of the lens (1408 pixels).

    They are those of the video, full-size or downscaled, as turned back to landscape, by the entry
    in ``camera_pose`` and the file with the factory calibration.
    """
    params = read_lens(calibration, where, take_name)
    hint = "compare the calibration with that of another take, or set dataset.ego=false"
    limits = RECORDED_SIZE, MAX_ANGLE, MAX_RESIDUAL
    matrix, coefficients, residual = fit_fisheye624(str(calibration), params, *limits, hint=hint)
    size = (448, 448) if downscaled else RECORDED_SIZE
    matrix = resize_intrinsics(matrix, RECORDED_SIZE, size)
    return moving(entry, where, intrinsics=matrix, distortion=coefficients, size=size), residual


def read_lens(calibration: Path | None, where: str, take_name: str) -> np.ndarray:
    """Returns FISHEYE624 parameters for the recorded 1408 image from a factory calibration."""
    if calibration is None:
        hint = f"{GET_LENS}aria_calib_json/takes/{take_name}.json"
        raise CorruptInput(where, "no factory calibration of the glasses", hint=hint)
    params = read_aria_lens(calibration, hint=f"{GET_LENS}aria_calib_json/takes/")
    return recorded_lens(params, str(calibration))

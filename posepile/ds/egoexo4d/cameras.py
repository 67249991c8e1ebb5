"""Calibration of the GoPros: the true lens behind the released matrix.

The videos are fisheye images. ``camera_intrinsics`` of the released ``camera_pose`` files is *not*
the matrix of that lens: it belongs to the image after undistortion, being what OpenCV's fisheye
``estimateNewCameraMatrixForUndistortRectify`` with balance 0.8 makes of the lens matrix. Only
``distortion_coeffs`` is of the lens. The lens matrix is in ``gopro_calibs.csv``; without that file
it is recovered here by inverting the function above.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d.annotations import Labels, read_json
from posepile.errors import CorruptInput
from posepile.geometry.cameras import resize_intrinsics
from posepile.geometry.rotations import check_rotation

if TYPE_CHECKING:
    import deltacamera

BALANCE = 0.8
FOCAL_RANGE = (100.0, 5000.0)  # pixels
FULL_SIZES = ((3840, 2160), (2160, 3840))
MAX_RELEASED_ERROR = 1e-4  # pixels: how well a recovered lens must reproduce the released fx
MAX_DISAGREEMENT = 1e-3  # relative: released or recovered against gopro_calibs.csv
GET_CALIBS = "download the part take_trajectory, its gopro_calibs.csv settles it"


@dataclass(frozen=True)
class Lens:
    """A GoPro as it is, for full-size images.

    Attributes:
        matrix: Intrinsics of the lens ``[3, 3]``.
        distortion: k1..k4 of the Kannala-Brandt model.
        size: Width and height of the image the matrix is for.
        rotation: World to camera ``[3, 3]``.
        translation: After rotation, metres ``[3]``.
        released: The released matrix, of the undistorted image ``[3, 3]``.
        source: ``gopro_calibs`` or ``recovered``.
    """

    matrix: np.ndarray
    distortion: np.ndarray
    size: tuple[int, int]
    rotation: np.ndarray
    translation: np.ndarray
    released: np.ndarray
    source: str


@dataclass(frozen=True)
class GoproCalib:
    """A row of ``gopro_calibs.csv``."""

    matrix: np.ndarray
    distortion: np.ndarray
    size: tuple[int, int]
    rotation: np.ndarray
    translation: np.ndarray


def read_camera_pose(path: Path) -> dict:
    """Returns a take's cameras: key -> intrinsics, extrinsics, distortion; checked for form."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise CorruptInput(path, "expected a map from camera to calibration")
    cameras = {k: v for k, v in content.items() if k != "metadata"}
    for name, entry in cameras.items():
        if not isinstance(entry, dict) or "camera_intrinsics" not in entry:
            raise CorruptInput(
                path,
                f"entry {name!r} has no camera_intrinsics",
                hint="the released files have one entry per camera, not per frame",
            )
    return cameras


def load_camera(
    entry: dict, csv_file: Path | None, key: str, where: str, downscaled: bool
) -> tuple[deltacamera.Camera, Callable]:
    """Returns the static camera of a GoPro and its pose (metres) as a function of the frame."""
    rows = read_gopro_calibs(csv_file) if csv_file else {}
    lens = exo_lens(entry, rows.get(key, []), where, str(csv_file or ""))
    size = downscaled_size(lens.size) if downscaled else lens.size
    return make_camera(lens, size), lambda _: (lens.rotation, lens.translation)


def exo_lens(entry: dict, calibs: list[GoproCalib], where: str, csv_name: str = "") -> Lens:
    """Calibration of one GoPro from its ``camera_pose`` entry and ``gopro_calibs.csv``.

    Args:
        entry: Its entry in the ``camera_pose`` file.
        calibs: Its usable rows of ``gopro_calibs.csv``, empty if there are none.
        where: File and camera, for messages.
        csv_name: The csv file, for messages.

    Raises:
        CorruptInput: Sources contradict each other, or the lens cannot be recovered.
    """
    released = _array(entry, "camera_intrinsics", (3, 3), where)
    distortion = _array(entry, "distortion_coeffs", (4,), where)
    rotation, translation = split_extrinsics(entry.get("camera_extrinsics"), where)
    if not calibs:
        matrix, size = recover_lens(released, distortion, where)
        return Lens(matrix, distortion, size, rotation, translation, released, "recovered")

    calib = min(calibs, key=lambda c: _pose_difference(c, rotation, translation)[1])
    calib = _fit_to_released(calib, released)
    angle, distance = _pose_difference(calib, rotation, translation)
    if angle > 0.1 or distance > 0.01:
        raise CorruptInput(
            where,
            f"pose differs from {csv_name} by {angle:.3f} degrees and {1000 * distance:.1f} mm",
            hint="one of the two is of another release: download both again",
        )
    reproduced = released_matrix(calib.matrix, calib.distortion, calib.size)
    lens_off = np.abs(calib.distortion - distortion).max()
    relative = abs(reproduced[0, 0] / released[0, 0] - 1)
    message = f"released fx {released[0, 0]:.3f} but {csv_name} gives {reproduced[0, 0]:.3f}"
    if abs(calib.matrix[0, 2] - calib.size[0] / 2) < 1 and _is_centred(released):
        recovered, _ = recover_lens(released, distortion, where)
        relative = max(relative, abs(recovered[0, 0] / calib.matrix[0, 0] - 1))
        message += f" (lens f {recovered[0, 0]:.3f} and {calib.matrix[0, 0]:.3f})"
    if relative > MAX_DISAGREEMENT or lens_off > MAX_DISAGREEMENT:
        raise CorruptInput(
            where,
            f"{message}, distortion differs by {lens_off:.2g}: relative {relative:.2g}, "
            f"allowed {MAX_DISAGREEMENT:g}",
            hint="one of the two is of another release: download both again",
        )
    return Lens(
        calib.matrix, calib.distortion, calib.size, rotation, translation, released, "gopro_calibs"
    )


def recover_lens(
    released: np.ndarray, distortion: np.ndarray, where: str = "camera_intrinsics"
) -> tuple[np.ndarray, tuple[int, int]]:
    """Finds the lens matrix whose undistorted image has the released matrix.

    The principal point is the image centre, which the function leaves where it is; what remains is
    one number, the focal length, of which the released one is a strictly increasing function as
    long as the whole image is in front of the lens.

    Args:
        released: ``[3, 3]``.
        distortion: k1..k4 ``[4]``.
        where: For messages.

    Returns:
        The lens matrix ``[3, 3]`` and the image size (width, height).

    Raises:
        CorruptInput: Off-centre matrix, or no focal length reproduces the released one.
    """
    from scipy.optimize import brentq

    size = (round(2 * released[0, 2]), round(2 * released[1, 2]))
    if not _is_centred(released):
        raise CorruptInput(
            where,
            f"principal point ({released[0, 2]:.3f}, {released[1, 2]:.3f}) is the centre of "
            "neither a 3840x2160 nor a 2160x3840 image, so the lens cannot be recovered",
            hint=GET_CALIBS,
        )
    aspect = released[0, 0] / released[1, 1]

    def lens(f: float) -> np.ndarray:
        return np.array([[f, 0, released[0, 2]], [0, f / aspect, released[1, 2]], [0, 0, 1]])

    def error(f: float) -> float:
        return released_matrix(lens(f), distortion, size)[0, 0] - released[0, 0]

    low = max(FOCAL_RANGE[0], max(size) / 2 / _largest_distorted_angle(distortion))
    if not error(low) <= 0 <= error(FOCAL_RANGE[1]):
        raise CorruptInput(
            where,
            f"no focal length of {low:.0f}..{FOCAL_RANGE[1]:.0f} px gives the released fx "
            f"{released[0, 0]:.3f} with distortion {distortion.tolist()}",
            hint=GET_CALIBS,
        )
    f = brentq(error, low, FOCAL_RANGE[1], xtol=1e-9, rtol=1e-12)
    if abs(error(f)) > MAX_RELEASED_ERROR:
        raise CorruptInput(
            where,
            f"the recovered focal length {f:.4f} px gives fx {released[0, 0] + error(f):.6f}, not "
            f"the released {released[0, 0]:.6f}",
            hint=GET_CALIBS,
        )
    return lens(f), size


def released_matrix(
    matrix: np.ndarray, distortion: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """The matrix ``[3, 3]`` of the undistorted image, as the release made it from the lens."""
    import cv2

    return cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        np.asarray(matrix, np.float64),
        np.asarray(distortion, np.float64),
        tuple(size),
        np.eye(3),
        balance=BALANCE,
    )


def read_gopro_calibs(path: Path) -> dict[str, list[GoproCalib]]:
    """Reads ``gopro_calibs.csv``: camera -> its localized rows (quality 1).

    Raises:
        CorruptInput: Missing columns, not a number, or another lens model.
    """
    result: dict[str, list[GoproCalib]] = {}
    with open(path, newline="") as f:
        rows = csv.DictReader(f, skipinitialspace=True)
        for line, raw in enumerate(rows, start=2):
            row = {(k or "").strip(): (v or "").strip() for k, v in raw.items() if k is not None}
            try:
                if int(float(row["quality"])) != 1:
                    continue  # not localized: the rest of the row may be empty
                if row["intrinsics_type"].upper() != "KANNALABRANDTK3":
                    raise CorruptInput(
                        path,
                        f"line {line}: lens model {row['intrinsics_type']!r}, expected "
                        "KANNALABRANDTK3",
                    )
                calib = _calib_of_row(row)
            except (KeyError, ValueError) as e:
                raise CorruptInput(path, f"line {line}: {type(e).__name__} {e}") from None
            result.setdefault(row["cam_uid"], []).append(calib)
    return result


def make_camera(lens: Lens, image_size: tuple[int, int] | None = None) -> deltacamera.Camera:
    """Returns the camera for frames of the video, in millimetres.

    Args:
        lens: The calibration.
        image_size: Width and height of the frames, default full size; another size is a resize of
            the full image, each axis by its own factor (796/3840 and 448/2160 differ).
    """
    import deltacamera
    from deltacamera.distortion_models import FisheyeKannalaBrandt

    size = image_size or lens.size
    return deltacamera.Camera(
        optical_center=-lens.rotation.T @ lens.translation * 1000,
        rot_world_to_cam=lens.rotation,
        intrinsic_matrix=resize_intrinsics(lens.matrix, lens.size, size),
        distortion_model=FisheyeKannalaBrandt(lens.distortion),
        world_up=(0, 0, 1),
        image_size=size,
    )


def downscaled_size(size: tuple[int, int], short_side: int = 448) -> tuple[int, int]:
    """Returns the size of the copies: short side 448, long side to the nearest even number."""
    long_side = 2 * round(max(size) * short_side / min(size) / 2)
    return (long_side, short_side) if size[0] >= size[1] else (short_side, long_side)


def split_extrinsics(matrix: object, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of a 3x4 world-to-camera matrix; refuses what is no rotation."""
    try:
        matrix = np.array(matrix, np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape not in ((3, 4), (4, 4)) or not np.isfinite(matrix).all():
        raise CorruptInput(where, "camera_extrinsics is not a 3x4 matrix of numbers")
    rotation, translation = matrix[:3, :3], matrix[:3, 3]
    return check_rotation(rotation, where), translation


def project_undistorted(
    coords: np.ndarray, released: np.ndarray, rotation: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """World millimetres ``[..., 3]`` to pixels of the released, undistorted image ``[..., 2]``."""
    cam = coords / 1000 @ rotation.T + translation
    with np.errstate(invalid="ignore", divide="ignore"):
        cam = np.where(cam[..., 2:] > 0, cam, np.nan)
        return (cam @ released.T)[..., :2] / cam[..., 2:]


def reprojection_residuals(
    files: list[Labels],
    key: str,
    released: np.ndarray,
    pose_of_frame: Callable[[int], tuple[np.ndarray, np.ndarray] | None],
) -> np.ndarray:
    """Distance of every 2D label from its projected 3D label, in undistorted pixels ``[n]``."""
    residuals = []
    for labels in files:
        for k, frame in enumerate(labels.frames):
            pose = pose_of_frame(int(frame))
            if pose is not None:
                points = project_undistorted(labels.coords[k], released, *pose)
                off = np.linalg.norm(points - labels.image[key][k], axis=-1)
                residuals.append(off[np.isfinite(off)])
    return np.concatenate(residuals) if residuals else np.empty(0)


def _calib_of_row(row: dict[str, str]) -> GoproCalib:
    number = {k: float(row[k]) for k in row if k.startswith(("t", "q", "intrinsics_")) and row[k]
              and k != "intrinsics_type"}  # fmt: skip
    x, y, z, w = (number[f"q{a}_world_cam"] for a in "xyzw")
    norm = np.sqrt(x * x + y * y + z * z + w * w)
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    to_world = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    center = np.array([number[f"t{a}_world_cam"] for a in "xyz"])
    fx, fy, cx, cy, *distortion = (number[f"intrinsics_{i}"] for i in range(8))
    return GoproCalib(
        np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        np.array(distortion),
        (int(float(row["image_width"])), int(float(row["image_height"]))),
        to_world.T,
        -to_world.T @ center,
    )


def _fit_to_released(calib: GoproCalib, released: np.ndarray) -> GoproCalib:
    """Turns a landscape calibration of an upright GoPro, then scales it to the released width."""
    if not _is_centred(released):
        return calib
    matrix, size = calib.matrix, tuple(round(2 * c) for c in released[:2, 2])
    if (calib.size[0] > calib.size[1]) != (size[0] > size[1]):
        matrix = matrix[[1, 0, 2]][:, [1, 0, 2]]
    scale = size[0] / (calib.size[0] if matrix is calib.matrix else calib.size[1])
    matrix = matrix * np.array([[scale], [scale], [1.0]])
    return replace(calib, matrix=matrix, size=size)


def _pose_difference(calib: GoproCalib, rotation: np.ndarray, translation: np.ndarray):
    """Angle in degrees and distance of the optical centres in metres."""
    cosine = (np.trace(calib.rotation @ rotation.T) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    centers = calib.rotation.T @ calib.translation - rotation.T @ translation
    return float(angle), float(np.linalg.norm(centers))


def _largest_distorted_angle(distortion: np.ndarray) -> float:
    """Returns the largest theta_d of angles below 89 degrees, before the polynomial turns back."""
    t = np.radians(np.linspace(0, 89, 891))
    t2 = t * t
    d = t * (1 + t2 * np.polyval(distortion[::-1], t2))
    turn = np.flatnonzero(np.diff(d) <= 0)
    # OpenCV clips distorted angles to 90 degrees.
    return float(min(d[turn[0] if len(turn) else -1], np.pi / 2))


def _is_centred(released: np.ndarray) -> bool:
    """Returns whether twice the principal point is one of the two image sizes there are."""
    twice = 2 * released[:2, 2]
    return any(np.abs(twice - size).max() < 0.02 for size in FULL_SIZES)


def _array(entry: dict, key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    try:
        array = np.array(entry.get(key), np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if key == "distortion_coeffs":
        array = array.ravel()
    if array.shape != shape or not np.isfinite(array).all():
        raise CorruptInput(where, f"{key} is not {'x'.join(map(str, shape))} numbers")
    return array

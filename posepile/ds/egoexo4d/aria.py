"""The ego view: camera of the Aria glasses, from the factory calibration and the poses per frame.

The RGB camera is a FISHEYE624 lens (six radial, two tangential, four thin-prism coefficients on
the angle), which is not a model the crops can be taken through. It is fitted once per take by the
rational Brown-Conrady model of twelve coefficients, which holds the same kinds of terms; over the
nominal field of view of 110 degrees the two agree to about 0.1 px. Four Kannala-Brandt
coefficients would not do (0.6 px): they have no tangential terms. The worst difference is measured
at every fit, and a fit above ``MAX_RESIDUAL`` is refused.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d.annotations import read_json
from posepile.ds.egoexo4d.cameras import read_camera_pose, split_extrinsics
from posepile.errors import CorruptInput
from posepile.geometry.cameras import resize_intrinsics

if TYPE_CHECKING:
    import deltacamera

RGB_STREAM = "214-1"
RGB_LABEL = "camera-rgb"
IMAGE_SIZE = (1408, 1408)
SENSOR_CROP = 32  # the recorded image leaves out a border of 32 sensor pixels, then halves
N_PARAMS = 15  # f, cx, cy, k0..k5, p0, p1, s0..s3
MAX_RESIDUAL = 0.3  # pixels of the 1408 image
MAX_ANGLE = 55.0  # degrees from the axis: half the nominal field of view
QUARTER_TURNS = 1  # the video is turned clockwise: turn it back


class AriaCameras:
    """Camera of each frame; None where the trajectory has a gap.

    Frames are looked up by their number, never by position: single frames are missing.
    """

    def __init__(self, extrinsics: dict, matrix, coefficients, size: tuple[int, int], where: str):
        self._extrinsics = extrinsics
        self._matrix = matrix
        self._coefficients = coefficients
        self._size = size
        self._where = where

    def __call__(self, frame: int) -> deltacamera.Camera | None:
        """Returns the camera of a frame as turned back to landscape, in millimetres."""
        import deltacamera
        from deltacamera.distortion_models import BrownConradyEx

        pose = self.pose(frame)
        if pose is None:
            return None
        rotation, translation = pose
        return deltacamera.Camera(
            optical_center=-rotation.T @ translation * 1000,
            rot_world_to_cam=rotation,
            intrinsic_matrix=self._matrix,
            distortion_model=BrownConradyEx(self._coefficients),
            world_up=(0, 0, 1),
            image_size=self._size,
        )

    def pose(self, frame: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns world-to-camera rotation and translation in metres, None in a gap."""
        if str(frame) not in self._extrinsics:
            return None
        return split_extrinsics(self._extrinsics[str(frame)], f"{self._where}, frame {frame}")


def in_field(rays: np.ndarray) -> np.ndarray:
    """Returns whether points in camera axes ``[..., 3]`` are where the fitted lens holds."""
    with np.errstate(invalid="ignore"):
        angle = np.arctan2(np.hypot(rays[..., 0], rays[..., 1]), rays[..., 2])
        return angle <= np.radians(MAX_ANGLE)


def wearer_outline(cameras: dict, where: str) -> Callable[[int], np.ndarray | None]:
    """Returns where the wearer is, by the pose of the glasses alone.

    Args:
        cameras: The ``camera_pose`` file.
        where: The file, for messages.

    Returns:
        Frame -> corners ``[8, 3]`` in world millimetres of an upright column 1.2 m wide from 0.2 m
        above the glasses to 1.75 m below them, None in a gap.
    """
    key = aria_key(cameras)
    extrinsics = cameras[key].get("camera_extrinsics") if key else None
    poses = AriaCameras(extrinsics or {}, None, None, IMAGE_SIZE, f"{where}, {key}")
    corners = np.array([[x, y, z] for x in (-600, 600) for y in (-600, 600) for z in (200, -1750)])

    def outline(frame: int) -> np.ndarray | None:
        pose = poses.pose(frame)
        return None if pose is None else corners - 1000 * pose[0].T @ pose[1]

    return outline


def aria_key(cameras: dict) -> str | None:
    """Returns the key of the glasses in a ``camera_pose`` file: the first with ``aria`` in it."""
    return next((k for k in cameras if "aria" in k), None)


@lru_cache(maxsize=8)
def read_glasses(path: Path) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], str]:
    """Returns poses of the glasses by frame (rotation, translation in metres), and their key.

    Raises:
        CorruptInput: No glasses in the file, or an entry that is no pose.
    """
    cameras = read_camera_pose(path)
    key = aria_key(cameras)
    if key is None:
        raise CorruptInput(path, "no camera of the glasses (a key with 'aria') in it")
    poses = cameras[key].get("camera_extrinsics") or {}
    return {int(f): split_extrinsics(m, f"{path}, {key}, {f}") for f, m in poses.items()}, key


def load_cameras(
    entry: dict, calibration: Path | None, where: str, downscaled: bool, take_name: str
) -> tuple[AriaCameras, Callable, float]:
    """Returns cameras of the ego view, their poses (metres) and how well the lens is matched.

    Args:
        entry: Entry of the glasses in ``camera_pose``.
        calibration: File with the factory calibration.
        where: File and camera, for messages.
        downscaled: For the 448x448 copy of the video.
        take_name: For messages.

    Returns:
        The cameras by frame, the pose by frame (None in gaps), and the residual of the lens fit in
        pixels of the 1408 image.
    """
    extrinsics = entry.get("camera_extrinsics")
    if not isinstance(extrinsics, dict):
        raise CorruptInput(where, "camera_extrinsics of the glasses is not a map from frame")
    params = read_lens(calibration, where, take_name)
    matrix, coefficients, residual = fit_lens(tuple(params), str(calibration))
    size = (448, 448) if downscaled else IMAGE_SIZE
    matrix = resize_intrinsics(matrix, IMAGE_SIZE, size)
    cameras = AriaCameras(extrinsics, matrix, coefficients, size, where)
    return cameras, cameras.pose, residual


def read_lens(calibration: Path | None, where: str, take_name: str) -> np.ndarray:
    """Returns FISHEYE624 parameters for the recorded 1408 image from a factory calibration."""
    if calibration is None:
        raise CorruptInput(
            where,
            "no factory calibration of the glasses",
            hint="download the part take_vrs_noimagestream or put the benchmark's JSON at "
            f"aria_calib_json/takes/{take_name}.json",
        )
    return to_recorded(read_calibration(calibration), str(calibration))


def calibration_files(root: Path, take_name: str, take_dir: Path, key: str) -> tuple[Path, ...]:
    """Returns the files that may hold the factory calibration of a take, best first.

    Either a JSON of the benchmark's collection, ``aria_calib_json/takes/<take>.json``, or the VRS
    recording of the take, with or without image streams.
    """
    return (
        root / "aria_calib_json" / "takes" / f"{take_name}.json",
        root / "aria_calib_json" / f"{take_name}.json",
        take_dir / f"{key}_noimagestreams.vrs",
        take_dir / f"{key}.vrs",
    )


def read_calibration(path: Path) -> np.ndarray:
    """FISHEYE624 parameters of the RGB camera for the 2880 sensor, float64 ``[15]``.

    Raises:
        CorruptInput: No calibration of that camera or of that form in the file.
    """
    content = _json_of_vrs(path) if path.suffix == ".vrs" else read_json(path)
    try:
        camera = next(c for c in content["CameraCalibrations"] if c["Label"] == RGB_LABEL)
        model = camera["Projection"]["Name"]
        params = np.array(camera["Projection"]["Params"], np.float64)
    except (KeyError, TypeError, ValueError, StopIteration):
        raise CorruptInput(path, f"no calibration of {RGB_LABEL} in it") from None
    if model.lower() not in ("fisheyeradtanthinprism", "fisheye624") or len(params) != N_PARAMS:
        raise CorruptInput(
            path, f"lens model {model} with {len(params)} parameters, expected FISHEYE624 with 15"
        )
    return params


def to_recorded(params: np.ndarray, where: str = "calibration") -> np.ndarray:
    """Returns parameters for the recorded 1408 image from those of the 2880 sensor."""
    params = np.array(params, np.float64)
    params[0] /= 2
    params[1:3] = (params[1:3] - 0.5 - SENSOR_CROP) / 2
    if np.abs(params[1:3] - (IMAGE_SIZE[0] - 1) / 2).max() > 100:
        raise CorruptInput(
            where,
            f"principal point ({params[1]:.0f}, {params[2]:.0f}) is far from the centre of the "
            "1408 image: the calibration is not of the 2880 sensor",
        )
    return params


def project_fisheye624(params: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Returns pixels ``[n, 2]`` of rays ``[n, 3]`` in camera axes, by the FISHEYE624 formulas."""
    f, center, k, p, s = params[0], params[1:3], params[3:9], params[9:11], params[11:15]
    xy = rays[:, :2] / rays[:, 2:]
    r = np.hypot(xy[:, 0], xy[:, 1])
    t = np.arctan(r)
    t2 = t * t
    t_d = t * (1 + t2 * np.polyval(k[::-1], t2))
    u = xy * np.where(r > 1e-12, t_d / np.where(r > 1e-12, r, 1), 1)[:, None]
    r2 = (u**2).sum(axis=1, keepdims=True)
    tangential = 2 * u * (u @ p)[:, None] + p * r2
    prism = s[[0, 2]] * r2 + s[[1, 3]] * r2**2
    return f * (u + tangential + prism) + center


@lru_cache(maxsize=8)
def fit_lens(params: tuple[float, ...], where: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Fits pinhole plus rational Brown-Conrady to a FISHEYE624 lens.

    Args:
        params: FISHEYE624 parameters for the image.
        where: For messages.

    Returns:
        Intrinsics ``[3, 3]``, coefficients in OpenCV order ``[12]`` and the largest difference in
        pixels between the lens and the camera made of them.

    Raises:
        CorruptInput: The difference is above ``MAX_RESIDUAL``.
    """
    import deltacamera
    from deltacamera.distortion_models import BrownConradyEx
    from scipy.optimize import least_squares

    params = np.array(params)
    angles = np.radians(np.linspace(1, MAX_ANGLE, 24))
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    a, b = (g.ravel() for g in np.meshgrid(angles, around))
    rays = np.stack([np.tan(a) * np.cos(b), np.tan(a) * np.sin(b), np.ones_like(a)], axis=1)
    target = project_fisheye624(params, rays)
    in_image = ((target > -0.5) & (target < IMAGE_SIZE[0] - 0.5)).all(axis=1)
    rays, target = rays[in_image], target[in_image]

    # Reweighting by the error turns least squares towards the smallest worst error.
    q, weights = np.concatenate([params[:3], np.zeros(12)]), np.ones((len(rays), 1))
    for _ in range(4):
        q = least_squares(
            lambda q, w=weights: (w * (_brown_conrady(q, rays) - target)).ravel(),
            q,
            x_scale="jac",
            method="lm",
            max_nfev=3000,
        ).x
        off = np.linalg.norm(_brown_conrady(q, rays) - target, axis=1, keepdims=True)
        weights = weights * (1 + off / max(off.max(), 1e-12))
    matrix = np.array([[q[0], 0, q[1]], [0, q[0], q[2]], [0, 0, 1]])
    camera = deltacamera.Camera(intrinsic_matrix=matrix, distortion_model=BrownConradyEx(q[3:]))
    off = np.linalg.norm(camera.camera_to_image(rays.astype(np.float32)) - target, axis=1)
    worst = float(off.max()) if np.isfinite(off).all() else np.inf
    if worst > MAX_RESIDUAL:
        raise CorruptInput(
            where,
            f"the lens of the glasses is matched only to {worst:.2f} px, allowed {MAX_RESIDUAL}",
            hint="compare the calibration with that of another take, or set dataset.ego=false",
        )
    return matrix, q[3:], worst


def _brown_conrady(q: np.ndarray, rays: np.ndarray) -> np.ndarray:
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = q[3:]
    x, y = rays[:, 0] / rays[:, 2], rays[:, 1] / rays[:, 2]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + s1 * r2 + s2 * r2**2
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2
    return q[0] * np.stack([u, v], axis=1) + q[1:3]


def _json_of_vrs(path: Path) -> object:
    """Returns the ``calib_json`` tag of a VRS file: the key, the length of the text, the text."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = -1
        while (at := data.find(b"calib_json", at + 1)) >= 0:
            start = at + len(b"calib_json")
            head = data[start : start + 4]
            if len(head) < 4:
                break
            (length,) = struct.unpack("<I", head)
            if data[start + 4 : start + 5] == b"{" and start + 4 + length <= len(data):
                try:
                    return json.loads(data[start + 4 : start + 4 + length])
                except ValueError:
                    continue
    raise CorruptInput(
        path,
        "no calib_json tag found",
        hint="download the part take_vrs_noimagestream again or provide aria_calib_json/takes/",
    )

"""The ego view: camera of the Aria glasses, from the factory calibration and the poses per frame.

The RGB camera is a FISHEYE624 lens (six radial, two tangential, four thin-prism coefficients on
the angle), which is not a model the crops can be taken through. It is fitted once per take by the
rational Brown-Conrady model of twelve coefficients, which holds the same kinds of terms; over the
nominal field of view of 110 degrees the two agree to about 0.1 px. Four Kannala-Brandt
coefficients would not do (0.6 px): they have no tangential terms. The worst difference is measured
at every fit, and a fit above ``MAX_RESIDUAL`` is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from posepile.ds.egoexo4d.cameras import read_camera_pose
from posepile.errors import CorruptInput
from posepile.formats.aria_files import RECORDED_SIZE, read_aria_lens, recorded_lens
from posepile.formats.schema import Array, check
from posepile.geometry.cameras import MovingCameras, resize_intrinsics
from posepile.geometry.fitting import fit_brown_conrady, project_fisheye624

RGB_STREAM = "214-1"
MAX_RESIDUAL = 0.3  # pixels of the 1408 image
MAX_ANGLE = 55.0  # degrees from the axis: half the nominal field of view
QUARTER_TURNS = 1  # the video is turned clockwise: turn it back
GET_LENS = "download the part take_vrs_noimagestream or put the benchmark's JSON at "


def in_field(rays: np.ndarray) -> np.ndarray:
    """Returns whether points in camera axes ``[..., 3]`` are where the fitted lens holds."""
    with np.errstate(invalid="ignore"):
        angle = np.arctan2(np.hypot(rays[..., 0], rays[..., 1]), rays[..., 2])
        return angle <= np.radians(MAX_ANGLE)


def moving(entry: dict, where: str, **lens) -> MovingCameras:
    """Returns the cameras of the glasses by frame number; single frames are missing."""
    extrinsics = check(entry.get("camera_extrinsics") or {}, {"*": Array("3 or 4", 4)}, where)
    frames = [int(frame) for frame in extrinsics]
    poses = np.array(list(extrinsics.values())) if frames else np.empty((0, 3, 4))
    return MovingCameras(where, frames, {"world_to_camera": poses, "unit": "m", **lens})


def pose_of(cameras: MovingCameras) -> Callable[[int], tuple[np.ndarray, np.ndarray] | None]:
    """Returns a function from frame to world-to-camera rotation and translation in metres."""
    row = {int(frame): k for k, frame in enumerate(cameras.frames)}

    def pose(frame: int) -> tuple[np.ndarray, np.ndarray] | None:
        if frame not in row:
            return None
        rotation, center = cameras.rotations[row[frame]], cameras.centers[row[frame]] / 1000
        return rotation, -rotation @ center

    return pose


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
    found = moving(cameras[key] if key else {}, f"{where}, {key}")
    centers = {int(f): c for f, c in zip(found.frames, found.centers, strict=True)}
    corners = np.array([[x, y, z] for x in (-600, 600) for y in (-600, 600) for z in (200, -1750)])
    return lambda frame: None if frame not in centers else corners + centers[frame]


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
    checked = moving(cameras[key], f"{path}, {key}")
    # As published, not by way of the centre: figures agree with the official ones to the digit.
    published = np.array(list((cameras[key].get("camera_extrinsics") or {}).values()), np.float64)
    poses = [(matrix[:3, :3], matrix[:3, 3]) for matrix in published]
    return dict(zip(map(int, checked.frames), poses, strict=True)), key


def load_cameras(
    entry: dict, calibration: Path | None, where: str, downscaled: bool, take_name: str
) -> tuple[MovingCameras, Callable, float]:
    """Returns cameras of the ego view, their poses (metres) and how well the lens is matched.

    Args:
        entry: Entry of the glasses in ``camera_pose``.
        calibration: File with the factory calibration.
        where: File and camera, for messages.
        downscaled: For the 448x448 copy of the video.
        take_name: For messages.

    Returns:
        The cameras by frame as turned back to landscape, the pose by frame (None in gaps), and the
        residual of the lens fit in pixels of the 1408 image.
    """
    params = read_lens(calibration, where, take_name)
    matrix, coefficients, residual = fit_lens(tuple(params), str(calibration))
    size = (448, 448) if downscaled else RECORDED_SIZE
    matrix = resize_intrinsics(matrix, RECORDED_SIZE, size)
    cameras = moving(entry, where, intrinsics=matrix, distortion=coefficients, size=size)
    return cameras, pose_of(cameras), residual


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


def read_lens(calibration: Path | None, where: str, take_name: str) -> np.ndarray:
    """Returns FISHEYE624 parameters for the recorded 1408 image from a factory calibration."""
    if calibration is None:
        hint = f"{GET_LENS}aria_calib_json/takes/{take_name}.json"
        raise CorruptInput(where, "no factory calibration of the glasses", hint=hint)
    params = read_aria_lens(calibration, hint=f"{GET_LENS}aria_calib_json/takes/")
    return recorded_lens(params, str(calibration))


@lru_cache(maxsize=8)
def fit_lens(params: tuple[float, ...], where: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Fits pinhole plus rational Brown-Conrady to FISHEYE624 parameters for the image.

    Returns:
        As :func:`posepile.geometry.fitting.fit_brown_conrady`.

    Raises:
        CorruptInput: The difference is above ``MAX_RESIDUAL``.
    """
    lens = np.array(params)
    project = partial(project_fisheye624, lens)
    matrix, coefficients, worst = fit_brown_conrady(project, lens[:3], RECORDED_SIZE, MAX_ANGLE)
    if worst > MAX_RESIDUAL:
        raise CorruptInput(
            where,
            f"the lens of the glasses is matched only to {worst:.2f} px, allowed {MAX_RESIDUAL}",
            hint="compare the calibration with that of another take, or set dataset.ego=false",
        )
    return matrix, coefficients, worst

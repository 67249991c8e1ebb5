"""The glasses: where they are in each frame, and the lens of their RGB camera."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.ds.egoexo4d.cameras import read_camera_pose
from posepile.errors import CorruptInput
from posepile.formats.aria_files import RECORDED_SIZE, read_aria_lens
from posepile.formats.keys import by_number
from posepile.formats.schema import Array, check
from posepile.geometry.cameras import camera_pose, moving_cameras, resize_intrinsics
from posepile.geometry.fitting import fit_fisheye624

if TYPE_CHECKING:
    from posepile.shapes.multiview import Cameras

RGB_STREAM = "214-1"
MAX_RESIDUAL = 0.3  # pixels of the 1408 image
MAX_ANGLE = 55.0  # degrees from the axis: half the nominal field of view
QUARTER_TURNS = 1  # the video is turned clockwise: turn it back


def aria_key(cameras: dict) -> str | None:
    """Returns the key of the glasses in a ``camera_pose`` file: the first with ``aria`` in it."""
    return next((key for key in cameras if "aria" in key), None)


def frames_and_poses(entry: dict, where: str) -> tuple[list[int], dict[str, Any]]:
    """Returns the frames with a pose (some are missing), and their poses for ``camera_pose``."""
    found = check(entry.get("camera_extrinsics") or {}, {"*": Array("3 or 4", 4)}, where)
    found = by_number(found, where, "frame")
    poses = np.array([*found.values()]) if found else np.empty((0, 3, 4))
    return list(found), {"world_to_camera": poses, "unit": "m"}


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
    frames, poses = frames_and_poses(cameras[key], f"{path}, {key}")
    pairs = zip(*camera_pose(f"{path}, {key}", **poses), strict=True)
    return {f: (r, -r @ c / 1000) for f, (r, c) in zip(frames, pairs, strict=True)}, key


def load_cameras(
    entry: dict, calibration: Path | None, where: str, small: bool, take_name: str
) -> tuple[Cameras, Cameras, float]:
    """Returns the cameras of the ego view by frame, as turned back to landscape.

    Args:
        entry: Entry of the glasses in ``camera_pose``.
        calibration: File with the factory calibration.
        where: File and camera, for messages.
        small: For the 448x448 copy of the video.
        take_name: For messages.

    Returns:
        The cameras of the video, those of the rectified image that 2D labels refer to, and how
        well the lens is matched, in pixels of the 1408 image.
    """
    lens = read_lens(calibration, where, take_name)
    hint = "compare the calibration with that of another take, or set dataset.ego=false"
    field = (RECORDED_SIZE, MAX_ANGLE, MAX_RESIDUAL)
    matrix, coefficients, residual = fit_fisheye624(str(calibration), lens, *field, hint=hint)
    size = (448, 448) if small else RECORDED_SIZE
    matrix = resize_intrinsics(matrix, RECORDED_SIZE, size)
    frames, poses = frames_and_poses(entry, where)
    video = {"intrinsics": matrix, "distortion": coefficients, "size": size}
    rectified = moving_cameras(where, frames, **poses, intrinsics=entry["camera_intrinsics"])
    return moving_cameras(where, frames, **poses, **video), rectified, residual


def read_lens(calibration: Path | None, where: str, take_name: str) -> np.ndarray:
    """Returns FISHEYE624 parameters for the recorded 1408 image from a factory calibration."""
    by_hand = f"put the benchmark's JSON at aria_calib_json/takes/{take_name}.json"
    hint = f"download the part take_vrs_noimagestream or {by_hand}"
    if calibration is None:
        raise CorruptInput(where, "no factory calibration of the glasses", hint=hint)
    return read_aria_lens(calibration, hint=hint)

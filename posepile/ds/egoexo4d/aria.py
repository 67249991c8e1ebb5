"""The glasses: where they are in each frame, and the lens of their RGB camera."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.ds.egoexo4d.cameras import read_camera_pose
from posepile.errors import CorruptInput
from posepile.formats.aria_files import RECORDED_SIZE, read_aria_lens
from posepile.geometry import cameras as geometry
from posepile.geometry.fitting import fit_fisheye624

if TYPE_CHECKING:
    from posepile.shapes.multiview import Cameras

RGB_STREAM = "214-1"
MAX_ANGLE = 55.0  # degrees from the axis: half the nominal field of view
QUARTER_TURNS = 1  # the video is turned clockwise: turn it back


def aria_key(cameras: dict) -> str | None:
    """Returns the key of the glasses in a ``camera_pose`` file: the first with ``aria`` in it."""
    return next((key for key in cameras if "aria" in key), None)


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
    where = f"{path}, {key}"
    frames, poses = geometry.poses_by_frame(where, cameras[key]["camera_extrinsics"])
    pairs = zip(*geometry.camera_pose(where, world_to_camera=poses, unit="m"), strict=True)
    return {f: (r, -r @ c / 1000) for f, (r, c) in zip(frames, pairs, strict=True)}, key


def load_cameras(
    entry: dict, calibration: Path | None, where: str, take_name: str, options: Any
) -> tuple[Cameras, Cameras, float]:
    """Returns the cameras of the ego view by frame, as turned back to landscape.

    Args:
        entry: Entry of the glasses in ``camera_pose``.
        calibration: File with the factory calibration.
        where: File and camera, for messages.
        take_name: For messages.
        options: Of the dataset.

    Returns:
        The cameras of the video, those of the rectified image that 2D labels refer to, and how
        well the lens is matched, in pixels of the 1408 image.
    """
    lens = read_lens(calibration, where, take_name)
    hint = "compare the calibration with that of another take, or set dataset.ego=false"
    field = (RECORDED_SIZE, MAX_ANGLE, options.max_aria_lens_px)
    matrix, coefficients, residual = fit_fisheye624(str(calibration), lens, *field, hint=hint)
    size = (448, 448) if options.video == "448" else RECORDED_SIZE
    matrix = geometry.resize_intrinsics(matrix, RECORDED_SIZE, size)
    frames, poses = geometry.poses_by_frame(where, entry["camera_extrinsics"])
    pose = {"world_to_camera": poses, "unit": "m"}
    video = {"intrinsics": matrix, "distortion": coefficients, "size": size}
    rectified = geometry.moving_cameras(
        where, frames, **pose, intrinsics=entry["camera_intrinsics"]
    )
    return geometry.moving_cameras(where, frames, **pose, **video), rectified, residual


def read_lens(calibration: Path | None, where: str, take_name: str) -> np.ndarray:
    """Returns FISHEYE624 parameters for the recorded 1408 image from a factory calibration."""
    by_hand = f"put the benchmark's JSON at aria_calib_json/takes/{take_name}.json"
    hint = f"download the part take_vrs_noimagestream or {by_hand}"
    if calibration is None:
        raise CorruptInput(where, "no factory calibration of the glasses", hint=hint)
    return read_aria_lens(calibration, hint=hint)

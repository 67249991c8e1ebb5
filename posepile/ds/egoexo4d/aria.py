"""The ego view: the Aria glasses by their factory calibration and their poses per frame."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from posepile.ds.egoexo4d.cameras import read_camera_pose
from posepile.errors import CorruptInput
from posepile.formats.aria_files import RECORDED_SIZE, read_aria_lens, recorded_lens
from posepile.formats.schema import Array, check
from posepile.geometry.cameras import MovingCameras, resize_intrinsics
from posepile.geometry.fitting import fit_fisheye624

RGB_STREAM = "214-1"
MAX_RESIDUAL = 0.3  # pixels of the 1408 image
MAX_ANGLE = 55.0  # degrees from the axis: half the nominal field of view
QUARTER_TURNS = 1  # the video is turned clockwise: turn it back
GET_LENS = "download the part take_vrs_noimagestream or put the benchmark's JSON at "
# Corners of an upright column, mm from the glasses: 1.2 m wide, 0.2 m above to 1.75 m below them.
WEARER = np.array([[x, y, z] for x in (-600, 600) for y in (-600, 600) for z in (200, -1750)])


def in_field(rays: np.ndarray) -> np.ndarray:
    """Returns whether points in camera axes ``[..., 3]`` are where the fitted lens holds."""
    with np.errstate(invalid="ignore"):
        angle = np.arctan2(np.hypot(rays[..., 0], rays[..., 1]), rays[..., 2])
        return angle <= np.radians(MAX_ANGLE)


def moving(entry: dict, where: str, **lens) -> MovingCameras:
    """Returns the cameras of the glasses by frame number; single frames are missing."""
    extrinsics = check(entry.get("camera_extrinsics") or {}, {"*": Array("3 or 4", 4)}, where)
    poses = np.array(list(extrinsics.values())) if extrinsics else np.empty((0, 3, 4))
    given = {"world_to_camera": poses, "unit": "m", **lens}
    return MovingCameras(where, [int(frame) for frame in extrinsics], given)


def aria_key(cameras: dict) -> str | None:
    """Returns the key of the glasses in a ``camera_pose`` file: the first with ``aria`` in it."""
    return next((k for k in cameras if "aria" in k), None)


def wearer_outlines(cameras: dict, where: str) -> dict[int, np.ndarray]:
    """Returns where the wearer is by the pose of the glasses in a ``camera_pose`` file alone.

    That is frame -> corners of a column, ``[8, 3]`` world millimetres; gaps are missing.
    """
    key = aria_key(cameras)
    found = moving(cameras[key] if key else {}, f"{where}, {key}")
    return dict(zip(found.frames.tolist(), found.centers[:, None] + WEARER, strict=True))


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
    return dict(zip(checked.frames.tolist(), poses, strict=True)), key


def load_cameras(
    entry: dict, calibration: Path | None, where: str, downscaled: bool, take_name: str
) -> tuple[MovingCameras, float]:
    """Returns cameras of the ego view and how well the lens is matched.

    Args:
        entry: Entry of the glasses in ``camera_pose``.
        calibration: File with the factory calibration.
        where: File and camera, for messages.
        downscaled: For the 448x448 copy of the video.
        take_name: For messages.

    Returns:
        The cameras by frame (None in gaps) of the video turned back to landscape, and the residual
        of the lens fit in pixels of the 1408 image.
    """
    params = read_lens(calibration, where, take_name)
    *lens, residual = fit_fisheye624(
        str(calibration),
        params,
        RECORDED_SIZE,
        MAX_ANGLE,
        MAX_RESIDUAL,
        hint="compare the calibration with that of another take, or set dataset.ego=false",
    )
    size = (448, 448) if downscaled else RECORDED_SIZE
    matrix = resize_intrinsics(lens[0], RECORDED_SIZE, size)
    return moving(entry, where, intrinsics=matrix, distortion=lens[1], size=size), residual


def read_lens(calibration: Path | None, where: str, take_name: str) -> np.ndarray:
    """Returns FISHEYE624 parameters for the recorded 1408 image from a factory calibration."""
    if calibration is None:
        hint = f"{GET_LENS}aria_calib_json/takes/{take_name}.json"
        raise CorruptInput(where, "no factory calibration of the glasses", hint=hint)
    params = read_aria_lens(calibration, hint=f"{GET_LENS}aria_calib_json/takes/")
    return recorded_lens(params, str(calibration))

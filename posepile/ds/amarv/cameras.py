"""Cameras of any of the usual conventions as OpenCV world-to-camera, millimetres, z up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.amarv.layout import LENGTH_UNITS, CameraPart, Clip, fill
from posepile.ds.amarv.values import number, numbers, read_data
from posepile.errors import CorruptInput

if TYPE_CHECKING:
    import deltacamera

WORLD_UP = (0.0, 0.0, 1.0)
# x right, y up, looking along -z  ->  x right, y down, looking along z
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])

# Rotations that bring the released world's up axis to z
_TO_Z_UP = {
    "z": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-z": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "-y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "x": [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
    "-x": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
}


def world_rotation(world_up: str) -> np.ndarray:
    """Returns the rotation ``[3, 3]`` from the released world to ours, which has z up."""
    return np.array(_TO_Z_UP[world_up], np.float64)


def to_world_to_camera(
    matrices: np.ndarray, part: CameraPart, file: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Converts extrinsics of the manifest's convention.

    Args:
        matrices: ``[..., 3 or 4, 4]``.
        part: Direction, camera axes, length unit and up axis.
        file: For messages.

    Returns:
        (rotations ``[..., 3, 3]``, translations ``[..., 3]`` in millimetres), OpenCV world to
        camera, from a world with z up.

    Raises:
        CorruptInput: Not a rotation and a translation (e.g. an object scale is mixed in).
    """
    if matrices.shape[-2:] not in ((3, 4), (4, 4)) or not np.isfinite(matrices).all():
        raise CorruptInput(
            file, f"extrinsics of shape {matrices.shape}, expected finite 3x4 or 4x4"
        )
    full = np.broadcast_to(np.eye(4), (*matrices.shape[:-2], 4, 4)).copy()
    full[..., :3, :] = matrices[..., :3, :]
    if matrices.shape[-2] == 4 and np.abs(matrices[..., 3, :] - (0, 0, 0, 1)).max() > 1e-6:
        raise CorruptInput(
            file,
            f"last row of the extrinsics is {matrices.reshape(-1, 4, 4)[0, 3]}, expected 0 0 0 1",
            hint="if it is stored transposed, transpose it",
        )
    rotation = full[..., :3, :3]
    off = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max()
    if off > 1e-3 or np.any(np.linalg.det(rotation) < 0):
        raise CorruptInput(
            file,
            f"extrinsics hold no rotation (off by {off:.2g})",
            hint="scale or mirroring must be taken out first",
        )
    if part.direction == "camera_to_world":
        full = np.linalg.inv(full)
    if part.axes != "opencv":
        full = FLIP_YZ @ full
    full[..., :3, 3] *= LENGTH_UNITS[part.units]
    return full[..., :3, :3] @ world_rotation(part.world_up).T, full[..., :3, 3]


def intrinsics(
    data, part: CameraPart, clip: Clip, view: int, *, image_size: tuple[int, int], file: Path
) -> np.ndarray:
    """Returns the intrinsic matrix ``[3, 3]`` in pixels, pixel centres at integers."""
    width, height = image_size
    if part.intrinsic_key is not None:
        matrix = numbers(data, fill(part.intrinsic_key, clip, view), file)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or matrix[0, 0] <= 0:
            raise CorruptInput(file, f"intrinsics {matrix.tolist()}, expected a 3x3 matrix")
        return matrix
    if part.fov_key is not None:
        fov = number(data, fill(part.fov_key, clip, view), file)
        focal = width / 2 / np.tan(np.deg2rad(fov) / 2)
    else:
        focal_mm = number(data, fill(part.focal_key, clip, view), file)
        focal = focal_mm / part.sensor_width_mm * width
    if not (np.isfinite(focal) and focal > 0):
        raise CorruptInput(file, f"focal length of {focal} pixels for view {view}")
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def load_camera(
    path: Path, part: CameraPart, clip: Clip, view: int, image_size: tuple[int, int]
) -> deltacamera.Camera | Callable[[int], deltacamera.Camera | None]:
    """Returns the camera of a view, or a function from frame to camera where it moves.

    Raises:
        CorruptInput: Missing keys or matrices that are no camera.
    """
    data = read_data(path)
    matrix = intrinsics(data, part, clip, view, image_size=image_size, file=path)
    extrinsics = numbers(data, fill(part.extrinsic_key, clip, view), path)
    if extrinsics.ndim != (3 if part.per_frame else 2):
        raise CorruptInput(
            path,
            f"extrinsics of shape {extrinsics.shape}, but per_frame is "
            f"{str(part.per_frame).lower()} in the layout manifest",
        )
    rotations, translations = to_world_to_camera(extrinsics, part, path)

    def make(rotation, translation):
        import deltacamera

        return deltacamera.Camera(
            rot_world_to_cam=rotation,
            optical_center=-rotation.T @ translation,
            intrinsic_matrix=matrix,
            world_up=WORLD_UP,
        )

    if not part.per_frame:
        return make(rotations, translations)
    cameras = [make(r, t) for r, t in zip(rotations, translations, strict=True)]
    return MovingCamera(cameras)


class MovingCamera:
    """Camera by frame; None beyond the last."""

    def __init__(self, cameras: list[deltacamera.Camera]):
        self.cameras = cameras

    def __call__(self, frame: int) -> deltacamera.Camera | None:
        """Returns the camera of a frame."""
        return self.cameras[frame] if 0 <= frame < len(self.cameras) else None

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.cameras)

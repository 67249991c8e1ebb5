"""Cameras as datasets publish them, into ours: OpenCV axes, world to camera, millimetres."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.keys import by_number
from posepile.formats.schema import Array, check
from posepile.geometry import rotations
from posepile.geometry.lenses import make_lens, mirror_lens

if TYPE_CHECKING:
    import deltacamera

MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0}


def make_camera(
    where: str | os.PathLike,
    *,
    world_to_camera: np.ndarray | None = None,
    camera_to_world: np.ndarray | None = None,
    rotation: np.ndarray | None = None,
    translation: np.ndarray | None = None,
    center: np.ndarray | None = None,
    axes: str = "opencv",
    unit: str | float = "mm",
    intrinsics: np.ndarray | None = None,
    focal: float | tuple[float, float] | None = None,
    principal: tuple[float, float] | None = None,
    pixel_origin: str = "center",
    size: tuple[int, int] | None = None,
    distortion: np.ndarray | None = None,
    distortion_order: str | None = None,
    lens: str = "brown_conrady",
    mirrored: bool = False,
    world_up: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> deltacamera.Camera:
    """Returns a camera of ours from whatever convention it is published in.

    The pose is ``world_to_camera``, or ``camera_to_world``, or ``rotation`` with ``translation``
    or ``center``; without any, the camera is the world's frame. The lens is ``intrinsics``, or
    ``focal`` with ``principal`` (or ``size``, whose middle it then is).

    >>> camera = make_camera(
    ...     "calib.json, camera 3", rotation=np.eye(3), translation=[[0], [0], [250]], unit="cm",
    ...     focal=1400, size=(1920, 1080), distortion=[-0.2, 0.1, 0, 0, 0], world_up=(0, -1, 0),
    ... )
    >>> float(camera.t[2])
    -2500.0

    Args:
        where: File and camera, for messages.
        world_to_camera: ``[3, 4]`` or ``[4, 4]``, of ``x_cam = R x + t``.
        camera_to_world: ``[3, 4]`` or ``[4, 4]``, of ``x = R' x_cam + c``.
        rotation: World to camera ``[3, 3]``.
        translation: ``t`` of ``x_cam = R x + t``, 3 numbers.
        center: Optical centre in the world, 3 numbers: ``x_cam = R (x - c)``.
        axes: ``opencv``, ``opengl``, ``blender`` or ``unreal``; see
            :func:`posepile.geometry.rotations.change_axes`.
        unit: ``m``, ``cm``, ``mm``, or how many millimetres the unit of length has.
        intrinsics: Matrix in pixels, ``[2, 3]`` or more rows and columns, the rest of which must
            be those of a unit matrix.
        focal: Focal length in pixels, or (horizontal, vertical).
        principal: Principal point in pixels (x, y).
        pixel_origin: ``center`` if pixel coordinates count from the centre of the first pixel, as
            ours do; ``edge`` if from its outer corner (then half a pixel is taken off).
        size: Width and height of the pictures.
        distortion: Coefficients.
        distortion_order: Their names, e.g. ``k1 k2 k3 p1 p2``; default OpenCV's order.
        lens: Distortion model, see :func:`posepile.geometry.lenses.make_lens`.
        mirrored: The map from the world to the published pictures is a reflection. The camera
            returned is that of the pictures turned left for right, which the recipe has to do.
        world_up: Up in the world, after the change of axes.

    Raises:
        CorruptInput: Numbers that are no camera.
    """
    rotation, center = camera_pose(
        where,
        world_to_camera=world_to_camera,
        camera_to_world=camera_to_world,
        rotation=rotation,
        translation=translation,
        center=center,
        axes=axes,
        unit=unit,
        mirrored=mirrored,
    )
    if rotation.ndim != 2:
        raise CorruptInput(where, f"poses of shape {rotation.shape[:-2]}; expected one camera")
    matrix = _make_intrinsics(where, intrinsics, focal, principal, pixel_origin, size)
    model = make_lens(where, distortion, distortion_order, lens)
    if mirrored:
        rotation, matrix, model = _mirror(where, rotation, matrix, model, size)
    import deltacamera

    return deltacamera.Camera(
        rot_world_to_cam=rotation,
        optical_center=center,
        intrinsic_matrix=matrix,
        distortion_model=model,
        world_up=world_up,
        image_size=size,
    )


def unreal_camera(
    where: str | os.PathLike,
    center: np.ndarray,
    yaw: float,
    pitch: float = 0.0,
    roll: float = 0.0,
    *,
    size: tuple[int, int],
    focal_mm: float,
    sensor_mm: float = 36.0,
) -> deltacamera.Camera:
    """Returns a camera of an Unreal scene; y points down in its world.

    >>> camera = unreal_camera("a.csv, row 1", [0, 0, 170], 0, size=(1280, 720), focal_mm=18)
    >>> camera.intrinsic_matrix[0].tolist(), camera.t.tolist()
    ([640.0, 0.0, 639.5], [0.0, -1700.0, 0.0])

    Args:
        where: File and place in it, for messages.
        center: Where it is, centimetres in Unreal's axes.
        yaw: Degrees, to the right.
        pitch: Degrees, upwards.
        roll: Degrees, clockwise.
        size: Width and height of the pictures, in whose middle the principal point is.
        focal_mm: Focal length, millimetres.
        sensor_mm: Width of the sensor, millimetres.
    """
    return make_camera(
        where,
        axes="unreal",
        unit="cm",
        rotation=rotations.unreal_rotation(yaw, pitch, roll),
        center=center,
        focal=focal_mm / sensor_mm * size[0],
        size=size,
        world_up=(0.0, -1.0, 0.0),
    )


def camera_pose(
    where: str | os.PathLike,
    *,
    world_to_camera: np.ndarray | None = None,
    camera_to_world: np.ndarray | None = None,
    rotation: np.ndarray | None = None,
    translation: np.ndarray | None = None,
    center: np.ndarray | None = None,
    axes: str = "opencv",
    unit: str | float = "mm",
    mirrored: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns checked rotations and optical centres of one camera or of many.

    >>> rotation, center = camera_pose("camera 1", world_to_camera=np.eye(4), unit="m")
    >>> rotation.shape, center.shape
    ((3, 3), (3,))

    Args:
        where: As for :func:`make_camera`.
        world_to_camera: As there, but with any leading axes, like the others.
        camera_to_world: As there.
        rotation: As there.
        translation: As there.
        center: As there.
        axes: As there.
        unit: As there.
        mirrored: As there.

    Returns:
        World-to-camera rotations ``[..., 3, 3]`` (reflections if mirrored) and optical centres
        ``[..., 3]`` in millimetres, float64, OpenCV axes.
    """
    given = [world_to_camera is not None, camera_to_world is not None, rotation is not None]
    if sum(given) > 1 or (translation is not None and center is not None):
        raise TypeError("give one of world_to_camera, camera_to_world, rotation and one position")
    if any(given[:2]) and not (translation is None and center is None):
        raise TypeError("translation and center go with rotation")
    if world_to_camera is not None:
        rotation, translation = _split(where, world_to_camera, "world-to-camera matrix")
    elif camera_to_world is not None:
        to_world, center = _split(where, camera_to_world, "camera-to-world matrix")
        rotation = np.swapaxes(to_world, -1, -2)
    elif rotation is None:
        rotation = np.eye(3)
    rotation = rotations.check_rotation(
        _floats(where, rotation, "rotation"), where, mirrored=mirrored
    )
    if translation is not None:
        translation = _vectors(where, translation, "translation", rotation.ndim - 2)
        center = -(np.swapaxes(rotation, -1, -2) @ translation[..., None])[..., 0]
    elif center is not None:
        center = _vectors(where, center, "optical centre", rotation.ndim - 2)
    else:
        center = np.zeros((*rotation.shape[:-2], 3))
    if not np.isfinite(center).all():
        raise CorruptInput(where, "position of the camera is not finite")
    rotation, center = rotations.change_axes(rotation, center, axes)
    return rotation, center * (MM_PER_UNIT[unit] if isinstance(unit, str) else float(unit))


def _make_intrinsics(
    where: str | os.PathLike,
    intrinsics: np.ndarray | None = None,
    focal: float | tuple[float, float] | None = None,
    principal: tuple[float, float] | None = None,
    pixel_origin: str = "center",
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Returns the checked intrinsics ``[3, 3]``, float64; arguments as :func:`make_camera`.

    >>> _make_intrinsics("camera 1", focal=1000, size=(640, 480))[0]
    array([1000. ,    0. ,  319.5])
    """
    if (intrinsics is None) == (focal is None):
        raise TypeError("give either intrinsics or focal")
    if intrinsics is not None:
        given = _floats(where, intrinsics, "intrinsics")
        if given.ndim != 2 or min(given.shape) < 2 or given.shape[1] < 3 or max(given.shape) > 4:
            raise CorruptInput(where, f"intrinsics of shape {given.shape}; expected 3x3 numbers")
        rest = np.eye(4)[: given.shape[0], : given.shape[1]]
        rest[:2, :3] = given[:2, :3]
        if np.abs(given - rest).max() > 1e-6 or not abs(given[1, 0]) < 1e-6:
            raise CorruptInput(
                where,
                f"intrinsics {given.tolist()}; expected focal lengths, skew and principal point "
                "in the first two rows and ones and zeros elsewhere",
            )
        matrix = np.eye(3)
        matrix[:2] = given[:2, :3]
    else:
        fx, fy = np.broadcast_to(_floats(where, focal, "focal length"), 2)
        if principal is None:
            if size is None:
                raise TypeError("without principal point, size is needed")
            principal = np.array(size) / 2 - (0.5 if pixel_origin == "center" else 0)
        cx, cy = _vectors(where, principal, "principal point", 0, 2)
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise CorruptInput(
            where, f"intrinsics {matrix.tolist()}; expected finite numbers, focal lengths > 0"
        )
    if pixel_origin == "edge":
        matrix[:2, 2] -= 0.5
    elif pixel_origin != "center":
        raise ValueError(f"pixel_origin {pixel_origin!r}; known: center, edge")
    return matrix


def resize_intrinsics(
    matrix: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]
) -> np.ndarray:
    """Returns the intrinsics ``[3, 3]`` of pictures resized from one size (w, h) to another.

    Pixel centres lie at integers, so x becomes (x + 0.5) s - 0.5; each axis has its own factor.

    >>> resize_intrinsics([[900, 0, 99.5], [0, 900, 49.5], [0, 0, 1]], (200, 100), (100, 50))[0]
    array([450. ,   0. ,  49.5])
    """
    matrix = np.array(matrix, np.float64)
    for axis in range(2):
        s = new_size[axis] / size[axis]
        matrix[axis, :2] *= s
        matrix[axis, 2] = (matrix[axis, 2] + 0.5) * s - 0.5
    return matrix


def moving_cameras(
    where: str | os.PathLike, frames: np.ndarray, **given
) -> Callable[[int], deltacamera.Camera | None]:
    """Returns a function from frame to camera; None for frames that are not among ``frames``.

    >>> poses = np.stack([np.eye(4)] * 2)
    >>> cameras = moving_cameras("a.pkl", [4, 6], world_to_camera=poses, intrinsics=np.eye(3))
    >>> cameras(5) is None, cameras(6) is None
    (True, False)

    Args:
        where: File and camera, for messages.
        frames: Numbers of the frames ``[n]``.
        **given: As for :func:`make_camera`. The pose has one entry for each frame; so may have
            ``intrinsics``, ``focal``, ``principal`` and ``distortion``.

    Raises:
        CorruptInput: As there; a frame is named where one is at fault.
    """
    return MovingCameras(where, frames, given)


def poses_by_frame(where: str | os.PathLike, poses: Mapping) -> tuple[list[int], np.ndarray]:
    """Returns frames and poses ``[n, 3 or 4, 4]`` of a mapping; null or NaN is a missing pose.

    >>> frames, poses = poses_by_frame("a.json", {"4": np.eye(4).tolist(), "5": None})
    >>> frames, poses.shape
    ([4], (1, 4, 4))

    Args:
        where: File and camera, for messages.
        poses: Frame, a number or its decimals, -> 3x4 or 4x4 matrix.

    Raises:
        CorruptInput: A key that is no frame, a frame under two keys, or a value that is neither a
            pose nor null.
    """
    found = {}
    for frame, pose in by_number(check(poses, {"*": None}, where), where, "frame").items():
        values = np.array(pose, object).ravel()
        if not all(x is None or (isinstance(x, float) and math.isnan(x)) for x in values):
            found[frame] = pose
    found = check(found, {"*": Array("3 or 4", 4)}, where)
    return [*found], np.array([*found.values()]) if found else np.empty((0, 3, 4))


class MovingCameras:
    """Camera by frame, made when asked for; see :func:`moving_cameras`."""

    def __init__(self, where: str | os.PathLike, frames: np.ndarray, given: dict):
        self._where = os.fspath(where)
        self.frames = np.asarray(frames)
        self._row = {int(frame): k for k, frame in enumerate(self.frames)}
        pose_keys = ("world_to_camera", "camera_to_world", "rotation", "translation", "center")
        pose = {k: given[k] for k in (*pose_keys, "axes", "unit", "mirrored") if k in given}
        for key in pose_keys:
            if pose.get(key) is not None and len(pose[key]) != len(self.frames):
                raise CorruptInput(
                    where, f"{key} of {len(pose[key])} frames; expected {len(self.frames)}"
                )
        self.rotations, self.centers = camera_pose(where, **pose)
        self._lens = {k: v for k, v in given.items() if k not in pose or k == "mirrored"}

    def __call__(self, frame: int) -> deltacamera.Camera | None:
        """Returns the camera of a frame."""
        k = self._row.get(int(frame))
        if k is None:
            return None
        n, ranks = len(self.frames), {"intrinsics": 2, "focal": 1, "principal": 1, "distortion": 1}
        lens = {
            key: value[k] if np.ndim(value) > ranks.get(key, 9) and len(value) == n else value
            for key, value in self._lens.items()
        }
        return make_camera(
            f"{self._where}, frame {frame}",
            rotation=self.rotations[k],
            center=self.centers[k],
            **lens,
        )


def _mirror(where, rotation, matrix, model, size):
    if size is None:
        raise TypeError("mirrored pictures need their size")
    rotation, matrix = rotation.copy(), matrix.copy()
    rotation[0] *= -1
    matrix[0, 1] *= -1
    matrix[0, 2] = size[0] - 1 - matrix[0, 2]
    return rotation, matrix, mirror_lens(model)


def _split(where, matrix, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of 3x4 or 4x4 matrices."""
    matrix = _floats(where, matrix, name)
    if matrix.ndim < 2 or matrix.shape[-2:] not in ((3, 4), (4, 4)):
        raise CorruptInput(where, f"{name} of shape {matrix.shape}; expected 3x4 or 4x4")
    last = matrix[..., 3:, :]
    if last.size and not np.abs(last - (0, 0, 0, 1)).max() <= 1e-6:
        row = last.reshape(-1, 4)[0].tolist()
        raise CorruptInput(
            where,
            f"last row of the {name} is {row}; expected 0 0 0 1",
            hint="if it is stored transposed, transpose it",
        )
    return matrix[..., :3, :3], matrix[..., :3, 3]


def _floats(where, value, name: str) -> np.ndarray:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        text = " ".join(repr(value).split())[:60]
        raise CorruptInput(where, f"{name} is {text}; expected numbers") from None


def _vectors(where, value, name: str, n_axes: int, size: int = 3) -> np.ndarray:
    """Vectors with ``n_axes`` leading axes; a further axis of length 1 is taken away."""
    value = _floats(where, value, name)
    if value.ndim == n_axes + 2 and 1 in value.shape[-2:] and value.shape[-2:] != (1, 1):
        value = value.reshape(*value.shape[:n_axes], -1)
    if value.ndim != n_axes + 1 or value.shape[-1] != size:
        raise CorruptInput(where, f"{name} of shape {value.shape}; expected {size} numbers")
    return value

"""Lenses of static fisheye cameras that are released with the matrix of the undistorted picture.

The matrix of the lens is recovered from that, or comes from a calibration that must agree with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.fitting import matrix_before_undistortion, undistorted_matrix
from posepile.geometry.rotations import matrix_rotvec, quaternion_matrix

Size = tuple[int, int]


@dataclass(frozen=True)
class Released:
    """What is released of a camera, besides a calibration of its lens.

    Attributes:
        undistorted: Matrix of the undistorted picture ``[3, 3]``.
        distortion: k1..k4 of the lens (Kannala-Brandt model).
        balance: With which OpenCV has made the former, see
            :func:`posepile.geometry.fitting.undistorted_matrix`.
        sizes: Width and height that the picture can have; the principal point is its middle.
    """

    undistorted: np.ndarray
    distortion: np.ndarray
    balance: float
    sizes: tuple[Size, ...]

    @property
    def size(self) -> Size | None:
        """The size of which the principal point is the middle, None if of none."""
        twice = 2 * self.undistorted[:2, 2]
        return next((size for size in self.sizes if np.abs(twice - size).max() < 0.02), None)


@dataclass(frozen=True)
class Agreement:
    """How far a calibration may be from what is released: relative, degrees, millimetres."""

    relative: float = 1e-3
    degrees: float = 0.1
    mm: float = 10.0


def recover_lens(
    where: str | os.PathLike, released: Released, *, hint: str | None = None
) -> tuple[np.ndarray, Size]:
    """Returns the matrix ``[3, 3]`` of the lens behind a released one, and the picture's size.

    >>> matrix, d = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), np.zeros(4)
    >>> straight = undistorted_matrix(matrix, d, (640, 480), 0.8)
    >>> recover_lens("a.json", Released(straight, d, 0.8, ((640, 480), (480, 640))))[0].round(3)
    array([[500.,   0., 320.],
           [  0., 500., 240.],
           [  0.,   0.,   1.]])

    Args:
        where: File and camera, for messages.
        released: What is released.
        hint: What the user can do if it cannot be found.

    Raises:
        CorruptInput: Off-centre matrix, or no focal length reproduces the released one.
    """
    matrix, size = released.undistorted, released.size
    if size is None:
        sizes = " nor a ".join("{}x{}".format(*size) for size in released.sizes)
        raise CorruptInput(
            where,
            f"principal point ({matrix[0, 2]:.3f}, {matrix[1, 2]:.3f}) is the centre of neither "
            f"a {sizes} image, so the lens cannot be recovered",
            hint=hint,
        )
    given = (where, matrix, released.distortion, size, released.balance)
    return matrix_before_undistortion(*given, hint=hint), size


def calibrated_lens(
    where: str | os.PathLike,
    released: Released,
    pose: tuple[np.ndarray, np.ndarray],
    calibs: Iterable[Mapping[str, Any]],
    limits: Agreement,
    *,
    source: str,
    hint: str | None = None,
) -> tuple[np.ndarray, np.ndarray, Size]:
    """Returns matrix, distortion and size of the calibrated lens, which must agree with the other.

    >>> from posepile.formats.aria_files import read_static_calibs
    >>> from posepile.miniature.rig import make_camera
    >>> from posepile.miniature.writers import write_static_calibs
    >>> camera = make_camera((640, 480), (0, -4000, 0), (0, 0, 0), 500, distortion=[0.1, 0, 0, 0],
    ...     shift=(0.5, 0.5))
    >>> write_static_calibs(folder / "calibs.csv", {"cam01": camera}, bad=[])
    >>> calibs = read_static_calibs(folder / "calibs.csv")["cam01"]
    >>> d, size = np.array(camera.distortion), camera.size
    >>> straight = undistorted_matrix(camera.intrinsics, d, size, 0.8)
    >>> pose = camera.rotation, camera.center / 1000
    >>> released = Released(straight, d, 0.8, (size,))
    >>> found = calibrated_lens("a.json", released, pose, calibs, Agreement(), source="calibs.csv")
    >>> found[2]
    (640, 480)

    Args:
        where: File and camera, for messages.
        released: What is released.
        pose: World-to-camera rotation ``[3, 3]`` and optical centre ``[3]`` that are released, in
            the unit of the calibration.
        calibs: Of the camera, of which the nearest one is taken; see
            :func:`posepile.formats.aria_files.read_static_calibs`.
        limits: How far the two may be apart.
        source: File of the calibration, for messages.
        hint: What the user can do if they disagree.

    Raises:
        CorruptInput: They disagree, or the lens cannot be recovered.
    """
    rotation, center = pose
    calib = min(calibs, key=lambda calib: np.linalg.norm(calib["center"] - center))
    distance = 1000 * np.linalg.norm(calib["center"] - center)
    turn = matrix_rotvec(rotation @ quaternion_matrix(calib["rotation"]))
    angle = np.degrees(np.linalg.norm(turn))
    if angle > limits.degrees or distance > limits.mm:
        text = f"pose differs from {source} by {angle:.3f} degrees and {distance:.1f} mm, allowed "
        raise CorruptInput(where, f"{text}{limits.degrees:g} and {limits.mm:g}", hint=hint)
    matrix, size = _as_released(calib["intrinsics"], calib["size"], released.size)
    straight, distortion = released.undistorted, calib["distortion"]
    fx = undistorted_matrix(matrix, distortion, size, released.balance)[0, 0]
    relative = abs(fx / straight[0, 0] - 1)
    message = f"released fx {straight[0, 0]:.3f} but {source} gives {fx:.3f}"
    if abs(matrix[0, 2] - size[0] / 2) < 1 and released.size:
        f, recovered = matrix[0, 0], recover_lens(where, released, hint=hint)[0][0, 0]
        relative = max(relative, abs(recovered / f - 1))
        message += f" (lens f {recovered:.3f} and {f:.3f})"
    lens_off = np.abs(distortion - released.distortion).max()
    if max(relative, lens_off) > limits.relative:
        raise CorruptInput(
            where,
            f"{message}, distortion differs by {lens_off:.2g}: relative {relative:.2g}, "
            f"allowed {limits.relative:g}",
            hint=hint,
        )
    return matrix, distortion, size


def _as_released(
    matrix: np.ndarray, size: Sequence[int], full: Size | None
) -> tuple[np.ndarray, Size]:
    """The calibration for pictures as they are: turned if upright ones are given as landscape."""
    if full is None:
        return matrix, tuple(size)
    if (size[0] > size[1]) != (full[0] > full[1]):
        matrix, size = matrix[[1, 0, 2]][:, [1, 0, 2]], size[::-1]
    return np.diag([full[0] / size[0], full[0] / size[0], 1]) @ matrix, full

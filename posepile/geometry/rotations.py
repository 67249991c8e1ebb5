"""Checks of rotations, and the axes that cameras are published in."""

from __future__ import annotations

import os

import numpy as np

from posepile.errors import CorruptInput

# Largest entry of |R Rᵀ - 1| that passes. Matrices printed with four decimals are off by up to
# 2e-4, and by 1e-3 a picture is off by half a pixel at 1000 px from its centre; what is no
# rotation (a scale mixed in, a row missing, Euler angles) is off by 1e-2 or more.
ROTATION_TOLERANCE = 1e-3

# Unreal's axes (x forward, y right, z up, left-handed) to OpenCV's (x right, y down, z forward).
_FROM_UNREAL = np.array([[0.0, 1, 0], [0, 0, -1], [1, 0, 0]])

# Convention -> (camera axes to OpenCV's, world axes to ours).
_AXES = {
    "opencv": (np.eye(3), np.eye(3)),
    "opengl": (np.diag([1.0, -1, -1]), np.eye(3)),  # x right, y up, looking along -z
    "blender": (np.diag([1.0, -1, -1]), np.eye(3)),
    "unreal": (_FROM_UNREAL, _FROM_UNREAL),
}


def check_rotation(
    matrix: np.ndarray, where: str | os.PathLike, *, mirrored: bool = False
) -> np.ndarray:
    """Returns rotation matrices as they are, after checking that they are rotations.

    >>> check_rotation(1.2 * np.eye(3), "calib.json, camera 3")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    posepile.errors.CorruptInput: calib.json, camera 3: the rotation is off by 0.44 ...

    Args:
        matrix: ``[..., 3, 3]``.
        where: File and camera, for the message.
        mirrored: Reflections are expected instead: every determinant must be -1.

    Returns:
        The same numbers, float64.

    Raises:
        CorruptInput: Not finite, not orthonormal to ``ROTATION_TOLERANCE``, or of the wrong
            handedness. Of several matrices the worst is named by its index.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape[-2:] != (3, 3):
        raise CorruptInput(where, f"rotation of shape {matrix.shape}; expected 3x3 numbers")
    many = matrix.reshape(-1, 3, 3)
    if not np.isfinite(many).all():
        i = int(np.argmin(np.isfinite(many).all(axis=(1, 2))))
        raise CorruptInput(where, f"{_nth(i, matrix)} is not finite")
    off = np.abs(many @ np.swapaxes(many, 1, 2) - np.eye(3)).max(axis=(1, 2), initial=0)
    if len(off) and off.max() > ROTATION_TOLERANCE:
        i = int(np.argmax(off))
        raise CorruptInput(
            where,
            f"{_nth(i, matrix)} is off by {off[i]:.2g} (largest entry of R Rᵀ - 1); expected a "
            f"rotation, off by at most {ROTATION_TOLERANCE:g}",
            hint="a scale or another matrix is mixed in, or rows and columns are not what is read",
        )
    wrong = (np.linalg.det(many) < 0) != mirrored
    if wrong.any():
        i = int(np.argmax(wrong))
        found, expected = ("rotation", "reflection") if mirrored else ("reflection", "rotation")
        raise CorruptInput(
            where,
            f"{_nth(i, matrix)} is a {found} (determinant {1 if mirrored else -1}); expected a "
            f"{expected}",
            hint="its pictures are not mirrored, so `mirrored` must not be declared"
            if mirrored
            else "declare `mirrored` if the published pictures are mirror images",
        )
    return matrix


def change_axes(rotation: np.ndarray, center: np.ndarray, axes: str):
    """Converts world-to-camera rotations and optical centres into OpenCV's camera axes.

    Args:
        rotation: ``[..., 3, 3]``.
        center: ``[..., 3]``.
        axes: ``opencv``, ``opengl`` and ``blender`` (the same camera axes: y up, looking along
            -z), or ``unreal``, where the world is turned, too: see :func:`unreal_to_opencv`.

    Returns:
        The converted (rotation, centre).
    """
    if axes not in _AXES:
        raise ValueError(f"axes {axes!r}; known: {', '.join(_AXES)}")
    camera, world = _AXES[axes]
    if axes == "opencv":  # to the bit what was given
        return rotation, center
    return camera @ rotation @ world.T, center @ world.T


def unreal_to_opencv(points: np.ndarray) -> np.ndarray:
    """Converts points or vectors ``[..., 3]`` of an Unreal world: (x, y, z) to (y, -z, x).

    The result is right-handed with y down, so its up vector is (0, -1, 0).

    >>> unreal_to_opencv([400, -275, 265]).tolist()
    [-275.0, -265.0, 400.0]
    """
    return np.asarray(points, np.float64) @ _FROM_UNREAL.T


def unreal_rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Returns the world-to-camera rotation ``[3, 3]``, in Unreal's axes, of Unreal's angles.

    >>> np.round(unreal_rotation(0.0)).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]

    :func:`posepile.geometry.cameras.unreal_camera` makes a camera of it.

    Args:
        yaw: Degrees, to the right.
        pitch: Degrees, upwards.
        roll: Degrees, clockwise.
    """
    from scipy.spatial.transform import Rotation

    in_opencv = Rotation.from_euler("ZXY", [-roll, -pitch, -yaw], degrees=True).as_matrix()
    return _FROM_UNREAL.T @ in_opencv @ _FROM_UNREAL


def unreal_placement(place: np.ndarray, yaw: float, unit_mm: float = 10) -> np.ndarray:
    """Returns how a body stands in an Unreal scene: ``[4, 4]``, metres, into OpenCV's axes.

    As of AGORA and BEDLAM: bodies have y up and face along z; those of yaw 90 look along z of
    our world. For :func:`posepile.bodies.models.move_body`.

    >>> unreal_placement([0, 0, 0], 90).round().astype(int).tolist()
    [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]]

    Args:
        place: x, y, z in Unreal's axes.
        yaw: Degrees.
        unit_mm: Of ``place``; Unreal counts in centimetres.
    """
    transform = np.eye(4)
    transform[:3, :3] = euler_matrix("y", yaw - 90, degrees=True) @ np.diag([1.0, -1, -1])
    transform[:3, 3] = unreal_to_opencv(place) * unit_mm / 1000
    return transform


def euler_matrix(axes: str, angles: np.ndarray, *, degrees: bool = False) -> np.ndarray:
    """Returns rotations ``[..., 3, 3]`` of Euler angles, as scipy names their axes.

    >>> euler_matrix("z", 90, degrees=True).round().astype(int).tolist()
    [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    >>> euler_matrix("z", [0, 90], degrees=True).shape
    (2, 3, 3)

    Args:
        axes: ``XYZ`` turns about the axes as they have been turned before (R = Rx Ry Rz), ``xyz``
            about those that stay (R = Rz Ry Rx).
        angles: One for each axis, ``[..., len(axes)]``; with a single axis without that dimension.
        degrees: Else radians.
    """
    from scipy.spatial.transform import Rotation

    angles = np.asarray(angles, np.float64)
    angles = angles[..., None] if len(axes) == 1 else angles
    flat = Rotation.from_euler(axes, angles.reshape(-1, len(axes)), degrees=degrees)
    return flat.as_matrix().reshape(*angles.shape[:-1], 3, 3)


def rotvec_matrix(rotvecs: np.ndarray) -> np.ndarray:
    """Returns rotations ``[..., 3, 3]`` of rotation vectors ``[..., 3]`` (radians).

    >>> rotvec_matrix(np.zeros(3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    from scipy.spatial.transform import Rotation

    rotvecs = np.asarray(rotvecs, np.float64)
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix()
    return matrices.reshape(*rotvecs.shape, 3)


def matrix_rotvec(matrices: np.ndarray) -> np.ndarray:
    """Returns rotation vectors ``[..., 3]`` (radians) of rotations ``[..., 3, 3]``.

    >>> matrix_rotvec(np.eye(3)).tolist()
    [0.0, 0.0, 0.0]
    """
    from scipy.spatial.transform import Rotation

    matrices = np.asarray(matrices, np.float64)
    rotvecs = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return rotvecs.reshape(matrices.shape[:-1])


def turn_degrees(rotation: np.ndarray) -> float:
    """Returns by how many degrees a rotation ``[3, 3]`` turns.

    >>> round(turn_degrees(rotvec_matrix([0, 0, np.pi / 2])), 3)
    90.0
    """
    return float(np.degrees(np.linalg.norm(matrix_rotvec(rotation))))


def nearest_rotation(
    matrix: np.ndarray, where: str | os.PathLike, tolerance: float = 0.01
) -> np.ndarray:
    """Returns the rotation ``[3, 3]`` that is nearest to one whose numbers were rounded.

    >>> nearest_rotation(np.diag([1.0, 0.999, 1.0]), "a.json").round(6).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        matrix: ``[3, 3]``.
        where: File and place in it, for the message.
        tolerance: How far any number may be from that of the rotation.

    Raises:
        CorruptInput: It is not nearly a rotation.
    """
    left, _, right = np.linalg.svd(matrix)
    rotation = left @ right
    off = float(np.abs(rotation - matrix).max())
    if off > tolerance or np.linalg.det(rotation) < 0:
        kind = "reflection" if np.linalg.det(rotation) < 0 else "rotation"
        text = f"the matrix is {off:.2g} from the nearest {kind}; expected a rotation"
        raise CorruptInput(where, text, hint="it may be scaled or transposed, or damaged")
    return rotation


def nearest_axis(
    direction: np.ndarray, where: str | os.PathLike, limit: float, *, hint: str | None = None
) -> tuple[float, float, float]:
    """Returns the axis of the world that a direction has, e.g. up as sensors tell it, nearly.

    >>> nearest_axis([0.1, -2, 0.1], "pose", limit=5)
    (0.0, -1.0, 0.0)

    Args:
        direction: ``[3]``, of any length.
        where: Where it comes from, for the message.
        limit: Degrees by which it may be off the axis.
        hint: What the user can do if it is further off.

    Raises:
        CorruptInput: It is.
    """
    direction = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    k = int(np.abs(direction).argmax())
    tilt = float(np.degrees(np.arccos(min(1.0, abs(direction[k])))))
    if not tilt <= limit:
        text = f"up is {np.round(direction, 2).tolist()}, {tilt:.0f} degrees off an axis of the "
        raise CorruptInput(where, f"{text}world; expected {limit:g} or less", hint=hint)
    return tuple(np.where(np.arange(3) == k, np.sign(direction[k]), 0.0).tolist())


def median_direction(vectors: np.ndarray, tolerance: float = 0.01) -> np.ndarray:
    """Returns the unit vector ``[3]`` along the geometric median of some: outliers move it little.

    >>> up = [[0.0, 0, 1]] * 4 + [[1.0, 0, 0]]  # the last one lies
    >>> median_direction(np.array(up)).round(1).tolist()
    [0.0, 0.0, 1.0]

    Args:
        vectors: ``[n, 3]``, one or more.
        tolerance: A step that is shorter is the last one.
    """
    median, step = vectors.mean(axis=0), np.inf
    while step > tolerance:
        weights = 1 / np.maximum(np.linalg.norm(vectors - median, axis=1), 1e-6)
        last, median = median, weights @ vectors / weights.sum()
        step = np.linalg.norm(median - last)
    return median / max(np.linalg.norm(median), 1e-9)


def quaternion_matrix(quaternions: np.ndarray, order: str = "xyzw") -> np.ndarray:
    """Returns rotations ``[..., 3, 3]`` of quaternions ``[..., 4]``.

    >>> quaternion_matrix([1, 0, 0, 0], "wxyz").tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        quaternions: Of any length but zero.
        order: ``xyzw`` or ``wxyz``.
    """
    from scipy.spatial.transform import Rotation

    given = np.asarray(quaternions, np.float64)[..., [order.index(axis) for axis in "xyzw"]]
    return Rotation.from_quat(given.reshape(-1, 4)).as_matrix().reshape(*given.shape[:-1], 3, 3)


def _nth(i: int, matrices: np.ndarray) -> str:
    if matrices.ndim == 2:
        return "the rotation"
    index = np.unravel_index(i, matrices.shape[:-2])
    return f"rotation {', '.join(map(str, index))}"

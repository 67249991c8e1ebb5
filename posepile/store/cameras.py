"""Cameras as numbers of a table row and as the map ``cam`` of an entry, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import WorkError
from posepile.geometry.pictures import project
from posepile.store.read_only import read_only, read_only_class

if TYPE_CHECKING:
    import deltacamera

FISHEYE = "kannala_brandt"
BROWN_CONRADY = "brown_conrady"


def camera_to_row(camera: deltacamera.Camera) -> np.ndarray:
    """Returns rotation, intrinsics, optical centre and up vector, float32 ``[24]``."""
    row = np.empty(24, np.float32)
    row[:9] = np.asarray(camera.R).reshape(9)
    row[9:18] = np.asarray(camera.intrinsic_matrix).reshape(9)
    row[18:21] = camera.t
    row[21:] = camera.world_up
    return row


def project_row(row: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns points in pixels, NaN behind the camera: what the camera of a row without lens says.

    For pictures that people look at: to import the camera library takes longer than to draw them.

    Args:
        row: As :func:`camera_to_row` returns it.
        points: ``[n, 3]`` millimetres.

    Returns:
        float64 ``[n, 2]``.
    """
    rotation, intrinsics = np.reshape(row[:18], (2, 3, 3)).astype(np.float64)
    seen = (np.asarray(points, np.float64) - row[18:21]) @ rotation.T
    depth = np.where(seen[:, 2:] > 0, seen[:, 2:], np.nan)
    return (seen / depth @ intrinsics.T)[:, :2]


def example_pixels(example: Any, points: np.ndarray) -> np.ndarray | None:
    """Returns points of the world in pixels of an example's image, by its camera.

    Args:
        example: Loaded or not; of one that is stored without a lens the numbers
            are used, as in :func:`project_row`.
        points: ``[n, 3]`` millimetres.

    Returns:
        float64 ``[n, 2]``, NaN behind the camera; None where there is no camera.
    """
    source, row = getattr(example, "place", None) or (None, None)
    numbers = source.table().camera_row(row) if hasattr(source, "table") else None
    if numbers is not None:
        return project_row(numbers, points)
    camera = getattr(example, "camera", None)
    return None if camera is None else project(camera, points)


def distortion_to_row(camera: deltacamera.Camera) -> np.ndarray | None:
    """Returns 1 (fisheye) or 0, then the coefficients, float32; None without distortion."""
    model = camera.distortion_model
    if model is None or not model.has_nonzero_coeffs():
        return None
    fisheye = distortion_tag(model) == FISHEYE
    return np.append(np.float32(fisheye), np.asarray(model.coeffs)).astype("<f4")


def distortion_from_row(row: np.ndarray) -> deltacamera.LensDistortionModel | None:
    """Returns the lens model that :func:`distortion_to_row` wrote."""
    if not len(row):
        return None
    return make_distortion(row[1:], FISHEYE if row[0] else BROWN_CONRADY)


@functools.cache
def camera_maker(write: bool = True) -> Callable[..., deltacamera.Camera]:
    """Returns a function from (row ``[24]``, lens model, image shape) to a camera.

    The row holds what was checked when it was written, and is taken over.

    Args:
        write: Whether the cameras can be changed; otherwise setting an attribute is refused.
    """
    # The constructor checks its arguments for some twenty times longer than reading them takes.
    # Its result is imitated, but only if this release of the library builds exactly this.
    import deltacamera

    reference = deltacamera.Camera()
    array_type = type(reference.R)
    new = deltacamera.Camera.__new__
    camera_type = deltacamera.Camera if write else read_only_class(deltacamera.Camera)

    def quick(row, distortion, shape):
        camera = new(camera_type)
        matrices = row[:18].reshape(2, 3, 3)
        camera.__dict__.update(
            R=matrices[0].view(array_type),
            t=row[18:21].view(array_type),
            intrinsic_matrix=matrices[1].view(array_type),
            world_up=row[21:].view(array_type),
            _distortion_model=distortion,
            _image_shape=shape,
        )
        return camera

    row = np.concatenate([np.eye(3).ravel(), np.eye(3).ravel(), [0] * 5, [1]])
    made = quick(row.astype(np.float32), None, None)
    same = set(vars(made)) == set(vars(reference)) and all(
        type(vars(made)[k]) is type(v) and np.shape(vars(made)[k]) == np.shape(v)
        for k, v in vars(reference).items()
    )
    if same and made == reference:
        return quick
    return _camera_by_constructor if write else _read_only_camera_by_constructor


def _camera_by_constructor(row, distortion, shape):
    import deltacamera

    return deltacamera.Camera(
        rot_world_to_cam=row[:9].reshape(3, 3),
        intrinsic_matrix=row[9:18].reshape(3, 3),
        optical_center=row[18:21],
        world_up=row[21:],
        distortion_model=distortion,
        image_shape=shape,
    )


def _read_only_camera_by_constructor(row, distortion, shape):
    return read_only(_camera_by_constructor(row, distortion, shape))


def camera_to_dict(camera: deltacamera.Camera) -> dict[str, Any]:
    """Writes a camera as the map ``cam`` of an entry.

    ``rot_w2c`` is added where a rotation vector cannot hold the matrix (mirrored images).
    """
    import cv2

    rot = np.asarray(camera.R)
    rotvec = cv2.Rodrigues(rot.astype(np.float64))[0][:, 0]
    result = {
        "rotvec_w2c": rotvec,
        "loc": np.asarray(camera.t),
        "intr": np.asarray(camera.intrinsic_matrix)[:2],
        "up": np.asarray(camera.world_up),
    }
    if np.abs(cv2.Rodrigues(rotvec)[0] - rot).max() > 1e-6:
        result["rot_w2c"] = rot
    model = camera.distortion_model
    if model is not None and model.has_nonzero_coeffs():
        result["distcoef"] = np.asarray(model.coeffs)
        result["distmodel"] = distortion_tag(model)
    if camera.image_shape is not None:
        result["imshape"] = [int(x) for x in camera.image_shape]
    return result


def camera_from_dict(cam: dict[str, Any]) -> deltacamera.Camera:
    """Reads the map ``cam`` of an entry; without a model tag the coefficient count decides."""
    import cv2
    import deltacamera

    rot = cam.get("rot_w2c")
    if rot is None:
        rot = cv2.Rodrigues(np.asarray(cam["rotvec_w2c"], np.float64))[0]
    intrinsics = np.eye(3, dtype=np.float32)
    intrinsics[:2] = cam["intr"]
    coeffs = cam.get("distcoef")
    return deltacamera.Camera(
        rot_world_to_cam=rot,
        optical_center=np.asarray(cam["loc"]),
        intrinsic_matrix=intrinsics,
        distortion_model=make_distortion(coeffs, cam.get("distmodel")),
        world_up=cam.get("up", (0, 0, 1)),
        image_shape=cam.get("imshape"),
    )


def distortion_tag(model: deltacamera.LensDistortionModel) -> str:
    """Returns the name under which a distortion model is stored."""
    import deltacamera

    return FISHEYE if isinstance(model, deltacamera.FisheyeKannalaBrandt) else BROWN_CONRADY


def make_distortion(
    coeffs: np.ndarray | None, tag: str | None
) -> deltacamera.LensDistortionModel | None:
    """Builds a distortion model; None where all coefficients are zero.

    Args:
        coeffs: Coefficients, or None.
        tag: Stored model name, or None: then 4 coefficients are a fisheye lens and any other
            number Brown-Conrady. Tagged Brown-Conrady coefficients are padded with zeros.
    """
    import deltacamera

    if coeffs is None:
        return None
    coeffs = np.asarray(coeffs, np.float32).reshape(-1)
    if not coeffs.any():
        return None
    if tag == FISHEYE or (tag is None and len(coeffs) == 4):
        return deltacamera.FisheyeKannalaBrandt(coeffs)
    if tag not in (None, BROWN_CONRADY):
        raise WorkError(f"distortion model {tag!r}: expected {FISHEYE!r} or {BROWN_CONRADY!r}")
    n_params = next((n for n in (5, 8, 12, 14) if n >= len(coeffs)), len(coeffs))
    return deltacamera.BrownConradyEx(np.pad(coeffs, (0, n_params - len(coeffs))))

"""Whether a camera can be one, and can be that of the pictures."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.rotations import check_rotation
from posepile.imaging import rays

if TYPE_CHECKING:
    import deltacamera

    from posepile.stages.plausible import CheckParams

GRID = 13  # a lens is tested at GRID x GRID places of the picture
MAX_SKEW = 0.1  # of the focal length: pixels that lean by 6 degrees; sensors have none
# How near to its pixel a ray must be projected back, and for which share of the pixels: with real
# lenses all come back within a thousandth of a pixel.
RETURN_PX, MIN_RETURNED = 1.0, 0.9


def check_camera(camera: deltacamera.Camera | None, where: str) -> None:
    """Makes sure that a camera has a rotation, a place and focal lengths; None is not looked at.

    Raises:
        CorruptInput: Its matrix mirrors or is no rotation, or a number is not finite or no focal
            length.
    """
    if camera is None:
        return
    check_rotation(camera.R, f"{where}: camera")
    intrinsics = np.asarray(camera.intrinsic_matrix, np.float64)
    if not np.isfinite(camera.t).all():
        raise CorruptInput(where, f"camera: found it at {camera.t.tolist()}; expected numbers")
    focal = intrinsics[[0, 1], [0, 1]]
    if not (np.isfinite(intrinsics).all() and (focal > 0).all()):
        raise CorruptInput(
            where,
            f"camera: found intrinsics {intrinsics.round(3).tolist()}; expected finite numbers "
            "and focal lengths above 0",
        )
    if abs(intrinsics[0, 1]) > MAX_SKEW * focal[0]:
        raise CorruptInput(
            where,
            f"camera: found skew {intrinsics[0, 1]:.4g} beside a focal length of {focal[0]:.4g}; "
            f"expected at most {MAX_SKEW:.0%} of it",
        )


def check_lens(
    camera: deltacamera.Camera | None, size: tuple[int, int], where: str, params: CheckParams
) -> None:
    """Compares a camera with its pictures: middle, field of view, distortion.

    Args:
        camera: None = nothing is compared.
        size: Width and height of the pictures.
        where: Their file, for the message.
        params: Limits.

    Raises:
        CorruptInput: It is not that of these pictures, or no lens distorts like it.
    """
    if camera is None or not params.enabled:
        return
    lens = camera.distortion_model if camera.has_distortion() else None
    fault = _lens_fault(
        np.asarray(camera.intrinsic_matrix, np.float32).tobytes(),
        None if lens is None else type(lens),
        None if lens is None else lens.coeffs.tobytes(),
        (int(size[0]), int(size[1])),
        params,
    )
    if fault is not None:
        raise CorruptInput(where, fault[0], hint=fault[1])


@functools.lru_cache(maxsize=64)
def _lens_fault(
    intrinsics: bytes,
    model: type | None,
    coeffs: bytes | None,
    size: tuple[int, int],
    params: CheckParams,
) -> tuple[str, str] | None:
    """Returns what is wrong with a lens, and what to do about it; None = nothing is.

    Takes bytes, so that a lens is tested once and not for every frame.
    """
    import deltacamera

    matrix = np.frombuffer(intrinsics, np.float32).reshape(3, 3).astype(np.float64)
    w, h = size
    center, focal = matrix[:2, 2], matrix[[0, 1], [0, 1]]
    off = np.abs(center - (np.array(size) - 1) / 2) / size
    if off.max() > params.max_off_center:
        return (
            f"camera: the principal point {center.round(1).tolist()} is {off.max():.0%} of a "
            f"{w}x{h} picture away from its middle; expected at most {params.max_off_center:.0%}",
            "intrinsics are of another resolution, orientation or crop; if they are right, raise "
            "check.max_off_center",
        )
    angles = np.degrees(2 * np.arctan(np.array(size) / (2 * focal)))
    low, high = params.fields_of_view
    if angles.min() < low or angles.max() > high:
        return (
            f"camera: {w}x{h} pixels with focal lengths {focal.round(1).tolist()} see "
            f"{angles[0]:.3g} x {angles[1]:.3g} degrees; expected {low:g} to {high:g}",
            "focal lengths are not in pixels, or of another resolution; if they are right, widen "
            "check.fields_of_view",
        )
    if model is None:
        return None
    camera = deltacamera.Camera(
        intrinsic_matrix=matrix.astype(np.float32),
        distortion_model=model(np.frombuffer(coeffs, np.float32)),
    )
    x, y = np.meshgrid(*((np.arange(GRID) + 0.5) / GRID * side - 0.5 for side in size))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    found = rays.of_pixels(camera, points.astype(np.float32))
    known = np.isfinite(found).all(axis=1)
    text = f"camera: distortion {camera.distortion_model.coeffs.tolist()} "
    order = "coefficients are in another order or of another model"
    if known.mean() < params.min_lens_share:
        return (
            f"{text}is one-to-one in {known.mean():.0%} of the {w}x{h} picture; expected at least "
            f"{params.min_lens_share:.0%}",
            f"{order}; if they are right, lower check.min_lens_share",
        )
    # Where distortion is extreme, the search for the ray of a pixel ends elsewhere.
    back = np.asarray(camera.camera_to_image(found[known].astype(np.float32)), np.float64)
    returned = np.linalg.norm(back - points[known], axis=1) <= RETURN_PX
    if returned.mean() < MIN_RETURNED:
        return (
            f"{text}can be undone for {returned.mean():.0%} of the {w}x{h} picture's pixels; "
            f"expected at least {MIN_RETURNED:.0%}",
            f"{order}, no lens is like this",
        )
    return None

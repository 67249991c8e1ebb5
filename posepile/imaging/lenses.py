"""Cameras with lens distortion: the compiled functions of deltacamera, cached like our own.

deltacamera 0.9.0 leaves five of its compiled functions out of numba's cache. The largest,
``_undistort_points``, takes 8 s to compile, in every process that turns pixels of a distorted
picture into rays. Nothing of them is copied here: caching is switched on for the library's own
function objects, so what they compute stays the same to the bit.
"""

from __future__ import annotations

import contextlib
import functools
import sys

import numpy as np

from posepile.imaging import compiling
from posepile.progress import Progress


@functools.cache
def cache_library() -> None:
    """Switches caching on for the functions of deltacamera; call it before the first camera."""
    from deltacamera import coordframes, distortion, maps_impl, points_impl, validity
    from numba.core.caching import NullCache
    from numba.core.dispatcher import Dispatcher

    for module in (coordframes, distortion, maps_impl, points_impl, validity):
        for value in vars(module).values():
            if isinstance(value, Dispatcher) and isinstance(value._cache, NullCache):
                # Where no folder can be written, numba says so; then it stays as it was
                with contextlib.suppress(RuntimeError):
                    value.enable_caching()


def compile_lens(model: object) -> None:
    """Compiles what a lens model needs into the cache, if it is not there, once per machine.

    Args:
        model: A camera's ``distortion_model``.
    """
    _compile_lens(type(model))


@functools.cache
def _compile_lens(kind: type) -> None:
    cache_library()
    fisheye = kind.__name__ == "FisheyeKannalaBrandt"
    group = "fisheye lenses" if fisheye else "lens distortion"
    with Progress(f"compiling {group}", unit="functions") as bar:
        compiling.compile_once(
            group.replace(" ", "-"),
            exercise_fisheye if fisheye else exercise_brown_conrady,
            (__name__, "posepile.imaging.compiling"),
            announce=lambda line: print(line, file=sys.stderr, flush=True),
            seconds=10 if fisheye else 40,
            step=lambda name: bar.update(),
        )


def exercise_pinhole() -> None:
    """Calls what a camera without distortion needs."""
    cache_library()
    _exercise(None)


def exercise_brown_conrady() -> None:
    """Calls what Brown-Conrady lenses need: padded coefficients, all twelve, and with tilt."""
    import deltacamera

    cache_library()
    for n in (5, 12, 14):
        coeffs = np.zeros(n, np.float32)
        # Bends so strongly that the model is not one-to-one towards the corners
        coeffs[:5] = -0.6, 0.11, 0.002, -0.0015, -0.02
        _exercise(deltacamera.BrownConradyEx(coeffs))


def exercise_fisheye() -> None:
    """Calls what Kannala-Brandt lenses need."""
    import deltacamera

    cache_library()
    coeffs = np.array([0.43, -0.63, 0.84, -0.47], np.float32)
    _exercise(deltacamera.FisheyeKannalaBrandt(coeffs))


def _exercise(lens) -> None:
    import deltacamera
    from deltacamera import validity
    from rlemasklib import RLEMask

    matrix = np.array([[60, 0, 50], [0, 60, 40], [0, 0, 1]], np.float32)
    points = np.array([[30, 35], [50, 40], [55, 50], [1, 1], [98, 1]], np.float32)
    # Numba tells arrays that may be written to from those that may not, and rows that lie
    # together in memory from those that do not
    for intrinsics, turn in ((matrix, np.eye(3)), (_fixed(matrix), np.asfortranarray(np.eye(3)))):
        camera = deltacamera.Camera(
            intrinsic_matrix=intrinsics,
            rot_world_to_cam=turn,
            distortion_model=lens,
            image_shape=(80, 100),
        )
        for pixels in (points, _fixed(points)):
            world = camera.image_to_world(pixels, 1000)
            camera.image_to_camera(pixels, 1000)
            rays = camera.image_to_camera(pixels)
            camera.camera_to_image(rays)
            camera.camera_to_image(np.ascontiguousarray(rays[:, :2]))
        for places in (world, _fixed(world), np.repeat(world, 2, axis=0)[::2]):
            camera.world_to_image(places)
            camera.world_to_camera(places)
        camera.camera_to_world(rays)
        crop = camera.copy(
            intrinsic_matrix=matrix * 2, distortion_model=None, image_shape=(60, 60)
        ).rotated(yaw=0.05)
        mask = RLEMask.from_array(np.ones((80, 100), np.uint8))
        deltacamera.reproject_rle_mask(mask, camera, crop, warp_in_rle=True)
    if lens is not None:
        validity.get_valid_poly(camera.image_shifted((0.5, 0.5)), (80, 100))


def _fixed(array: np.ndarray) -> np.ndarray:
    """The same as an array that cannot be written to."""
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)

"""The pixels of a crop are where the crop's camera says, for every lens model."""

import subprocess
import sys

import deltacamera
import numpy as np
import pytest
from analytic_scene import Dots, TextbookCamera, Waves, find_dots, photograph, psnr, to_light
from scipy.spatial.transform import Rotation

from posepile.imaging import cropping
from posepile.imaging.frames import ArrayFrame

SIZE = (480, 360)
LENSES = {
    "pinhole": {},
    "brown-conrady": {"brown_conrady": (-0.28, 0.11, 0.002, -0.0015, -0.02)},
    "fisheye": {"kannala_brandt": (0.04, -0.02, 0.008, -0.001)},
}
# Large and small boxes, in the middle and near a corner
BOXES = {"large": (150, 30, 120, 300), "small": (300, 60, 50, 120), "corner": (8, 12, 110, 260)}


def cameras(lens, focal=300.0, roll=4.0):
    rotation = Rotation.from_euler("yxz", [25, -10, roll], degrees=True).as_matrix()
    # Stored as float32 by the library
    rotation = rotation.astype(np.float32).astype(np.float64)
    ours = TextbookCamera(focal, (236.5, 183.25), rotation, **LENSES[lens])
    model = None
    if ours.brown_conrady:
        model = deltacamera.BrownConradyEx(np.array(ours.brown_conrady, np.float32))
    elif ours.kannala_brandt:
        model = deltacamera.FisheyeKannalaBrandt(np.array(ours.kannala_brandt, np.float32))
    theirs = deltacamera.Camera(
        intrinsic_matrix=[[focal, 0, 236.5], [0, focal, 183.25], [0, 0, 1]],
        rot_world_to_cam=rotation,
        distortion_model=model,
        world_up=(0, -1, 0),
    )
    return ours, theirs


def textbook(camera):
    """The crop's camera, rebuilt from its numbers alone."""
    k = np.asarray(camera.intrinsic_matrix, np.float64)
    assert k[0, 0] == k[1, 1] and k[0, 1] == 0
    assert not camera.has_distortion()
    return TextbookCamera(k[0, 0], (k[0, 2], k[1, 2]), np.asarray(camera.R, np.float64))


def seen(plan, camera, source):
    """Crop pixels whose position lies well within the source picture."""
    w, h = plan.size
    xs, ys = np.meshgrid(np.arange(w), np.arange(h))
    rays = camera.rays(np.stack([xs, ys], axis=-1).reshape(-1, 2))
    x, y = source.project(rays).T
    inside = (x > 2) & (y > 2) & (x < SIZE[0] - 3) & (y < SIZE[1] - 3)
    return inside.reshape(h, w)


@pytest.fixture(scope="module", params=LENSES)
def pictured(request):
    source, camera = cameras(request.param)
    waves = Waves.random(finest=60)
    return source, camera, waves, ArrayFrame(photograph(waves, source, SIZE, 2))


@pytest.mark.parametrize("box", BOXES)
def test_pattern_matches_its_direct_rendering(pictured, box, record_property):
    source, camera, waves, frame = pictured
    plan = cropping.plan_crop(camera, BOXES[box], SIZE)
    crop = cropping.render(frame, camera, plan)
    virtual = textbook(plan.camera)
    truth = photograph(waves, virtual, plan.size, 1)
    where = seen(plan, virtual, source)
    quality = psnr(crop, truth, where)
    record_property("psnr", quality)
    assert where.mean() > 0.7
    assert quality > 40


@pytest.mark.parametrize("lens", LENSES)
def test_markers_are_found_where_they_project(lens):
    source, camera = cameras(lens)
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(30, 460, 36), np.arange(30, 340, 36)), -1).reshape(-1, 2)
    dots = Dots(source.rays(grid + rng.uniform(-3, 3, grid.shape)), radius=2.0 / 300)
    frame = ArrayFrame(photograph(dots, source, SIZE, 2))
    errors = []
    for box in BOXES.values():
        plan = cropping.plan_crop(camera, box, SIZE)
        crop = cropping.render(frame, camera, plan)
        virtual = textbook(plan.camera)
        in_front = dots.centers @ virtual.rotation[2] > 0.3
        expected = virtual.project(dots.centers[in_front])
        found = find_dots(crop, expected, window=round(7 * plan.scale))
        errors.append((found - expected)[np.isfinite(found).all(axis=1)])
    errors = np.concatenate(errors)
    assert len(errors) > 40
    assert np.linalg.norm(errors, axis=1).mean() <= 0.05
    assert np.abs(errors.mean(axis=0)).max() <= 0.01, "a systematic shift"


def test_downscaling_does_not_alias():
    # Waves near the source's limit are finer than the crop can hold: they must vanish, not fold
    source, camera = cameras("pinhole", roll=0.0)
    waves = Waves(np.array([[120.0, 20, 0]]), np.zeros(1), np.full((1, 3), 0.4))
    frame = ArrayFrame(photograph(waves, source, SIZE, 2))
    plan = cropping.plan_crop(
        camera, (100, 20, 200, 320), SIZE, cropping.CropParams(target=40, margin=1.5)
    )
    crop = cropping.render(frame, camera, plan)
    where = seen(plan, textbook(plan.camera), source)
    assert np.asarray(crop, float)[where].std() < 7.5


@pytest.mark.parametrize("target", [20, 47, 100, 256])
def test_flat_colours_come_through_unchanged(target):
    source, camera = cameras("brown-conrady")
    for colour in ((0, 0, 0), (255, 255, 255), (1, 130, 254), (17, 3, 90)):
        frame = ArrayFrame(np.full((SIZE[1], SIZE[0], 3), colour, np.uint8))
        plan = cropping.plan_crop(camera, BOXES["large"], SIZE, cropping.CropParams(target=target))
        crop = cropping.render(frame, camera, plan)
        where = seen(plan, textbook(plan.camera), source)
        assert np.abs(crop[where].astype(int) - colour).max() <= 1


def test_without_a_camera_the_crop_is_scaled_and_cut_only():
    image = np.zeros((360, 480, 3), np.uint8)
    image[100:200, 50:150] = 255
    plan = cropping.plan_crop(None, (50, 100, 100, 100), (480, 360))
    assert plan.camera is None
    assert plan.scale == pytest.approx(1.2)
    crop = cropping.render(ArrayFrame(image), None, plan)
    x, y, w, h = plan.bbox
    assert (w, h) == pytest.approx((120, 120))
    # The edge of the square lies half a pixel before its first pixel's centre
    left = cropping.transform_points(np.array([[49.5, 99.5]]), None, plan)[0]
    row = to_light(crop[round(y + h / 2), :, 0])
    assert row[: round(x + w / 2)].sum() == pytest.approx(
        round(x + w / 2) - left[0] - 0.5, abs=0.05
    )


def test_the_same_bytes_from_any_thread():
    from concurrent.futures import ThreadPoolExecutor

    _, camera = cameras("fisheye")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (360, 480, 3), np.uint8)

    def work(_):
        plan = cropping.plan_crop(camera, BOXES["large"], SIZE)
        return cropping.render(ArrayFrame(image), camera, plan).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(8)))) == 1


def test_kernels_compile_without_a_writable_cache_folder():
    # In a fresh process, because compiled code is kept for the life of a process
    script = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
import numpy as np
from posepile.imaging import kernels
light = np.zeros((2, 8), np.int16)
kernels.light((np.full((4, 16), 255, np.uint8), (4, 4)), (0, 0, 2, 2), 2, light)
assert (light == kernels.light_of(255)).all()
assert kernels.light.stats.cache_path is None
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

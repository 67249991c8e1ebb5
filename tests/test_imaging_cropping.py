import cv2
import deltacamera
import numpy as np
import pytest
import rlemasklib
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from posepile.imaging import cropping
from posepile.imaging.frames import ArrayFrame
from posepile.miniature import kit as miniature

SIZE = (640, 480)
BROWN_CONRADY = np.array([-0.25, 0.09, 0.002, -0.001, -0.01], np.float32)
FISHEYE = np.array([0.05, -0.02, 0.006, -0.001], np.float32)
MODELS = {
    "pinhole": None,
    "brown-conrady": deltacamera.BrownConradyEx(BROWN_CONRADY),
    "fisheye": deltacamera.FisheyeKannalaBrandt(FISHEYE),
}


def make_camera(lens="pinhole", angles=(20, -10, 3), focal=420.0):
    return deltacamera.Camera(
        intrinsic_matrix=[[focal, 0, 315], [0, focal, 236], [0, 0, 1]],
        rot_world_to_cam=Rotation.from_euler("yxz", angles, degrees=True).as_matrix(),
        optical_center=(1000.0, -2000.0, 500.0),
        distortion_model=MODELS[lens],
        world_up=(0, -1, 0),
    )


def source_positions(camera, plan):
    """Where each crop pixel lies in the source, by the camera library, ``[h, w, 2]``."""
    w, h = plan.size
    xs, ys = np.meshgrid(np.arange(w), np.arange(h))
    grid = np.stack([xs, ys], axis=-1).reshape(-1, 2).astype(np.float32)
    if camera is None:
        return ((grid - plan.offset) / plan.scale).reshape(h, w, 2)
    return deltacamera.reproject_image_points(grid, plan.camera, camera).reshape(h, w, 2)


def covered(camera, plan, margin=0.0):
    x, y = np.moveaxis(source_positions(camera, plan), -1, 0)
    return (
        (x >= -0.5 + margin)
        & (x <= SIZE[0] - 0.5 - margin)
        & (y >= -0.5 + margin)
        & (y <= SIZE[1] - 0.5 - margin)
    )


boxes = st.tuples(st.floats(-60, 600), st.floats(-60, 440), st.floats(20, 300), st.floats(20, 400))


@settings(max_examples=60, deadline=None)
@given(boxes, st.sampled_from(sorted(MODELS)), st.floats(-180, 180), st.floats(-60, 60))
def test_virtual_camera_keeps_place_and_looks_at_the_box(box, lens, yaw, pitch):
    camera = make_camera(lens, (yaw, pitch, 5))
    try:
        plan = cropping.plan_crop(camera, box, SIZE)
    except cropping.CannotCrop:
        return
    k = np.asarray(plan.camera.intrinsic_matrix)
    assert k[0, 0] == k[1, 1] and k[0, 1] == 0, "square pixels, no skew"
    assert not plan.camera.has_distortion()
    assert np.array_equal(plan.camera.t, camera.t)
    r = np.asarray(plan.camera.R, np.float64)
    assert np.allclose(r @ r.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(r) == pytest.approx(1, abs=1e-6)
    assert abs(r[0] @ [0, -1, 0]) < 1e-5, "upright: the x axis is level"
    # The optical axis passes through the centre of the box
    center = np.array(box[:2]) + np.array(box[2:]) / 2
    axis = deltacamera.reproject_image_points(k[None, :2, 2], plan.camera, camera)[0]
    assert np.allclose(axis, center, atol=0.05)
    assert plan.camera.image_shape == (plan.size[1], plan.size[0])


@settings(max_examples=60, deadline=None)
@given(boxes, st.sampled_from([*sorted(MODELS), None]))
def test_scale_and_size_follow_the_reference_figures(box, lens):
    camera = None if lens is None else make_camera(lens)
    try:
        plan = cropping.plan_crop(camera, box, SIZE)
    except cropping.CannotCrop:
        return
    longer = plan.bbox[2:].max()
    assert longer <= 1.5 * 256 + 0.01
    assert plan.scale == pytest.approx(min(1.2, plan.scale * 384 / longer), rel=1e-5)
    # sqrt(3)/2 and 1/2: the sides of a box turned by 30 degrees
    w, h = plan.bbox[2:]
    side = max(0.8660254 * w + h / 2, 0.8660254 * h + w / 2) * 1.1 / 0.85**2
    assert all(s <= side + 0.01 for s in plan.size)
    unclipped = cropping.plan_crop(
        camera, box, SIZE, cropping.CropParams(extreme_perspective=True)
    )
    assert np.abs(np.array(unclipped.size) - side).max() <= 1.01
    assert all(a <= b for a, b in zip(plan.size, unclipped.size, strict=True))


@pytest.mark.parametrize("lens", MODELS)
def test_points_agree_with_the_textbook(lens):
    camera = make_camera(lens)
    plan = cropping.plan_crop(camera, (200, 100, 120, 250), SIZE)
    rng = np.random.default_rng(0)
    cam_points = np.column_stack([rng.uniform(-0.6, 0.6, (50, 2)), np.ones(50)]) * 2000
    world = cam_points @ np.asarray(camera.R, np.float64) + np.asarray(camera.t, np.float64)

    def project(camera, coeffs=None, fisheye=False):
        r = np.asarray(camera.R, np.float64)
        t = -r @ np.asarray(camera.t, np.float64)
        k = np.asarray(camera.intrinsic_matrix)
        return miniature.project(world, k, r, t, coeffs, fisheye)

    coeffs = {"brown-conrady": BROWN_CONRADY, "fisheye": FISHEYE}.get(lens)
    source = project(camera, coeffs, lens == "fisheye")
    ours = cropping.transform_points(source, camera, plan)
    assert np.abs(ours - project(plan.camera)).max() < 0.02
    source[7] = np.nan
    ours = cropping.transform_points(source.reshape(5, 10, 2), camera, plan)
    assert ours.dtype == np.float32 and ours.shape == (5, 10, 2)
    assert np.isnan(ours.reshape(-1, 2)[7]).all() and np.isfinite(ours).sum() == 98


def test_points_behind_the_virtual_camera_are_missing():
    camera = make_camera("pinhole", focal=60.0)  # 160 degrees
    plan = cropping.plan_crop(camera, (600, 200, 30, 60), SIZE)
    points = cropping.transform_points(np.array([[610.0, 230], [5, 236]]), camera, plan)
    assert np.isfinite(points[0]).all() and np.isnan(points[1]).all()


@pytest.mark.parametrize("lens", [*MODELS, None])
@pytest.mark.parametrize("box", [(200, 100, 120, 250), (2, 5, 100, 300), (560, 300, 70, 170)])
def test_mask_and_picture_move_alike(lens, box):
    camera = None if lens is None else make_camera(lens)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    x, y, w, h = box
    ellipse = ((x + w / 2, y + h / 2), (w * 0.6, h * 0.9), 20)
    cv2.ellipse(mask, ellipse, 1, -1)
    cv2.circle(mask, (int(x + w / 2), int(y + h / 2)), int(w / 8), 0, -1)
    plan = cropping.plan_crop(camera, box, SIZE)
    stored = rlemasklib.encode(mask)
    for rle in (stored, rlemasklib.compress(stored, zlevel=-1)):
        warped = cropping.warp_mask(rle, camera, plan)
        assert set(warped) == {"size", "counts"} and isinstance(warped["counts"], bytes)
        decoded = rlemasklib.decode(warped).astype(bool)
        picture = cropping.render(ArrayFrame(np.repeat(mask[..., None] * 255, 3, 2)), camera, plan)
        dense = picture[..., 0] > 187  # half the light
        assert decoded.shape == dense.shape
        assert (decoded & dense).sum() / (decoded | dense).sum() > 0.97


def test_empty_mask_stays_empty_and_wrong_size_is_an_error():
    camera = make_camera()
    plan = cropping.plan_crop(camera, (200, 100, 120, 250), SIZE)
    empty = rlemasklib.encode(np.zeros((SIZE[1], SIZE[0]), np.uint8))
    assert not rlemasklib.decode(cropping.warp_mask(empty, camera, plan)).any()
    with pytest.raises(cropping.WorkError, match="640x480"):
        cropping.warp_mask(rlemasklib.encode(np.zeros((10, 20), np.uint8)), camera, plan)


@settings(max_examples=40, deadline=None)
@given(boxes, st.sampled_from([*sorted(MODELS), None]), st.booleans())
def test_valid_polygon_is_what_the_source_covers(box, lens, extreme):
    camera = None if lens is None else make_camera(lens, (20, -10, 12))
    params = cropping.CropParams(extreme_perspective=extreme)
    try:
        plan = cropping.plan_crop(camera, box, SIZE, params)
    except cropping.CannotCrop:
        return
    polygon = cropping.valid_polygon(camera, SIZE, plan)
    assert polygon.dtype == np.float32 and polygon.shape[1] == 2
    dense = covered(camera, plan)
    drawn = np.ones_like(dense)
    if len(polygon):
        assert polygon.min() >= -0.5 and np.all(polygon.max(axis=0) <= np.array(plan.size) - 0.5)
        canvas = np.zeros(dense.shape, np.uint8)
        cv2.fillPoly(canvas, [np.round(polygon * 256).astype(np.int32)], 1, cv2.LINE_8, 8)
        drawn = canvas.astype(bool)
    # They may differ by the pixels on the outline
    edge = cv2.dilate(dense.astype(np.uint8), np.ones((5, 5))) != cv2.erode(
        dense.astype(np.uint8), np.ones((5, 5)), borderValue=1
    )
    border = np.ones_like(edge)
    border[2:-2, 2:-2] = False
    assert not (drawn != dense)[~edge & ~border].any()


@pytest.mark.parametrize("lens", [*MODELS, None])
def test_picture_is_black_exactly_outside_the_valid_region(lens):
    camera = None if lens is None else make_camera(lens, (20, -10, 12))
    plan = cropping.plan_crop(
        camera, (520, 330, 100, 140), SIZE, cropping.CropParams(extreme_perspective=True)
    )
    white = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    crop = cropping.render(ArrayFrame(white), camera, plan)[..., 0]
    assert (crop[covered(camera, plan, 0.05)] == 255).all()
    assert (crop[~covered(camera, plan, -0.05)] == 0).all()
    assert (crop == 0).any()


def test_box_that_cannot_be_cropped_says_why():
    camera = make_camera()
    for box, reason in (
        ((0, 0, np.nan, 10), "not finite"),
        ((0, 0, 0, 10), "empty"),
        ((700, 10, 50, 50), "outside the image"),
        ((-100, 10, 50, 50), "outside the image"),
    ):
        with pytest.raises(cropping.CannotCrop, match=reason):
            cropping.plan_crop(camera, box, SIZE)
    with pytest.raises(cropping.CannotCrop, match="min_box"):
        cropping.plan_crop(camera, (10, 10, 5, 50), SIZE, cropping.CropParams(min_box=8))


def test_whole_picture_of_a_wide_camera_reaches_behind_and_still_works():
    camera = make_camera("pinhole", focal=60.0)
    plan = cropping.plan_crop(camera, (560, 180, 60, 120), SIZE)
    crop = cropping.render(ArrayFrame(np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)), camera, plan)
    x, y, w, h = plan.bbox
    assert crop[round(y + h / 2), round(x + w / 2), 0] == 200
    assert max(plan.size) < 1000


def test_crop_looking_straight_up_has_no_preferred_roll_but_works():
    camera = make_camera("pinhole", (0, 90, 0))
    plan = cropping.plan_crop(camera, (315 - 40, 236 - 40, 80, 80), SIZE)
    assert np.allclose(plan.camera.R, camera.R, atol=1e-3), "nothing to turn, nothing to level"


def test_parameters_reject_what_they_do_not_know():
    with pytest.raises(ValueError, match="quality"):
        cropping.CropParams(quality=3)
    with pytest.raises(ValueError, match="jpeg_quality"):
        cropping.CropParams(jpeg_quality=300)

"""Augmented crops of scenes whose truth is known: what the returned camera says is where it is."""

import pickle
import types

import cv2
import deltacamera
import numpy as np
import pytest
from analytic_scene import Dots, TextbookCamera, find_dots, photograph
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.augmentation import Augmentation, AugmentationParams
from posepile.augmentation.geometry import Turn, plan_shot
from posepile.datasets2d import Pose2DExample
from posepile.datasets3d import Pose3DExample, SparseCoords
from posepile.errors import UsageError, WorkError
from posepile.imaging import cropping
from posepile.joint_info import JointInfo

JOINTS = JointInfo([f"{side}{i}" for i in range(6) for side in "lr"] + ["pelv"])
MIRROR = np.array(JOINTS.mirror_mapping)
GEOMETRY = AugmentationParams(color=0, blur=0, jpeg=0, occlusion=0, background=0, border=0)
SIZE = (420, 400)
PLACE = np.array([1e6, -2000.0, 500])  # where the camera stands, mm
BROWN_CONRADY = (-0.25, 0.08, 0.003, -0.002, 0.0)


def draw(seed, index=3, epoch=1):
    return types.SimpleNamespace(index=index, epoch=epoch, rng=np.random.default_rng(seed))


def scene(lens=()):
    """Thirteen dots in space, a photograph of them and its example with the dots as joints."""
    turn = cv2.Rodrigues(np.array([1.4, 0.25, -0.15]))[0]
    textbook = TextbookCamera(700.0, (215.0, 190.0), turn, brown_conrady=lens)
    columns, rows = np.meshgrid([140, 180, 220, 260], [130, 180, 230])
    spots = np.append(np.stack([columns, rows], -1).reshape(-1, 2), [[200, 275]], axis=0)
    rays = textbook.rays(spots + np.random.default_rng(2).uniform(-6, 6, spots.shape))
    image = photograph(Dots(rays, 3.0 / 700), textbook, SIZE, samples=2)
    world = PLACE + rays * np.linspace(3000, 4500, len(rays))[:, None]
    camera = deltacamera.Camera(
        rot_world_to_cam=turn,
        optical_center=PLACE,
        intrinsic_matrix=[[700, 0, 215], [0, 700, 190], [0, 0, 1]],
        distortion_model=deltacamera.BrownConradyEx(np.float32(lens)) if lens else None,
        world_up=(0, 0, 1),
    )
    example = Pose3DExample("a.jpg", world, [110, 100, 180, 200], camera, image=image)
    return example, world


SCENES = {lens: scene(lens) for lens in ((), BROWN_CONRADY)}


def project(result, world):
    """World points in pixels by the returned camera alone, written out."""
    seen = (world - result["center"]) @ result["rotation"].astype(float).T
    k = result["intrinsics"].astype(float)
    return seen, (seen @ k.T)[:, :2] / seen[:, 2:]


def check_dots(result, world, limit=0.08):
    seen, places = project(result, world)
    mirrored = np.linalg.det(result["rotation"]) < 0
    assert mirrored == result["mirrored"]
    found = find_dots(result["image"], places, 8)
    known = np.isfinite(found).all(axis=1)
    assert known.sum() >= 5
    assert np.abs(found - places)[known].max() < limit
    order = MIRROR if mirrored else np.arange(len(world))
    np.testing.assert_allclose(result["coords3d"], seen[order], atol=0.5)
    np.testing.assert_allclose(result["coords2d"], places[order], atol=0.02)
    assert result["joint_mask3d"].all() and result["joint_mask2d"].all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), lens=st.sampled_from(sorted(SCENES)))
def test_the_camera_sees_the_dots_where_they_are(seed, lens):
    example, world = SCENES[lens]
    check_dots(Augmentation(GEOMETRY, JOINTS)(example, draw(seed)), world)


def test_all_changes_of_geometry_happen():
    example, _ = SCENES[()]
    augmentation = Augmentation(GEOMETRY, JOINTS)
    results = [augmentation(example, draw(seed)) for seed in range(40)]
    focals = np.array([r["intrinsics"][0, 0] for r in results])
    assert focals.max() / focals.min() > 1.25
    assert 8 < sum(bool(r["mirrored"]) for r in results) < 32
    ups = np.array([r["rotation"] @ [0, 0, 1] for r in results])
    rolls = np.degrees(np.arctan2(ups[:, 0], -ups[:, 1]))
    assert rolls.min() < -20 and rolls.max() > 20 and np.abs(rolls).max() <= 30.1
    middles = np.array([r["box"][:2] + r["box"][2:] / 2 for r in results]) - 127.5
    assert 8 < np.abs(middles).max() < 256 * 0.85 * 0.09 / 0.85 + 8


def test_the_plain_crop_is_upright_with_the_box_in_the_middle():
    example, world = SCENES[()]
    result = Augmentation(None, JOINTS).plain()(example)
    check_dots(result, world)
    up = result["rotation"] @ [0, 0, 1]
    assert abs(up[0]) < 1e-6 and up[1] < 0
    middle = result["box"][:2] + result["box"][2:] / 2
    np.testing.assert_allclose(middle, [127.5, 127.5], atol=1)
    assert abs(result["box"][3] - 0.85 * 256) < 4
    assert result["intrinsics"][:2, 2].tolist() == [127.5, 127.5]  # pixels count from their middle


def test_other_sizes():
    example, world = SCENES[()]
    for side in (96, 177, 384):
        result = Augmentation(GEOMETRY.model_copy(update={"side": side}), JOINTS)(example, draw(1))
        assert result["image"].shape == (side, side, 3) and result["mask"].shape == (side, side)
        if side > 100:
            check_dots(result, world, limit=0.12)


def test_merged_joints_and_missing_ones():
    example, world = SCENES[()]
    some = world.copy()
    some[[1, 4]] = np.nan
    dense = Pose3DExample("a", some, example.bbox, example.camera, image=example.image)
    sparse = Pose3DExample(
        "a", SparseCoords(some), example.bbox, example.camera, image=example.image
    )
    for seed in range(6):
        results = [Augmentation(GEOMETRY, JOINTS)(e, draw(seed)) for e in (dense, sparse)]
        gone = [0, 5] if results[0]["mirrored"] else [1, 4]
        for result in results:
            assert np.flatnonzero(~result["joint_mask3d"]).tolist() == gone
            assert np.isnan(result["coords3d"][gone]).all()
            assert not np.isnan(result["coords2d"][~np.isin(range(13), gone)]).any()
        np.testing.assert_array_equal(results[0]["coords3d"], results[1]["coords3d"])


def test_joints_behind_the_camera_have_no_pixel():
    example, world = SCENES[()]
    behind = world.copy()
    behind[3] = 2 * PLACE - world[3]
    e = Pose3DExample("a", behind, example.bbox, example.camera, image=example.image)
    result = Augmentation(None, JOINTS).plain()(e)
    assert result["joint_mask3d"][3] and not result["joint_mask2d"][3]
    assert np.isnan(result["coords2d"][3]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), camera=st.booleans(), kind=st.sampled_from(["2d", "3d"]))
def test_points_of_pictures_move_with_them(seed, camera, kind):
    example, world = SCENES[()]
    points = example.camera.world_to_image(world)
    if kind == "2d":
        e = Pose2DExample("a", points, example.bbox, image=example.image)
    else:  # one of a 2D dataset, in a merged one
        e = Pose3DExample("a", None, example.bbox, None, image=example.image)
        e.coords2d = points
    e.camera = example.camera if camera else None
    result = Augmentation(GEOMETRY, JOINTS)(e, draw(seed))
    assert result["has_camera"] == camera
    assert not result["joint_mask3d"].any() and np.isnan(result["coords3d"]).all()
    order = MIRROR if result["mirrored"] else np.arange(13)
    shown = result["coords2d"].astype(float)[np.argsort(order)]  # where each dot is
    found = find_dots(result["image"], shown, 8)
    known = np.isfinite(found).all(axis=1)
    # Dots are round in space: without the camera their middle moves a little
    assert known.sum() >= 5 and np.abs(found - shown)[known].max() < 0.08


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_without_a_camera_nothing_is_known_in_space(seed):
    example, world = SCENES[()]
    points = example.camera.world_to_image(world)
    points[4] = np.nan
    flat = Pose2DExample("a", points, example.bbox, image=example.image)
    deep = Pose3DExample("a", world, example.bbox, None, image=example.image)
    deep.coords2d = points
    augmentation = Augmentation(GEOMETRY.model_copy(update={"bodies": True}), JOINTS)
    deep.parameters = {"type": "smpl", "gender": "female", "pose": np.zeros(72)}
    expected, result = augmentation(flat, draw(seed)), augmentation(deep, draw(seed))
    assert expected["joint_mask2d"].sum() == 12
    for name, value in expected.items():
        np.testing.assert_array_equal(result[name], value, err_msg=name)


def test_a_joint_whose_other_side_is_lacking_is_missing_in_mirrored_pictures():
    example, world = SCENES[()]
    kept = np.array([0, 1, 2, 12])  # l0, r0, l1 and the pelvis
    joints = JointInfo([JOINTS.names[i] for i in kept], strict=False)
    e = Pose3DExample("a", world[kept], example.bbox, example.camera, image=example.image)
    e.coords2d = example.camera.world_to_image(world[kept])
    whole, some = (Augmentation(GEOMETRY, info) for info in (JOINTS, joints))
    for seed in range(8):
        expected, result = whole(example, draw(seed)), some(e, draw(seed))
        known = np.array([True, True, not result["mirrored"], True])
        for name in ("joint_mask3d", "joint_mask2d"):
            assert result[name].tolist() == known.tolist()
        for name in ("coords3d", "coords2d"):
            np.testing.assert_array_equal(result[name][known], expected[name][kept][known])
            assert np.isnan(result[name][~known]).all()


def test_without_a_box_it_is_the_whole_picture():
    example, world = SCENES[()]
    for box in (None, [np.nan] * 4, [5, 5, 0, 10]):
        e = Pose3DExample("a", world, box, example.camera, image=example.image)
        result = Augmentation(None, JOINTS).plain()(e)
        check_dots(result, world, limit=0.2)
        assert abs(result["box"][2] - 0.85 * 256) < 8


def test_straight_down_the_picture_stays_as_it_is():
    down = deltacamera.Camera(
        rot_world_to_cam=[[1, 0, 0], [0, -1, 0], [0, 0, -1]],
        intrinsic_matrix=[[500, 0, 100], [0, 500, 100], [0, 0, 1]],
        world_up=(0, 0, 1),
    )
    for box in ([80, 80, 40, 40], [90, 85, 40, 40], [70, 75, 40, 40]):
        shot = plan_shot(down, np.array(box), 256, 0.85)
        assert shot.turned[0, 0] > 0.99


def test_the_same_numbers_give_the_same_arrays_in_any_process():
    example, _ = SCENES[()]
    augmentation = Augmentation(None, JOINTS)
    copy = pickle.loads(pickle.dumps(augmentation))
    first = augmentation(example, draw(5))
    for other in (augmentation(example, draw(5)), copy(example, draw(5))):
        for name, value in first.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert (first["image"] != augmentation(example, draw(6))["image"]).any()
    assert first["index"] == 3 and first["epoch"] == 1


def test_every_kind_of_example_gives_the_same_shapes():
    example, world = SCENES[()]
    points = example.camera.world_to_image(world)
    bodiless = Pose3DExample("a", None, example.bbox, example.camera, image=example.image)
    kinds = [
        example,
        bodiless,
        Pose2DExample("a", points, example.bbox, image=example.image),
        Pose3DExample("a", None, example.bbox, example.camera, image=example.image, mask=whole()),
    ]
    augmentation = Augmentation(AugmentationParams(bodies=True), JOINTS)
    forms = [
        {name: (v.shape, v.dtype) for name, v in augmentation(e, draw(2)).items()} for e in kinds
    ]
    assert all(form == forms[0] for form in forms)


def whole():
    import rlemasklib

    return rlemasklib.encode(np.ones(SIZE[::-1], np.uint8))


def test_an_example_of_another_skeleton_is_refused():
    example, world = SCENES[()]
    e = Pose3DExample("a", world[:5], example.bbox, example.camera, image=example.image)
    with pytest.raises(UsageError, match=r"found 5, expected the 13.*Augmentation\.of"):
        Augmentation(None, JOINTS)(e, draw(0))


ENDLESS = [{"fill": np.inf}, {"zoom": (0.9, np.inf)}, {"contrast": np.inf}, {"shift": np.nan}]


def test_a_box_that_the_lens_does_not_see_is_refused():
    example, world = SCENES[BROWN_CONRADY]
    for box in ([1e9, 1e9, 100, 100], [110, -1e9, 180, 200]):
        e = Pose3DExample("a", world, box, example.camera, image=example.image)
        with pytest.raises(WorkError, match="the lens of the camera sees nothing at its middle"):
            Augmentation(GEOMETRY, JOINTS)(e, draw(0))
    # Only what the box is shifted to is beyond: its middle is looked at
    turns = [Turn(shift=(1e9, 0)), Turn()]
    shots = [plan_shot(example.camera, np.array(example.bbox), 256, 0.85, t) for t in turns]
    np.testing.assert_array_equal(shots[0].turned, shots[1].turned)
    assert np.isfinite(shots[0].intrinsics).all()


def test_datasets_of_replaceable_backgrounds_are_names_of_parts():
    with pytest.raises(UsageError, match=r"found the text 'coco'.*expected names"):
        Augmentation(None, JOINTS, replaceable="coco")
    dataset = types.SimpleNamespace(joint_info=JOINTS, parts={"coco": {}, "h36m": {}})
    params = AugmentationParams(occlusion=0, background=0)
    with pytest.raises(UsageError, match=r"found 'h3m', expected names among coco, h36m"):
        Augmentation.of(dataset, params.plain(), replaceable=["coco", "h3m"])
    with pytest.raises(UsageError, match="found the text 'coco'"):
        Augmentation.of(dataset, params.plain(), replaceable="coco")
    kept = Augmentation.of(dataset, params.plain(), replaceable={"h36m"})
    assert kept.replaceable == {"h36m"}


def test_wrong_parameters_are_refused():
    for wrong in (
        {"zoom": (1.2, 0.9)},
        {"jpeg_quality": (50, 101)},
        {"mirror": 2},
        {"shfit": 1},
        *ENDLESS,
    ):
        with pytest.raises(ValueError):
            AugmentationParams(**wrong)


# ---------------------------------------------------------------- the room that crops have


def stored_crop(width, height):
    source = deltacamera.Camera(
        intrinsic_matrix=[[3000, 0, 2000], [0, 3000, 1500], [0, 0, 1]], world_up=(0, -1, 0)
    )
    box = np.array([2000 - width / 2, 1500 - height / 2, width, height])
    return cropping.plan_crop(source, box, (4000, 3000))


@pytest.mark.parametrize("height", [150, 300, 500])
def test_default_ranges_stay_within_the_crop_of_a_square_box(height):
    from posepile.augmentation.drawing import draw_seen

    plan, p = stored_crop(height, height), AugmentationParams()
    for turns in range(24):
        for roll in (-p.rotation, 0, p.rotation):
            angle = turns * np.pi / 12
            shift = p.shift * np.cos(angle), p.shift * np.sin(angle)
            for zoom in p.zoom:
                turn = Turn(shift, np.radians(roll), zoom, mirror=turns % 2 == 0)
                shot = plan_shot(plan.camera, plan.bbox, p.side, p.fill, turn)
                assert draw_seen(shot, None, plan.size) is None


def test_what_is_beyond_the_crop_of_a_tall_box_is_corners():
    from posepile.augmentation.drawing import draw_seen

    plan, p, rng = stored_crop(160, 400), AugmentationParams(), np.random.default_rng(0)
    augmentation, shares = Augmentation(p, JOINTS), []
    for _ in range(300):
        turn = augmentation._turn(rng.random(16).tolist())
        shot = plan_shot(plan.camera, plan.bbox, p.side, p.fill, turn)
        seen = draw_seen(shot, None, plan.size)
        shares.append(0 if seen is None else 1 - seen.mean() / 255)
        # All of the person's box that is in the picture is in the crop
        x, y, w, h = plan.bbox
        edge = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        corners = np.rint(shot.points(edge)).astype(int)
        inside = ((corners >= 3) & (corners < p.side - 3)).all(axis=1)
        if seen is not None:
            assert (seen[corners[inside, 1], corners[inside, 0]] == 255).all()
    assert np.mean(shares) < 0.006 and np.max(shares) < 0.08


def test_crops_have_enough_pixels_for_the_largest_zoom():
    p = AugmentationParams()
    plan = stored_crop(200, 400)
    shot = plan_shot(plan.camera, plan.bbox, p.side, p.fill, Turn(zoom=p.zoom[1]))
    assert shot.intrinsics[0, 0] < plan.camera.intrinsic_matrix[0, 0]  # never enlarged

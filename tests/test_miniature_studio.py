"""The studio: what it draws is where it says, and is read again from a finished crop."""

import itertools

import av
import cv2
import numpy as np
import pytest

from posepile.geometry.fitting import project_fisheye624
from posepile.miniature import N_NUMBERS, actor, kit, marks, rig
from posepile.miniature.bodies import (
    FULL_SIZE,
    JOINT_NAMES,
    LANDMARK_NAMES,
    OUTPUT_NAMES,
    make_model,
    make_regressor,
    make_transfer,
    output_points,
    whole_pose,
)
from posepile.miniature.shoot import Actor, Backdrop, shoot
from posepile.miniature.skeleton import PARENTS, REST, TURNING, make_figure
from posepile.miniature.truth import (
    SequenceTruth,
    Truth,
    example_key,
    read_truth,
    write_truth,
)
from posepile.miniature.video import write_video

H36M = (
    "rhip rkne rank lhip lkne lank tors neck head htop lsho lelb lwri rsho relb rwri pelv".split()
)
COCO19 = (
    "neck nose lsho lelb lwri lhip lkne lank rsho relb rwri rhip rkne rank leye lear reye rear "
    "pelv"
).split()
SKELETONS = {"h36m": H36M, "coco19": COCO19, "smpl": TURNING}


def scene(names, size=(1000, 1002), focal=1145, n=6, angle=20, distance=4500, **camera):
    """A camera, a figure and the joints of two people, the second partly behind the first."""
    figure = make_figure(names)
    poses = [
        actor.pose_skeleton(actor.move(n, k, at=at, turned=15 * k), names)
        for k, at in enumerate([(0, 0, 950), (350, 500, 950)])
    ]
    position = rig.around((0, 0, 900), distance, angle, 300)
    return rig.make_camera(size, position, (150, 0, 900), focal, **camera), figure, poses


def crop_of(image, points, size=256, degrees=25, quality=90):
    """A crop as the pipeline could make it: turned, scaled, JPEG; and the points in it."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    scale = 0.8 * size / (high - low).max()
    matrix = cv2.getRotationMatrix2D(tuple(map(float, (low + high) / 2)), degrees, scale)
    matrix[:, 2] += size / 2 - (low + high) / 2
    small = cv2.GaussianBlur(image, (0, 0), max(0.01, 0.4 / scale)) if scale < 1 else image
    crop = cv2.warpAffine(small, matrix, (size, size), flags=cv2.INTER_LINEAR)
    data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], points @ matrix[:, :2].T + matrix[:, 2]


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", SKELETONS)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_marks_are_read_again_after_video_and_crop(tmp_path, name, b_frames):
    camera, figure, poses = scene(SKELETONS[name], distortion=(-0.2, 0.2, -0.001, 0.001, 0))
    backdrop = Backdrop(camera.size, 1)
    pictures = [
        shoot(backdrop, camera, [Actor(a, figure, 0), Actor(b, figure, 1)], 120 + i)
        for i, (a, b) in enumerate(zip(*poses, strict=True))
    ]
    write_video(tmp_path / "a.mp4", pictures, 50, b_frames=b_frames)
    images = decoded(tmp_path / "a.mp4")
    assert len(images) == len(pictures)
    errors, sure = [], 0
    for i, (image, picture) in enumerate(zip(images, pictures, strict=True)):
        for person, shot in enumerate(picture.people):
            crop, points = crop_of(image, shot.points)
            reading = marks.read_frame_number(crop, points, figure.limbs, person)
            assert reading is None or not reading.sure or reading.number == (120 + i) % N_NUMBERS
            sure += reading is not None and reading.sure
            assert marks.read_person(crop, points, figure.limbs) == person
            colors = np.array([c or (0, 0, 0) for c in figure.colors])
            expected = np.where(shot.discs[:, None], points, np.nan)
            found = kit.find_joints(crop, expected, colors, search=10)
            errors.extend(np.linalg.norm(found - expected, axis=1)[np.isfinite(found[:, 0])])
            assert np.isfinite(found[:, 0]).sum() >= 0.6 * shot.discs.sum()
    assert sure >= 0.8 * 2 * len(images)
    assert np.mean(errors) < 0.5


def test_marks_are_read_in_small_mirrored_videos(tmp_path):
    """320x240, as rendered sets have them: the picture is a mirror image of the world."""
    figure = make_figure(TURNING, radius_mm=52, disc=0.65)
    joints = actor.pose_skeleton(actor.move(8, 3, up="-y", at=(0, 100, 0)), TURNING)
    upright = rig.make_camera((320, 240), (0, 0, -5500), (0, 0, 0), 600, up="-y")
    flip = np.diag([-1.0, 1, 1])
    camera = rig.RigCamera(
        upright.size, upright.intrinsics, flip @ upright.rotation, flip @ upright.translation
    )
    backdrop = Backdrop(camera.size, 2)
    pictures = [shoot(backdrop, camera, [Actor(j, figure)], i) for i, j in enumerate(joints)]
    write_video(tmp_path / "a.mp4", pictures, 30)
    for i, image in enumerate(decoded(tmp_path / "a.mp4")):
        shot = pictures[i].people[0]
        flipped, points = image[:, ::-1].copy(), shot.points * (-1, 1) + (319, 0)
        reading = marks.read_frame_number(flipped, points, figure.limbs)
        assert reading.sure and reading.number == i
        colors = np.array([c or (0, 0, 0) for c in figure.colors])
        found = kit.find_joints(flipped, np.where(shot.discs[:, None], points, np.nan), colors, 8)
        errors = np.linalg.norm(found - points, axis=1)
        # Colour has half the resolution and FFmpeg's conversion moves it by half a pixel.
        assert np.isfinite(errors).sum() >= 12 and np.nanmean(errors) < 0.8


def test_neighbouring_frames_differ_and_no_pose_is_symmetric():
    camera, _, (joints, _) = scene(H36M, n=10)
    points = camera.project(joints)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    person = np.ptp(points, axis=1).max()
    assert np.median(steps, axis=1).min() > 3 * person / 256, "3 px in a crop of 256"
    swapped = [H36M.index({"l": "r", "r": "l"}.get(n[0], n[0]) + n[1:]) for n in H36M]
    mirrored = points.mean(axis=1, keepdims=True) * (2, 0) + points * (-1, 1)
    assert np.linalg.norm(mirrored[:, swapped] - points, axis=-1).mean() > 20
    moved = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1)
    assert (moved < 100).all(), "selection at 100 mm must leave frames out"


@pytest.mark.parametrize("angle", [None, 90, 30, 250])
def test_no_sure_reading_is_wrong_from_any_side(angle):
    """Seen from the side limbs hide each other; close together, people hide each other."""
    readings = []
    for k, turn in enumerate(np.arange(0, 360, 9)):
        camera, figure, (joints, _) = scene(H36M, angle=turn)
        actors = [Actor(joints[0], figure, 0)]
        if angle is not None:
            side = rig.around((0, 0, 0), 260, turn + angle)
            actors.append(Actor(joints[3] + side, figure, 1))
        picture = shoot(Backdrop(camera.size, k), camera, actors, 3 * k)
        for shot in picture.people:
            reading = marks.read_frame_number(
                picture.image, shot.points, figure.limbs, shot.actor.person
            )
            if reading is not None and reading.sure:
                readings.append(reading)
                assert reading.number == 3 * k
    assert len(readings) > 20
    # Cells that are hidden by other limbs are left out rather than misread.
    assert np.mean([r.agreement for r in readings]) > 0.995


def test_masks_and_boxes_are_those_of_the_pixels():
    camera, figure, (first, second) = scene(H36M)
    actors = [Actor(first[0], figure, 0), Actor(second[0], figure, 1)]
    board = (480, 600, 60, 80)
    picture = shoot(Backdrop(camera.size, 1), camera, actors, 5, [board])
    near, far = picture.people
    assert near.depth.mean() < far.depth.mean()
    assert near.modal.sum() < near.amodal.sum() and far.modal.sum() < far.amodal.sum()
    assert not (near.mask(camera.size) & far.mask(camera.size)).any()
    assert (near.mask(camera.size, True) & far.mask(camera.size, True)).any()
    for shot in picture.people:
        mask, seen = shot.mask(camera.size), marks.find_person(picture.image, shot.actor.person)
        assert (mask & seen).sum() / (mask | seen).sum() > 0.96
        left, top, right, bottom = shot.box()
        ys, xs = np.nonzero(mask)
        assert (left, top, right, bottom) == (
            xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5
        )  # fmt: skip
        # A disc that is said to be whole is whole; a joint behind something is not visible.
        for j in np.flatnonzero(shot.discs):
            x, y = np.round(shot.points[j]).astype(int)
            np.testing.assert_array_equal(picture.image[y, x], figure.colors[j])
            assert shot.visible[j]
    hidden = [
        j
        for j, p in enumerate(far.points)
        if near.mask(camera.size, True)[tuple(np.round(p).astype(int)[::-1])]
    ]
    assert hidden and not far.visible[hidden].any()
    # The order in which people are given does not matter.
    again = shoot(Backdrop(camera.size, 1), camera, actors[::-1], 5, [board])
    np.testing.assert_array_equal(again.image, picture.image)


def test_people_may_leave_the_picture():
    camera, figure, (joints, _) = scene(H36M)
    backdrop = Backdrop(camera.size, 1)
    for offset in [(1800, 0, 0), (0, 0, 1400), (0, 0, -5000), (0, -9000, 0)]:
        (shot,) = shoot(backdrop, camera, [Actor(joints[0] + offset, figure)]).people
        points = shot.points
        inside = ((points > -0.5) & (points < np.array(camera.size) - 0.5)).all(axis=1)
        np.testing.assert_array_equal(shot.visible, inside)
        assert (shot.box() is None) == (not shot.mask(camera.size).any())


def test_video_of_windows_equals_video_of_whole_pictures(tmp_path):
    camera, figure, (joints, other) = scene(H36M, size=(640, 480), focal=700)
    backdrop = Backdrop(camera.size, 1)
    pictures = [
        shoot(backdrop, camera, [Actor(a, figure), Actor(b, figure, 1)], i)
        for i, (a, b) in enumerate(zip(joints, other, strict=True))
    ]
    write_video(tmp_path / "a.mkv", pictures, 25)
    for image, picture in zip(decoded(tmp_path / "a.mkv"), pictures, strict=True):
        assert np.abs(image.astype(int) - picture.image).mean() < 2


def test_code_words_stay_apart():
    words = np.array([marks.code_word(k, 11).ravel() for k in range(N_NUMBERS)])
    distances = [(a != b).sum() for a, b in itertools.combinations(words, 2)]
    assert min(distances) >= 12
    assert words.any(axis=1).all() and not words.all(axis=1).any()


def test_kinematics_agree_with_rotations_of_rigid_parts():
    """Bones keep their length, and their directions are those of the product of rotations."""
    motion = actor.move(3, 5, up="y")
    joints = actor.pose_skeleton(motion, TURNING)
    for j, parent in enumerate(PARENTS):
        if parent < 0:
            np.testing.assert_allclose(joints[:, 0], motion.positions)
            continue
        bone = 1000 * (REST[TURNING[j]] - REST[TURNING[parent]])
        chain = [parent]
        while PARENTS[chain[0]] >= 0:
            chain.insert(0, PARENTS[chain[0]])
        turned = bone
        for k in reversed(chain):
            turned = actor.matrix(motion.rotvecs[1, k]) @ turned
        np.testing.assert_allclose(joints[1, j] - joints[1, parent], turned, atol=1e-9)


def test_a_body_in_its_rest_pose_is_its_template():
    model = make_model("smplx", 440, 2)
    joints, vertices = actor.pose_body(model, np.zeros((55, 3)), np.zeros(10), np.array([1, 2, 3]))
    np.testing.assert_allclose(vertices, model["v_template"] + [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(
        joints, model["J_regressor"] @ model["v_template"] + [1, 2, 3], atol=1e-6
    )


@pytest.mark.parametrize("kind", ["smpl", "smplx"])
def test_a_model_of_full_size_has_the_points_that_are_picked_where_they_belong(kind):
    model = make_model(kind, FULL_SIZE[kind], 2)
    joints, skin = actor.pose_body(model, np.zeros((len(JOINT_NAMES[kind]), 3)), np.zeros(10))
    points = output_points(model, joints, skin)
    names = OUTPUT_NAMES[kind][: len(points)]
    for name, point in list(zip(names, points, strict=True))[len(joints) :][:21]:
        rest = REST[name] * 1.04 + (0, -0.22, 0.02)  # as the joints of this gender
        assert np.linalg.norm(point - rest) < 0.08, name
    # Joints are regressed from other vertices.
    np.testing.assert_allclose(model["J_regressor"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(model["weights"].sum(axis=1), 1, rtol=1e-5)
    if kind == "smplx":
        face = points[76:]
        assert len(points) == 127 and np.abs(face - joints[15]).max() < 0.25
        sides = {"l": 1, "r": -1}
        for name, point in zip(LANDMARK_NAMES, face, strict=True):
            assert not name[-1].isdigit() or point[0] * sides.get(name[0], 0) >= 0, name


def test_a_regressor_gives_the_joints_of_a_posed_body_nearly():
    model = make_model("smplx", FULL_SIZE["smplx"], 1)
    pose = np.random.default_rng(0).normal(0, 0.2, (55, 3))
    joints, skin = actor.pose_body(model, pose, np.zeros(10))
    names = ["rank", "lelb", "neck"]
    found = make_regressor("smplx", names, FULL_SIZE["smplx"]) @ skin
    expected = joints[[JOINT_NAMES["smplx"].index(name) for name in names]]
    assert np.linalg.norm(found - expected, axis=1).max() < 0.03
    smpl = make_transfer(24, FULL_SIZE["smplx"]) @ skin
    assert np.linalg.norm(smpl[:22] - joints[:22], axis=1).max() < 0.12


def test_hand_components_are_added_to_the_mean_hands():
    model = make_model("smplx")
    hands = np.array([[1.0, 0], [0, 2]])
    added = whole_pose(model, np.zeros((55, 3)), hands) - whole_pose(model, np.zeros((55, 3)))
    np.testing.assert_allclose(added[25:40].ravel(), model["hands_componentsl"][0])
    np.testing.assert_allclose(added[40:].ravel(), 2 * model["hands_componentsr"][1])
    assert not added[:25].any()


@pytest.mark.parametrize("up", ["y", "-y", "z"])
def test_actors_stand_upright_and_face_the_camera(up):
    names = ["htop", "lank", "rank", "lsho", "rsho", "ltoe", "lhee"]
    (joints,) = actor.pose_skeleton(actor.move(1, up=up, at=(10, 20, 30)), names)
    axis = {"y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1)}[up]
    assert (joints[0] - joints[1]) @ axis > 1400
    camera = rig.make_camera(
        (640, 480), rig.around((10, 20, 30), 4000, 0, up=up), (10, 20, 30), 500, up=up
    )
    points, depth = camera.project(joints), camera.depth(joints)
    assert points[3, 0] > points[4, 0] + 20, "who faces the camera has their left on its right"
    assert depth[5] < depth[6], "toes are nearer than heels"
    assert points[0, 1] < points[1, 1] - 100
    left = rig.around((10, 20, 30), 4000, 90, up=up)
    assert np.linalg.norm(joints[3] - left) < np.linalg.norm(joints[4] - left)


def test_truth_is_read_as_it_was_written(tmp_path):
    sequences = {
        "a/cam1": SequenceTruth("train", [(0, 0), (3, 1)], 120),
        "b/cam1": SequenceTruth("test", [(7, 0)], 3, persons={"x17": 0}, frames={"seven": 7}),
    }
    truth = Truth(
        {"train": 2, "val": 0, "test": 1},
        r"(?P<sequence>\w/cam\d)/(?P<frame>\w+)_(?P<person>\w+)\.jpg$",
        sequences,
        frame_offset=1,
        colors=[[1, 2, 3], None],
        limbs=[(0, 1)],
    )
    write_truth(tmp_path, truth)
    assert read_truth(tmp_path) == truth
    key = example_key(truth, "x_downscaled/a/cam1/000012_1.jpg")
    assert (key.sequence, key.frame, key.person, key.number) == ("a/cam1", 11, 1, (11 + 120) % 128)
    assert example_key(truth, "b/cam1/seven_x17.jpg").frame == 7
    for path in ("c/cam1/1_0.jpg", "b/cam1/eight_x17.jpg", "b/cam1/seven_0.jpg", "a/cam1/1.jpg"):
        assert example_key(truth, path) is None


def test_lens_of_glasses_is_that_of_the_pipeline():
    k = [
        0.4035,
        -0.4851,
        0.1722,
        1.1215,
        -1.6903,
        0.6468,
        2.1e-4,
        -2.6e-4,
        -7e-4,
        -1e-4,
        6e-4,
        1e-4,
    ]
    rays = np.random.default_rng(0).uniform((-0.9, -0.9, 1), (0.9, 0.9, 1), (50, 3))
    matrix = np.array([[608.0, 0, 715], [0, 608, 707], [0, 0, 1]])
    mine = kit.project(rays, matrix, np.eye(3), np.zeros(3), np.array(k), fisheye=True)
    np.testing.assert_allclose(mine, project_fisheye624(np.array([608.0, 715, 707, *k]), rays))
    beyond = kit.project([2, 0, 1], matrix, np.eye(3), np.zeros(3), np.array(k), fisheye=True)
    assert np.isnan(beyond).all()

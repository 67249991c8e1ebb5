"""Cameras from every convention, against the textbook formulas written out here once more."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.errors import CorruptInput
from posepile.geometry.cameras import make_camera, moving_cameras, resize_intrinsics
from posepile.geometry.pictures import project
from posepile.geometry.rotations import (
    ROTATION_TOLERANCE,
    check_rotation,
    unreal_rotation,
    unreal_to_opencv,
)

K = np.array([[900.0, 0, 510.5], [0, 905.0, 480.25], [0, 0, 1]])
SIZE = (1000, 960)
angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
seeds = st.integers(0, 2**32 - 1)


def rx(a):
    c, s = math.cos(a), math.sin(a)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def ry(a):
    c, s = math.cos(a), math.sin(a)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rz(a):
    c, s = math.cos(a), math.sin(a)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def turned(a):
    return rx(a[0]) @ ry(a[1]) @ rz(a[2])


def in_front(rng, rotation, center, n=30):
    """World points (mm) in front of a camera."""
    depth = rng.uniform(1500, 5000, (n, 1))
    rays = np.concatenate([rng.uniform(-0.4, 0.4, (n, 2)), np.ones((n, 1))], axis=1)
    return (depth * rays) @ rotation + center


def pinhole(points, matrix=K):
    return (points[:, :2] / points[:, 2:]) * matrix[[0, 1], [0, 1]] + matrix[:2, 2]


def four(rotation, translation):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


@settings(deadline=None, max_examples=30)
@given(angles, seeds, st.sampled_from([("m", 1000), ("cm", 10), ("mm", 1), (2870.0, 2870)]))
def test_every_form_of_the_pose(a, seed, unit):
    rng = np.random.default_rng(seed)
    unit, factor = unit
    rotation, center = turned(a), rng.uniform(-3000, 3000, 3)
    points = in_front(rng, rotation, center)
    expected = pinhole((points - center) @ rotation.T)
    c, t = center / factor, -rotation @ center / factor
    forms = [
        {"rotation": rotation, "center": c},
        {"rotation": rotation, "translation": t},
        {"rotation": rotation, "translation": t[:, None]},
        {"world_to_camera": four(rotation, t)},
        {"world_to_camera": four(rotation, t)[:3]},
        {"camera_to_world": four(rotation.T, c)},
    ]
    for form in forms:
        camera = make_camera("x", intrinsics=K, unit=unit, **form)
        np.testing.assert_allclose(project(camera, points), expected, atol=5e-3)


@settings(deadline=None, max_examples=20)
@given(angles, seeds, st.sampled_from(["opengl", "blender"]))
def test_cameras_that_look_along_minus_z(a, seed, axes):
    rng = np.random.default_rng(seed)
    to_world, center = turned(a), rng.uniform(-3, 3, 3)
    # Right, up and backwards are the columns; a point 2 m ahead, 0.3 right, 0.1 up
    point = center + to_world @ (0.3, 0.1, -2.0)
    camera = make_camera(
        "x", camera_to_world=four(to_world, center), axes=axes, unit="m", intrinsics=K
    )
    expected = 510.5 + 900 * 0.15, 480.25 - 905 * 0.05
    np.testing.assert_allclose(project(camera, 1000 * point), expected, atol=5e-3)


def unreal_pixels(point, center=(0, 0, 0), yaw=0, pitch=0, roll=0):
    """Pixels, from the middle, of a point of an Unreal world (cm)."""
    turn = unreal_rotation(yaw, pitch, roll)
    camera = make_camera("x", axes="unreal", unit="cm", rotation=turn, center=center, intrinsics=K)
    return project(camera, 10 * unreal_to_opencv(point)) - K[:2, 2]


def test_unreal_angles():
    """A camera at rest looks along x, z is up; yaw turns right, pitch up, roll clockwise."""
    np.testing.assert_allclose(unreal_pixels((300, 0, 0)), 0, atol=1e-3)
    np.testing.assert_allclose(unreal_pixels((300, 30, 60)), (90, -181), atol=1e-3)
    center = np.array((10, 20, 30))
    on_the_right = center + np.array((100 * math.cos(0.5), 100 * math.sin(0.5), 0))
    above = center + np.array((100 * math.cos(0.3), 0, 100 * math.sin(0.3)))
    yaw, pitch = math.degrees(0.5), math.degrees(0.3)
    np.testing.assert_allclose(unreal_pixels(on_the_right, center, yaw=yaw), 0, atol=1e-3)
    np.testing.assert_allclose(unreal_pixels(above, center, pitch=pitch), 0, atol=1e-3)
    # Turned clockwise by 90 degrees, what is up appears on the left
    found = unreal_pixels(center + np.array((100, 0, 10)), center, roll=90)
    np.testing.assert_allclose(found, (-90, 0), atol=1e-3)


# name: focal mm, position cm, yaw, pitch as the published table has them
TABLE = {
    "hdri": (50, (0, 0, 170), 0, 0),
    "cam00": (18, (400, -275, 265), 135, 30),
    "cam01": (18, (400, 225, 265), -135, 30),
    "cam02": (18, (-490, 170, 265), -45, 30),
    "cam03": (18, (-490, -275, 265), 45, 30),
    "ag2": (28, (0, 0, 170), 0, 15),
}


@pytest.mark.parametrize("name", TABLE)
def test_table_of_unreal_cameras(name):
    """R = Rx(pitch) Ry(-yaw) on (y, -z, x), focal length from a 36 mm sensor."""
    mm, position, yaw, pitch = TABLE[name]
    rng = np.random.default_rng(0)
    camera = make_camera(
        name,
        axes="unreal",
        unit="cm",
        rotation=unreal_rotation(yaw, -pitch),
        center=position,
        focal=mm / 36 * 3840,
        principal=(1920, 1080),
        size=(3840, 2160),
        world_up=(0, -1, 0),
    )
    rotation = rx(math.radians(pitch)) @ ry(math.radians(-yaw))
    x, y, z = position
    center = np.array((y, -z, x)) / 100
    points = in_front(rng, rotation, 1000 * center)
    expected = pinhole(
        (points / 1000 - center) @ rotation.T,
        np.array([[mm / 36 * 3840, 0, 1920], [0, mm / 36 * 3840, 1080], [0, 0, 1]]),
    )
    np.testing.assert_allclose(project(camera, points), expected, atol=0.01)


def test_three_unreal_angles():
    """The order that is published elsewhere: Rz(-roll) Rx(-pitch) Ry(-yaw)."""
    yaw, pitch, roll = 31.0, -12.0, 7.0
    camera = make_camera(
        "x", axes="unreal", rotation=unreal_rotation(yaw, pitch, roll), intrinsics=K
    )
    expected = rz(math.radians(-roll)) @ rx(math.radians(-pitch)) @ ry(math.radians(-yaw))
    np.testing.assert_allclose(camera.R, expected, atol=1e-6)


LENS = dict(k1=-0.2070989, k2=0.2477752, k3=-0.0030752, p1=-0.0014245, p2=-0.0009757)


def lens_camera(lens, order, **more):
    values = [LENS[name] for name in order.split()]
    return make_camera(
        "x", intrinsics=K, distortion=values, distortion_order=order, lens=lens, **more
    )


def test_devkit_lens_is_reproduced_exactly():
    """x' = x g + p2 r2, y' = y g + p1 r2 with g = 1 + k1 r2 + k2 r4 + k3 r6 + p1 y + p2 x."""
    k1, k2, k3, p1, p2 = LENS.values()
    points = in_front(np.random.default_rng(1), np.eye(3), np.zeros(3), 200)
    x, y = (points[:, :2] / points[:, 2:]).T
    r2 = x * x + y * y
    g = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * y + p2 * x
    expected = np.stack([x * g + p2 * r2, y * g + p1 * r2], 1) * K[[0, 1], [0, 1]] + K[:2, 2]
    found = project(lens_camera("half_tangential", "k1 k2 k3 p1 p2"), points)
    np.testing.assert_allclose(found, expected, atol=0.003)
    opencv = project(lens_camera("brown_conrady", "k1 k2 k3 p1 p2"), points)
    assert 0.05 < np.abs(opencv - expected).max() < 1


@pytest.mark.parametrize("order", ["k1 k2 p1 p2 k3", "k1 k2 k3 p1 p2", "p2 p1 k3 k2 k1"])
def test_order_of_distortion(order):
    k1, k2, k3, p1, p2 = LENS.values()
    points = in_front(np.random.default_rng(2), np.eye(3), np.zeros(3), 50)
    x, y = (points[:, :2] / points[:, 2:]).T
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    expected = np.stack([u, v], 1) * K[[0, 1], [0, 1]] + K[:2, 2]
    np.testing.assert_allclose(
        project(lens_camera("brown_conrady", order), points), expected, atol=0.003
    )


def test_four_numbers_are_no_fisheye_unless_said():
    values = [0.05, -0.01, 0.002, -0.003]
    points = np.array([[700.0, 300, 1000]])
    x, y = 0.7, 0.3
    r2 = x * x + y * y
    u = x * (1 + 0.05 * r2 - 0.01 * r2**2) + 2 * 0.002 * x * y - 0.003 * (r2 + 2 * x * x)
    brown = make_camera("x", intrinsics=K, distortion=values)
    assert project(brown, points)[0, 0] == pytest.approx(510.5 + 900 * u, abs=0.003)
    theta = math.atan(math.sqrt(r2))
    t2 = theta * theta
    bent = theta * (1 + 0.05 * t2 - 0.01 * t2**2 + 0.002 * t2**3 - 0.003 * t2**4)
    fisheye = make_camera("x", intrinsics=K, distortion=values, lens="kannala_brandt")
    expected = 510.5 + 900 * bent * x / math.sqrt(r2)
    assert project(fisheye, points)[0, 0] == pytest.approx(expected, abs=0.003)


def test_no_distortion_is_no_model():
    assert make_camera("x", intrinsics=K, distortion=np.zeros((1, 5))).distortion_model is None


MIRROR = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])


def test_mirrored_pictures():
    """The published map is a reflection; ours sees the pictures turned left for right."""
    rng = np.random.default_rng(3)
    center = np.array([6.2, -1.0, 0.2])
    points = np.array([-1.0, 0, 0]) + rng.uniform(-0.8, 0.8, (100, 3))
    published = (points - center) @ MIRROR.T
    assert (published[:, 2] > 0).all()
    joints2d = 600 * published[:, :2] / published[:, 2:] + (160, 120)  # from pixel edges
    camera = make_camera(
        "clip",
        rotation=MIRROR,
        center=center[:, None],
        unit="m",
        focal=600,
        principal=(160, 120),
        pixel_origin="edge",
        size=(320, 240),
        mirrored=True,
        world_up=(0, -1, 0),
    )
    expected = np.stack([319.5 - joints2d[:, 0], joints2d[:, 1] - 0.5], axis=1)
    np.testing.assert_allclose(project(camera, 1000 * points), expected, atol=2e-3)
    np.testing.assert_allclose(camera.R, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    assert tuple(camera.intrinsic_matrix[:2, 2]) == (159.5, 119.5)


def test_a_mirroring_blender_camera():
    """The same camera from the axes of its Blender object, as columns."""
    in_world = four([[0, 0, 1], [0, -1, 0], [-1, 0, 0]], (6.2, -1.0, 0.2))
    lens = {"focal": 600, "size": (320, 240), "unit": "m", "mirrored": True}
    blender = make_camera("x", camera_to_world=in_world, axes="blender", **lens)
    assert blender == make_camera("x", rotation=MIRROR, center=(6.2, -1.0, 0.2), **lens)


def test_mirrored_lens():
    values = dict(LENS, s1=0.001, s2=0.0005, s3=-0.002, s4=0.0003)
    order = " ".join(values)
    flip = np.diag([-1.0, 1, 1])
    rng = np.random.default_rng(4)
    points = in_front(rng, np.eye(3), np.zeros(3))
    plain = make_camera(
        "x", intrinsics=K, distortion=list(values.values()), distortion_order=order
    )
    mirrored = make_camera(
        "x",
        rotation=flip,
        intrinsics=K,
        size=SIZE,
        distortion=list(values.values()),
        distortion_order=order,
        mirrored=True,
    )
    expected = project(plain, points * (-1, 1, 1))
    expected[:, 0] = SIZE[0] - 1 - expected[:, 0]
    np.testing.assert_allclose(project(mirrored, points), expected, atol=3e-3)


def test_reflections_are_refused_unless_declared():
    with pytest.raises(
        CorruptInput, match=r"a\.mat, clip 3: the rotation is a reflection .*-1.*; .*mirrored"
    ):
        make_camera("a.mat, clip 3", rotation=MIRROR, intrinsics=K)
    with pytest.raises(CorruptInput, match="is a rotation .*expected a reflection"):
        make_camera("x", rotation=np.eye(3), intrinsics=K, size=SIZE, mirrored=True)


@settings(deadline=None, max_examples=50)
@given(angles)
def test_matrices_printed_with_four_decimals_pass(a):
    check_rotation(np.round(turned(a), 4), "x")


@settings(deadline=None, max_examples=50)
@given(angles, st.floats(2e-3, 0.5), st.booleans())
def test_scaled_matrices_are_refused(a, off, larger):
    scale = 1 + off if larger else 1 - off
    with pytest.raises(
        CorruptInput, match=f"c.json, camera 7: .*off by .*at most {ROTATION_TOLERANCE:g}"
    ):
        check_rotation(turned(a) * scale, "c.json, camera 7")


def test_the_worst_of_many_is_named():
    many = np.repeat(np.eye(3)[None], 5, axis=0)
    many[3] *= 1.2
    with pytest.raises(CorruptInput, match=r"^f: rotation 3 is off by 0\.44 "):
        check_rotation(many, "f")
    many[3] = np.nan
    with pytest.raises(CorruptInput, match="rotation 3 is not finite"):
        check_rotation(many, "f")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"world_to_camera": np.eye(3)}, r"shape \(3, 3\); expected 3x4 or 4x4"),
        ({"world_to_camera": four(np.eye(3), (1, 2, 3)).T}, "last row .*1.0, 2.0, 3.0.*transpose"),
        (
            {"rotation": np.eye(3), "center": (1, np.nan, 0)},
            "position of the camera is not finite",
        ),
        ({"rotation": np.eye(3), "center": (1, 2)}, r"optical centre of shape \(2,\); expected 3"),
        ({"rotation": "R"}, "rotation is 'R'; expected numbers"),
        ({"intrinsics": -K}, "expected focal lengths"),
        ({"intrinsics": K * (-1, 1, 1)}, "focal lengths > 0"),
        ({"intrinsics": K.T}, "expected focal lengths, skew"),
        ({"intrinsics": K[0]}, r"shape \(3,\)"),
        ({"intrinsics": np.full((3, 3), "a")}, "intrinsics is array.*; expected numbers"),
        ({"distortion": np.ones((2, 5))}, r"distortion of shape \(2, 5\); expected one row"),
        ({"distortion": np.zeros(15)}, "15 distortion coefficients; expected at most 14"),
        ({"distortion": [1, 2], "distortion_order": "k1"}, r"2 distortion .*; expected 1 \(k1\)"),
        ({"distortion": [np.inf]}, "finite"),
        ({"distortion": ["a"]}, "expected numbers"),
    ],
)
def test_what_is_no_camera_is_refused_in_one_line(wrong, message):
    with pytest.raises(CorruptInput, match=message) as caught:
        make_camera("file, camera 2", **{"intrinsics": K, **wrong})
    assert str(caught.value).startswith("file, camera 2: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (3, 4), (4, 4)])
def test_intrinsics_of_any_form(shape):
    full = np.eye(4)
    full[:3, :3] = K
    camera = make_camera("x", intrinsics=full[: shape[0], : shape[1]])
    np.testing.assert_array_equal(camera.intrinsic_matrix, K)


def test_the_middle_is_the_principal_point():
    camera = make_camera("x", focal=(700, 710), size=(640, 480))
    np.testing.assert_array_equal(
        camera.intrinsic_matrix, [[700, 0, 319.5], [0, 710, 239.5], [0, 0, 1]]
    )
    assert camera.image_shape == (480, 640)
    same = make_camera("x", focal=(700, 710), size=(640, 480), pixel_origin="edge")
    np.testing.assert_array_equal(same.intrinsic_matrix, camera.intrinsic_matrix)


def test_moving_cameras():
    rng = np.random.default_rng(5)
    poses = [turned(rng.uniform(-1, 1, 3)) for _ in range(3)]
    matrices = np.stack([four(r, rng.uniform(-1, 1, 3)) for r in poses])
    lenses = np.stack([K + np.diag([10.0 * k, 20 * k, 0]) for k in range(3)])
    cameras = moving_cameras(
        "seq", [4, 7, 9], camera_to_world=matrices, axes="opengl", unit="m", intrinsics=lenses
    )
    assert cameras(5) is None
    for k, frame in enumerate((4, 7, 9)):
        single = make_camera(
            "x", camera_to_world=matrices[k], axes="opengl", unit="m", intrinsics=lenses[k]
        )
        assert cameras(frame) == single
    one_lens = moving_cameras("seq", range(3), world_to_camera=matrices, intrinsics=K)
    np.testing.assert_array_equal(one_lens(2).intrinsic_matrix, K)


def test_moving_cameras_name_the_frame():
    matrices = np.repeat(np.eye(4)[None], 3, axis=0)
    with pytest.raises(CorruptInput, match="world_to_camera of 3 frames; expected 2"):
        moving_cameras("seq", [0, 1], world_to_camera=matrices, intrinsics=K)
    lenses = np.stack([K, K, -K])
    cameras = moving_cameras("seq", [4, 7, 9], world_to_camera=matrices, intrinsics=lenses)
    with pytest.raises(CorruptInput, match="seq, frame 9: intrinsics"):
        cameras(9)
    matrices[1] *= 2
    matrices[1, 3, 3] = 1
    with pytest.raises(CorruptInput, match="rotation 1 is off by 3 "):
        moving_cameras("seq", [4, 7, 9], world_to_camera=matrices, intrinsics=K)


def test_resized_intrinsics():
    small = resize_intrinsics(K, (3840, 2160), (796, 448))
    point = np.array([100.0, 200, 1000])
    x, y = pinhole(point[None])[0]
    expected = (x + 0.5) * 796 / 3840 - 0.5, (y + 0.5) * 448 / 2160 - 0.5
    np.testing.assert_allclose(pinhole(point[None], small)[0], expected)

"""Cameras that cannot be those of the pictures are refused, those that datasets have pass."""

import deltacamera
import numpy as np
import pytest

from posepile.errors import CorruptInput
from posepile.geometry.cameras import make_camera
from posepile.stages.calibration import check_camera, check_lens
from posepile.stages.plausible import CheckParams

HD, BROWN, FISHEYE = (1920, 1080), "brown_conrady", "kannala_brandt"
PANOPTIC = [-0.285, 0.187, 0.0002, 0.0001, -0.066]


def camera(focal, principal=None, size=HD, distortion=None, lens=BROWN, **keys):
    return make_camera(
        "x", focal=focal, principal=principal, size=size, distortion=distortion, lens=lens, **keys
    )


@pytest.mark.parametrize(
    ("size", "focal", "principal", "distortion", "lens"),
    [
        ((320, 240), 600, (159.5, 119.5), None, BROWN),  # SURREAL, turned
        ((1280, 720), 800 / 3, None, None, BROWN),
        (HD, 1395, (942, 556), PANOPTIC, BROWN),
        ((1000, 1002), 1145, (512.5, 515.5), [-0.2, 0.24, -0.001, -0.001, -0.002], BROWN),
        ((3840, 2160), (3900, 3890), (1960, 1040), None, BROWN),
        ((3840, 2160), 1800, (1919.5, 1079.5), [0.03, 0.02, -0.01, 0.002], FISHEYE),
        ((1408, 1408), 610, (715, 696), [0.4, -0.5, 0.2, -0.02], FISHEYE),  # Aria
        ((1408, 1408), 448, (704, 704), [0.02, -0.01, 0, 0], FISHEYE),  # 180 degrees
        ((1920, 1080), 275, None, [0.02, -0.01, 0, 0], FISHEYE),  # a round picture
        ((800, 600), 980, (392, 310), [-0.229, 0.355], BROWN),  # BML MoVi
        ((640, 480), 523, (351.5, 225.3), [-0.307, 0.12, 0, -0.0018, 0], BROWN),
        ((512, 512), 5000, (256, 256), None, BROWN),  # SSP-3D
        ((1920, 1080), (1684, 1673), (939.9, 560.1), [-0.277, 0.131, 0, -0.001, -0.05], BROWN),
        (  # Kinect: large coefficients that nearly cancel
            (2048, 1536), 980, (1019, 779.5),
            [0.5, -2.7, 0.0005, -0.0001, 1.6, 0.38, -2.5, 1.5], BROWN,
        ),
        ((752, 480), 484, (367, 228), [-0.28, 0.08, 0, 0, 0], BROWN),  # JRDB
    ],
)  # fmt: skip
def test_cameras_that_there_are(size, focal, principal, distortion, lens):
    for mirrored in (False, True):
        made = camera(focal, principal, size, distortion, lens)
        if mirrored:
            reflection = np.diag([-1.0, 1, 1])
            made = camera(
                focal, principal, size, distortion, lens, rotation=reflection, mirrored=True
            )
        check_lens(made, size, "a.mkv", CheckParams())


@pytest.mark.parametrize(
    ("made", "found", "key"),
    [
        (camera(700, (471, 278)), r"\[471\.0, 278\.0\] is 25% of a 1920x1080", "max_off_center"),
        (camera(2800, (1884, 1112)), "principal point .* is 5.% of", "max_off_center"),
        (camera(930, (628, 371)), None, None),  # of 1280x720: like lenses that are off
        (camera(1400, (540, 960)), "is 39% of", "max_off_center"),
        (camera(35), r"\[35\.0, 35\.0\] see 176 x 173 degrees", "fields_of_view"),
        (camera(1.4e6), "see 0.0786 x", "fields_of_view"),
        (camera((1400, 1e6)), "see 68.9 x 0.0619", "fields_of_view"),
        (camera(1400, distortion=10 * np.array(PANOPTIC)), "one-to-one in", "min_lens_share"),
        (camera(1400, distortion=[-100, 0, 0, 0]), "one-to-one in 1%", "min_lens_share"),
        (camera(1400, distortion=[8, 0, 0, 0]), "can be undone for 67%", None),
        (camera(600, distortion=[3, 0, 0, 0], lens=FISHEYE), "undone for 44%", None),
        (camera(600, distortion=[-3, 0, 0, 0], lens=FISHEYE), "one-to", "min_lens_share"),
    ],
)
def test_cameras_that_cannot_be(made, found, key):
    if found is None:
        check_lens(made, HD, "a.mkv", CheckParams())
        return
    hint = f"check.{key}" if key else "no lens is like this"
    with pytest.raises(CorruptInput, match=rf"^a\.mkv: camera: .*{found}.*{hint}"):
        check_lens(made, HD, "a.mkv", CheckParams())
    check_lens(made, HD, "a.mkv", CheckParams(enabled=False))
    if key:
        wide = CheckParams(max_off_center=9, fields_of_view=(1e-9, 179.9), min_lens_share=1e-9)
        check_lens(made, HD, "a.mkv", wide)


def test_a_lens_that_sees_nothing_is_refused():
    nothing = camera(1400, distortion=[-1e9, 0, 0, 0])
    with pytest.raises(CorruptInput, match="can be undone for 1%"):
        check_lens(nothing, HD, "a.mkv", CheckParams())


def test_limits_of_the_field_of_view_are_in_order():
    with pytest.raises(ValueError, match="smallest 90 is above largest 20"):
        CheckParams(fields_of_view=(90, 20))


def test_skew_as_no_sensor_has_is_refused():
    leaning = deltacamera.Camera(intrinsic_matrix=[[1000, -200, 960], [0, 1000, 540], [0, 0, 1]])
    with pytest.raises(CorruptInput, match="found skew -200 beside a focal length of 1000"):
        check_camera(leaning, "a.mkv")
    check_camera(leaning.copy(intrinsic_matrix=[[1000, 2, 960], [0, 1000, 540], [0, 0, 1]]), "a")

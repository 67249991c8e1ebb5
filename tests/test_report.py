"""The report page: drawn from what is stored, at little cost."""

import subprocess
import sys

import numpy as np
import pytest

from posepile.checking.sample import data_root
from posepile.datasets3d import Pose3DExample, get_dataset
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import project
from posepile.joint_info import JointInfo
from posepile.report.drawing import LEGEND, draw_example, example_points, with_legend
from posepile.store.cameras import camera_to_row, project_row
from posepile.store.columns import ColumnBuilder
from posepile.store.fields import Record
from posepile.store.table import ExampleTable

LENS = {"distortion": [0.1, 0.01, 0.002, 0.001, 0.0]}


def camera(**more):
    return make_camera(
        "c.json",
        rotation=[[0, -1, 0], [0, 0, -1], [1, 0, 0]],
        center=[200, -300, 1100],
        intrinsics=[[900, 3, 500], [0, 880, 400], [0, 0, 1]],
        **more,
    )


def table_of_one(seen_by):
    builder = ColumnBuilder()
    record = Record(
        image_path="a/0.jpg",
        split="train",
        bbox=np.float32([0, 0, 9, 9]),
        imshape=(64, 64),
        frame=0,
        person=0,
        sequence="a",
        world_coords=np.zeros((2, 3), np.float32),
        camera=seen_by,
    )
    builder.add(record, offset=0, size=1, crc32c=0, new_image=True)
    return ExampleTable(builder.finish())


def test_the_numbers_of_a_camera_project_as_the_camera_does():
    points = np.random.default_rng(3).normal((4000, 0, 1000), 500, (40, 3))
    points[3], points[4, 0] = np.nan, -4000  # missing; behind the camera
    found, expected = project_row(camera_to_row(camera()), points), project(camera(), points)
    assert np.isnan(expected).any(axis=1).tolist() == [i in (3, 4) for i in range(40)]
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("name", ["h36m", "surreal"])
def test_points_of_examples_are_those_of_their_cameras(miniature, name):
    with data_root(miniature(name)):
        examples = [e for part in get_dataset(name).examples.values() for e in part]
        rows = [e.place[0].table().camera_row(e.place[1]) for e in examples]
        assert all(row is not None for row in rows)
        for example in examples:
            expected = example_points(example.load(load_image=False))
            np.testing.assert_allclose(example_points(example), expected, atol=0.01)


@pytest.mark.parametrize(
    "box", [[np.nan] * 4, [0, 0, np.inf, 1], [-1e12, 0, 1e20, 1], [0, 0, -5, -5]]
)
def test_a_box_that_is_none_is_no_hindrance(box):
    example = Pose3DExample("a.jpg", None, box, None)
    example.image = np.zeros((40, 30, 3), np.uint8)
    example.valid_poly = np.float32([[0, 0], [np.nan, 3], [5, 5]])
    assert draw_example(example, JointInfo("a"), 320).shape == (320, 240, 3)


@pytest.mark.parametrize("width", [524, 2078])
def test_a_picture_says_what_its_colours_mean(width):
    picture = with_legend(np.full((100, width, 3), 120, np.uint8))
    assert picture.shape[1] == width and (picture[:100] == 120).all()
    for color, _ in LEGEND:  # all of a swatch is there, whatever is drawn on it
        assert (picture[100:] == color).all(axis=-1).sum() >= 100


def test_a_camera_with_a_lens_is_asked_itself():
    plain, bent = table_of_one(camera()), table_of_one(camera(**LENS))
    assert plain.camera_row(0) is not None
    assert bent.camera_row(0) is None
    assert table_of_one(None).camera_row(0) is None


def test_a_report_does_without_the_camera_library(miniature, tmp_path):
    """To import it takes longer than to draw; every run of a main.sh ends with a report."""
    code = (
        "import sys; from pathlib import Path; from posepile.report import write_report; "
        "write_report('surreal', Path(sys.argv[1])); "
        "assert not {'deltacamera', 'numba'} & sys.modules.keys()"
    )
    with data_root(miniature("surreal")):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "r.html")], check=True)
    assert "Contact sheets" in (tmp_path / "r.html").read_text()

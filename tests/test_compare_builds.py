"""The comparison of two builds finds what differs."""

import io
import subprocess
import sys

import barecat
import numpy as np
import pytest
from conftest import ROOT


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


CONTENT = {
    "x_downscaled/a.jpg": b"\xff\xd8first",
    "x_downscaled/b.jpg": b"\xff\xd8second",
    "table/bbox.npy": npy(np.array([[1, 2, 3, 4], [np.nan, 6, 7, 8]], np.float32)),
    "manifest.json": b"{}",
}


@pytest.fixture
def compare(tmp_path):
    """Compares the content above with another; returns exit status and output."""

    def run(other):
        for name, content in (("old", CONTENT), ("new", other)):
            with barecat.Barecat(str(tmp_path / f"{name}.barecat"), readonly=False) as archive:
                for key, value in content.items():
                    archive[key] = value
        script = ROOT / "benchmarks" / "compare_builds.py"
        paths = [str(tmp_path / f"{name}.barecat") for name in ("old", "new")]
        done = subprocess.run(
            [sys.executable, str(script), *paths], capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_equal_builds(compare):
    status, output = compare(CONTENT | {"manifest.json": b"{'version': 2}"})
    assert (status, output) == (0, "2 images, 1 columns in both: 0 differences\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_downscaled/b.jpg": b"\xff\xd8secOnd"}, "1 of 8 bytes differ, the first at 5"),
        ({"x_downscaled/b.jpg": b"\xff\xd8"}, "8 bytes, now 2"),
        ({"x_downscaled/c.jpg": b"\xff\xd8"}, "only in the new build: x_downscaled/c.jpg"),
        ({"table/bbox.npy": npy(np.zeros((2, 4)))}, "float32 [2, 4], now float64 [2, 4]"),
        (
            {"table/bbox.npy": npy(np.float32([[1, 2, 3, 4], [np.nan, 6, 7, 9]]))},
            "1 of 2 rows differ, the first is 1",
        ),
    ],
)
def test_differences(compare, change, said):
    status, output = compare(CONTENT | change)
    assert status == 1
    assert said in output


def test_lost_entry(compare):
    status, output = compare({k: v for k, v in CONTENT.items() if "a.jpg" not in k})
    assert status == 1
    assert "only in the old build: x_downscaled/a.jpg" in output

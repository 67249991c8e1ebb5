"""What is compiled once stays compiled: a second process compiles nothing."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

KERNEL = """
import numba

def twice(x):
    return x + x

try:
    twice = numba.njit(cache=True)(twice)
except RuntimeError:
    twice = numba.njit(twice)

def use():
    twice(1)
"""

CALLS = """
import json, sys
from posepile.imaging import compiling
said = []
def exercise():
    import posepile_test_kernel
    posepile_test_kernel.use()
names = compiling.compile_once("test", exercise, ("posepile_test_kernel",), said.append, 3)
print(json.dumps({"names": names, "said": said, "numba": "numba" in sys.modules}))
"""

# Everything that a run does with a camera, on few pixels, with lenses of every kind; prints what
# was compiled for it.
CAMERAS = """
import numpy as np
import rlemasklib
from posepile.imaging import compiling, lenses
with compiling.listening() as compiled:
    lenses.cache_library()
    import deltacamera
    from posepile.imaging import cropping, warmup
    from posepile.imaging.pictures import ArrayFrame
    from posepile.stages import select
    warmup(select.compile_scan)
    select.select_frames(np.zeros((9, 5, 3)), select.SelectParams())
    brown, fisheye = deltacamera.BrownConradyEx, deltacamera.FisheyeKannalaBrandt
    strong = np.float32([-0.9, 0.11, 0.002, -0.0015, -0.02])
    mild = np.float32([-0.28, 0.11, 0.002, -0.0015, -0.02])
    models = [None, fisheye(np.float32([0.04, -0.01, 0.009, -0.004])), brown(mild), brown(strong),
              brown(np.pad(mild, (0, 7))), brown(np.pad(mild, (0, 9)))]
    for lens in models:
        camera = deltacamera.Camera(
            intrinsic_matrix=[[300, 0, 160], [0, 300, 120], [0, 0, 1]], distortion_model=lens,
            world_up=(0, -1, 0), image_shape=(240, 320))
        joints = camera.image_to_world(np.float32([[150, 100], [170, 140]]), 3000)
        camera.world_to_image(joints)
        plan = cropping.plan_crop(camera, np.array([130, 80, 60, 80.0]), (320, 240))
        cropping.render(ArrayFrame(np.zeros((240, 320, 3), np.uint8)), camera, plan)
        cropping.valid_polygon(camera, (320, 240), plan)
        cropping.transform_points(np.float32([[150, 100]]), camera, plan)
        mask = rlemasklib.encode(np.ones((240, 320), np.uint8))
        cropping.warp_mask(mask, camera, plan)
print(sorted({f"{f.__module__}.{f.__qualname__}" for f in compiled}))
"""


@pytest.fixture
def python(tmp_path):
    """Runs code in a process of its own; returns what it printed."""

    def run(code, **variables):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    return run


def test_a_group_is_compiled_once_and_again_when_its_source_changes(python, tmp_path):
    kernel = tmp_path / "posepile_test_kernel.py"
    kernel.write_text(KERNEL)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    first = json.loads(python(CALLS, **cache))
    assert first["names"] == ["posepile_test_kernel.twice"]
    assert first["said"] == ["compiling test once (3 s, longer on a busy machine) …"]
    # Neither the compiler nor its cache is touched once the note says that all is done
    assert json.loads(python(CALLS, **cache)) == {"names": [], "said": [], "numba": False}
    kernel.write_text(KERNEL.replace("x + x", "2 * x  # changed"))
    assert json.loads(python(CALLS, **cache))["names"] == ["posepile_test_kernel.twice"]
    notes = list((tmp_path / "cache").glob("posepile-test-*.json"))
    assert len(notes) == 2


def test_a_lost_cache_is_noticed(python, tmp_path):
    (tmp_path / "posepile_test_kernel.py").write_text(KERNEL)
    cache = tmp_path / "cache"
    python(CALLS, NUMBA_CACHE_DIR=str(cache))
    (note,) = cache.glob("posepile-test-*.json")
    note.write_text(json.dumps({"files": [str(cache / "gone.nbi")]}))
    again = json.loads(python(CALLS, NUMBA_CACHE_DIR=str(cache)))
    assert again["said"]
    assert again["names"] == []  # numba's own files are still there


def test_a_second_process_compiles_nothing_with_any_lens(python):
    python(CAMERAS)  # fills the cache, if it has to
    assert python(CAMERAS) == "[]"

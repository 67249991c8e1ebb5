"""The main job killed at random moments and run again gives the bytes of a run left in peace.

``POSEPILE_KILLS`` sets how often it is killed (default 3).
"""

import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

NAME = "aspset"


def outputs(root):
    files = sorted([*root.glob(f"{NAME}.barecat*"), root / "cache" / f"{NAME}.pkl"])
    return {f.name: f.read_bytes() for f in files}


def start(root, *options):
    env = os.environ | {"DATA_ROOT": str(root), "PYTHON": sys.executable}
    script = ROOT / "posepile" / "ds" / NAME / "main.sh"
    return subprocess.Popen(
        ["bash", str(script), "--miniature", "--quiet", *options],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def undisturbed(miniature):
    return miniature(NAME)


def test_one_worker_or_two_give_the_same_bytes(undisturbed, tmp_path, run_main):
    shutil.copytree(undisturbed / NAME, tmp_path / NAME)
    run_main(NAME, tmp_path, "--miniature", "--jobs", "1")
    assert outputs(tmp_path) == outputs(undisturbed)


def test_killed_runs_go_on_and_end_the_same(undisturbed, tmp_path):
    kills = int(os.environ.get("POSEPILE_KILLS", "3"))
    rng = random.Random(os.environ.get("POSEPILE_SEED", "0"))
    shutil.copytree(undisturbed / NAME, tmp_path / NAME)
    killed = 0
    while killed < kills:
        process = start(tmp_path, "--jobs", "2")
        try:
            process.wait(timeout=rng.uniform(0.2, 9))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            continue
        assert process.returncode == 0, process.stderr.read()
        # Finished before it was killed: start over from an earlier state.
        killed += 1
        for path in [*tmp_path.glob(f"{NAME}.barecat*"), tmp_path / "cache"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if rng.random() < 0.7:
            shutil.rmtree(tmp_path / f"{NAME}_work")
    process = start(tmp_path, "--jobs", "2")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert outputs(tmp_path) == outputs(undisturbed)
    leftovers = [
        p
        for p in tmp_path.rglob("*")
        if (p.is_dir() and p.name.startswith(".") and p.name != ".posepile")
        or p.name.endswith((".tmp", ".next"))
    ]
    assert leftovers == []

"""The command line: what a user can get wrong is one line and exit 2, never a traceback."""

import os
import subprocess
import sys

import pytest

from posepile import cli
from posepile.errors import UsageError


def posepile(*args, env=None, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "posepile", *args],
        env={k: v for k, v in os.environ.items() if k != "DATA_ROOT"} | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["run", "aspset"], "DATA_ROOT"),
        (["run", "asppset"], "did you mean aspset?"),
        (["run", "aspset", "--set", "crop.jpeg_qality=90"], "did you mean jpeg_quality?"),
        (["run", "aspset", "--set", "crop.jpeg_quality=900"], "crop.jpeg_quality = 900"),
        (["run", "aspset", "--set", "crop"], "section.key=value"),
        (["run", "aspset", "--set", "nosuch.key=1"], "unknown key nosuch"),
        (["run", "aspset", "--config", "/nonexistent.yaml"], "no such configuration file"),
        (["run", "aspset", "--stage", "crop", "--from", "crop"], "exclude each other"),
        (["view", "nosuch"], "unknown dataset"),
        (["status", "aspset"], "DATA_ROOT"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(args, expected):
    done = posepile(*args)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert expected in done.stderr


def test_unpacked_dataset_is_named(tmp_path):
    done = posepile("verify", "aspset", env={"DATA_ROOT": str(tmp_path)})
    assert done.returncode == 2
    assert "has not been packed yet" in done.stderr


def test_no_raw_data_is_failed_work(tmp_path):
    done = posepile("run", "aspset", "--stage", "crop", env={"DATA_ROOT": str(tmp_path)})
    assert done.returncode == 1
    assert "no raw data" in done.stderr
    assert "Traceback" not in done.stderr


def test_miniature_never_touches_real_data(tmp_path):
    precious = tmp_path / "aspset" / "splits.csv"
    precious.parent.mkdir()
    precious.write_text("04ac,0001,train,all\n")
    done = posepile("run", "aspset", "--miniature", env={"DATA_ROOT": str(tmp_path)})
    assert done.returncode == 2
    assert "not a miniature" in done.stderr
    assert precious.read_text() == "04ac,0001,train,all\n"


def test_list_names_every_dataset():
    from posepile.ds import dataset_names

    done = posepile("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == dataset_names()


def test_slurm_numbers(monkeypatch):
    assert cli.slurm_shard() is None
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(UsageError, match="SLURM_ARRAY_TASK_COUNT"):
        cli.slurm_shard()
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "4")
    assert cli.slurm_shard() == (3, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    assert cli.slurm_shard() == (2, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")
    with pytest.raises(UsageError, match="without gaps"):
        cli.slurm_shard()


def test_importing_is_light():
    code = (
        "import sys, posepile.cli, posepile.recipe, posepile.errors, posepile.paths;"
        "heavy = [m for m in ('cv2', 'numba', 'av', 'onnxruntime', 'torch', 'scipy')"
        " if m in sys.modules]; print(heavy); sys.exit(bool(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

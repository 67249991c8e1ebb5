"""A DATA_ROOT in a given state, and the commands that are asked about it and that they print."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from posepile import cli
from posepile.acquire import estimates, space
from posepile.miniature import MARK, TRUTH

ASPSET = {
    "splits.csv": b"a,1,train,all\n",
    **{
        f"trainval/cameras/{s}/{s}-{v}.json": b"{}"
        for s in ("a", "b")
        for v in ("left", "mid", "right")
    },
    **{f"trainval/joints_3d/{s}/{s}-{i:04}.c3d": b"1" for s in ("a", "b") for i in range(40)},
    **{
        f"trainval/boxes/{s}/{s}-{i:04}-{v}.csv": b"1"
        for s in ("a", "b")
        for i in range(40)
        for v in ("left", "mid", "right")
    },
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A DATA_ROOT with room, and nothing beside it."""
    folder = tmp_path / "disk" / "data"
    folder.mkdir(parents=True)
    monkeypatch.setenv("DATA_ROOT", str(folder))
    monkeypatch.setenv("POSEPILE_MODELS", str(tmp_path / "models"))
    for module in (space, estimates):
        monkeypatch.setattr(module, "free_bytes", lambda path: 10**14)
    return folder


@pytest.fixture
def ask(capsys):
    """Runs a command; returns its exit code, what it says, and the commands that it prints."""

    def run(*words):
        code = cli._main([*words])
        said = capsys.readouterr().out
        commands = re.findall(r"^    ((?:posepile|mv|ln|mkdir|rmdir) .*)$", said, re.MULTILINE)
        return code, said, commands

    return run


def write(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def obey(command):
    """Runs a printed command in a shell, with our program in it."""
    ours = f'posepile() {{ {sys.executable} -m posepile "$@"; }}; {command}'
    subprocess.run(["bash", "-c", ours], check=False, capture_output=True, timeout=120)


def real(miniature, name, home, to=None):
    """A miniature's files as if they were the data."""
    root = home / (to or name)
    shutil.copytree(miniature(name), root)
    for mark in (TRUTH, MARK):
        (root / mark).unlink(missing_ok=True)
    return root


def misplaced(said):
    return "  misplaced: " in said


def gzipped_tar(n=400_000):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo("ASPset-510/trainval/boxes/a/a-0001-left.csv")
        info.size = n
        tar.addfile(info, io.BytesIO(os.urandom(n)))
    return data.getvalue()

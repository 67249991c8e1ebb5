"""docs/OWN_DATA.md: its walk, followed literally, in a home folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from own_recordings import LAYOUTS, make_recordings

from posepile.recordings.found import VIDEOS
from posepile.shapes.recordings import Recordings

DOCUMENT = (ROOT / "docs" / "OWN_DATA.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path):
    """A home folder with recordings as the document says, and a ``posepile`` on the path."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "posepile"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m posepile "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment(home):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSEPILE_", "PYTHON"))}
    path = f"{home / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT)}


def test_the_walk_leads_to_a_packed_set(home):
    sequences = make_recordings(home / "videos", LAYOUTS["pose2sim"], n_frames=16)
    script, said = ["set -euo pipefail"], []

    def run(lines):
        exports = [line for line in script if line.startswith(("set", "export"))]
        done = subprocess.run(
            ["bash", "-c", "\n".join([*exports, *lines])],
            env=environment(home), cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, "\n".join([*lines, done.stdout, done.stderr])
        script.extend(lines)
        said.append(done.stdout)

    for language, text in BLOCKS:
        if language == "bash":
            run(text.splitlines())
        elif language == "python":
            (home / "look.py").write_text(text)
            run([f"{sys.executable} {home / 'look.py'}"])
    # What the document prints of the first command is what it says.
    shown = next(text for language, text in BLOCKS if text.startswith("4 videos"))
    percent = r"\d+%"
    pattern = re.sub(r"\d+%", "PERCENT", shown)
    assert re.match(re.escape(pattern).replace("PERCENT", percent), said[0]), said[0]
    assert "gym: packed" in said[2] and "key points lie on the person: " in said[2]
    kept = {split: sum(len(s.examples) for name, s in sequences.items() if name.startswith(take))
            for take, split in (("jump_1", "train"), ("jump_2", "test"))}  # fmt: skip
    counts = f"{kept['train']} {kept['test']}"
    assert re.fullmatch(counts + r" \(\d+, \d+, 3\) \(15, 3\)\n", said[-1]), said[-1]
    assert (home / "gym.png").stat().st_size > 10_000


def test_the_tables_name_what_there_is():
    facts = {name for name in Recordings.__dataclass_fields__ if name != "joints"}
    named = set(re.findall(r"`(\w+)`", DOCUMENT)) | set(re.findall(r"`(\w+)=", DOCUMENT))
    assert facts <= named, facts - named
    assert set(re.findall(r"`(\.\w+)`", DOCUMENT.partition("calibration |")[0])) <= VIDEOS

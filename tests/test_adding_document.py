"""docs/ADDING.md: its walk, followed literally, in a home folder of its own."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from posepile.miniature import actor, rig, writers
from posepile.miniature.shoot import Actor, Backdrop, shoot
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import frames_kept
from posepile.miniature.video import write_video

DOCUMENT = (ROOT / "docs" / "ADDING.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def shoot_videos(folder):
    """What the document says lies in ~/videos; returns how many frames selection keeps."""
    names = "pelv rhip rkne rank lhip lkne lank spin neck head htop lsho lelb lwri rsho relb rwri"
    figure, size = make_figure(names.split()), (960, 720)
    cameras = {
        f"cam{i}": rig.make_camera(
            size,
            rig.around((0, 0, 950), 4300, angle),
            (0, 0, 900),
            980,
            distortion=(-0.08, 0.02, 0, 0, 0),
        )
        for i, angle in enumerate((-30, 40))
    }
    calibration = {
        name: {
            "size": size, "K": c.intrinsics, "R": c.rotation, "t": c.translation / 1000,
            "dist": c.distortion,
        }
        for name, c in cameras.items()
    }  # fmt: skip
    writers.write_json(folder / "calibration.json", calibration)
    backdrop, kept = Backdrop(size, 3), {}
    for seed, take in enumerate(("vault_01", "vault_02")):
        poses = actor.pose_skeleton(actor.move(9, seed, at=(0, 0, 900)), figure.names)
        writers.write_npy(folder / take / "keypoints.npy", poses / 1000)
        for name, camera in cameras.items():
            pictures = [shoot(backdrop, camera, [Actor(pose, figure)]) for pose in poses]
            write_video(folder / take / f"{name}.mp4", pictures, 50)
        kept[take] = len(frames_kept(poses))
    return kept


@pytest.fixture
def home(tmp_path):
    """A home folder with videos, and a ``posepile`` on the path."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "posepile"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m posepile "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment(home):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSEPILE_", "PYTHON"))}
    path = f"{home / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT)}


def replace_definitions(path, text):
    """Puts assignments of a block in the place of those of the same names, as a reader would."""
    lines = path.read_text().splitlines()
    for new in reversed(ast.parse(text).body):
        name = ast.unparse(new.targets[0])
        (old,) = (
            node
            for node in ast.parse("\n".join(lines)).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        )
        replacement = text.splitlines()[new.lineno - 1 : new.end_lineno]
        lines[old.lineno - 1 : old.end_lineno] = replacement
    path.write_text("\n".join(lines) + "\n")


def test_the_walk_leads_to_a_packed_set(home):
    kept = shoot_videos(home / "videos")
    script = ["set -euo pipefail"]
    said = []

    def run(lines):
        """Runs commands in one shell with all that were run before it: exports stay."""
        exports = [line for line in script if line.startswith(("set", "export"))]
        done = subprocess.run(
            ["bash", "-c", "\n".join([*exports, *lines])],
            env=environment(home), cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, "\n".join([*lines, done.stdout, done.stderr])
        script.extend(lines)
        said.append(done.stdout)

    for language, text in BLOCKS:
        head, _, rest = text.partition("\n")
        if language == "bash":
            run(text.splitlines())
        elif head == "# python":
            code = home / "look.py"
            code.write_text(rest)
            run([f"{sys.executable} {code}"])
            counts = f"{2 * kept['vault_01']} {2 * kept['vault_02']}"
            assert re.fullmatch(counts + r" \(\d+, \d+, 3\) \(17, 3\)\n", said[-1]), said[-1]
        elif m := re.fullmatch(r"# ~/(\S+): in place of what has the same names", head):
            replace_definitions(home / m[1], rest)
        elif m := re.fullmatch(r"# ~/(\S+): the whole file", head):
            (home / m[1]).write_text(rest)
        else:
            assert language == "toml", f"nobody followed this block:\n{text}"
    assert sum("gym: ok" in text for text in said) == 2  # before and after the facts
    assert (home / "gym.png").stat().st_size > 10_000
    assert any("  ok" in text.splitlines() for text in said), said  # what doctor says


def test_what_the_document_names_is_there():
    """Functions and files in backticks, lest the tables tell of what has gone."""
    from posepile.formats import derived
    from posepile.shapes import coco, multiview, stills, units

    for module, names in (
        (multiview, ["view_sequence"]),
        (units, ["view_units", "make_unit", "unit_files", "same_count"]),
        (stills, ["picture_units", "picture_sequence"]),
        (coco, ["coco_recipe", "coco_pictures"]),
        (derived, ["derived_folder"]),
    ):
        for name in names:
            assert f"`{name}`" in DOCUMENT and callable(getattr(module, name))
    for file in re.findall(r"`(posepile/[\w/.]+)`", DOCUMENT):
        assert (ROOT / file).exists(), file

"""Pictures of skeletons, and the command that prints, converts and draws them."""

import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

from posepile.ds import load_recipe
from posepile.report.skeletons import draw_joints, draw_mapping, joint_places
from posepile.skeletons import data
from posepile.skeletons.mapping import to_convention
from posepile.skeletons.meaning import meanings

JOINTS = {n: load_recipe(n).SPEC.joint_info for n in ("h36m", "coco_wholebody", "bml_movi")}


def pixels_of(picture, at):
    """Row and column of places in a picture, y up from the bottom, x from the middle."""
    scale = picture.shape[0] / 2.01
    return [(round((1.95 - y) * scale), round(picture.shape[1] / 2 + x * scale)) for x, y in at]


@pytest.mark.parametrize("name", ["h36m", "coco_wholebody", "bml_movi"])
def test_a_picture_has_every_joint_at_its_place(name):
    info = JOINTS[name]
    points = [m.point for m in meanings(info, name)]
    picture = draw_joints(info, points)
    at = joint_places(points)
    assert len(np.unique(at.round(3), axis=0)) >= info.n_joints - 2  # a hand's wrist is the body's
    for k, place in enumerate(pixels_of(picture, at)):
        assert picture[place].max() > 100, info.names[k]  # not the ground
    left = [k for k, n in enumerate(info.names) if n in ("lwri", "lkne")]
    assert (at[left, 0] > 0).all()  # the figure faces the viewer


def test_a_picture_of_a_mapping_tells_kinds_by_colour():
    mapping = to_convention(JOINTS["h36m"], "coco17")
    wanted = list(data.conventions()["coco17"].points.values())
    points = [m.point for m in meanings(JOINTS["h36m"])]
    picture = draw_mapping(JOINTS["h36m"], points, mapping, wanted, ("a", "b"))
    half = picture.shape[1] // 2
    assert picture.shape[0] == 900 and half * 2 == picture.shape[1]
    at = pixels_of(picture[:, half:], joint_places(wanted))
    assert picture[:, half:][at[5]].tolist() == [255, 190, 60]  # a shoulder, similar
    assert picture[:, half:][at[3]].tolist() == [120, 120, 120]  # an ear, missing


def posepile(*args, **env):
    return subprocess.run(
        [sys.executable, "-m", "posepile", *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "CACHE_DIR"} | env,
    )


def test_the_command(tmp_path):
    out = tmp_path / "x.png"
    done = posepile("skeleton", "fit3d", "--as", "COCO-17", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fit3d as coco17, 17 joints: same: 0, similar: 13, missing: 4")
    assert done.stdout.count("by other means") == 1  # not once a joint
    assert "other means: lsho, rsho, lelb," in done.stdout
    assert cv2.imread(str(out)).shape[0] == 900
    facts = json.loads(posepile("skeleton", "ntu", "--json").stdout)
    assert facts["joints"][2] | {"meaning": ""} == {
        **{"index": 2, "joint": "head", "family": "kinect", "place": "necktop", "meaning": ""},
        **{"note": "the sensor's Neck", "mirror": "head"},
    }
    assert facts["families"]["kinect"] and len(facts["sources"]) == 2
    done = posepile("skeleton", "nosuch", DATA_ROOT=str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no convention (h36m17," in done.stderr and "no merged set" in done.stderr


def test_the_command_in_process(capsys, monkeypatch, tmp_path):
    from posepile.cli import _main

    assert _main(["skeleton"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^humandata190 +190 joints  HumanData", listed, re.MULTILINE)
    assert re.search(r"^h36m +17 joints$", listed, re.MULTILINE)
    assert _main(["skeleton", "smplx55", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["official"][1] == "left_hip" and len(facts["joints"]) == 55
    for args, message in {
        ("skeleton", "pascal_voc"): "has no joints",
        ("skeleton", "h36m", "--out", "a.jpg"): "ends with .png",
        ("skeleton", "--as", "coco17"): "need a NAME",
    }.items():
        assert _main(list(args)) == 2
        assert message in capsys.readouterr().err
    assert _main(["skeleton", "h36m", "--as", "coco17", "--same-only"]) == 0
    assert "same: 0, similar: 0, missing: 17" in capsys.readouterr().out

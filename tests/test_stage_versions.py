"""The VERSION of a stage is raised when its results change: its code is compared with a record.

So is that of suspects, which are kept beside an archive.

``python tests/test_stage_versions.py --record`` writes the record anew.
"""

import argparse
import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from posepile.run import code  # noqa: E402

RECORD = ROOT / "tests" / "stage_versions.json"
COMMAND = "python tests/test_stage_versions.py --record"

# Stage -> where the code begins that determines its results. Detector and segmenter are loaded by
# name, so no import leads to them.
STAGES = {
    "examples": ("posepile.stages.examples",),
    "detect": ("posepile.stages.detect", "posepile.models.detectors"),
    "crop": ("posepile.stages.crop",),
    "segment": ("posepile.stages.segment", "posepile.models.segmenters"),
    "suspects": ("posepile.suspects.search",),
}
# Where the VERSION stands, if it is not in the module of the stage's name.
ELSEWHERE = {"suspects": "posepile.suspects.kept"}

# The form of results on the disk (the store) and what a recipe gives have versions and keys of
# their own.
ROOMS = ("stages", "imaging", "models", "geometry")
OTHERWISE_KNOWN = {
    "posepile.stages.task",  # what a stage gets
    "posepile.stages.counts",  # what is said about the results
    "posepile.stages.ahead",  # when things are done
    "posepile.imaging",  # whether they are fast
    "posepile.imaging.compiling",
    "posepile.models",  # which code is loaded by name
    "posepile.models.identity",  # what is in the key
    "posepile.models.params",
    "posepile.models.weights",
}
# The version of the selection is in the keys of all later stages, too.
SELECTION = "examples exclusions limbs motion plausible poses select sides"
SELECTION = {f"posepile.stages.{n}" for n in SELECTION.split()}
SIDES = {"posepile.geometry.sides", "posepile.stages.limbs"}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def digests(stage):
    """Module -> digest of its syntax tree, for all that determine the results of a stage."""

    def counts(name):
        if stage == "examples":
            return name in SELECTION
        if stage == "suspects":  # besides what comes from the store
            return name in SIDES or name.split(".")[1] == "suspects"
        return name.split(".")[1] in ROOMS and name not in OTHERWISE_KNOWN | SELECTION

    found = {}
    for start in STAGES[stage]:
        found |= code.module_digests(start, counts)
    return dict(sorted(found.items()))


def version(stage):
    return importlib.import_module(module(stage)).VERSION


def module(stage):
    """Where the VERSION of a stage stands."""
    return ELSEWHERE.get(stage, f"posepile.stages.{stage}")


def current():
    stages = {stage: {"version": version(stage), "code": digests(stage)} for stage in STAGES}
    return {"python": PYTHON, "stages": stages}


def complaint(stage, then, now):
    """What to do about a stage whose code is not as recorded; None if it is."""
    if now == then:
        return None
    names = sorted(then["code"].keys() | now["code"].keys())
    changed = [n for n in names if then["code"].get(n) != now["code"].get(n)]
    what = ", ".join(changed) or f"VERSION ({then['version']} -> {now['version']})"
    place = module(stage).replace(".", "/")
    return (
        f"{what} changed: raise VERSION in {place}.py if results change, "
        f"then run {COMMAND} to record the new digest"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_code_and_version_of_a_stage_are_as_recorded(stage):
    record = json.loads(RECORD.read_text())
    if record["python"] != PYTHON:
        pytest.skip(f"recorded with Python {record['python']}; syntax trees may differ")
    found = complaint(stage, record["stages"][stage], current()["stages"][stage])
    assert found is None, found


def test_what_determines_results_is_among_the_code():
    names = {stage: set(digests(stage)) for stage in STAGES}
    assert names["examples"] == SELECTION
    stages = "boxes associate calibration detect detections crop neighbours people views"
    stages = {f"posepile.stages.{n}" for n in [*stages.split(), "silhouettes"]}
    assert {n for n in names["crop"] if ".stages." in n} == stages
    pixels = "cropping warp kernels rays jpeg frames videos pictures lenses"
    assert names["crop"] >= {f"posepile.imaging.{n}" for n in pixels.split()}
    assert names["detect"] >= {"posepile.models.detectors", "posepile.models.onnx"}
    assert names["segment"] >= {"posepile.models.segmenters", "posepile.models.grabcut"}
    assert names["suspects"] > SIDES
    assert {f"posepile.suspects.{n}" for n in ("poses", "shifts", "kernels")} < names["suspects"]
    assert "posepile.models.detectors" not in names["segment"] | names["crop"]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda text: text.replace("min(iou.shape) + 1.0", "min(iou.shape) + 2.0"), True),
        (lambda text: text + "\n# a comment\n", False),
        (lambda text: text.replace("Assigns detections", "Gives detections"), False),
    ],
)
def test_edited_code_is_noticed_and_comments_are_not(tmp_path, monkeypatch, change, counts):
    before = {stage: digests(stage) for stage in STAGES}
    shutil.copytree(ROOT / "posepile", tmp_path / "posepile")
    file = tmp_path / "posepile" / "stages" / "associate.py"
    assert change(file.read_text()) != file.read_text()
    file.write_text(change(file.read_text()))
    monkeypatch.setattr(code.posepile, "__file__", str(tmp_path / "posepile" / "__init__.py"))
    changed = [stage for stage in STAGES if digests(stage) != before[stage]]
    assert changed == (["crop"] if counts else [])


def test_a_change_of_code_is_told_with_what_to_do():
    then = {"version": 2, "code": {"posepile.stages.boxes": "0", "posepile.stages.crop": "1"}}
    now = {"version": 2, "code": {"posepile.stages.boxes": "2", "posepile.stages.crop": "1"}}
    assert complaint("crop", then, then) is None
    said = complaint("crop", then, now)
    assert said.startswith("posepile.stages.boxes changed: raise VERSION in posepile/stages/crop")
    assert said.endswith(f"then run {COMMAND} to record the new digest")
    assert "VERSION (2 -> 3) changed" in complaint("crop", then, {**then, "version": 3})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", required=True)
    parser.parse_args()
    RECORD.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n")

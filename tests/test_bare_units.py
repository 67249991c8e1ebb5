"""A unit whose people are all dropped is told, as the sum over all units would hide it."""

import json
from collections import Counter

import pytest
from fake_dataset import a_run, fake  # noqa: F401

from posepile.report import counts
from posepile.run import commands
from posepile.run.bare_units import bare_lines, is_bare
from posepile.stages.counts import Counts
from posepile.store.packing import manifest_path


def test_a_unit_without_examples_is_told(fake, capsys):  # noqa: F811
    labels = fake / "fake" / "seq1" / "world.json"
    poses = [[[x + 90000, y, z] for x, y, z in pose] for pose in json.loads(labels.read_text())]
    labels.write_text(json.dumps(poses))  # as with the camera of another unit
    run = a_run(fake)
    commands.process(run, ("crop",))
    assert commands.pack(run)
    (line,) = [s.strip() for s in capsys.readouterr().out.splitlines() if "gave no" in s]
    assert line.startswith("warning: 1 of 3 units gave no example of the people annotated in it")
    assert "seq1 (4 x " in line
    manifest = json.loads(manifest_path(run.archive).read_text())
    assert manifest["without_examples"]["first"][0]["unit"] == "seq1"
    assert "seq1" in counts.bare_section(manifest).body


def test_nothing_is_told_where_every_unit_has_examples(fake, capsys):  # noqa: F811
    run = a_run(fake)
    commands.process(run, ("crop",))
    commands.pack(run)
    assert "gave no example" not in capsys.readouterr().out
    assert bare_lines(3, None) == [] and counts.bare_section({}).body == ""


@pytest.mark.parametrize(
    "told_elsewhere",
    [{"examples": 1}, {"annotated": 0}, {"excluded": Counter(bad=1)}, {"quarantined": [{}]}],
)
def test_what_is_told_elsewhere_is_not_told_again(told_elsewhere):
    counts = {"annotated": 4, "dropped": Counter({"no joint inside": 4})}
    assert is_bare(Counts(**counts))
    assert not is_bare(Counts(**(counts | told_elsewhere)))

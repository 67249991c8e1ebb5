"""An archive that replaces one of more units or files says so: output, manifest, report."""

import json
import shutil
from dataclasses import replace

import barecat
import pytest
from fake_dataset import a_run, fake, list_units, process_and_pack  # noqa: F401

from posepile.report.counts import fewer_section
from posepile.run import pack, replaced
from posepile.store.inputs_list import INPUTS_KEY

TOLERANT = "run.max_quarantined=0.5"


def said(fake, capsys, *overrides):  # noqa: F811
    capsys.readouterr()
    manifest, changed = process_and_pack(fake, *overrides)
    assert changed
    lines = [line for line in capsys.readouterr().out.splitlines() if "replaced had" in line]
    return manifest.get(replaced.KEY), lines


def test_a_lost_unit_is_said(fake, capsys):  # noqa: F811
    assert said(fake, capsys) == (None, [])
    shutil.rmtree(fake / "fake" / "seq1")
    fewer, lines = said(fake, capsys)
    names = [f"seq1/{n}" for n in ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "world.json")]
    assert fewer == {"units": [3, 2], "files": 5, "names": names}
    assert lines == [
        "fake: made of 2 units where the archive that is replaced had 3; raw files not there or "
        "not used any more: 5, seq1/0.jpg, seq1/1.jpg, seq1/2.jpg, …"
    ]
    section = fewer_section({replaced.KEY: fewer})
    assert "2 units, 3 in the last build" in section.title and "seq1/3.jpg" in section.body
    assert fewer_section({}).body == ""

    # What is packed again, as it was, still says it; another build of as many units does not.
    assert process_and_pack(fake)[1] is False
    assert pack.pack(a_run(fake), again=True)[0][replaced.KEY] == fewer
    file = fake / "fake" / "seq0" / "world.json"
    file.write_text(file.read_text() + "\n")
    assert said(fake, capsys) == (None, [])


def test_a_lost_view_of_a_unit_that_stays_is_said(fake, capsys):  # noqa: F811
    said(fake, capsys)
    file = fake / "fake" / "seq0" / "world.json"
    file.write_text(json.dumps(json.loads(file.read_text())[:3]))
    (fake / "fake" / "seq0" / "3.jpg").unlink()
    fewer, (line,) = said(fake, capsys)
    assert fewer == {"units": [3, 3], "files": 1, "names": ["seq0/3.jpg"]}
    assert line.endswith(": 1, seq0/3.jpg")


@pytest.mark.parametrize("settings", [("crop.jpeg_quality=80",), (TOLERANT,)])
def test_other_settings_and_quarantined_units_are_said_elsewhere(fake, capsys, settings):  # noqa: F811
    said(fake, capsys)
    if settings == (TOLERANT,):
        (fake / "fake" / "seq1" / "world.json").write_text("{garbage")
    else:
        shutil.rmtree(fake / "fake" / "seq1")
    assert said(fake, capsys, *settings) == (None, [])


def test_an_archive_is_the_same_wherever_it_is_made(fake, monkeypatch):  # noqa: F811
    """Also where units read what was derived from raw files, which lies in the work folder."""
    import posepile.ds.fake.main as recipe

    derived = fake / "fake_work" / "bodies" / "1.npz"
    derived.parent.mkdir(parents=True)
    derived.write_bytes(b"1")
    monkeypatch.setattr(
        recipe,
        "list_units",
        lambda root, options: [
            replace(unit, inputs=(*unit.inputs, derived)) for unit in list_units(root, options)
        ],
    )
    process_and_pack(fake)
    with barecat.Barecat(str(fake / "fake.barecat"), readonly=True) as archive:
        lines = archive[INPUTS_KEY].decode().splitlines()
    names = [json.loads(line)[0] for line in lines]
    assert "fake_work/bodies/1.npz" in names
    assert not [name for name in names if name.startswith("/")]

"""Numbers that the authors of a dataset state are compared with what a whole run has found."""

import pytest
from fake_dataset import a_run, fake, process_and_pack  # noqa: F401

from posepile.acquire.sources import load_sources
from posepile.acquire.stated import StatedCount
from posepile.config import load_config
from posepile.ds import dataset_dir, dataset_names
from posepile.errors import UsageError
from posepile.miniature import TRUTH
from posepile.report import counts
from posepile.run import commands, stated

COUNTS = """
dataset: fake
counts:
  - {what: recordings, train: 2, val: 1, all: 3}
  - {what: performers, parts: 1, all: 4, source: the paper}
  - {what: label files, of: files, files: "seq*/*.json", all: 3}
  - {what: poses, of: annotated, train: 8, val: 5}
  - {what: images, of: examples, all: 11}
"""
UNITS = "warning: 3 performers; its authors state 4 (posepile doctor fake: what is missing)"
PEOPLE = [
    "warning: 4 poses (val); its authors state 5 (posepile doctor fake: what is missing)",
    "warning: 12 images; its authors state 11",
]


@pytest.fixture
def counted(fake, monkeypatch):  # noqa: F811
    folder = fake.parent / "folder"
    folder.mkdir()
    (folder / "sources.yaml").write_text(COUNTS)
    (fake / "fake" / "seq0" / "._world.json").touch()
    monkeypatch.setattr(stated, "dataset_dir", lambda name: folder)
    shipped = lambda name, model: load_config(name, model, path=fake.parent / "fake.yaml")
    monkeypatch.setattr(stated, "load_config", shipped)
    return fake


def warnings(text):
    return [line.strip() for line in text.splitlines() if line.strip().startswith("warning")]


def test_units_that_count_what_is_left_out_are_not_counted():
    class Listed:
        def ids(self):
            ids = ("s1/walk", "s2/walk", "left_out", "misplaced/s3/walk", "s4/left_out")
            return [(id, "train") for id in ids]

    found = stated._among_units(Listed(), StatedCount(what="subjects", parts=1, train=3))
    assert found["train"] == found["all"] == 2


def test_differences_are_said_in_output_manifest_and_report(counted, capsys):
    run = a_run(counted)
    commands.process(run, ("crop",))
    assert warnings(capsys.readouterr().out) == [UNITS], "before packing: of files and units"
    commands.pack(run)
    assert warnings(capsys.readouterr().out) == [UNITS, *PEOPLE]
    commands.pack(run)
    assert warnings(capsys.readouterr().out) == [UNITS, *PEOPLE], "nothing to do, said again"
    manifest, changed = process_and_pack(counted)
    assert not changed
    assert {"what": "label files", "split": "all", "stated": 3, "found": 3} in manifest["stated"]
    assert "3 of 8 differ" in counts.stated_section(manifest).body
    assert counts.stated_section({"stated": []}).body == ""


@pytest.mark.parametrize("case", ["only", "miniature", "options", "selection", "shard"])
def test_what_is_no_whole_run_is_not_compared(counted, capsys, case):
    settings = {"options": ["dataset.stride=2"], "selection": ["select.threshold_mm=51"]}
    asked = {"only": "seq1"} if case == "only" else {"shard": (0, 2)} if case == "shard" else {}
    run = a_run(counted, *settings.get(case, ()), **asked)
    if case == "miniature":
        (run.root / TRUTH).write_text("{}")
        assert stated.compare(run, None) == []
        return
    commands.process(run, ("crop",))
    found = warnings(capsys.readouterr().out)
    assert found == ([UNITS] if case == "selection" else [])
    if case == "selection":
        commands.pack(run)
        assert warnings(capsys.readouterr().out) == [UNITS], "people depend on the selection"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{what: clips}", "needs a number"),
        ("{what: clips, of: files, all: 3}", "need a pattern"),
        ("{what: clips, of: files, files: '*', train: 3}", "counted as a whole"),
        ("{what: clips, of: examples, parts: 1, all: 3}", "parts are those"),
    ],
)
def test_counts_that_mean_nothing_are_refused(tmp_path, entry, message):
    (tmp_path / "sources.yaml").write_text(f"dataset: a\ncounts:\n  - {entry}\n")
    with pytest.raises(UsageError, match=message):
        load_sources(tmp_path / "sources.yaml")


def test_datasets_with_stated_numbers_have_them():
    having = {
        name for name in dataset_names() if load_sources(dataset_dir(name) / "sources.yaml").counts
    }
    nothing_exact = {"agora", "aic", "amarv", "coco_wholebody", "halpe", "hspace", "spec"}
    assert having >= set(dataset_names()) - nothing_exact

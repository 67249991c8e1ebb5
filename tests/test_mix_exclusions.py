"""Exclusions in mixes: files that are not there, lines that match nothing, what documents show."""

import re

import archive_kit as kit
import pytest
import yaml
from conftest import ROOT

from posepile import cli
from posepile.datasets3d import TRAIN, get_dataset
from posepile.merging.mixes import load_mix

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def merge(*args):
    with pytest.raises(SystemExit) as e:
        cli.main(["merge", *map(str, args)])
    return e.value.code


@pytest.fixture
def root(tmp_path, monkeypatch):
    """DATA_ROOT with two 3D archives."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "one")
    kit.make_archive(tmp_path, "two", n=4)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--skip-missing", "--dry-run"]])
@pytest.mark.parametrize(
    "text",
    [
        "filters: {exclusions: none.txt}\ndatasets: {one: }",
        "datasets: {one: , three: {filters: {exclusions: [none.txt]}}}",
    ],
)
def test_a_file_that_is_not_there_is_refused(root, capsys, options, text):
    (root / "mine.yaml").write_text(text)
    assert merge(root / "mine.yaml", *options) == 2
    assert f"exclusions: {root / 'none.txt'}: No such file" in capsys.readouterr().err


def test_lines_that_match_nothing_are_said(root, capsys):
    path = get_dataset("one").examples[TRAIN][0].image_path
    (root / "bad.txt").write_text(
        f"{path} # of one alone\nold/name.jpg\n{path[:-5]}[{path[-5]}].jpg\nother/*\n"
    )
    (root / "mine.yaml").write_text("filters: {exclusions: bad.txt}\ndatasets: {one: , two: }")
    assert merge(root / "mine.yaml") == 0
    out = " ".join(capsys.readouterr().out.split())
    said = "bad.txt: 2 lines match no training example: old/name.jpg, other/*"
    assert said in out
    assert "left out of one: image_path in a list of exclusions: 1" in out


def shown():
    """Mixes, and filters of mixes, that documents show, with the document."""
    for document in DOCUMENTS:
        text = document.read_text()
        blocks = re.findall(r"^```ya?ml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for block in blocks:
            if re.search(r"^datasets:", block, re.MULTILINE):
                yield document.name, block
        for line in re.findall(r"`((?:filters|datasets): ?\{[^`]+\})`", text):
            rest = "" if line.startswith("datasets") else "\ndatasets: {aspset: }"
            yield document.name, line + rest


SHOWN = list(shown())


def test_documents_show_some():
    assert len(SHOWN) >= 4


@pytest.mark.parametrize(("document", "text"), SHOWN)
def test_mixes_that_documents_show_are_read(document, text, tmp_path):
    assert yaml.safe_load(text)
    (tmp_path / "mine.yaml").write_text(text)
    load_mix(str(tmp_path / "mine.yaml"))

"""The table of traps names tests and datasets that exist."""

import re

from conftest import ROOT

from posepile.ds import dataset_names

TEXT = (ROOT / "docs" / "TRAPS.md").read_text()


def test_tests_that_are_named_exist():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    files = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    known = "\n".join(sorted(defined | files))
    for name, more in re.findall(r"\b(test_\w+)(\.{3}|…)?", TEXT):
        pattern = rf"^{name}" if more else rf"^{name}$"
        assert re.search(pattern, known, re.MULTILINE), f"docs/TRAPS.md: there is no {name}"


def test_datasets_that_are_named_exist():
    named = re.findall(r"^## (\w+)$", TEXT, re.MULTILINE)
    assert set(named) <= set(dataset_names()) and len(named) > 20

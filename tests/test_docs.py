"""The documentation builds without a warning, and its examples and tables are complete."""

import ast
import doctest
import importlib
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import generate  # the pages made from the code
from interface import ROOMS, interface, modules

from posepile.checking.check import OF_FOLDER, OF_SAMPLE
from posepile.ds import dataset_names
from posepile.formats.schema import Array

DATASETS = frozenset(dataset_names())
MODULES = [module for room in ROOMS for module in modules(room)]


def test_the_documentation_builds(tmp_path):
    # Not --quiet: what is not printed is not counted either.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "rooms" / "evaluation" / "index.html").read_text()
    for name in ("npz_poses", "read_pred_json", "run_benchmark"):
        assert f'id="posepile.evaluation.{home(name)}.{name}"' in page
    assert "dataset.root" in (tmp_path / "site" / "CONFIG" / "index.html").read_text()


def home(name):
    return {"npz": "forms", "read": "predictions", "run": "command"}[name.partition("_")[0]]


def test_every_question_of_the_contract_test_is_in_the_table():
    text = (ROOT / "docs" / "CHECKING.md").read_text()
    table = text[text.index("| question |") :].split("\n\n")[0]
    rows = re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)[1:]
    asked = [*OF_FOLDER, "run", "artefacts", *OF_SAMPLE, "second run"]
    assert rows == asked


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_right(module, tmp_path):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=flags)
    for number, test in enumerate(finder.find(importlib.import_module(module))):
        folder = tmp_path / str(number)
        folder.mkdir()
        test.globs |= {"folder": folder, "np": np, "Array": Array}
        runner.run(test)
    assert not runner.summarize(verbose=False).failed


# The inside of the safe loader; the steps that a described tree takes, and those of a laboratory's
# recordings, of which whole datasets are the example.
INNER = re.compile(r"posepile\.(formats\.pickle[d_]\w*|shapes\.described|shapes\.lab_json)\.")


def test_every_function_of_the_floor_has_an_example():
    lacking = [
        f"{module}.{node.name}"
        for room in ROOMS
        for module, nodes in interface(room, DATASETS).items()
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        and ">>> " not in (ast.get_docstring(node) or "")
        and not INNER.match(f"{module}.")
    ]
    assert not lacking, f"{len(lacking)} without: {', '.join(lacking)}"


def test_every_configuration_key_says_what_it_means():
    rows = re.findall(r"^\| `(.+?)` \|.*\| (.*) \|$", generate.config_page(), re.MULTILINE)
    assert len(rows) > 40
    silent = [key for key, meaning in rows if not meaning.strip()]
    assert not silent, f"{len(silent)} of {len(rows)}: {', '.join(silent)}"


def test_tables_show_types_limits_and_defaults():
    page = generate.config_page()
    row = re.search(r"^\| `box.expand` \|.*$", page, re.MULTILINE)[0]
    assert "| number > 0, ≤ 3 | `1.0` | Factor on width" in row
    row = re.search(r"^\| `select.method` \|.*$", page, re.MULTILINE)[0]
    assert "`last` or `ring` or `none` | `last` |" in row

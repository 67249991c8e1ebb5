"""The documentation builds without a warning, and its examples and tables are complete."""

import ast
import contextlib
import doctest
import functools
import html
import http.server
import importlib
import io
import logging
import re
import sys
import threading

import numpy as np
import pytest
from browser_kit import DESKTOP, PHONE, faults
from conftest import ROOT
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

sys.path.insert(0, str(ROOT / "docs"))
import generate  # the pages made from the code
from catalogue import about_of
from commands import commands_page
from interface import ROOMS, interface, modules

from posepile.checking.check import OF_FOLDER, OF_SAMPLE
from posepile.cli.help import GROUPS
from posepile.ds import dataset_names
from posepile.formats.schema import Array

DATASETS = frozenset(dataset_names())
COMMANDS = [name for names in GROUPS.values() for name in names]
MODULES = [module for room in ROOMS for module in modules(room)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, built once: every page in the navigation, links and anchors checked."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        build(config)
    except Abort as e:  # also of warnings, as mkdocs counts them
        raise AssertionError(f"{e}\n{said.getvalue()}") from None
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    assert not said.getvalue()
    return folder


def page(site, name):
    return (site / name / "index.html").read_text()


def test_pages_made_from_the_code_are_there(site):
    for name in ("npz_poses", "read_pred_json", "run_benchmark"):
        assert f'id="posepile.evaluation.{home(name)}.{name}"' in page(site, "rooms/evaluation")
    assert "dataset.root" in page(site, "CONFIG")
    assert 'id="posepile.datasets3d.get_dataset"' in page(site, "PYTHON")
    for name in DATASETS:
        assert f"<td>{about_of(name).by_hand}</td>" in html.unescape(
            page(site, f"datasets/{name}")
        )


def test_links_within_a_page_made_from_the_code_lead_somewhere(site):
    # Anchors of generated pages, too, which are no files when mkdocs looks.
    for path in site.rglob("index.html"):
        text = path.read_text()
        ids = set(re.findall(r'\bid="([^"]+)"', text))
        for link in re.findall(r'href="#([^"]+)"', text):
            assert html.unescape(link) in ids, f"{path.relative_to(site)}: #{link}"


SEEN = ("", "CLI/", "DATASETS/", "tutorials/first/")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_in_a_browser(site, browser, size):
    with served(site) as address:
        for name in SEEN:
            opened = browser.open(f"{address}/{name}", size)
            assert faults(opened) == [], name


@contextlib.contextmanager
def served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


FOLDERS = ("benchmarks", "configs", "docs", "examples", "posepile", "tests")


def test_relative_links_lead_somewhere_in_the_clone():
    found = []
    for path in [*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md"))]:
        text = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        for link in re.findall(r"\]\(<?([^)\s>]+)>?\)", text):
            place = path.parent / link.partition("#")[0]
            if not re.match(r"[a-z]+:|#", link) and not place.exists():
                found.append(f"{path.relative_to(ROOT)}: {link}")
    assert not found, found


def test_nothing_of_a_page_comes_from_elsewhere(site):
    for path in site.rglob("*.html"):
        found = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]*', path.read_text()
        )
        assert not [text for text in found if "canonical" not in text], path


def test_every_command_and_option_says_what_it_means():
    text = commands_page()
    assert [name for name in COMMANDS if f"\n### {name}\n" not in text] == []
    assert re.findall(r"^\| `.*` \| +\|$", text, re.MULTILINE) == []
    assert "&lt;name>" in text  # not taken for a tag


# Lists and tables need an empty line before them in the site, which they do not on GitHub.
PAGES = [
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "posepile").rglob("README.md"),
    *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")),
]


def test_lists_tables_and_headings_begin_after_an_empty_line():
    found = []
    for path in PAGES:
        before, fenced = "", False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            now = "" if fenced or not line.strip() else kind(line)
            if line.startswith(" ") and before == "list":
                now = "list"  # goes on
            if before and now not in ("", "text", before):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line[:60]}")
            before = now
    assert not found, found


def kind(line):
    if re.match(r"[-*] |1\. ", line):
        return "list"
    return "table" if line.startswith("|") else "heading" if re.match(r"#+ ", line) else "text"


def test_the_version_is_the_same_everywhere():
    stated = {
        re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)[1]
        for name, pattern in (
            ("pyproject.toml", r'^version = "(.+)"'),
            ("posepile/version.py", r'^__version__ = "(.+)"'),
            ("CITATION.cff", r"^version: (.+)"),
        )
    }
    assert len(stated) == 1, stated


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

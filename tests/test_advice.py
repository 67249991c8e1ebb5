"""What messages advise: nothing that cannot be made good again."""

import ast
import re

import pytest
from conftest import ROOT

# Words of other trades: SQL, keys of a configuration file, what is done with our own results.
FINE = (
    "DELETE FROM dirs",
    "DELETE FROM pictures WHERE start",  # of the cache of an object store
    "PRAGMA secure_delete",
    "or remove body from the layout manifest",
    "made again, and removed when that is packed",
    "was replaced or removed while open",
    "with --delete-archives",  # which leaves alone what has no address
    "wave clap throw sit_stand",  # actions of people
)
RISKY = re.compile(r"\b(delet|remov|eras|wip|discard|throw|rm -)\w*", re.IGNORECASE)


def texts(path):
    """Texts in the code of a file, docstrings aside, and those of a YAML or shell file whole."""
    if path.suffix != ".py":
        yield from path.read_text().splitlines()
        return
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value


def advice(path):
    for text in texts(path):
        if " " in text and RISKY.search(text) and not any(fine in text for fine in FINE):
            yield f"{path.relative_to(ROOT)}: {text.strip()}"


@pytest.mark.parametrize("folder", ["posepile", "configs"])
def test_no_message_advises_to_delete(folder):
    """A file may have come by hand, after an agreement and a week, or be gone from its server.

    A person can always move it away, which does as well.
    """
    files = [p for s in ("py", "yaml", "sh") for p in sorted((ROOT / folder).rglob(f"*.{s}"))]
    assert files and [line for path in files for line in advice(path)] == []


def test_the_search_finds_such_advice(tmp_path):
    path = ROOT / "posepile" / "files.py"
    source = tmp_path / "a.py"
    source.write_text('"""Removes it."""\nraise E(f"{path}: damaged; delete it and run again")\n')
    found = [t for t in texts(source) if RISKY.search(t)]
    assert found == [": damaged; delete it and run again"] and list(advice(path)) == []

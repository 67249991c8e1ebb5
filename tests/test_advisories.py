"""Locked versions and lower bounds leave out releases with known vulnerabilities."""

import re
import sys

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.version import Version

TABLE = (ROOT / "docs" / "SECURITY.md").read_text().split("| fixed in |")[1].split("\nOpen, ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TABLE.splitlines()
    if line.startswith("| ") and "---" not in line
]


def locked():
    """Every locked version of a package, whatever the Python it is for."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if match := re.match(r"([\w.-]+)==([^\s;]+)", line):
            found.setdefault(match[1].lower(), []).append(Version(match[2]))
    return found


def lower_bounds():
    """The least version of a direct dependency, also of the extras and of the build."""
    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        texts += extra
    found = {}
    for requirement in map(Requirement, texts):
        least = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
        found.setdefault(requirement.name.lower(), []).extend(least)
    return found


def test_the_list_is_there():
    assert len(ROWS) > 10 and all(len(row) == 5 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_no_locked_version_is_one_with_a_known_advisory(row):
    name, _, fixed, stated, _ = row
    versions = locked().get(name, [])
    assert all(v >= Version(fixed) for v in versions)
    assert bool(versions) == bool(stated)
    assert not stated or Version(stated) in versions, "the list is older than constraints.txt"


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_no_lower_bound_admits_a_version_with_a_known_advisory(row):
    name, _, fixed, *_ = row
    assert all(v >= Version(fixed) for v in lower_bounds().get(name, []))

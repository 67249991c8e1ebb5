"""The wheel holds everything that is not Python too, and works where it is installed."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT


def tracked():
    """Files of the package in the checkout, as version control sees them."""
    command = ["git", "ls-files", "posepile", "configs"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a checkout to know which files there should be")
    return [line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment's prefix with the unpacked wheel in its site-packages."""
    pytest.importorskip("setuptools", minversion="77", reason="builds the wheel with setuptools")
    tree = tmp_path_factory.mktemp("tree")
    for name in [*tracked(), "pyproject.toml", "setup.py", "README.md"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    code = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", code, str(tree / "dist")],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
    )
    prefix = tmp_path_factory.mktemp("prefix")
    (wheel,) = (tree / "dist").glob("*.whl")
    site = prefix / "lib" / "python3" / "site-packages"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    # Like a virtual environment's interpreter; the dependencies are those of this one.
    python = prefix / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\necho "$PYTHONPATH" >> {prefix}/calls\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    return prefix, site


def test_every_file_of_the_package_is_in_the_wheel(installed):
    _, site = installed
    expected = {
        f"posepile/{name}" if name.startswith("configs/") else name
        for name in tracked()
        if Path(name).name != ".gitignore"
    }
    kinds = {Path(name).suffix for name in expected}
    assert {".py", ".sh", ".yaml", ".md"} <= kinds
    missing = sorted(name for name in expected if not (site / name).is_file())
    assert missing == []
    top = {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")}
    assert top == {"posepile"}


def outside(site, variables):
    unwanted = ("PYTHON", "PYTHONPATH", "DATA_ROOT", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in unwanted} | variables


def test_the_command_works_from_an_empty_folder(installed, tmp_path):
    prefix, site = installed
    code = "import posepile, posepile.cli; print(posepile.__file__); posepile.cli.main(['list'])"
    done = subprocess.run(
        [prefix / "bin" / "python", "-c", code],
        env=outside(site, {"PYTHONPATH": str(site)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, *names = done.stdout.splitlines()
    assert Path(where) == site / "posepile" / "__init__.py"
    folders = sorted(p.parent.name for p in (ROOT / "posepile" / "ds").glob("*/main.py"))
    assert [line.split()[0] for line in names] == folders


def test_an_installed_main_sh_uses_the_package_beside_it(installed, tmp_path):
    prefix, site = installed
    (prefix / "calls").unlink(missing_ok=True)
    script = site / "posepile" / "ds" / "coco" / "main.sh"
    done = subprocess.run(
        ["bash", str(script), "--miniature", "--quiet", "--jobs", "1"],
        env=outside(site, {"DATA_ROOT": str(tmp_path)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "coco.barecat").is_file()
    # That environment's Python ran that package for every step, not the one of this checkout.
    calls = (prefix / "calls").read_text().splitlines()
    assert len(calls) == 4
    assert all(Path(call).resolve() == site.resolve() for call in calls)


def test_an_installed_check_tests_a_folder(installed, tmp_path):
    prefix, site = installed
    code = "import posepile.cli; posepile.cli.main(['check', 'coco'])"
    done = subprocess.run(
        [prefix / "bin" / "python", "-c", code],
        env=outside(site, {"PYTHONPATH": str(site)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("coco: ok, ")

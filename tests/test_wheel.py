"""The wheel holds everything that is not Python too, and works where it is installed."""

import subprocess
from pathlib import Path

import installs
import pytest
from conftest import ROOT
from wheel_kit import outside, tracked


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


def test_installations_are_tried_with_every_extra():
    tomllib = pytest.importorskip("tomllib")  # came with Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(installs.EXTRAS) == set(project["optional-dependencies"])

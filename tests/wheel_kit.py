"""Wheels, built and unpacked as in the site-packages of an environment."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tracked():
    """Files of the package in the checkout, as version control sees them."""
    command = ["git", "ls-files", "posepile", "configs"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a checkout to know which files there should be")
    return [line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def build_wheel(tree):
    """Builds the wheel of a source tree and returns the file."""
    pytest.importorskip("setuptools", minversion="77", reason="builds the wheel with setuptools")
    code = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tree / "dist")]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    (wheel,) = (tree / "dist").glob("*.whl")
    return wheel


def install(wheel, prefix):
    """Unpacks a wheel below a prefix and returns its site-packages."""
    site = prefix / "lib" / "python3" / "site-packages"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    return site


def take_compiled(site):
    """Copies what numba has compiled of this checkout, if it has: the same files need no more."""
    for compiled in ROOT.glob("posepile/**/__pycache__/*.nb[ci]"):
        source = compiled.parent.parent / f"{compiled.name.split('.')[0]}.py"
        copy = site / source.relative_to(ROOT)
        if not source.is_file() or not copy.is_file():
            continue
        assert copy.read_bytes() == source.read_bytes()
        times = source.stat()  # by which numba knows a source file
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        target = copy.parent / "__pycache__" / compiled.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(compiled, target)


def install_package(tree, prefix):
    """Builds this package in an empty folder and installs it; returns prefix and site-packages.

    ``<prefix>/calls`` will have the PYTHONPATH of every call of its Python.
    """
    for name in [*tracked(), "pyproject.toml", "setup.py", "README.md"]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    site = install(build_wheel(tree), prefix)
    take_compiled(site)
    # Like a virtual environment's interpreter; the dependencies are those of this one.
    python = prefix / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\necho "$PYTHONPATH" >> {prefix}/calls\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    return prefix, site


def outside(site, variables):
    unwanted = ("PYTHON", "PYTHONPATH", "DATA_ROOT", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in unwanted} | variables

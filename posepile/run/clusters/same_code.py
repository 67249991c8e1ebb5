"""Whether another machine has the code that this one has: what makes the bytes of a result."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import posepile
from posepile.files import files_below
from posepile.formats.toml_files import read_toml
from posepile.version import __version__

_NAME = re.compile(r"[A-Za-z0-9._-]+")
# The same library for other machines: without a screen, with a GPU.
_TWINS = {"opencv-python": "opencv-python-headless", "onnxruntime": "onnxruntime-gpu"}


def code_here(folders: Iterable[Path] = ()) -> dict[str, str]:
    """Returns versions and digests of what results depend on.

    Args:
        folders: Folders of code besides the package: of datasets that lie elsewhere.
    """
    package = Path(posepile.__file__).parent
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    found["the code of PosePile"] = f"{__version__} {_digest(package)}"
    found["posepile/run as it was loaded"] = _loaded(package)
    found |= _libraries()
    for folder in folders:
        found[f"the code in {folder}"] = _digest(folder) if os.path.isdir(folder) else "missing"
    return found


def differing(expected: Mapping[str, str], folders: Iterable[Path] = ()) -> str | None:
    """Returns what differs here from what another machine has, in one line; None if nothing does.

    Args:
        expected: What :func:`code_here` returned there.
        folders: The same folders as there.
    """
    here = code_here(folders)
    lines = [
        f"{name} is {here.get(name, 'missing')}, expected {value}"
        for name, value in expected.items()
        if here.get(name) != value
    ]
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return ", ".join(lines[:3]) + more if lines else None


@functools.cache
def _loaded(package: Path) -> str:
    """Digest of what leads children, which this process does not load anew when it is edited."""
    return _digest(package / "run")


def _libraries() -> dict[str, str]:
    found = {}
    try:
        needed = importlib.metadata.requires("posepile") or []
    except importlib.metadata.PackageNotFoundError:  # used from a checkout
        needed = _needed_here()
    for line in needed:
        if ";" in line and "extra" in line:
            continue
        name = _NAME.match(line).group()
        version = version_of(name)
        if version is not None:
            found[name] = version
    return found


def _needed_here() -> list[str]:
    """Returns what the checkout names as its libraries; none if it is no checkout either."""
    file = Path(posepile.__file__).parent.parent / "pyproject.toml"
    if not file.is_file():
        return []
    return read_toml(file, {"project": {"dependencies": [str]}})["project"]["dependencies"]


def version_of(name: str) -> str | None:
    """Returns the version of a library, or of its twin; None if neither is installed here."""
    for known in (name, _TWINS.get(name)):
        if known is not None:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                return importlib.metadata.version(known)
    return None


def _digest(folder: Path) -> str:
    """Digest of all Python files below a folder, the same wherever it lies."""
    digest = hashlib.blake2b(digest_size=6)
    for path in files_below(folder, "**/*.py"):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.blake2b(path.read_bytes()).digest())
    return digest.hexdigest()

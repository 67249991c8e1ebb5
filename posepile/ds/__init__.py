"""Datasets: one folder each, found by being there.

A dataset is a folder with a ``main.py``; no central list names it, and deleting the folder removes
the dataset without a trace. A build of it has the dataset's name, or ``name@variant`` for a second
one with other settings.
"""

from __future__ import annotations

import difflib
import importlib
import re
from pathlib import Path
from types import ModuleType

from posepile.errors import UsageError


def dataset_names() -> list[str]:
    """Names of all dataset folders, sorted."""
    return sorted({p.parent.name for folder in __path__ for p in Path(folder).glob("*/main.py")})


def build_name(name: str, variant: str | None) -> str:
    """Returns the name of a build: that of the dataset, and of the variant if there is one."""
    return name if variant is None else f"{name}@{variant}"


def split_build(name: str, variant: str | None = None) -> tuple[str, str | None]:
    """Returns dataset and variant of a ``name@variant``.

    Raises:
        UsageError: Two variants, or a name that no file can have.
    """
    name, at, given = name.partition("@")
    if at and variant is not None and variant != given:
        raise UsageError(f"{name}@{given} and --variant {variant}: name one variant")
    variant = given if at else variant
    if variant is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", variant):
        raise UsageError(
            f"--variant {variant}: expected letters, digits, '.', '_' and '-', e.g. dense"
        )
    return name, variant


def dataset_dir(name: str) -> Path:
    """Folder of a dataset, whichever build of it is named.

    Raises:
        UsageError: No such dataset; the message lists those there are.
    """
    name, _ = split_build(name)
    names = dataset_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"unknown dataset {name!r}{hint}; there are: {', '.join(names)}")
    folders = [Path(folder, name) for folder in __path__]
    return next((f for f in folders if f.is_dir()), folders[0])


def load_recipe(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.main``; see :mod:`posepile.recipe` for what it defines."""
    name, _ = split_build(name)
    dataset_dir(name)
    return importlib.import_module(f"posepile.ds.{name}.main")

"""Datasets: one folder each, found by being there.

A dataset is a folder with a ``main.py``; no central list names it, and deleting the folder removes
the dataset without a trace.
"""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from types import ModuleType

from posepile.errors import UsageError


def dataset_names() -> list[str]:
    """Names of all dataset folders, sorted."""
    return sorted({p.parent.name for folder in __path__ for p in Path(folder).glob("*/main.py")})


def dataset_dir(name: str) -> Path:
    """Folder of a dataset.

    Raises:
        UsageError: No such dataset; the message lists those there are.
    """
    names = dataset_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"unknown dataset {name!r}{hint}; there are: {', '.join(names)}")
    folders = [Path(folder, name) for folder in __path__]
    return next((f for f in folders if f.is_dir()), folders[0])


def load_recipe(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.main``; see :mod:`posepile.recipe` for what it defines."""
    dataset_dir(name)
    return importlib.import_module(f"posepile.ds.{name}.main")


def load_miniature(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.miniature``, which has ``build(root)``."""
    dataset_dir(name)
    return importlib.import_module(f"posepile.ds.{name}.miniature")

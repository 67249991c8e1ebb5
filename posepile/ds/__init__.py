"""The registry of datasets: one folder each, found by being there.

A dataset is a folder with a ``main.py``, here or below a folder of ``$POSEPILE_DATASETS`` (several
are separated by ``:``). No central list names it, and deleting the folder removes the dataset
without a trace. This is the only place that imports a recipe.

A build of a dataset has the name of the dataset, or ``name@variant`` for a second one with other
settings.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from pathlib import Path
from types import ModuleType

from posepile.errors import UsageError


def dataset_names() -> list[str]:
    """Returns the names of all dataset folders, sorted."""
    return sorted({p.parent.name for folder in _folders() for p in Path(folder).glob("*/main.py")})


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
    """Returns the folder of a dataset, whichever build of it is named.

    Raises:
        UsageError: No such dataset; the message lists those there are.
    """
    name, _ = split_build(name)
    for folder in _folders():
        if name.isidentifier() and Path(folder, name, "main.py").is_file():
            return Path(folder, name)
    names = dataset_names()
    if name in names:
        return Path(__path__[0], name)
    close = difflib.get_close_matches(name, names, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UsageError(f"unknown dataset {name!r}{hint}; there are: {', '.join(names)}")


def load_recipe(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.main``; see :mod:`posepile.recipe` for what it defines."""
    return _load(name, "main")


def load_miniature(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.miniature``, which has ``build(root)``."""
    return _load(name, "miniature")


def _load(name: str, part: str) -> ModuleType:
    folder = str(dataset_dir(name).parent)
    if folder not in __path__:
        __path__.append(folder)
    return importlib.import_module(f"posepile.ds.{split_build(name)[0]}.{part}")


def _folders() -> list[str]:
    named = os.environ.get("POSEPILE_DATASETS", "").split(os.pathsep)
    return [*__path__, *(os.path.abspath(f) for f in named if f and f not in __path__)]

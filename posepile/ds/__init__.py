"""The registry of datasets: one folder each, found by being there.

A dataset is a folder with a ``main.py``: here, or below a folder of ``$POSEPILE_DATASETS``
(several are separated by ``:``), or in an installed package that names it as an entry point of the
group ``posepile.datasets``: ``mydata = "mylab.mydata"``. Of several with one name the first of
these counts. No central list names it, and deleting the folder removes the dataset without a
trace. This is the only place that imports a recipe.

Wherever the folder lies, its modules are ``posepile.ds.<name>.main``, ``...eval`` and so on.

A build of a dataset has the name of the dataset, or ``name@variant`` for a second one with other
settings.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from posepile.errors import PosePileError, UsageError

GROUP = "posepile.datasets"


def dataset_names() -> list[str]:
    """Returns the names of all dataset folders, sorted."""
    folders = [Path(folder) for folder in _folders() if os.path.isdir(folder)]
    found = {p.parent.name for folder in folders for p in folder.glob("*/main.py")}
    return sorted(found | _entry_points().keys())


def missing_folders() -> list[str]:
    """Returns what ``POSEPILE_DATASETS`` names and is no folder."""
    return [folder for folder in _folders() if not os.path.isdir(folder)]


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
        UsageError: No such dataset; the message names one that is called nearly so.
    """
    name, _ = split_build(name)
    found = _find(name)
    if found is not None:
        return found
    names = dataset_names()
    if name in names:
        return Path(__path__[0], name)
    plain = {n.replace("_", ""): n for n in names}
    asked = name.casefold().replace("-", "").replace("_", "").replace(" ", "")
    close = [plain[n] for n in difflib.get_close_matches(asked, plain, 1)]
    hint = f" (did you mean {close[0]}?)" if close else ""
    lacking = "".join(
        f"; POSEPILE_DATASETS names {folder}, which is no folder" for folder in missing_folders()
    )
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    raise UsageError(f"unknown dataset {shown!r}{hint}; posepile list shows all{lacking}")


def load_recipe(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.main``; see :mod:`posepile.recipe` for what it defines."""
    return _load(name, "main")


def load_miniature(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.miniature``, which has ``build(root)``."""
    return _load(name, "miniature")


def has_evaluation(name: str) -> bool:
    """Returns whether a dataset is a benchmark: its folder has an ``eval.py``."""
    return (dataset_dir(name) / "eval.py").is_file()


def load_evaluation(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.eval``, which has ``BENCHMARK`` and ``main(argv)``.

    Raises:
        UsageError: No such dataset, or it is no benchmark.
    """
    if not has_evaluation(name):
        names = ", ".join(n for n in dataset_names() if has_evaluation(n))
        raise UsageError(f"{name} has no evaluation; benchmarks are: {names}")
    return _load(name, "eval")


def _load(name: str, part: str) -> ModuleType:
    folder = dataset_dir(name)
    try:
        return importlib.import_module(f"posepile.ds.{split_build(name)[0]}.{part}")
    except PosePileError:
        raise
    except (Exception, SystemExit) as e:  # the folder may be anybody's
        frames = traceback.extract_tb(e.__traceback__)
        lines = [(f.filename, f.lineno) for f in frames if Path(f.filename).parent == folder]
        if isinstance(e, SyntaxError) and e.filename:
            lines.append((e.filename, e.lineno))
        file, line = lines[-1] if lines else (folder / f"{part}.py", None)
        place = f"{file}, line {line}" if line else file
        text = e.msg if isinstance(e, SyntaxError) else str(e)
        raise UsageError(f"{place}: {type(e).__name__}: {text}") from e


def _find(name: str) -> Path | None:
    """The folder of a dataset, None if there is none."""
    if not name.isidentifier():
        return None
    for folder in _folders():
        if os.path.isfile(os.path.join(folder, name, "main.py")):  # also of names no file can have
            return Path(folder, name)
    entry = _entry_points().get(name)
    return None if entry is None else _entry_folder(entry)


def _folders() -> list[str]:
    named = os.environ.get("POSEPILE_DATASETS", "").split(os.pathsep)
    return [*__path__, *(os.path.abspath(f) for f in named if f and f not in __path__)]


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Name of a dataset -> the installed package that has it."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def _entry_folder(entry: importlib.metadata.EntryPoint) -> Path:
    owner = f"{entry.dist.name}: " if entry.dist else ""
    text = f"{owner}entry point {GROUP}: {entry.name} = {entry.value!r}"
    try:
        spec = importlib.util.find_spec(entry.value)
    except Exception as e:  # of the package above it, which is somebody else's
        raise UsageError(f"{text}: cannot be imported: {type(e).__name__}: {e}") from None
    for place in (spec.submodule_search_locations if spec else None) or ():
        if Path(place, "main.py").is_file():
            return Path(place)
    raise UsageError(f"{text}: found no main.py there; expected a package that has one")


class _Finder:
    """Finds ``posepile.ds.<name>`` where the folder of the dataset lies elsewhere."""

    @staticmethod
    def find_spec(fullname: str, path=None, target=None) -> importlib.machinery.ModuleSpec | None:
        """Returns how to import the folder; called by Python when it is not among ours."""
        package, _, name = fullname.rpartition(".")
        folder = _find(name) if package == __name__ else None
        if folder is None or str(folder.parent) in __path__:
            return None
        init = folder / "__init__.py"
        if init.is_file():
            return importlib.util.spec_from_file_location(
                fullname, init, submodule_search_locations=[str(folder)]
            )
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec


sys.meta_path.append(_Finder)

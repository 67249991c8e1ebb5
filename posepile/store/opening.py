"""From a dataset's name to the dataset: pickles, archives, and the folders below ``ds``."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from posepile import paths
from posepile.errors import UsageError, WorkError
from posepile.joint_info import JointInfo


def known_datasets() -> list[str]:
    """Returns the names of all datasets: the folders below ``posepile/ds`` with a ``main.py``."""
    import posepile.ds

    names = set()
    for folder in posepile.ds.__path__:
        names.update(p.parent.name for p in Path(folder).glob("*/main.py"))
    return sorted(names)


def dataset_module(name: str) -> ModuleType:
    """Imports ``posepile.ds.<name>.main``; errors inside it come through unchanged.

    Raises:
        UsageError: There is no such dataset.
    """
    if name not in known_datasets():
        raise UsageError(
            f"dataset {name!r}: unknown, expected a file *.pkl or *.barecat or one of: "
            + (", ".join(known_datasets()) or "(none installed)")
        )
    return importlib.import_module(f"posepile.ds.{name}.main")


def get_dataset(name: str, kind: str, **kwargs: Any) -> Any:
    """Opens a dataset; see :func:`posepile.datasets3d.get_dataset`.

    Args:
        name: Name or file.
        kind: ``3d`` or ``2d``.
        **kwargs: Options.
    """
    from posepile.store import restricted_pickle as unpickling

    name = str(name)
    if name.endswith(".pkl"):
        _refuse(name, kwargs)
        return _of_kind(unpickling.load(paths.ensure_absolute(name)), kind, name)
    if name.endswith(".barecat"):
        images = kwargs.pop("image_barecat_path", None)
        _refuse(name, kwargs)
        return _open_archive(name, kind, images)

    pickle_path, archive_path = paths.cache_dir() / f"{name}.pkl", paths.archive_path(name)
    if kwargs:
        make = getattr(dataset_module(name), "make_dataset", None)
        if make is None:
            _refuse(name, kwargs)
        return make(**kwargs)
    if pickle_path.exists():
        return _of_kind(unpickling.load(pickle_path), kind, name)
    if archive_path.exists():
        return _open_archive(archive_path, kind, None)
    module = dataset_module(name)
    if hasattr(module, "make_dataset"):
        return module.make_dataset()
    raise WorkError(
        f"dataset {name!r}: not built yet, neither {pickle_path} nor {archive_path} exists; "
        f"run: posepile run {name}"
    )


def get_joint_info(name: str) -> JointInfo:
    """Returns the skeleton of a dataset; the recipe's where it has not been built."""
    from posepile.store import archive
    from posepile.store import restricted_pickle as unpickling

    name = str(name)
    if name.endswith(".pkl"):
        return unpickling.load(paths.ensure_absolute(name)).joint_info
    if name.endswith(".barecat"):
        return archive.open_archive(name).joint_info
    if name in known_datasets():
        return dataset_module(name).SPEC.joint_info
    pickle_path, archive_path = paths.cache_dir() / f"{name}.pkl", paths.archive_path(name)
    if pickle_path.exists():
        return unpickling.load(pickle_path).joint_info
    if archive_path.exists():
        return archive.open_archive(archive_path).joint_info
    return dataset_module(name).SPEC.joint_info


def _open_archive(path, kind, images):
    from posepile.store import archive

    own_kind = archive.open_archive(path).metadata.get("kind")
    if own_kind == "2d" and kind == "3d":
        raise UsageError(
            f"{path}: a 2D dataset; open it with posepile.datasets2d.get_dataset instead"
        )
    return archive.open_dataset(path, kind, images)


def _of_kind(dataset, kind, name):
    found = getattr(dataset, "kind", None)
    if found is None:
        raise WorkError(f"{name}: the pickle holds {type(dataset).__name__}, expected a dataset")
    if found != kind:
        raise UsageError(
            f"{name}: a {found.upper()} dataset; open it with posepile.datasets{found}.get_dataset"
        )
    return dataset


def _refuse(name, kwargs):
    if kwargs:
        raise UsageError(f"dataset {name!r}: unknown option {sorted(kwargs)[0]!r}")

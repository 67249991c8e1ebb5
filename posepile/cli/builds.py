"""Which build of a dataset a command is about."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import Any

from posepile.errors import UsageError, not_there_yet


def make_run(args: argparse.Namespace, **more: Any) -> Any:
    """The run that the options of a command describe."""
    from posepile.run import job

    return job.make_run(
        args.name,
        tuple(getattr(args, "set", ())),
        getattr(args, "config", None),
        variant=args.variant,
        **more,
    )


def require_data_root() -> None:
    """Looks whether ``DATA_ROOT`` is a folder.

    Raises:
        UsageError: It is none.
    """
    from posepile import paths

    root = paths.data_root()
    if not os.path.isdir(root):
        there = os.path.lexists(root)
        what = "is not a folder" if there else "no such folder; make it or set another"
        raise UsageError(f"DATA_ROOT = {root}: {what}")


def require_mounted(run: Any) -> None:
    """Looks whether the raw folder is a link to something, if it is one.

    Raises:
        WorkError: It leads nowhere, as when a disk is not mounted, or in a circle.
    """
    from posepile.errors import leads_nowhere, no_raw_data

    if leads_nowhere(run.root):
        raise no_raw_data(run.root, run.name)


def require_build(run: Any) -> None:
    """Looks whether there is anything of a variant.

    Raises:
        UsageError: There is not, as its name is mistaken or nobody has made it yet.
    """
    from posepile import paths

    if run.variant is None or run.work.exists() or run.archive.exists():
        return
    works = sorted(paths.data_root().glob(f"{run.name}@*_work"))
    names = [path.name[len(run.name) + 1 : -len("_work")] for path in works]
    raise UsageError(
        f"{run.build}: no such variant of {run.name}; there "
        + (f"are: {', '.join(names)}" if names else "is none")
        + f"; posepile run {run.build} makes it"
    )


def has_recipe(build: str) -> bool:
    """Whether a build is of a dataset with a recipe; an imported or cut one is an archive."""
    from posepile import paths
    from posepile.ds import dataset_names, split_build
    from posepile.store.layout import find_index

    try:
        name, variant = split_build(build)
    except UsageError:
        return True  # which is told where it is looked up
    odd = variant is not None or not name or os.sep in name or not os.environ.get("DATA_ROOT")
    if odd or name in dataset_names():
        return True
    return find_index(paths.archive_path(name)) is None


def build_of(args: argparse.Namespace) -> str:
    """The build that a command is about: a dataset, or a variant of it."""
    from posepile.ds import build_name, dataset_dir, split_build

    if getattr(args, "variant", None) is None and not has_recipe(args.name):
        return args.name
    name, variant = split_build(args.name, args.variant)
    dataset_dir(name)
    require_data_root()
    return build_name(name, variant)


def opened_build(name: str) -> Any:
    """Opens a dataset as ``DATASET``, ``DATASET@VARIANT``, a mix, or a ``.barecat`` file.

    Raises:
        UsageError: There is neither a dataset nor a mix of that name.
        WorkError: It has not been packed.
    """
    from posepile import paths
    from posepile.ds import build_name, dataset_dir, dataset_names, split_build
    from posepile.store import opening

    if name.endswith(".barecat"):
        return opening.open_dataset(name)
    dataset, variant = split_build(name)
    if dataset not in dataset_names():
        with contextlib.suppress(UsageError):  # without DATA_ROOT there is no mix either
            if (paths.cache_dir() / f"{name}.pkl").is_file():
                with contextlib.suppress(UsageError):  # raised where it is 2D
                    return opening.get_dataset(name, "3d")
                return opening.get_dataset(name, "2d")
        dataset_dir(dataset)
    require_data_root()
    return opening.open_dataset(packed_archive(build_name(dataset, variant)))


def packed_archive(build: str) -> Path:
    """The archive of a build.

    Raises:
        UsageError: A helper has none.
        WorkError: It has not been packed, or something else lies there.
    """
    from posepile import paths
    from posepile.ds import load_recipe
    from posepile.store.layout import find_index

    path = paths.archive_path(build)
    if has_recipe(build) and load_recipe(build).SPEC.kind == "helper":
        raise UsageError(f"{build} is a helper: it has files, see posepile status, but no archive")
    if find_index(path) is None:
        raise not_there_yet(path, "archive", build)
    return path

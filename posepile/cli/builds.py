"""Which build of a dataset a command is about."""

from __future__ import annotations

import argparse
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


def build_of(args: argparse.Namespace) -> str:
    """The build that a command is about: a dataset, or a variant of it."""
    from posepile.ds import build_name, dataset_dir, split_build

    name, variant = split_build(args.name, args.variant)
    dataset_dir(name)
    require_data_root()
    return build_name(name, variant)


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
    if load_recipe(build).SPEC.kind == "helper":
        raise UsageError(f"{build} is a helper: it has files, see posepile status, but no archive")
    if find_index(path) is None:
        raise not_there_yet(path, "archive", build)
    return path

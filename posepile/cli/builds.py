"""Which build of a dataset a command is about."""

from __future__ import annotations

import argparse
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


def build_of(args: argparse.Namespace) -> str:
    """The build that a command is about: a dataset, or a variant of it."""
    from posepile.ds import build_name, dataset_dir, split_build

    name, variant = split_build(args.name, args.variant)
    dataset_dir(name)
    return build_name(name, variant)


def packed_archive(build: str) -> Path:
    """The archive of a build.

    Raises:
        UsageError: A helper has none.
        WorkError: It has not been packed.
    """
    from posepile import paths
    from posepile.ds import load_recipe

    path = paths.archive_path(build)
    if load_recipe(build).SPEC.kind == "helper":
        raise UsageError(f"{build} is a helper: it has files, see posepile status, but no archive")
    if not path.is_file():
        raise not_there_yet(path, "archive", build)
    return path

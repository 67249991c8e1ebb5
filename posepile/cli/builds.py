"""Which build of a dataset a command is about."""

from __future__ import annotations

import argparse
from typing import Any

from posepile.errors import UsageError


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

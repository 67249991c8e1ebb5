"""Which work on a dataset excludes which."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from posepile import paths
from posepile.files import locked
from posepile.run.active import noted

if TYPE_CHECKING:
    from posepile.run.job import Run


@contextlib.contextmanager
def lock(run: Run, what: Literal["units", "pack", "raw"] = "units") -> Iterator[None]:
    """Keeps a second process from the same work at the same time.

    Args:
        run: The run.
        what: ``units``: one process per share, and none while packing; ``pack``: nobody else
            works on the dataset; ``raw``: the raw folder is made by one process while the others
            of a Slurm array wait for it.

    Raises:
        WorkError: Another process is at it.
    """
    index, count = run.shard
    folder = paths.work_dir(run.name) if what == "raw" else run.work
    if what == "raw":
        waiting = f"{run.name}: waiting for another process that prepares the raw files"
        # The raw files are those of all variants.
        with locked(folder / ".lock-raw", waiting=waiting), noted(run, what, folder):
            yield
    elif what == "pack":
        busy = f"another run of {run.build} is active; pack when it has ended"
        with locked(folder / ".lock-pack", busy=busy), noted(run, what, folder):
            yield
    else:
        busy = f"another run of {run.build} is active on these units"
        packing = f"{run.build} is being packed; wait for it"
        with (
            locked(folder / f".lock-units-{index}-of-{count}", busy=busy),
            locked(folder / ".lock-pack", shared=True, busy=packing),
            noted(run, what, folder),
        ):
            yield

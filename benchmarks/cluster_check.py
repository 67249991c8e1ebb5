"""The model of a cluster beside what can be had on one machine.

Used by ``benchmarks/cluster_model.py --check``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster_costs import dask_rate, holding, lock_rate, lock_seconds
from cluster_model import Station, flow


def check() -> Iterator[dict[str, Any]]:
    """Yields lines that compare the model with a real scheduler and a real file of locks."""
    for held in (0, 8000, 32000):
        place = tempfile.TemporaryDirectory()
        with place as folder, holding(path := Path(folder, "locks"), held=held):
            alone = lock_seconds(path, held, last=True)
            for processes in (1, 4, 16, 64):
                real = lock_rate(path, processes, held, 0.01)
                steps = [("lock file", alone, 0.0), ("cores", 0.0, 0.01)]
                model, _ = flow({"lock file": Station()}, steps, processes, 60)
                yield _compared("locks", f"{processes} processes, {held} held", model, real)
    task = 1 / dask_rate(threads=16, seconds=0.0)
    for workers, seconds in ((4, 0.2), (16, 0.2), (64, 0.2), (128, 0.2)):
        real = dask_rate(workers, seconds)
        steps = [("scheduler", task, 0.0), ("cores", 0.0, seconds)]
        model, _ = flow({"scheduler": Station()}, steps, workers, 60)
        yield _compared("Dask", f"{workers} workers, {seconds} s a task", model, real)


def _compared(what: str, case: str, model: float, real: float) -> dict[str, Any]:
    facts = {"check": what, "case": case, "model, per s": round(model, 1)}
    return {**facts, "real, per s": round(real, 1), "ratio": round(model / real, 2)}

"""Runs one function on many tasks, each in a worker process whose end costs that task alone.

For the caller::

    for task, result in run_tasks(function, tasks, jobs=2, limits=Limits(8 << 30, 600)):
        ...  # in the order in which they finish

``result`` is what ``function(task)`` returned, or :class:`Lost` if it raised, if its worker died
(segmentation fault, ``os._exit``), if it needed more memory than
``limits.memory_bytes`` or if it was silent for ``limits.stall_seconds``. The other tasks go on.

* ``function`` and ``initialize`` are functions of modules other than ``__main__`` (or
  ``functools.partial`` of such); they are pickled once per worker, tasks and results once each.
  ``tasks`` may be an endless iterator: at most one task per worker is taken from it ahead.
* The work calls :func:`progress` for each frame it reads or example it writes. Floors below
  ``run`` get it handed in as an argument. Beginning and end of a task count, too.
* ``Lost.kind`` is ``shortage`` where the machine lacked something, which says nothing of the
  task: the caller ends the run. A task whose worker was killed by the system is tried again first,
  beside half as many others.
* A :exc:`MemoryError` must reach this module to count as one: do not catch it in ``function``.
* Workers have the environment (``DATA_ROOT``), working directory and ``sys.path`` that this
  process has at the start. What it changed in modules (``monkeypatch``) is
  not there: for that, and for a debugger, there is ``executor="in_process"``: the same results,
  one after the other in this process, without limits; a crash is a crash.
* Close the generator (``contextlib.closing``) when leaving it early. Ctrl-C, SIGTERM and closing
  end all workers at once. They also end with this process, however that ends.
* The limits are looked after while the caller waits for the next result.

How: a server process calls ``preload`` and forks the workers, so that a new
worker costs milliseconds. Each worker has one task at a time, therefore there is no doubt whom to
blame. It writes its stderr into a file: the end of that is the trace of a lost task, the rest is
shown, equal lines once.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from posepile.acquire.credentials import clean_environment
from posepile.errors import UsageError
from posepile.run.backends import LOCAL, Backend, Shared
from posepile.run.pool import Limits, in_workers
from posepile.run.worker import Lost, attempt, progress, thread_environment

__all__ = ["Limits", "Lost", "cpu_count", "progress", "run_tasks"]

T = TypeVar("T")
R = TypeVar("R")

EXECUTORS = ("processes", "in_process")


def run_tasks(
    function: Callable[[T], R],
    tasks: Iterable[T],
    *,
    jobs: int | None = 1,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    threads: int = 1,
    initialize: Callable[[], None] | None = None,
    preload: Callable[[], None] | None = None,
    executor: str = "processes",
    tick: Callable[[int], None] = lambda steps: None,
    backend: Backend = LOCAL,
    shared: Shared | None = None,
) -> Iterator[tuple[T, R | Lost]]:
    """Yields each task with the function's result for it, or with why there is none.

    Args:
        function: What to do; called in a worker.
        tasks: What to do it with.
        jobs: Number of workers; on a cluster the most that are at work at once, None = all.
        limits: What one task may take.
        threads: Threads that the libraries in one worker may use.
        initialize: Called once in each worker before its first task.
        preload: Imports what all workers need, once, before they are forked; must not start
            threads, as the import of onnxruntime does: its imports are left to the workers then.
        executor: ``processes`` or ``in_process``.
        tick: Called some times a second while workers are waited for, with how often they have
            called :func:`progress` in all. On a cluster that is 0: it tells that the first task
            gets on, and what a worker there has done is known only when its tasks come back.
        backend: Where the workers are: in processes of this machine, or of others.
        shared: What other machines must see as this one does; needed for those.

    Raises:
        UsageError: The backend asked for cannot be had.
        WorkError: Workers cannot be started.
    """
    if executor not in EXECUTORS:
        raise UsageError(f"executor {executor!r}: not one of {', '.join(EXECUTORS)}")
    if executor == "in_process":
        return _in_process(function, tasks, threads, initialize)
    if backend.kind != "local":
        from posepile.run.clusters.batches import on_cluster

        if shared is None:
            raise UsageError(f"--backend {backend.kind}: a folder that all machines see is needed")
        return on_cluster(
            function, tasks, backend, shared, jobs, limits, initialize, preload, tick
        )
    setup = pickle.dumps((pickle.dumps((function, initialize), -1), limits.memory_bytes), -1)
    imports = None if preload is None else pickle.dumps(preload, -1)
    keys = () if shared is None else shared.keys
    environment = clean_environment(keys, network=bool(keys)) | thread_environment(threads)
    return in_workers(setup, tasks, jobs, limits, environment, imports, tick)


def cpu_count() -> int:
    """Returns how many processors this process may use: in a batch job not all there are."""
    import joblib

    return joblib.cpu_count()


def _in_process(function, tasks, threads, initialize):
    import cv2
    from tqdm.contrib import DummyTqdmFile

    cv2.setNumThreads(threads)
    if initialize is not None:
        initialize()
    for task in tasks:
        with contextlib.redirect_stderr(DummyTqdmFile(sys.stderr)):  # lines go above a bar
            result = attempt(function, task)
        yield task, result

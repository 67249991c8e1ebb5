"""What a task costs besides its work, on processes of this machine and on Dask's workers.

    python benchmarks/backends.py [--tasks 100000] [--workers 2] [--backend local dask]

Scheduler and workers are started on this machine and ended again. Memory is that of this process,
of the scheduler and of the largest worker, after a tenth of the tasks and at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from posepile.run.backends import LOCAL, Backend, Shared
from posepile.run.executor import Limits, run_tasks


def work(task: int) -> int:
    """Next to nothing."""
    return task


def main():
    """Starts a cluster and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--backend", nargs="*", choices=("local", "dask"), default=["local", "dask"]
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for kind in args.backend:
            backend, processes = LOCAL, [psutil.Process()]
            if kind == "dask":
                backend, others = stack.enter_context(cluster(Path(folder), args.workers))
                processes += others
            measure(kind, backend, args, Path(folder), processes)


def measure(kind: str, backend: Backend, args, folder: Path, processes: list) -> None:
    """Prints seconds per task and memory."""
    import backends  # in the workers it is no __main__

    begun = time.perf_counter()
    tasks = range(args.tasks)
    finished, early, first = 0, None, None
    for task, result in run_tasks(
        backends.work,
        iter(tasks),
        jobs=args.workers if kind == "local" else None,
        limits=Limits(2 << 30, 600),
        backend=backend,
        shared=Shared(folder),
    ):
        if task != result:
            sys.exit(f"task {task}: {result}")
        finished += 1
        if finished == 100:
            first = time.perf_counter()
        if finished == args.tasks // 10:
            early = memory(processes)
    elapsed = time.perf_counter() - first
    if finished != args.tasks:
        sys.exit(f"{finished} of {args.tasks} tasks came back")
    each = 1000 * elapsed / (args.tasks - 100)
    words = ", ".join(
        f"{a:.0f} -> {b:.0f} MB" for a, b in zip(early, memory(processes), strict=True)
    )
    print(
        f"{kind}: {args.tasks} tasks, {each:.2f} ms each, {each * args.workers:.2f} ms of a worker"
    )
    print(f"  first 100 after {first - begun:.1f} s; memory: {words}", flush=True)


def memory(processes: list) -> list[float]:
    """Resident megabytes of processes."""
    return [p.memory_info().rss / 1e6 for p in processes]


@contextlib.contextmanager
def cluster(folder: Path, workers: int):
    """A scheduler and workers on this machine: (backend, their processes)."""
    file = folder / "scheduler.json"
    path = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")])}
    own = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    commands = [["dask_scheduler", *own, "--port", "0"]]
    commands += [["dask_worker", *own, "--nthreads", "1", "--no-nanny"]] * workers
    started = []
    try:
        for name, *rest in commands:
            command = [sys.executable, "-m", f"distributed.cli.{name}", *rest]
            started.append(
                subprocess.Popen(
                    command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            while not file.exists():
                time.sleep(0.1)
        yield Backend("dask", scheduler_file=file), [psutil.Process(p.pid) for p in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()

"""Many small units from end to end: does memory stay flat, and what does a unit cost?

    python benchmarks/soak.py [--units 100000] [--jobs 2] [--folder FOLDER] [--backend dask]

The dataset is that of ``units.py``: a unit is one photograph of 64x48 pixels with one person. What
such an example costs where a unit has a hundred of them is measured beside it and taken off: the
rest is the overhead per unit, of workers and of the process that hands out the work. Memory is
looked at several times a second, and a line is fitted through the later half of it. With
``--backend dask`` the units are done by as many Dask workers, which are started on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backends import cluster
from units import make_recipe, report, set_size

EVERY_SECONDS = 0.25
TOGETHER = 100  # examples in a large unit


def main():
    """Makes the dataset and measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", help="where the dataset is made; on the disk that is to count")
    parser.add_argument("--backend", choices=("local", "dask"), default="local")
    args = parser.parse_args()
    if args.folder:
        Path(args.folder).mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as folder,
        contextlib.ExitStack() as stack,
    ):
        make_recipe(Path(folder))
        where, others = ("--jobs", str(args.jobs)), {}
        if args.backend == "dask":
            backend, (scheduler, *workers) = stack.enter_context(cluster(Path(folder), args.jobs))
            where = ("--backend", "dask", "--scheduler-file", str(backend.scheduler_file))
            others = {"scheduler": [scheduler.pid], "Dask workers": [w.pid for w in workers]}
        soak(Path(folder) / "data", args.units, args.jobs, where, others)


def soak(data: Path, n: int, jobs: int, where: tuple, others: dict[str, list[int]]) -> None:
    """Runs all steps, looks at a dataset of that size, and prints a line for each figure."""
    say = functools.partial(report, "soak")
    case, work = f"{n} units", data / "tiny_work"
    set_size(data, 1)
    _watched("step", "tiny", "process", "--quiet")  # compiles
    each = _example(data, jobs)
    say(f"an example of {TOGETHER} in a unit", "CPU ms", 1e3 * each)
    set_size(data, n)
    shutil.rmtree(work)
    steps = (("process", *where), ("pack",), ("process", *where), ("pack",))
    for i, (step, *more) in enumerate(steps):
        found = _watched("step", "tiny", step, *more, "--quiet", others=others)
        name = f"{case}: {'idle ' * (i > 1)}{step}"
        say(name, "CPU ms per unit", 1e3 * found["cpu"] / n)
        if i == 0:
            say(f"{name}: overhead", "CPU ms per unit", 1e3 * (found["cpu"] / n - each))
            say(name, "ms per unit and worker", 1e3 * found["wall"] * jobs / n)
        say(name, "seconds", found["wall"])
        for who in ("main", "workers", *others):
            if len(found[who]) > 8:
                at, end = _growth(found[who])
                say(f"{name}: memory of {who}, halfway", "MB", at)
                say(f"{name}: memory of {who}, grown from there to the end", "MB", end)
        say(f"{name}: memory of main, most", "MB", max(m for _, m in found["main"]))
    for words in (("status", "tiny"), ("report", "tiny")):
        found = _watched(*words)
        say(f"{case}: {words[0]}", "seconds", found["wall"])
        say(f"{case}: {words[0]}", "MB", max(m for _, m in found["main"]))
    folders = {d: len(f) + len(s) for d, s, f in os.walk(work)}
    say(f"{case}: files and folders", "per unit", sum(folders.values()) / n)
    say(f"{case}: most names in one folder", "names", max(folders.values()))


def _example(data: Path, jobs: int) -> float:
    """Processor seconds for an example of a large unit, beyond those that starting takes."""
    words = ("step", "tiny", "process", "--jobs", str(jobs), "--quiet")
    seconds = []
    for units in (10, 60):
        shutil.rmtree(data / "tiny_work")
        set_size(data, units, TOGETHER)
        seconds.append(_watched(*words)["cpu"])
    return (seconds[1] - seconds[0]) / (50 * TOGETHER)


def _watched(*words: str, others: dict[str, list[int]] | None = None) -> dict:
    """Runs a command and looks at memory; returns times, and (seconds, MB) samples.

    Args:
        *words: Of the command.
        others: Processes beside it that count as well, with those that they have started.
    """
    others = others or {}
    before = sum(_seconds(pid) for pids in others.values() for pid in pids)
    said, begun = tempfile.TemporaryFile(), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "posepile", *words],
        stdout=said,
        stderr=subprocess.STDOUT,
    )
    main, workers = [], []
    more: dict[str, list] = {name: [] for name in others}
    while True:
        at = time.monotonic() - begun
        main.append((at, _memory(process.pid)))
        workers.append((at, sum(map(_memory, _below(process.pid)))))
        for name, pids in others.items():
            all_ = [*pids, *(p for pid in pids for p in _below(pid))]
            more[name].append((at, sum(map(_memory, all_))))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(EVERY_SECONDS)
    if status:
        said.seek(0)
        raise SystemExit(f"posepile {' '.join(words)} failed:\n{said.read().decode()}")
    cpu = sum(_seconds(pid) for pids in others.values() for pid in pids) - before
    return {
        **more,
        "wall": time.monotonic() - begun,
        "cpu": cpu + usage.ru_utime + usage.ru_stime,
        "main": [s for s in main if s[1]],
        "workers": [s for s in workers if s[1]],
    }


def _growth(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """MB in the middle of the time, and how much more the line through what follows reaches."""
    end = samples[-1][0]
    later = [(t, m) for t, m in samples if end / 2 <= t <= 0.98 * end]  # ended ones free memory
    slope, at = statistics.linear_regression(*zip(*later, strict=True))
    return at + slope * end / 2, slope * end / 2


def _memory(pid: int) -> float:
    """MB of memory that a process has for itself, 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("RssAnon")) / 1024
    except OSError:
        return 0.0


def _seconds(pid: int) -> float:
    """Processor seconds of a process and of those it has started, ended ones as well."""
    total = 0.0
    for p in (pid, *_below(pid)):
        try:
            with open(f"/proc/{p}/stat") as f:
                total += sum(map(int, f.read().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return total / os.sysconf("SC_CLK_TCK")


def _below(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found = [pid]
    for p in found:
        try:
            for thread in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{thread}/children") as f:
                    found += map(int, f.read().split())
        except OSError:
            continue
    return found[1:]


if __name__ == "__main__":
    main()

"""What a unit, a process and the packing step ask of a file system, counted with strace.

    python benchmarks/cluster_costs.py [--out costs.json]

A made-up dataset of tiny units is run in two sizes; what grows with the number of units is what a
unit costs, the rest is what a process costs. Operations are counted where they would go to a
server if the data lay on one: a path that is opened, asked for, made, renamed; a lock; a flush.
``benchmarks/cluster_model.py`` reads the result and computes what a thousand nodes do to a server.
Needs strace (Debian package of that name). The figures of time are this machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from units import make_recipe, set_size

SIZES = 40, 240

# What the file server sees of a system call; what is missing here it does not see.
KINDS = {
    **dict.fromkeys(("open", "openat", "creat"), "open"),
    **dict.fromkeys(("stat", "lstat", "newfstatat", "statx", "access", "faccessat2"), "stat"),
    **dict.fromkeys(("readlink", "readlinkat", "faccessat"), "stat"),
    **dict.fromkeys(("mkdir", "mkdirat"), "mkdir"),
    **dict.fromkeys(("rename", "renameat", "renameat2"), "rename"),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(("link", "linkat"), "link"),
    **dict.fromkeys(("fsync", "fdatasync", "sync_file_range"), "sync"),
    **dict.fromkeys(("getdents", "getdents64"), "list"),
    **{"flock": "lock", "close": "close"},
    **dict.fromkeys(("read", "pread64", "readv", "copy_file_range"), "read"),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev"), "write"),
    "ftruncate": "truncate",
}
# Reads and writes go to servers of data, all else to the one of metadata.
OF_DATA = ("read", "write", "sync")

_CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
_RESULT = re.compile(r"= (-?\d+)")


def main():
    """Counts, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON for cluster_model.py")
    args = parser.parse_args()
    if shutil.which("strace") is None:
        raise SystemExit("strace: not found; install the package of that name")
    with tempfile.TemporaryDirectory() as folder:
        costs = {"calls": count_calls(Path(folder)), "seconds": measure_times(Path(folder))}
    text = json.dumps(costs, indent=1, sort_keys=True)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


# ---------------------------------------------------------------- system calls


def count_calls(folder: Path) -> dict[str, dict]:
    """Returns for each step what a process asks of a file system, and what each unit adds.

    Returns:
        Step -> ``process`` and ``unit`` -> where (``work``, ``raw``, ``archive``, ``code``) ->
        kind of operation -> number; ``bytes_read`` and ``bytes_written`` beside the kinds.
    """
    make_recipe(folder)
    data, found = folder / "data", {}
    run(folder, 2, "process")  # compiles what is compiled once
    for n in SIZES:
        shutil.rmtree(data / "tiny_work", ignore_errors=True)
        for file in data.glob("tiny.barecat*"):
            file.unlink()
        for step, arguments in STEPS.items():
            found[step, n] = run(folder, n, *arguments)
    few, many = SIZES
    result = {}
    for step in STEPS:
        unit, process = {}, {}
        for place in ("work", "raw", "archive", "code"):
            a, b = found[step, few][place], found[step, many][place]
            slope = {kind: (b[kind] - a[kind]) / (many - few) for kind in sorted({*a, *b})}
            unit[place] = {k: round(v, 2) for k, v in slope.items() if abs(v) > 0.02}
            process[place] = {k: max(0, round(a[k] - few * slope[k])) for k in slope}
        result[step] = {"unit": unit, "process": process}
    return result


STEPS = {
    "list": ("process", "--dry-run"),
    "process": ("process",),
    "rerun": ("process",),
    "share": ("process", "--dry-run", "--shard", "0/1000000"),
    "pack": ("pack",),
    "status": ("status",),
}


def run(folder: Path, n: int, step: str, *options: str) -> dict[str, Counter]:
    """Returns the operations of one command, by place and kind."""
    set_size(folder / "data", n)
    command = [sys.executable, "-m", "posepile", "step", "tiny", step, *options]
    command += ["--jobs", "1", "--quiet"] if "--shard" not in options else ["--quiet"]
    if step == "status":
        command = [sys.executable, "-m", "posepile", "status", "tiny"]
    trace = folder / "trace"
    strace = ["strace", "-f", "-qq", "-y", "-s", "0", "-e", "trace=%file,%desc", "-o", str(trace)]
    done = subprocess.run([*strace, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return operations(trace, folder / "data")


def operations(trace: Path, data: Path) -> dict[str, Counter]:
    """Returns what strace wrote down, by place and kind."""
    places = {
        "work": f"{data}/tiny_work",
        "archive": f"{data}/",
        "raw": f"{data}/tiny/",
    }
    found = {place: Counter() for place in (*places, "code")}
    code = tuple(f"{p}/" for p in (sys.prefix, sys.base_prefix, Path(__file__).parents[1], "/usr"))
    with open(trace, errors="replace") as f:
        for line in f:
            match = _CALL.match(line)
            if match is None or "unfinished ..." in line:
                continue  # the rest of the call comes as "resumed", in a line of its own
            call, rest = match.groups()
            kind = KINDS.get(call)
            if call == "fcntl" and "F_SETLK" in rest:
                kind = "lock"
            path = _path(rest)
            if kind is None or path is None:
                continue
            place = next((k for k in ("work", "raw", "archive") if path.startswith(places[k])), "")
            if not place and path.startswith(code):
                place = "code"
            if not place:
                continue
            if kind == "open" and "O_CREAT" in rest and "= -1" not in rest:
                kind = "create"
            found[place][kind] += 1
            result = _RESULT.search(rest[rest.rfind("=") - 1 :])
            if kind in ("read", "write") and result and int(result[1]) > 0:
                found[place]["bytes_read" if kind == "read" else "bytes_written"] += int(result[1])
    return found


def _path(rest: str) -> str | None:
    quoted = re.search(r'"(/[^"]*)"', rest)
    if quoted:
        return quoted[1]
    open_file = re.search(r"\d+<(/[^>]*)>", rest)
    return open_file[1] if open_file else None


# ---------------------------------------------------------------- times


def measure_times(folder: Path) -> dict[str, float]:
    """Returns what this machine's processor needs, in seconds."""
    return {
        **dict(lock_times(folder / "locks")),
        **dict(unit_lock_times(folder)),
        **caller_seconds(folder),
        **{"head of a part": head_seconds(folder)},
        **{"row of an index": index_seconds(folder)},
        **{"Dask, a task": 1 / dask_rate(16, 0.0)},
    }


def lock_times(path: Path) -> Iterator[tuple[str, float]]:
    """Yields the time of a lock, by how many are held."""
    for held in (0, 1000, 8000, 64000):
        with holding(path, held=held):
            yield f"lock, {held} held", lock_seconds(path, held)


def unit_lock_times(folder: Path) -> Iterator[tuple[str, float]]:
    """Yields the time of a unit's lock, in one of 256 files, by how many are held, and a lease."""
    from posepile.run.results import unit_lock

    def seconds(work: Path, n: int = 2000) -> float:
        start = time.process_time()
        for i in range(n):
            with unit_lock(work, f"take{i:05d}", wait=False):
                pass
        return (time.process_time() - start) / n

    files = [folder / "system" / "locks" / f".lock-{i:02x}" for i in range(256)]
    files[0].parent.mkdir(parents=True)
    for held in (0, 64000):
        with holding(*files, held=held):
            yield f"unit locked, {held} held", seconds(folder / "system")
    os.environ["POSEPILE_LOCKS"] = "leases"
    yield "unit leased", seconds(folder / "leases")
    del os.environ["POSEPILE_LOCKS"]


def lock_seconds(path: Path, held: int, *, last: bool = False) -> float:
    """Returns the time of taking and giving up a byte of a file of which others are held.

    Args:
        path: The file.
        held: Number of bytes that are held.
        last: Take one behind all others, not one anywhere among them.
    """
    fd, n = os.open(path, os.O_RDWR), 300
    start = time.process_time()
    for i in range(n):
        place = 4 * (held if last else i * max(1, held) // n) + 2
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, place)
    seconds = (time.process_time() - start) / n
    os.close(fd)
    return seconds


def caller_seconds(folder: Path) -> dict[str, float]:
    """Returns what the process that hands out units does with each outcome."""
    import pickle

    from posepile.progress import Progress
    from posepile.run.journal import Journal
    from posepile.run.process import _write_down
    from posepile.run.unit import Outcome
    from posepile.stages.counts import Counts

    outcome = Outcome("take00001/02", {"crop": "done"})
    outcome.counts.examples = 40
    n, total, packed = 5000, Counts(), pickle.dumps(outcome, -1)
    with Journal(folder / "journal") as journal, Progress("x", n, quiet=True) as bar:
        start = time.process_time()
        for _ in range(n):
            outcome = pickle.loads(packed)
            _write_down(journal, outcome)
            bar.update(1, "40 examples")
            total.add(outcome.counts)
        seconds = (time.process_time() - start) / n
    return {"caller, a unit": seconds}


def head_seconds(folder: Path) -> float:
    """Returns the processor time of reading the head of a part, which planning and packing do."""
    from posepile.store.parts import read_header

    paths = sorted((folder / "data" / "tiny_work" / "parts").rglob("*.part"))
    start = time.process_time()
    for path in paths:
        read_header(path)
    return (time.process_time() - start) / len(paths)


def index_seconds(folder: Path) -> float:
    """Returns the time of one row of an archive's index."""
    from posepile.store.index import IndexWriter

    n = 200_000
    start = time.process_time()
    with IndexWriter(folder / "index") as index:
        for first in range(0, n, 1000):
            rows = range(first, first + 1000)
            index.add([(f"t/take{i // 100:06d}/{i:08d}.jpg", 0, 9 * i, 9, i) for i in rows])
        index.close(lambda shard, offset: "")
    return (time.process_time() - start) / n


def dask_rate(threads: int, seconds: float, n: int = 1500) -> float:
    """Returns how many tasks a second a Dask scheduler gets done by workers that only sleep."""
    from distributed import Client, LocalCluster, as_completed

    options = {"processes": True, "dashboard_address": ":0", "host": "127.0.0.1"}
    with (
        LocalCluster(n_workers=1, threads_per_worker=threads, **options) as cluster,
        Client(cluster) as client,
    ):
        ahead, start = 2 * threads, time.perf_counter()
        n = n if seconds == 0 else 15 * threads
        first = [client.submit(time.sleep, seconds, pure=False) for _ in range(ahead)]
        waiting = as_completed(first)
        for given, future in enumerate(waiting, ahead):
            future.result()
            if given < n:
                waiting.add(client.submit(time.sleep, seconds, pure=False))
        return n / (time.perf_counter() - start)


def lock_rate(path: Path, processes: int, held: int, pause: float, seconds: float = 2.0) -> float:
    """Returns how often a second processes take a byte of one file, with pauses in between."""
    children = []
    for number in range(processes):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            fd, n, end = os.open(path, os.O_RDWR), 0, time.perf_counter() + seconds
            place = 4 * held + 2 + 4 * number  # the list is searched from its beginning
            while time.perf_counter() < end:
                fcntl.lockf(fd, fcntl.LOCK_EX, 1, place)
                fcntl.lockf(fd, fcntl.LOCK_UN, 1, place)
                n += 1
                time.sleep(pause)
            os.write(write, str(n).encode())
            os._exit(0)
        os.close(write)
        children.append((child, read))
    total = 0
    for child, read in children:
        total += int(os.read(read, 99))
        os.waitpid(child, 0)
        os.close(read)
    return total / seconds


@contextlib.contextmanager
def holding(*paths: Path, held: int):
    """Another process holds so many bytes of files meanwhile."""
    for path in paths:
        path.touch()
    ready = os.pipe()
    child = os.fork()
    if not child:
        files = [os.open(path, os.O_RDWR) for path in paths]
        for i in range(held):
            fcntl.lockf(files[i % len(files)], fcntl.LOCK_EX, 1, 4 * (i // len(files)))
        os.write(ready[1], b"x")
        signal.pause()
        os._exit(0)
    try:
        os.read(ready[0], 1)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for end in ready:
            os.close(end)


if __name__ == "__main__":
    main()

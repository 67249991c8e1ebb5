"""What happens on a Dask worker: units are handed on to a child process like those of a local run.

A unit that crashes, hangs or takes too much memory costs that child alone, never the Dask worker.
All threads of the Dask worker share the children, which one server forks
(:mod:`posepile.run.clusters.crew`); they are kept for the next units of the same run.
Nothing of the recipe is imported in the Dask worker itself: functions, tasks and results pass
through it as bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posepile.acquire.credentials import clean_environment
from posepile.errors import PosePileError, Shortage
from posepile.run.clusters.crew import Crew, Stopped
from posepile.run.clusters.same_code import differing
from posepile.run.pool import Limits, Pool
from posepile.run.worker import Lost, machine_memory, thread_environment
from posepile.shortage import LEAST

LAST_SECONDS = 3.0  # children that are at work may take to be ended

OURS = ("DATA_ROOT", "CACHE_DIR")  # and what begins with POSEPILE_: as the caller has it
DATASETS = "POSEPILE_DATASETS"  # several folders
FOLDERS = {*OURS, DATASETS, "POSEPILE_MODELS", "POSEPILE_OBJECT_CACHE"}


@dataclass(frozen=True)
class Setup:
    """What a Dask worker is told once per run; it lies in a file of the shared work folder.

    Attributes:
        work: Pickled (function, initialize) of the children: bytes in, bytes out.
        preload: Pickled function to call before children are forked.
        limits: What one unit may take; without a limit of memory it is the share of its thread.
        environment: Variables of the caller that say where data are.
        code: Versions and digests of the caller's code.
        code_folders: Further folders with code.
        folders: Folders that must be there.
        keys: Names of the worker's own variables that children get besides, see ``Shared``.
        run: A word of this run alone.
    """

    work: bytes
    preload: bytes | None
    limits: Limits
    environment: Mapping[str, str]
    code: Mapping[str, str]
    code_folders: tuple[Path, ...]
    folders: tuple[Path, ...]
    run: str
    keys: tuple[str, ...] = ()


def in_bytes(function: Any, data: bytes) -> bytes:
    """Calls a function with a pickled task and returns its result pickled; in a child."""
    return pickle.dumps(function(pickle.loads(data)), -1)


def environment_to_hand_over() -> dict[str, str]:
    """Returns the variables that say where data are and how work is done; nobody's passwords.

    Folders are absolute in it, as a Dask worker is at work in another one.
    """
    found = {k: v for k, v in clean_environment(network=False).items() if _is_ours(k)}
    for name in FOLDERS & found.keys():
        folders = found[name].split(os.pathsep if name == DATASETS else "\0")
        found[name] = os.pathsep.join(os.path.abspath(f) for f in folders if f)
    return found


def _is_ours(name: str) -> bool:
    return name in OURS or name.startswith("POSEPILE_")


# ---------------------------------------------------------------- called by Dask


# As text, it means the same to a scheduler or a worker without PosePile or of another Python: Dask
# ends a worker that cannot read its task, and then gives up the task.
_CALL = """
try:
    from posepile.run.clusters.on_worker import do_units
except Exception as e:
    from distributed import get_worker
    answer = get_worker().address, f"{type(e).__name__}: {e}"
else:
    answer = do_units(*given)
"""


def submitted(
    path: str, digest: str, tasks: list[bytes], seconds: float
) -> tuple[Callable, str, dict[str, Any]]:
    """Returns what Dask is to call, and with what; arguments are those of :func:`do_units`.

    The call returns :class:`Done`, or the worker's address and why it cannot import PosePile.
    """
    return eval, "exec(code) or answer", {"code": _CALL, "given": (path, digest, tasks, seconds)}


@dataclass(frozen=True)
class Done:
    """What a Dask worker has done of a batch of tasks.

    Attributes:
        results: Pickled results of the first tasks, or what became of them. After a ``shortage``,
            which is this machine's, there is none.
        seconds: How long they took.
        worker: Address of the worker.
        refusal: Why it cannot work for the run, or not any more; None if it can.
        end: Why the run cannot go on, e.g. as no children can be started; None if it can.
    """

    results: list[bytes | Lost]
    seconds: float
    worker: str
    refusal: str | None
    end: str | None


def do_units(path: str, digest: str, tasks: list[bytes], seconds: float) -> Done:
    """Does units, one after the other, until they have taken long enough.

    Args:
        path: The file with the :class:`Setup`.
        digest: Of that file.
        tasks: Pickled tasks.
        seconds: No further unit is begun after so many.
    """
    from distributed import get_worker

    begun = time.monotonic()
    results: list[bytes | Lost] = []
    refusal = end = None
    try:
        seat = _seat(path, digest)
        for data in tasks:
            if seat.refusal or (results and time.monotonic() - begun >= seconds):
                break
            results.append(seat.do(data))
        refusal = seat.refusal
    except Stopped:
        end = "the run has ended"
    except PosePileError as e:
        end = f"on {platform.node()}: {e}"
    return Done(results, time.monotonic() - begun, get_worker().address, refusal, end)


def refusal(path: str, digest: str) -> str | None:
    """Returns why this worker cannot work for a run, None if it can."""
    return _seat(path, digest).refusal


async def stop(digest: str) -> None:
    """Ends the children of a run."""
    with _lock:
        _ended.append(digest)
        seat = _seats.pop(digest, None)
    if seat is not None:
        seat.crew.stop()
        deadline = time.monotonic() + LAST_SECONDS
        while seat.crew.at_work and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


# ---------------------------------------------------------------- one run on this worker


_seats: dict[str, _Seat] = {}
_ended: deque[str] = deque(maxlen=1000)  # runs whose last units may still be on their way here
_lock = threading.Lock()


def _seat(path: str, digest: str) -> _Seat:
    with _lock:
        seat = _seats.get(digest)
        if digest in _ended:
            raise Stopped
        if seat is None:
            seat = _Seat(path, digest)
            if not seat.refusal:  # what was refused may be mended meanwhile
                _seats[digest] = seat
        return seat


class _Seat:
    def __init__(self, path: str, digest: str):
        self.threads, self.share = 1, LEAST
        self.crew = Crew(self._begin)
        self.refusal = self._read(path, digest)

    def _read(self, path: str, digest: str) -> str | None:
        """Takes the setup; returns why this worker is of no use for it."""
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError as e:
            return f"{path}: {e.strerror}; expected the disk of the run to be mounted there"
        if hashlib.sha256(data).hexdigest() != digest:
            return (
                f"{path}: is another file here; expected the disk of the run to be mounted there"
            )
        # Made by the very run that has handed over the digest; nobody else's file gets here.
        setup = self.setup = pickle.loads(data)
        for folder in setup.folders:
            if not os.path.isdir(folder):
                return f"{folder}: no such folder here; expected the same as where the run is"
        different = differing(setup.code, setup.code_folders)
        hint = "install there what the run itself uses, or start that worker anew"
        return f"{different}; {hint}" if different else None

    def do(self, data: bytes) -> bytes | Lost:
        """Returns the result of a task in bytes, or what became of it; blocks its thread."""
        self._measure()
        try:
            result = self.crew.ask(data)
        except Shortage as e:
            result = Lost("shortage", str(e))
        if isinstance(result, Lost) and result.kind == "shortage":
            result = replace(result, reason=f"on {platform.node()}: {result.reason}")
            self.refusal = result.reason  # what lacks one unit lacks the next one
        return result

    def _measure(self) -> None:
        """Takes note of what each thread of this Dask worker may use."""
        from distributed import get_worker

        worker = get_worker()
        whole = worker.memory_manager.memory_limit or machine_memory()
        self.threads = max(1, worker.state.nthreads)
        self.share = int(max(LEAST, whole / self.threads))

    def _begin(self, tasks: Iterator, tick: Callable[[int], None], wake: int) -> Pool:
        setup = self.setup
        limits = Limits(setup.limits.memory_bytes or self.share, setup.limits.stall_seconds)
        keys = setup.keys
        clean = clean_environment(keys, network=bool(keys))
        own = {k: v for k, v in clean.items() if not _is_ours(k)}
        environment = own | thread_environment(1) | dict(setup.environment)
        words = pickle.dumps((setup.work, limits.memory_bytes), -1)
        pool = Pool(words, tasks, self.threads, limits, tick, wake=wake)
        try:
            pool.start_server(environment, setup.preload)
        except BaseException:
            pool.end()
            raise
        return pool

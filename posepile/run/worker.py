"""The side of :mod:`posepile.run.executor` that runs in other processes.

Two kinds of process: the *server* imports the heavy modules once and then forks a worker whenever
it is asked to; a *worker* calls one function on one task after the other. The server stays single
threaded, so that a fork copies no lock that another thread holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import mmap
import os
import pickle
import platform
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import PurePosixPath
from typing import Any, Literal

from posepile.shortage import promise, shortage_behind, vm_bytes

REQUEST = struct.Struct("<i")  # to the server: start the worker of this number (+ three files)
NOTICE = struct.Struct("<iii")  # from the server: number, process id, wait status
STARTED = -1  # in place of a wait status
TRACE_SIGNAL = signal.SIGUSR1  # asks a worker to write down where it is
N_FILES = 3  # handed to each worker: its channel, its log, its pulse
LAST_SECONDS = 5.0  # how long the server waits for killed workers that a dead disk holds back

_pulse: Any = [0]  # in a worker: a counter in memory that the run sees too


@dataclass(frozen=True)
class Lost:
    """What became of a task that has no result.

    Attributes:
        kind: ``died`` (its worker process ended), ``stalled`` (no progress for too long),
            ``memory`` (needed too much), ``exception`` (the function raised) or ``shortage`` (the
            machine lacked something, which is not the task's fault).
        reason: The same as part of a sentence, with figures.
        trace: Where the worker was, and what it had written to stderr, as far as known.
        host: The machine of whoever noticed, which is the worker's.
    """

    kind: Literal["died", "stalled", "memory", "exception", "shortage"]
    reason: str
    trace: str | None = None
    host: str = field(default_factory=platform.node)


def progress() -> None:
    """Says that the task at hand is alive. Cheap: 0.1 us; does nothing outside of a worker."""
    _pulse[0] += 1


def attempt(function: Callable, task: Any, memory_bytes: int | None = None) -> Any:
    """Returns the function's result for a task, or :class:`Lost` if it raised."""
    try:
        return function(task)
    except (Exception, SystemExit) as e:
        lack = shortage_behind(e, in_doubt=True)
        if lack is not None:
            return Lost("shortage", lack, traceback.format_exc())
        if isinstance(e, MemoryError):
            return Lost("memory", too_much(memory_bytes), traceback.format_exc())
        reason = f"unexpected {type(e).__name__}: {e}".removesuffix(": ")
        return Lost("exception", reason, traceback.format_exc())


def too_much(memory_bytes: int | None) -> str:
    """Returns the reason of a task that needed more memory than it may."""
    if memory_bytes is None:
        return "needed more memory than there is"
    return f"needed more than {memory_bytes / 1e9:.1f} GB of memory"


def thread_environment(threads: int) -> dict[str, str]:
    """Returns environment variables that keep the libraries to so many threads."""
    names = ("OMP", "MKL", "BLIS", "NUMEXPR", "NUMBA")
    return {
        **{f"{name}_NUM_THREADS": str(threads) for name in names},
        "OPENCV_FOR_THREADS_NUM": str(threads),
        "VECLIB_MAXIMUM_THREADS": str(threads),
        # Starts its threads when it is imported, hence before the fork.
        "OPENBLAS_NUM_THREADS": "1",
    }


# ---------------------------------------------------------------- memory


def machine_memory() -> float:
    """Returns how many bytes of memory there are, of the machine or of the batch job."""
    found = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min([found, *memory_of_groups(), *memory_of_job(os.environ)])


def memory_of_groups(root: str = "/") -> Iterator[int]:
    """Yields the limits of the control groups of this process, of the old and the new kind.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    groups = {"": "/", "memory": "/"}
    with contextlib.suppress(OSError), open(PurePosixPath(root, "proc/self/cgroup")) as f:
        for line in f:
            _, kinds, group = line.rstrip("\n").split(":", 2)
            groups |= {kind: group for kind in kinds.split(",") if kind in groups}
    places = {"": ("sys/fs/cgroup", "memory.max")}
    places["memory"] = ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    for kind, (folder, name) in places.items():
        group = PurePosixPath(groups[kind])
        # A limit above holds as well. In a container the path may begin outside of what is seen.
        for part in (group, *group.parents):
            file = PurePosixPath(root, folder, str(part).lstrip("/"), name)
            with contextlib.suppress(OSError, ValueError), open(file) as f:  # "max" = no limit
                yield int(f.read())


def memory_of_job(variables: Mapping[str, str]) -> Iterator[int]:
    """Yields what Slurm says that its job may take on this machine; it may keep to it or not."""
    for name, count in (("SLURM_MEM_PER_NODE", None), ("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")):
        with contextlib.suppress(KeyError, ValueError):
            megabytes = int(variables[name]) * (int(variables[count]) if count else 1)
            if megabytes > 0:  # 0 = all of the machine
                yield megabytes * 2**20


def memory_of(pid: int) -> int:
    """Returns the bytes of memory that a process and its descendants occupy.

    Pages of mapped files do not count: the system takes them back when it needs room.
    """
    if sys.platform != "linux":
        return _memory_by_psutil(pid)
    total = 0
    pids = [pid]
    for p in pids:  # grows on the way
        with contextlib.suppress(OSError):  # ended meanwhile
            total += _own_memory(p)
            for thread in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{thread}/children") as f:
                    pids += map(int, f.read().split())
    return total


def _own_memory(pid: int) -> int:
    with open(f"/proc/{pid}/status", "rb") as f:
        lines = f.read().splitlines()
    kinds = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kinds))


def _memory_by_psutil(pid: int) -> int:
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for p in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += p.memory_info().rss
    return total


# ---------------------------------------------------------------- the server


def serve(control_fd: int, preload: str) -> None:
    """Forks workers on request until the other end of the socket closes; then ends them all."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _ignore)
    with contextlib.suppress(OSError):  # Ctrl-C is for the run alone
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _preload(preload)
    gc.collect()
    gc.freeze()  # collections in the workers do not write into the shared pages
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    workers: dict[int, int] = {}  # process id -> number
    with socket.socket(fileno=control_fd) as control:
        while True:
            ready = wait([control, woken])  # any descriptor, where select ends at 1024
            if woken in ready:
                _tell_who_ended(woken, control, workers)
            if control in ready and not _start_one(control, (woken, wake), workers):
                break
    for pid in workers:
        kill_group(pid)
    deadline = time.monotonic() + LAST_SECONDS
    while workers and time.monotonic() < deadline:
        wait([woken], 0.1)
        _tell_who_ended(woken, None, workers)


def _ignore(number, frame) -> None:
    """In place of SIG_IGN, which programs that a task starts would inherit."""


def _preload(preload: str) -> None:
    if not preload:
        return
    with contextlib.suppress(ImportError):  # the task that needs it will say so
        pickle.loads(bytes.fromhex(preload))()
    if len(os.listdir("/proc/self/task")) > 1:
        # Threads were started. Begin again without, and leave the imports to the workers.
        os.execv(sys.executable, [*sys.orig_argv[:-1], ""])


def _tell_who_ended(woken: int, control: socket.socket | None, workers: dict[int, int]) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(woken, 4096)
    while workers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            break
        number = workers.pop(pid)
        if control is not None:
            with contextlib.suppress(OSError):  # the run has ended; the loop will see it
                control.sendall(NOTICE.pack(number, pid, status))


def _start_one(control: socket.socket, own: tuple[int, int], workers: dict[int, int]) -> bool:
    data, files, _, _ = socket.recv_fds(control, REQUEST.size, N_FILES)
    if not data:
        return False
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (*own, control.detach()):
                os.close(fd)
            os.dup2(files[1], 2)
            _work(server, *files)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    for fd in files:
        os.close(fd)
    (workers[pid],) = REQUEST.unpack(data)
    with contextlib.suppress(OSError):
        control.sendall(NOTICE.pack(workers[pid], pid, STARTED))
    return True


def kill_group(pid: int) -> None:
    """Ends a worker and the programs it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


# ---------------------------------------------------------------- a worker


def _work(server: int, channel_fd: int, log_fd: int, pulse_fd: int) -> None:
    global _pulse
    os.close(log_fd)
    with contextlib.suppress(OSError):  # a group of its own: ended with all that it has started
        os.setpgid(0, 0)
    end_with_parent(server)
    faulthandler.enable(2)
    faulthandler.register(TRACE_SIGNAL, 2, chain=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _pulse = memoryview(mmap.mmap(pulse_fd, 8)).cast("Q")
    os.close(pulse_fd)
    channel = Connection(channel_fd)
    work, memory_bytes = pickle.loads(channel.recv_bytes())
    function, initialize = pickle.loads(work)
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    if initialize is not None:
        initialize()
    channel.send_bytes(b"")  # ready
    is_worn_out = _wear(memory_bytes)
    while True:
        try:
            data = channel.recv_bytes()
        except (EOFError, OSError):  # the run has ended
            return
        result = attempt(lambda data: function(pickle.loads(data)), data, memory_bytes)
        worn_out = is_worn_out(result)
        try:
            answer = pickle.dumps((result, worn_out), -1)
        except Exception as e:
            reason = f"its result cannot be handed over: {type(e).__name__}: {e}"
            answer = pickle.dumps((Lost("exception", reason, None), worn_out), -1)
        sys.stdout.flush()
        channel.send_bytes(answer)


def end_with_parent(parent: int) -> None:
    """Has the kernel end this process with its parent, and choose it when memory runs out.

    Args:
        parent: Number of the process that forked this one, which may have ended since.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # before the kernel was asked: it will tell nothing
            os.kill(os.getpid(), signal.SIGKILL)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as f:
            f.write("500")


def _limit_memory(memory_bytes: int) -> None:
    """Refuses a task the memory that it could fill before anybody looks.

    Twice the limit: what is reserved need not be used. The exact limit is kept by the run, which
    looks some times a second at what is in use.
    """
    now = vm_bytes("VmData")
    promise(memory_bytes, now)
    limit_data(now + 2 * memory_bytes)


def limit_data(wanted: int) -> None:
    """Limits the bytes of data that this process can reserve, if that is less than it may now."""
    if sys.platform != "linux":  # elsewhere the system takes no notice
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or wanted < most:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def _wear(memory_bytes: int | None) -> Callable[[Any], bool]:
    """Returns a function that says, after a task, whether a fresh worker should do the next.

    What one task leaves in memory shall not be the fault of the next: a worker goes when it keeps
    over half of the limit, and half as much again as after its first task (loaded networks stay).
    """
    unit = 1024 if sys.platform == "linux" else 1
    at_first = None

    def is_worn_out(result) -> bool:
        nonlocal at_first
        if memory_bytes is None:
            return False
        if isinstance(result, Lost) and result.kind == "memory":
            return True
        if at_first is None:
            at_first = memory_of(os.getpid())
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < memory_bytes / 2:
            return False
        return memory_of(os.getpid()) > max(memory_bytes / 2, 1.5 * at_first)

    return is_worn_out

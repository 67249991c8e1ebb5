"""Calls a function in a process of its own, so that what ends that process ends nothing else.

Raw files are read by libraries written in C: a file on which one crashes costs a unit its worker.
What reads raw files outside of units (listing, calibration, doctor, an evaluation) is called here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import pickle
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from posepile.errors import PosePileError, Shortage, WorkError
from posepile.progress import Progress
from posepile.run.ended import how_ended, shortage_by_end
from posepile.run.worker import end_with_parent, limit_data, machine_memory, too_much
from posepile.shortage import LEAST, vm_bytes

T = TypeVar("T")

_NOTE_BYTES = 4096
REDRAW_SECONDS = 0.5
_LAST_SECONDS = 5.0
# Files of Python and of the system, which no dataset consists of.
_CODE = (".py", ".pyc", ".so", ".pyd", ".nbi", ".nbc")
_SYSTEM = ("/proc/", "/sys/", "/dev/", sys.prefix + os.sep, sys.base_prefix + os.sep)


def call_apart(
    function: Callable[[], T], what: str, apart: bool = True, *, shown: bool = False
) -> T:
    """Returns what a function returns; it runs in a fork of this process.

    What it changes in memory is not seen here. It may take as much memory as the machine has, and
    all the time it needs: reading the annotations of a large dataset is no sign of damage. On
    systems where a fork does not serve libraries (macOS) it is simply called.

    >>> call_apart(lambda: 6 * 7, "multiplying")
    42

    Args:
        function: Its result can be pickled.
        what: What it does, for the message: ``listing aspset``.
        apart: False: it is simply called, as for a debugger.
        shown: Show meanwhile what is being done and since when; for what prints nothing itself.

    Raises:
        WorkError: The process ended before it was done; names the file that it had opened last.
        Shortage: It was killed, as the system does when memory runs out, or may have too little.
        BaseException: Whatever the function raised.
    """
    if not apart or sys.platform != "linux":
        return function()
    note = mmap.mmap(-1, _NOTE_BYTES)  # shared with the child
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    caller, pid = os.getpid(), os.fork()
    if not pid:
        _be_child(function, what, caller, theirs, note)
    os.close(theirs)
    try:
        with open(ours, "rb", buffering=0) as answers:
            answered = select.poll()  # any descriptor, where select.select ends at 1024
            answered.register(answers, select.POLLIN)
            with Progress(what, unit="", quiet=not shown) as progress:
                while not answered.poll(REDRAW_SECONDS * 1000):
                    progress.tick()
            data = answers.read()
        _, status = os.waitpid(pid, 0)
        pid = 0
    finally:
        if pid:  # interrupted
            _end(pid)
    if status or not data:  # also if it ended while it wrote its answer
        raise _end_in_words(status, what, bytes(note))
    is_error, value, trace = pickle.loads(data)
    if not is_error:
        return value
    if not isinstance(value, (PosePileError, SystemExit, KeyboardInterrupt)):
        value.__notes__ = [*getattr(value, "__notes__", ()), trace]
    raise value


def _be_child(
    function: Callable[[], object], what: str, caller: int, answers: int, note: mmap.mmap
) -> None:
    code = 1
    try:
        faulthandler.disable()  # one line says what happened
        end_with_parent(caller)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        sys.addaudithook(lambda event, args: _take_note(event, args, note))
        most = machine_memory()
        limit_data(int(vm_bytes("VmData") + most))
        try:
            answer = (False, _with_memory(function, what, most), None)
        except BaseException as e:
            answer = (True, e, traceback.format_exc())
        try:
            data = pickle.dumps(answer, -1)
        except Exception as e:
            problem = RuntimeError(f"{answer[1]!r:.200} cannot be handed over: {e}")
            data = pickle.dumps((True, problem, answer[2] or ""), -1)
        with open(answers, "wb") as f:
            f.write(data)
        code = 0
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _with_memory(function: Callable[[], T], what: str, memory_bytes: float) -> T:
    try:
        return function()
    except MemoryError:
        raise WorkError(f"{what}: {too_much(int(memory_bytes))}") from None


def _take_note(event: str, args: tuple, note: mmap.mmap) -> None:
    """Notes which file was opened last for reading."""
    if event != "open" or not isinstance(args[0], (str, bytes)):
        return
    mode, flags = args[1], args[2]
    writes = mode is not None and set("wax+") & set(mode)
    writes = writes or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR))
    path = os.fsdecode(args[0])
    if not writes and not path.endswith(_CODE) and not path.startswith(_SYSTEM):
        data = os.fsencode(path)[: _NOTE_BYTES - 1]
        note[: len(data) + 1] = data + b"\0"


def _end(pid: int) -> None:
    """Ends a child: lets it put its things away, but not for long."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _end_in_words(status: int, what: str, note: bytes) -> PosePileError:
    how = how_ended(status)
    lack = shortage_by_end(how, LEAST)
    if lack:
        return Shortage(f"{what}: the process {how}: {lack}")
    file = os.fsdecode(note.partition(b"\0")[0])
    if not file:
        return WorkError(f"{what}: the process {how}")
    return WorkError(
        f"{file}: {what} {how}, and this is the file that was opened last; "
        "fetch or extract it again, or list what needs it in exclusions.yaml"
    )

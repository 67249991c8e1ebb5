"""Compiles inner loops once per machine, before many processes need them at the same time.

Numba keeps what it has compiled in a cache on the disk, but every process that finds the cache
empty compiles for itself: a dozen seconds in each of a hundred workers. :func:`compile_once` calls
the functions that need compiling on tiny inputs under a lock, and then leaves a note beside the
cache, so that the next process knows without loading the compiler that nothing has to be done.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from posepile.files import locked, read_json, write_json

WAITING = "waiting for another process that compiles kernels"
# What numba's cache depends on besides the source files
_PACKAGES = ("numba", "llvmlite", "numpy", "deltacamera")
_VARIABLES = ("NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT")

_spent: list[float] = []  # seconds in which this process has compiled


def seconds_compiling() -> float:
    """Returns how long this process has compiled up to now."""
    return sum(_spent)


def compile_once(
    group: str,
    exercise: Callable[[], None],
    modules: tuple[str, ...],
    announce: Callable[[str], None] | None = None,
    seconds: int = 0,
    step: Callable[[str], None] | None = None,
) -> list[str]:
    """Makes sure that a group of functions is compiled in the cache on the disk.

    Args:
        group: Name of the group.
        exercise: Calls the functions with every combination of types that is in use.
        modules: Modules whose source files the compiled code or ``exercise`` depends on.
        announce: Is given a line to show before compiling begins, if anything must be compiled.
        seconds: About how long it takes, for that line.
        step: Is given the name of each function before it is compiled.

    Returns:
        Names of the functions that were compiled; empty if all were in the cache.
    """
    folder = note_folder()
    note = None if folder is None else folder / f"posepile-{group}-{_digest(modules)}.json"
    if _is_compiled(note):
        return []
    lock = contextlib.nullcontext() if note is None else _locked(note)
    with lock:
        if _is_compiled(note):  # another process did it while this one waited
            return []
        if announce is not None:
            announce(f"compiling {group} once ({seconds} s, longer on a busy machine) …")
        begun = time.monotonic()
        with listening(step) as events:
            exercise()
        _spent.append(time.monotonic() - begun)
        if note is not None:
            with contextlib.suppress(OSError):
                write_json(note, {"files": cache_files()})
    ours = {f"{e.__module__}.{e.__qualname__}" for e in events}
    return sorted(n for n in ours if not n.startswith("numba."))


@contextlib.contextmanager
def listening(step: Callable[[str], None] | None = None) -> Iterator[list]:
    """Yields a list that collects the Python function of everything compiled in the block.

    Args:
        step: Is given the name of each of them.
    """
    from numba.core import event

    functions: list = []

    class Listener(event.Listener):
        def on_start(self, event):
            function = event.data["dispatcher"].py_func
            functions.append(function)
            if step is not None:
                step(function.__name__)

        def on_end(self, event):
            pass

    with event.install_listener("numba:compile", Listener()):
        yield functions


def cache_files() -> list[str]:
    """Returns the cache files of the functions that this process has compiled or loaded."""
    from numba.core.dispatcher import Dispatcher

    found = set()
    for name, module in list(sys.modules.items()):
        if not name.startswith(("posepile.", "deltacamera.")) or module is None:
            continue
        for value in list(vars(module).values()):
            if isinstance(value, Dispatcher) and value.stats.cache_path and value.signatures:
                stem = Path(value.py_func.__code__.co_filename).stem
                pattern = f"{stem}.{value.py_func.__name__}-*.nb?"
                found.update(str(p) for p in Path(value.stats.cache_path).glob(pattern))
    return sorted(found)


def note_folder() -> Path | None:
    """Returns where notes lie: numba's own folder or the user's; None if none can be written."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = [Path(__file__).parent / "__pycache__", home / "posepile"]
    if os.environ.get("NUMBA_CACHE_DIR"):
        places = [Path(os.environ["NUMBA_CACHE_DIR"])]
    for place in places:
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            if os.access(place, os.W_OK):
                return place
    return None


def _is_compiled(note: Path | None) -> bool:
    content = None if note is None else read_json(note)
    return content is not None and all(os.path.exists(f) for f in content["files"])


def _locked(note: Path):
    return locked(note.with_suffix(".lock"), waiting=WAITING)


def _digest(modules: tuple[str, ...]) -> str:
    """Digest of everything that makes a cache useless when it changes."""
    sources = []
    for module in modules:
        path = importlib.util.find_spec(module).origin
        status = os.stat(path)
        sources.append([path, status.st_mtime_ns, status.st_size])
    state = [sources, _packages(), sys.version, _processor()]
    state += [os.environ.get(name) for name in _VARIABLES]
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=8).hexdigest()


@functools.cache
def _packages() -> list[str]:
    return [importlib.metadata.version(name) for name in _PACKAGES]


@functools.cache
def _processor() -> list[str]:
    """What kind of processor this is: machines of a cluster may share one cache folder."""
    lines = [os.uname().machine]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith(("model name", "flags", "Features")):
                lines.append(line.strip())
            elif not line.strip():  # the first processor stands for all
                break
    return lines

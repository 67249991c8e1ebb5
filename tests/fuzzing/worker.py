"""A worker process of the fuzzer: it reads damaged files and says what became of each."""

from __future__ import annotations

import faulthandler
import gc
import math
import os
import random
import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

from fuzzing.mutators import GENERIC
from fuzzing.target import Target
from posepile.errors import CorruptInput, PosePileError
from posepile.shortage import vm_bytes

OF_MEMORY = re.compile(
    r"MemoryError|Unable to allocate|Cannot allocate|bad_alloc|std::length_error"
)
LONGEST = 2000  # characters of a message


@dataclass(frozen=True)
class Limits:
    """What one input may take.

    Attributes:
        cpu_s: Seconds of the processor.
        wall_s: Seconds by the clock, for what waits.
        memory: Bytes of data beyond what the process has before.
    """

    cpu_s: int = 10
    wall_s: int = 60
    memory: int = 2**30


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        kind: ``read``, ``refused``, ``warned``, or a fault.
        detail: What tells it from others of its kind: the place of an error, or the message.
        beyond: Whether the reader got beyond its first check.
        cpu_s: Seconds of the processor.
    """

    kind: str
    detail: str
    beyond: bool
    cpu_s: float


def work(target: Target, world: Path, seed: int, numbers: range, limits: Limits, connection):
    """Sends (number, outcome) for each input; the first message says that samples are read."""
    _quiet(world)
    samples = _make_samples(target, world)
    for sample in samples:
        outcome = _judge(target, world, sample, sample.name, set(), count=False)
        if outcome.kind not in ("read", "warned"):
            connection.send(("broken", f"{sample.name}: {outcome.kind}: {outcome.detail}"))
            return
    _limit_memory(limits.memory)
    connection.send(("junk", None))
    known = _messages_of_junk(target, world, samples, limits)
    gc.collect()
    connection.send(("ready", None))
    for number in numbers:
        data, sample = damaged(target, samples, seed, number)
        _limit_cpu(limits.cpu_s)
        connection.send((number, _judge(target, world, data, sample.name, known)))
    connection.send(("end", None))


def damaged(target: Target, samples: list[Path], seed: int, number: int):
    """Returns the content of an input, which the seed and its number decide, and its sample.

    The content is the bytes of a file, or for a folder the bytes of each of its files.
    """
    rng = random.Random(f"{seed}/{target.name}/{number}")
    sample = samples[number % len(samples)]
    if sample.is_dir():
        files = {p.relative_to(sample): p.read_bytes() for p in _files_below(sample)}
        name = rng.choice(list(files))
        return files | {name: _mutated(target, files[name], rng)}, sample
    return _mutated(target, sample.read_bytes(), rng), sample


def _mutated(target: Target, data: bytes, rng: random.Random) -> bytes:
    before = data
    for _ in range(10):  # some mutators find nothing to change
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = rng.choice(target.mutators)(data, rng)
        if rng.random() < 0.1:
            data = rng.choice(GENERIC)(data, rng)
        if data != before:
            break
    return data


def _judge(target, world: Path, content, name: str, known: set[str], count=True) -> Outcome:
    """Lets the target read an input in a clean folder and looks at what it did."""
    output = world / "output"
    for folder in (output, world / "input"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    path = world / "input" / name
    _write(path, content)
    before, began = _state(world), time.process_time()
    kind, detail, message = "read", "", None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            target.use(path, output)
        except PosePileError as e:
            kind, message = "refused", str(e)
            detail = message
            if OF_MEMORY.search(message):
                kind, detail = "memory", _place(e)
            elif len(message.splitlines()) != 1 or len(message) > LONGEST:
                kind = "many lines"
        except MemoryError as e:
            kind, detail = "memory", _place(e)
        except (Exception, SystemExit) as e:
            kind = "memory" if OF_MEMORY.search(str(e)) else "traceback"
            detail = _place(e)
    cpu_s = time.process_time() - began
    if kind == "read" and warned:
        kind, detail = "warned", str(warned[0].message)
    if changed := _difference(before, _state(world)):
        kind, detail = "outside", changed
    if left := sorted(os.listdir(world / "tmp")):
        kind, detail = "leftover", _plain(left[0])
        shutil.rmtree(world / "tmp")
        (world / "tmp").mkdir()
    beyond = kind != "refused" or _plain(message.replace(str(world), "")) not in known
    beyond = beyond or (count and _is_format(target, path))
    return Outcome(kind, detail, beyond, cpu_s)


def _is_format(target: Target, path: Path) -> bool:
    try:
        return target.is_format is not None and target.is_format(path)
    except Exception:  # so it is not
        return False


def _messages_of_junk(target: Target, world: Path, samples: list[Path], limits) -> set[str]:
    """What the reader says to files that are not of its format at all.

    Who hears something else has come beyond the first check.
    """
    rng, said = random.Random(0), set()
    for sample in samples:
        files = _files_below(sample) if sample.is_dir() else [sample]
        for file in files:
            head = file.read_bytes()[:8]
            for junk in (b"", bytes(600), rng.randbytes(600), b"no such format\n" * 40, head):
                content = junk
                if sample.is_dir():
                    content = {p.relative_to(sample): p.read_bytes() for p in files}
                    content[file.relative_to(sample)] = junk
                _limit_cpu(limits.cpu_s)
                found = _judge(target, world, content, sample.name, set())
                if found.kind == "refused":
                    said.add(_plain(found.detail.replace(str(world), "")))
    return said


def _plain(message: str) -> str:
    """A message without numbers and what it quotes, so that those of one check are the same."""
    message = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message)
    return re.sub(r"[-+.\d]*\d[\d.e+-]*", "#", message)


def _place(error: BaseException) -> str:
    """Type of an error and the last line of the package on its way."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/posepile/" in f.filename] or frames[-1:]
    file = own[-1].filename.rpartition("/posepile/")[2]
    reason = error.reason if isinstance(error, CorruptInput) else str(error)
    text = _plain(" ".join(reason.split()))[:80]
    return f"{type(error).__name__} at {file}:{own[-1].lineno} {own[-1].name}: {text}"


# ---------------------------------------------------------------- the world around a target


def make_world(world: Path) -> None:
    """Makes the folders of a worker: for what is damaged, for what is written, and others."""
    for name in ("samples", "input", "output", "tmp", "home"):
        (world / name).mkdir(parents=True)
    (world / "canary.txt").write_text("This must stay.\n")


def _make_samples(target: Target, world: Path) -> list[Path]:
    shutil.rmtree(world / "samples", ignore_errors=True)
    (world / "samples").mkdir()
    return [Path(p) for p in target.samples(world / "samples")]


def _files_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _write(path: Path, content) -> None:
    if isinstance(content, Path):
        copy = shutil.copytree if content.is_dir() else shutil.copyfile
        copy(content, path)
    elif isinstance(content, dict):
        for name, data in content.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    else:
        path.write_bytes(content)


def _state(world: Path) -> dict[str, tuple]:
    """Everything around the output, with what would show that it was touched."""
    found = {}
    for folder, folders, files in os.walk(world):
        if folder == str(world):
            folders[:] = sorted(set(folders) - {"output", "tmp", "samples"})
        for name in sorted({*folders, *files} - {".said"}):  # libraries may print
            path = os.path.join(folder, name)
            is_folder = name in folders
            stat = os.lstat(path)
            found[path] = is_folder or (stat.st_size, stat.st_mtime_ns, stat.st_mode)
    return found


def _difference(before: dict, after: dict) -> str:
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            how = "new" if path not in before else "gone" if path not in after else "changed"
            return f"{how}: {os.path.basename(path)[:80]!r}"
    return ""


def _quiet(world: Path) -> None:
    """No core files, no output, and temporary files where they are seen."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    said = os.open(world / ".said", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for fd, target in ((0, null), (1, null), (2, said)):
        os.dup2(target, fd)
    os.environ |= {"TMPDIR": str(world / "tmp"), "HOME": str(world / "home")}
    tempfile.tempdir = None
    os.chdir(world)


def _limit_cpu(seconds: int) -> None:
    """The kernel ends the process after these seconds, whatever it is doing."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


def _limit_memory(more: int) -> None:
    # The soft limit of data: too little address space is a lack of the machine.
    now, (_, hard) = vm_bytes("VmData"), resource.getrlimit(resource.RLIMIT_DATA)
    if now:  # where there is no /proc, there is no limit
        resource.setrlimit(resource.RLIMIT_DATA, (now + more, hard))

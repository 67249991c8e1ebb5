"""Reads thousands of damaged files with everything that reads files of others.

``python tests/fuzzing/run.py [TARGET...] [--inputs N] [--seed S] [--jobs J] [--keep FOLDER]``

Exit code 1 if there is a fault. A target is one reader as the pipeline calls it; it is named in a
module ``targets_*.py`` here.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

HERE = Path(__file__).resolve().parent
for _folder in (HERE.parent.parent, HERE.parent):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from fuzzing import worker  # noqa: E402
from fuzzing.target import Target  # noqa: E402
from fuzzing.worker import Limits, Outcome  # noqa: E402

GOOD = ("read", "refused", "warned")
FAULTS = ("traceback", "many lines", "hang", "memory", "crash", "outside", "leftover")
STOPS = ("hang", "memory", "crash")  # what only stops one unit where a child process reads
CHUNK = 250  # inputs of one process
START_S = 300  # by the clock, until samples are made


@dataclass
class Result:
    """What became of all inputs of a target.

    Attributes:
        outcomes: Kind -> how many.
        faults: (kind, detail) -> numbers of the inputs.
        n_beyond: Inputs that came beyond the first check of the reader.
        cpu_s: Seconds of the processor, those of processes that died included.
        broken: Why the target could not be tried at all; empty if it was.
    """

    outcomes: Counter = field(default_factory=Counter)
    faults: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    n_beyond: int = 0
    cpu_s: float = 0.0
    broken: str = ""

    def add(self, number: int, outcome: Outcome) -> None:
        self.outcomes[outcome.kind] += 1
        self.n_beyond += outcome.beyond
        if outcome.kind not in GOOD:
            self.faults.setdefault((outcome.kind, outcome.detail), []).append(number)


def all_targets() -> list[Target]:
    """Returns the targets of all modules here, in order of module and place in it."""
    names = sorted(path.stem for path in HERE.glob("targets_*.py"))
    modules = [importlib.import_module(f"fuzzing.{name}") for name in names]
    return [target for module in modules for target in module.TARGETS]


def fuzz(
    targets: Sequence[Target],
    inputs: int,
    *,
    seed: int = 0,
    jobs: int = 2,
    limits: Limits = Limits(),  # noqa: B008
    keep: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Result]:
    """Returns what became of the inputs of each target."""
    waiting = [
        (target, range(start, min(start + CHUNK, inputs)))
        for target in targets
        for start in range(0, inputs, CHUNK)
    ]
    results = {target.name: Result() for target in targets}
    left = Counter(target.name for target, _ in waiting)
    running: dict[object, _Running] = {}
    place = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                target, numbers = waiting.pop(0)
                if not results[target.name].broken:
                    new = _Running.start(target, numbers, seed, limits, place)
                    running[new.connection] = new
            ready = wait(list(running), timeout=1)
            for connection in ready:
                one = running[connection]
                result = results[one.target.name]
                if not one.listen(result):
                    continue
                running.pop(connection)
                if one.numbers and not result.broken:  # it died: the next one goes on behind
                    waiting.insert(0, (one.target, one.numbers))
                    continue
                left[one.target.name] -= 1
                if not left[one.target.name] or result.broken:
                    say(line_of(one.target, result))
            for one in running.values():
                one.end_if_late(limits)
        if keep is not None:
            _keep(targets, results, seed, keep, place)
    except SystemExit:  # a limit of time from outside: what is known is told
        for target in targets:
            if left[target.name] and results[target.name].outcomes:
                say(f"{line_of(target, results[target.name])}, stopped")
                for line in lines_of_faults(target, results[target.name]):
                    say(line)
        raise
    finally:
        for one in running.values():
            one.process.kill()
        shutil.rmtree(place, ignore_errors=True)
    return results


@dataclass
class _Running:
    """A worker process, and the inputs that it has not answered for."""

    target: Target
    numbers: range
    process: multiprocessing.Process
    connection: object
    world: Path
    heard: float
    phase: str = "start"
    was_late: bool = False

    @classmethod
    def start(cls, target, numbers, seed, limits, place) -> _Running:
        world = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=place))
        worker.make_world(world)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        args = (target, world, seed, numbers, limits, theirs)
        process = multiprocessing.get_context("fork").Process(target=worker.work, args=args)
        process.start()
        theirs.close()
        return cls(target, numbers, process, ours, world, time.monotonic())

    def listen(self, result: Result) -> bool:
        """Takes one message; returns whether the process has ended."""
        try:
            what, content = self.connection.recv()
        except EOFError:
            return self._ended(result)
        self.heard = time.monotonic()
        if what == "broken":
            result.broken = content
        elif what in ("junk", "ready"):
            self.phase = what
        elif what != "end":
            result.add(what, content)
            self.numbers = self.numbers[1:]
        return False

    def _ended(self, result: Result) -> bool:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.process.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        result.cpu_s += cpu_s
        said = (self.world / ".said").read_text(errors="replace")[-4000:]
        shutil.rmtree(self.world, ignore_errors=True)
        if result.broken or not self.numbers:
            return True
        code = self.process.exitcode or 0
        if self.phase == "junk" and code < 0:
            death = self._death(said)
            result.broken = f"{death.kind} at a file that is not of the format: {death.detail}"
            return True
        if self.phase != "ready" or code > 0:  # an error of the fuzzer's own
            last = " ".join(said.split())[-300:]
            result.broken = f"the process ended with {code} at input {self.numbers[0]}: {last}"
            return True
        result.add(self.numbers[0], self._death(said))
        self.numbers = self.numbers[1:]
        return True

    def _death(self, said: str) -> Outcome:
        code = self.process.exitcode or 0
        if self.was_late or code == -signal.SIGXCPU:
            return Outcome(
                "hang", "by the clock" if self.was_late else "by the processor", True, 0
            )
        if worker.OF_MEMORY.search(said):
            return Outcome("memory", "the process was ended", True, 0)
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return Outcome("crash", name, True, 0)

    def end_if_late(self, limits: Limits) -> None:
        if time.monotonic() - self.heard > (START_S if self.phase == "start" else limits.wall_s):
            self.was_late = True
            self.process.kill()


def _keep(targets, results, seed, keep: Path, place: Path) -> None:
    """Writes the first input of each fault into a folder."""
    for target in targets:
        if not results[target.name].faults:
            continue
        made = place / f"again-{target.name}"
        made.mkdir()
        samples = [Path(path) for path in target.samples(made)]
        for (kind, _), numbers in results[target.name].faults.items():
            content, sample = worker.damaged(target, samples, seed, numbers[0])
            path = keep / target.name / f"{kind.replace(' ', '_')}-{numbers[0]}-{sample.name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            worker._write(path, content)


# ---------------------------------------------------------------- what is printed


def is_fault(target: Target, kind: str) -> bool:
    """Whether a kind of outcome is a fault; where a child process reads, its end is none."""
    return kind in FAULTS and not (target.isolated and kind in STOPS)


def line_of(target: Target, result: Result) -> str:
    """Returns one line of the table."""
    n = sum(result.outcomes.values())
    if result.broken:
        return f"{target.name:22} BROKEN: {result.broken}"
    kinds = (*GOOD, *(kind for kind in FAULTS if result.outcomes[kind]))
    counts = ", ".join(f"{result.outcomes[kind]} {kind}" for kind in kinds)
    beyond = 100 * result.n_beyond / max(n, 1)
    child = " (in a child process)" if target.isolated else ""
    return f"{target.name:22} {n:6} {beyond:5.0f} %  {result.cpu_s:6.1f} s  {counts}{child}"


def lines_of_faults(target: Target, result: Result) -> list[str]:
    """Returns a line for each group of faults, with the number of its first input."""
    return [
        f"  {target.name}: {kind}: {' '.join(detail.split())[:200]} "
        f"({len(numbers)} inputs, the first is {numbers[0]})"
        for (kind, detail), numbers in sorted(result.faults.items())
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if there is a fault, 2 if there is no such target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--inputs", type=int, default=1000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the first input of each fault")
    args = parser.parse_args(arguments)
    targets = all_targets()
    unknown = set(args.targets) - {target.name for target in targets}
    if unknown:
        names = ", ".join(target.name for target in targets)
        print(f"no target {', '.join(sorted(unknown))}; there are: {names}", file=sys.stderr)
        return 2
    targets = [t for t in targets if not args.targets or t.name in args.targets]
    limits = Limits()
    print(
        f"limits of an input: {limits.cpu_s} s of the processor, {limits.wall_s} s by the clock, "
        f"{limits.memory / 2**20:.0f} MiB beyond what is in use before"
    )
    print(f"{'target':22} {'inputs':>6} {'beyond':>7}  {'CPU':>8}  outcomes", flush=True)
    how = {"seed": args.seed, "jobs": args.jobs, "limits": limits, "keep": args.keep}
    results = fuzz(targets, args.inputs, **how, say=partial(print, flush=True))
    return report(targets, results, args.seed)


def report(targets: Sequence[Target], results: dict[str, Result], seed: int) -> int:
    """Prints the sum of all and the faults; returns the exit code."""
    total = Counter()
    for result in results.values():
        total.update(result.outcomes)
    n, beyond = sum(total.values()), sum(r.n_beyond for r in results.values())
    counts = ", ".join(f"{total[k]} {k}" for k in (*GOOD, *FAULTS))
    cpu_s = sum(r.cpu_s for r in results.values())
    print(f"{'all':22} {n:6} {100 * beyond / max(n, 1):5.0f} %  {cpu_s:6.1f} s  {counts}")
    print(
        "beyond: read, or refused with other words than the reader has for files that are not of "
        "its format, or of the format by its head (heads.py)"
    )
    failed = False
    for target in targets:
        result = results[target.name]
        for line in lines_of_faults(target, result):
            print(line)
        if result.broken:
            print(f"  {target.name}: could not be tried: {result.broken}")
        failed |= bool(result.broken) or any(is_fault(target, k) for k in result.outcomes)
    print(f"{'faults found' if failed else 'no faults'}; seed {seed}")
    return int(failed)


if __name__ == "__main__":
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and nothing is left
    sys.exit(main())

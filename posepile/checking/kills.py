"""``python -m posepile.checking.kills [DATASET…]``: runs killed at random moments, then resumed.

A round takes a dataset's miniature in some state (nothing there yet, downloaded, processed,
packed), runs it, ends it with SIGKILL once or several times in a row, and then lets it run to its
end. Afterwards every file that the run leaves must be there with the bytes of a run that nobody
disturbed, and nothing else: no process, no temporary file, no lock that is still held.

The raw files come from a small web server as archives, so that kills also fall into downloads and
extractions. A kill ends either the whole session, or the run alone, whose workers must see it by
themselves, or one worker. It falls after a random time in a stage, or right before a random file
operation of the run. Some rounds run ``main.sh`` instead, which makes the miniature itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from posepile.checking import raw_server
from posepile.checking.bench import Bench
from posepile.checking.victims import STAGES, At, Watched, kill, processes_of, workers_of
from posepile.ds import dataset_names, load_recipe
from posepile.errors import PosePileError, UsageError, WorkError

DATASETS = ("aspset", "surreal", "h36m", "panoptic", "coco")

# State from which a round begins -> stages in which its first kill may fall. Most work is lost
# and done again where most can go wrong.
BEGINNINGS = {
    "nothing": ("download", "download", "extract", "extract", "list"),
    "downloaded": ("list", "process", "process", "process"),
    "processed": ("pack", "pack", "pack"),
    "packed": ("report",),
    "script": ("script",),
}
CHANCES = {"nothing": 4, "downloaded": 5, "processed": 4, "packed": 1, "script": 1}
TRIES = 20  # rounds in which a run has ended before it was killed are begun again


@dataclass
class Tally:
    """What became of the rounds of one dataset.

    Attributes:
        name: The dataset.
        kills: (stage in which it fell, who was killed) -> how many.
        rounds: How many were resumed.
        problems: What was not as it must be, one line each.
        seconds: Processor time.
    """

    name: str
    kills: Counter = field(default_factory=Counter)
    rounds: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def do_round(bench: Bench, tally: Tally) -> None:
    """Kills a run once or more, lets the last one end, and compares."""
    for _ in range(TRIES):
        state = bench.rng.choices(list(CHANCES), list(CHANCES.values()))[0]
        bench.restore(state)
        first = bench.rng.choice(BEGINNINGS[state])
        fell = _kill(bench, first)
        if fell is not None:
            break
    else:
        raise WorkError(f"{bench.name}: no run could be killed before it ended")
    kills = [fell]
    for _ in range(bench.rng.choices((0, 1, 2), (70, 20, 10))[0]):
        again = "script" if state == "script" else bench.rng.choice((first, "process", "pack"))
        if (fell := _kill(bench, again)) is not None:
            kills.append(fell)
    tally.kills.update(kills)
    where = ", ".join(f"{victims} in {stage}" for stage, victims in kills)
    # A worker that is killed is blamed on its unit, which is tried again only when asked.
    retry = any(victims == "a worker" for _, victims in kills)
    bench.resume(state == "script", retry)
    problems = bench.problems(state == "script")
    _add(tally, [f"{bench.name}: after killing {where}: {p}" for p in problems])
    tally.rounds += 1


def _add(tally: Tally, problems: list[str]) -> None:
    tally.problems += problems
    for problem in problems:
        print(f"kills: {problem}", flush=True)


def _kill(bench: Bench, stage: str) -> tuple[str, str] | None:
    """Runs until a kill falls; returns where it fell and whom it met, None if on nobody."""
    if stage == "script":
        return _kill_script(bench)
    victims = bench.rng.choice(("all", "all", "the run", "a worker"))
    if victims == "a worker" and stage != "process":
        victims = "the run"
    n = bench.operations.get(stage, 0)
    by_operation = n and victims != "a worker" and bench.rng.random() < 0.5
    if by_operation:
        at = At(stage, bench.rng.randint(1, n), "all" if victims == "all" else "runner")
        with bench.run(at=at) as run:
            run.finish()
            bench.see_end_of(run.pid)
        fell = run.stage if run.status is not None and os.WIFSIGNALED(run.status) else None
    else:
        with bench.run() as run:
            fell = _wait_and_kill(bench, run, stage, victims)
            run.finish()
            bench.see_end_of(run.pid)
    return None if fell is None else (fell, victims)


def _wait_and_kill(bench: Bench, run: Watched, stage: str, victims: str) -> str | None:
    if not run.until(stage):
        return None
    seconds = bench.rng.uniform(0, bench.lasted.get(stage, 0.1))
    if victims == "a worker":  # the first of them starts when most of the time is over
        seconds /= 4
        while not workers_of(run.pid):
            if not run.listen(0.01):
                return None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not run.listen(until - time.monotonic()):
            return None
    pids = {run.pid} if victims == "the run" else processes_of(run.pid)
    if victims == "a worker":
        workers = sorted(workers_of(run.pid))
        pids = {bench.rng.choice(workers)} if workers else set()
    kill(pids)
    return run.stage if pids else None


def _kill_script(bench: Bench) -> tuple[str, str] | None:
    victims = bench.rng.choice(("all", "the run"))
    with bench.script() as script:
        try:
            script.wait(bench.rng.uniform(0, bench.lasted["script"]))
            return None
        except subprocess.TimeoutExpired:
            pids = processes_of(script.pid)
            if victims == "the run":  # of the shell and its programs, those that run longest
                pids = {p for p in pids if p == script.pid or _parent(p) == script.pid}
            kill(pids)
        script.wait()
        bench.see_end_of(script.pid)
    return "script", victims


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[1])
    return 0


# ---------------------------------------------------------------- the command


def try_dataset(name: str, folder: Path, url: str, times: int, seed: str) -> Tally:
    """Returns what became of a number of rounds with one dataset."""
    tally = Tally(name)
    before = os.times()
    try:
        bench = Bench(name, folder / name, url, random.Random(f"{seed} {name}"))
        for number in range(times):
            try:
                do_round(bench, tally)
            except WorkError as e:
                _add(tally, [f"{name}: round {number + 1}: {e}"])
            if (number + 1) % 10 == 0:
                print(
                    f"{name}: {number + 1} of {times}, {len(tally.problems)} problems", flush=True
                )
    except (WorkError, UsageError) as e:
        _add(tally, [f"{name}: {e}"])
    tally.seconds = sum(os.times()[:4]) - sum(before[:4])
    return tally


def table(tallies: list[Tally]) -> list[str]:
    """Returns lines that say by dataset in which stage the kills fell and whom they met."""
    places = [*STAGES, "script"]
    victims = ("all", "the run", "a worker")
    head = f"{'':10}{'resumed':>8}" + "".join(f"{p:>9}" for p in places)
    lines = [f"{head} | " + " ".join(f"{v:>8}" for v in victims) + f"{'CPU s':>8}"]
    total = Tally("sum")
    for tally in tallies:
        total.kills += tally.kills
        total.rounds += tally.rounds
        total.seconds += tally.seconds
    for tally in [*tallies, total]:
        by_stage, by_victims = Counter(), Counter()
        for (stage, who), n in tally.kills.items():
            by_stage[stage] += n
            by_victims[who] += n
        line = f"{tally.name:10}{tally.rounds:8}" + "".join(f"{by_stage[p]:9}" for p in places)
        lines.append(
            f"{line} | "
            + " ".join(f"{by_victims[v]:8}" for v in victims)
            + f"{tally.seconds:8.0f}"
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    """Kills and resumes runs of the named datasets; 1 if anything differs afterwards."""
    parser = argparse.ArgumentParser(prog="python -m posepile.checking.kills")
    parser.add_argument("names", metavar="DATASET", nargs="*", help=f"default: {DATASETS}")
    parser.add_argument("--times", type=int, default=200, help="rounds in all; default: 200")
    parser.add_argument("--seed", default=None, help="of the random moments")
    parser.add_argument("--jobs", type=int, default=1, help="datasets at a time; default: 1")
    args = parser.parse_args(argv)
    names = args.names or [n for n in DATASETS if n in dataset_names()]
    seed = args.seed or str(random.SystemRandom().randrange(10**6))
    print(f"kills: seed {seed}", flush=True)
    try:
        _import_all(names)
    except PosePileError as e:
        print(f"kills: {e}", file=sys.stderr)
        return e.exit_code
    shares = [args.times // len(names) + (i < args.times % len(names)) for i in range(len(names))]
    with tempfile.TemporaryDirectory(prefix="posepile-kills-") as folder:
        with (
            raw_server.serving(Path(folder)) as url,
            ProcessPoolExecutor(args.jobs, get_context("fork")) as pool,
        ):
            work = [
                pool.submit(try_dataset, name, Path(folder), url, n, seed)
                for name, n in zip(names, shares, strict=True)
            ]
            tallies = [w.result() for w in work]
    print("\n".join(table(tallies)))
    problems = [p for tally in tallies for p in tally.problems]
    rounds = sum(t.rounds for t in tallies)
    n = sum(sum(t.kills.values()) for t in tallies)
    print(f"kills: {n} kills, {rounds} runs resumed; {len(problems)} problems; seed {seed}")
    return 1 if problems else 0


def _import_all(names: list[str]) -> None:
    """Imports what runs need, once, before they are forked."""
    from posepile import report  # noqa: F401
    from posepile.run import commands  # noqa: F401
    from posepile.run.unit import import_all

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in names:
        if load_recipe(name).SPEC.kind == "helper":
            raise UsageError(f"{name}: a helper, nothing to pack; name another dataset")
        import_all(name)


if __name__ == "__main__":
    sys.exit(main())

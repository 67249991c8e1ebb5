"""Running stages over units: keys, resume, quarantine, parallel workers, progress, summary.

Every unit is independent: a worker loads its annotations, runs the stages asked for and leaves one
finished folder per stage or nothing. What is finished and current under its key is not touched
again, so a rerun continues where the last run stopped, however that ended, and any split of the
units over processes or machines gives the same result.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from posepile import models, paths
from posepile.config import Config, NoOptions, load_config
from posepile.ds import dataset_dir, load_recipe
from posepile.errors import CorruptInput, PosePileError, UsageError, WorkError
from posepile.files import (
    disk_error,
    is_disk_error,
    locked,
    read_json,
    remove_unfinished,
    replacing,
    stable_hash,
    write_json,
)
from posepile.recipe import SPLITS, Sequence, Unit
from posepile.run.units import (
    fingerprint_inputs,
    params_identity,
    read_result,
    result_dir,
    unit_lock,
)
from posepile.stages.counts import Counts
from posepile.stages.exclusions import Exclusion, load_exclusions, matching

# The stages of a unit, in order. ``select`` leaves a small report; the others leave data.
UNIT_STAGES = ("select", "detect", "crop", "segment")
STAGES = ("download", "calibrate", *UNIT_STAGES, "pack")


@dataclass(frozen=True)
class Run:
    """One invocation: a dataset under a configuration.

    Attributes:
        name: Dataset name.
        config: Validated configuration.
        jobs: Number of worker processes.
        shard: This process's share of the units, (index, count).
        only: Glob over unit ids; None = all.
        quiet: No progress bar.
        root: Raw folder of the dataset.
        work: Folder of intermediate results.
        data_root: Root of all data, handed on to workers, which may outlive a change of it.
    """

    name: str
    config: Config
    jobs: int
    shard: tuple[int, int]
    only: str | None
    quiet: bool
    root: Path
    work: Path
    data_root: Path


@dataclass
class Outcome:
    """What became of one unit.

    Attributes:
        unit: Its id.
        stages: Stage -> ``done``, ``kept`` (was current already) or ``failed``.
        counts: Counts of the last stage that ran or was kept.
        error: What stopped the unit.
        fatal: The error concerns the run, not this unit: stop handing out work.
        usage: The fatal error is a wrong request.
        key: Identity of inputs, parameters and code; None if the inputs could not be read.
        seconds: Wall-clock time spent.
    """

    unit: str
    stages: dict[str, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    error: dict[str, Any] | None = None
    fatal: str | None = None
    usage: bool = False
    key: str | None = None
    seconds: float = 0.0


def make_run(
    name: str,
    overrides: tuple[str, ...] = (),
    jobs: int = 1,
    shard: tuple[int, int] = (0, 1),
    only: str | None = None,
    quiet: bool = False,
    config_path: Path | None = None,
) -> Run:
    """Loads recipe and configuration of a dataset; all mistakes of the caller show here."""
    recipe = load_recipe(name)
    config = load_config(name, getattr(recipe, "Options", NoOptions), overrides, config_path)
    return Run(
        name,
        config,
        jobs,
        shard,
        only,
        quiet,
        root=paths.raw_dir(name),
        work=paths.work_dir(name),
        data_root=paths.data_root(),
    )


def list_units(run: Run) -> list[Unit]:
    """All units of the dataset in archive order: by split, then id.

    Raises:
        WorkError: No unit was found, or two have the same id.
    """
    recipe = load_recipe(run.name)
    if not run.root.is_dir():
        raise WorkError(
            f"{run.root}: no raw data of {run.name}; run its download stage first "
            f"(posepile plan {run.name} shows what is needed)"
        )
    units = recipe.list_units(run.root, run.config.dataset)
    units = sorted(units, key=lambda u: (SPLITS.index(u.split), u.id))
    ids = [u.id for u in units]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise WorkError(f"{run.name}: two units are called {twice!r}")
    if not units:
        raise WorkError(f"{run.root}: found no unit of {run.name}; posepile doctor {run.name}")
    return units


def my_units(run: Run) -> list[Unit]:
    """The units this process shall work on: filtered by ``only``, every ``count``-th of them."""
    import fnmatch

    units = list_units(run)
    if run.only is not None:
        units = [u for u in units if fnmatch.fnmatchcase(u.id, run.only)]
        if not units:
            raise UsageError(f"--only {run.only}: no unit of {run.name} has such an id")
    index, count = run.shard
    return units[index::count]


# --------------------------------------------------------------------------------
# Keys: what a stage's result depends on


def stage_keys(run: Run, unit: Unit, inputs: list[dict]) -> dict[str, str]:
    """Cache key of every stage of a unit: inputs, parameters and code version, chained."""
    from posepile.stages import crop, detect, examples, segment

    recipe = load_recipe(run.name)
    config = run.config
    base = stable_hash(
        {
            "dataset": run.name,
            "recipe": getattr(recipe, "RECIPE_VERSION", 1),
            "options": config.dataset,
            "unit": [unit.id, unit.split, unit.args],
            "inputs": [[i["path"], i["bytes"], i["hash"]] for i in inputs],
        }
    )
    keys = {"select": stable_hash([base, examples.VERSION, config.select])}
    keys["detect"] = stable_hash([keys["select"], detect.VERSION, params_identity(config.detect)])
    uses_detector = detect.needs_detector(config)
    before_crop = keys["detect"] if uses_detector else keys["select"]
    matching_params = config.detect if config.box.source == "detect" else None
    keys["crop"] = stable_hash(
        [
            before_crop,
            crop.VERSION,
            config.box,
            config.crop,
            None if matching_params is None else params_identity(matching_params),
        ]
    )
    keys["segment"] = stable_hash([keys["crop"], segment.VERSION, params_identity(config.segment)])
    return keys


def is_current(result: dict | None, key: str, exclusions: list[Exclusion]) -> bool:
    """Whether a stored result was made under this key and these exclusions."""
    if result is None or result.get("key") != key:
        return False
    now = [e.model_dump(mode="json") for e in matching(exclusions, result["sequences"])]
    return now == result["exclusions"]


# --------------------------------------------------------------------------------
# One unit, in a worker


def process_unit(run: Run, unit: Unit, wanted: tuple[str, ...], threads: int) -> Outcome:
    """Runs the wanted stages of one unit; never raises for what is wrong with the unit's data."""
    started = time.monotonic()
    outcome = Outcome(unit.id)
    quarantine = quarantine_file(run, unit)
    try:
        with unit_lock(run.work, unit):
            _process(run, unit, wanted, threads, outcome)
            quarantine.unlink(missing_ok=True)
    except CorruptInput as e:
        outcome.error = {"file": e.file, "frame": e.frame, "reason": e.reason, "hint": e.hint}
        with contextlib.suppress(PosePileError, OSError):
            write_json(quarantine, {"unit": unit.id, "key": outcome.key, **outcome.error})
    except PosePileError as e:
        outcome.fatal = str(e)
        outcome.usage = isinstance(e, UsageError)
    except MemoryError:
        outcome.fatal = f"{unit.id}: out of memory; run again with fewer --jobs"
    except Exception as e:
        if is_disk_error(e):
            outcome.fatal = str(disk_error(e, run.work))
            return outcome
        # A fault of ours or of a recipe: the unit is named, the trace is kept for the report.
        import traceback

        outcome.error = {
            "file": unit.id,
            "frame": None,
            "reason": f"unexpected {type(e).__name__}: {e}",
            "hint": "this is a fault of the program; the trace is in the journal",
        }
        outcome.error["trace"] = traceback.format_exc()
    outcome.seconds = time.monotonic() - started
    return outcome


def quarantine_file(run: Run, unit: Unit) -> Path:
    """Where it says why a unit could not be used, and with which inputs and parameters."""
    return run.work / "quarantine" / f"{result_dir(run.work, 'q', unit).name}.json"


def _process(
    run: Run, unit: Unit, wanted: tuple[str, ...], threads: int, outcome: Outcome
) -> None:
    recipe = load_recipe(run.name)
    exclusions = run_exclusions(run)
    inputs_file = run.work / "inputs" / f"{result_dir(run.work, 'i', unit).name}.json"
    known = read_json(inputs_file) or []
    inputs = fingerprint_inputs(unit, run.root, known)
    if inputs != known:
        write_json(inputs_file, inputs)
    keys = stage_keys(run, unit, inputs)
    outcome.key = keys[UNIT_STAGES[-1]]

    loaded: list = []

    def sequences():
        if not loaded:
            loaded.append(recipe.load_unit(run.root, unit, run.config.dataset))
        return loaded[0]

    for stage in wanted:
        directory = result_dir(run.work, stage, unit)
        result = read_result(directory)
        if is_current(result, keys[stage], exclusions) and not try_again(run, result):
            outcome.stages[stage] = "kept"
            outcome.counts = Counts.from_json(result["counts"])
            continue
        outcome.stages[stage] = "failed"
        counts = Counts()
        with replacing(directory) as tmp:
            task = Task(run, unit, keys, exclusions, sequences, tmp, counts, threads)
            STAGE_RUNNERS[stage](task)
            ids = (
                [s.id for s in sequences()]
                if stage != "segment"
                else read_result(result_dir(run.work, "crop", unit))["sequences"]
            )
            write_json(
                tmp / "result.json",
                {
                    "key": keys[stage],
                    "unit": unit.id,
                    "sequences": ids,
                    "exclusions": [e.model_dump(mode="json") for e in matching(exclusions, ids)],
                    "counts": counts.to_json(),
                },
            )
        outcome.stages[stage] = "done"
        outcome.counts = counts


def try_again(run: Run, result: dict) -> bool:
    """Whether single frames are missing that the run will not do without.

    The reason may have been a passing fault of the disk, of which the file shows no trace.
    """
    return bool(result["counts"]["quarantined"]) and run.config.run.max_quarantined == 0


@dataclass(frozen=True)
class Task:
    """What one stage of one unit works with.

    Attributes:
        run: The run.
        unit: The unit.
        keys: Cache key of every stage of the unit.
        exclusions: What to leave out.
        sequences: Loads the unit's annotations, once.
        out: An empty folder for the result.
        counts: Counts are added here.
        threads: Threads this worker may use.
    """

    run: Run
    unit: Unit
    keys: dict[str, str]
    exclusions: list[Exclusion]
    sequences: Callable[[], list[Sequence]]
    out: Path
    counts: Counts
    threads: int


def _select(task: Task) -> None:
    from posepile.stages.examples import selected_examples

    kept = {}
    for sequence in task.sequences():
        wanted = selected_examples(sequence, task.run.config.select, task.exclusions, task.counts)
        kept[sequence.id] = [[w.frame, w.track.person] for w in wanted]
    write_json(task.out / "kept.json", kept)


def _detect(task: Task) -> None:
    from posepile.stages import detect

    config = task.run.config
    detector = models.cached_detector(config.detect)
    found = detect.detect_unit(
        task.sequences(), config, task.exclusions, detector, task.counts, task.threads
    )
    detect.save_detections(task.out / "detections.npz", found)


def _crop(task: Task) -> None:
    from posepile.stages import crop, detect

    config = task.run.config
    detector = detections = None
    if detect.needs_detector(config):
        directory = result_dir(task.run.work, "detect", task.unit)
        if is_current(read_result(directory), task.keys["detect"], task.exclusions):
            detections = detect.load_detections(directory / "detections.npz")
        else:
            detector = models.cached_detector(config.detect)
    crop.crop_unit(
        load_recipe(task.run.name).SPEC,
        task.sequences(),
        config,
        task.exclusions,
        task.out / "unit.part",
        task.counts,
        detections,
        detector,
        task.threads,
    )


def _segment(task: Task) -> None:
    from posepile.stages import segment

    source = result_dir(task.run.work, "crop", task.unit)
    before = read_result(source)
    if before is None or before["key"] != task.keys["crop"]:
        raise WorkError(f"{task.unit.id}: no current crops to segment; run the crop stage first")
    task.counts.add(Counts.from_json(before["counts"]))
    spec = load_recipe(task.run.name).SPEC
    part, target = source / "unit.part", task.out / "unit.part"
    segment.segment_part(spec, part, task.run.config.segment, target, task.counts)


STAGE_RUNNERS = {"select": _select, "detect": _detect, "crop": _crop, "segment": _segment}


# --------------------------------------------------------------------------------
# All units


def default_stages(config: Config) -> tuple[str, ...]:
    """The unit stages of a plain run: detection happens in passing while cropping."""
    return ("crop", "segment") if segments(config) else ("crop",)


def segments(config: Config) -> bool:
    """Whether a segmentation stage follows cropping."""
    return config.segment.model not in ("none", "raw")


def final_stage(config: Config) -> str:
    """The stage whose parts are packed."""
    return "segment" if segments(config) else "crop"


def run_exclusions(run: Run) -> list[Exclusion]:
    """The dataset's exclusions, none if switched off."""
    if not run.config.run.exclusions:
        return []
    return load_exclusions(dataset_dir(run.name) / "exclusions.yaml")


def run_units(run: Run, wanted: tuple[str, ...]) -> list[Outcome]:
    """Runs stages over this process's units with joblib; ordered like the units.

    Raises:
        WorkError: The run as a whole cannot go on (e.g. full disk, missing weights).
    """
    units = my_units(run)
    with lock(run), sweeping(run, units, wanted), Journal(run) as journal:
        outcomes = {}
        jobs = max(1, min(run.jobs, len(units)))
        threads = max(1, cpu_count() // jobs)
        label = f"{run.name} {'+'.join(wanted)}"
        bar = tqdm(total=len(units), desc=label, unit="unit", disable=run.quiet, file=sys.stderr)
        n_examples = 0
        with bar, contextlib.closing(_map(run, units, wanted, jobs, threads)) as results:
            for outcome in results:
                outcomes[outcome.unit] = outcome
                journal.write(outcome)
                n_examples += outcome.counts.examples
                bar.set_postfix_str(f"{n_examples} examples")
                bar.update()
                if outcome.error and not run.quiet:
                    line = f"quarantined {outcome.unit}: {error_line(outcome.error)}"
                    bar.write(line, sys.stderr)
                if outcome.fatal:
                    raise UsageError(outcome.fatal) if outcome.usage else WorkError(outcome.fatal)
    return [outcomes[u.id] for u in units]


def _map(
    run: Run, units: list[Unit], wanted: tuple[str, ...], jobs: int, threads: int
) -> Iterator[Outcome]:
    if jobs == 1:
        pin_threads(threads)
        for unit in units:
            yield process_unit(run, unit, wanted, threads)
        return
    from concurrent.futures.process import BrokenProcessPool

    import joblib

    with joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
        parallel = joblib.Parallel(
            n_jobs=jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1
        )
        results = parallel(
            joblib.delayed(_in_worker)(os.getpid(), run, u, wanted, threads) for u in units
        )
        try:
            for outcome in results:  # noqa: UP028 - "yield from" would close it beyond our reach
                yield outcome
        except BrokenProcessPool:
            raise WorkError(
                f"{run.name}: a worker process was killed, most likely because memory ran out; "
                f"run again with fewer than --jobs {jobs}, finished units are not repeated"
            ) from None
        finally:
            with warnings.catch_warnings():  # that units under way are given up is intended
                warnings.simplefilter("ignore", UserWarning)
                results.close()


def _in_worker(
    parent: int, run: Run, unit: Unit, wanted: tuple[str, ...], threads: int
) -> Outcome:
    # Ctrl-C reaches the whole process group: the run decides, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    os.environ["DATA_ROOT"] = str(run.data_root)
    pin_threads(threads)
    return process_unit(run, unit, wanted, threads)


@functools.cache
def end_with(parent: int) -> None:
    """Ends this worker soon after its run was killed; else it would stay, idle, for minutes."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cpu_count() -> int:
    """Number of processors this process may use, which in a batch job are not all there are."""
    import joblib

    return joblib.cpu_count()


def pin_threads(threads: int) -> None:
    """Keeps the libraries of this process to so many threads, so that n workers use n cores."""
    import cv2

    cv2.setNumThreads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)


@contextlib.contextmanager
def lock(run: Run, what: str = "units") -> Iterator[None]:
    """Keeps a second process from the same work at the same time.

    Args:
        run: The run.
        what: ``units``: one process per share, and none while packing; ``pack``: nobody else
            works on the dataset; ``raw``: the raw folder is made by one process while the others
            of a Slurm array wait for it.

    Raises:
        WorkError: Another process is at it.
    """
    index, count = run.shard
    if what == "raw":
        waiting = f"{run.name}: waiting for another process that prepares the raw files"
        with locked(run.work / ".lock-raw", waiting=waiting):
            yield
    elif what == "pack":
        busy = f"another run of {run.name} is active; pack when it has ended"
        with locked(run.work / ".lock-pack", busy=busy):
            yield
    else:
        busy = f"another run of {run.name} is active on these units"
        packing = f"{run.name} is being packed; wait for it"
        with (
            locked(run.work / f".lock-units-{index}-of-{count}", busy=busy),
            locked(run.work / ".lock-pack", shared=True, busy=packing),
        ):
            yield


@contextlib.contextmanager
def sweeping(run: Run, units: list[Unit], stages: tuple[str, ...]) -> Iterator[None]:
    """Removes what workers that were ended in the middle of a unit have left behind."""
    try:
        yield
    except BaseException:
        for unit in units:
            with unit_lock(run.work, unit, wait=False) as held:
                for stage in stages if held else ():
                    remove_unfinished(result_dir(run.work, stage, unit))
        raise


class Journal:
    """Append-only record of what happened when, for people; no decision depends on it."""

    def __init__(self, run: Run):
        run.work.mkdir(parents=True, exist_ok=True)
        self._path = run.work / "journal.jsonl"
        # Unbuffered: a line that did not fit on a full disk shall not be tried again on closing.
        self._file = open(self._path, "ab", buffering=0)

    def write(self, outcome: Outcome) -> None:
        """Appends one unit's outcome."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "unit": outcome.unit,
            "stages": outcome.stages,
            "examples": outcome.counts.examples,
            "frames_read": outcome.counts.frames_read,
            "seconds": round(outcome.seconds, 3),
            "error": outcome.error or outcome.fatal,
        }
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as e:
            raise disk_error(e, self._path) from e

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._file.close()


def error_line(error: dict[str, Any]) -> str:
    """A quarantine entry as one line."""
    where = error["file"]
    if error.get("frame") is not None:
        where += f", frame {error['frame']}"
    return f"{where}: {error['reason']}" + (f"; {error['hint']}" if error.get("hint") else "")


def total(outcomes: list[Outcome]) -> Counts:
    """Counts over all units."""
    counts = Counts()
    for outcome in outcomes:
        counts.add(outcome.counts)
    return counts


def quarantined_share(failed_units: int, all_counts: list[Counts]) -> float:
    """Share of quarantined input: units weigh the same, m of n frames of a unit count m / n."""
    n = failed_units + len(all_counts)
    partial = sum(len(t.quarantined) / max(1, t.frames_read) for t in all_counts)
    return (failed_units + partial) / max(1, n)


def check_quarantine(run: Run, failed: int, all_counts: list[Counts]) -> None:
    """Fails the run above the tolerated share.

    Raises:
        WorkError: Names the share, the limit and where the list is.
    """
    share = quarantined_share(failed, all_counts)
    n_frames = sum(len(t.quarantined) for t in all_counts)
    if share > run.config.run.max_quarantined:
        raise WorkError(
            f"{run.name}: {failed} of {failed + len(all_counts)} units and {n_frames} single "
            f"frames are quarantined ({share:.2%} > run.max_quarantined = "
            f"{run.config.run.max_quarantined:.2%}); nothing was packed. Repair the files listed "
            f"in {run.work / 'quarantine'} and above and run again, or raise the limit"
        )

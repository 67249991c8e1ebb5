"""All units of a share: plan, hand out, collect; what fails is quarantined, the rest goes on."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import posepile
from posepile.ds import dataset_dir
from posepile.durable import MOST_BY_NAME, sync_all
from posepile.errors import Shortage, UsageError, WorkError, raise_if_shortage
from posepile.files import disk_error
from posepile.progress import Progress, Recorder, by_host, recorded
from posepile.remote import contents, stand_ins
from posepile.remote.stores import keys_of
from posepile.run import faults, results, stated
from posepile.run.backends import Shared
from posepile.run.executor import Limits, Lost, cpu_count, run_tasks
from posepile.run.job import Run, run_keys, run_units
from posepile.run.journal import Journal
from posepile.run.keys import Keys, remember
from posepile.run.listing import Row, UnitList
from posepile.run.locks import lock
from posepile.run.networks import check_networks, loaded_by, require_networks
from posepile.run.plan import Plan, make_plan
from posepile.run.said import unit_line
from posepile.run.unit import Order, Outcome, import_all, process_unit
from posepile.run.worker import machine_memory
from posepile.shortage import LEAST
from posepile.stages.boxes import sought_and_found
from posepile.stages.counts import Counts
from posepile.stages.task import StageParams, segments
from posepile.terminal import note

Tell = Callable[[str], None]

MANY_PEOPLE = 100  # of whom a share can be judged


@dataclass
class Summary:
    """What a run over units has done.

    Attributes:
        plan: What was decided beforehand.
        done: Number of units that were worked on with success.
        kept: Number of units whose results were current.
        counts: Counts over all good units.
        errors: What stopped the quarantined units.
        quarantined_shares: Sum over the good units of the share of quarantined frames.
        stated: Numbers that the authors state, and those found.
    """

    plan: Plan
    done: int = 0
    kept: int = 0
    counts: Counts = field(default_factory=Counts)
    errors: list[dict[str, Any]] = field(default_factory=list)
    quarantined_shares: float = 0.0
    stated: list[dict[str, Any]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the input that is quarantined."""
        return share_of_input(
            len(self.errors), self.quarantined_shares, self.done + self.kept + len(self.errors)
        )


def default_stages(params: StageParams) -> tuple[str, ...]:
    """Returns the unit stages of a plain run: detection happens in passing while cropping."""
    return ("crop", "segment") if segments(params) else ("crop",)


def final_stage(params: StageParams) -> str:
    """Returns the stage whose parts are packed."""
    return default_stages(params)[-1]


def plan_share(
    run: Run,
    stages: tuple[str, ...],
    workers: Callable[[], int | None] | None = None,
    record: Recorder | None = None,
) -> tuple[Keys, UnitList, Plan]:
    """Returns what is to be done for this process's share of the units; nothing is changed.

    Args:
        run: The run.
        stages: The stages asked for.
        workers: Says how many are going to work on it; see :func:`~posepile.run.plan.make_plan`.
        record: Is told how far it is, for others to look at.
    """
    keys = run_keys(run)
    units = run_units(run, keys)
    share = units.share(*run.shard, run.only)
    return keys, units, make_plan(run, keys, units, stages, share, workers, record)


def process(
    run: Run,
    stages: tuple[str, ...],
    *,
    tell: Tell = print,
    each: Callable[[Outcome], None] = lambda outcome: None,
) -> Summary:
    """Runs stages over this process's share of the units.

    Args:
        run: The run.
        stages: The stages.
        tell: Is given lines to show before the work begins.
        each: Is given the outcome of each unit that was worked on.

    Raises:
        WorkError: The run as a whole cannot go on (e.g. full disk, missing weights).
    """
    with lock(run), _let_go_of_raw_files(run):
        with recorded(run.work, run.shard) as record:
            workers = functools.partial(workers_of, run)
            keys, units, plan = plan_share(run, stages, workers, record)
        remember(keys, run.work)
        stand_in = [run.stand_in] if run.stand_in and plan.todo else []
        for line in [*stand_in, *plan.words]:
            tell(f"{run.build}: {line}")
        summary = Summary(plan, kept=plan.states["current"])
        summary.counts.add(plan.counts)
        summary.quarantined_shares = plan.quarantined_shares
        summary.errors += plan.quarantined
        if run.shard == (0, 1):
            summary.stated = stated.compare(run, units)
        made: set[Path] = set()
        for outcome in work_on(run, keys, stages, units.rows(plan.todo), len(plan.todo), tell):
            each(outcome)
            if outcome.error:
                summary.errors.append(outcome.error)
                continue
            if len(made) <= MOST_BY_NAME:  # of more, the whole disk is waited for
                made |= results.files_of(run.work, outcome.unit, outcome.stages)
            summary.done += "done" in outcome.stages.values()
            summary.kept += "done" not in outcome.stages.values()
            summary.counts.add(outcome.counts)
            summary.quarantined_shares += outcome.counts.quarantined_share()
        try:
            sync_all(made)  # small ones have not been waited for
        except OSError as e:
            raise disk_error(e, run.work / "parts") from e
        return summary


@contextlib.contextmanager
def _let_go_of_raw_files(run: Run) -> Iterator[None]:
    """What was fetched of an object store goes at the end, as far as nobody else uses it."""
    try:
        yield
    finally:
        if run.config.raw_address is not None:
            contents.let_go_all(run.config.raw_address)


def work_on(
    run: Run,
    keys: Keys,
    stages: tuple[str, ...],
    rows: Iterable[Row],
    count: int,
    tell: Tell = print,
) -> Iterator[Outcome]:
    """Hands units to workers and yields what became of them, in the order in which they finish.

    Raises:
        WorkError: The run as a whole cannot go on.
    """
    if not count:
        return
    local = run.backend.kind == "local"
    if not local and not run.config.run.isolate:
        raise UsageError(
            f"--backend {run.backend.kind}: works in processes of its own, which run.isolate = "
            "false forbids; leave out one of them"
        )
    processors = cpu_count()
    jobs = max(1, min(run.jobs or processors, count))
    threads = max(1, processors // jobs) if local else 1
    rows = iter(rows)
    first = next(rows)
    rows = itertools.chain([first], rows)
    # If the first unit has detections and another has not, that unit's worker says what it lacks.
    sections = loaded_by(stages, results.part_path(run.work, "detect", first.id).is_file())
    require_networks(run.config, run.build, sections)
    if local:  # elsewhere there may be the GPU that is asked for; who lacks it ends the run
        check_networks(run.config, run.build, sections)
    if set(stages) & {"crop", "detect", "select"}:
        _compile(run, tell)
    handed_out: dict[int, Row] = {}
    address = run.config.raw_address
    listed = 0.0 if address is None else stand_ins.listed_at(address)
    order = Order(run, keys, stages, threads, results.stages_before(run.work), listed)
    waited, label = _Waited(), f"{run.build} {'+'.join(stages)}"
    results_ = run_tasks(
        functools.partial(process_unit, order),
        _noting(rows, handed_out),
        jobs=jobs if local else run.jobs,
        limits=limits(run, jobs),
        threads=threads,
        preload=functools.partial(import_all, run.name),
        initialize=None if sys.platform == "linux" else functools.partial(import_all, run.name),
        executor="processes" if run.config.run.isolate else "in_process",
        tick=waited.tick,
        backend=run.backend,
        shared=shared_by_machines(run),
    )
    n_examples, n_quarantined = 0, 0
    hosts: Counter[str] = Counter()
    try:
        with (
            recorded(run.work, run.shard) as record,
            Progress(label, count, quiet=run.quiet, record=by_host(record, hosts)) as bar,
            contextlib.closing(results_),
            Journal(run.work, run.shard) as journal,
        ):
            waited.bar = bar
            for row, result in results_:
                outcome = result
                if isinstance(result, Lost) and result.kind == "shortage":
                    raise Shortage(f"{run.build}, {row.id}: {result.reason}")
                if isinstance(result, Lost):
                    outcome = quarantine_lost(run, keys, stages, row, result)
                del handed_out[row.position]
                hosts[outcome.host] += 1
                _write_down(journal, outcome)
                n_examples += outcome.counts.examples
                n_quarantined += outcome.error is not None
                quarantined = f", {n_quarantined} quarantined" if n_quarantined else ""
                bar.update(1, f"{n_examples} examples{quarantined}")
                if outcome.fatal:
                    where = "" if local else f"a Dask worker on {outcome.host}: "
                    kind = UsageError if outcome.usage else WorkError
                    raise kind(where + outcome.fatal)
                yield outcome
    finally:
        # Workers that were ended in the middle of a unit have left what they had begun.
        for row in handed_out.values():
            with results.unit_lock(run.work, row.id, wait=False) as held:
                if held:
                    results.remove_unfinished(run.work, stages, row.id)


class _Waited:
    """What is shown while workers are at work and no unit has ended."""

    def __init__(self):
        self.bar: Progress | None = None

    def tick(self, steps: int) -> None:
        """Takes how often the workers have said that they are alive: a frame or a crop each."""
        if self.bar is not None:
            # Until a unit has ended, nothing else tells that the work gets on.
            self.bar.tick(None if self.bar.n else f"{steps} frames and crops" if steps else "")


def _noting(rows: Iterable[Row], handed_out: dict[int, Row]) -> Iterator[Row]:
    for row in rows:
        handed_out[row.position] = row
        yield row


def _compile(run: Run, tell: Tell) -> None:
    from posepile.imaging import KERNELS, warmup
    from posepile.stages.select import compile_scan

    words = f"{run.build} compiling"
    with Progress(words, KERNELS, "functions", quiet=run.quiet) as bar:
        warmup(
            compile_scan,
            announce=lambda line: tell(f"{run.build}: {line}"),
            step=lambda name: bar.update(),
        )


def workers_of(run: Run) -> int | None:
    """Returns how many units are worked on at once; None if the cluster decides that."""
    return run.jobs or (cpu_count() if run.backend.kind == "local" else None)


def limits(run: Run, jobs: int) -> Limits:
    """Returns what one unit may take, by ``run.max_memory`` and ``run.max_idle_minutes``."""
    params, stall = run.config.run, run.config.run.max_idle_minutes * 60 or None
    if params.max_memory is not None:
        memory = params.max_memory * 1e9
    elif run.backend.kind != "local":
        return Limits(None, stall)  # the share of each machine's own memory
    else:
        memory = max(LEAST, machine_memory() / jobs)
    return Limits(int(memory), stall)


def shared_by_machines(run: Run) -> Shared:
    """Returns what other machines that work for a run must see as this one does."""
    own, package = dataset_dir(run.name), Path(posepile.__file__).parent
    code = () if own.is_relative_to(package) else (own,)
    address = run.config.raw_address
    if address is not None:
        return Shared(run.work, (), code, keys_of(address))
    return Shared(run.work, (run.root,), code)


def quarantine_lost(
    run: Run, keys: Keys, stages: tuple[str, ...], row: Row, lost: Lost
) -> Outcome:
    """Quarantines a unit that took its worker with it, or raised what nobody foresaw."""
    error = {
        "file": row.id,
        "frame": None,
        "reason": lost.reason,
        "hint": f"the trace is in {results.quarantine_path(run.work, row.id)}",
        "trace": lost.trace,
    }
    record = {
        "unit": row.id,
        "stage": stages[-1],
        # What the files contain is not known here; their sizes and times must do.
        "key": {**keys.shared, "unit": row.digest()},
        "inputs": [_stamped(name, run) for name in row.names],
        "exclusions": keys.exclusions_digest(),
    }
    with results.unit_lock(run.work, row.id, wait=False) as held:
        if held:
            results.remove_unfinished(run.work, stages, row.id)
    results.write_quarantine(run.work, row.id, {**record, "error": error})
    return Outcome(row.id, dict.fromkeys(stages[-1:], "failed"), error=error, host=lost.host)


def _stamped(name: str, run: Run) -> list:
    try:
        stat = os.stat(run.root / name)
    except OSError as e:
        raise_if_shortage(run.root / name, e)
        return [name, 0, 0, "missing"]
    return [name, stat.st_size, stat.st_mtime_ns, "unknown"]


def _write_down(journal: Journal, outcome: Outcome) -> None:
    journal.write(
        unit=outcome.unit,
        stages=outcome.stages,
        examples=outcome.counts.examples,
        frames_read=outcome.counts.frames_read,
        seconds=round(outcome.seconds, 3),
        error=outcome.error or outcome.fatal,
        host=outcome.host,
    )
    note(unit_line(outcome))


def share_of_input(failed: int, quarantined_shares: float, units: int) -> float:
    """Returns the share of quarantined input: units weigh the same, m of n frames count m / n.

    Args:
        failed: Number of quarantined units.
        quarantined_shares: Sum over the good units of the share of quarantined frames.
        units: Number of all units.
    """
    return (failed + quarantined_shares) / max(1, units)


def check_quarantine(run: Run, failed: int, units: int, frames: int, share: float) -> None:
    """Fails the run above the tolerated share; what is quarantined has been listed.

    Args:
        run: The run.
        failed: Number of quarantined units.
        units: Number of all units.
        frames: Number of single quarantined frames.
        share: Share of quarantined input.

    Raises:
        WorkError: Names the share, the limit and where the list is.
    """
    if share > run.config.run.max_quarantined:
        raise WorkError(
            f"{run.build}: {failed} of {units} units and {frames} single frames are quarantined "
            f"({share:.2%} > run.max_quarantined = {run.config.run.max_quarantined:.2%}); nothing "
            f"was packed. Repair the files listed in {faults.list_path(run)} and run again "
            "(with --retry what is unchanged is tried again, too), or raise the limit"
        )


def check_detected(run: Run, counts: Counts, people: str) -> None:
    """Refuses a dataset in whose pictures the detector has found next to nobody.

    Args:
        run: The run.
        counts: Counts over the good units of a split, or over all.
        people: Whose counts these are, for the message.

    Raises:
        WorkError: Says how many were found, by which network, and what may be the reason.
    """
    params, (sought, found) = run.config, sought_and_found(counts)
    least = params.check.min_detected
    few = found == 0 or (sought >= MANY_PEOPLE and found < least * sought)
    if not (sought and few and params.check.enabled and least):
        return
    model = params.detect.model
    raise WorkError(
        f"{run.build}: {found} of {sought} {people} were found by the detector ("
        f"{model if isinstance(model, str) else model.path}; check.min_detected = {least:g}): "
        "its person class, its input's range or channels, or detect.score may be wrong; posepile "
        "model check FILE --image PICTURE shows what it says of a picture; nothing was packed"
    )


def check_not_empty(run: Run, counts: Counts, failed: int, units: int) -> None:
    """Refuses a dataset without examples.

    Args:
        run: The run.
        counts: Counts over all good units.
        failed: Number of quarantined units.
        units: Number of all units.

    Raises:
        WorkError: Says where all of them went.
    """
    if counts.examples:
        return
    if failed == units:
        raise WorkError(
            f"{run.build}: no example is left, as all {units} units are quarantined; nothing was "
            f"packed. Why is in {faults.list_path(run)}"
        )
    reasons = [f"{n} {reason}" for reason, n in sorted((counts.dropped + counts.excluded).items())]
    annotated, selected = counts.annotated, counts.selected
    if failed:
        reasons.append(f"{failed} of {units} units quarantined")
    raise WorkError(
        f"{run.build}: no example is left of {annotated} annotated person-frames: "
        + ", ".join([f"{selected} selected", *reasons])
        + "; nothing was packed"
    )

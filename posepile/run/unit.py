"""One unit, in a worker: runs the stages asked for and leaves a part for each, or nothing."""

from __future__ import annotations

import contextlib
import platform
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posepile import models, paths
from posepile.ds import load_recipe
from posepile.errors import CorruptInput, PosePileError, UsageError, WorkError
from posepile.files import disk_error, is_disk_error
from posepile.formats.derived import derive_in
from posepile.recipe import Sequence, Stills
from posepile.remote import contents, stand_ins
from posepile.remote.on_demand import fetching
from posepile.run import results
from posepile.run.executor import progress
from posepile.run.inputs import check_readable, fingerprint_inputs
from posepile.run.job import Run
from posepile.run.keys import Keys, differences
from posepile.run.listing import Row
from posepile.run.networks import is_of_network
from posepile.run.plan import concerns, same_key
from posepile.stages import UNIT_STAGES
from posepile.stages.counts import Counts
from posepile.stages.task import Task, needs_detector
from posepile.store import parts

# That another process of this machine may take to list a store with many millions of objects.
LISTING_SECONDS = 3 * 3600.0


@dataclass(frozen=True)
class Order:
    """What workers are told once.

    Attributes:
        run: The run.
        keys: Its keys.
        stages: The stages asked for.
        threads: Threads that one worker may use.
        before: Stages of which any unit had a result when the run began.
        listed: When the store of the raw files was looked at, by the clock of who asks.
    """

    run: Run
    keys: Keys
    stages: tuple[str, ...]
    threads: int = 1
    before: tuple[str, ...] = UNIT_STAGES
    listed: float = 0.0


@dataclass
class Outcome:
    """What became of one unit.

    Attributes:
        unit: Its id.
        stages: Stage -> ``done``, ``kept`` (was current already) or ``failed``.
        counts: Counts of the last stage that ran or was kept.
        error: What stopped the unit: ``file``, ``frame``, ``reason``, ``hint``, perhaps ``trace``.
        known: It had failed before in the same way and was not tried again.
        fatal: The error concerns the run, not this unit: stop handing out work.
        usage: The fatal error is a wrong request.
        seconds: Wall-clock time spent.
        host: The machine on which it was worked on.
    """

    unit: str
    stages: dict[str, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    error: dict[str, Any] | None = None
    known: bool = False
    fatal: str | None = None
    usage: bool = False
    seconds: float = 0.0
    host: str = field(default_factory=platform.node)


def import_all(name: str) -> None:
    """Imports what working on a dataset needs, once for all workers."""
    from posepile.imaging import preload
    from posepile.stages import crop, segment  # noqa: F401

    preload()
    load_recipe(name)


def process_unit(order: Order, row: Row) -> Outcome:
    """Runs the stages of one unit; what is wrong with the unit's data is part of the outcome.

    Exceptions that nobody foresaw are passed on, for the executor to report.
    """
    started = time.monotonic()
    outcome = Outcome(row.id)
    try:
        with results.unit_lock(order.run.work, row.id, alive=progress), _raw_files(order, row):
            _Unit(order, row, outcome).process()
    except PosePileError as e:
        outcome.fatal = str(e)
        outcome.usage = isinstance(e, UsageError)
    except OSError as e:
        if not is_disk_error(e):
            raise
        outcome.fatal = str(disk_error(e, order.run.work))
    outcome.seconds = time.monotonic() - started
    return outcome


@contextlib.contextmanager
def _raw_files(order: Order, row: Row) -> Iterator[None]:
    """What a unit needs of an object store is here meanwhile; what is on a disk always is."""
    address = order.run.config.raw_address
    if address is not None:
        derive_in(paths.work_dir(order.run.name), order.run.root)
        # This machine may be another than the caller's, with a list of another day.
        came = [0]

        def make(since):
            stand_ins.make(address, since=since, came=came)

        if stand_ins.listed_at(address) < order.listed:
            contents.patiently(address, make, [order.listed], progress, came, LISTING_SECONDS)
        contents.hold(address, row.names, progress)
    with fetching(address, progress):
        yield


class _Unit:
    """The unit at hand: its inputs, its key so far and its annotations once they are loaded."""

    def __init__(self, order: Order, row: Row, outcome: Outcome):
        self.order, self.run, self.keys = order, order.run, order.keys
        self.row, self.outcome = row, outcome
        self.record = results.read_quarantine(self.run.work, row.id)
        self.inputs: list[list] = []
        self.key: dict[str, str] = {}
        self.sound: set[str] = set()  # stages whose part was made or read whole just now
        self._paths: dict[str, Path] = {}
        self._heads: dict[str, dict | None] = {}  # just read
        self._sequences: list | None = None

    def process(self) -> None:
        stage = self.order.stages[0]
        try:
            self.inputs = fingerprint_inputs(
                self.row.names, self.run.root, self.known_inputs(), self.run.whole_checksums
            )
            self.key = self.keys.of_unit(self.row.digest(), self.inputs)
            if self.failed_before():
                return
            if not self.keys.excluded_as_whole(self.row.id):
                check_readable(self.inputs, self.run.root)
            for stage in self.order.stages:
                self.bring_up_to_date(stage)
        except CorruptInput as e:
            if is_of_network(self.run.config, e.file):  # no unit of the raw data is to blame
                raise UsageError(str(e)) from None
            self.quarantine(e, stage)
            return
        if self.record is not None and concerns(self.record, self.order.stages[-1]):
            results.quarantine_path(self.run.work, self.row.id).unlink(missing_ok=True)

    def known_inputs(self) -> list[list]:
        """What was recorded last of the unit's files, so that they need not be read again."""
        known: dict[str, list] = {}
        for stage in self.order.before:
            header = self._heads[stage] = parts.read_header(self.path(stage))
            if header and header.get("result"):
                known.update((entry[0], entry) for entry in header["result"]["inputs"])
        if self.record is not None and "inputs" in self.record["key"]:
            known.update((entry[0], entry) for entry in self.record["inputs"])
        return list(known.values())

    def failed_before(self) -> bool:
        """Whether the unit is quarantined and everything is as it was then."""
        record = self.record
        if record is None or self.run.retry or not concerns(record, self.order.stages[-1]):
            return False
        if not same_key(self.keys, record, self.key):
            return False
        if record["inputs"] != self.inputs:  # other times, equal contents
            results.write_quarantine(self.run.work, self.row.id, {**record, "inputs": self.inputs})
        self.outcome.error, self.outcome.known = record["error"], True
        return True

    def quarantine(self, error: CorruptInput, stage: str) -> None:
        found = {"file": error.file, "frame": error.frame}
        found |= {"reason": error.reason, "hint": error.hint}
        self.outcome.error, self.outcome.counts = found, Counts()
        self.outcome.stages[stage] = "failed"
        record = {"unit": self.row.id, "stage": stage, "key": self.key, "inputs": self.inputs}
        record["exclusions"] = self.keys.exclusions_digest()
        results.write_quarantine(self.run.work, self.row.id, {**record, "error": found})

    # ------------------------------------------------------------ stages

    def path(self, stage: str) -> Path:
        if stage not in self._paths:
            self._paths[stage] = results.part_path(self.run.work, stage, self.row.id)
        return self._paths[stage]

    def current_header(self, stage: str) -> dict[str, Any] | None:
        """Header of the stage's part if it is current, else None."""
        if stage in self._heads:
            header = self._heads.pop(stage)
        else:
            header = parts.read_header(self.path(stage))
        result = header.get("result") if header else None
        if not result:
            return None
        reasons = differences(self.keys, stage, self.key, result)
        if reasons == ("recipe",) and self.run.keep_results:
            return header
        if reasons or (self.run.retry and result["counts"]["quarantined"]):
            return None
        return header

    def build_on(self, header: dict[str, Any]) -> None:
        """Takes a stored result: what is made from it is of the code that made it."""
        self.key = {**self.key, "recipe": header["result"]["key"]["recipe"]}

    def bring_up_to_date(self, stage: str) -> None:
        header = self.current_header(stage)
        if header is not None and not self.is_damaged(stage, header):
            self.build_on(header)
            self.record_times(stage, header)
            self.outcome.stages[stage] = "kept"
            self.outcome.counts = Counts.from_json(header["result"]["counts"])
            return
        self.outcome.stages[stage] = "failed"
        self.outcome.counts = self.make(stage)
        self.outcome.stages[stage] = "done"

    def is_damaged(self, stage: str, header: dict[str, Any]) -> bool:
        """Whether a part cannot be what the next stage is made from; only then it is read."""
        if stage == self.order.stages[-1]:
            shard = parts.shard_of(self.path(stage))
            return "image_bytes" in header and (
                not shard.is_file() or shard.stat().st_size != header["image_bytes"]
            )
        return not self.is_sound(stage)

    def is_sound(self, stage: str) -> bool:
        """Whether every byte of a part is as it was written; it is read whole only once."""
        if stage not in self.sound and parts.damage_of_part(self.path(stage)) is None:
            self.sound.add(stage)
        return stage in self.sound

    def record_times(self, stage: str, header: dict[str, Any]) -> None:
        """Keeps the files' new times in the part, so that they are not read again every time."""
        if header["result"]["inputs"] == self.inputs:
            return
        path = self.path(stage)
        header, arrays = parts.read_arrays(path)
        parts.write_part(
            path, {**header, "result": {**header["result"], "inputs": self.inputs}}, arrays
        )

    def make(self, stage: str) -> Counts:
        from posepile.stages import crop, detect, examples, segment

        task = Task(
            spec=self.run.recipe.SPEC,
            sequences=self.sequences,
            params=self.run.config,
            exclusions=[e for e, _ in self.keys.exclusions],
            out=self.path(stage),
            threads=self.order.threads,
            progress=progress,
            detector=lambda: models.cached_detector(self.run.config.detect),
        )
        task.describe = lambda sequences: self.describe(stage, sequences, task.counts)
        if stage == "crop" and needs_detector(self.run.config):
            task.detections = self.detections()
        if stage == "segment":
            task.source = self.crops(task.counts)
        run = {"select": examples, "detect": detect, "crop": crop, "segment": segment}[stage].run
        run(task)
        self.sound.add(stage)
        return task.counts

    def sequences(self) -> list:
        """The unit's annotations, loaded once."""
        if self._sequences is None:
            root = self.run.root
            unit, options = self.row.unit(root), self.run.config.dataset
            reason = self.keys.excluded_as_whole(unit.id)
            try:
                check_readable(self.inputs, root)
                # What is too large for a float becomes infinite, which the stages find and count.
                with np.errstate(over="ignore", invalid="ignore"):
                    self._sequences = self.run.recipe.load_unit(root, unit, options)
            except CorruptInput:
                if reason is None:
                    raise
                lost = Counter({f"{reason} (a whole unit that cannot be read)": 1})
                nothing = Stills(()), None, [], lambda frame, person: ""
                self._sequences = [Sequence(unit.id, unit.split, *nothing, dropped=lost)]
        return self._sequences

    def describe(self, stage: str, sequences: list[str], counts: Counts) -> dict[str, Any]:
        """What the header of a part says of the result."""
        return {
            "unit": self.row.id,
            "split": self.row.split,
            "key": {name: self.key[name] for name in self.keys.needed[stage]},
            "inputs": self.inputs,
            "sequences": sequences,
            "exclusions": self.keys.excluded(sequences),
            "counts": counts.to_json(),
        }

    def detections(self):
        """Boxes that the detection stage made, None if there are none that fit."""
        from posepile.stages import detect

        header = self.current_header("detect")
        if header is None:
            return None
        try:
            found = detect.load(self.path("detect"))
        except CorruptInput:  # damaged on our disk, not in the raw data: detect again
            return None
        self.build_on(header)
        return found

    def crops(self, counts: Counts) -> Path:
        """The part of the crop stage; made again if the disk has damaged it."""
        header = self.current_header("crop")
        if header is None:
            raise WorkError(
                f"{self.row.id}: no current crops to segment; run the crop stage first"
            )
        path = self.path("crop")
        if not self.is_sound("crop"):
            parts.remove_part(path)
            self.make("crop")
            header = parts.read_header(path)
        self.build_on(header)
        counts.add(Counts.from_json(header["result"]["counts"]))
        return path

"""What of the raw files is there, what is missing, what it takes, and what mends it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.acquire.amounts import Amount
from posepile.acquire.doctor import glance
from posepile.acquire.estimates import Estimate, estimate, packed_bytes, roomy_disks
from posepile.acquire.findings import DoctorReport
from posepile.acquire.mending import FOUND, MEND, Asked, Mend, other_versions
from posepile.acquire.plan import (
    Decision,
    by_hand_lines,
    people_needed,
    plan,
    plan_lines,
    sources_of,
    sum_line,
)
from posepile.acquire.plan import plan_entries as source_entries
from posepile.acquire.stated import StatedCount
from posepile.ds import dataset_dir, dataset_names
from posepile.errors import UsageError
from posepile.files import read_object, write_json
from posepile.miniature import MARK, TRUTH
from posepile.progress.words import byte_size, duration
from posepile.run import networks
from posepile.run.apart import call_apart
from posepile.run.job import Run
from posepile.run.journal import journal_lines
from posepile.run.listing import count_units
from posepile.run.raw import recipe_lines

# An example, a crop of about 300 pixels a side with its mask, as packed; measured on miniatures.
EXAMPLE_BYTES = 50_000
RATE = 10_000_000  # bytes per second
_PICTURES = (".jpg", ".jpeg", ".png")


@dataclass
class RawPlan:
    """What a download would do.

    Attributes:
        lines: It as text.
        data: It as plain data.
        mends: Commands for what stands in its way.
        people: What a person must do first.
    """

    lines: list[str]
    data: dict[str, Any] = field(default_factory=dict)
    mends: list[Mend] = field(default_factory=list)
    people: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether a run could go through now."""
        return not (self.mends or self.people)


def asked_of(run: Run) -> Asked:
    """Returns what commands about a run have to name."""
    settings, config = run.settings
    words = [word for setting in settings for word in ("--set", setting)]
    if config is not None:
        words += ["--config", config]
    return Asked(run.build, tuple(words))


# ---------------------------------------------------------------- plan


def make_plan(run: Run, rate: float = RATE) -> RawPlan:
    """Returns what a download would do, what a person must do, and what room and time it takes.

    Args:
        run: The run.
        rate: Bytes per second that the network brings.
    """
    weights, wanted = networks.plan_lines(run.config)
    data: dict[str, Any] = {"dataset": run.name, "root": str(run.root), "sources": []}
    if (run.root / TRUTH).is_file():
        head = (
            f"{run.name}: {run.root} holds the miniature, for which nothing is fetched; with "
            "another DATA_ROOT the plan is that of the real data"
        )
        more = {"notes": [], "miniature": True, "weights": networks.plan_entries(run.config)}
        return RawPlan([head, *weights], data | more)
    lines: list[str] = []
    by_hand: list[str] = []
    decisions: list[Decision] = []
    path, counts = dataset_dir(run.name) / "sources.yaml", []
    if path.is_file():
        sources = sources_of(run.name, path)
        decisions, counts = plan(sources, run.root), sources.counts
        lines += plan_lines(sources, decisions, run.root)
        by_hand = by_hand_lines(sources, decisions)
        data["sources"] = source_entries(run.name, path, run.root)
    told = recipe_lines(run, "plan") if hasattr(run.recipe, "plan") else []
    further = sum(line.bytes for line in told if isinstance(line, Amount))
    packed, why = _packed(run, counts)
    need = estimate(decisions + wanted, run.root, further, packed, packed_bytes(run.archive))
    # What a person has to know and do comes last: it is what a screen still shows.
    found = RawPlan([*lines, *told, *weights, *by_hand])
    if decisions or wanted or further:
        found.lines.append(f"  {sum_line(decisions + wanted, further)}")
        found.lines += _room_lines(run, need, rate, why)
    found.people = people_needed(decisions + wanted)
    if found.people:
        found.lines.append(f"  a person first: {', '.join(found.people)}")
    seen = ""
    if path.is_file():
        seen = glance(run.name, path, run.root, _others())
    if seen:
        found.lines += [f"  {seen}; what mends it is said by", f"    {_doctor(run)}"]
    less = next((line.less for line in told if isinstance(line, Amount) and line.less), "")
    found.mends = _stands_in_the_way(run, need, less)
    for mend in found.mends:
        found.lines += mend.lines
    found.data = data | {
        "notes": [str(line) for line in told],
        "miniature": False,
        "weights": networks.plan_entries(run.config),
        "room": {
            "to_get": need.get,
            "unknown_sizes": need.unknown,
            "extracted": need.extracted,
            "packed": need.packed,
            "packed_known_by": why,
            "peak": need.peak,
            "peak_without_archives": need.lean,
            "free": need.free,
            "enough": not need.too_small,
        },
        "seconds": need.get / rate,
        "rate": rate,
        "people": found.people,
        "seen": seen,
        "mends": [mend.facts for mend in found.mends],
    }
    return found


def _others() -> list[str]:
    """Names beside raw folders that are not data of theirs."""
    return [*dataset_names(), "cache", "body_models", "models"]


def _doctor(run: Run) -> str:
    return asked_of(run).command("doctor")


def _room_lines(run: Run, need: Estimate, rate: float, why: str) -> list[str]:
    least = "at least " if need.unknown else "about "
    parts = [f"{byte_size(need.get)} fetched"] if need.get else []
    parts += [f"{byte_size(need.extracted)} extracted"] if need.extracted else []
    size = "size not known beforehand" if need.packed is None else byte_size(need.packed)
    room = "at least " if need.packed is None else least
    if need.packed is None and parts:
        parts.append("without the packed result")
    lines = [f"  packed: {size}{f' ({why})' if why else ''}"]
    lines += [f"  to make it: {_working_time(run)}"]
    if parts:
        lean = f", {byte_size(need.lean)} with --delete-archives" * (need.lean < need.peak)
        lines.append(
            f"  room: {room}{byte_size(need.peak)} at the peak ({', '.join(parts)})"
            f"{lean}; {byte_size(need.free)} free on the disk"
        )
        if need.goes:
            less = byte_size(need.peak - need.goes)
            lines.append(f"        {less} stay with --delete-archives, all of it without")
    else:
        lines.append(f"  room: {byte_size(need.free)} free on the disk")
    if need.get:
        lines.append(
            f"  time: {least}{duration(need.get / rate)} to fetch at {byte_size(round(rate))} "
            "a second (--rate 50MB says another speed)"
        )
    return lines


def _working_time(run: Run) -> str:
    """How long the processors are at work, by the units that are done."""
    n_all, seconds = count_units(run.work / "units.sqlite"), []
    for entry in journal_lines(run.work):
        with contextlib.suppress(LookupError, AttributeError, TypeError):
            if entry["stages"].get("crop") == "done":
                seconds.append(float(entry["seconds"]))
    if not n_all or not any(seconds):
        return "time not known beforehand (posepile run shows it once some units are done)"
    whole = sum(seconds) / len(seconds) * n_all
    return f"about {duration(whole)} on one core, by {len(seconds)} units of {n_all}"


def _stands_in_the_way(run: Run, need: Estimate, less: str = "") -> list[Mend]:
    if not need.too_small:
        return []
    asked = asked_of(run)
    what = (
        f"the disk of {run.root} is too small: {byte_size(need.peak)} are needed, "
        f"{byte_size(need.free)} are free"
    )
    if need.fits_lean:
        return [
            Mend(
                f"{what}; it fits if archives go once they are extracted",
                asked.command("run", last=["--delete-archives"]),
            )
        ]
    for place in roomy_disks(need.peak, run.root)[:1]:
        setting = ["--set", f"dataset.root={place / run.name}"]
        return [Mend(f"{what}; {place} has room", asked.command("run", instead=setting))]
    where = "name a folder on another disk with --set dataset.root=FOLDER, or make room"
    mends = [Mend(f"{what}; {where}")]
    if less:
        mends.append(Mend("or ask for less", asked.command("plan", last=["--set", less])))
    return mends


def _packed(run: Run, counts: Iterable[StatedCount]) -> tuple[int | None, str]:
    """About the size of the packed dataset in bytes, and how that is known."""
    there = packed_bytes(run.archive)
    if there:
        return there, "as it is here"
    done = _results(run.work / "parts")
    n_all = count_units(run.work / "units.sqlite")
    if done and n_all:
        n, size = done
        return round(size / n * n_all), f"by {n} of {n_all} units that are done"
    if run.recipe.SPEC.kind == "2d" and not any(c.of in ("examples", "annotated") for c in counts):
        # Of photographs with people not every one is kept, and some have more than one.
        pictures = [c for c in counts if (c.files or "").lower().endswith(_PICTURES)]
        n = sum(c.numbers["all"] for c in pictures)
        if n:
            return n * EXAMPLE_BYTES, f"if {n} stated pictures give an example of 50 kB each"
    for kind, most in (("examples", ""), ("annotated", "at most, ")):
        numbers = [c.numbers for c in counts if c.of == kind]
        n = sum(max(x.get("all", 0), sum(v for k, v in x.items() if k != "all")) for x in numbers)
        if n and len(numbers) == 1 and len(numbers[0]) > 1:
            return n * EXAMPLE_BYTES, f"{most}{n} stated examples of about 50 kB"
    return None, "told once some units are done"


def _results(folder: Path) -> tuple[int, int] | None:
    """How many units have results of the last stage that has any, and their size."""
    for stage in ("segment", "crop"):
        n = size = 0
        for parent, _, names in os.walk(folder / stage):
            for name in names:
                if name.endswith(".part"):
                    n += 1
                size += os.path.getsize(os.path.join(parent, name))
        if n:
            return n, size
    return None


# ---------------------------------------------------------------- doctor


def examine(run: Run, checksums: bool = False, look_in: Iterable[Path] = ()) -> DoctorReport:
    """Compares the raw files with what is expected.

    Args:
        run: The run.
        checksums: Read every file and compare what is known of its content.
        look_in: Folders in which to look for data that are not in place.
    """
    _refuse_far(run, "doctor looks")
    apart = run.config.run.isolate
    look_in = list(look_in)
    return call_apart(lambda: _examine(run, checksums, look_in), f"looking at {run.name}", apart)


def _examine(run: Run, checksums: bool, look_in: list[Path]) -> DoctorReport:
    report = DoctorReport(run.name, run.root)
    sources = dataset_dir(run.name) / "sources.yaml"
    if sources.is_file():
        from posepile.acquire.doctor import run_doctor

        report = run_doctor(
            run.name,
            sources,
            run.root,
            checksums=checksums,
            work=paths.work_dir(run.name),
            look_in=look_in,
            others=_others(),
            asked=asked_of(run),
        )
    if hasattr(run.recipe, "doctor"):
        told = recipe_lines(run, "doctor")
        versions, mends = other_versions(told, run.root, asked_of(run))
        report.problems += [line for line in told if not line.startswith(MEND)] + versions
        commands = [line[len(MEND) :] for line in told if line.startswith(MEND)]
        report.mends += [*(Mend(FOUND, command) for command in commands), *mends]
    whole = report.ok
    lacking = networks.doctor_lines(run.config, checksums)
    report.problems += lacking
    if lacking and whole:
        report.mends.append(Mend("networks", asked_of(run).command("step", "download")))
    return report


def mend(run: Run, report: DoctorReport) -> list[str]:
    """Renames misplaced files to where they belong and puts damaged ones aside.

    Args:
        run: The run.
        report: What was found.

    Returns:
        What was done, in lines. It is also kept in the work folder, to be undone by hand.
    """
    from posepile.acquire.aside import free_name, keep_lacking
    from posepile.acquire.moves import Move, carry_out

    found = [] if run.root.is_symlink() else report.moves  # others may need them where they are
    moves = {here: there for move in found for here, there in move.files.items()}
    moves |= {p: str(free_name(run.root / p).relative_to(run.root)) for p in report.aside}
    if not moves:
        return [f"{run.name}: nothing to mend by renaming"]
    log = paths.work_dir(run.name) / "moved.json"
    before = (read_object(log) or {}).get("moves", [])
    done: dict[str, str] = {}
    try:
        if report.aside:
            keep_lacking(run.root, report.aside)
        for here, there in moves.items():  # one at a time: what was done is known if one fails
            done |= carry_out(run.root, [Move(here, there, {here: there})])
    finally:
        if done:
            write_json(log, {"root": str(run.root), "moves": [*before, *map(list, done.items())]})
    return [f"{run.name}: {len(done)} files renamed; {log} says which"]


def _refuse_far(run: Run, what: str) -> None:
    address = run.config.raw_address
    if address is not None:
        raise UsageError(
            f"{run.name}: {what} at raw files on a disk, and dataset.root is {address}; bring "
            "them into order before they are uploaded, or mount the store"
        )


def link_from(run: Run, folder: Path) -> list[str]:
    """Fills the raw folder with links to the files of another one, each at its place.

    Nothing is changed in the other folder, which may be of another layout and read-only.

    Args:
        run: The run.
        folder: Holds the data.

    Returns:
        What was done, in lines.

    Raises:
        UsageError: The folders lie in each other, the folder is of a miniature, or nothing in it
            is known.
    """
    from posepile.acquire.doctor import run_doctor, walk

    _refuse_far(run, "--link-from looks")
    folder, root = folder.resolve(), run.root
    if folder == root.resolve() or folder in root.resolve().parents or root in folder.parents:
        raise UsageError(f"--link-from {folder}: lies in {root}, or the other way round")
    here = walk(folder)
    if drawn := [path for path in here if path.rsplit("/", 1)[-1] in (TRUTH, MARK)]:
        # Their links would tell that real data are drawn, and may be drawn anew.
        raise UsageError(f"--link-from {folder}: holds a miniature, no data ({drawn[0]})")
    report = run_doctor(run.name, dataset_dir(run.name) / "sources.yaml", folder)
    moved = {here: there for move in report.moves for here, there in move.files.items()}
    stray = {found.path for found in report.of("unexpected")}
    places = {f: moved.get(f, f) for f in here if f not in stray}
    if not places:
        raise UsageError(f"--link-from {folder}: nothing in it is known as of {run.name}")
    n = 0
    for here, there in places.items():
        target = root / there
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(folder / here, target)
            n += 1
    return [f"{run.name}: {n} links made in {root}, {len(places) - n} files were there"]

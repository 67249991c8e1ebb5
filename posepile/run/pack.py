"""Packing: finished parts become one archive, a manifest and a pickle. No image byte is copied."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.errors import WorkError
from posepile.files import disk_error, is_disk_error, read_object, stable_hash, write_json
from posepile.progress import Progress, Recorder, over, recorded
from posepile.recipe import SPLITS
from posepile.run import faults, replaced, results, stated
from posepile.run.inputs import archived_name, fingerprint_inputs
from posepile.run.job import Run, run_keys, run_units
from posepile.run.keys import Keys, name_changes
from posepile.run.listing import Row, UnitList
from posepile.run.locks import lock
from posepile.run.manifest import Totals, make_manifest, other_settings, stored_manifest
from posepile.run.plan import WITH_SHARD, Decision, Planner
from posepile.run.process import (
    check_detected,
    check_not_empty,
    check_quarantine,
    default_stages,
    final_stage,
    share_of_input,
    work_on,
)
from posepile.stages import UNIT_STAGES
from posepile.store import opening, packing, parts
from posepile.store.ahead import answers
from posepile.store.parts import DamagedParts

VERSION = 2

# So often damaged parts are made again before giving up on the disk.
REPAIRS = 3


def pack(
    run: Run, tell: Callable[[str], None] = print, *, again: bool = False
) -> tuple[dict[str, Any], bool]:
    """Packs the dataset if anything changed since it was last packed.

    Args:
        run: The run; its share does not matter, packing concerns all units (or those of
            ``--only``).
        tell: Is given lines to show.
        again: Pack even if nothing seems to have changed.

    Returns:
        The manifest, and whether anything had to be done.

    Raises:
        WorkError: Units are unfinished, too much input is quarantined, or there is no example.
    """
    with lock(run, "pack"):
        keys = run_keys(run)
        units = run_units(run, keys)
        for last in (False,) * REPAIRS + (True,):
            try:
                return _pack(run, keys, units, again, tell)
            except DamagedParts as e:
                if last:
                    raise
                _redo(run, keys, units, e.paths, tell)
    raise AssertionError("not reached")


def _pack(
    run: Run, keys: Keys, units: UnitList, again: bool, tell: Callable[[str], None]
) -> tuple[dict[str, Any], bool]:
    with recorded(run.work) as record:
        found = collect(run, keys, units, record)
    check_finished(run, keys, found)
    n = found.units + len(found.failed)
    counts = found.totals.all_counts()
    share = share_of_input(len(found.failed), found.quarantined_shares, n)
    faults.write_list([*found.failed, *counts.quarantined], faults.list_path(run))
    check_quarantine(run, len(found.failed), n, len(counts.quarantined), share)
    for split in SPLITS:
        check_detected(run, found.totals.counts[split], f"people of split {split}")
    check_not_empty(run, counts, len(found.failed), n)
    compared = stated.compare(run, units, found.totals.counts)
    manifest = make_manifest(run, keys, found.totals, found.failed, units.count, compared)

    key = stable_hash([VERSION, manifest, found.digest.hexdigest()])
    done = run.work / "pack.json"
    stored = stored_manifest(run)
    packed = read_object(done)
    if not again and stored and packed == {"key": key, "files": packed_files(run)}:
        return stored, False
    fewer = replaced.fewer_than_before(run, units)
    if fewer:
        tell(replaced.fewer_line(run, fewer))
    elif stored and (packed or {}).get("key", key) == key:  # packed again, e.g. repaired
        fewer = stored.get(replaced.KEY)
    manifest |= {replaced.KEY: fewer} if fewer else {}
    other = other_settings(run)
    if other:
        tell(
            f"{run.build}: the archive that is there was packed with other settings ({other}) and "
            "is replaced; --variant NAME would keep both"
        )
    done.unlink(missing_ok=True)
    stage = final_stage(run.config)
    positions = units.positions(run.only)
    skipped = found.skipped
    try:
        with (
            recorded(run.work) as record,
            Progress(f"{run.build} pack", found.bytes, "B", quiet=run.quiet, record=record) as bar,
        ):
            summary = packing.pack(
                (
                    results.part_path(run.work, stage, row.id)
                    for row in units.rows(p for p in positions if p not in skipped)
                ),
                run.archive,
                run.recipe.SPEC,
                manifest,
                inputs=lambda header: _inputs(run, header),
                progress=bar.update,
            )
        opening.write_pickle(run.archive, run.pickle)
        write_json(done, {"key": key, "files": packed_files(run)})
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, run.archive) from e
        raise
    results.remove_earlier_results(run.work)
    return summary["manifest"], True


def packed_files(run: Run) -> dict[str, int]:
    """Names and sizes of the files of a packed dataset, to see whether all are (still) there."""
    target = run.archive
    files = [target, run.pickle, *target.parent.glob(f"{target.name}[.-]*")]
    return {f.name: f.stat().st_size for f in sorted(set(files)) if f.is_file()}


def missing_files(run: Run) -> list[str]:
    """Returns the names of the files of the packed dataset that are gone since it was packed."""
    done = read_object(run.work / "pack.json")
    files = (done or {}).get("files")
    return sorted(set(files if isinstance(files, dict) else ()) - set(packed_files(run)))


# ---------------------------------------------------------------- what is finished


@dataclass
class Found:
    """What packing found of the units.

    Attributes:
        totals: What the manifest says of those that are finished.
        units: How many are finished.
        failed: Errors of the quarantined ones.
        skipped: Places of the quarantined ones.
        missing: Ids of some that are neither.
        n_missing: How many of those there are.
        reason: A component in which one of them differs, with the digest it had.
        digest: Of all parts in order, and of what they were made from.
        quarantined_shares: Sum over the units of the share of quarantined frames.
        bytes: Size of the pictures of the finished ones.
    """

    totals: Totals = field(default_factory=Totals)
    units: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    n_missing: int = 0
    reason: tuple[str, str | None] | None = None
    digest: Any = field(default_factory=hashlib.sha256)
    quarantined_shares: float = 0.0
    bytes: int = 0


def collect(run: Run, keys: Keys, units: UnitList, record: Recorder | None = None) -> Found:
    """Looks at the units in archive order and keeps no more of them than their sums."""
    found = Found()
    planner = Planner(run, keys, final_stage(run.config))
    positions = units.positions(run.only)
    words = f"{run.build} looking at results"
    settled = answers(functools.partial(settle, run, keys, planner), units.rows(positions))
    looked = over(settled, words, len(positions), quiet=run.quiet, record=record)
    for row, decision in looked:
        if decision.state == "current":
            result = decision.header["result"]
            found.quarantined_shares += found.totals.add(row.id, result, decision.kept)
            found.units += 1
            found.bytes += decision.header.get("image_bytes") or 0
            sums = decision.header["sha256"]
            identity = [row.id, result["key"]["inputs"], sums["columns"], sums["shard"]]
            found.digest.update("\0".join(identity).encode())
        elif decision.state == "quarantined":
            found.failed.append(decision.record["error"])
            found.skipped.add(row.position)
        else:
            found.n_missing += 1
            found.missing = found.missing or [row.id]
            if decision.reasons and found.reason is None:
                result = (decision.header or {}).get("result") or {"key": {}}
                found.reason = decision.reasons[0], result["key"].get(decision.reasons[0])
    return found


def settle(run: Run, keys: Keys, planner: Planner, row: Row) -> Decision:
    """Decides about a unit for good: where files have another time, their content is compared."""
    decision = planner.decide(row)
    if decision.state != "touched":
        return decision
    if decision.record is not None:
        then, state = decision.record["inputs"], "quarantined"
    else:
        then, state = decision.header["result"]["inputs"], "current"
    now = fingerprint_inputs(row.names, run.root, then, run.whole_checksums)
    same = [[n, size, digest] for n, size, _, digest in now] == [
        [n, size, digest] for n, size, _, digest in then
    ]
    if not same:
        return Decision("again", ("inputs",), decision.header)
    decision.state = state
    return decision


def check_finished(run: Run, keys: Keys, found: Found) -> None:
    """Refuses to pack while units are neither finished nor quarantined.

    Raises:
        WorkError: Says how many, names one, and why it is not current if it was.
    """
    if not found.n_missing:
        return
    why = ""
    if found.reason is not None:
        why = f" ({name_changes(keys, run.work, *found.reason)})"
    n = found.units + len(found.failed) + found.n_missing
    raise WorkError(
        f"{run.build}: {found.n_missing} of {n} units are not finished under this configuration, "
        f"e.g. {found.missing[0]}{why}; run the {final_stage(run.config)} stage"
    )


def _inputs(run: Run, header: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Name, size and digest of every input of a finished unit."""
    for name, size, _, digest in header["result"]["inputs"]:
        yield archived_name(name, run.work), size, digest


def packed_only(run: Run) -> str | None:
    """Returns the glob under which the archive was packed, None if it is not partial."""
    partial = (stored_manifest(run) or {}).get("partial")
    return partial["only"] if partial else run.only


# ---------------------------------------------------------------- making damaged parts again


def redo(run: Run, paths: list[Path], tell: Callable[[str], None] = print) -> None:
    """Makes damaged parts again, and nothing else.

    Args:
        run: The run.
        paths: The damaged parts.
        tell: Is given a line to show.

    Raises:
        WorkError: A part belongs to no unit, or its unit cannot be made again.
    """
    with lock(run, "pack"):
        keys = run_keys(run)
        _redo(run, keys, run_units(run, keys), paths, tell)


def _redo(
    run: Run, keys: Keys, units: UnitList, paths: list[Path], tell: Callable[[str], None]
) -> None:
    damaged: dict[str, set[str]] = {}
    for path in paths:
        damaged.setdefault(Path(path).stem, set()).add(Path(path).parent.parent.name)
    rows = [r for r in units.rows(units.positions()) if results.folder_name(r.id) in damaged]
    if len(rows) < len(damaged):
        unknown = sorted(damaged.keys() - {results.folder_name(r.id) for r in rows})
        raise WorkError(
            f"{run.build}: the damaged part {unknown[0]}.part belongs to no unit; move it away"
        )
    ids = ", ".join(row.id for row in rows[:3]) + (", …" if len(rows) > 3 else "")
    tell(f"{run.build}: made again because parts are damaged: {ids} ({len(rows)} in all)")
    for stages, group in _by_stages(run, rows, damaged).items():
        for row in group:
            for stage in stages:
                parts.remove_part(results.part_path(run.work, stage, row.id))
        for outcome in work_on(run, keys, stages, iter(group), len(group), tell):
            if outcome.error:
                raise WorkError(f"{run.build}: {outcome.unit}: {outcome.error['reason']}")


def _by_stages(
    run: Run, rows: list[Row], damaged: dict[str, set[str]]
) -> dict[tuple[str, ...], list[Row]]:
    """Units by the stages that are to be made again.

    Crop and mask share their images: what is damaged in one is so in the other.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    last = default_stages(run.config)
    for row in rows:
        stages = damaged[results.folder_name(row.id)]
        if stages & set(WITH_SHARD):
            stages = (stages - set(WITH_SHARD)) | set(last)
        groups.setdefault(tuple(s for s in UNIT_STAGES if s in stages), []).append(row)
    return groups

"""Imported units become parts, parts an archive: what is done already is not done again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.errors import WorkError
from posepile.files import (
    disk_error,
    fingerprint,
    is_disk_error,
    locked,
    read_object,
    stable_hash,
    write_json,
)
from posepile.imports.checks import Sample
from posepile.imports.facts import make_spec
from posepile.imports.source import Options, Source, Tally, Unit, complete_record
from posepile.recipe import SPLITS
from posepile.store import opening, packing, parts
from posepile.store.layout import find_index
from posepile.store.new_names import check_new_name, import_record
from posepile.store.parts import DamagedParts
from posepile.version import __version__

# What a part of this name holds was made by another version of the code, if not this one.
VERSION = 1

_PARTS = "imported"
_TOLD_EVERY = 20_000  # examples


@dataclass
class Imported:
    """What an import has made.

    Attributes:
        archive: The archive.
        splits: Examples of each split.
        n_images: Pictures.
        left_out: Reason -> examples.
        notes: What was made up or not kept -> examples.
        lines: What else is to be said.
        again: Whether anything had to be done.
    """

    archive: Path
    splits: dict[str, int]
    n_images: int
    left_out: Counter
    notes: Counter
    lines: list[str] = field(default_factory=list)
    again: bool = True


def write_dataset(
    source: Source,
    form: str,
    options: Options,
    *,
    tell: Callable[[str], None] = print,
) -> Imported:
    """Writes the archive and the pickle of an opened source.

    Args:
        source: The source.
        form: Name of the form, for the manifest.
        options: What was said.
        tell: Is given lines that say how far it is.

    Raises:
        WorkError: A picture is missing, coordinates cannot be right, or there is no example.
    """
    check_new_name(options.name, "import", "--name")
    work = paths.work_dir(options.name)
    work.mkdir(parents=True, exist_ok=True)
    busy = f"another import of {options.name} is active; wait for it"
    try:
        with locked(work / ".lock-pack", busy=busy):
            try:
                return _write(source, form, options, work, tell)
            except DamagedParts as e:
                tell(f"{options.name}: made again because parts are damaged: {len(e.paths)}")
                for path in e.paths:
                    parts.remove_part(path)
                return _write(source, form, options, work, tell)
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, work) from e
        raise


def _write(source, form, options, work, tell):
    folder = work / _PARTS
    folder.mkdir(exist_ok=True)
    general = [VERSION, form, source.facts.model_dump(), source.joint_info.names, options.name]
    general += [options.skip_missing]
    sample, done = Sample(source.where), {}
    told = n = 0
    for unit in source.units():
        if unit.id in done:
            raise WorkError(f"{source.where}: unit {unit.id} is there twice; rename one file")
        path = folder / f"{unit.id}.part"
        key = stable_hash([general, unit.id, unit.split, unit.key])
        header = parts.read_header(path)
        if header is None or (header.get("result") or {}).get("key") != key:
            _make(unit, path, key, options, sample)
            header = parts.read_header(path)
        done[unit.id] = (unit.split, path, header)
        n += header["n_examples"]
        if n - told >= _TOLD_EVERY:
            told = n
            tell(f"{options.name}: {n} examples")
    if not n:
        reasons = _sum(done, "left_out")
        why = f" ({_listed(reasons)})" if reasons else ""
        raise WorkError(f"{source.where}: no example in it{why}; nothing was written")
    return _pack(source, form, options, work, done, sample)


def _make(unit: Unit, path: Path, key: str, options: Options, sample: Sample) -> None:
    tally = Tally()
    with parts.PartWriter(path) as writer:
        for record, data in unit.read(tally):
            record.split = unit.split
            completed = complete_record(record, data, options, tally)
            if completed is not None:
                writer.add(*completed)
                sample.add(completed[0])
        sample.judge()  # before there is a part that would be taken for right
        writer.close({"key": key, "left_out": dict(tally.left_out), "notes": dict(tally.notes)})


def _pack(source, form, options, work, done, sample):
    folder, archive = work / _PARTS, paths.archive_path(options.name)
    for old in sorted(folder.glob("*.part")):  # of an import from other files
        if old.stem not in done and not old.name.startswith("."):
            parts.remove_part(old)
    in_order = [
        path for split in SPLITS for _, (own, path, _) in sorted(done.items()) if own == split
    ]
    left_out, notes = _sum(done, "left_out"), _sum(done, "notes")
    splits = Counter()
    for _, _, header in done.values():
        splits.update(header["splits"])
    spec = make_spec(options.name, source.facts, source.joint_info, source.kind)
    sources = [
        {"path": str(path), "bytes": os.path.getsize(path), "hash": fingerprint(path)}
        for path in options.files
        if path.is_file()
    ]
    manifest = {
        "name": options.name,
        "made_by": f"posepile {__version__}",
        "imported": {
            "form": form,
            "images": None if options.images is None else str(options.images),
            "facts": source.facts.model_dump(mode="json"),
            "described": source.described,
        },
        "sources": sources,
        "counts": dict(splits),
        "left_out": dict(left_out),
        "notes": dict(notes),
    }
    digests = [[h["sha256"]["columns"], h["sha256"]["shard"]] for _, _, h in done.values()]
    key = stable_hash([VERSION, manifest, digests])
    record, pickle_path = import_record(options.name), paths.cache_dir() / f"{options.name}.pkl"
    lines = [*source.notes, *filter(None, [sample.line()])]
    n_images = sum(header["n_images"] for _, _, header in done.values())
    result = Imported(archive, dict(splits), n_images, left_out, notes, lines)
    current = (read_object(record) or {}).get("key") == key
    if current and find_index(archive) is not None and pickle_path.exists():
        result.again = False
        return result
    packing.pack(in_order, archive, spec, manifest)
    opening.write_pickle(archive, pickle_path)
    write_json(record, {"key": key})
    return result


def _sum(done, name):
    total: Counter = Counter()
    for _, _, header in done.values():
        total.update((header.get("result") or {}).get(name) or {})
    return total


def _listed(reasons: dict[str, int]) -> str:
    return "; ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))


def summary(imported: Imported) -> list[str]:
    """Returns what an import has made, in lines."""
    counts = ", ".join(f"{n} {split}" for split, n in imported.splits.items() if n)
    lines = [f"{imported.archive}: {counts} of {imported.n_images} pictures"]
    if not imported.again:
        lines[0] += " (as it was)"
    lines += [f"  left out: {n} {reason}" for reason, n in sorted(imported.left_out.items())]
    lines += [f"  {n} examples: {note}" for note, n in sorted(imported.notes.items())]
    return lines + [f"  {line}" for line in imported.lines]


def plain(imported: Imported) -> dict[str, Any]:
    """Returns the same as JSON-serialisable data."""
    return {
        "archive": str(imported.archive),
        "splits": imported.splits,
        "images": imported.n_images,
        "left_out": dict(imported.left_out),
        "notes": dict(imported.notes),
        "lines": imported.lines,
        "changed": imported.again,
    }

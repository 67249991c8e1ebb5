"""Comparing a raw folder with what should be in it.

Four kinds of trouble are told apart, because each asks for something else: *missing* files are
fetched, *truncated* ones are fetched again, *misplaced* ones are moved, *unexpected* ones are only
mentioned. Expected is what ``sources.yaml`` says under ``layout`` and ``sources``, and every
file that an extraction has recorded with its size.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from posepile.acquire.archive_ends import archive_fault
from posepile.acquire.aside import lacking
from posepile.acquire.checksums import read_known
from posepile.acquire.elsewhere import find_elsewhere
from posepile.acquire.findings import DoctorReport
from posepile.acquire.joined import is_archive_name
from posepile.acquire.known import judge_known
from posepile.acquire.lockfile import read_lock
from posepile.acquire.media import content_fault
from posepile.acquire.mending import Asked
from posepile.acquire.moves import follow, gather, renamed_folders, where_it_belongs
from posepile.acquire.partial import partial_files
from posepile.acquire.patterns import (
    STATE_DIR,
    below,
    find_matches,
    glob_regex,
    is_literal,
    match_files,
)
from posepile.acquire.places import FileFacts, measure
from posepile.acquire.plan import Decision, plan
from posepile.acquire.records import crc_of, read_record, record_names
from posepile.acquire.remedies import Remedies
from posepile.acquire.sources import Expected, Sources, load_sources
from posepile.acquire.tree import bounds, counterparts, standing, too_few
from posepile.errors import leads_nowhere, no_raw_data, not_there_yet
from posepile.files import is_left_by_macos, names_in
from posepile.miniature import MARK, TRUTH

_GLANCE = 20_000  # files up to which a quick look goes


def run_doctor(
    name: str,
    sources_path: str | os.PathLike,
    root: str | os.PathLike,
    *,
    checksums: bool = False,
    only: Iterable[str] | None = None,
    work: Path | None = None,
    look_in: Iterable[Path] = (),
    others: Collection[str] = (),
    asked: Asked | None = None,
) -> DoctorReport:
    """Returns what is wrong with a dataset's raw folder.

    Args:
        name: Dataset.
        sources_path: Its ``sources.yaml``.
        root: Its raw folder. A folder with ``miniature_truth.json`` is a miniature: it is held to
            the kinds of files but not to their numbers, and needs no archives.
        checksums: Also hash every downloaded and every extracted file again and look at the end of
            every image; reads everything once.
        only: Names or parts of the sources to ask for; all that are not optional if left out.
        work: Work folder of the dataset, which keeps checksums of single files; None = none.
        look_in: Further folders in which to look for the data if they are not there.
        others: Names of folders beside the raw folder that are other datasets' own.
        asked: What the commands that mend it are to name; the dataset alone if left out.

    Raises:
        UsageError: Something is wrong with ``sources.yaml``.
    """
    sources, root = load_sources(sources_path), Path(root)
    report = DoctorReport(name, root)
    remedies = Remedies(sources, report, asked or Asked(name), look_in, others)
    if not names_in(root):
        remedies.nothing_there()
        report.add("missing", "", _nothing(root, name, mended=bool(report.mends)))
        return report
    if not (sources.sources or sources.layout):
        report.notes.append("sources.yaml names no files; the recipe's own checks follow")
        return report
    files = walk(root)
    report.n_files = len(files)
    miniature = TRUTH in files
    records = _records(root)
    if miniature:
        report.notes.append("a miniature: numbers of files are not judged, archives not needed")
    else:
        decisions = plan(sources, root, only)
        _judge_sources(decisions, root, report, checksums)
        _judge_aside(decisions, root, report)
    as_told, sources = sources, _standing(sources, files)
    _judge_records(sources, files, records, report, checksums)
    strays = _judge_layout(sources, files, records, miniature, report)
    _judge_strays(sources, files, strays, report)
    _judge_content(root, files, report, checksums)
    if checksums:
        _judge_checksums(sources, root, report)
    if not miniature:
        known = read_known(work, Path(sources_path).parent)
        judge_known(known, as_told, files, records, report, work if checksums else None, checksums)
    for a in sources.absent:
        report.notes.append(f"known to be absent: {a.what} ({a.reason})")
    report.sort()
    if not miniature:
        remedies.find(decisions, files)
    return report


def glance(
    name: str,
    sources_path: str | os.PathLike,
    root: str | os.PathLike,
    others: Collection[str] = (),
) -> str:
    """Returns in one line what a quick look finds wrong with a raw folder; empty if nothing.

    Names and the ends of archives are looked at. A folder of very many files is left to
    :func:`run_doctor`.

    Args:
        name: Dataset.
        sources_path: Its ``sources.yaml``.
        root: Its raw folder.
        others: Names of folders beside the raw folder that are other datasets' own.
    """
    sources, root = load_sources(sources_path), Path(root)
    if not names_in(root):
        found = find_elsewhere(sources, root, others=others)
        return next((f"{here} holds what belongs at {there}" for here, there in found.items()), "")
    if not (sources.sources or sources.layout):
        return ""
    files = walk(root, _GLANCE)
    if len(files) >= _GLANCE:
        return ""
    report = DoctorReport(name, root)
    for source in sources.sources:
        for paths in match_files([p.path for p in source.places], files):
            for archive in filter(is_archive_name, paths):
                fault = content_fault(root / archive, deep=False) or archive_fault(root / archive)
                if fault:
                    report.add("truncated", archive, fault)
    stands = _standing(sources, files)
    strays = _judge_layout(stands, files, _records(root), False, report)
    _judge_strays(stands, files, strays, report)
    return next(iter([*report.misplaced_lines, *report.truncated]), "")


def _nothing(root: Path, name: str, mended: bool) -> str:
    """What is said of a raw folder that is not there, or empty."""
    if mended and not leads_nowhere(root):
        return str(not_there_yet(root, "raw data", name, "see the command below"))
    return str(no_raw_data(root, name))


def walk(root: Path, most: float = math.inf) -> dict[str, int]:
    """Size of every file by relative path; our own state and what macOS leaves are left out.

    A folder is the last one that is looked into once there are ``most`` files.
    """
    sizes: dict[str, int] = {}
    waiting = [""]
    while waiting and len(sizes) < most:
        at = waiting.pop()
        with os.scandir(os.path.join(root, at)) as entries:
            for entry in entries:
                path = f"{at}{entry.name}"
                if path == STATE_DIR or is_left_by_macos(entry.name):
                    continue
                if entry.is_dir():
                    waiting.append(f"{path}/")
                else:
                    try:
                        sizes[path] = entry.stat().st_size
                    except FileNotFoundError:  # a link to nothing
                        sizes[path] = -1
    return dict(sorted(sizes.items()))


def _standing(sources: Sources, files: dict[str, int]) -> Sources:
    """The sources with all patterns for the one of ``roots`` that is in use."""
    found = sources.roots[0]
    for folder in sources.roots:
        if any(match_files([below(folder, e.path) for e in sources.layout], files)):
            found = folder
            break
    return standing(sources, found)


def _records(root: Path) -> dict[str, dict]:
    found = {name: read_record(root, name) for name in record_names(root)}
    return {name: r for name, r in found.items() if r and r["state"] == "done"}


def _judge_sources(
    decisions: Iterable[Decision], root: Path, report: DoctorReport, checksums: bool
) -> None:
    for d in decisions:
        source = d.source
        target = root / source.path if source.url else None
        if target and target.is_file() and (fault := source.fault(target)):
            report.add("truncated", source.path, fault)
            continue
        record = read_record(root, source.name)
        if record and record["state"] == "done":
            continue  # the archive may be gone; its files are judged one by one
        if d.action in ("fetch", "blocked") and d.found:
            report.add("missing", "", d.reason, source=source.name, telling=True)
        elif d.action in ("fetch", "blocked"):
            report.add("missing", source.path, "not downloaded", source=source.name)
        elif d.action == "resume":
            of = "" if d.total is None else f" of {d.total}"
            fault = f"download unfinished, {d.offset}{of} bytes"
            report.add("missing", source.path, fault, source=source.name, telling=True)
        elif d.action in ("manual", "tool"):
            how = "to be put there by hand" if source.manual else f"by {source.tool.command[0]}"
            by = f"{source.name}: {how}"
            report.add("missing", "", d.reason, source=by, telling=d.found)
        elif d.action in ("extract", "verify") and source.extract:
            report.add("missing", source.name, "downloaded but not extracted")
        elif d.action == "verify":
            report.notes.append(f"{source.name}: on disk but never checked")
        elif d.unverified and not checksums:
            report.notes.append(f"{source.name}: {d.reason}")


def _judge_aside(decisions: Iterable[Decision], root: Path, report: DoctorReport) -> None:
    """Files that were put aside are missing until they come again."""
    spare = [p.path for d in decisions if d.action == "have" for p in d.source.places]
    not_needed = set(lacking(root, spare))  # archives of what is here
    for path in lacking(root):
        if path not in not_needed:
            fault = "was put aside as damaged, has to be got again"
            report.add("missing", path, fault, telling=True)


def _judge_records(
    sources: Sources,
    files: dict[str, int],
    records: dict[str, dict],
    report: DoctorReport,
    checksums: bool,
) -> None:
    """Every single file that came out of an archive is known with its size and checksum."""
    rewritten = {
        s.name: [glob_regex(p) for p in s.extract.rewritten] for s in sources.sources if s.extract
    }
    for name, record in records.items():
        free = rewritten.get(name.split("--")[0], [])
        crcs = record.get("crc32", {}) if checksums else {}
        for path, size in record["files"].items():
            if path not in files:
                report.add("missing", path, f"was extracted from {name}, has disappeared")
            elif any(r.fullmatch(path) for r in free):
                continue
            elif files[path] != size:
                report.add("truncated", path, f"{files[path]} bytes instead of {size}")
            elif path in crcs and crc_of(report.root / path) != crcs[path]:
                report.add("truncated", path, f"not the content that came from {name}")


def _judge_layout(
    sources: Sources,
    files: dict[str, int],
    records: dict[str, dict],
    miniature: bool,
    report: DoctorReport,
) -> list[str]:
    """Holds the files to the expected tree; returns those that have no place in it."""
    absent = [glob_regex(p) for a in sources.absent for p in a.paths]
    matches = match_files([e.path for e in sources.layout], files)
    for expected, found in zip(sources.layout, matches, strict=True):
        _judge_number(expected, found, miniature, report)
        for path in found:
            fault = None if miniature else expected.size_fault(files[path])
            if fault:
                report.add("truncated", path, fault)
        if expected.for_each:
            for path in counterparts(expected, files, expected.for_each):
                if path not in files and not any(r.fullmatch(path) for r in absent):
                    report.add("missing", path)

    known = {path for found in matches for path in found}
    known |= {path for record in records.values() for path in record["files"]}
    places = [p.path for s in sources.sources for p in s.places]
    places += [below(r, p) for s in sources.sources for p in s.provides for r in sources.roots]
    places += [*sources.ignore, TRUTH, MARK, "body_models/**"]  # which every recipe may use
    known |= {path for found in match_files(places, files) for path in found}
    known |= {name for s in sources.sources if s.url for name in partial_files(s.path)}
    return [path for path in files if path not in known]


def _judge_number(
    expected: Expected, found: list[str], miniature: bool, report: DoctorReport
) -> None:
    if miniature:
        few = min(bounds(expected)[0], 1)
        expected = expected.model_copy(update={"count": None, "min": few, "max": None})
    n, most = len(found), bounds(expected)[1]
    few = too_few(expected, expected.path, n)
    if few is not None:
        report.add("missing", expected.path, few)
    elif most is not None and n > most:
        limit = "" if expected.count is not None else "at most "
        report.add("unexpected", expected.path, f"{n} files, {limit}{most} expected")


def _judge_strays(
    sources: Sources, files: dict[str, int], strays: list[str], report: DoctorReport
) -> None:
    """Tells files that lie in the wrong place from files that belong nowhere."""
    expected = [e.path for e in sources.layout]
    archives = [p.path for s in sources.sources for p in s.places]
    found = where_it_belongs(strays, expected + archives)
    second = {path: place for path, place in found.items() if place in files}
    for path, place in second.items():
        report.add("unexpected", path, "a second", place=place)
    found = {path: place for path, place in found.items() if path not in second}
    others = [p for p in strays if p not in found and p not in second]
    numbers = {e.path: e.count or 0 for e in sources.layout}
    found |= renamed_folders(others, numbers, files)
    exact = {path: place for path, place in found.items() if is_literal(place)}
    twice = {place for place, n in Counter(exact.values()).items() if n > 1}
    exact = {path: place for path, place in exact.items() if place not in twice}
    moves = gather(exact)
    beside = follow(moves, (p for p in others if p not in found), expected)
    exact |= {p: place for p, place in beside.items() if place not in files}
    report.moves = gather(exact)
    found |= exact
    for path, place in found.items():
        report.add("misplaced", path, "belongs at", place=place)
    for path in others:
        if path not in found:
            report.add("unexpected", path)


def _judge_content(root: Path, files: dict[str, int], report: DoctorReport, deep: bool) -> None:
    for path, size in files.items():
        if path.endswith(tuple(partial_files(""))):
            continue
        if size == -1:
            report.add("missing", path, "a link to a file that does not exist")
            continue
        fault = content_fault(root / path, deep=deep) or archive_fault(root / path)
        if fault:
            report.add("truncated", path, fault)


def _judge_checksums(sources: Sources, root: Path, report: DoctorReport) -> None:
    """Measures again whatever was fetched or checked, and holds it to what was found then."""
    published = {
        m: p for s in sources.sources for p in s.places for m in find_matches(root, p.path)
    }
    for path, entry in read_lock(root).items():
        if not (root / path).is_file():
            continue
        place = published.get(path, FileFacts())
        keys = FileFacts.model_fields.keys() & entry.keys()
        recorded = FileFacts(**{key: entry[key] for key in keys})
        found = measure(root / path, FileFacts(**(place.facts | recorded.facts)))
        if recorded.fault(root / path, found):
            report.add("truncated", path, "its content has changed since it was fetched")
        elif place.fault(root / path, found):
            report.add("truncated", path, "its checksum is not the published one")

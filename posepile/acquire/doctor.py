"""Comparing a raw folder with what should be in it.

Four kinds of trouble are told apart, because each asks for something else: *missing* files are
fetched, *truncated* ones are fetched again, *misplaced* ones are moved, *unexpected* ones are only
mentioned. Expected is what ``sources.yaml`` says under ``layout`` and ``sources``, and every
file that an extraction has recorded with its size.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from posepile.acquire.lockfile import read_lock
from posepile.acquire.media import content_fault
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
from posepile.acquire.plan import plan
from posepile.acquire.records import crc_of, read_record, record_names
from posepile.acquire.sources import Expected, Sources, load_sources
from posepile.errors import no_raw_data
from posepile.files import is_left_by_macos, names_in
from posepile.miniature import MARK, TRUTH

KINDS = ("missing", "truncated", "misplaced", "unexpected")
_EXAMPLES = 5


@dataclass
class DoctorReport:
    """What is wrong with a raw folder.

    Attributes:
        name: Dataset.
        root: Its raw folder.
        missing: What is not there, one phrase each.
        truncated: Files of the wrong size or cut off, or (with checksums) of other content.
        misplaced: Files that belong elsewhere, with the place.
        unexpected: Files that belong nowhere; a remark, not a fault.
        notes: Other things worth saying.
        n_files: How many files were looked at.
    """

    name: str
    root: Path
    missing: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_files: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything that is needed is there and whole."""
        return not (self.missing or self.truncated or self.misplaced)

    @property
    def counts(self) -> dict[str, int]:
        """How much of each kind of trouble."""
        return {kind: len(getattr(self, kind)) for kind in KINDS}

    @property
    def lines(self) -> list[str]:
        """The report as text, with the first few examples of each kind."""
        lines = [f"{self.name}: {self.root}: {self.n_files} files"]
        for kind in KINDS:
            found = getattr(self, kind)
            if found:
                lines.append(f"  {kind}: {len(found)}")
                lines += [f"    {text}" for text in found[:_EXAMPLES]]
                if len(found) > _EXAMPLES:
                    lines.append(f"    ... and {len(found) - _EXAMPLES} more")
        lines += [f"  note: {text}" for text in self.notes]
        lines.append("  ok" if self.ok else "  not ok")
        return lines


def run_doctor(
    name: str,
    sources_path: str | os.PathLike,
    root: str | os.PathLike,
    *,
    checksums: bool = False,
    only: Iterable[str] | None = None,
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

    Raises:
        UsageError: Something is wrong with ``sources.yaml``.
    """
    sources, root = load_sources(sources_path), Path(root)
    report = DoctorReport(name, root)
    if not names_in(root):
        report.missing.append(str(no_raw_data(root, name)))
        return report
    if not (sources.sources or sources.layout):
        report.notes.append("sources.yaml names no files; the recipe's own checks follow")
        return report
    files = _walk(root)
    report.n_files = len(files)
    miniature = TRUTH in files
    records = _records(root)
    sources = _standing(sources, files)
    if miniature:
        report.notes.append("a miniature: numbers of files are not judged, archives not needed")
    else:
        _judge_sources(sources, root, only, report)
    _judge_records(sources, files, records, report, checksums)
    strays = _judge_layout(sources, files, records, miniature, report)
    _judge_strays(sources, files, strays, report)
    _judge_content(root, files, report, checksums)
    if checksums:
        _judge_checksums(sources, root, report)
    for a in sources.absent:
        report.notes.append(f"known to be absent: {a.what} ({a.reason})")
    for kind in KINDS:
        setattr(report, kind, sorted(set(getattr(report, kind))))
    return report


def _walk(root: Path) -> dict[str, int]:
    """Size of every file by relative path; our own state and what macOS leaves are left out."""
    sizes: dict[str, int] = {}
    waiting = [""]
    while waiting:
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
    layout = [
        e.model_copy(
            update={
                "path": below(found, e.path),
                "for_each": e.for_each and below(found, e.for_each),
            }
        )
        for e in sources.layout
    ]
    absent = [
        a.model_copy(update={"paths": [below(found, p) for p in a.paths]}) for a in sources.absent
    ]
    return sources.model_copy(update={"layout": layout, "absent": absent})


def _records(root: Path) -> dict[str, dict]:
    found = {name: read_record(root, name) for name in record_names(root)}
    return {name: r for name, r in found.items() if r and r["state"] == "done"}


def _judge_sources(
    sources: Sources, root: Path, only: Iterable[str] | None, report: DoctorReport
) -> None:
    for d in plan(sources, root, only):
        source = d.source
        target = root / source.path if source.url else None
        if target and target.is_file() and (fault := source.fault(target)):
            report.truncated.append(f"{source.path}: {fault}")
            continue
        record = read_record(root, source.name)
        if record and record["state"] == "done":
            continue  # the archive may be gone; its files are judged one by one
        if d.action in ("fetch", "blocked"):
            report.missing.append(f"{source.path}: not downloaded ({source.name})")
        elif d.action == "resume":
            of = "" if d.total is None else f" of {d.total}"
            report.missing.append(
                f"{source.path}: download unfinished, {d.offset}{of} bytes ({source.name})"
            )
        elif d.action in ("manual", "tool"):
            how = "to be put there by hand" if source.manual else f"by {source.tool.command[0]}"
            report.missing.append(f"{d.reason} ({source.name}: {how})")
        elif d.action in ("extract", "verify") and source.extract:
            report.missing.append(f"{source.name}: downloaded but not extracted")
        elif d.action == "verify":
            report.notes.append(f"{source.name}: on disk but never checked")
        elif d.reason.endswith("not verified"):
            report.notes.append(f"{source.name}: {d.reason}")


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
                report.missing.append(f"{path}: was extracted from {name}, has disappeared")
            elif any(r.fullmatch(path) for r in free):
                continue
            elif files[path] != size:
                report.truncated.append(f"{path}: {files[path]} bytes instead of {size}")
            elif path in crcs and crc_of(report.root / path) != crcs[path]:
                report.truncated.append(f"{path}: not the content that came from {name}")


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
                report.truncated.append(f"{path}: {fault}")
        if expected.for_each:
            for path in _counterparts(expected, files):
                if path not in files and not any(r.fullmatch(path) for r in absent):
                    report.missing.append(path)

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
    if expected.optional and not found:
        return
    low, high = expected.min, expected.max
    if expected.count is not None:
        low = high = expected.count
    if low is None:
        low = 0 if expected.for_each else 1
    if miniature:
        low, high = min(low, 1), None
    n = len(found)
    if n < low:
        if is_literal(expected.path):
            report.missing.append(expected.path)
        elif expected.for_each is None or n == 0:
            least = "" if expected.count is not None else "at least "
            report.missing.append(f"{expected.path}: {n} files, {least}{low} expected")
    elif high is not None and n > high:
        most = "" if expected.count is not None else "at most "
        report.unexpected.append(f"{expected.path}: {n} files, {most}{high} expected")


def _counterparts(expected: Expected, files: dict[str, int]) -> list[str]:
    """Paths that must exist because of the files matching ``for_each``."""
    regex = glob_regex(expected.for_each)
    result = set()
    for path in match_files([expected.for_each], files)[0]:
        words = regex.fullmatch(path).groupdict()
        result.add(re.sub(r"<(\w+)>", lambda m, words=words: words[m[1]], expected.path))
    return sorted(result)


def _judge_strays(
    sources: Sources, files: dict[str, int], strays: list[str], report: DoctorReport
) -> None:
    """Tells files that lie in the wrong place from files that belong nowhere."""
    expected = [e.path for e in sources.layout]
    expected += [p.path for s in sources.sources for p in s.places]
    tails = [t for pattern in dict.fromkeys(expected) for t in _tails(pattern)]
    tails.sort(key=lambda t: -t.length)
    for path in strays:
        belongs = _belongs_at(path, tails)
        if belongs in files:
            report.unexpected.append(f"{path}: a second {belongs}")
        elif belongs:
            report.misplaced.append(f"{path}: belongs at {belongs}")
        else:
            report.unexpected.append(path)


@dataclass(frozen=True)
class _Tail:
    """The last components of a pattern, by which a file can be recognised in another place."""

    length: int
    regex: re.Pattern
    head: list[str]
    pattern: str


def _tails(pattern: str) -> list[_Tail]:
    parts = pattern.split("/")
    tails = []
    for i in range(len(parts)):
        tail = parts[i:]
        # Without any fixed word (``*/*.json``) too much would be recognised.
        if "**" not in tail and any(is_literal(p) for p in tail):
            tails.append(_Tail(len(tail), glob_regex("/".join(tail)), parts[:i], pattern))
    return tails


def _belongs_at(path: str, tails: list[_Tail]) -> str | None:
    parts = path.split("/")
    for t in tails:
        end = parts[-t.length :]
        if t.length <= len(parts) and t.regex.fullmatch("/".join(end)):
            known = all(is_literal(p) for p in t.head)
            return "/".join([*t.head, *end]) if known else t.pattern
    return None


def _judge_content(root: Path, files: dict[str, int], report: DoctorReport, deep: bool) -> None:
    for path, size in files.items():
        if path.endswith(tuple(partial_files(""))):
            continue
        if size == -1:
            report.missing.append(f"{path}: a link to a file that does not exist")
            continue
        fault = content_fault(root / path, deep=deep)
        if fault:
            report.truncated.append(f"{path}: {fault}")


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
            report.truncated.append(f"{path}: its content has changed since it was fetched")
        elif place.fault(root / path, found):
            report.truncated.append(f"{path}: its checksum is not the published one")

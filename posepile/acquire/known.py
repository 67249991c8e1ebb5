"""Files that somebody else has extracted, held to what is known of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posepile.acquire.checksums import FIRST_LOOK, Known, keep_first_look, without_root
from posepile.acquire.findings import DoctorReport
from posepile.acquire.patterns import below, match_files
from posepile.acquire.records import crc_of
from posepile.acquire.sources import Sources


def judge_known(
    known: Known,
    sources: Sources,
    files: Mapping[str, int],
    records: Mapping[str, dict[str, Any]],
    report: DoctorReport,
    work: Path | None,
    deep: bool,
) -> None:
    """Adds to a report which files differ from what is known, and says how many do not.

    Args:
        known: What :func:`posepile.acquire.checksums.read_known` gave.
        sources: What ``sources.yaml`` says.
        files: Size of every file of the raw folder.
        records: Of what was extracted here, which is judged by these.
        report: What is added to.
        work: Where the first look at files is kept of which nothing is known; None = nowhere.
        deep: Read the files; else their sizes are compared.
    """
    passed = {path for record in records.values() for path in record["files"]}
    rewritten = [p for s in sources.sources if s.extract for p in s.extract.rewritten]
    archives = [place.path for s in sources.sources for place in s.places]
    skipped = match_files([*rewritten, *archives], files)
    passed |= {path for found in skipped for path in found}
    provided = [below(r, p) for s in sources.sources for p in s.provides for r in sources.roots]
    by_hand = {path for found in match_files(provided, files) for path in found}
    right, seen = 0, {}
    for path, size in files.items():
        key = without_root(path, sources.roots)
        if path in passed or size < 0:
            continue
        if key not in known:
            if deep and work is not None and path in by_hand:
                seen[key] = size, crc_of(report.root / path)
            continue
        expected, crc, origin = known[key]
        of = "as it was at the first look" if origin == FIRST_LOOK else f"as in {origin}"
        if size != expected:
            report.add("truncated", path, f"{size} bytes instead of {expected}, {of}")
        elif deep and crc_of(report.root / path) != crc:
            report.add("truncated", path, f"not the content that it should have, {of}")
        else:
            right += deep
    if right:
        report.notes.append(f"{right} files that others have extracted have the known checksums")
    if seen and work is not None:
        place = keep_first_look(work, seen)
        report.notes.append(
            f"{len(seen)} files of which no checksum is known were read for the first time; what "
            f"they are now is kept in {place} and compared from now on"
        )

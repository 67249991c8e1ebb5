"""Whether what comes out of an archive would take the place of something else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from posepile.acquire.joined import parts_of
from posepile.acquire.lockfile import read_lock
from posepile.acquire.members import shown
from posepile.acquire.patterns import glob_regex
from posepile.acquire.records import crc_of, read_record, record_names
from posepile.acquire.staging import Unpacking
from posepile.errors import CorruptInput, WorkError

_ITSELF = "the archive itself"
_DOCUMENTS = re.compile(r"(readme|licen[cs]e|terms|copying|citation)[^/]*", re.IGNORECASE)


def documents_there(work: Unpacking, paths: Iterable[str]) -> list[str]:
    """Returns the staged documents that stay out; all other files may be moved to their places.

    What was there before from somewhere else than an archive or a download is replaced, and so is
    what has the same content, or may be rewritten (``extract.rewritten``). Of licences and the
    like, which many archives bring under one name, the first stays: the later one stays out.

    Args:
        work: The extraction, whose staged files are removed where it is refused.
        paths: The files that are to be moved.

    Raises:
        CorruptInput: A file would replace the archive or what came from another one.
        WorkError: A folder stands where a file belongs, or a file where a folder does.
    """
    paths, there = list(paths), {}
    folders = {parent for path in paths for parent in _parents(path)}
    blocked = {f for f in folders if os.path.lexists(work.root / f) and not _is_folder(work, f)}
    present = [p for p in paths if os.path.lexists(work.root / p)]
    blocked |= {p for p in present if _is_folder(work, p)}
    free = [glob_regex(p) for p in work.params.rewritten]
    doubtful = {p for p in present if not any(r.fullmatch(p) for r in free)} | blocked
    for path, owner, crc in _owners(work, doubtful):
        if path in work.files and path not in blocked and _is_document(path, owner):
            if not _is_same(work, path, owner, crc):
                there[path] = True
        elif path in blocked or not _is_same(work, path, owner, crc):
            work.clear()
            raise CorruptInput(
                work.archive,
                f"its {shown(path)} would take the place of what came from {owner}; refused",
                hint="give it another place (extract.to in sources.yaml); files that may replace "
                "each other are listed in extract.rewritten",
            )
    for path in sorted(blocked):
        stands, belongs = ("folder", "file") if path in present else ("file", "folder")
        raise WorkError(
            f"{work.root / path}: a {stands} stands where a {belongs} belongs; move it away and "
            "run again"
        )
    return list(there)


def leave_out(work: Unpacking, documents: Iterable[str]) -> None:
    """Takes documents out of what an archive becomes, and counts them."""
    for path in documents:
        del work.files[path]
        work.skipped["documents that are there from another archive"] += 1


def _is_document(path: str, owner: str) -> bool:
    return owner != _ITSELF and bool(_DOCUMENTS.fullmatch(path.rsplit("/", 1)[-1]))


def _is_folder(work: Unpacking, path: str) -> bool:
    return (work.root / path).is_dir()


def _is_same(work: Unpacking, path: str, owner: str, crc: int | None) -> bool:
    if owner == _ITSELF:
        return False
    # What is on disk may have been damaged since.
    there = crc_of(work.root / path) if crc is None else crc
    return there == work.crcs.get(path)


def _owners(work: Unpacking, paths: set[str]) -> Iterator[tuple[str, str, int | None]]:
    """Yields those of the paths that hold something from elsewhere.

    With where it is from, and the CRC-32 that it had, where that is recorded.
    """
    if not paths:
        return
    root = work.root.resolve()
    mine = [Path(os.path.relpath(p.resolve(), root)).as_posix() for p in parts_of(work.archive)]
    yield from ((path, _ITSELF, None) for path in _touched(paths, mine))
    for file, entry in read_lock(work.root).items():
        yield from ((path, entry["source"], None) for path in _touched(paths, [file]))
    for name in record_names(work.root):
        record = read_record(work.root, name) if name != work.name else None
        if record is not None:
            crcs = record.get("crc32", {})
            touched = _touched(paths, record["files"])
            yield from ((path, name, crcs.get(path)) for path in touched)


def _touched(paths: set[str], files: Iterable[str]) -> list[str]:
    """Returns those of the paths that are one of the files, or a folder of one."""
    return sorted({p for file in files for p in (file, *_parents(file)) if p in paths})


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[: i + 1]) for i in range(len(parts)))

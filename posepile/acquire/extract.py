"""Unpacking downloaded archives: checked, resumable, and never half done.

An archive is read into a staging folder (``.posepile/extracting/<name>``). Only when it has been
read to its end and every checksum in it holds are the files moved into place, and only then is the
fact recorded (see :mod:`posepile.acquire.records`). So a record means that the archive is
completely there; an interrupted extraction goes on with what has been staged; a repeated one
does nothing. No link is ever created, so nothing can be written through one.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.acquire.collisions import documents_there, leave_out
from posepile.acquire.joined import parts_of
from posepile.acquire.members import Password
from posepile.acquire.records import (
    crc_of,
    damaged_files,
    extract_params,
    is_extracted,
    read_record,
    record_path,
    write_record,
)
from posepile.acquire.sources import Extract
from posepile.acquire.staging import Unpacking, copy_whole, stage
from posepile.durable import boot_id, own_temporary, remove_left, sync, sync_all, sync_tree
from posepile.errors import WorkError
from posepile.files import disk_error, is_disk_error, read_object, write_json

Log = Callable[[str], None]

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Extraction:
    """What an archive has become.

    Attributes:
        files: Size in bytes of every extracted file, by path relative to the raw folder.
        skipped: How many members were left out, by reason.
        done_before: Nothing had to be done.
    """

    files: dict[str, int]
    skipped: dict[str, int] = field(default_factory=dict)
    done_before: bool = False


def extract_archive(
    archive: Path,
    root: Path,
    params: Extract | None = None,
    *,
    name: str | None = None,
    sha256: str | None = None,
    password: Password = None,
    log: Log = lambda line: None,
    check: Callable[[], None] = lambda: None,
) -> Extraction:
    """Extracts an archive below the raw folder; does nothing if that has been done.

    Args:
        archive: The archive.
        root: Raw folder of the dataset; ``params.to`` is relative to it.
        params: Where to, what, and how names change.
        name: Under which name this is recorded; the archive's file name if left out.
        sha256: The archive's checksum, if it is known: tells a new archive of the same name.
        password: Of an encrypted archive, or a function that is asked when it is needed.
        log: Called with a line per notable event.
        check: Called now and then; what it raises interrupts the extraction.

    Raises:
        CorruptInput: Truncated or damaged, not an archive, unsafe, or not what it should be.
        UsageError: A password is missing or wrong.
        WorkError: The disk is full or something stands in the way.
    """
    archive, root = Path(archive), Path(root)
    params, name = params or Extract(), name or archive.name
    if not params.keep and not archive.exists() and is_extracted(root, name, params):
        record = read_record(root, name)
        return Extraction(record["files"], record["skipped"], done_before=True)
    work = Unpacking(archive, root, name, params, check=check)
    try:
        done_before = _extract(work, _identity(archive, params, sha256), password, log)
        if not params.keep:
            for part in parts_of(archive):
                part.unlink(missing_ok=True)
    except OSError as e:
        if isinstance(e, FileNotFoundError) and e.filename == os.fspath(archive):
            raise WorkError(f"{archive}: no such archive; run the download again") from None
        if is_disk_error(e):
            raise disk_error(e, root, f"extracting {archive.name}") from None
        what = f"{e.strerror or e} while extracting {archive.name}"
        raise WorkError(f"{e.filename or root}: {what}") from None
    record = read_record(root, name)
    if not done_before:
        for reason, count in record["skipped"].items():
            log(f"{name}: {count} members left out: {reason}")
    return Extraction(record["files"], record["skipped"], done_before)


def _extract(work: Unpacking, identity: dict[str, Any], password: Password, log: Log) -> bool:
    """Does what remains to be done; returns whether that was nothing."""
    root, name = work.root, work.name
    record = read_record(root, name)
    changed = ""
    if record and record["of"] != identity:
        changed = "the archive or how it is to be extracted has changed"
    elif record and record["state"] == "moving":
        lost = [path for path in record["files"] if not _is_whole(work, record, path)]
        if lost:
            changed = f"{len(lost)} unpacked files are gone or damaged, first {lost[0]}"
    if changed:
        log(f"{name}: {changed}; extracting again")
        record_path(root, name).unlink(missing_ok=True)
        work.clear()
        record = None
    # What was staged before a power cut may have its size and yet not be whole.
    begun = identity | {"boot": boot_id()}
    if record is None and read_object(work.begun) != begun:
        work.clear()
        write_json(work.begun, begun)
    if record and record["state"] == "done":
        lost = damaged_files(root, name, record, work.params.rewritten)
        if not lost:
            return True
        log(
            f"{name}: {len(lost)} of {len(record['files'])} extracted files are gone or "
            f"damaged, first {lost[0]}; extracting these again"
        )
        # Same archive: what it holds is known already.
        work.only = set(lost)
        work.clear()
        stage(work, password)
        leave_out(work, documents_there(work, lost))
        sync_tree(work.staged, root)
        _move_into_place(work, lost)
    else:
        if record is None:
            stage(work, password)
            with _ONE_AT_A_TIME:  # until what one has is on record, for the next to see
                leave_out(work, documents_there(work, work.files))
                crcs = {path: work.crcs[path] for path in work.files}
                record = {"of": identity, "files": work.files, "crc32": crcs}
                record["skipped"] = dict(work.skipped)
                # A record says that all is there: once per archive, it has to be on the disk.
                sync_tree(work.staged, root)
                write_record(root, name, record | {"state": "moving"})
        _move_into_place(work, record["files"])
        # Nobody comes back to what is left once it is done.
        work.clear()
        write_record(root, name, record | {"state": "done"})
        return False
    work.clear()
    return False


# ---------------------------------------------------------------- into place


def _is_whole(work: Unpacking, record: dict[str, Any], path: str) -> bool:
    """Returns whether a file that was unpacked before is there, staged or in place.

    After a power cut it may be there with its size and without its content.
    """
    for file in (work.staged / path, work.root / path):
        if file.is_file():
            crc = record.get("crc32", {}).get(path)
            same_size = file.stat().st_size == record["files"][path]
            return same_size and crc in (None, crc_of(file, work.check))
    return False


def _move_into_place(work: Unpacking, files: Iterable[str]) -> None:
    """Moves staged files to their places, which are on the disk afterwards."""
    made: set[Path] = set()
    for path in files:
        source, target = work.staged / path, work.root / path
        if not source.exists():
            continue  # moved by a run that was interrupted in this loop
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        try:
            os.replace(source, target)
        except OSError as e:
            if e.errno != errno.EXDEV:
                raise
            # A part of the raw folder lives on another disk by way of a link. The copy has a
            # short name: that of the file may be as long as can be.
            copy = target.parent / "posepile"
            remove_left(copy)
            copy_whole(source, target, own_temporary(copy))
            sync(target)
            source.unlink()
    changed = {folder for parent in made for folder in (parent, *parent.parents)}
    sync_all([work.root, *(folder for folder in changed if work.root in folder.parents)])


def _identity(archive: Path, params: Extract, sha256: str | None) -> dict[str, Any]:
    try:
        status = [part.stat() for part in parts_of(archive)]
    except FileNotFoundError:
        raise WorkError(f"{archive}: no such archive; run the download again") from None
    known = {"sha256": sha256} if sha256 else {"mtime_ns": max(s.st_mtime_ns for s in status)}
    size = sum(s.st_size for s in status)
    return {"archive": {"bytes": size, **known}, "how": extract_params(params)}

"""What is remembered of every archive extracted: ``.posepile/extract/<name>.json``.

A record is written when the archive has been read to its end and every checksum in it held::

    {"version": 1,
     "state": "moving",              its files are on their way from the staging folder; "done":
                                     they are in place
     "of": {                         of which archive this is the result; another one, or another
                                     way, is extracted anew
       "archive": {"bytes": 4711,    its size, and "sha256", or "mtime_ns" where that is unknown
                   "sha256": "..."},
       "how": {"to": ".", "strip_prefix": "", "members": []}},      see extract_params
     "files": {"a/b.txt": 12},       size of every extracted file, by its path below the raw folder
     "crc32": {"a/b.txt": 2144},     CRC-32 of these; records of earlier versions have none
     "skipped": {"metadata of macOS": 3}}       how many members were left out, by reason

``moving`` turns into ``done`` when the last file is in place. A run that was killed in between
finds ``moving`` and goes on with the moves, without reading the archive again.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from posepile.acquire.patterns import STATE_DIR, glob_regex
from posepile.acquire.sources import Extract
from posepile.files import read_object, write_json

_FOLDER = f"{STATE_DIR}/extract"


def read_record(root: Path, name: str) -> dict[str, Any] | None:
    """Returns what is recorded about an extraction, None if there is no (readable) record."""
    record = read_object(record_path(root, name))
    return record if record is not None and _is_whole(record) else None


def _is_whole(record: dict[str, Any]) -> bool:
    """Returns whether a record says all that it has to, of files below the raw folder alone."""
    parts = (record.get("of"), record.get("files"), record.get("skipped"), record.get("crc32", {}))
    if record.get("version") != 1 or not all(isinstance(part, dict) for part in parts):
        return False
    of, files, *_ = parts
    return (
        record.get("state") in ("moving", "done")
        and {"archive", "how"} <= of.keys()
        and all(type(size) is int and _is_below(path) for path, size in files.items())
    )


def _is_below(path: str) -> bool:
    return not path.startswith("/") and "\0" not in path and ".." not in path.split("/")


def write_record(root: Path, name: str, record: dict[str, Any]) -> None:
    """Writes the record of an extraction."""
    write_json(record_path(root, name), {"version": 1, **record}, durable=True)


def record_path(root: Path, name: str) -> Path:
    """Returns the file that holds a record."""
    return Path(root) / _FOLDER / f"{name}.json"


def record_names(root: Path, pattern: str = "*") -> list[str]:
    """Returns the names of the recorded extractions that match, sorted."""
    found = (Path(root) / _FOLDER).glob(f"{pattern}.json")
    return sorted(p.name.removesuffix(".json") for p in found)


def is_extracted(root: Path, name: str, params: Extract) -> bool:
    """Returns whether an archive was extracted in just this way and its files are still there."""
    record = read_record(root, name)
    if record is None or record["state"] != "done":
        return False
    same_way = record["of"]["how"] == extract_params(params)
    return same_way and not damaged_files(root, name, record, params.rewritten)


def damaged_files(
    root: Path, name: str, record: dict[str, Any], rewritten: Sequence[str] = ()
) -> list[str]:
    """Returns the recorded files that are gone or have another size or content, sorted.

    Only what has been written since the record is read, to compare its checksum; when all of that
    is right, the record counts as written now.

    Args:
        root: Raw folder.
        name: Of the extraction.
        record: What is recorded of it.
        rewritten: Patterns of files that others rewrite, so that they may differ.
    """
    free = [glob_regex(p) for p in rewritten]
    recorded, sums = record_path(root, name), record.get("crc32", {})
    since = recorded.stat().st_mtime_ns
    result, read = [], False
    for path, size in record["files"].items():
        file = os.path.join(root, path)
        try:
            status = os.stat(file)
        except (FileNotFoundError, NotADirectoryError):
            result.append(path)
            continue
        whole = status.st_size == size and stat.S_ISREG(status.st_mode)
        if whole and status.st_mtime_ns >= since and path in sums and not _matches(path, free):
            read, whole = True, crc_of(file) == sums[path]
        if not whole and not _matches(path, free):
            result.append(path)
    if read and not result:
        with contextlib.suppress(OSError):  # what may only be read is read once more next time
            os.utime(recorded)
    return sorted(result)


def _matches(path: str, patterns: Sequence[re.Pattern[str]]) -> bool:
    return any(p.fullmatch(path) for p in patterns)


def crc_of(file: str | os.PathLike, check: Callable[[], None] = lambda: None) -> int:
    """Returns the CRC-32 of a file.

    Args:
        file: The file.
        check: Called now and then; what it raises interrupts the reading.
    """
    crc = 0
    with open(file, "rb") as f:
        while chunk := f.read(1 << 20):
            check()
            crc = zlib.crc32(chunk, crc)
    return crc


def extract_params(params: Extract) -> dict[str, Any]:
    """Returns the parameters on which the extracted tree depends."""
    return {
        "to": params.to,
        "strip_prefix": params.strip_prefix,
        "members": list(params.members),
        **({"inner": list(params.inner)} if params.inner else {}),
    }

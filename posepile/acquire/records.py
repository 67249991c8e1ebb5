"""What is remembered of every archive extracted: ``.posepile/extract/<name>.json``.

A record in the state ``done`` means that the archive was read to its end, that every checksum in
it held, and that its files are in place; it holds the size of each.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posepile.acquire.patterns import STATE_DIR, glob_regex
from posepile.acquire.sources import Extract
from posepile.files import read_json, write_json

_FOLDER = f"{STATE_DIR}/extract"


def read_record(root: Path, name: str) -> dict[str, Any] | None:
    """Returns what is recorded about an extraction, None if there is no (readable) record."""
    record = read_json(record_path(root, name))
    return record if isinstance(record, dict) and record.get("version") == 1 else None


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
    if not record or record["state"] != "done" or record["of"]["how"] != manner(params):
        return False
    return not damaged_files(root, record, params.rewritten)


def damaged_files(root: Path, record: dict[str, Any], rewritten: Sequence[str] = ()) -> list[str]:
    """Returns the recorded files that are gone or have another size, sorted."""
    free = [glob_regex(p) for p in rewritten]
    result = []
    for path, size in record["files"].items():
        try:
            found = os.stat(os.path.join(root, path)).st_size
        except (FileNotFoundError, NotADirectoryError):
            found = -1
        if found != size and (found < 0 or not any(r.fullmatch(path) for r in free)):
            result.append(path)
    return sorted(result)


def manner(params: Extract) -> dict[str, Any]:
    """Returns the parameters on which the extracted tree depends."""
    return {
        "to": params.to,
        "strip_prefix": params.strip_prefix,
        "members": list(params.members),
    }

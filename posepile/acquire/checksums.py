"""Sizes and checksums of single raw files: ``<name>_work/checksums/<archive>.json``.

An archive that we extract is known to be whole, so what came out of it is what the authors have
published. That is kept beside the results, where it outlives the raw folder: files that somebody
extracts by hand, here or on another machine, or gets from a colleague, are compared with it. A
dataset may have such a file of its own, ``checksums.json`` beside ``sources.yaml``, where its
authors publish one. Of files that nothing is known of, the first look is kept::

    {"version": 1,
     "of": "trainval-boxes",       the archive; "first look" where there was none
     "files": {"trainval/boxes/0a/0a-0001-left.csv": [1203, 3735928559]}}    size and CRC-32

Paths are relative to the folder that the tree stands in, whichever of ``roots`` that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from posepile.acquire.records import read_record, record_names
from posepile.files import files_below, read_object, write_json

FIRST_LOOK = "first look"
PUBLISHED = "checksums.json"

Known = dict[str, tuple[int, int, str]]


def folder_of(work: Path) -> Path:
    """Returns the folder of these files."""
    return Path(work) / "checksums"


def keep_extracted(root: Path, work: Path, roots: Iterable[str]) -> int:
    """Keeps the checksums of whatever has been extracted; returns of how many archives anew.

    Args:
        root: Raw folder.
        work: Work folder of the dataset.
        roots: Folders that the tree may stand in, as ``sources.yaml`` names them.
    """
    roots, kept = list(roots), 0
    for name in record_names(root):
        record = read_record(root, name)
        if not record or record["state"] != "done" or not record.get("crc32"):
            continue
        crcs = record["crc32"]
        files = {
            without_root(path, roots): [size, crcs[path]]
            for path, size in record["files"].items()
            if path in crcs
        }
        kept += _write(folder_of(work) / f"{name}.json", name, files)
    return kept


def keep_first_look(work: Path, found: Mapping[str, tuple[int, int]]) -> Path:
    """Adds what was seen of files that nothing was known of; returns the file it is kept in."""
    path = folder_of(work) / "first-look.json"
    files = {key: [size, crc] for key, (size, crc, _) in _read(path).items()}
    _write(path, FIRST_LOOK, files | {key: list(value) for key, value in found.items()})
    return path


def read_known(work: Path | None, beside: Path) -> Known:
    """Returns size, CRC-32 and origin of every file of which they are known, by its path.

    Args:
        work: Work folder of the dataset; None = there is none.
        beside: Folder of ``sources.yaml``.
    """
    known: Known = {}
    for path in files_below(folder_of(work), "*.json") if work is not None else ():
        known |= {k: v for k, v in _read(path).items() if v[2] != FIRST_LOOK or k not in known}
    return known | _read(beside / PUBLISHED)


def without_root(path: str, roots: Iterable[str]) -> str:
    """Returns a path relative to the folder that the tree stands in.

    >>> without_root("data/test/a.csv", ["data", "Set-1.0", "."])
    'test/a.csv'
    """
    for root in roots:
        if root not in (".", "") and path.startswith(f"{root}/"):
            return path[len(root) + 1 :]
    return path


def _write(path: Path, of: str, files: Mapping[str, Any]) -> bool:
    content = {"version": 1, "of": of, "files": dict(sorted(files.items()))}
    if read_object(path) == content:
        return False
    write_json(path, content)
    return True


def _read(path: Path) -> Known:
    content = read_object(path) or {}
    files = content.get("files") if content.get("version") == 1 else None
    if not isinstance(files, dict):
        return {}  # damaged, so nothing is known
    of = str(content.get("of", ""))
    return {
        key: (value[0], value[1], of)
        for key, value in files.items()
        if isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value)
    }

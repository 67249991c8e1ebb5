"""What is remembered of every file fetched: ``.posepile/sources.lock.json`` in the raw folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from posepile.acquire.addresses import without_access
from posepile.acquire.patterns import STATE_DIR
from posepile.files import read_object, write_json

_writing = threading.Lock()


def lock_path(root: str | os.PathLike) -> Path:
    """Returns the lock file of a raw folder, whether or not there is one."""
    return Path(root) / STATE_DIR / "sources.lock.json"


def read_lock(root: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """Returns what is known of the files fetched so far.

    Returns:
        For every path below the raw folder: ``source``, ``from`` (address, or how else it came),
        ``bytes``, ``sha256``, whatever other checksum is published, and ``mtime_ns``.
    """
    lock = read_object(lock_path(root)) or {}
    files = lock.get("files") if lock.get("version") == 1 else None
    files = files if isinstance(files, dict) else {}
    return {
        path: entry
        for path, entry in files.items()
        if isinstance(entry, dict) and "source" in entry
    }


def read_origins(root: str | os.PathLike) -> dict[str, Any] | None:
    """Returns the lock as far as it is the same on every machine, None if there is none.

    That is without the times of files, and without what gives access in their addresses.
    """
    lock = read_object(lock_path(root))
    if not isinstance(lock, dict) or not isinstance(lock.get("files"), dict):
        return lock
    files = {
        path: {k: v for k, v in entry.items() if k != "mtime_ns"}
        | {"from": without_access(str(entry.get("from", "")))}
        for path, entry in lock["files"].items()
    }
    return {**lock, "files": files}


def remember(root: Path, path: str, *, source: str, origin: str, measured: dict[str, Any]) -> None:
    """Writes down a file that is in place.

    Threads may call this at the same time; only one process works in a folder.

    Args:
        root: Raw folder.
        path: The file, relative to it.
        source: Name of the source it belongs to.
        origin: Address that it came from, or how else it came.
        measured: Its size and checksums.
    """
    with _writing:
        # By its time it is known later whether the file is still the one that was measured.
        time = {"mtime_ns": os.stat(Path(root, path)).st_mtime_ns}
        entry = {"source": source, "from": without_access(origin), **measured, **time}
        files = {**read_lock(root), path: entry}
        write_json(lock_path(root), {"version": 1, "files": files}, durable=True)

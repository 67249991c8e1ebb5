"""Where the results of units lie, and which other files a unit may have.

A result is a part file ``<work>/parts/<stage>/<2 hex>/<name>.part``, for crops and masks with a
``.shard`` beside it. Its header says under ``result`` what it was made from; see ``run/keys.py``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posepile.files import locks_are_missing, read_object, write_json
from posepile.stages import UNIT_STAGES
from posepile.store import parts

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

# Folders of earlier layouts of the work folder, whose results no key fits any more.
EARLIER = ("crop", "segment", "select", "detect", "inputs")


def folder_name(unit_id: str) -> str:
    """Returns a readable, unique file name for a unit id."""
    readable = _UNSAFE.sub("-", unit_id).strip("-.")[:120]
    return f"{readable}~{hashlib.blake2b(unit_id.encode(), digest_size=4).hexdigest()}"


def part_path(work: Path, stage: str, unit_id: str) -> Path:
    """Returns where the result of a stage of a unit lies."""
    return Path(f"{part_stem(str(work / 'parts' / stage), unit_id)}.part")


def part_stem(folder: str, unit_id: str) -> str:
    """Returns the path of a unit's files in the folder of a stage, without their suffix.

    Text rather than a path: it is asked for each of a million units.
    """
    name = folder_name(unit_id)
    return f"{folder}/{name[-8:-6]}/{name}"


def remove_unfinished(work: Path, stages: tuple[str, ...], unit_id: str) -> None:
    """Removes what a worker that was ended in the middle of a unit has left."""
    for stage in stages:
        for file in parts.unfinished(part_path(work, stage, unit_id)):
            file.unlink(missing_ok=True)


def quarantine_path(work: Path, unit_id: str) -> Path:
    """Returns where it says why a unit could not be used, and with which inputs and parameters."""
    return work / "quarantine" / f"{folder_name(unit_id)}.json"


def quarantined_names(work: Path) -> set[str]:
    """Returns the file names of all quarantined units, so that not every unit is asked for."""
    with contextlib.suppress(FileNotFoundError):
        return {p.name for p in (work / "quarantine").iterdir()}
    return set()


def read_quarantine(work: Path, unit_id: str) -> dict[str, Any] | None:
    """Returns the record of a quarantined unit, None if it is not quarantined."""
    record = read_object(quarantine_path(work, unit_id)) or {}
    key, error, stage, inputs = (record.get(k) for k in ("key", "error", "stage", "inputs"))
    whole = (
        isinstance(key, dict)
        and isinstance(error, dict)
        and all(isinstance(error.get(k), str) for k in ("file", "reason"))
        and stage in UNIT_STAGES
        and isinstance(inputs, list)
        and all(isinstance(i, list) and len(i) == 4 and isinstance(i[3], str) for i in inputs)
    )
    return record if whole else None  # a damaged record: the unit is tried again


def write_quarantine(work: Path, unit_id: str, record: dict[str, Any]) -> None:
    """Records why a unit could not be used."""
    write_json(quarantine_path(work, unit_id), record)


@contextlib.contextmanager
def unit_lock(
    work: Path, unit_id: str, wait: bool = True, alive: Callable[[], None] = lambda: None
) -> Iterator[bool]:
    """Keeps processes off the same unit: overlapping runs, workers whose run was killed.

    One byte of one file stands for a unit, so that a million units need no million lock files.

    Args:
        work: Folder of intermediate results.
        unit_id: The unit.
        wait: Wait for the other process.
        alive: Called while waiting: that takes as long as the other one's unit does.

    Yields:
        Whether the lock is held, which is not certain without waiting.
    """
    digest = hashlib.blake2b(unit_id.encode(), digest_size=4).digest()
    place = int.from_bytes(digest, "big") >> 1
    fd = _lock_file(work, os.getpid())
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            break
        except OSError as e:
            if locks_are_missing(e):
                break
            if not wait:
                yield False
                return
            if e.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        alive()
        time.sleep(0.1)
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, place)


@functools.lru_cache(maxsize=8)
def _lock_file(work: Path, pid: int) -> int:
    """The lock file, open for the life of the process: closing it would give up all its locks."""
    work.mkdir(parents=True, exist_ok=True)
    return os.open(work / ".lock-unit", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def earlier_results(work: Path) -> list[Path]:
    """Returns folders of results in an earlier layout, which are made again."""
    return [work / name for name in EARLIER if (work / name).is_dir()]


def remove_earlier_results(work: Path) -> None:
    """Removes results in an earlier layout, once there is an archive of the new ones."""
    for folder in earlier_results(work):
        shutil.rmtree(folder, ignore_errors=True)

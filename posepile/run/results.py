"""Where the results of units lie, and which other files a unit may have.

Whatever there is one of for each unit lies in 256 folders, by the unit's hash. A result is a part
file ``<work>/parts/<stage>/<2 hex>/<name>.part``, for crops and masks with a ``.shard`` beside it.
Its header says under ``result`` what it was made from; see ``run/keys.py``.
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
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from posepile.files import names_in, read_object, write_json
from posepile.locks.leases import leased
from posepile.locks.lock_files import locks_are_missing, locks_end_at_machine
from posepile.locks.waiting import Wait
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
    return Path(f"{part_stem(f'{work}/parts/{stage}', unit_id)}.part")


def part_stem(folder: str, unit_id: str) -> str:
    """Returns the path of a unit's files in the folder of a stage, without their suffix.

    Text rather than a path: it is asked for each of a million units.
    """
    name = folder_name(unit_id)
    return f"{folder}/{name[-8:-6]}/{name}"


def files_of(work: Path, unit_id: str, stages: Mapping[str, str]) -> set[Path]:
    """Returns the files that a unit has left, and the folders that their names are in.

    Args:
        work: Work folder of the build.
        unit_id: The unit.
        stages: Stage -> what became of it there; those that are ``done`` count.
    """
    found: set[Path] = set()
    for stage in (s for s, state in stages.items() if state == "done"):
        part = part_path(work, stage, unit_id)
        files = {part, parts.shard_of(part)}
        found |= {path for path in files if path.exists()} | {*part.parents[:5]}
    return found


def stages_before(work: Path) -> tuple[str, ...]:
    """Returns the stages of which a unit has a result, so that not every unit is asked for all."""
    return tuple(s for s in UNIT_STAGES if (work / "parts" / s).is_dir())


def remove_unfinished(work: Path, stages: tuple[str, ...], unit_id: str) -> None:
    """Removes what a worker that was ended in the middle of a unit has left."""
    for stage in stages:
        for file in parts.unfinished(part_path(work, stage, unit_id)):
            file.unlink(missing_ok=True)


def quarantine_path(work: Path, unit_id: str) -> Path:
    """Returns where it says why a unit could not be used, and with which inputs and parameters."""
    return Path(f"{part_stem(f'{work}/quarantine', unit_id)}.json")


def quarantined_names(work: Path) -> set[str]:
    """Returns the file names of all quarantined units, so that not every unit is asked for."""
    folder = work / "quarantine"
    names: set[str] = set()
    for name in names_in(folder):
        if name.endswith(".json"):  # of an earlier layout, with all in one folder
            _move_to_its_folder(folder, name)
            names.add(name)
        else:
            names |= names_in(folder / name)
    return names


def _move_to_its_folder(folder: Path, name: str) -> None:
    of_unit = folder / name[-len("xxxxxxxx.json") :][:2]
    # Another process may be at it, or the disk be read only: then the unit is tried again.
    with contextlib.suppress(OSError):
        of_unit.mkdir(exist_ok=True)
        os.replace(folder / name, of_unit / name)


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

    One byte of one of 256 files stands for a unit, so that a million units need no million lock
    files, and no server looks for one among all that the workers of a thousand machines hold.

    Args:
        work: Folder of intermediate results.
        unit_id: The unit.
        wait: Wait for the other process.
        alive: Called while waiting: that takes as long as the other one's unit does.

    Yields:
        Whether the lock is held, which is not certain without waiting.
    """
    digest = hashlib.blake2b(unit_id.encode(), digest_size=4).hexdigest()
    folder, group = work / "locks", digest[:2]  # as the folders of parts
    if _locks_are_missing(folder):
        (folder / group).mkdir(parents=True, exist_ok=True)
        # Two at one unit make the same bytes: a lease that is lost stops nothing.
        until: Wait = "always" if wait else "never"
        with leased(folder / group / digest, wait=until, vital=False, alive=alive) as held:
            yield held
        return
    with _opened(folder / f".lock-{group}") as fd:
        place = int(digest[2:], 16)
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                break
            except OSError as e:
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


# Lock files that are open -> the file, and how many in this process use it.
_OPEN: dict[Path, list[int]] = {}
_OPENING = threading.Lock()


def _forget_open() -> None:
    global _OPENING
    _OPEN.clear()
    _OPENING = threading.Lock()


# Their files stay open in a forked child, which holds none of the locks.
os.register_at_fork(after_in_child=_forget_open)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A lock file, opened once in a process: closing it gives up all locks on it."""
    with _OPENING:
        if path not in _OPEN:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            try:
                fd = os.open(path, flags, 0o666)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                fd = os.open(path, flags, 0o666)
            _OPEN[path] = [fd, 0]
        used = _OPEN[path]
        used[1] += 1
    pid = os.getpid()
    try:
        yield used[0]
    finally:
        if os.getpid() == pid:
            with _OPENING:
                used[1] -= 1
                if not used[1]:
                    del _OPEN[path]
                    os.close(used[0])


@functools.lru_cache(maxsize=8)
def _locks_are_missing(folder: Path) -> bool:
    """Whether units are held by leases: locks are missing, or end at the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    if locks_end_at_machine(folder):
        return True
    with _opened(folder / ".lock-any") as fd:
        try:
            fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as e:
            return locks_are_missing(e)
    return False


def earlier_results(work: Path) -> list[Path]:
    """Returns folders of results in an earlier layout, which are made again."""
    return [work / name for name in EARLIER if (work / name).is_dir()]


def remove_earlier_results(work: Path) -> None:
    """Removes results in an earlier layout, once there is an archive of the new ones."""
    for folder in earlier_results(work):
        shutil.rmtree(folder, ignore_errors=True)

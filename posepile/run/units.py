"""Bookkeeping of units of work: file fingerprints, cache keys and where results lie.

A unit leaves one folder per stage below ``<name>_work/<stage>/``, written beside and renamed, with
a ``result.json`` that holds the key it was made under. A result is current if its key is the key
asked for; nothing else (no date, no journal) decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posepile.errors import CorruptInput, UsageError
from posepile.files import locks_are_missing, read_json
from posepile.recipe import Unit

# Files up to this size are hashed whole; of larger ones the size and the first, middle, last MiB.
WHOLE_FILE_LIMIT = 16 << 20
SAMPLE = 1 << 20

# Keys of configs/models.yaml that say something about a network without changing its results.
PROSE = {"url", "copies", "licence", "source", "good_for", "cost", "sha256_note"}


def fingerprint(path: Path) -> str:
    """Content fingerprint of a file, prefixed by how it was taken.

    ``blake2b:`` covers every byte; ``blake2b-sampled:`` (files above 16 MiB) covers the size and
    the first, middle and last MiB, because reading terabytes of video twice is not worth it.
    """
    size = path.stat().st_size
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as f:
        if size <= WHOLE_FILE_LIMIT:
            digest.update(f.read())
            return "blake2b:" + digest.hexdigest()
        digest.update(str(size).encode())
        for start in (0, (size - SAMPLE) // 2, size - SAMPLE):
            f.seek(start)
            digest.update(f.read(SAMPLE))
    return "blake2b-sampled:" + digest.hexdigest()


def fingerprint_inputs(unit: Unit, root: Path, known: list[dict]) -> list[dict]:
    """Fingerprints of all input files of a unit, in the unit's order.

    Args:
        unit: The unit.
        root: Raw folder of the dataset; paths are reported relative to it where they lie below.
        known: What was recorded last time; a file whose size and time are unchanged is not read.

    Returns:
        A list of ``{path, bytes, hash, mtime_ns}``.

    Raises:
        CorruptInput: A file is missing or unreadable.
    """
    by_path = {k["path"]: k for k in known}
    result = []
    for file in unit.inputs:
        try:
            stat = os.stat(file)
            name = relative_name(file, root)
            old = by_path.get(name)
            unchanged = (
                old and old["bytes"] == stat.st_size and old["mtime_ns"] == stat.st_mtime_ns
            )
            content = old["hash"] if unchanged else fingerprint(Path(file))
        except FileNotFoundError:
            raise CorruptInput(
                file, "file is missing", hint="run the doctor command to see what else is"
            ) from None
        except OSError as e:
            raise CorruptInput(file, f"cannot be read: {e.strerror}") from None
        result.append(
            {"path": name, "bytes": stat.st_size, "hash": content, "mtime_ns": stat.st_mtime_ns}
        )
    return result


def relative_name(file: Path, root: Path) -> str:
    """Path relative to ``root`` with forward slashes, or absolute if it lies elsewhere."""
    try:
        return Path(file).relative_to(root).as_posix()
    except ValueError:
        return Path(file).as_posix()


def folder_name(unit_id: str) -> str:
    """A readable, unique folder name for a unit id."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", unit_id).strip("-.")[:120]
    return f"{readable}~{hashlib.blake2b(unit_id.encode(), digest_size=4).hexdigest()}"


def result_dir(work: Path, stage: str, unit: Unit) -> Path:
    """Where the result of a stage of a unit lies."""
    return work / stage / folder_name(unit.id)


def read_result(directory: Path) -> dict | None:
    """The ``result.json`` of a finished stage, None if there is none (or it is unreadable)."""
    return read_json(directory / "result.json")


@contextlib.contextmanager
def unit_lock(work: Path, unit: Unit, wait: bool = True) -> Iterator[bool]:
    """Keeps processes off the same unit: overlapping runs, workers whose run was killed.

    One byte of one file stands for a unit, so that a million units need no million lock files.

    Args:
        work: Folder of intermediate results.
        unit: The unit.
        wait: Wait for the other process.

    Yields:
        Whether the lock is held, which is not certain without waiting.
    """
    work.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(unit.id.encode(), digest_size=4).digest()
    with open(work / ".lock-unit", "a") as f:
        try:
            mode = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(f, mode, 1, int.from_bytes(digest, "big") >> 1)
        except OSError as e:
            if not locks_are_missing(e):
                if wait:
                    raise
                yield False
                return
        yield True


def params_identity(params: Any) -> dict[str, Any]:
    """What of a detection or segmentation section can change a result, as plain data.

    Batch size, threads, device and cache folder cannot; which network it is, down to its bytes or
    the checksum it is verified against, can.
    """
    data = params.model_dump(mode="json", exclude={"batch", "threads", "device", "cache_dir"})
    model = data["model"]
    if isinstance(model, dict):
        try:
            data["weights"] = fingerprint(Path(model["path"]).expanduser())
        except OSError as e:
            raise UsageError(f"model.path = {model['path']}: {e.strerror}") from None
        del data["model"]["path"]
    elif model not in ("none", "joints", "raw", "grabcut"):
        from posepile.models.params import DetectParams
        from posepile.models.weights import find_spec

        kind = "detectors" if isinstance(params, DetectParams) else "segmenters"
        data["weights"] = find_spec(kind, model).model_dump(mode="json", exclude=PROSE)
    return data

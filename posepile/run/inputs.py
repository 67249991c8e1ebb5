"""Fingerprints of the raw files of units.

An input is recorded as ``[name, bytes, mtime_ns, digest]``; a file of the recorded size and time
is not read again. The digest says how it was taken: ``blake2b:`` and ``sha256:`` cover every byte,
``blake2b-sampled:`` (files above 16 MiB) the size and three places.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from posepile.errors import CorruptInput, Shortage, raise_if_shortage
from posepile.files import fingerprint, read_object
from posepile.shortage import shortage_behind

MISSING = "missing"
UNREADABLE = "unreadable"


def unchanged(names: list[str], root: str, known: list[list], whole: bool = False) -> bool:
    """Returns whether the files are those recorded, by size and time alone.

    Args:
        names: The files, below ``root`` or absolute.
        root: Raw folder.
        known: What was recorded.
        whole: Samples do not count as recorded.
    """
    if len(names) != len(known):
        return False
    for name, (then, size, mtime_ns, digest) in zip(names, known, strict=True):
        if name != then or (whole and digest.startswith("blake2b-sampled:")):
            return False
        try:
            stat = os.stat(name if name.startswith("/") else f"{root}/{name}")
        except OSError:
            if not digest.startswith((MISSING, UNREADABLE)):
                return False
            continue
        if stat.st_size != size or stat.st_mtime_ns != mtime_ns:
            return False
    return True


def fingerprint_inputs(
    names: list[str], root: Path, known: list[list], whole: bool = False
) -> list[list]:
    """Fingerprints of all input files of a unit, in the unit's order.

    A file that was there before and has been replaced is hashed whole: samples could miss what is
    different. What the download has just hashed is taken from its record.

    Args:
        names: The files, below ``root`` or absolute.
        root: Raw folder.
        known: What was recorded; a file of the same size and time is not read again.
        whole: Hash large files whole as well.

    Returns:
        ``[name, bytes, mtime_ns, digest]`` for each; in place of a digest ``missing`` for a file
        that is absent, ``unreadable: why`` for one that cannot be read.
    """
    by_name = {entry[0]: entry for entry in known}
    result = []
    for name in names:
        file, size, time = Path(root, name), 0, 0
        try:
            stat = os.stat(file)
            size, time = stat.st_size, stat.st_mtime_ns
            old = by_name.get(name)
            if old is not None and old[3].startswith((MISSING, UNREADABLE)):
                old = None
            same = old is not None and old[1:3] == [size, time]
            if same and not (whole and old[3].startswith("blake2b-sampled:")):
                digest = old[3]
            else:
                replaced = old is not None and not same
                digest = _fetched(name, root, stat) or fingerprint(file, whole=whole or replaced)
        except FileNotFoundError:
            digest = MISSING
        except OSError as e:
            lack = shortage_behind(e)
            if lack is not None:
                raise Shortage(f"{file}: cannot be read: {lack}") from e
            digest = f"{UNREADABLE}: {e.strerror}"
        result.append([name, size, time, digest])
    return result


def archived_name(name: str, work: Path) -> str:
    """Returns how an archive names an input: the same wherever its dataset was made.

    >>> archived_name("/data/a_work/bodies/1.npz", Path("/data/a_work"))
    'a_work/bodies/1.npz'

    Args:
        name: The file, below the raw folder or absolute.
        work: The work folder, in which lies what was derived from raw files.
    """
    head = f"{work}/"
    return f"{work.name}/{name[len(head) :]}" if name.startswith(head) else name


def check_readable(inputs: list[list], root: Path) -> None:
    """Refuses a unit of which a file is missing or cannot be read.

    Raises:
        CorruptInput: Names the file.
    """
    for name, _, _, digest in inputs:
        if digest == MISSING:
            hint = "run the doctor command to see what else is"
            raise CorruptInput(Path(root, name), "file is missing", hint=hint)
        if digest.startswith(UNREADABLE):
            raise CorruptInput(Path(root, name), f"cannot be read{digest[len(UNREADABLE) :]}")


def how_taken(inputs: list[list]) -> list[str]:
    """Returns in which way each fingerprint was taken."""
    return [entry[3].partition(":")[0] for entry in inputs]


def _fetched(name: str, root: Path, stat: os.stat_result) -> str | None:
    """The digest that the download recorded of this very file, None where it did not."""
    lock = f"{root}/.posepile/sources.lock.json"
    try:
        changed = os.stat(lock).st_mtime_ns
    except OSError as e:
        raise_if_shortage(lock, e)
        return None
    entry = _read_lock(lock, changed).get(name)
    if not isinstance(entry, dict) or not entry.get("sha256"):
        return None
    # Only by its time is it certain that the file was not replaced after it was recorded.
    if [entry.get("bytes"), entry.get("mtime_ns")] != [stat.st_size, stat.st_mtime_ns]:
        return None
    return f"sha256:{entry['sha256']}"


@functools.lru_cache(maxsize=2)
def _read_lock(path: str, mtime_ns: int) -> dict:
    content = read_object(Path(path))
    files = content.get("files") if isinstance(content, dict) else None
    return files if isinstance(files, dict) else {}

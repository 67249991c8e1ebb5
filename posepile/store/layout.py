"""The files of an archive, and how a new archive takes the place of an old one.

An archive ``x.barecat`` is several files, so it cannot be replaced at once. A new one is made in
the folder ``x.barecat.tmp``, synced, and the folder is renamed to ``x.barecat.next``: from that
moment the new archive is the valid one. Its files are then moved to their final names, shards
first and the index last, surplus shards of the old archive are removed, and the folder goes.
Whoever opens the archive looks into ``.next`` first. So there always is a complete archive, and a
process that was killed in between leaves only moves that anybody may finish.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import sqlite3
import stat as stat_module
from collections.abc import Iterator
from pathlib import Path

from posepile.durable import sync
from posepile.errors import WorkError, whole_number
from posepile.locks.renewal import check_held
from posepile.store.index import number_of_shards

# Readers refuse a higher one.
FORMAT_VERSION = 1

# Where the columns of the example table are among the keys.
TABLE_PREFIX = "table"

# What programs that know per-example entries alone are told by the only one they find.
ENTRIES_ELSEWHERE = (
    "this archive has a table instead of entries, posepile export NAME --to upstream writes those"
)

_DIGEST_LINE = re.compile(r"([0-9a-f]{64})  ([^/]+)")

_NEXT = ".next"  # what the name of the folder of a complete new archive ends in

Stamp = tuple[int, int, int, int]


def shard_path(archive_path: str | os.PathLike, number: int) -> Path:
    """Returns the path of a shard."""
    return Path(f"{os.fspath(archive_path)}-shard-{number:05d}")


def manifest_path(archive_path: str | os.PathLike) -> Path:
    """Returns where the copy of the manifest lies."""
    return Path(f"{os.fspath(archive_path)}.manifest.json")


def digests_path(archive_path: str | os.PathLike) -> Path:
    """Returns where the SHA-256 of the other files are listed, as ``sha256sum -c`` reads them."""
    return Path(f"{os.fspath(archive_path)}.sha256")


def listed_digests(text: str) -> dict[str, str]:
    """Returns file name -> SHA-256 of the lines that ``sha256sum -c`` understands; others not."""
    lines = (_DIGEST_LINE.fullmatch(line) for line in text.splitlines())
    return {match[2]: match[1] for match in lines if match is not None}


def archive_files(archive_path: Path) -> list[tuple[Path, str | None]]:
    """Returns all files of an archive with their SHA-256, in an order to copy them: index last.

    Args:
        archive_path: The index at its final place.

    Raises:
        WorkError: A new archive is being put in its place, or the index cannot be read.
    """
    if next_folder(archive_path).exists():
        raise WorkError(
            f"{next_folder(archive_path)}: a new archive is being put in its place; run again "
            "when it is there, or pack again if the process that did so was killed"
        )
    try:
        numbers = range(number_of_shards(archive_path))
    except sqlite3.Error as e:
        raise WorkError(
            f"{archive_path}: not the index of an archive ({e}); posepile verify finds what is "
            "damaged"
        ) from None
    beside = (manifest_path(archive_path), digests_path(archive_path))
    shards = [shard_path(archive_path, number) for number in numbers]
    digests = {}
    if beside[1].is_file():
        digests = listed_digests(beside[1].read_text("utf-8", "replace"))
    files = [*shards, *(path for path in beside if path.is_file()), archive_path]
    return [(path, digests.get(path.name)) for path in files]


def next_folder(archive_path: str | os.PathLike) -> Path:
    """Returns the folder of a complete archive whose files are being moved to their places."""
    return Path(f"{os.fspath(archive_path)}{_NEXT}")


def unfinished_folder(archive_path: str | os.PathLike) -> Path:
    """Returns the folder in which an archive is made."""
    return Path(f"{os.fspath(archive_path)}.tmp")


def where_now(archive_path: str | os.PathLike, suffix: str = "") -> tuple[str, str]:
    """Returns where a file of an archive may be, in the order to look: ``.next``, then its place.

    A move between the two looks cannot hide it.

    Args:
        archive_path: The archive.
        suffix: What follows in the name of the file: nothing for the index.
    """
    archive = os.fspath(archive_path)
    return f"{archive}{_NEXT}/{os.path.basename(archive)}{suffix}", f"{archive}{suffix}"


def find_index(archive_path: str | os.PathLike) -> tuple[str, Stamp] | None:
    """Finds the index that readers are to open.

    That of a new archive in ``.next`` comes first, then that at the final place.

    Args:
        archive_path: The index at its final place. That is the path of the archive itself; only
            archives of 2024 have ``-sqlite-index`` after it, which the caller adds.

    Returns:
        The file to open and its :func:`stamp`; None if neither exists.

    Raises:
        WorkError: What is there is no file.
    """
    for candidate in where_now(archive_path):
        try:
            found = os.stat(candidate)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:  # links in a circle, a name too long, a folder that is not ours
            raise WorkError(f"{candidate}: cannot be opened: {e.strerror}") from None
        if not stat_module.S_ISREG(found.st_mode):  # SQLite would wait at a pipe
            raise WorkError(f"{candidate}: is no file; expected the index of an archive")
        return candidate, stamp(found)
    return None


def stamp(stat: os.stat_result) -> Stamp:
    """Returns what tells one state of a file from another, wherever it is moved."""
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


# ---------------------------------------------------------------- replacing


@contextlib.contextmanager
def replacing_archive(archive_path: Path) -> Iterator[Path]:
    """Makes a new archive that takes the place of what there is when the block ends.

    After an exception everything is as before.

    Args:
        archive_path: The index at its final place.

    Yields:
        The path of the new index, in the folder for all files of the new archive.
    """
    own = (next_folder(archive_path), unfinished_folder(archive_path))
    beside = archive_path.parent.glob(f"{glob.escape(archive_path.name)}[.-]*")
    for file in (archive_path, *sorted(beside)):
        if file.is_dir() and file not in own:
            raise WorkError(
                f"{file}: is a folder, expected a file of the archive or nothing; move it "
                "elsewhere"
            )
    finish_swap(archive_path)
    folder = unfinished_folder(archive_path)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder / archive_path.name
        for file in sorted(folder.iterdir()):
            sync(file)
        sync(folder)
    except BaseException:
        with contextlib.suppress(WorkError):  # another may be writing there by now
            check_held()
            shutil.rmtree(folder, ignore_errors=True)
        raise
    check_held()
    os.rename(folder, next_folder(archive_path))
    sync(archive_path.parent)
    finish_swap(archive_path)


def finish_swap(archive_path: Path) -> None:
    """Moves the files of a complete new archive to their places, if there is one.

    Raises:
        WorkError: Something else lies in the folder.
    """
    folder = next_folder(archive_path)
    if not folder.is_dir():
        return
    names = sorted(os.listdir(folder), key=lambda name: (name == archive_path.name, name))
    for name in names:
        if not name.startswith(archive_path.name):
            raise WorkError(f"{folder / name}: does not belong there; move it elsewhere")
        # Where both are names of the same file, renaming does nothing, so the old name is removed.
        os.replace(folder / name, archive_path.with_name(name))
        (folder / name).unlink(missing_ok=True)
    sync(archive_path.parent)
    for suffix in ("-journal", "-wal", "-shm"):  # of programs that wrote to the old index
        Path(f"{archive_path}{suffix}").unlink(missing_ok=True)
    with contextlib.suppress(sqlite3.Error):  # an index damaged since; it will be packed again
        remove_shards_from(archive_path, number_of_shards(archive_path))
    folder.rmdir()


def remove_shards_from(archive_path: Path, number: int) -> None:
    """Removes shards of a larger archive that was there before, from the given number on."""
    prefix = f"{archive_path.name}-shard-"
    for path in archive_path.parent.glob(f"{glob.escape(prefix)}*"):
        tail = whole_number(path.name.removeprefix(prefix))
        if tail is None or tail >= number:
            path.unlink()

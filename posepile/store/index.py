"""Writes the index of an archive."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posepile.errors import WorkError

if TYPE_CHECKING:
    pass


class IndexBlock:
    """Entries of one shard, to be written into an index.

    Args:
        keys: Their keys.
        shard: Number of the shard.
        offsets: Places in the shard.
        sizes: Sizes in bytes.
        crcs: CRC32C checksums.
        folders: {folder: (number of files, bytes)}, counted here if not given.
    """

    __slots__ = ("crcs", "folders", "keys", "offsets", "shard", "sizes")

    def __init__(
        self,
        keys: list[str],
        shard: int,
        offsets: Any,
        sizes: Any,
        crcs: Any,
        folders: dict[str, tuple[int, int]] | None = None,
    ):
        self.keys, self.shard = keys, shard
        self.folders = _count_folders(keys, sizes) if folders is None else folders
        self.offsets, self.sizes, self.crcs = offsets, sizes, crcs


def write_index(
    archive_path: str | os.PathLike,
    blocks: Iterable[Any],
    origins: Iterable[str] = (),
) -> int:
    """Writes an index in the Barecat 0.3 schema, without times and owners; renamed in place.

    Args:
        archive_path: The index file.
        blocks: What it shall list.
        origins: Where the entries come from, named in the message about a key that exists twice.

    Returns:
        Number of entries.

    Raises:
        WorkError: A key exists twice.
    """
    from importlib import resources

    archive_path = Path(archive_path)
    temporary = archive_path.with_name(f".{archive_path.name}.tmp")
    for suffix in ("", "-journal"):
        Path(f"{temporary}{suffix}").unlink(missing_ok=True)
    sql = resources.files("barecat") / "sql"
    connection = sqlite3.connect(temporary, isolation_level=None)
    count = 0
    try:
        _set_pragmas(connection)
        connection.executescript((sql / "schema.sql").read_text())
        official = _simplify_files(connection)
        if official is not None:
            connection.close()
            connection = sqlite3.connect(temporary, isolation_level=None)
            _set_pragmas(connection)
        connection.execute("BEGIN")
        folders: dict[str, list[int]] = {}
        for lazy_block in blocks:
            block = lazy_block.load() if hasattr(lazy_block, "load") else lazy_block
            _insert_files(connection, block)
            count += len(block.keys)
            for folder, (n, size) in block.folders.items():
                entry = folders.setdefault(folder, [0, 0])
                entry[0] += n
                entry[1] += size
        connection.executemany(
            "INSERT INTO dirs (path, num_subdirs, num_files, num_files_tree, size_tree) "
            "VALUES (?, ?, ?, ?, ?)",
            _folder_rows(folders),
        )
        connection.execute("COMMIT")
        if official is not None:
            _redefine_files(connection, official)
            connection.close()
            connection = sqlite3.connect(temporary, isolation_level=None)
            _set_pragmas(connection)
        try:
            connection.executescript((sql / "indexes.sql").read_text())
        except sqlite3.IntegrityError:
            raise WorkError(_describe_duplicate(connection, archive_path, origins)) from None
        connection.executescript((sql / "triggers.sql").read_text())
        connection.close()
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, archive_path)
    except sqlite3.Error as e:
        raise WorkError(f"{archive_path}: the index cannot be written: {e}") from e
    finally:
        connection.close()
        temporary.unlink(missing_ok=True)
    return count


def _set_pragmas(connection):
    for pragma in (
        "page_size=4096",
        "journal_mode=OFF",  # the file is thrown away if anything goes wrong
        "synchronous=OFF",
        "locking_mode=EXCLUSIVE",
        "cache_size=-131072",
        "threads=2",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _simplify_files(connection):
    """Drops the computed column of ``files`` while rows are inserted.

    It is not stored, so rows are the same without it, but SQLite would compute it for every row
    to check that it is not NULL, which takes three times as long as everything else.

    Returns:
        The official definition, to be restored; None where SQLite is locked down and nothing was
        changed.
    """
    (official,) = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'files'"
    ).fetchone()
    columns = [row[1:5] for row in connection.execute("PRAGMA table_info(files)")]
    plain = ", ".join(
        f"{name} {kind}{' NOT NULL' if not_null else ''}"
        + (f" DEFAULT {default}" if default is not None else "")
        for name, kind, not_null, default in columns
    )
    try:
        _redefine_files(connection, f"CREATE TABLE files ({plain})")
    except sqlite3.DatabaseError:
        return None
    return official


def _redefine_files(connection, definition):
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = 'files'", (definition,)
    )


_ROWS_PER_INSERT = 100


def _insert_files(connection, block):
    shards = itertools.repeat(block.shard, len(block.keys))
    rows = zip(block.keys, shards, block.offsets, block.sizes, block.crcs, strict=True)
    insert = "INSERT INTO files (path, shard, offset, size, crc32c) VALUES "
    many = insert + ", ".join(["(?, ?, ?, ?, ?)"] * _ROWS_PER_INSERT)
    while chunk := list(itertools.islice(rows, _ROWS_PER_INSERT)):
        if len(chunk) == _ROWS_PER_INSERT:
            connection.execute(many, list(itertools.chain.from_iterable(chunk)))
        else:
            connection.executemany(f"{insert} (?, ?, ?, ?, ?)", chunk)


def _count_folders(keys, sizes):
    """Returns {folder: (number of files, their bytes)}."""
    folders = {}
    for key, size in zip(keys, sizes, strict=True):
        entry = folders.setdefault(key.rpartition("/")[0], [0, 0])
        entry[0] += 1
        entry[1] += size
    return folders


def _folder_rows(folders):
    """Returns rows of the table of folders, with statistics summed up towards the root."""
    stats = {"": [0, 0, 0, 0]}  # subfolders, files, files in tree, bytes in tree
    for folder in folders:
        for ancestor in _upwards(folder):
            stats.setdefault(ancestor, [0, 0, 0, 0])
    for folder in stats:
        if folder:
            stats[folder.rpartition("/")[0]][0] += 1
    for folder, (n_files, size) in folders.items():
        stats[folder][1] = n_files
        for ancestor in _upwards(folder):
            stats[ancestor][2] += n_files
            stats[ancestor][3] += size
    return [(path, *stats[path]) for path in sorted(stats)]


def _upwards(folder):
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _describe_duplicate(connection, archive_path, origins):
    row = connection.execute(
        "SELECT path, count(*) FROM files GROUP BY path HAVING count(*) > 1 ORDER BY path LIMIT 1"
    ).fetchone()
    shards = [
        shard
        for (shard,) in connection.execute("SELECT shard FROM files WHERE path = ?", (row[0],))
    ]
    origins = list(origins)
    named = [origins[s] if s < len(origins) else f"shard {s}" for s in shards]
    return (
        f"{archive_path}: image path {row[0]!r} found {row[1]} times, expected once "
        f"(in {' and '.join(dict.fromkeys(named))})"
    )

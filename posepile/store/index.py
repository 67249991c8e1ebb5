"""The index of an archive: written through Barecat's own Index, asked for its shards."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from posepile.errors import WorkError
from posepile.files import disk_error, is_disk_error, own_database

# key, shard, offset, size, CRC32C
Entry = tuple[str, int, int, int, int]

_ROWS = 5000


def checked_image_path(path: str) -> str:
    """Returns an image path that every reader of the index finds.

    Raises:
        WorkError: Some would not.
    """
    pieces = path.split("/")
    if (
        len(pieces) < 2
        or any(p in ("", ".", "..") for p in pieces)
        or "\\" in path
        or "\0" in path
    ):
        raise WorkError(
            f"image path {path!r}: expected image_dir/name with forward slashes and no empty, '.' "
            "or '..' component"
        )
    return path


def number_of_shards(path: str | os.PathLike) -> int:
    """Returns how many shards an index refers to.

    Args:
        path: The index file, which nobody writes to.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    uri = f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        require_plain_table(db)
        (last,) = db.execute("SELECT max(shard) FROM files").fetchone()
    return 0 if last is None else last + 1


def require_plain_table(db: sqlite3.Connection) -> None:
    """Looks whether an index, which may be a stranger's, holds its entries and computes none.

    Raises:
        sqlite3.DatabaseError: ``files`` is a view or the like, which may go on for ever.
    """
    found = db.execute(
        "SELECT type, sql FROM sqlite_master WHERE lower(name) = 'files'"
    ).fetchall()
    plain = (
        len(found) == 1 and found[0][0] == "table" and "virtual" not in found[0][1][:30].lower()
    )
    columns = db.execute("PRAGMA table_xinfo(files)") if plain else ()
    # Barecat computes the parent's name, which nobody asks for here.
    computed = {name for _, name, *_, hidden in columns if hidden} - {"parent"}
    if not plain or computed:
        raise sqlite3.DatabaseError("'files' is no table of entries")


class IndexWriter:
    """Writes an index in the Barecat 0.3 schema; equal entries in equal order give equal bytes.

    Barecat notes who made a folder and when; here these columns are NULL, because the same build
    by another user is the same archive.

    Args:
        path: The index file; it must not exist.
    """

    def __init__(self, path: str | os.PathLike):
        from barecat.core.index import Index
        from barecat.core.types import BarecatFileInfo

        self.path = os.fspath(path)
        self.n_added = 0
        self._make_info = BarecatFileInfo
        self._rows: list[Any] = []
        self._stack = contextlib.ExitStack()
        with self._sqlite_errors():
            # Barecat puts "file:" before and its own parameters, after another "?", behind.
            address = own_database(Path(self.path)).removeprefix("file:") + "&"
            self._index = self._stack.enter_context(Index(address, readonly=False))
            # The row of the root holds time and user. Its size would decide where the rows after
            # it lie, so it is made anew while the table is empty, and what it left is erased.
            for statement in (
                "PRAGMA secure_delete = ON",
                "UPDATE config SET value_int = 0 WHERE key = 'use_triggers'",
                "DELETE FROM dirs",
                "INSERT INTO dirs (path) VALUES ('')",
                "UPDATE config SET value_int = 1 WHERE key = 'use_triggers'",
            ):
                self._index.cursor.execute(statement)
            self._index.conn.commit()
            for pragma in (
                "journal_mode = OFF",  # the file is thrown away if anything goes wrong
                "synchronous = OFF",  # it is synced when complete
                "temp_store = FILE",  # sorting millions of keys must not need memory
                "cache_size = -16384",
                "mmap_size = 0",  # mapped pages would count as memory of this process
            ):
                self._index.cursor.execute(f"PRAGMA {pragma}")
            # Bulk mode makes these triggers again at its end but forgets to drop them before.
            for name in ("prevent_file_as_dir", "prevent_dir_as_file"):
                self._index.cursor.execute(f"DROP TRIGGER {name}")
            self._bulk = self._index.bulk_mode(
                drop_indexes=True, update_dirs_at_end=False, update_treestats_at_end=False
            )
            self._bulk.__enter__()

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds entries."""
        make = self._make_info
        before = len(self._rows)
        self._rows += [
            make(path=key, shard=shard, offset=offset, size=size, crc32c=crc)
            for key, shard, offset, size, crc in entries
        ]
        self.n_added += len(self._rows) - before
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self):
        with self._sqlite_errors():
            self._index.add_files(self._rows)
        self._rows = []

    def close(self, origins: Callable[[int, int], str] | None = None) -> None:
        """Completes the index.

        Args:
            origins: Says where the entry at (shard, offset) comes from, for the message about a
                key that exists twice.

        Raises:
            WorkError: A key exists twice, or one is the folder of another.
        """
        self._flush()
        with self._sqlite_errors():
            try:
                self._bulk.__exit__(None, None, None)
            except sqlite3.IntegrityError:
                raise WorkError(self._duplicate(origins)) from None
            # Left to bulk mode, triggers would note the time in every folder.
            with self._index.no_triggers(), contextlib.redirect_stdout(io.StringIO()):
                self._index.update_dirs()
                self._index.update_treestats()  # which prints what it does
            both = self._index.fetch_one(
                "SELECT path FROM dirs WHERE path IN (SELECT path FROM files) ORDER BY path"
            )
            if both is not None:
                raise WorkError(f"{self.path}: {both[0]!r} is both an entry and a folder")
            self._stack.close()

    def _duplicate(self, origins):
        key, n = self._index.fetch_one(
            "SELECT path, count(*) FROM files GROUP BY path HAVING count(*) > 1 ORDER BY path"
        )
        places = self._index.fetch_all("SELECT shard, offset FROM files WHERE path = ?", (key,))
        named = [
            f"shard {shard}" if origins is None else origins(shard, offset)
            for shard, offset in places
        ]
        return (
            f"{self.path}: image path {key!r} found {n} times, expected once "
            f"(in {' and '.join(dict.fromkeys(named))})"
        )

    @contextlib.contextmanager
    def _sqlite_errors(self):
        try:
            yield
        except sqlite3.Error as e:
            if is_disk_error(e):
                raise disk_error(e, Path(self.path)) from e
            raise WorkError(f"{self.path}: the index cannot be written: {e}") from e

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        # Closing is done already if all went well. Otherwise nothing is worth completing, so bulk
        # mode is left with the database closed, where it cannot make its indexes.
        with contextlib.suppress(sqlite3.Error):
            self._stack.close()
        with contextlib.suppress(sqlite3.Error):
            self._bulk.gen.close()

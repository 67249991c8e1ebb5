"""A cache of limited size on the disk, which all processes of a machine share: one SQLite file.

An entry is found by numbers (archive, shard, offset), and kept with the CRC32C of its content,
begun with a hash of these numbers: what is damaged is as good as absent, and never returned. The
key of a row is how many bytes had come before it, so that those beyond the capacity have the
lowest keys. In shuffled reading every entry is as likely to be asked for as any
other, so the oldest is as good a one to give up as the least used one.

A process may be killed at any time (a transaction is whole or absent), and readers wait for nobody
(a write-ahead log). SQLite is part of Python. What else there is: diskcache 5.6.3 reads as fast
and writes no faster (``benchmarks/remote.py --caches``), but has had no release since 2023, and
nobody mends its advisory CVE-2025-69872. fsspec's ``blockcache``, ``filecache`` and
``simplecache`` keep whole blocks or objects and have no limit of size.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import crc32c as crc32c_lib

from posepile.files import locked
from posepile.terminal import complain

# No file system shares the memory that a write-ahead log needs with another machine.
_FOLDER = "pictures-" + ("".join(c for c in platform.node() if c.isalnum() or c == "-") or "here")
_FILE = "kept.sqlite"

_WAIT = 5.0  # seconds for another process that writes; then an entry is not kept

_BEGIN = (
    "PRAGMA page_size = 8192",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    """CREATE TABLE IF NOT EXISTS pictures (
        start INTEGER PRIMARY KEY, archive INTEGER, shard INTEGER, offset INTEGER, crc32c INTEGER,
        data BLOB, UNIQUE (archive, shard, offset))""",
    "SELECT start, archive, shard, offset, crc32c, length(data) FROM pictures LIMIT 1",
)
_GET = "SELECT data, crc32c FROM pictures WHERE archive = ? AND shard = ? AND offset = ?"
_END = "SELECT start + length(data) FROM pictures ORDER BY start DESC LIMIT 1"
_PUT = "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)"
_TRIM = "DELETE FROM pictures WHERE start < ?"


class Kept:
    """The cache in a folder. Obtain it from :func:`open_kept`; threads and forks may share it.

    Attributes:
        capacity: Bytes of content that it holds; the file is about a tenth larger.
    """

    def __init__(self, folder: Path, capacity: int):
        self.folder = folder / _FOLDER
        self.capacity = capacity
        self._full = self._begun_anew = False
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.Lock()
        with self._database():
            pass

    def wait_and_close(self) -> None:
        """Before a fork: SQLite's locks and connections must not be shared with a child."""
        self._lock.acquire()
        self._close()

    def go_on(self) -> None:
        """After a fork, in parent and child."""
        self._lock.release()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        with contextlib.suppress(sqlite3.Error):
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None:
                with self._alone():
                    self._connection = self._opened()
            yield self._connection

    def _alone(self):
        waiting = f"waiting for another process that opens {self.folder}"
        return locked(self.folder.with_name(f".{_FOLDER}.lock"), waiting=waiting)

    def _opened(self) -> sqlite3.Connection:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / _FILE
        if _size(file) > 1.25 * self.capacity + (1 << 20):  # it was larger before
            self._make_way()
        connection = sqlite3.connect(file, _WAIT, isolation_level=None, check_same_thread=False)
        try:
            for statement in _BEGIN:
                connection.execute(statement)
        except sqlite3.Error as e:
            connection.close()
            if _is_of_the_machine(e) or self._begun_anew:
                raise
            self._begun_anew = True
            self._make_way()
            return self._opened()
        self._inode = os.stat(file).st_ino
        return connection

    def _make_way(self) -> None:
        """Begins anew; processes that have the former file open go on with that."""
        former = self.folder.with_name(f".{_FOLDER}.former")
        shutil.rmtree(former, ignore_errors=True)
        os.rename(self.folder, former)  # the file with its log
        shutil.rmtree(former, ignore_errors=True)
        self.folder.mkdir()

    def get(self, archive: int, shard: int, offset: int, size: int) -> bytes | None:
        """Returns an entry; None if it is not there.

        Args:
            archive: Number of the archive, below 2**63.
            shard: Number of the shard.
            offset: Where it is in the shard.
            size: Bytes.
        """
        key = archive, shard, offset
        try:
            with self._database() as database:
                row = database.execute(_GET, key).fetchone()
        except (sqlite3.Error, OSError) as e:
            self._failed(e)
            return None
        if row is None or type(row[0]) is not bytes or len(row[0]) != size:
            return None
        return row[0] if _checksum(row[0], key) == row[1] else None

    def put(self, archive: int, shard: int, offset: int, data: bytes) -> None:
        """Keeps an entry, in the place of the oldest ones; does nothing where the disk is full.

        Args:
            archive: Number of the archive, below 2**63.
            shard: Number of the shard.
            offset: Where it is in the shard.
            data: Its content.
        """
        if self._full or not 0 < len(data) <= self.capacity // 4:
            return
        key = archive, shard, offset
        try:
            with self._database() as database:
                database.execute("BEGIN IMMEDIATE")
                try:
                    start = (database.execute(_END).fetchone() or (0,))[0]
                    database.execute(_PUT, (start, *key, _checksum(data, key), data))
                    database.execute(_TRIM, (start + len(data) - self.capacity,))
                    database.execute("COMMIT")
                finally:
                    if database.in_transaction:
                        database.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as e:
            self._failed(e)

    def _failed(self, error: sqlite3.Error | OSError) -> None:
        if "locked" in str(error):
            return  # somebody writes for long; it is not kept
        if not self._begun_anew and not _is_of_the_machine(error):
            self._begun_anew = True
            with self._lock, contextlib.suppress(OSError):
                self._close()
                with self._alone():
                    if os.stat(self.folder / _FILE).st_ino == self._inode:  # else somebody did
                        self._make_way()
            return
        if not self._full:
            self._full = True
            complain(
                f"warning: {self.folder / _FILE}: {error}; going on without keeping what is read: "
                "make room there, or set POSEPILE_OBJECT_CACHE_SIZE lower"
            )


def _checksum(data: bytes, key: tuple[int, int, int]) -> int:
    return crc32c_lib.crc32c(data, hash(key) & 0xFFFFFFFF)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether a disk or a lock is at fault, and not what is in the file."""
    known = isinstance(error, (OSError, sqlite3.OperationalError))
    return known and "no such" not in str(error)


_caches: dict[str, Kept | None] = {}


def open_kept(folder: Path, capacity: int) -> Kept | None:
    """Returns the cache in a folder, one per process; None if it cannot be made, which is said.

    Args:
        folder: Where; made if needed.
        capacity: Bytes; a cache that is much larger is begun anew. Who asks first decides.
    """
    key = os.fspath(folder)
    if key not in _caches:
        try:
            _caches.setdefault(key, Kept(folder, capacity))  # a thread may have been quicker
        except (sqlite3.Error, OSError) as e:
            complain(
                f"warning: {folder}: no cache can be made ({e}); every image is fetched each "
                "time: set POSEPILE_OBJECT_CACHE to a folder on a disk of this machine with room"
            )
            _caches[key] = None
    return _caches[key]


def room_taken(folder: Path) -> int:
    """Returns how large the cache in a folder is, in bytes."""
    return _size(folder / _FOLDER / _FILE)


def _size(file: Path) -> int:
    """Returns the size of a file; 0 if there is none."""
    return file.stat().st_size if file.is_file() else 0


_waiting: list[Kept] = []  # while this process forks


def _before_fork() -> None:
    for kept in list(_caches.values()):
        if kept is not None:
            kept.wait_and_close()
            _waiting.append(kept)


def _after_fork() -> None:
    while _waiting:
        _waiting.pop().go_on()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

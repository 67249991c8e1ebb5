"""An archive in an object store: its index and table as files here, its images by ranges.

Below the cache folder an archive has a folder of its own, named by its address and by the version
(the ETag) of its index. There lie the index and the shard of the table, copied whole when they are
first asked for, under the names that they have in the store. Of other shards ranges are fetched,
each exactly one entry, and kept in one :class:`posepile.remote.kept.Kept` for all archives.
Entries are compared with the CRC32C that the index has of them, in shards copied whole as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import crc32c as crc32c_lib

from posepile.errors import UsageError, WorkError, one_line
from posepile.files import locked
from posepile.remote import stores
from posepile.remote.kept import open_kept, room_taken
from posepile.remote.places import cache_folder

# For so long an archive that was looked at is not looked at again, unless bytes do not fit.
LOOK_AGAIN_SECONDS = 60

DEFAULT_CAPACITY = 64 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# What the index says of a shard; a damaged row is told by who reads the index.
_ENTRIES = """SELECT offset, size, crc32c FROM files WHERE shard = ? AND crc32c IS NOT NULL AND
    typeof(offset) = 'integer' AND typeof(size) = 'integer' AND offset >= 0 ORDER BY offset"""

_known: dict[str, tuple[float, RemoteArchive]] = {}


def cache_capacity() -> int:
    """Returns how many bytes of images are kept: ``POSEPILE_OBJECT_CACHE_SIZE``.

    Where that is not set: 64 GiB, or half of what is free on the disk and what the cache has.

    Raises:
        UsageError: It is no size.
    """
    text = os.environ.get("POSEPILE_OBJECT_CACHE_SIZE")
    folder = cache_folder()
    if text:
        number, unit = text.rstrip("KMGTiB"), text.lstrip("0123456789.").rstrip("iB")
        try:
            capacity = int(float(number) * _UNITS[unit])
        except (ValueError, KeyError, OverflowError):
            capacity = 0
        if capacity < 1 << 12:
            raise UsageError(
                f"environment variable POSEPILE_OBJECT_CACHE_SIZE: {text!r}, expected a size of "
                "4K or more, such as 200G"
            )
        return capacity
    folder.mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(folder).free + room_taken(folder)
    return max(1 << 20, min(DEFAULT_CAPACITY, room // 2))


@contextlib.contextmanager
def _writing_to_the_cache():
    try:
        yield
    except OSError as e:
        raise WorkError(
            f"{cache_folder()}: copies cannot be kept there ({e.strerror or e}); set "
            "POSEPILE_OBJECT_CACHE to a folder on a disk of this machine with room"
        ) from e


@_writing_to_the_cache()
def remote_archive(address: str, *, anew: bool = False) -> RemoteArchive:
    """Returns an archive in a store, its index copied here.

    Args:
        address: Of its index.
        anew: Ask the store whether it was replaced, also if that was asked a moment ago.

    Raises:
        WorkError: There is none, or it cannot be read.
    """
    known = _known.get(address)
    if known is not None and not anew and time.monotonic() < known[0] + LOOK_AGAIN_SECONDS:
        return known[1]
    stat = stores.look(address)
    if known is not None and known[1].version == stat.version:
        archive = known[1]
    else:
        archive = RemoteArchive(address, stat)
        archive.bring_index(stat)
    _known[address] = time.monotonic(), archive
    return archive


class RemoteArchive:
    """What is fetched of one version of an archive. Obtain it from :func:`remote_archive`.

    Attributes:
        address: Of the index.
        version: Of the index.
        index_path: The copy of the index.
    """

    def __init__(self, address: str, stat: stores.Stat):
        self.address = address
        self.version = stat.version
        name = address.rpartition("/")[2]
        of_address, version = _short(address), _short(stat.version)
        self.folder = cache_folder() / f"{name}-{of_address}" / version
        self.index_path = os.fspath(self.folder / name)
        self._number = int(_short(f"{address} {stat.version}"), 16) >> 1
        self._kept = open_kept(self.folder.parent.parent, cache_capacity())

    def bring_index(self, stat: stores.Stat) -> None:
        """Copies the index here, unless a copy is here that can be read."""
        self.bring("", stat)
        try:
            with self._index() as index:
                index.execute(_ENTRIES, (0,)).fetchone()
        except sqlite3.Error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.index_path)
            self.bring("", stat)

    def _index(self):
        uri = f"file:{quote(self.index_path)}?mode=ro&immutable=1"
        return contextlib.closing(sqlite3.connect(uri, uri=True))

    @_writing_to_the_cache()
    def bring(self, suffix: str, stat: stores.Stat | None = None) -> None:
        """Copies a file of the archive here, unless it is here; one process at a time does.

        Args:
            suffix: What follows in its name; nothing for the index.
            stat: What the store says of it, where that is known.
        """
        path = Path(f"{self.index_path}{suffix}")
        if path.exists():
            return
        address = f"{self.address}{suffix}"
        with locked(path.with_name(f".{path.name}.lock"), waiting=f"waiting for {path}"):
            if not path.exists():
                if not suffix:
                    self._remove_other_versions()
                check = self._require_fitting if suffix else None
                stores.copy_here(address, stat or stores.look(address), path, check)

    def _require_fitting(self, address: str, copy: Path) -> None:
        """Compares the entries of a shard that was copied; raises WorkError if one is another."""
        shard = int(address.rpartition("-")[2])
        try:
            with self._index() as index, open(copy, "rb") as f:
                for offset, size, expected in index.execute(_ENTRIES, (shard,)):
                    f.seek(offset)
                    if _checksum(f, size) != expected:
                        raise self._damaged(address, offset, size)
        except sqlite3.Error as e:
            raise WorkError(
                f"{self.address}: its index is damaged ({one_line(e)}); upload the archive again"
            ) from e

    def _remove_other_versions(self):
        # Who has an earlier one mapped keeps it; who opens it by name is told that it is gone.
        for folder in self.folder.parent.iterdir():
            if folder != self.folder:
                shutil.rmtree(folder, ignore_errors=True)

    def read(
        self, shard: int, offset: int, size: int, checksum: Callable[[int, int, int], int | None]
    ) -> bytes:
        """Returns an entry, from the cache where it is there.

        Args:
            shard: Number of the shard.
            offset: Where it is in the shard.
            size: Bytes.
            checksum: Returns the CRC32C of the entry at these three; asked for what is fetched.

        Raises:
            WorkError: It cannot be fetched, or is not what the index says.
        """
        kept = self._kept
        data = None if kept is None else kept.get(self._number, shard, offset, size)
        if data is None:
            data = self._fetched(shard, offset, size, checksum(shard, offset, size))
            if kept is not None:
                kept.put(self._number, shard, offset, data)
        return data

    def _fetched(self, shard, offset, size, expected):
        address = f"{self.address}-shard-{shard:05d}"
        if size == 0:
            return b""
        try:
            data = stores.read_range(address, offset, size)
        except stores.Silent:
            raise  # which is not said the sooner for asking about the index
        except WorkError:
            self._require_current()
            raise
        if expected is not None and crc32c_lib.crc32c(data) != expected:
            raise self._damaged(address, offset, size)
        return data

    def _damaged(self, address, offset, size):
        self._require_current()
        return WorkError(
            f"{address}: the {size} bytes at {offset} do not fit the CRC32C in the index; it is "
            "damaged, or a new archive is being uploaded: upload it again"
        )

    def _require_current(self):
        _known.pop(self.address, None)
        now = stores.look_if_there(self.address)
        if now is None or now.version != self.version:
            raise ArchiveReplaced(
                f"{self.address}: was replaced or removed while open; open the dataset again"
            )


class ArchiveReplaced(WorkError):
    """Another archive has taken the place of the one that is open."""


def _checksum(f, size):
    crc = 0
    while size > 0 and (data := f.read(min(size, stores.PIECE))):
        crc, size = crc32c_lib.crc32c(data, crc), size - len(data)
    return crc if size <= 0 else None


def _short(text):
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

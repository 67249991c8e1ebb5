"""Reading archives: cached readers of a Barecat and its example table."""

from __future__ import annotations

import json
import mmap
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np

from posepile import paths
from posepile.errors import UsageError, WorkError, one_line
from posepile.joint_info import JointInfo
from posepile.recipe import SPLITS
from posepile.remote.copies import ArchiveReplaced, RemoteArchive, remote_archive
from posepile.store import codec
from posepile.store.descriptors import Descriptor, Descriptors, close_some, most_open
from posepile.store.images import decode_image
from posepile.store.index import require_plain_table
from posepile.store.layout import FORMAT_VERSION, TABLE_PREFIX, Stamp, find_index, where_now
from posepile.store.mapping import check_columns, npy_view
from posepile.store.origin import UNKNOWN, NamesOfSequences, Origin
from posepile.store.table import ExampleTable

_SELECT = "SELECT path, shard, offset, size FROM files"

_ADVICE = "posepile verify finds what is damaged"


def open_archive(path: str | os.PathLike) -> Archive:
    """Returns the reader of an archive, one per process and path.

    It is safe to use from several threads and in forked children, and replaced when the file at
    ``path`` has been replaced.

    Args:
        path: The index file (or, for archives of 2024, its name without ``-sqlite-index``);
            relative paths are below ``DATA_ROOT``. Or its address in an object store.

    Raises:
        UsageError: There is no such archive.
        WorkError: The file is not an archive's index.
    """
    key = os.fspath(path)
    index_path, stamp, remote = _find_index(key)
    cached = _readers.get(key)
    if cached is not None and cached.stamp == stamp and cached.index_path == index_path:
        return cached
    with _readers_lock:
        cached = _readers.get(key)
        if cached is None or cached.stamp != stamp or cached.index_path != index_path:
            cached = _readers[key] = Archive(index_path, stamp, remote)
    return cached


def open_anew(path: str | os.PathLike) -> Archive:
    """Returns a reader that remembers nothing of the files; see :func:`open_archive`."""
    return Archive(*_find_index(os.fspath(path)))


def read_manifest(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the manifest of an archive: code version, parameters, sources, counts."""
    try:
        return json.loads(open_archive(path)["manifest.json"])
    except KeyError:
        raise WorkError(f"{path}: holds no manifest.json") from None
    except ValueError as e:
        raise WorkError(f"{path}: its manifest.json is damaged ({one_line(e)}); {_ADVICE}") from e


def _find_index(path):
    if paths.is_address(path):
        remote = remote_archive(path)
        found = find_index(remote.index_path)
        if found is None:  # whoever cleared the cache did so a moment ago
            raise ArchiveReplaced(f"{path}: its copy here is gone; open the dataset again")
        return remote.index_path, found[1], remote
    absolute = path if os.path.isabs(path) else os.fspath(paths.ensure_absolute(path))
    for candidate in (absolute, f"{absolute}-sqlite-index"):
        found = find_index(candidate)
        if found is not None:
            return candidate, found[1], None
    raise UsageError(f"archive {absolute}: not found")


_readers: dict[str, Archive] = {}
_readers_lock = threading.Lock()
_live: weakref.WeakSet[Archive] = weakref.WeakSet()


def _after_fork():
    # Positioned reads share nothing with the parent; locks and SQLite connections must not be
    # shared.
    global _readers_lock
    _readers_lock = threading.Lock()
    for archive in list(_live):
        archive._lock = threading.Lock()
        archive._local = threading.local()


os.register_at_fork(after_in_child=_after_fork)


class Archive:
    """Read access to one archive. Obtain it from :func:`open_archive`.

    A read-only mapping from key to bytes, plus the example table if there is one.

    Whatever is opened later than the archive itself (a shard, the table, the index in another
    thread or a forked child) is opened by name. After each opening it is checked that the index
    is still the one it was: a new archive says so in ``.next`` before it replaces the first file,
    so what was opened before that is of this archive. What is open stays right for ever.

    Single images at known places and the mapped table do not go through the Barecat library: it
    keeps every shard open and looks each key up in the index, which takes several times longer
    than reading the image does.

    Attributes:
        index_path: The SQLite file at its final place.
        path: What shard names start with.
        stamp: Device, inode, time and size of the index.
        remote: Where the shards are, of an archive in an object store; else None.
    """

    def __init__(self, index_path: str, stamp: Stamp, remote: RemoteArchive | None = None):
        self.remote = remote
        self.index_path = index_path
        self.path = index_path.removesuffix("-sqlite-index")
        self.stamp = stamp
        self._lock = threading.Lock()
        self._local = threading.local()
        self._shards = Descriptors()
        self._table: ExampleTable | None = None
        self._metadata: dict[str, Any] | None = None
        self._names: NamesOfSequences | None = None
        self._maps: list[mmap.mmap] = []
        self._connection()
        _live.add(self)

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Reads the bytes of the entry at a known place."""
        if self.remote is not None:
            return self.remote.read(shard, offset, size, self._checksum)
        descriptor = self._shards.get(shard)
        if descriptor is None:
            descriptor = self._open_shard(shard)
        try:
            data = os.pread(descriptor.number, size, offset)
        except (OSError, OverflowError, ValueError, MemoryError) as e:
            raise WorkError(
                f"{self._shard_path(shard)}: {size} bytes at offset {offset} cannot be read "
                f"({e}); {_ADVICE}"
            ) from e
        if len(data) != size:
            raise WorkError(
                f"{self._shard_path(shard)}: {len(data)} bytes at offset {offset}, expected "
                f"{size}; the shard is truncated or belongs to another archive"
            )
        return data

    def _checksum(self, *place):
        what = f"SELECT path, ifnull(crc32c, {1 << 32}) FROM files"  # an index may have none
        for _, crc in self._rows(f"{what} WHERE shard = ? AND offset = ? AND size = ?", place):
            return crc if crc < 1 << 32 else None
        raise WorkError(f"{self.reference}: no entry at shard, offset, size {place}; {_ADVICE}")

    @property
    def reference(self) -> str:
        """What references to this archive call it: its address, or its path, see paths."""
        return paths.relative_to_root(self.path) if self.remote is None else self.remote.address

    @property
    def name(self) -> str:
        """What messages call it: the index file or its address."""
        return self.index_path if self.remote is None else self.remote.address

    def _shard_path(self, shard):
        return f"{self.path}-shard-{shard:05d}"

    def _open_shard(self, shard):
        with self._lock:
            descriptor = self._shards.get(shard)
            if descriptor is None:
                descriptor = self._open_file(f"-shard-{shard:05d}")
                close_some(most_open() - 1)
                self._shards[shard] = descriptor
        return descriptor

    def _open_file(self, suffix):
        descriptor = None
        if self.remote is not None:
            self.remote.bring(suffix)
        for candidate in where_now(self.path, suffix):
            try:
                descriptor = Descriptor(candidate)
                break
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as e:
                raise WorkError(f"{candidate}: cannot be opened: {e.strerror}") from e
        self._check_unchanged()
        if descriptor is None:
            raise WorkError(
                f"{self.name.removesuffix('-sqlite-index')}{suffix}: not found, but {self.name} "
                f"refers to it; {_ADVICE}"
            )
        return descriptor

    def _check_unchanged(self):
        found = find_index(self.index_path)
        if found is None or found[1] != self.stamp:
            raise ArchiveReplaced(
                f"{self.name}: was replaced or removed while open; open the dataset again"
            )

    def _connection(self):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def _connect(self):
        problem = None
        for _ in range(10):  # each time the index may be moved between looking and opening
            found = find_index(self.index_path)
            if found is None or found[1] != self.stamp:
                break
            uri = f"file:{quote(os.path.abspath(found[0]))}?mode=ro&immutable=1"
            try:
                connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
                require_plain_table(connection)
                connection.execute(f"{_SELECT} LIMIT 1").fetchone()
            except (sqlite3.Error, UnicodeDecodeError) as e:
                problem = e
                continue
            self._check_unchanged()
            return connection
        self._check_unchanged()  # raises if that is why
        raise WorkError(
            f"{self.name}: not the index of an archive ({one_line(problem)}); expected an "
            "SQLite file with the table 'files'"
        ) from problem

    def _rows(self, query, args=()):
        """Iterates over rows of the index, checked for type, with errors of one line."""
        try:
            for row in self._connection().execute(query, args):
                if type(row[0]) is not str or any(type(n) is not int or n < 0 for n in row[1:]):
                    raise WorkError(f"{self.name}: is damaged (row {row!r}); {_ADVICE}")
                yield row
        except (sqlite3.Error, UnicodeDecodeError) as e:
            raise WorkError(f"{self.name}: is damaged ({one_line(e)}); {_ADVICE}") from e

    def address(self, key: str) -> tuple[int, int, int]:
        """Looks up shard, offset and size of an entry; KeyError if there is none."""
        for row in self._rows(f"{_SELECT} WHERE path = ?", (key,)):
            return row[1:]
        raise KeyError(key)

    def __getitem__(self, key):
        return self.read(*self.address(key))

    def __contains__(self, key):
        try:
            self.address(key)
        except KeyError:
            return False
        return True

    def get(self, key: str, default: Any = None) -> Any:
        """Returns the bytes of an entry, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def __len__(self):
        ((_, n),) = self._rows("SELECT '', count(*) FROM files")
        return n

    def __bool__(self):
        return True  # without counting the entries

    def stored_names(self) -> Iterator[str]:
        """Iterates over the keys as their rows have them, which damage may part from the order."""
        yield from (key for (key,) in self._rows("SELECT path FROM files NOT INDEXED"))

    def __iter__(self):
        yield from (key for key, *_ in self.entries())

    keys = __iter__

    def entries(self, folder: str = "") -> Iterator[tuple[str, int, int, int]]:
        """Iterates over (key, shard, offset, size) of all entries below a folder."""
        if folder:
            # '0' follows '/': this range is everything below the folder.
            where = "WHERE path > ? AND path < ?"
            yield from self._rows(f"{_SELECT} {where} ORDER BY path", (f"{folder}/", f"{folder}0"))
        else:
            yield from self._rows(f"{_SELECT} ORDER BY path")

    def entries_with_checksums(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Iterates over (key, shard, offset, size, CRC32C) of all entries, ordered by key."""
        yield from self._rows("SELECT path, shard, offset, size, crc32c FROM files ORDER BY path")

    def decoded(self) -> DecodedArchive:
        """Returns a view whose values are decoded by extension."""
        return DecodedArchive(self)

    @property
    def metadata(self) -> dict[str, Any]:
        """The decoded ``metadata.msgpack``."""
        if self._metadata is None:
            try:
                data = self["metadata.msgpack"]
            except KeyError:
                raise WorkError(f"{self.name}: holds no metadata.msgpack") from None
            self._metadata = self._checked_metadata(data)
        return self._metadata

    def _checked_metadata(self, data):
        try:
            metadata = codec.unpack_msgpack(data)
            JointInfo(metadata["joint_names"], metadata["joint_edges"], strict=False)
            version = metadata.get("format_version", 0)
            ranges = metadata.get("split_ranges")
            if ranges is not None:
                for name in SPLITS:
                    range(*ranges[name])
            too_new = version > FORMAT_VERSION
        except Exception as e:  # whatever the library makes of damaged bytes
            raise WorkError(
                f"{self.name}: its metadata.msgpack is damaged ({type(e).__name__}: "
                f"{one_line(e)}); {_ADVICE}"
            ) from e
        if too_new:
            raise WorkError(
                f"{self.name}: format version {version}, this code reads up to "
                f"{FORMAT_VERSION}; update posepile"
            )
        return metadata

    @property
    def identity(self) -> str | None:
        """Digest of what the archive holds; None in archives made before there was one."""
        return self.metadata.get("identity")

    @property
    def joint_info(self) -> JointInfo:
        """The skeleton."""
        return JointInfo(self.metadata["joint_names"], self.metadata["joint_edges"], strict=False)

    def origin(self, sequence: str) -> Origin:
        """Returns where the examples of a sequence come from."""
        if self._names is None:
            pattern = self.metadata.get("sequence_names") or ""
            self._names = NamesOfSequences(str(pattern), self.name)
        dataset, licence = (
            str(self.metadata.get(name) or UNKNOWN) for name in ("name", "licence")
        )
        return Origin(dataset, licence, *self._names.of(sequence))

    @property
    def has_table(self) -> bool:
        """Whether this archive has an example table (or per-example entries only)."""
        return f"{TABLE_PREFIX}/flags.npy" in self

    @property
    def table(self) -> ExampleTable:
        """The example table, memory-mapped."""
        if self._table is None:
            self._table = ExampleTable(self._map_columns(), len(self.metadata["joint_names"]))
        return self._table

    def let_go(self) -> None:
        """Hands the table's mapped pages back, which count as memory; what is read maps anew."""
        for mapped in self._maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def split_rows(self) -> dict[str, range | np.ndarray]:
        """Returns which rows of the table each split has."""
        ranges = self.metadata.get("split_ranges")
        if ranges is None:
            return self.table.split_ranges()
        return {name: range(*ranges[name]) for name in SPLITS}

    def _map_columns(self):
        maps, columns = {}, {}
        for key, shard, offset, size in list(self.entries(TABLE_PREFIX)):
            try:
                if shard not in maps:
                    descriptor = self._open_file(f"-shard-{shard:05d}")
                    maps[shard] = mmap.mmap(descriptor.number, 0, access=mmap.ACCESS_READ)
                name = key.removeprefix(f"{TABLE_PREFIX}/").removesuffix(".npy")
                columns[name] = npy_view(maps[shard], offset, size)
            except (OSError, ValueError) as e:
                raise WorkError(f"{self.name}, {key}: {e}; {_ADVICE}") from e
        self._maps = list(maps.values())
        if "flags" not in columns:
            raise WorkError(f"{self.name}: holds no example table")
        try:
            check_columns(columns)
        except ValueError as e:
            raise WorkError(f"{self.name}: its table is damaged ({e}); {_ADVICE}") from e
        return columns


class DecodedArchive:
    """A read-only mapping whose values are decoded by the key's extension."""

    def __init__(self, archive: Archive):
        self.archive = archive

    def __getitem__(self, key):
        data = self.archive[key]
        extension = key.rpartition(".")[2].lower()
        if extension == "msgpack":
            return codec.unpack_msgpack(data)
        if extension == "json":
            return json.loads(data)
        if extension in ("jpg", "jpeg", "png"):
            return decode_image(data, key)
        return data

    def __contains__(self, key):
        return key in self.archive

    def __iter__(self):
        return iter(self.archive)

    keys = __iter__

    def __len__(self):
        return len(self.archive)

    def get(self, key: str, default: Any = None) -> Any:
        """Returns the decoded entry, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

"""Reading archives: cached readers of a Barecat and its example table."""

from __future__ import annotations

import json
import mmap
import os
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile import paths
from posepile.errors import UsageError, WorkError
from posepile.joint_info import JointInfo
from posepile.recipe import SPLITS
from posepile.store import codec
from posepile.store.images import decode_image
from posepile.store.packing import FORMAT_VERSION, TABLE_PREFIX

if TYPE_CHECKING:
    pass
from posepile.store.table import ExampleTable

_MAX_OPEN_SHARDS = 128


def open_archive(path: str | os.PathLike) -> Archive:
    """Returns the reader of an archive, one per process and path.

    It is safe to use from several threads and in forked children, and replaced when the file at
    ``path`` has been replaced.

    Args:
        path: The index file (or, for archives of 2024, its name without ``-sqlite-index``);
            relative paths are below ``DATA_ROOT``.

    Raises:
        UsageError: There is no such archive.
        WorkError: The file is not an archive's index.
    """
    key = os.fspath(path)
    index_path, stamp = _find_index(key)
    cached = _readers.get(key)
    if cached is not None and cached.stamp == stamp and cached.index_path == index_path:
        return cached
    with _readers_lock:
        cached = _readers.get(key)
        if cached is None or cached.stamp != stamp or cached.index_path != index_path:
            cached = _readers[key] = Archive(index_path, stamp)
    return cached


def read_manifest(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the manifest of an archive: code version, parameters, sources, counts."""
    try:
        return json.loads(open_archive(path)["manifest.json"])
    except KeyError:
        raise WorkError(f"{path}: holds no manifest.json") from None


def _find_index(path):
    absolute = path if os.path.isabs(path) else os.fspath(paths.ensure_absolute(path))
    for candidate in (absolute, f"{absolute}-sqlite-index"):
        try:
            stat = os.stat(candidate)
        except FileNotFoundError:
            continue
        return candidate, (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
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


class _Descriptor:
    """A file descriptor that closes when the last user lets go of it."""

    __slots__ = ("number",)

    def __init__(self, path):
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self):
        number = getattr(self, "number", None)
        if number is not None:
            os.close(number)


class Archive:
    """Read access to one archive. Obtain it from :func:`open_archive`.

    A read-only mapping from key to bytes, plus the example table if there is one.

    Attributes:
        index_path: The SQLite file.
        path: What shard names start with.
        stamp: Identity of the index file.
    """

    def __init__(self, index_path: str, stamp: tuple[int, ...]):
        self.index_path = index_path
        self.path = index_path.removesuffix("-sqlite-index")
        self.stamp = stamp
        self._lock = threading.Lock()
        self._local = threading.local()
        self._shards: OrderedDict[int, _Descriptor] = OrderedDict()
        self._table: ExampleTable | None = None
        self._metadata: dict[str, Any] | None = None
        try:
            self._connection().execute("SELECT path, shard, offset, size FROM files LIMIT 1")
        except sqlite3.DatabaseError as e:
            raise WorkError(
                f"{index_path}: not the index of an archive ({e}); expected an SQLite file with "
                "the table 'files'"
            ) from e
        _live.add(self)

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Reads bytes at a known place."""
        descriptor = self._shards.get(shard)
        if descriptor is None:
            descriptor = self._open_shard(shard)
        data = os.pread(descriptor.number, size, offset)
        if len(data) != size:
            raise WorkError(
                f"{self._shard_path(shard)}: {len(data)} bytes at offset {offset}, expected "
                f"{size}; the shard is truncated or belongs to another archive"
            )
        return data

    def _shard_path(self, shard):
        return f"{self.path}-shard-{shard:05d}"

    def _open_shard(self, shard):
        with self._lock:
            descriptor = self._shards.get(shard)
            if descriptor is None:
                self._check_unchanged()
                try:
                    descriptor = _Descriptor(self._shard_path(shard))
                except FileNotFoundError:
                    raise WorkError(
                        f"{self._shard_path(shard)}: not found, but {self.index_path} refers to it"
                    ) from None
                while len(self._shards) >= _MAX_OPEN_SHARDS:
                    self._shards.popitem(last=False)
                self._shards[shard] = descriptor
        return descriptor

    def _check_unchanged(self):
        # Shards are found by name: those of a successor must not be read with our offsets.
        try:
            now = _find_index(self.index_path)[1]
        except UsageError:
            now = None
        if now != self.stamp:
            raise WorkError(
                f"{self.index_path}: was replaced or removed while open; open the dataset again"
            )

    def _connection(self):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            uri = f"file:{_quote(os.path.abspath(self.index_path))}?mode=ro&immutable=1"
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._local.connection = connection
        return connection

    def address(self, key: str) -> tuple[int, int, int]:
        """Looks up shard, offset and size of an entry; KeyError if there is none."""
        row = (
            self._connection()
            .execute("SELECT shard, offset, size FROM files WHERE path = ?", (key,))
            .fetchone()
        )
        if row is None:
            raise KeyError(key)
        return row

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
        return self._connection().execute("SELECT count(*) FROM files").fetchone()[0]

    def __bool__(self):
        return True  # without counting the entries

    def __iter__(self):
        yield from (key for key, *_ in self.entries())

    keys = __iter__

    def entries(self, folder: str = "") -> Iterator[tuple[str, int, int, int]]:
        """Iterates over (key, shard, offset, size) of all entries below a folder."""
        connection = self._connection()
        select = "SELECT path, shard, offset, size FROM files"
        if folder:
            # '0' follows '/': this range is everything below the folder.
            yield from connection.execute(
                f"{select} WHERE path > ? AND path < ? ORDER BY path", (f"{folder}/", f"{folder}0")
            )
        else:
            yield from connection.execute(f"{select} ORDER BY path")

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
                raise WorkError(f"{self.index_path}: holds no metadata.msgpack") from None
            self._metadata = codec.unpack_msgpack(data)
        return self._metadata

    @property
    def identity(self) -> str | None:
        """Digest of what the archive holds; None in archives made before there was one."""
        return self.metadata.get("identity")

    @property
    def joint_info(self) -> JointInfo:
        """The skeleton."""
        return JointInfo(self.metadata["joint_names"], self.metadata["joint_edges"], strict=False)

    @property
    def has_table(self) -> bool:
        """Whether this archive has an example table (or per-example entries only)."""
        return f"{TABLE_PREFIX}/flags.npy" in self

    @property
    def table(self) -> ExampleTable:
        """The example table, memory-mapped."""
        if self._table is None:
            version = self.metadata.get("format_version", 0)
            if version > FORMAT_VERSION:
                raise WorkError(
                    f"{self.index_path}: format version {version}, this code reads up to "
                    f"{FORMAT_VERSION}; update posepile"
                )
            self._table = ExampleTable(self._map_columns(), len(self.metadata["joint_names"]))
        return self._table

    def split_rows(self) -> dict[str, range | np.ndarray]:
        """Returns which rows of the table each split has."""
        ranges = self.metadata.get("split_ranges")
        if ranges is None:
            return self.table.split_ranges()
        return {name: range(*ranges[name]) for name in SPLITS}

    def _map_columns(self):
        maps, columns = {}, {}
        for key, shard, offset, size in self.entries(TABLE_PREFIX):
            if shard not in maps:
                with open(self._shard_path(shard), "rb") as f:
                    maps[shard] = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
            name = key.removeprefix(f"{TABLE_PREFIX}/").removesuffix(".npy")
            try:
                columns[name] = _npy_view(maps[shard], offset, size)
            except ValueError as e:
                raise WorkError(f"{self.index_path}, {key}: {e}") from e
        if "flags" not in columns:
            raise WorkError(f"{self.index_path}: holds no example table")
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


def _quote(path):
    from urllib.parse import quote

    return quote(path)


def _npy_view(buffer, offset, size):
    """Returns the array of a ``.npy`` entry as a view of the buffer."""
    if buffer[offset : offset + 8] != b"\x93NUMPY\x01\x00":
        raise ValueError("expected a .npy entry of format 1.0")
    header_size = int.from_bytes(buffer[offset + 8 : offset + 10], "little")
    dtype, shape = _parse_npy_header(bytes(buffer[offset + 10 : offset + 10 + header_size]))
    count = int(np.prod(shape, dtype=np.int64))
    if 10 + header_size + count * dtype.itemsize != size:
        raise ValueError(f"{size} bytes do not fit an array of shape {shape} and type {dtype}")
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(buffer, dtype, count, offset + 10 + header_size).reshape(shape)


def _parse_npy_header(header):
    import ast

    fields = ast.literal_eval(header.decode("latin1"))
    dtype = np.dtype(fields["descr"])
    if dtype.hasobject or fields["fortran_order"]:
        raise ValueError("expected plain numbers in C order")
    return dtype, fields["shape"]

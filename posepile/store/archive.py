"""Archives: cached readers, datasets opened from them, verifying. Writing is in ``packing``.

An archive is a Barecat (an SQLite index beside shards) that holds the images by ``image_path`` and
the example table as ``.npy`` entries. Layout and cost are described in docs/FORMAT.md.
"""

from __future__ import annotations

import json
import mmap
import os
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import crc32c as crc32c_lib
import numpy as np

from posepile import paths
from posepile.errors import UsageError, WorkError
from posepile.files import write_atomically
from posepile.joint_info import JointInfo
from posepile.store import codec, table
from posepile.store.packing import (
    FORMAT_VERSION,
    TABLE_PREFIX,
    PartWriter,
    manifest_path,
    pack,
)
from posepile.util import SPLIT_NAMES, decode_image, read_image

if TYPE_CHECKING:
    from posepile.datasets2d import Pose2DDataset
    from posepile.datasets3d import Pose3DDataset

__all__ = [
    "Archive",
    "PartWriter",
    "manifest_path",
    "open_archive",
    "open_dataset",
    "pack",
    "read_manifest",
    "table_source",
    "verify",
    "write_pickle",
]

_MAX_OPEN_SHARDS = 128

# ---------------------------------------------------------------- reading


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
        self._table: table.ExampleTable | None = None
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
    def joint_info(self) -> JointInfo:
        """The skeleton."""
        return JointInfo(self.metadata["joint_names"], self.metadata["joint_edges"], strict=False)

    @property
    def has_table(self) -> bool:
        """Whether this archive has an example table (or per-example entries only)."""
        return f"{TABLE_PREFIX}/flags.npy" in self

    @property
    def table(self) -> table.ExampleTable:
        """The example table, memory-mapped."""
        if self._table is None:
            version = self.metadata.get("format_version", 0)
            if version > FORMAT_VERSION:
                raise WorkError(
                    f"{self.index_path}: format version {version}, this code reads up to "
                    f"{FORMAT_VERSION}; update posepile"
                )
            self._table = table.ExampleTable(
                self._map_columns(), len(self.metadata["joint_names"])
            )
        return self._table

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


# ---------------------------------------------------------------- sources of lazy examples


def table_source(path: str, kind: str, n_rows: int | None = None) -> TableSource:
    """Returns the source of an archive's table, one per process and path.

    Args:
        path: The archive, relative to ``DATA_ROOT`` or absolute.
        kind: ``3d`` or ``2d``, the kind of examples to build.
        n_rows: Number of rows when the reference was made; compared on first use.
    """
    key = (path, kind, n_rows)
    source = _sources.get(key)
    if source is None or source.is_stale():
        source = _sources[key] = TableSource(path, kind, n_rows)
    return source


_sources: dict[tuple, TableSource] = {}


def _table_example(path, kind, row):
    return table_source(path, kind).example(row)


def _entry_example(annotation_path, image_path, kind, n_joints, key):
    return EntrySource(annotation_path, image_path, kind, n_joints).example(key)


def _example_class(kind):
    if kind == "2d":
        from posepile.datasets2d import LazyPose2DExample

        return LazyPose2DExample
    from posepile.datasets3d import LazyPose3DExample

    return LazyPose3DExample


class TableSource:
    """Examples of an archive's table.

    Attributes:
        annotation_path: The archive, relative to ``DATA_ROOT`` where possible.
        image_archive_path: The same.
        getters: Field of an example -> function of the row, once the archive is open.
    """

    def __init__(self, path: str, kind: str, n_rows: int | None = None):
        self.annotation_path = self.image_archive_path = path
        self.kind = kind
        self._n_rows = n_rows
        self._archive: Archive | None = None
        self.getters: dict[str, Any] = {}
        self._class = _example_class(kind)

    def archive(self) -> Archive:
        """Returns the reader."""
        if self._archive is None:
            archive = open_archive(self.annotation_path)
            if self._n_rows is not None and archive.table.n_rows != self._n_rows:
                raise WorkError(
                    f"{archive.index_path}: {archive.table.n_rows} examples, the reference to it "
                    f"was made when it had {self._n_rows}; pack or merge again"
                )
            self._archive = archive
            self.getters = {
                name: getattr(archive.table, field) for name, field in self._class.FETCHED.items()
            }
        return self._archive

    def is_stale(self) -> bool:
        """Whether the archive that this source has open is no longer the one at its path."""
        if self._archive is None:
            return False
        try:
            return open_archive(self.annotation_path) is not self._archive
        except UsageError:
            return True

    def table(self) -> table.ExampleTable:
        """Returns the table."""
        return self.archive().table

    @property
    def n_joints(self) -> int:
        """Number of joints of the skeleton."""
        return len(self.archive().metadata["joint_names"])

    def __len__(self):
        return self.table().n_rows if self._n_rows is None else self._n_rows

    def example(self, row: int) -> Any:
        """Returns the lazy example of a row."""
        return self._class(self, row)

    def fetch(self, row: int, name: str) -> Any:
        """Returns one field of a row."""
        return getattr(self.table(), name)(row)

    def image_path(self, row: int) -> str:
        """Returns the image path of a row."""
        return self.table().image_path(row)

    def path(self, row: int) -> str:
        """Returns the entry key of a row."""
        return self.table().path(row)

    def image_bytes(self, row: int) -> bytes:
        """Returns the stored image file of a row, without asking the index."""
        archive = self._archive if self._archive is not None else self.archive()
        return archive.read(*archive.table.image_address(row))

    def image(self, row: int) -> np.ndarray:
        """Returns the decoded image of a row."""
        return decode_image(self.image_bytes(row), self.image_path(row))

    def reduce_example(self, row: int) -> tuple:
        """Returns how to make the example in another process."""
        return _table_example, (self.annotation_path, self.kind, row)

    def __eq__(self, other):
        if not isinstance(other, TableSource):
            return NotImplemented
        return (self.annotation_path, self.kind) == (other.annotation_path, other.kind)

    def __hash__(self):
        return hash((self.annotation_path, self.kind))

    def __reduce__(self):
        return table_source, (self.annotation_path, self.kind, len(self))


class EntrySource:
    """Examples of an archive with one msgpack entry per example, as earlier producers wrote them.

    Args:
        annotation_path: Archive of the entries.
        image_archive_path: Archive of the images; files below ``DATA_ROOT`` are the fallback.
        kind: ``3d`` or ``2d``.
        n_joints: Number of joints of the skeleton.
        keys: Keys of the rows; None if rows are given as keys.
    """

    getters: ClassVar[dict[str, Any]] = {}  # no field can be had without decoding the entry

    def __init__(
        self,
        annotation_path: str,
        image_archive_path: str | None,
        kind: str,
        n_joints: int,
        keys: _StringColumn | None = None,
    ):
        self.annotation_path = annotation_path
        self.image_archive_path = image_archive_path
        self.kind = kind
        self.n_joints = n_joints
        self._keys = keys
        self._class = _example_class(kind)

    def __len__(self):
        return len(self._keys) if self._keys is not None else 0

    def example(self, row: int | str) -> Any:
        """Returns the lazy example of a row."""
        return self._class(self, row)

    def path(self, row: int | str) -> str:
        """Returns the entry key of a row."""
        return row if isinstance(row, str) else self._keys[row]

    def image_path(self, row: int | str) -> str:
        """Returns the image path, which is part of the key."""
        return codec.split_key(self.path(row))[1]

    def record(self, row: int | str) -> codec.Record:
        """Returns the decoded entry of a row, read again at each call."""
        key = self.path(row)
        record = codec.decode_entry(open_archive(self.annotation_path)[key], key, self.n_joints)
        if not self.n_joints:
            record.world_coords = None
        return record

    def fetch(self, row: int | str, name: str) -> Any:
        """Returns one field of a row; the fields of the last row asked for are kept."""
        last = getattr(_last_record, "value", None)
        if last is None or last[0] is not self or last[1] != row:
            last = _last_record.value = (self, row, self.record(row), set())
        if name in last[3]:  # handed out before: the caller may have changed it
            return getattr(self.record(row), name)
        last[3].add(name)
        return getattr(last[2], name)

    def image(self, row: int | str) -> np.ndarray:
        """Returns the decoded image of a row."""
        image_path = self.image_path(row)
        if self.image_archive_path is not None:
            data = open_archive(self.image_archive_path).get(image_path)
            if data is not None:
                return decode_image(data, image_path)
        return read_image(image_path)

    def reduce_example(self, row: int | str) -> tuple:
        """Returns how to make the example in another process."""
        return _entry_example, (
            self.annotation_path,
            self.image_archive_path,
            self.kind,
            self.n_joints,
            self.path(row),
        )

    def __eq__(self, other):
        if not isinstance(other, EntrySource):
            return NotImplemented
        own, its = (
            (s.annotation_path, s.image_archive_path, s.kind, s._keys) for s in (self, other)
        )
        return own == its

    def __hash__(self):
        return hash((self.annotation_path, self.kind))

    def __reduce__(self):
        return _rebuild_entry_source, (
            self.annotation_path,
            self.image_archive_path,
            self.kind,
            self.n_joints,
            None if self._keys is None else (self._keys.blob, self._keys.ptr),
        )


def _rebuild_entry_source(annotation_path, image_archive_path, kind, n_joints, keys):
    column = None
    if keys is not None:
        column = _StringColumn(())
        column.blob, column.ptr = keys
    return EntrySource(annotation_path, image_archive_path, kind, n_joints, column)


_last_record = threading.local()


class _StringColumn:
    """Many strings in two arrays."""

    def __init__(self, strings: Iterable[str]):
        blob, ptr = bytearray(), [0]
        for s in strings:
            blob += s.encode()
            ptr.append(len(blob))
        self.blob, self.ptr = bytes(blob), np.array(ptr, np.int64)

    def __len__(self):
        return len(self.ptr) - 1

    def __getitem__(self, i):
        return self.blob[self.ptr[i] : self.ptr[i + 1]].decode()

    def __eq__(self, other):
        return isinstance(other, _StringColumn) and self.blob == other.blob

    __hash__ = None


def open_dataset(
    path: str | os.PathLike,
    kind: str | None = None,
    image_archive_path: str | os.PathLike | None = None,
) -> Pose3DDataset | Pose2DDataset:
    """Opens an archive as a dataset; the time it takes does not depend on its size.

    Archives without a table (per-example entries only) are listed first.

    Args:
        path: The archive.
        kind: ``3d`` or ``2d``; None = what the archive says of itself.
        image_archive_path: Where the images are, if not in the archive itself.
    """
    from posepile.datasets2d import Pose2DDataset
    from posepile.datasets3d import Pose3DDataset
    from posepile.store.table import ExampleList

    archive = open_archive(path)
    metadata, joint_info = archive.metadata, archive.joint_info
    if kind is None:
        kind = "2d" if metadata.get("kind") == "2d" else "3d"
    ref = paths.relative_to_root(archive.path)
    if archive.has_table:
        if image_archive_path is not None:
            raise UsageError(
                f"{archive.index_path}: image_barecat_path={os.fspath(image_archive_path)!r} "
                "given, but this archive holds its images itself; leave it out"
            )
        source = table_source(ref, kind, archive.table.n_rows)
        rows = _split_rows(archive)
        lists = [ExampleList(source, rows[name]) for name in SPLIT_NAMES.values()]
    else:
        images = None
        if image_archive_path is not None:
            images = paths.relative_to_root(paths.ensure_absolute(image_archive_path))
        lists = []
        for name in SPLIT_NAMES.values():
            keys = _StringColumn(key for key, *_ in archive.entries(name))
            lists.append(ExampleList(EntrySource(ref, images, kind, joint_info.n_joints, keys)))
    if kind == "2d":
        return Pose2DDataset(joint_info, *lists)
    dataset = Pose3DDataset(joint_info, *lists, compute_bone_lengths=False)
    for name in ("train_bones", "trainval_bones"):
        lengths = metadata.get(f"{name.removesuffix('s')}_lengths")
        if lengths is not None and len(lengths):
            setattr(dataset, name, np.array(lengths, np.float32))
    return dataset


def _split_rows(archive):
    ranges = archive.metadata.get("split_ranges")
    if ranges is None:
        return archive.table.split_ranges()
    return {name: range(*ranges[name]) for name in SPLIT_NAMES.values()}


def write_pickle(path: str | os.PathLike, pickle_path: str | os.PathLike) -> None:
    """Writes the dataset pickle of an archive: a few kilobytes that refer to the archive.

    Args:
        path: The archive.
        pickle_path: Where to; written beside and renamed.
    """
    import pickle

    data = pickle.dumps(open_dataset(path), protocol=4)
    pickle_path = Path(pickle_path)
    pickle_path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(pickle_path, data)


# ---------------------------------------------------------------- verifying


def verify(path: str | os.PathLike, max_problems: int = 100) -> list[str]:
    """Checks an archive: checksums of all entries, images, and that the table refers to them.

    Args:
        path: The archive.
        max_problems: Stop after this many.

    Returns:
        Problems, one line each; empty if there are none.
    """
    problems = []
    for problem in _iter_problems(path):
        problems.append(problem)
        if len(problems) >= max_problems:
            problems.append(f"stopped after {max_problems} problems")
            break
    return problems


def _iter_problems(path):
    try:
        archive = open_archive(path)
    except WorkError as e:
        yield str(e)
        return
    rows = archive._connection().execute(
        "SELECT path, shard, offset, size, crc32c FROM files ORDER BY shard, offset"
    )
    end = {}
    for key, shard, offset, size, crc in rows:
        if offset < end.get(shard, 0):
            yield f"{key}: overlaps the entry before it in shard {shard}"
        end[shard] = offset + size
        try:
            data = archive.read(shard, offset, size)
        except WorkError as e:
            yield f"{key}: {e}"
            continue
        if crc is not None and crc32c_lib.crc32c(data) != crc:
            yield f"{key}: checksum {crc32c_lib.crc32c(data)}, expected {crc}"
        elif key.endswith((".jpg", ".jpeg")) and not _has_jpeg_header(data):
            yield f"{key}: {size} bytes that do not start as a JPEG"
    if not archive.has_table:
        return
    try:
        examples = archive.table
    except WorkError as e:
        yield str(e)
        return
    counts = archive.metadata.get("counts", {})
    for name, has in _split_rows(archive).items():
        if len(has) != counts.get(name, len(has)):
            yield f"split {name}: {len(has)} examples, expected {counts[name]}"
    for row in range(examples.n_rows):
        image_path = examples.image_path(row)
        try:
            address = archive.address(image_path)
        except KeyError:
            yield f"example {row}: its image {image_path!r} is not in the index"
            continue
        if tuple(address) != examples.image_address(row):
            yield (
                f"example {row}: image {image_path!r} at {examples.image_address(row)} in the "
                f"table, at {tuple(address)} in the index"
            )
        try:
            examples.record(row)
        except (WorkError, ValueError, IndexError, UnicodeDecodeError) as e:
            yield f"example {row}: cannot be read: {e}"


def _has_jpeg_header(data):
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return False
    return height > 0 and width > 0

"""Where lazy examples come from: rows of a table, or entries of an older archive."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from posepile.errors import UsageError, WorkError
from posepile.store import codec
from posepile.store.images import decode_image, read_image

if TYPE_CHECKING:
    pass
from posepile.store.reading import Archive, open_archive
from posepile.store.table import ExampleTable


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

    def table(self) -> ExampleTable:
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

"""Where lazy examples come from: rows of a table, or entries of an older archive.

A reference to a row is only as good as the archive it was made for: sources carry the archive's
identity and compare it when they first open the archive, before an example is handed out.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from posepile.errors import PosePileError, WorkError
from posepile.store import codec
from posepile.store.images import decode_image, read_image
from posepile.store.lazy import LAZY_EXAMPLES
from posepile.store.origin import Origin
from posepile.store.reading import Archive, ArchiveReplaced, open_archive
from posepile.store.table import ExampleTable

# Hexadecimal digits of an archive's identity that references carry and messages show.
_IDENTITY_DIGITS = 16


def short_identity(archive: Archive) -> str | None:
    """Returns the part of an archive's identity that references carry; None if it has none."""
    identity = archive.identity
    return None if identity is None else identity[:_IDENTITY_DIGITS]


def run_command(name: str) -> str:
    """Returns the command that makes a build, ``name`` or ``name@variant``."""
    dataset, _, variant = name.partition("@")
    return f"posepile run {dataset}" + (f" --variant {variant}" if variant else "")


def table_source(
    path: str, kind: str, n_rows: int | None = None, identity: str | None = None
) -> TableSource:
    """Returns the source of an archive's table, one per process and reference.

    Args:
        path: The archive, relative to ``DATA_ROOT`` or absolute.
        kind: ``3d`` or ``2d``, the kind of examples to build.
        n_rows: Number of rows when the reference was made.
        identity: :func:`short_identity` of the archive then; None in references from before
            archives had one.
    """
    key = (path, kind, n_rows, identity)
    source = _sources.get(key)
    if source is None or source.is_stale():
        source = _sources[key] = TableSource(path, kind, n_rows, identity)
    return source


_sources: dict[tuple, TableSource] = {}


def table_example(path: str, kind: str, row: int, identity: str | None = None) -> Any:
    """Returns the example of a row, as pickles refer to it.

    The archive is looked at when a field is asked for, not here: an exception while a worker
    process unpickles what it was sent would end the worker.
    """
    return LAZY_EXAMPLES[kind](table_source(path, kind, identity=identity), row)


def entry_example(
    annotation_path: str, image_path: str | None, kind: str, n_joints: int, key: str
) -> Any:
    """Returns the example of an entry, as pickles refer to it."""
    return EntrySource(annotation_path, image_path, kind, n_joints).example(key)


_warned = False


def _warn_once(name):
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"{name}: referred to by a pickle from before archives had an identity; whether it "
        "is the archive that the pickle was made for cannot be checked. Save the pickle again to "
        "give it one",
        UserWarning,
        stacklevel=2,
    )


class TableSource:
    """Examples of an archive's table.

    Attributes:
        annotation_path: The archive, relative to ``DATA_ROOT`` where possible.
        image_archive_path: The same.
        identity: The archive's identity when the reference was made, None if unknown.
        getters: Field of an example -> function of the row that returns its value, which cannot
            be changed; once the archive is open.
    """

    def __init__(
        self, path: str, kind: str, n_rows: int | None = None, identity: str | None = None
    ):
        self.annotation_path = self.image_archive_path = path
        self.kind = kind
        self.identity = identity
        self._n_rows = n_rows
        self._archive: Archive | None = None
        self.getters: dict[str, Any] = {}
        self._readers: list[tuple[str, Any]] = []
        self._class = LAZY_EXAMPLES[kind]

    def archive(self) -> Archive:
        """Returns the reader of the archive that this source was made for.

        Raises:
            WorkError: Another archive has its place now.
        """
        if self._archive is None:
            self._use(open_archive(self.annotation_path))
        return self._archive

    def _use(self, archive):
        self._check_identity(archive)
        self.getters = {
            name: archive.table.read_only[field] for name, field in self._class.FETCHED.items()
        }
        readers = archive.table.readers
        self._readers = [(name, readers[field]) for name, field in self._class.FETCHED.items()]
        self._archive = archive

    def _check_identity(self, archive):
        found = short_identity(archive)
        if self.identity is not None:
            if found != self.identity:
                remedy = "open the dataset again and select examples anew, or put the other back"
                if archive.remote is None:
                    command = run_command(Path(archive.path).stem)
                    remedy += f" (a dataset's own pickle is written again by: {command})"
                raise ArchiveReplaced(
                    f"{archive.name}: was packed again, its identity is {found or 'unknown'}, the "
                    f"reference to its examples was made for {self.identity}; {remedy}"
                )
        elif self._n_rows is not None and archive.table.n_rows != self._n_rows:
            raise WorkError(
                f"{archive.name}: {archive.table.n_rows} examples, the reference to it "
                f"was made when it had {self._n_rows}; pack or merge again"
            )
        elif found is not None:
            _warn_once(archive.name)

    def is_stale(self) -> bool:
        """Whether the archive that this source has open is no longer the one at its path."""
        if self._archive is None:
            return False
        try:
            return open_archive(self.annotation_path) is not self._archive
        except PosePileError:  # will be raised when an example is used
            return True

    def require_current(self) -> None:
        """Goes on with the archive that has the place now, if it holds the same.

        Raises:
            ArchiveReplaced: It does not, or there is none any more.
        """
        if not self.is_stale():
            return
        archive = self._archive
        try:
            now = open_archive(self.annotation_path)
        except PosePileError:
            now = None
        if now is None or self.identity is None:
            raise ArchiveReplaced(
                f"{archive.name}: was replaced or removed while open; open the dataset again"
            )
        self._use(now)

    def table(self) -> ExampleTable:
        """Returns the table."""
        return self.archive().table

    @property
    def n_joints(self) -> int:
        """Number of joints of the skeleton."""
        return len(self.archive().metadata["joint_names"])

    def __len__(self):
        return self.table().n_rows if self._n_rows is None else self._n_rows

    def check(self) -> None:
        """Opens the archive if it is not open yet, which compares identities."""
        if self._archive is None:
            self.archive()

    def example(self, row: int) -> Any:
        """Returns the lazy example of a row."""
        if self._archive is None:
            self.archive()
        return self._class(self, row)

    def fetch(self, row: int, name: str) -> Any:
        """Returns one field of a row."""
        return self.table().readers[name](row)

    def values(self, row: int) -> dict[str, Any]:
        """Returns the fields of a row, by their names in examples; they can be changed."""
        self.check()
        return {name: read(row) for name, read in self._readers}

    def place(self, row: int) -> tuple:
        """Returns what tells a row from every other example."""
        return self.annotation_path, self.kind, self.identity, row

    def origin(self, row: int) -> Origin:
        """Returns where a row comes from."""
        archive = self.archive()
        return archive.origin(archive.table.readers["sequence"](row))

    def as_kind(self, kind: str) -> TableSource:
        """Returns the source of the same rows as examples of another kind."""
        return table_source(self.annotation_path, kind, len(self), self._known_identity())

    def image_path(self, row: int) -> str:
        """Returns the image path of a row."""
        return self.table().image_path(row)

    def path(self, row: int) -> str:
        """Returns the entry key of a row."""
        return self.table().path(row)

    def image_bytes(self, row: int) -> bytes:
        """Returns the stored image file of a row, without asking the index."""
        archive = self._archive if self._archive is not None else self.archive()
        try:
            return archive.read(*archive.table.image_address(row))
        except ArchiveReplaced:  # its files cannot be opened any more; those of an equal one do
            self.require_current()
            return self._archive.read(*self._archive.table.image_address(row))

    def image(self, row: int) -> np.ndarray:
        """Returns the decoded image of a row."""
        return decode_image(self.image_bytes(row), self.image_path(row))

    def reduce_example(self, row: int) -> tuple:
        """Returns how to make the example in another process."""
        return table_example, (self.annotation_path, self.kind, row, self._known_identity())

    def _known_identity(self):
        # References without one get that of the archive they were used with.
        if self.identity is None and self._archive is not None:
            return short_identity(self._archive)
        return self.identity

    def __eq__(self, other):
        if not isinstance(other, TableSource):
            return NotImplemented
        own, its = ((s.annotation_path, s.kind, s.identity) for s in (self, other))
        return own == its

    def __hash__(self):
        return hash((self.annotation_path, self.kind))

    def __reduce__(self):
        return table_source, (self.annotation_path, self.kind, len(self), self._known_identity())


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
        keys: StringColumn | None = None,
    ):
        self.annotation_path = annotation_path
        self.image_archive_path = image_archive_path
        self.kind = kind
        self.n_joints = n_joints
        self._keys = keys
        self._class = LAZY_EXAMPLES[kind]

    def __len__(self):
        return len(self._keys) if self._keys is not None else 0

    def check(self) -> None:
        """Does nothing: entries are found by name, not by number."""

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
        key, archive = self.path(row), open_archive(self.annotation_path)
        data = archive.get(key)
        if data is None:
            raise WorkError(
                f"{archive.name}: no entry {key!r}; the archive is another one than when "
                "the dataset was opened, open it again"
            )
        record = codec.decode_entry(data, key, self.n_joints)
        if not self.n_joints:
            record.world_coords = None
        return record

    def fetch(self, row: int | str, name: str) -> Any:
        """Returns one field of a row; the last row asked for is kept decoded."""
        last = getattr(_last_record, "value", None)
        if last is None or last[0] is not self or last[1] != row:
            last = _last_record.value = (self, row, self.record(row))
        return copy.deepcopy(getattr(last[2], name))

    def values(self, row: int | str) -> dict[str, Any]:
        """Returns the fields of a row, by their names in examples; they can be changed."""
        record = self.record(row)
        return {name: getattr(record, field) for name, field in self._class.FETCHED.items()}

    def origin(self, row: int | str) -> Origin:
        """Returns where a row comes from."""
        return open_archive(self.annotation_path).origin(self.fetch(row, "sequence"))

    def as_kind(self, kind: str) -> EntrySource:
        """Returns the source of the same rows as examples of another kind."""
        return EntrySource(
            self.annotation_path, self.image_archive_path, kind, self.n_joints, self._keys
        )

    def place(self, row: int | str) -> tuple:
        """Returns what tells a row from every other example."""
        return self.annotation_path, self.image_archive_path, self.kind, self.path(row)

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
        return entry_example, (
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
        return entry_source, (
            self.annotation_path,
            self.image_archive_path,
            self.kind,
            self.n_joints,
            None if self._keys is None else (self._keys.blob, self._keys.ptr),
        )


def entry_source(
    annotation_path: str,
    image_path: str | None,
    kind: str,
    n_joints: int,
    keys: tuple[bytes, np.ndarray] | None,
) -> EntrySource:
    """Returns the source of an archive of entries, as pickles refer to it."""
    column = None
    if keys is not None:
        column = StringColumn(())
        column.blob, column.ptr = keys
    return EntrySource(annotation_path, image_path, kind, n_joints, column)


# The names in pickles, wherever the code is.
for _function in (table_source, table_example, entry_source, entry_example):
    _function.__module__ = "posepile.datasets3d"


_last_record = threading.local()


class StringColumn:
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
        return isinstance(other, StringColumn) and self.blob == other.blob

    __hash__ = None

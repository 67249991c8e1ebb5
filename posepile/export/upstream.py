"""Archives for training code of the original PosePile: an entry per example, and their images.

The images take no space again: the shards of the new archive of images are hard links to those of
the archives that the dataset refers to.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crc32c
import numpy as np

from posepile import paths
from posepile.errors import PosePileError
from posepile.export.folders import alone
from posepile.export.loaders import LOADERS, path_of_loader, rows_by_loader
from posepile.export.rows import (
    ENCODED,
    Exported,
    Images,
    Progress,
    Row,
    dense,
    image_bytes,
)
from posepile.export.writing import places_read, require_replaceable
from posepile.store import codec
from posepile.store.coords import present_joints
from posepile.store.index import IndexWriter
from posepile.store.layout import (
    FORMAT_VERSION,
    find_index,
    remove_shards_from,
    replacing_archive,
    shard_path,
)
from posepile.store.opening import open_dataset
from posepile.store.placed import without_placing
from posepile.store.reading import Archive, open_archive
from posepile.store.shard_files import link_or_copy

# What the library of 2024 puts after the name of an archive, for its index.
SUFFIX_2024 = "-sqlite-index"

# In the metadata of an archive for a further loader: the name of that for the first.
_BESIDE = "beside"

# Metadata of a packed archive that only makes sense together with its table.
_OF_TABLE = ("split_ranges", "identity")


def export_upstream(
    dataset: Any,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    images: bool = True,
) -> Exported:
    """Writes the pair of archives that the original PosePile reads.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_upstream(get_dataset("aspset"), folder / "old.barecat")
    >>> made.examples, made.files[0].name
    (30, 'old.barecat')

    Args:
        dataset: A dataset, or the path of an archive.
        out: The archive of annotations; relative paths are below ``DATA_ROOT``. Kinds that the
            original reads with a loader of their own go to archives with a suffix, images to
            ``<out>_images.barecat``; see docs/EXPORT.md.
        progress: Called with the number of examples written now and then.
        images: Whether to make the archive of images.

    Returns:
        What was written.

    Raises:
        UsageError: Something lies there that is no such export.
        WorkError: Two examples have the same key, or something cannot be read or written.
    """
    if isinstance(dataset, (str, os.PathLike)):
        dataset = open_dataset(dataset)
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    out.parent.mkdir(parents=True, exist_ok=True)
    done = Exported()
    read = places_read(dataset)
    pictures, path_of_images = None, out.with_name(f"{out.stem}_images{out.suffix}")
    _require_own(out, read)
    if images:
        pictures = _ImageArchive()
        _require_own(path_of_images, read)
    with alone(out):
        with contextlib.ExitStack() as stack:
            writers: dict[str, _Entries] = {}
            for row, role in rows_by_loader(dataset, done, progress):
                if role not in writers:
                    path = path_of_loader(out, role, len(writers))
                    _require_own(path, read)
                    beside = {} if path == out else {_BESIDE: out.name}
                    writers[role] = stack.enter_context(_entries(path, dataset, role, beside))
                writers[role].add(row)
                if pictures is not None:
                    pictures.add(row)
            if not writers:
                writers["3d"] = stack.enter_context(_entries(out, dataset, dataset.kind, {}))
            done.files += [writer.path for writer in writers.values()]
            if pictures is not None:
                done.images, encoded = pictures.write(path_of_images)
                done.files.append(path_of_images)
                if encoded:
                    done.notes[ENCODED] = encoded
        _let_earlier_go(out, done.files)
    return done


def _let_earlier_go(out: Path, written: list[Path]) -> None:
    """Unlinks the archives of further loaders that an earlier export to this place has left."""
    for loader in LOADERS:
        path = path_of_loader(out, loader, 1)
        if path in written or find_index(path) is None or not _is_own(path):
            continue
        if open_archive(path).metadata.get(_BESIDE) == out.name:
            path.unlink()
            path.with_name(path.name + SUFFIX_2024).unlink()
            remove_shards_from(path, 0)


def _require_own(path: Path, read: set[str]) -> None:
    require_replaceable(path, read, "export for the original", _is_own(path))


def _is_own(path):
    """Returns whether there is nothing, or an archive of entries with both names of its index."""
    old = path.with_name(path.name + SUFFIX_2024)
    try:
        if find_index(path) is None:
            return not os.path.lexists(path) and not os.path.lexists(old)
        return not open_archive(path).has_table and (
            os.path.samefile(path, old) or filecmp.cmp(path, old, shallow=False)
        )
    except (PosePileError, OSError):
        return False


@contextlib.contextmanager
def _entries(path: Path, dataset: Any, role: str, more: dict) -> Iterator[_Entries]:
    with _new_archive(path) as (new, index), open(shard_path(new, 0), "wb", 1 << 20) as f:
        writer = _Entries(path, index, f, role)
        writer.put("metadata.msgpack", codec.pack_msgpack(_metadata(dataset, role) | more))
        yield writer
        index.close()


@contextlib.contextmanager
def _new_archive(path):
    """A new archive with the name of its index that the library of 2024 looks for."""
    with replacing_archive(path) as new:
        with IndexWriter(new) as index:
            yield new, index
        link_or_copy(new, new.with_name(new.name + SUFFIX_2024))


class _Entries:
    """Writes entries into the only shard of an archive."""

    def __init__(self, path: Path, index: IndexWriter, f: Any, role: str):
        self.path = path
        self._index, self._file, self._role = index, f, role

    def add(self, row: Row) -> None:
        record = row.record
        record.world_coords = dense(record.world_coords)
        if self._role == "parametric" and record.world_coords is not None:
            if not len(present_joints(record.world_coords)):
                record.world_coords = None
        self.put(codec.entry_key(record), codec.encode_entry(record))

    def put(self, key: str, data: bytes) -> None:
        place = self._file.tell()
        self._index.add([(key, 0, place, len(data), crc32c.crc32c(data))])
        self._file.write(data)


def _metadata(dataset, role):
    own = getattr(dataset, "metadata", None) or {}
    metadata = {name: value for name, value in own.items() if name not in _OF_TABLE}
    info = dataset.joint_info
    metadata.update(
        joint_names=list(info.names),
        joint_edges=[[int(i) for i in edge] for edge in info.stick_figure_edges],
        kind=role,
    )
    metadata.setdefault("format_version", FORMAT_VERSION)
    if role == "parametric":  # readers take "no joints" for "no coordinates"
        metadata.update(joint_names=[], joint_edges=[])
    for name in ("train_bones", "trainval_bones"):
        key, bones = f"{name.removesuffix('s')}_lengths", getattr(dataset, name, None)
        metadata.pop(key, None)  # missing means unknown, None does not
        if bones is not None and role != "2d":
            metadata[key] = np.asarray(bones, np.float32)
    return metadata


class _ImageArchive:
    """Collects the images of examples, then writes an archive of them.

    Those of packed archives are kept as places in their shards, 8 bytes each.
    """

    def __init__(self):
        self._images = Images()
        self._places: dict[str, array[int]] = {}
        self._archives: dict[str, Any] = {}
        self._others: list[tuple[str, Row]] = []

    def add(self, row: Row) -> None:
        _, is_new = self._images.number(row)
        if not is_new:
            return
        base = None if row.stored is None else without_placing(row.stored[0])
        if base is None or not hasattr(base, "table"):
            self._others.append((row.record.image_path, row))
            return
        shard, offset, _ = base.table().image_address(row.stored[1])
        self._archives[base.annotation_path] = base
        self._places.setdefault(base.annotation_path, array("q")).append(_place(shard, offset))

    def write(self, path: Path) -> tuple[int, int]:
        """Returns the number of images, and how many of them were encoded now."""
        encoded = 0
        with _new_archive(path) as (new, index):
            shard = 0
            origins: list[str] = []
            for name, places in self._places.items():
                archive = self._archives[name].archive()
                wanted = np.sort(np.frombuffer(places, np.int64))
                shards = np.unique(wanted >> _OFFSET_BITS).tolist()
                numbers = {own: shard + i for i, own in enumerate(shards)}
                for own, number in numbers.items():
                    link_or_copy(shard_path(archive.path, own), shard_path(new, number))
                    origins.append(archive.path)
                _copy_entries(archive, wanted, numbers, index)
                shard += len(shards)
            with open(shard_path(new, shard), "wb", 1 << 20) as f:
                origins.append("examples that were changed in memory")
                for image_path, row in self._others:
                    data, is_encoded = image_bytes(row)
                    encoded += is_encoded
                    index.add([(image_path, shard, f.tell(), len(data), crc32c.crc32c(data))])
                    f.write(data)
            if not self._others:
                shard_path(new, shard).unlink()
            index.close(lambda shard, offset: origins[shard])
        return self._images.n, encoded


_OFFSET_BITS = 44  # of a place in the shards of an archive; the number of the shard is above


def _place(shard, offset):
    return (shard << _OFFSET_BITS) | offset


def _copy_entries(archive: Archive, wanted, numbers, index):
    for key, shard, offset, size, crc in archive.entries_with_checksums():
        place = _place(shard, offset)
        i = int(np.searchsorted(wanted, place))
        if i < len(wanted) and wanted[i] == place:
            index.add([(key, numbers[shard], offset, size, crc)])

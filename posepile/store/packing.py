"""Packing: the parts of units become one archive; no image byte is copied."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crc32c as crc32c_lib
import numpy as np

from posepile.errors import WorkError
from posepile.files import write_atomically
from posepile.store import codec
from posepile.version import __version__

if TYPE_CHECKING:
    from posepile.recipe import DatasetSpec
from posepile.recipe import SPLITS
from posepile.store import fields
from posepile.store.columns import write_columns
from posepile.store.index import IndexBlock, write_index
from posepile.store.parts import _ALIGN, _CHUNK, _json_bytes, _Part

FORMAT_VERSION = 1


# Readers of the format open every shard at once, and a process may open 1024 files by default.
MAX_SHARDS = 500


TABLE_PREFIX = "table"


def pack(
    part_dirs: Iterable[str | os.PathLike],
    archive_path: str | os.PathLike,
    spec: DatasetSpec,
    manifest: dict[str, Any],
    max_shards: int = MAX_SHARDS,
) -> dict[str, Any]:
    """Makes an archive of parts.

    The shards of parts become shards of the archive as hard links, without copying (a copy is
    made where linking is impossible, and for parts that share a shard because there are more than
    ``max_shards``). The index is written last and renamed into place; an old one is removed
    first, so an archive that exists is complete. Equal parts in equal order give equal bytes.

    Args:
        part_dirs: Folders written by :class:`PartWriter`, in the order of the archive, all
            examples of a split together.
        archive_path: The index file to make; shards lie beside it.
        spec: Facts about the dataset, stored as metadata.
        manifest: Stored as ``manifest.json`` in the archive and beside it.
        max_shards: Largest number of image shards.

    Returns:
        Summary: ``n_examples``, ``n_images``, ``image_bytes``, ``splits``, ``n_shards``,
        ``copied_bytes``.

    Raises:
        WorkError: Parts are missing, unfinished or disagree, or two have the same image path.
    """
    archive_path = Path(archive_path)
    archive_path.parent.mkdir(parents=True, exist_ok=True)
    parts = [_Part(d) for d in part_dirs]
    filled = [p for p in parts if p.n_rows]
    split_ranges = _check_parts(filled, spec)
    remove_index(archive_path)

    placement, n_shards, copied = _place_shards(filled, archive_path, max_shards)
    table_shard = n_shards

    def write_table():
        metadata = _metadata(filled, spec, manifest, split_ranges)
        with _ShardFile(archive_path, table_shard) as shard:
            shard.add("metadata.msgpack", [codec.pack_msgpack(metadata)])
            shard.add("manifest.json", [_json_bytes(manifest)])
            for name, dtype, shape, chunks in _merged_columns(filled, placement):
                shard.add(f"{TABLE_PREFIX}/{name}.npy", _npy_chunks(dtype, shape, chunks))
        return shard.block()

    # Numpy and file writing in one thread, SQLite in the other: both let go of the interpreter.
    with ThreadPoolExecutor(1) as executor:
        table_block = executor.submit(write_table)
        n_entries = write_index(
            archive_path,
            itertools.chain(_image_blocks(filled, placement), _when_done(table_block)),
            (str(p.directory) for p in filled),
        )
    n_images = n_entries - len(table_block.result().keys)
    remove_shards_from(archive_path, table_shard + 1)
    write_atomically(manifest_path(archive_path), _json_bytes(manifest))
    return {
        "n_examples": sum(p.n_rows for p in filled),
        "n_images": n_images,
        "image_bytes": sum(p.image_bytes for p in filled),
        "splits": {name: stop - start for name, (start, stop) in split_ranges.items()},
        "n_shards": table_shard + 1,
        "copied_bytes": copied,
    }


def _when_done(future):
    yield future.result()


def manifest_path(archive_path: str | os.PathLike) -> Path:
    """Returns where the copy of the manifest lies beside an archive."""
    return Path(f"{os.fspath(archive_path)}.manifest.json")


def _check_parts(parts, spec):
    n_joints = spec.joint_info.n_joints
    order, position, ranges = [], 0, {}
    for part in parts:
        if part.n_joints not in (None, n_joints):
            raise WorkError(
                f"{part.directory}: {part.n_joints} joints, the dataset has {n_joints}"
            )
        splits = [name for name in SPLITS if part.splits[name]]
        if len(splits) > 1:
            raise WorkError(
                f"{part.directory}: examples of {' and '.join(splits)}, expected one split"
            )
        split = splits[0]
        if split in order and order[-1] != split:
            raise WorkError(f"{part.directory}: parts of split {split!r} do not lie together")
        if split not in order:
            order.append(split)
            ranges[split] = [position, position]
        position += part.n_rows
        ranges[split][1] = position
    return {name: ranges.get(name, [0, 0]) for name in SPLITS}


def _metadata(parts, spec, manifest, split_ranges):
    bones = _bone_lengths(parts, spec)
    sources = json.dumps(manifest.get("sources", manifest), sort_keys=True, default=str)
    return {
        "joint_names": list(spec.joint_info.names),
        "joint_edges": [[int(i), int(j)] for i, j in spec.joint_info.stick_figure_edges],
        "train_bone_lengths": bones[0],
        "trainval_bone_lengths": bones[1],
        "format_version": FORMAT_VERSION,
        "producer": f"posepile {__version__}",
        "name": spec.name,
        "kind": spec.kind,
        "image_dir": spec.image_dir,
        "units": "mm",
        "world_up": None if spec.world_up is None else list(spec.world_up),
        "single_person": spec.single_person,
        "synthetic": spec.synthetic,
        "realistic_background": spec.realistic_background,
        "body_shape": spec.body_shape,
        "n_valid_betas": spec.n_valid_betas,
        "far_from_origin": spec.far_from_origin,
        "citation": spec.citation,
        "licence": spec.licence,
        "counts": {name: stop - start for name, (start, stop) in split_ranges.items()},
        "split_ranges": split_ranges,
        "identity": hashlib.sha256(
            json.dumps([[p.columns, p.splits, p.sha256] for p in parts]).encode()
        ).hexdigest(),
        "sources_sha256": hashlib.sha256(sources.encode()).hexdigest(),
    }


def _bone_lengths(parts, spec):
    """Returns mean bone lengths over train, and over train and val; None where unknown."""
    edges = np.asarray(spec.joint_info.stick_figure_edges, np.int64).reshape(-1, 2)
    if not len(edges):
        return None, None
    sums = {name: [np.zeros(len(edges)), np.zeros(len(edges), np.int64)] for name in SPLITS}
    for part in parts:
        split = next(name for name in SPLITS if part.splits[name])
        if split == "test":
            continue
        for coords in _part_coords(part):
            vectors = coords[:, edges[:, 0]] - coords[:, edges[:, 1]]
            lengths = np.sqrt(np.einsum("nek,nek->ne", vectors, vectors))
            valid = np.isfinite(lengths)
            sums[split][0] += np.where(valid, lengths, 0).sum(axis=0, dtype=np.float64)
            sums[split][1] += np.count_nonzero(valid, axis=0)

    def mean(*splits):
        total = sum(sums[s][0] for s in splits)
        count = sum(sums[s][1] for s in splits)
        if not count.any():
            return None
        with np.errstate(invalid="ignore"):
            return (total / count).astype(np.float32)

    return mean("train"), mean("train", "val")


def _part_coords(part):
    if "world_coords" in part.columns:
        yield from part.iter_chunks("world_coords")
    elif "joint_rows" in part.columns:
        ptr, ids = part.read("joint_rows_ptr"), part.read("joint_ids")
        rows = part.read("joint_rows")
        for a, b in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
            coords = np.full((1, part.n_joints, 3), np.nan, rows.dtype)
            coords[0, ids[a:b]] = rows[a:b]
            yield coords


def remove_index(archive_path: Path) -> None:
    """Removes an index, so that its shards are no longer an archive."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{archive_path}{suffix}").unlink(missing_ok=True)


def shard_path(archive_path: Path, number: int) -> Path:
    """Returns the path of a shard."""
    return Path(f"{archive_path}-shard-{number:05d}")


def remove_shards_from(archive_path: Path, number: int) -> None:
    """Removes shards of a larger archive that was there before, from the given number on."""
    prefix = f"{archive_path.name}-shard-"
    for path in archive_path.parent.glob(f"{glob.escape(prefix)}*"):
        tail = path.name.removeprefix(prefix)
        if not tail.isdigit() or int(tail) >= number:
            path.unlink()


def _place_shards(parts, archive_path, max_shards):
    """Puts the shards of parts in place; returns (shard, base offset) of each part."""
    n_shards = min(len(parts), max_shards)
    groups = [[] for _ in range(n_shards)]
    for k, part in enumerate(parts):
        groups[k * n_shards // len(parts)].append(part)
    placement, copied = [], 0
    for number, group in enumerate(groups):
        target = shard_path(archive_path, number)
        base = 0
        for part in group:
            placement.append((number, base))
            base += part.image_bytes
        source = group[0].directory / "shard"
        if len(group) == 1:
            copied += _link(source, target)
        else:
            copied += _concatenate([p.directory / "shard" for p in group], target)
    return placement, n_shards, copied


def _link(source, target):
    """Links a file; copies where the file system cannot link. Returns the bytes copied."""
    if target.exists() and os.path.samefile(source, target):
        return 0
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    copied = 0
    try:
        os.link(source, temporary)
    except OSError as e:
        if e.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        shutil.copyfile(source, temporary)
        copied = temporary.stat().st_size
    os.replace(temporary, target)
    return copied


def _concatenate(sources, target):
    temporary = target.with_name(f".{target.name}.tmp")
    copied = 0
    with open(temporary, "wb") as out:
        for source in sources:
            with open(source, "rb") as f:
                copied += _append(f, out)
    os.replace(temporary, target)
    return copied


def _append(source, out):
    size = os.fstat(source.fileno()).st_size
    done = 0
    out.flush()
    try:
        while done < size:  # within the kernel; shares blocks on file systems that can
            n = os.copy_file_range(source.fileno(), out.fileno(), size - done, done)
            if not n:
                break
            done += n
    except (OSError, AttributeError):
        done = 0 if done == 0 else done
    if done < size:
        source.seek(done)
        out.seek(0, os.SEEK_END)
        shutil.copyfileobj(source, out, _CHUNK)
        out.flush()
    else:
        out.seek(0, os.SEEK_END)
    return size


class _ShardFile:
    """Writes entries into a shard, aligned, beside its place; renamed when complete."""

    def __init__(self, archive_path, number):
        self.target = shard_path(archive_path, number)
        self.number = number
        self.entries: list[tuple[str, int, int, int]] = []
        self._temporary = self.target.with_name(f".{self.target.name}.tmp")
        self._temporary.unlink(missing_ok=True)
        self._file = open(self._temporary, "wb", buffering=1 << 20)
        self._position = 0

    def add(self, key, chunks):
        padding = -self._position % _ALIGN
        self._file.write(b"\0" * padding)
        offset = self._position + padding
        size, crc = 0, 0
        for chunk in chunks:
            data = (
                memoryview(np.ascontiguousarray(chunk).reshape(-1)).cast("B")
                if isinstance(chunk, np.ndarray)
                else chunk
            )
            if len(data):
                self._file.write(data)
                crc = crc32c_lib.crc32c(data, crc)
                size += len(data)
        self.entries.append((key, offset, size, crc))
        self._position = offset + size

    def block(self):
        keys, offsets, sizes, crcs = zip(*self.entries, strict=True)
        return IndexBlock(list(keys), self.number, offsets, sizes, crcs)

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        if exc_type is None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self.target)
            return
        with contextlib.suppress(OSError):  # a full disk fails a second time when flushing
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _npy_chunks(dtype, shape, chunks):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": dtype.str, "fortran_order": False, "shape": shape}
    )
    yield head.getvalue()
    yield from chunks


def _merged_columns(parts, placement):
    """Iterates over (name, dtype, shape, chunks) of the columns of all parts together."""
    names = {name for part in parts for name in part.columns} - set(fields.PART_ONLY)
    if not parts:  # an empty archive is still one that opens
        columns = write_columns([])
        names = set(columns) - set(fields.PART_ONLY)
        for name in sorted(names):
            yield name, columns[name].dtype, columns[name].shape, iter([columns[name]])
        return
    for name in sorted(names):
        having = [p for p in parts if name in p.columns]
        dtype = np.result_type(*[p.dtype(name) for p in having])
        row_shape = having[0].shape(name)[1:]
        if name.endswith("_ptr"):
            n_rows = sum(p.shape(name)[0] - 1 if name in p.columns else p.n_rows for p in parts)
            n_rows += 1
        elif name in fields.FIXED:
            n_rows = sum(p.n_rows for p in parts)
        else:
            n_rows = sum(p.shape(name)[0] for p in having)
        chunks = _column_chunks(name, dtype, row_shape, parts, placement)
        yield name, dtype, (n_rows, *row_shape), chunks


def _column_chunks(name, dtype, row_shape, parts, placement):
    base = 0
    if name.endswith("_ptr"):
        yield np.zeros(1, dtype)
    for part, (shard, shard_offset) in zip(parts, placement, strict=True):
        if name.endswith("_ptr"):
            if name in part.columns:
                ptr = part.read(name) + np.uint64(base)
                base = int(ptr[-1])
                yield ptr[1:].astype(dtype, copy=False)
            else:
                yield np.full(part.n_rows, base, dtype)
        elif name == "shard":
            yield np.full(part.n_rows, shard, dtype)
        elif name in fields.FIXED and name not in part.columns:
            yield np.full((part.n_rows, *row_shape), np.nan, dtype)
        elif name in part.columns:
            for chunk in part.iter_chunks(name):
                if name == "offset" and shard_offset:
                    chunk = chunk + np.uint64(shard_offset)  # noqa: PLW2901
                elif name in fields.STRINGS and base:
                    chunk = chunk + chunk.dtype.type(base)  # noqa: PLW2901
                yield chunk.astype(dtype, copy=False)
            if name in fields.STRINGS:
                base += part.shape(f"{name}_strings_ptr")[0] - 1


def _image_blocks(parts, placement):
    return [_LazyBlock(part, *place) for part, place in zip(parts, placement, strict=True)]


class _LazyBlock:
    """The images of a part; what an IndexBlock holds is read when asked for."""

    def __init__(self, part, shard, base):
        self._part, self._shard, self._base = part, shard, base

    def load(self):
        part = self._part
        new = part.read("new_image").astype(bool)
        ptr = part.read("name_ptr")
        starts, stops = ptr[:-1][new].tolist(), ptr[1:][new].tolist()
        blob = part.read("name").tobytes()
        folder_ptr = part.read("dir_strings_ptr").tolist()
        folder_blob = part.read("dir_strings").tobytes()
        folders = [folder_blob[a:b].decode() + "/" for a, b in itertools.pairwise(folder_ptr)]
        dir_ids, sizes = part.read("dir")[new], part.read("size")[new]
        per_folder = zip(
            folders,
            np.bincount(dir_ids, minlength=len(folders)).tolist(),
            np.bincount(dir_ids, sizes, minlength=len(folders)).astype(np.int64).tolist(),
            strict=True,
        )
        dirs = dir_ids.tolist()
        if blob.isascii():
            text = blob.decode()
            keys = [folders[d] + text[a:b] for d, a, b in zip(dirs, starts, stops, strict=True)]
        else:
            keys = [
                folders[d] + blob[a:b].decode()
                for d, a, b in zip(dirs, starts, stops, strict=True)
            ]
        offsets = part.read("offset")[new] + np.uint64(self._base)
        return IndexBlock(
            keys,
            self._shard,
            offsets.tolist(),
            sizes.tolist(),
            part.read("crc32c")[new].tolist(),
            {folder[:-1]: (n, size) for folder, n, size in per_folder if n},
        )

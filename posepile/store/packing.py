"""Packing: the parts of units become one archive; no image byte is copied."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import WorkError, one_line
from posepile.files import encoded_json
from posepile.recipe import SPLITS
from posepile.shortage import require_memory_for_threads
from posepile.store.bones import BoneLengths
from posepile.store.codec import pack_msgpack
from posepile.store.index import Entry, IndexWriter
from posepile.store.inputs_list import INPUTS_KEY, write_inputs
from posepile.store.layout import (
    ENTRIES_ELSEWHERE,
    FORMAT_VERSION,
    digests_path,
    manifest_path,
    replacing_archive,
    shard_path,
)
from posepile.store.mapping import check_columns, check_places_rise
from posepile.store.packed_parts import PartsToPack, facts_of
from posepile.store.parts import DamagedParts, check_shard, shard_of
from posepile.store.shard_files import CHUNK, append_file, file_digest, link_or_copy
from posepile.store.table_file import TableWriter
from posepile.version import __version__

if TYPE_CHECKING:
    from posepile.recipe import DatasetSpec

# Readers of the format open every shard at once, and a process may open 1024 files by default.
MAX_SHARDS = 500

_DENSE_ROWS = 1024  # of sparse joints that are made dense at a time


def pack(
    part_paths: Iterable[str | os.PathLike],
    archive_path: str | os.PathLike,
    spec: DatasetSpec,
    manifest: dict[str, Any],
    *,
    inputs: Callable[[dict[str, Any]], Iterable[tuple[str, int, str]]] | None = None,
    max_shards: int = MAX_SHARDS,
    progress: Callable[[int, str], None] = lambda n_bytes, words: None,
) -> dict[str, Any]:
    """Makes an archive of parts; what was there before is valid until the new one is complete.

    The shards of parts become shards of the archive as hard links, without copying (a copy is
    made where linking is impossible, and for parts that share a shard because there are more than
    ``max_shards``). Every byte of every part is compared with its checksum on the way. Equal parts
    in equal order give equal bytes. Memory does not grow by more than some hundred bytes per part.

    Args:
        part_paths: ``.part`` files, in the order of the archive, all examples of a split together.
        archive_path: The index file to make; the other files lie beside it.
        spec: Facts about the dataset, stored as metadata.
        manifest: Stored as ``manifest.json`` in the archive and beside it.
        inputs: Given the header of a part, returns (path, bytes, hash) of the raw files that it
            was made of, which several may share; stored as ``inputs.jsonl``, and their totals in
            the manifest.
        max_shards: Largest number of image shards.
        progress: Called now and then with how many bytes of pictures, with all that is said of
            them, have been packed since the last call, and of how many parts, in words.

    Returns:
        Summary: ``n_examples``, ``n_images``, ``image_bytes``, ``splits``, ``n_shards``,
        ``copied_bytes``, ``identity``, ``manifest`` (as stored), and of comparing checksums
        ``checked_bytes`` and ``check_seconds`` (of processor time).

    Raises:
        DamagedParts: Parts are absent or damaged; nothing was changed.
        WorkError: Parts disagree, or two have the same image path; nothing was changed.
    """
    import joblib  # takes long, and only packing needs it

    archive_path = Path(os.path.abspath(archive_path))
    archive_path.parent.mkdir(parents=True, exist_ok=True)
    n_threads = max(2, joblib.cpu_count())
    require_memory_for_threads(n_threads)
    with ThreadPoolExecutor(n_threads) as pool:
        with replacing_archive(archive_path) as new:
            parts = PartsToPack(spec)
            if inputs is None:
                for _ in parts.take(part_paths, pool):
                    pass
            else:  # each head is read once, millions of inputs are sorted on the disk
                found = map(inputs, parts.take(part_paths, pool))
                listed = write_inputs(itertools.chain.from_iterable(found), _inputs_file(new))
                manifest = {**manifest, "inputs": listed}
            parts.place(max_shards)
            return _write(parts, new, spec, manifest, inputs is not None, pool, progress)


def _inputs_file(new):
    return new.with_name("inputs")


def _write(parts, new, spec, manifest, inputs, pool, progress):
    # Shards of images are made and compared in threads, all else meanwhile.
    shards = [pool.submit(_make_shard, parts, number, new) for number in range(parts.n_shards)]
    try:
        return _write_rest(parts, new, spec, manifest, inputs, pool, shards, progress)
    except BaseException:
        for shard in shards:
            shard.cancel()
        wait(shards)  # the folder they write to is going to be removed
        raise


def _write_rest(parts, new, spec, manifest, inputs, pool, shards, progress):
    manifest_bytes = _json_bytes(manifest)
    manifest_path(new).write_bytes(manifest_bytes)
    identity = parts.identity(spec)
    bones = {split: BoneLengths(spec.joint_info) for split in SPLITS}
    table_shard = parts.n_shards
    with (
        IndexWriter(new) as index,
        TableWriter(shard_path(new, table_shard), parts.plan) as table,
    ):
        damaged, checked, seconds = _add_parts(
            parts, table, index, bones, lambda: progress(*parts.newly_done())
        )
        while wait(shards, timeout=0.5).not_done:
            progress(*parts.newly_done())
        progress(*parts.newly_done())
        made = [future.result() for future in shards]
        for shard in made:
            damaged.update(shard["damaged"])
        if damaged:
            in_order = [p for p in map(Path, parts.paths) if p in damaged]
            raise DamagedParts({p: damaged[p] for p in in_order})

        metadata = _metadata(parts, spec, manifest, bones, identity)
        entries = table.finish()
        entries.append(table.append("metadata.msgpack", [pack_msgpack(metadata)]))
        entries.append(table.append("manifest.json", [manifest_bytes]))
        entries += [
            table.append(key, [pack_msgpack(text)]) for key, text in _for_others(parts.ranges)
        ]
        if inputs:
            entries.append(table.append(INPUTS_KEY, _pieces(_inputs_file(new))))
            _inputs_file(new).unlink()
        table.close()
        table_digest = pool.submit(file_digest, shard_path(new, table_shard))
        n_images = index.n_added
        index.add((key, table_shard, offset, size, crc) for key, offset, size, crc in entries)
        index.close(parts.origin)
    _write_digests(
        new,
        {
            new: file_digest(new)[0],
            shard_path(new, table_shard): table_digest.result()[0],
            manifest_path(new): hashlib.sha256(manifest_bytes).hexdigest(),
            **{shard_path(new, i): shard["digest"] for i, shard in enumerate(made)},
        },
    )
    return {
        "n_examples": parts.plan.n_rows,
        "n_images": n_images,
        "image_bytes": int(parts.image_bytes.sum()),
        "splits": {name: stop - start for name, (start, stop) in parts.ranges.items()},
        "n_shards": table_shard + 1,
        "copied_bytes": sum(shard["copied"] for shard in made),
        "identity": identity,
        "manifest": manifest,
        "checked_bytes": checked + sum(shard["checked"] for shard in made),
        "check_seconds": seconds + sum(shard["seconds"] for shard in made),
    }


def _for_others(ranges):
    """Yields an entry per split for programs that know entries only and no table.

    They would open the archive without a word as one of no examples; so they find one, whose
    image path says what to do, and which cannot be loaded.
    """
    for split, (start, stop) in ranges.items():
        if stop > start:
            yield f"{split}/{ENTRIES_ELSEWHERE}_00.msgpack", ENTRIES_ELSEWHERE


def _add_parts(parts, table, index, bones, each):
    """Adds rows, index entries and bone lengths of all parts.

    Returns damaged part -> reason, the bytes compared with their checksums, and the seconds of
    processor time that took. After a damaged part the others are only read, to name all that are.
    """
    damaged: dict[Path, str] = {}
    checked, seconds = 0, 0.0
    for k, found in parts.columns_of_all():
        each()
        path = parts.paths[k]
        if isinstance(found, WorkError):
            damaged[Path(path)] = str(found)
            continue
        header, arrays, size, took = found
        checked += size
        seconds += took
        if damaged:
            continue
        shard, base = parts.place_of(k)
        try:
            check_columns(arrays)
            check_places_rise(arrays)
            table.add(arrays, header["n_examples"], shard, base)
            index.add(_image_entries(arrays, shard, base))
            for coords in _coords(arrays, header["n_joints"]):
                bones[parts.split_of(k)].add(coords)
        except (ValueError, TypeError, LookupError, OverflowError) as e:
            damaged[Path(path)] = f"{path}: its columns do not fit each other: {one_line(e)}"
    return damaged, checked, seconds


def _write_digests(new, digests):
    """Writes the file for ``sha256sum -c``."""
    by_name = sorted((path.name, digest) for path, digest in digests.items())
    digests_path(new).write_text("".join(f"{digest}  {name}\n" for name, digest in by_name))


def _json_bytes(obj):
    return encoded_json(json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def _pieces(path):
    with open(path, "rb") as f:
        while data := f.read(CHUNK):
            yield data


def _metadata(parts, spec, manifest, bones, identity):
    sources = json.dumps(manifest.get("sources", manifest), sort_keys=True, default=str)
    return {
        **facts_of(spec),
        "train_bone_lengths": bones["train"].mean(),
        "trainval_bone_lengths": bones["train"].mean(bones["val"]),
        "format_version": FORMAT_VERSION,
        "producer": f"posepile {__version__}",
        "citation": spec.citation,
        "licence": spec.licence,
        "sequence_names": spec.sequence_names,
        "counts": {name: stop - start for name, (start, stop) in parts.ranges.items()},
        "split_ranges": parts.ranges,
        "sources_sha256": hashlib.sha256(sources.encode()).hexdigest(),
        "identity": identity,
    }


def _coords(arrays, n_joints) -> Iterator[np.ndarray]:
    """Iterates over dense joints ``[n, J, 3]`` of a part."""
    if "world_coords" in arrays:
        yield arrays["world_coords"]
    elif "joint_rows" in arrays:
        ptr, ids, rows = (arrays[n] for n in ("joint_rows_ptr", "joint_ids", "joint_rows"))
        for start in range(0, len(ptr) - 1, _DENSE_ROWS):
            bounds = ptr[start : start + _DENSE_ROWS + 1].astype(np.int64)
            coords = np.full((len(bounds) - 1, n_joints, 3), np.nan, rows.dtype)
            of_row = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
            here = slice(bounds[0], bounds[-1])
            coords[of_row, ids[here]] = rows[here]
            yield coords


def _image_entries(arrays, shard, base) -> list[Entry]:
    """Returns the index entries of the images of a part."""
    new = arrays["new_image"].astype(bool)
    ptr = arrays["name_ptr"]
    names = arrays["name"].tobytes()
    folder_ptr = arrays["dir_strings_ptr"].tolist()
    folder_names = arrays["dir_strings"].tobytes()
    folders = [folder_names[a:b].decode() + "/" for a, b in itertools.pairwise(folder_ptr)]
    return [
        (folders[d] + names[a:b].decode(), shard, base + offset, size, crc)
        for d, a, b, offset, size, crc in zip(
            arrays["dir"][new].tolist(),
            ptr[:-1][new].tolist(),
            ptr[1:][new].tolist(),
            arrays["offset"][new].tolist(),
            arrays["size"][new].tolist(),
            arrays["crc32c"][new].tolist(),
            strict=True,
        )
    ]


def _make_shard(parts, number, new) -> dict[str, Any]:
    """Makes a shard of the archive of those of parts, and compares their digests."""
    target, of_shard = shard_path(new, number), parts.of_shard(number)
    result = {"damaged": {}, "checked": 0, "copied": 0, "digest": None}
    start = time.thread_time()
    whole = hashlib.sha256() if len(of_shard) > 1 else None
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(open(target, "wb")) if len(of_shard) > 1 else None
        for k in of_shard:
            path, size = parts.paths[k], int(parts.image_bytes[k])
            try:
                check_shard(path, parts.header_of(k), whole)
            except WorkError as e:
                result["damaged"][Path(path)] = str(e)
                continue
            result["checked"] += size
            parts.compared[number] = result["checked"]
            if out is not None:
                with open(shard_of(path), "rb") as f:
                    result["copied"] += append_file(f, out)
    result["seconds"] = time.thread_time() - start
    if result["damaged"]:
        return result
    if whole is None:
        (k,) = of_shard
        result["copied"] = link_or_copy(shard_of(parts.paths[k]), target)
        result["digest"] = parts.digest_of(k)
    else:
        result["digest"] = whole.hexdigest()
    return result

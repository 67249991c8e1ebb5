"""Per-example msgpack entries, as training code written for earlier archives reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import crc32c

from posepile import paths
from posepile.store import codec, index, packing, reading

# Metadata that only makes sense together with the example table.
_TABLE_KEYS = ("split_ranges",)


def export_upstream(
    archive_path: str | os.PathLike,
    out_path: str | os.PathLike,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes an annotation archive: ``metadata.msgpack`` and one entry per example.

    The images stay where they are; readers take both, the new archive for annotations and the
    original one for images (``image_barecat_path``).

    Args:
        archive_path: An archive with an example table.
        out_path: The annotation archive to make; relative paths are below ``DATA_ROOT``.
        progress: Called with the number of examples written now and then.

    Returns:
        Number of entries.
    """
    source = reading.open_archive(archive_path)
    examples = source.table
    out_path = paths.ensure_absolute(out_path)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    packing.remove_index(out_path)
    metadata = {k: v for k, v in source.metadata.items() if k not in _TABLE_KEYS}
    if metadata["kind"] == "parametric":  # readers take "no joints" for "no coordinates"
        metadata.update(joint_names=[], joint_edges=[])
    for name in ("train_bone_lengths", "trainval_bone_lengths"):
        if metadata.get(name) is None:
            metadata.pop(name, None)  # missing means unknown, None does not

    keys, offsets, sizes, checksums = [], [], [], []
    position = 0
    shard_path = packing.shard_path(out_path, 0)
    temporary = shard_path.with_name(f".{shard_path.name}.tmp")
    with open(temporary, "wb", buffering=1 << 20) as f:

        def add(key, data):
            nonlocal position
            f.write(data)
            keys.append(key)
            offsets.append(position)
            sizes.append(len(data))
            checksums.append(crc32c.crc32c(data))
            position += len(data)

        add("metadata.msgpack", codec.pack_msgpack(metadata))
        for row in range(examples.n_rows):
            record = examples.record(row)
            add(codec.entry_key(record), codec.encode_entry(record))
            if progress is not None and row % 1000 == 999:
                progress(row + 1)
    Path(temporary).replace(shard_path)
    packing.remove_shards_from(out_path, 1)
    block = index.IndexBlock(keys, 0, offsets, sizes, checksums)
    return index.write_index(out_path, [block]) - 1

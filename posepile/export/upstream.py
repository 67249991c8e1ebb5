"""Per-example msgpack entries, as training code written for earlier archives reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import crc32c

from posepile import paths
from posepile.store import codec, reading
from posepile.store.index import IndexWriter
from posepile.store.layout import replacing_archive, shard_path

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
    metadata = {k: v for k, v in source.metadata.items() if k not in _TABLE_KEYS}
    if metadata["kind"] == "parametric":  # readers take "no joints" for "no coordinates"
        metadata.update(joint_names=[], joint_edges=[])
    for name in ("train_bone_lengths", "trainval_bone_lengths"):
        if metadata.get(name) is None:
            metadata.pop(name, None)  # missing means unknown, None does not

    out_path = Path(os.path.abspath(paths.ensure_absolute(out_path)))
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing_archive(out_path) as new,
        IndexWriter(new) as index,
        open(shard_path(new, 0), "wb", buffering=1 << 20) as f,
    ):

        def add(key, data):
            index.add([(key, 0, f.tell(), len(data), crc32c.crc32c(data))])
            f.write(data)

        add("metadata.msgpack", codec.pack_msgpack(metadata))
        for row in range(examples.n_rows):
            record = examples.record(row)
            add(codec.entry_key(record), codec.encode_entry(record))
            if progress is not None and row % 1000 == 999:
                progress(row + 1)
        index.close()
    return examples.n_rows

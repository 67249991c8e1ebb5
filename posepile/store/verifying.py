"""Checks every checksum and row of an archive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import crc32c as crc32c_lib

from posepile.errors import WorkError

if TYPE_CHECKING:
    pass
from posepile.store.reading import open_archive


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
    for name, has in archive.split_rows().items():
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

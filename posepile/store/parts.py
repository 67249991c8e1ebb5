"""Parts: what a unit of work leaves, a shard of images beside the columns of its examples."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crc32c as crc32c_lib
import numpy as np

from posepile.errors import CorruptInput, WorkError
from posepile.files import write_atomically
from posepile.store import codec

if TYPE_CHECKING:
    pass
from posepile.recipe import SPLITS
from posepile.store.columns import ColumnBuilder
from posepile.store.table import ExampleTable

PART_VERSION = 1


_ALIGN = 64


_CHUNK = 8 << 20


class PartWriter:
    """Writes the part of one unit of work.

    ``part.json`` is written last; a folder without it is not a part. Same records and images give
    the same bytes.

    Args:
        directory: Folder to write to; made if needed. What an earlier attempt left is overwritten.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "part.json").unlink(missing_ok=True)
        self._columns = ColumnBuilder()
        self._images: dict[str, tuple[int, int, int]] = {}
        self._keys: set[tuple[str, int]] = set()
        self._counts = dict.fromkeys(SPLITS, 0)
        self._offset = 0
        self._digest = hashlib.sha256()
        self._file = open(self.directory / "shard", "wb", buffering=1 << 20)

    def add(self, record: codec.Record, jpeg: bytes | None) -> None:
        """Adds one example.

        Args:
            record: The annotations.
            jpeg: The crop. Several people in one crop: the first brings the image, the others
                bring the same bytes again or None.

        Raises:
            WorkError: The record cannot be stored; the message names it. The part is as before.
        """
        image_path = _checked_image_path(record.image_path)
        if (image_path, record.person) in self._keys:
            raise WorkError(f"{image_path}, person {record.person}: added twice")
        known = self._images.get(image_path)
        if known is None:
            if not jpeg:
                raise WorkError(f"{image_path}: no image was given")
            place = (self._offset, len(jpeg), crc32c_lib.crc32c(jpeg))
        else:
            place = known
            if jpeg is not None and (len(jpeg), crc32c_lib.crc32c(jpeg)) != known[1:]:
                raise WorkError(f"{image_path}: two different images under one name")
        offset, size, crc = place
        self._columns.add(record, offset=offset, size=size, crc32c=crc, new_image=known is None)
        self._keys.add((image_path, record.person))
        self._counts[record.split] += 1
        if known is None:
            self._images[image_path] = place
            self._file.write(jpeg)
            self._digest.update(jpeg)
            self._offset += size

    def close(self) -> dict[str, Any]:
        """Completes the part.

        Returns:
            Summary: ``n_examples``, ``n_images``, ``image_bytes``, ``splits`` (examples per
            split), ``sha256`` of shard and columns.
        """
        self._file.close()
        columns = self._columns.finish()
        directory = {}
        columns_digest = hashlib.sha256()
        with open(self.directory / "columns", "wb") as f:
            for name in sorted(columns):
                array = np.ascontiguousarray(columns[name])
                position = f.tell()
                padding = b"\0" * (-position % _ALIGN)
                data = array.tobytes()
                f.write(padding + data)
                columns_digest.update(padding + data)
                directory[name] = [position + len(padding), array.dtype.str, list(array.shape)]
        summary = {
            "n_examples": self._columns.n_rows,
            "n_images": len(self._images),
            "image_bytes": self._offset,
            "splits": self._counts,
            "sha256": {"shard": self._digest.hexdigest(), "columns": columns_digest.hexdigest()},
        }
        part = {
            "version": PART_VERSION,
            "n_joints": self._columns.n_joints,
            "columns": directory,
            **summary,
        }
        write_atomically(self.directory / "part.json", _json_bytes(part))
        return summary

    def abort(self) -> None:
        """Gives up; what was written stays without ``part.json``."""
        with contextlib.suppress(OSError):  # a full disk fails a second time when flushing
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        if exc_type is None:
            self.close()
        else:
            self.abort()


def _checked_image_path(path):
    pieces = path.split("/")
    if (
        len(pieces) < 2
        or any(p in ("", ".", "..") for p in pieces)
        or "\\" in path
        or "\0" in path
    ):
        raise WorkError(
            f"image path {path!r}: expected image_dir/name with forward slashes and no empty, '.' "
            "or '..' component"
        )
    return path


def _json_bytes(obj):
    return (json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


class _Part:
    """A finished part, as packing sees it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        try:
            info = json.loads((self.directory / "part.json").read_bytes())
        except FileNotFoundError:
            raise WorkError(
                f"{self.directory}: no part.json; the part was not finished, run its unit again"
            ) from None
        except ValueError as e:
            raise CorruptInput(self.directory / "part.json", f"not readable as JSON: {e}") from e
        if info.get("version") != PART_VERSION:
            raise WorkError(
                f"{self.directory}: part version {info.get('version')}, expected {PART_VERSION}; "
                "run its unit again"
            )
        self.n_rows = info["n_examples"]
        self.n_joints = info["n_joints"]
        self.image_bytes = info["image_bytes"]
        self.n_images = info["n_images"]
        self.splits = info["splits"]
        self.sha256 = info["sha256"]
        self.columns = info["columns"]
        size = (self.directory / "shard").stat().st_size
        if size != self.image_bytes:
            raise CorruptInput(
                self.directory / "shard", f"{size} bytes, expected {self.image_bytes}"
            )

    def dtype(self, name):
        return np.dtype(self.columns[name][1])

    def shape(self, name):
        return tuple(self.columns[name][2])

    def read(self, name, start=0, stop=None):
        """Reads rows of a column."""
        offset, dtype, shape = self.columns[name]
        dtype = np.dtype(dtype)
        stop = shape[0] if stop is None else min(stop, shape[0])
        row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        n_bytes = (stop - start) * row_bytes
        with open(self.directory / "columns", "rb", buffering=0) as f:
            f.seek(offset + start * row_bytes)
            data = bytearray(n_bytes)
            view, got = memoryview(data), 0
            while got < n_bytes:
                n = f.readinto(view[got:])
                if not n:
                    raise CorruptInput(self.directory / "columns", f"column {name!r} is cut short")
                got += n
        return np.frombuffer(data, dtype).reshape(stop - start, *shape[1:])

    def iter_chunks(self, name):
        """Iterates over a column in pieces of some megabytes."""
        _, dtype, shape = self.columns[name]
        row_bytes = max(1, np.dtype(dtype).itemsize * int(np.prod(shape[1:], dtype=np.int64)))
        step = max(1, _CHUNK // row_bytes)
        for start in range(0, shape[0], step):
            yield self.read(name, start, start + step)


def read_part(directory: str | os.PathLike) -> Iterator[tuple[codec.Record, bytes]]:
    """Iterates over the examples of a finished part and their images, in the order written."""
    part = _Part(directory)
    if not part.n_rows:
        return
    columns = {name: part.read(name) for name in part.columns}
    rows = ExampleTable(columns, part.n_joints or 0)
    with open(part.directory / "shard", "rb") as f:
        for row in range(part.n_rows):
            _, offset, size = rows.image_address(row)
            f.seek(offset)
            yield rows.record(row), f.read(size)

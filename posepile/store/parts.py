"""Part files: what one unit of work leaves, a ``.part`` and, beside it, a ``.shard`` of images.

A ``.part`` is one file, because a million units make a million of everything::

    posepile part 2 <bytes of the JSON> <its CRC32C>    one line, fixed width
    JSON header, padded with spaces
    arrays, each aligned to 64 bytes
    SHA-256 of everything before                        32 bytes

What a rerun needs to know (is it current? how many examples?) stands in the header, which is read
alone and has its own checksum. Every stage uses the same container; only cropping and segmentation
have images. Neither file is ever changed in place: an archive holds hard links to shards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crc32c as crc32c_lib
import numpy as np

from posepile.errors import CorruptInput, WorkError, one_line
from posepile.files import open_regular
from posepile.recipe import SPLITS
from posepile.store.columns import ColumnBuilder
from posepile.store.fields import BETWEEN_STAGES, Record
from posepile.store.index import checked_image_path
from posepile.store.mapping import check_columns, check_places_rise
from posepile.store.part_head import (
    ALIGN,
    DIGEST_BYTES,
    PART_VERSION,
    encode_head,
    read_head,
    read_header,
)
from posepile.store.shard_files import file_digest, link_or_copy
from posepile.store.table import ExampleTable

# Smaller files are not waited for: on a disk that takes 5 ms for it, that is most of what a small
# unit costs. A run waits for all of them together at its end. After a power cut before, what is
# missing or other than it was written is found by sizes and checksums, at the latest when packing,
# and its unit is done again; the archive's own files are all waited for.
WAIT_BYTES = 1 << 20


def shard_of(path: str | os.PathLike) -> Path:
    """Returns where the images of a part lie.

    Args:
        path: The ``.part`` file.
    """
    return Path(_shard_of(os.fspath(path)))


def _shard_of(path):
    if not path.endswith(".part"):
        raise ValueError(f"{path}: the name of a part must end in .part")
    return f"{path[: -len('.part')]}.shard"


def unfinished(path: str | os.PathLike) -> tuple[Path, Path]:
    """Returns where the part and its shard lie while they are written.

    Known names rather than random ones: what a killed process left is found without listing.
    """
    path = os.fspath(path)
    return Path(_temporary(path)), Path(_temporary(_shard_of(path)))


def _temporary(path):
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.tmp")


def remove_part(path: str | os.PathLike) -> None:
    """Removes a part, its shard, and what a killed process left of either."""
    for file in (Path(path), shard_of(path), *unfinished(path)):
        file.unlink(missing_ok=True)


class DamagedParts(WorkError):
    """Parts that are absent or do not fit their checksums: their units are to be done again.

    Args:
        reasons: What is wrong, by the path of the part.

    Attributes:
        paths: The parts, in the order of packing.
    """

    def __init__(self, reasons: dict[Path, str]):
        self.reasons, self.paths = reasons, list(reasons)
        more = f" (and {len(reasons) - 1} more damaged parts)" if len(reasons) > 1 else ""
        super().__init__(f"{next(iter(reasons.values()))}{more}")


# ---------------------------------------------------------------- the container


def write_part(path: str | os.PathLike, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Writes a part under a temporary name and renames it.

    Args:
        path: The file; its folder is made if needed.
        header: JSON-serialisable facts. ``version``, ``columns`` (places of the arrays),
            ``data_bytes`` and ``sha256.columns`` are added here.
        arrays: Arrays of plain numbers by name.
    """
    path = os.fspath(path)
    os.replace(_write(path, header, arrays), path)


def _create(path, buffering=-1):
    """Opens a new file; its folder, which is there for most of many parts, is made if needed."""
    try:
        return open(path, "wb", buffering)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "wb", buffering)


def _write(path, header, arrays):
    """Writes a part under a temporary name, which is returned."""
    columns, pieces, position = {}, [], 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        padding = -position % ALIGN
        pieces += [b"\0" * padding, memoryview(array.reshape(-1)).cast("B") if array.size else b""]
        columns[name] = [position + padding, array.dtype.str, list(array.shape)]
        position += padding + array.nbytes
    if position < WAIT_BYTES:
        pieces = [b"".join(pieces)]
    digest = columns_digest(columns)
    for piece in pieces:
        digest.update(piece)
    header = {
        **header,
        "version": PART_VERSION,
        "columns": columns,
        "data_bytes": position,
        "sha256": {**header.get("sha256", {}), "columns": digest.hexdigest()},
    }
    head = encode_head(header)
    whole = hashlib.sha256(head)
    temporary = _temporary(path)
    try:
        with _create(temporary) as f:
            f.write(head)
            for piece in pieces:
                f.write(piece)
                whole.update(piece)
            f.write(whole.digest())
            f.flush()
            if position >= WAIT_BYTES:
                os.fsync(f.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return temporary


def columns_digest(columns: dict[str, Any]) -> Any:
    """Returns the SHA-256 object that is to be fed the bytes of the arrays.

    Names, types and shapes go first: the same bytes under another name are another table.
    """
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode())


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns header and arrays of a part, its digest compared.

    Raises:
        CorruptInput: It is damaged.
        WorkError: There is none.
    """
    data, header, start = _read_whole(path)
    arrays = {}
    for name, (offset, dtype, shape) in header["columns"].items():
        count = math.prod(shape)
        array = np.frombuffer(data, dtype, count, start + offset) if count else np.empty(0, dtype)
        arrays[name] = array.reshape(shape)
    return header, arrays


def _read_whole(path):
    try:
        with open_regular(path, buffering=0) as f:
            found = read_head(f.fileno())
            f.seek(0)
            data = f.readall() if found is not None else b""
    except FileNotFoundError:
        raise WorkError(
            f"{path}: not found; the part was not finished, run its unit again"
        ) from None
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}", hint=_HINT) from e
    if found is None:
        raise CorruptInput(path, "is cut short, damaged or of another version", hint=_HINT)
    if hashlib.sha256(memoryview(data)[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise CorruptInput(path, "its content does not fit its SHA-256", hint=_HINT)
    return data, *found


_HINT = "run its unit again"


def damage_of_part(path: str | os.PathLike, *, shard: bool = True) -> str | None:
    """Returns what is wrong with a part or its shard, every byte compared; None if nothing is.

    Args:
        path: The part.
        shard: Read the shard, too.
    """
    try:
        header = _read_whole(path)[1]
        if shard and "shard" in header["sha256"]:
            check_shard(path, header)
    except WorkError as e:
        return str(e)
    return None


def check_shard(path: str | os.PathLike, header: dict[str, Any], also: Any = None) -> None:
    """Compares a part's shard with the digest in its header.

    Args:
        path: The part.
        header: Its header.
        also: A digest that is fed the same bytes.

    Raises:
        CorruptInput: The shard is absent, of another size or damaged.
    """
    shard = shard_of(path)
    try:
        digest, size = file_digest(shard, also)
    except OSError as e:
        raise CorruptInput(shard, f"cannot be read: {e.strerror}", hint=_HINT) from e
    if size != header["image_bytes"]:
        raise CorruptInput(shard, f"{size} bytes, expected {header['image_bytes']}", hint=_HINT)
    if digest != header["sha256"]["shard"]:
        raise CorruptInput(shard, "its content does not fit its SHA-256", hint=_HINT)


# ---------------------------------------------------------------- examples


class PartWriter:
    """Writes the part of one unit of work, images and annotations.

    Nothing is under the final names before :meth:`close`. Same records and images give the same
    bytes.

    Args:
        path: The ``.part`` file; its folder is made if needed, an old part is replaced.
        images_of: A finished part with the same images in the same order: its shard is linked
            instead of written again.
    """

    def __init__(self, path: str | os.PathLike, images_of: str | os.PathLike | None = None):
        self.path, self._path = Path(path), os.fspath(path)
        self._shard = _shard_of(self._path)
        self._images_of = images_of
        self._columns = ColumnBuilder()
        self._images: dict[str, tuple[int, int, int]] = {}
        self._keys: dict[tuple[str, int], str] = {}
        self._counts = dict.fromkeys(SPLITS, 0)
        self._offset = 0
        self._digest = hashlib.sha256()
        self._closed = False
        self._temporary = _temporary(self._shard)
        if images_of:
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        self._file = None if images_of else _create(self._temporary, 1 << 20)

    def add(self, record: Record, jpeg: bytes | None) -> None:
        """Adds one example.

        Args:
            record: The annotations.
            jpeg: The crop. Several people in one crop: the first brings the image, the others
                bring the same bytes again or None.

        Raises:
            WorkError: The record cannot be stored; the message names it. The part is as before.
        """
        image_path = checked_image_path(record.image_path)
        here = f"frame {record.frame} of {record.sequence}"
        if (image_path, record.person) in self._keys:
            before = self._keys[image_path, record.person]
            raise WorkError(
                f"{image_path}, person {record.person}: added twice, for {before} and for {here}; "
                "expected once"
            )
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
        self._keys[image_path, record.person] = here
        self._counts[record.split] += 1
        if known is None:
            self._images[image_path] = place
            if self._file is not None:
                self._file.write(jpeg)
            self._digest.update(jpeg)
            self._offset += size

    def close(
        self,
        result: dict[str, Any] | None = None,
        between: dict[str, np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Completes the part: the shard gets its name first, the part last.

        Args:
            result: What the run wants to find in the header under ``result``.
            between: Arrays for the next stage, see :func:`read_between`; no archive has them.

        Returns:
            Summary: ``n_examples``, ``n_images``, ``image_bytes``, ``splits`` (examples per
            split), ``sha256`` of the shard.

        Raises:
            CorruptInput: The images to be linked are not those that were added.
        """
        summary = {
            "n_examples": self._columns.n_rows,
            "n_images": len(self._images),
            "image_bytes": self._offset,
            "splits": self._counts,
            "sha256": {"shard": self._digest.hexdigest()},
        }
        header = {"n_joints": self._columns.n_joints, **summary}
        if result is not None:
            header["result"] = result
        if self._file is None:
            self._link_images(summary["sha256"]["shard"])
        else:
            self._file.flush()
            if self._offset >= WAIT_BYTES:
                os.fsync(self._file.fileno())
            self._file.close()
        more = {f"{BETWEEN_STAGES}{name}": array for name, array in (between or {}).items()}
        part = _write(self._path, header, self._columns.finish() | more)
        # A part that exists has its shard: an old part must not meet the new one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        os.replace(self._temporary, self._shard)
        os.replace(part, self._path)
        self._closed = True
        return summary

    def _link_images(self, digest):
        header = read_header(self._images_of)
        if header is None or header["sha256"].get("shard") != digest:
            raise CorruptInput(
                shard_of(self._images_of), "its images are not those added here", hint=_HINT
            )
        link_or_copy(shard_of(self._images_of), Path(self._temporary))

    def abort(self) -> None:
        """Gives up; nothing is left, and an old part is as before."""
        with contextlib.suppress(OSError):  # a full disk fails a second time when flushing
            if self._file is not None:
                self._file.close()
        for temporary in unfinished(self._path):
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        try:
            if exc_type is None and not self._closed:
                self.close()
        finally:
            if not self._closed:
                self.abort()


def read_between(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays that a stage has left in a part for the next one, by name.

    Raises:
        CorruptInput: The part is damaged.
    """
    _, arrays = read_arrays(path)
    return {
        name.removeprefix(BETWEEN_STAGES): array
        for name, array in arrays.items()
        if name.startswith(BETWEEN_STAGES)
    }


def read_part(path: str | os.PathLike) -> Iterator[tuple[Record, bytes]]:
    """Iterates over the examples of a part and their images, in the order written.

    Raises:
        CorruptInput: The part or an image is damaged.
    """
    header, arrays = read_arrays(path)
    if not header["n_examples"]:
        return
    try:
        check_columns(arrays)
        check_places_rise(arrays)
    except ValueError as e:
        raise CorruptInput(path, str(e), hint=_HINT) from None
    rows = ExampleTable(arrays, header["n_joints"] or 0)
    shard = shard_of(path)
    try:
        with open_regular(shard) as f:
            for row, crc in zip(range(rows.n_rows), arrays["crc32c"].tolist(), strict=True):
                _, offset, size = rows.image_address(row)
                f.seek(offset)
                data = f.read(size)
                if crc32c_lib.crc32c(data) != crc:
                    raise CorruptInput(
                        shard, f"image at byte {offset} does not fit its checksum", hint=_HINT
                    )
                try:
                    record = rows.record(row)
                except (ValueError, TypeError, LookupError, OverflowError) as e:
                    text = f"row {row} cannot be read: {one_line(e)}"
                    raise CorruptInput(path, text, hint=_HINT) from None
                yield record, data
    except OSError as e:
        raise CorruptInput(shard, f"cannot be read: {e.strerror}", hint=_HINT) from e

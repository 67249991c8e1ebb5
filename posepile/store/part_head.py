"""The head of a part: a line that says what follows, and facts as JSON, with a checksum."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

import crc32c as crc32c_lib
import numpy as np

from posepile.errors import raise_if_shortage
from posepile.files import encoded_json, open_regular, plain
from posepile.recipe import SPLITS
from posepile.store import fields

PART_VERSION = 2

ALIGN = 64
DIGEST_BYTES = 32

# One read is enough for most headers: those of all the miniatures' parts have 1.7 to 4.5 kB; only
# long lists of what was left out take more.
_FIRST_READ = 16 << 10
_LINE_BYTES = 36
_LINE = re.compile(rb"posepile part %d ([0-9]{10}) ([0-9a-f]{8})\n" % PART_VERSION)


def encode_head(header: dict[str, Any]) -> bytes:
    """Returns the bytes before the arrays: a line that says what follows, and the header."""
    text = encoded_json(
        json.dumps(
            header, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=plain
        )
    )
    text += b" " * (-(_LINE_BYTES + len(text) + 1) % ALIGN) + b"\n"
    crc = crc32c_lib.crc32c(text)
    return b"posepile part %d %010d %08x\n" % (PART_VERSION, len(text), crc) + text


def read_header(path: str | os.PathLike) -> dict[str, Any] | None:
    """Returns the header of a part; None if it is absent, cut, damaged or of another version.

    Only the head of the file is read. Nothing that the file may hold raises an exception.

    Raises:
        Shortage: It may well be there, but it cannot be read now.
    """
    try:
        with open_regular(path, buffering=0) as f:
            found = read_head(f.fileno())
    except OSError as e:
        raise_if_shortage(path, e)
        return None
    return None if found is None else found[0]


def read_head(fd: int) -> tuple[dict[str, Any], int] | None:
    """Returns header of an open part and the position of its arrays; None if it is no whole part.

    Args:
        fd: File descriptor at the start of the file; the position afterwards is anywhere.
    """
    data = os.read(fd, _FIRST_READ)
    size = os.fstat(fd).st_size
    match = _LINE.match(data)
    if match is None:
        return None
    start = _LINE_BYTES + int(match[1])
    if start > size or start % ALIGN:
        return None
    while len(data) < start:
        more = os.read(fd, start - len(data))
        if not more:
            return None
        data += more
    text = data[_LINE_BYTES:start]
    if crc32c_lib.crc32c(text) != int(match[2], 16):
        return None
    try:
        header = json.loads(text)
        is_whole = start + header["data_bytes"] + DIGEST_BYTES == size and _is_consistent(header)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None  # JSON that says other things than a header does
    return (header, start) if is_whole else None


def _is_consistent(header):
    """Returns whether columns lie within the data, and whether what goes with a shard is there.

    Any of many exceptions means that it is no header.
    """
    for offset, dtype, shape in header["columns"].values():
        kind, whole = np.dtype(dtype), (offset, *shape)
        if kind.str != dtype or kind.kind not in "buif" or offset % ALIGN:
            return False
        if any(type(n) is not int or n < 0 for n in whole):
            return False
        if offset + kind.itemsize * math.prod(shape) > header["data_bytes"]:
            return False
    digests = [bytes.fromhex(digest) for digest in header["sha256"].values()]
    if "shard" in header["sha256"]:
        counts = [header["n_examples"], header["image_bytes"], *map(header["splits"].get, SPLITS)]
        counts += [header["n_joints"] or 0]
        return all(type(n) is int and n >= 0 for n in counts) and _has_columns(header)
    return len(digests) > 0


def _has_columns(header):
    """Returns whether all columns that examples need are there, with as many rows as examples."""
    columns, n, n_joints = header["columns"], header["n_examples"], header["n_joints"]
    if not n:
        return True
    if not (fields.REQUIRED | fields.PART_ONLY.keys()) <= columns.keys():
        return False
    if sum(map(header["splits"].get, SPLITS)) != n:
        return False
    known = {**fields.FIXED, **fields.PART_ONLY}
    for name, (_, dtype, shape) in columns.items():
        if not shape:
            return False
        if name in known:
            kind, inner = known[name]
            row = [n_joints if length == "J" else length for length in inner]
            if shape != [n, *row] or np.dtype(dtype).kind != np.dtype(kind).kind:
                return False
    return True

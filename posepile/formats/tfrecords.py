"""TFRecord files of serialized ``tf.train.Example``, read without TensorFlow.

A file is a row of records: the length of the data (64 bits) and its checksum, the data and their
checksum. An Example is a protocol buffer: features by name, each a list of byte strings, of 32-bit
floats or of 64-bit integers. Byte strings are mostly pictures; what is handed out of them is where
they lie in the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import crc32c
import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import opened

_HEAD, _FOOT = struct.Struct("<QI"), struct.Struct("<I")
_LARGEST = 1 << 30  # bytes of a record
_NUMBER, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5  # how a field of a protocol buffer is stored
_KINDS = {1: "bytes", 2: "floats", 3: "integers"}  # of a feature, by the number of their field


class _Malformed(ValueError):
    """What is no protocol buffer, or none of an Example."""


def iter_examples(
    path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN
) -> Iterator[dict[str, Any]]:
    """Yields the features of one record after the other; their checksums are compared.

    >>> from posepile.miniature.tfrecords import write_tfrecord
    >>> write_tfrecord(folder / "a.tfrecord", [{"image": b"jpg", "id": np.array([4, -1])}])
    >>> next(iter_examples(folder / "a.tfrecord"))
    {'image': [(29, 3)], 'id': array([ 4, -1])}
    >>> read_span(folder / "a.tfrecord", (29, 3))
    b'jpg'

    Args:
        path: The file.
        schema: Of one Example, e.g. ``{"id": Array(2, dtype=int), "image": [None]}``.
        hint: What the user can do if it is damaged.

    Yields:
        Feature -> float32 or int64 ``[n]``, or a list of (offset in the file, size) of byte
        strings, see :func:`read_span`.

    Raises:
        CorruptInput: Damaged, no such file, or not as expected; records before the damage have
            been yielded then.
    """
    with opened(path, hint=hint) as f:
        left, i = os.fstat(f.fileno()).st_size, 0
        while left:
            at, place = f.tell(), f"record {i}"
            head = f.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise CorruptInput(path, f"{place}: ends in its length", hint=hint)
            size, crc = _HEAD.unpack(head)
            if crc != _masked(head[:8]):
                raise CorruptInput(path, f"{place}: checksum of its length differs", hint=hint)
            if size > min(left - _HEAD.size - _FOOT.size, _LARGEST):
                text = f"{place}: has {size} bytes; expected at most {min(left, _LARGEST)}"
                raise CorruptInput(path, text, hint=hint)
            data, foot = f.read(size), f.read(_FOOT.size)
            if len(data) < size or len(foot) < _FOOT.size or foot != _FOOT.pack(_masked(data)):
                raise CorruptInput(path, f"{place}: checksum of its data differs", hint=hint)
            try:
                example = _example(data, at + _HEAD.size)
            except _Malformed as e:
                raise CorruptInput(path, f"{place}: no tf.train.Example: {e}", hint=hint) from None
            yield check(example, schema, path, place, hint=hint)
            left -= _HEAD.size + size + _FOOT.size
            i += 1


def read_span(
    path: str | os.PathLike, span: tuple[int, int], *, hint: str | None = AGAIN
) -> bytes:
    """Returns bytes that lie somewhere in a file.

    >>> _ = (folder / "a.bin").write_bytes(b"abcdef")
    >>> read_span(folder / "a.bin", (2, 3))
    b'cde'

    Args:
        path: The file.
        span: Offset and size.
        hint: As of :func:`iter_examples`.

    Raises:
        CorruptInput: Missing, or shorter.
    """
    offset, size = span
    with opened(path, hint=hint) as f:
        f.seek(offset)
        data = f.read(size)
    if len(data) != size:
        text = f"found {len(data)} bytes from byte {offset} on; expected {size}"
        raise CorruptInput(path, text, hint=hint)
    return data


def _masked(data: bytes) -> int:
    """The checksum as it is stored; turned, so that checksums of checksums are no weaker."""
    crc = crc32c.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _example(data: bytes, offset: int) -> dict[str, Any]:
    """Returns the features of an Example that begins at that byte of its file."""
    found: dict[str, Any] = {}
    for start, stop in _messages(data, 0, len(data), 1):
        for entry in _messages(data, start, stop, 1):
            names = [data[a:b] for a, b in _messages(data, *entry, 1)]
            features = list(_messages(data, *entry, 2))
            if len(names) != 1 or len(features) != 1:
                raise _Malformed("a feature without name, or a name without feature")
            try:
                name = names[0].decode()
            except UnicodeDecodeError:
                raise _Malformed("the name of a feature is no text") from None
            if name in found:
                raise _Malformed(f"feature {name[:50]!r} is there twice")
            found[name] = _values(data, *features[0], offset)
    return found


def _values(data: bytes, start: int, stop: int, offset: int) -> Any:
    """Returns the values of a feature."""
    lists = [(n, a, b) for n, kind, a, b in _fields(data, start, stop) if n in _KINDS]
    if len(lists) > 1:
        raise _Malformed("a feature of several kinds")
    if not lists:
        return []
    number, *bounds = lists[0]
    parts = [(kind, a, b) for n, kind, a, b in _fields(data, *bounds) if n == 1]
    single = {"bytes": None, "floats": _FOUR, "integers": _NUMBER}[_KINDS[number]]
    if any(kind not in (_SIZED, single) for kind, _, _ in parts):
        raise _Malformed(f"values that are no {_KINDS[number]}")
    if number == 1:
        return [(offset + a, b - a) for _, a, b in parts]
    joined = b"".join(data[a:b] for _, a, b in parts)
    if number == 3:
        return _integers(joined)
    if len(joined) % 4:
        raise _Malformed("floats that end too early")
    return np.frombuffer(joined, "<f4").astype(np.float32)


def _integers(data: bytes) -> np.ndarray:
    """Returns whole numbers that are stored in groups of seven bits, the lowest first."""
    groups = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(groups < 128)
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    if len(groups) and (not len(last) or last[-1] != len(groups) - 1):
        raise _Malformed("a number that ends too early")
    if (last - first >= 10).any():
        raise _Malformed("a number of more than 64 bits")
    values = np.zeros(len(last), np.uint64)
    for k in range(10):
        there = first + k <= last
        bits = (groups[first[there] + k] & 127).astype(np.uint64)
        values[there] |= bits << np.uint64(7 * k)
    return values.astype(np.int64)


def _messages(data: bytes, start: int, stop: int, number: int) -> Iterator[tuple[int, int]]:
    """Yields where the parts of one number lie that have a length."""
    for n, kind, a, b in _fields(data, start, stop):
        if n == number:
            if kind != _SIZED:
                raise _Malformed(f"field {number} has no length")
            yield a, b


def _fields(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields number, kind, begin and end of the value of each field of a protocol buffer."""
    while at < stop:
        tag, at = _number(data, at, stop)
        kind, start = tag & 7, at
        if kind == _NUMBER:
            _, at = _number(data, at, stop)
        elif kind == _SIZED:
            size, start = _number(data, at, stop)
            at = start + size
        elif kind in (_EIGHT, _FOUR):
            at += 8 if kind == _EIGHT else 4
        else:
            raise _Malformed(f"a field of kind {kind}")
        if at > stop:
            raise _Malformed("a field that ends behind what it is in")
        yield tag >> 3, kind, start, at


def _number(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Returns a whole number, and where it ends."""
    value = 0
    for k in range(10):
        if at + k >= stop:
            raise _Malformed("a number that ends too early")
        value |= (data[at + k] & 127) << 7 * k
        if data[at + k] < 128:
            return value, at + k + 1
    raise _Malformed("a number of more than 64 bits")

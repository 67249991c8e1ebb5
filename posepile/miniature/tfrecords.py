"""TFRecord files of serialized ``tf.train.Example``, written without TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def _crc_table() -> list[int]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(0x82F63B78), np.uint32(0))
    return table.tolist()


_TABLE = _crc_table()  # CRC32C


def write_tfrecord(path: Path, examples: Iterable[Mapping[str, bytes | np.ndarray]]) -> None:
    """Writes records, one for each example.

    >>> write_tfrecord(folder / "a.tfrecord", [{"image": b"...", "mask_id": np.array([4])}])
    >>> (folder / "a.tfrecord").stat().st_size
    54

    Args:
        path: The file; its folder is made.
        examples: Features by name: bytes, or an array of numbers, which are stored as 64-bit
            integers if they are whole numbers by their type and as 32-bit floats if not.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_framed(_example(features)) for features in examples))


def _framed(record: bytes) -> bytes:
    """Length, data, and the masked CRC32C of both."""
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length) + record + _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _example(features: Mapping[str, bytes | np.ndarray]) -> bytes:
    entries = []
    for key, value in features.items():
        if isinstance(value, bytes):
            kind, content = 1, value
        elif np.issubdtype(value.dtype, np.integer):
            kind, content = 3, b"".join(_varint(int(number)) for number in value.ravel())
        else:
            kind, content = 2, np.ravel(value).astype("<f4").tobytes()
        feature = _field(kind, _field(1, content))
        entries.append(_field(1, _field(1, key.encode()) + _field(2, feature)))
    return _field(1, b"".join(entries))


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that has a length."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first."""
    value &= 0xFFFFFFFFFFFFFFFF
    groups = [value >> shift & 127 | 128 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*groups[:-1], groups[-1] & 127])

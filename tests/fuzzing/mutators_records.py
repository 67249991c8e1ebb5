"""Changes to TFRecord files of which the checksums are made good, so that readers get to them."""

from __future__ import annotations

import random
import struct

import crc32c

from fuzzing.mutators import GENERIC, cut_off, flip_bits, set_integer


def _records(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        found.append(data[at + 12 : at + 12 + size])
        at += 16 + size
    return found


def _framed(record: bytes) -> bytes:
    def masked(part: bytes) -> bytes:
        crc = crc32c.crc32c(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(record))
    return length + masked(length) + record + masked(record)


def change_record(data: bytes, rng: random.Random) -> bytes:
    """Other bytes in a record, or a record that is shorter, missing or there twice."""
    records = _records(data)
    if not records:
        return flip_bits(data, rng)
    i = rng.randrange(len(records))
    change = rng.choice((flip_bits, flip_bits, set_integer, cut_off))
    changed = [change(records[i], rng)] * rng.choice((1, 1, 1, 0, 2))
    return b"".join(map(_framed, [*records[:i], *changed, *records[i + 1 :]]))


TFRECORD = (change_record, change_record, change_record, *GENERIC)

"""Mutators that know c3d, CDF and VRS files."""

from __future__ import annotations

import gzip
import random
import struct
import zlib

from fuzzing.mutators import (
    INTEGERS,
    append,
    cut_off,
    flip_bits,
    nudge_integer,
    set_bytes,
    set_float,
)
from fuzzing.mutators_text import JSON, change_json

_WORDS = range(0, 24, 2)  # parameter block and key, points, analog, frames, gap, scale, data, rate


def change_c3d_word(data: bytes, rng: random.Random) -> bytes:
    """Another number in the header: counts, frames, scale or place of the data."""
    at = rng.choice(_WORDS[1:])
    if at in (12, 14):
        scale = rng.choice((0.0, -1.0, 1.0, float("nan"), float("inf"), 1e38, 1e-38, -0.1))
        return data[:12] + struct.pack("<f", scale) + data[16:]
    old = int.from_bytes(data[at : at + 2], "little")
    new = rng.choice((*INTEGERS, old + 1, old - 1, old * 2)) % 65536
    return data[:at] + new.to_bytes(2, "little") + data[at + 2 :]


def change_c3d_parameter(data: bytes, rng: random.Random) -> bytes:
    """Another length, group, offset, type or dimension in the section of parameters."""
    entries = _entries(data)
    if not entries:
        return set_bytes(data, rng)
    start, name_length = rng.choice(entries)
    behind = start + 2 + name_length
    at = rng.choice((start, start + 1, behind, behind + 1, behind + 2, behind + 3, behind + 4))
    if rng.random() < 0.3:
        at = behind + 4 + rng.randrange(8)
    old = data[at] if at < len(data) else 0
    new = rng.choice((*INTEGERS, old + 1, old - 1, -old)) % 256
    return data[:at] + bytes([new]) + data[at + 1 :]


def change_c3d_values(data: bytes, rng: random.Random) -> bytes:
    """Another number among the points."""
    start = 512 * max(int.from_bytes(data[16:18], "little") - 1, 1)
    change = rng.choice((set_float, flip_bits, nudge_integer))
    return data[:start] + change(data[start:], rng)


def _entries(data: bytes) -> list[tuple[int, int]]:
    """Start and length of the name of each group and parameter."""
    found, at = [], 512 * (data[0] - 1) + 4 if data else 0
    while 0 < at < len(data) - 6 and len(found) < 200:
        length = abs(int.from_bytes(data[at : at + 1], "little", signed=True))
        found.append((at, length))
        offset = int.from_bytes(data[at + 2 + length : at + 4 + length], "little", signed=True)
        if not length or offset <= 0:
            break
        at += 2 + length + offset
    return found


C3D = (change_c3d_word,) * 3 + (change_c3d_parameter,) * 4 + (change_c3d_values, set_bytes)
C3D += (cut_off, append, flip_bits)


def change_cdf_record(data: bytes, rng: random.Random) -> bytes:
    """Another number, offset, size or name in one of a CDF file's records."""
    records = _records(data)
    if not records:
        return set_bytes(data, rng)
    start, size = rng.choice(records)
    kind, field = rng.randrange(6), rng.choice((4, 8))
    if kind == 0:
        return data[:start] + data[start + size :]
    if kind == 1:
        return data[: start + size] + data[start : start + size] + data[start + size :]
    at = start + (
        rng.choice((0, 8)) if kind == 2 else 12 + 4 * rng.randrange(max(size // 4 - 3, 1))
    )
    at = min(at, len(data) - field)
    old = int.from_bytes(data[at : at + field], "big")
    starts = [place for place, _ in records]
    new = rng.choice((*INTEGERS, old + 1, old - 1, rng.choice(starts), start))
    return data[:at] + (new % 256**field).to_bytes(field, "big") + data[at + field :]


def change_cdf_values(data: bytes, rng: random.Random) -> bytes:
    """Another number among compressed values."""
    at = data.find(b"\x1f\x8b")
    end = next((s + n for s, n in _records(data) if s < at < s + n), 0)
    if at < 0 or not end:
        return set_float(data, rng)
    try:
        values = gzip.decompress(data[at:end])
    except (OSError, EOFError, zlib.error):
        return set_float(data, rng)
    changed = rng.choice((set_float, flip_bits, cut_off, append))(values, rng)
    packed = gzip.compress(changed)[: end - at]
    return data[:at] + packed.ljust(end - at, b"\0") + data[end:]


def _records(data: bytes) -> list[tuple[int, int]]:
    """Start and size of each record, which follow each other behind the magic number."""
    found, at = [], 8
    while at + 12 <= len(data) and len(found) < 500:
        size = int.from_bytes(data[at : at + 8], "big")
        if not 12 <= size <= len(data) - at:
            break
        found.append((at, size))
        at += size
    return found


CDF = (change_cdf_record,) * 8 + (change_cdf_values, change_cdf_values, flip_bits, cut_off)


def change_vrs(data: bytes, rng: random.Random) -> bytes:
    """Another text, length or name of the tag in a VRS file."""
    tag = b"calib_json"
    at = data.find(struct.pack("<I", len(tag)) + tag) + 4
    if at < 4:
        return set_bytes(data, rng)
    start = at + len(tag)
    length = int.from_bytes(data[start : start + 4], "little")
    text, rest = data[start + 4 : start + 4 + length], data[start + 4 + length :]
    kind = rng.randrange(8)
    if kind < 6:
        text = (change_json if kind else rng.choice(JSON))(text, rng)
        length = len(text)
    elif kind == 6:
        length = rng.choice((*INTEGERS, length + 1, length - 1)) % 2**32
    elif rng.random() < 0.5:
        return data[:at] + data[at:] * rng.choice((2, 200))
    else:
        return data[:at] + rng.choice((b"calib", b"", tag + tag)) + data[start:]
    return data[:start] + length.to_bytes(4, "little") + text + rest


VRS = (change_vrs,) * 8 + (cut_off, flip_bits)

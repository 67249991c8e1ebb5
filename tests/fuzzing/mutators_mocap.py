"""Mutators that know c3d files."""

from __future__ import annotations

import random
import struct

from fuzzing.mutators import (
    INTEGERS,
    append,
    cut_off,
    flip_bits,
    nudge_integer,
    set_bytes,
    set_float,
)

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

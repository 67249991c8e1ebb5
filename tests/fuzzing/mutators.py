"""What damages bytes without knowing their format.

A mutator takes bytes and a source of chance and returns other bytes. Most leave the first bytes as
they are, so that a reader gets beyond its first check.
"""

from __future__ import annotations

import random
import re
import struct

HEADER = 16  # bytes that most of these mutators leave alone

INTEGERS = (0, 1, 2, -1, -2, 127, 128, 255, 256, 32767, 32768, 65535, 65536)
INTEGERS += (
    2**31 - 1,
    2**31,
    -(2**31),
    2**32 - 1,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    2**63,
    -(2**63),
)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-320,
    1e9,
    1e38,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
NUMBERS_AS_TEXT = (
    *map(str, INTEGERS),
    *("nan", "NaN", "Infinity", "-inf", "1e308", "1e400", "-1e999", "1e-400", "0x10", "007"),
    *("1_000", "٣", "²", "½", "1,5", "--1", "+", ".", "1e", "9" * 30, "9" * 5000, "true", "null"),
)
TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "\r\n",
    "\x1b[31m",
    "\u2028",
    "\ufeff",
    "\u202e",
    "é",
    "𝄞",
    "..",
    "/",
)
TEXTS += (
    "/",
    "../../x",
    "/etc/passwd",
    "a" * 300,
    "a" * 70000,
    "<b>",
    "%s%n",
    "{}",
    "nan",
    "None",
)


def place(data: bytes, rng: random.Random, keep: int = HEADER) -> int:
    """A position behind the header; of short data any."""
    return rng.randrange(keep, len(data)) if len(data) > keep else rng.randrange(len(data) + 1)


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[place(data, rng) % len(changed)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, rng: random.Random) -> bytes:
    at, n = place(data, rng), rng.choice((1, 1, 2, 4, 16, 100))
    new = rng.choice((bytes(n), b"\xff" * n, rng.randbytes(n)))
    return data[:at] + new + data[at + n :]


def set_integer(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 4, 8))
    number = rng.choice(INTEGERS) % 256**size
    at = place(data, rng)
    at -= at % size if rng.random() < 0.7 else 0  # most formats align their fields
    return data[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def nudge_integer(data: bytes, rng: random.Random) -> bytes:
    """A field that is a little larger or smaller than it was."""
    size, order = rng.choice((1, 2, 4)), rng.choice(("little", "big"))
    at = place(data, rng)
    old = int.from_bytes(data[at : at + size], order)
    new = (old + rng.choice((-8, -2, -1, 1, 2, 8))) % 256**size
    return data[:at] + new.to_bytes(size, order) + data[at + size :]


def set_float(data: bytes, rng: random.Random) -> bytes:
    form = rng.choice(("<f", "<d", ">f", ">d"))
    try:
        new = struct.pack(form, rng.choice(FLOATS))
    except OverflowError:
        new = struct.pack(form, float("inf"))
    at = place(data, rng)
    at -= at % 4
    return data[:at] + new + data[at + len(new) :]


def cut_off(data: bytes, rng: random.Random) -> bytes:
    return data[: place(data, rng)]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    at = place(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 4, 8, 100, 512)) :]


def repeat_range(data: bytes, rng: random.Random) -> bytes:
    at, n = place(data, rng), rng.choice((1, 4, 8, 40, 512, 5000))
    return data[:at] + data[at : at + n] * rng.choice((2, 2, 3, 50)) + data[at + n :]


def swap_ranges(data: bytes, rng: random.Random) -> bytes:
    n = rng.choice((1, 4, 8, 40, 512))
    a, b = sorted((place(data, rng), place(data, rng)))
    if a + n > b:
        return flip_bits(data, rng)
    return data[:a] + data[b : b + n] + data[a + n : b] + data[a : a + n] + data[b + n :]


def append(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((bytes(1000), rng.randbytes(100), data[: rng.randrange(1, 2000)]))


def break_text(data: bytes, rng: random.Random) -> bytes:
    """Puts into the data what is no UTF-8, or no text that belongs there."""
    at = place(data, rng)
    new = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80")
    new += tuple(text.encode() for text in TEXTS)
    return data[:at] + rng.choice(new) + data[at:]


def change_header(data: bytes, rng: random.Random) -> bytes:
    """The only one that damages what tells the format."""
    changed = bytearray(data or b"\0")
    changed[rng.randrange(min(HEADER, len(changed)))] = rng.randrange(256)
    return bytes(changed)


def change_number(data: bytes, rng: random.Random) -> bytes:
    """Another number in place of one that is written in digits."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?", data))
    if not found:
        return set_integer(data, rng)
    match = rng.choice(found)
    new = rng.choice(NUMBERS_AS_TEXT).encode()
    return data[: match.start()] + new + data[match.end() :]


def change_lines(data: bytes, rng: random.Random) -> bytes:
    """A line that is missing, there twice, at another place or cut."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return cut_out(data, rng)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 3:
        lines[i] = lines[i][: rng.randrange(len(lines[i]))]
    else:
        lines[i] = lines[i] * 1000
    return b"".join(lines)


GENERIC = (
    *(flip_bits, set_bytes, set_integer, set_integer, nudge_integer, set_float, cut_off, cut_out),
    *(repeat_range, swap_ranges, append, break_text, change_number, change_header),
)

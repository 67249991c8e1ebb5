"""Mutators of npy files, and of zip files with correct checksums around changed members."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

from fuzzing.mutators import (
    GENERIC,
    INTEGERS,
    TEXTS,
    cut_off,
    flip_bits,
    set_float,
    set_integer,
)

_DTYPES = (
    *("<f8", ">f8", "<f4", "<f2", "<f16", "<i8", "<i4", "|i1", "|u1", "<u8", "|b1", "<c16", "|O"),
    *(
        "|S0",
        "|S3",
        "<U1",
        "<U0",
        "<U999999999",
        "|V8",
        "<M8[ns]",
        "<M8",
        "<m8[D]",
        "|V0",
        "x",
        "",
    ),
    *("", "<f3", "=f8", "<f8,<f8", "(2,)f8", "|S99999999999", "<U2147483647", "<g8"),
)
_DESCRS = (
    *map(repr, _DTYPES),
    *(
        "[('a', '<f8')]",
        "[('a', '|O')]",
        "[]",
        "[('a', '<f8', (3,))]",
        "[('a', '<f8'), ('a', 'f8')]",
    ),
    *("None", "{}", "('<f8', (2,))", "[('', '<f8')]", "['<f8']", "[('a', [('b', '|O')])]", "[[]]"),
    *("[('a', '|V0', (99999999999,))]", "('|O', {})", "[" * 80 + "]" * 80, "[('a',)]"),
)
_ORDERS = ("True", "False", "None", "1", "'C'", "[]")


def change_npy_header(data: bytes, rng: random.Random) -> bytes:
    """Another type, shape or order in a header whose length is right."""
    if not data.startswith(b"\x93NUMPY\x01\x00"):
        return set_integer(data, rng)
    (length,) = struct.unpack_from("<H", data, 8)
    head, body = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    kind = rng.randrange(8)
    before, _, shape = head.partition("'shape': ")
    if kind < 3:
        head = f"{before}'shape': {_shape(shape, rng)}, }}"
    elif kind < 6:
        old = head.partition("'descr': ")[2].partition(", 'fortran")[0]
        head = head.replace(old, rng.choice(_DESCRS), 1)
    elif kind == 6:
        order = rng.choice(_ORDERS)
        head = head.replace("False", order, 1).replace("True", order, 1)
    else:
        texts = (
            "",
            "{}",
            "[]",
            "1",
            "{'descr': '<f8'}",
            "x",
            head * 2,
            "(" * 5000,
            "\xff",
            "{1: 2,",
        )
        head = rng.choice(
            (*texts, f"{head[:-2].rstrip(', }')}, 'more': 1}}", head[: len(head) // 2])
        )
    encoded = head.encode("latin1", "replace")[:65000]
    return data[:8] + struct.pack("<H", len(encoded)) + encoded + body


def _shape(old: str, rng: random.Random) -> str:
    numbers = [n.strip() for n in old.strip(" }\n").strip("(),").split(",") if n.strip()]
    kind = rng.randrange(6)
    if kind == 0:
        numbers.append(rng.choice(("0", "1", "2", "1000000")))
    elif kind == 1 and numbers:
        numbers.pop(rng.randrange(len(numbers)))
    elif kind == 2:
        return rng.choice(("None", "5", "()", "('a',)", "(1.5,)", "(True,)", "[3]", "-1"))
    elif kind == 3:
        numbers = [str(rng.choice(INTEGERS)) for _ in range(rng.choice((1, 2, 3, 70)))]
    elif kind == 4:
        rng.shuffle(numbers)
    elif numbers:
        numbers[rng.randrange(len(numbers))] = str(rng.choice(INTEGERS))
    return f"({', '.join(numbers)}{',' if len(numbers) == 1 else ''})"


def change_npy_values(data: bytes, rng: random.Random) -> bytes:
    """Another number among the values of an array."""
    if len(data) < 130:
        return change_npy_header(data, rng)
    start = 10 + struct.unpack_from("<H", data, 8)[0]
    return data[:start] + rng.choice((set_float, set_integer, flip_bits))(data[start:], rng)


NPY_ONLY = (change_npy_header,) * 4 + (change_npy_values,) * 2
NPY = (*NPY_ONLY, *GENERIC[:3], cut_off)


def in_zip(*inner: Callable[[bytes, random.Random], bytes]):
    """Returns mutators of zip files: of their members, by these, and of the list of members."""

    def change_member(data: bytes, rng: random.Random) -> bytes:
        members = _members(data)
        if not members:
            return set_integer(data, rng)
        i = rng.randrange(len(members))
        members[i] = members[i][0], rng.choice(inner)(members[i][1], rng)
        return zipped(members, rng)

    return (change_member,) * 6 + ZIP


def _members(data: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # it was damaged before
        return []


def zipped(members: list[tuple[str, bytes]], rng: random.Random) -> bytes:
    """A zip file of these members, some compressed."""
    file = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(file, "w", rng.choices(kinds, (4, 4, 1, 1))[0]) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name[:60000] or "x")
            info.compress_type = archive.compression
            archive.writestr(info, data)
    return file.getvalue()


def change_members(data: bytes, rng: random.Random) -> bytes:
    """Members that are missing, there twice, renamed or of another's content."""
    members = _members(data)
    if not members:
        return set_integer(data, rng)
    i, j, kind = rng.randrange(len(members)), rng.randrange(len(members)), rng.randrange(6)
    if kind == 0:
        del members[i]
    elif kind == 1:
        members.append((members[i][0], members[j][1]))
    elif kind == 2:
        members[i] = rng.choice(TEXTS).replace("\0", ""), members[i][1]
    elif kind == 3:
        members[i] = members[i][0], members[j][1]
    elif kind == 4:
        members[i] = members[i][0].removesuffix(".npy"), members[i][1]
    else:
        members[i] = members[i][0], rng.choice((b"", b"\0", rng.randbytes(100), bytes(10**6)))
    return zipped(members, rng)


def change_zip_field(data: bytes, rng: random.Random) -> bytes:
    """Another number in the directory or in a member's own header."""
    signatures = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    places = [i for s in signatures for i in _all(data, s)]
    if not places:
        return set_integer(data, rng)
    at = rng.choice(places) + rng.choice(range(4, 46, 2))
    size = rng.choice((2, 4))
    new = (rng.choice(INTEGERS) % 256**size).to_bytes(size, "little")
    return data[:at] + new + data[at + size :]


def _all(data: bytes, part: bytes) -> list[int]:
    found, at = [], -1
    while (at := data.find(part, at + 1)) >= 0:
        found.append(at)
    return found


ZIP = (change_members, change_members, change_zip_field, change_zip_field, cut_off, flip_bits)
NPZ = in_zip(*NPY_ONLY)

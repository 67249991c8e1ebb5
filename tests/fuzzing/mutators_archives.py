"""Changes to archives that leave them readable: members and header values, checksums made good.

Each takes the bytes of a file and a random generator and returns other bytes. One that does not
know the file changes some bytes behind its head instead.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib

NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
NAMES = (
    "../up.txt",
    "/tmp/absolute.txt",
    "a/../../b",
    "C:\\x.txt",
    "a\\..\\..\\b",
    "con\x1b[31mtrol",
    "<script>alert(1)</script>",
    "x" * 300,
    "a/" * 200 + "b",
    "\udcff\udc80",
    ".",
    "..",
    "",
    "a",
    "a/b.txt",
    ".posepile/sources.lock.json",
    "a\x00b",
    "~",
    "ü.txt",
    " ",
    "a/b.txt.unfinished",
)


def flip_behind_head(data: bytes, rng: random.Random, head: int = 64) -> bytes:
    """Returns the data with one to eight bytes changed behind the first ``head``."""
    if len(data) < 2:
        return data + bytes([rng.randrange(256)])
    out, start = bytearray(data), min(head, len(data) // 2)
    for _ in range(rng.choice((1, 1, 2, 8))):
        out[rng.randrange(start, len(out))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(out)


def number_behind_head(data: bytes, rng: random.Random, head: int = 16) -> bytes:
    """Returns the data with a number of 1 to 8 bytes, in either order, in some place."""
    width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    if len(data) <= head + width:
        return flip_behind_head(data, rng)
    at = rng.randrange(head, len(data) - width)
    old = int.from_bytes(data[at : at + width], order)
    new = rng.choice((*NUMBERS, old + 1, old - 1, old * 2, old // 2)) % 256**width
    return data[:at] + new.to_bytes(width, order) + data[at + width :]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Returns the beginning of the data."""
    return data[: rng.randrange(len(data) // 4, len(data) + 1)]


def remove_piece(data: bytes, rng: random.Random) -> bytes:
    """Returns the data without a piece of up to 100 bytes."""
    at = rng.randrange(len(data) // 10, len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 100) :]


def repeat_piece(data: bytes, rng: random.Random) -> bytes:
    """Returns the data with a piece of it standing twice."""
    a = rng.randrange(len(data) + 1)
    b = min(len(data), a + rng.randrange(1, 1000))
    return data[:b] + data[a:b] + data[b:]


def join_twice(data: bytes, rng: random.Random) -> bytes:
    """Returns the data with itself, or something else, behind it."""
    return data + rng.choice((data, b"\0" * 600, b"garbage" * 100, data[: len(data) // 2]))


BYTES = (number_behind_head, flip_behind_head, cut, remove_piece, repeat_piece)

# ---------------------------------------------------------------- zip


_DIRECTORY = (6, 8, 10, 16, 20, 24, 28, 30, 32, 34, 38, 42)


def zip_field(data: bytes, rng: random.Random) -> bytes:
    """Returns a zip with another number in a header of one of its members or at its end."""
    out = bytearray(data)
    kind, fields = rng.choice(
        (
            (b"PK\x03\x04", ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))),
            (
                b"PK\x01\x02",
                tuple((at, 4 if at in (16, 20, 24, 38, 42) else 2) for at in _DIRECTORY),
            ),
            (b"PK\x05\x06", ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
        )
    )
    places = _all_places(data, kind)
    if not places:
        return number_behind_head(data, rng)
    at, width = rng.choice(fields)
    at += rng.choice(places)
    if at + width > len(out):
        return number_behind_head(data, rng)
    old = int.from_bytes(out[at : at + width], "little")
    new = rng.choice((*NUMBERS, old ^ 1, old + 1, old - 1, old * 2)) % 256**width
    out[at : at + width] = new.to_bytes(width, "little")
    return bytes(out)


def zip_members(data: bytes, rng: random.Random) -> bytes:
    """Returns a zip of the same members with one renamed, doubled, removed, linked or changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            members = [(info, z.read(info)) for info in z.infolist()]
    except Exception:
        return flip_behind_head(data, rng)
    if not members:
        return flip_behind_head(data, rng)
    k, how = rng.randrange(len(members)), rng.randrange(6)
    info, content = members[k]
    if how == 0:
        info.filename = rng.choice(NAMES)
    elif how == 1:
        members.insert(rng.randrange(len(members) + 1), (info, content[::-1]))
    elif how == 2:
        del members[k]
    elif how == 3:
        info.external_attr = rng.choice((0o120777, 0o010644, 0o020644, 0o040755, 0o644)) << 16
        members[k] = info, rng.choice((b"a", b"../../x", b"/etc/passwd", b"\xff\xfe", b""))
    elif how == 4:
        members[k] = info, content * 1000
    else:
        members[k], members[0] = members[0], members[k]
    out = io.BytesIO()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(out, "w") as z:
            for n, (member, inside) in enumerate(members):
                new = zipfile.ZipInfo(f"{n:08d}", (1980, 1, 1, 0, 0, 0))
                new.external_attr, new.compress_type = member.external_attr, zipfile.ZIP_DEFLATED
                try:
                    new.filename = member.filename
                    z.writestr(new, inside)
                except (UnicodeEncodeError, ValueError):
                    continue
    return out.getvalue()


def zip_data(data: bytes, rng: random.Random) -> bytes:
    """Returns a zip with a byte of its compressed data changed; the headers stay."""
    places = _all_places(data, b"PK\x03\x04")
    end = data.find(b"PK\x01\x02")
    if not places or end < 0:
        return flip_behind_head(data, rng)
    out = bytearray(data)
    out[rng.randrange(min(places[0] + 30, end - 1), end)] = rng.randrange(256)
    return bytes(out)


ZIP = (zip_field, zip_field, zip_members, zip_members, zip_data, join_twice, *BYTES)


def _all_places(data: bytes, kind: bytes) -> list[int]:
    places, at = [], data.find(kind)
    while at >= 0:
        places.append(at)
        at = data.find(kind, at + 1)
    return places


# ---------------------------------------------------------------- tar


def tar_field(data: bytes, rng: random.Random) -> bytes:
    """Returns a tar with another value in a member's header and its checksum made good."""
    return _within(data, rng, _tar_field)


def tar_members(data: bytes, rng: random.Random) -> bytes:
    """Returns a tar of the same members, one of them renamed, doubled, removed or made a link."""
    return _within(data, rng, _tar_members)


def tar_bytes(data: bytes, rng: random.Random) -> bytes:
    """Returns a tar with bytes changed before it was compressed."""
    return _within(data, rng, rng.choice(BYTES))


def _within(data: bytes, rng: random.Random, change) -> bytes:
    """Returns data changed inside of their compression."""
    for head, unpack, pack in (
        (b"\x1f\x8b", gzip.decompress, lambda d: gzip.compress(d, 1, mtime=0)),
        (b"BZh", bz2.decompress, lambda d: bz2.compress(d, 1)),
        (b"\xfd7zXZ", lzma.decompress, lambda d: lzma.compress(d, preset=0)),
    ):
        if data.startswith(head):
            try:
                return pack(change(unpack(data), rng))
            except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError):
                return flip_behind_head(data, rng)  # damaged before
    return change(data, rng)


_TAR_FIELDS = ((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8))


def _tar_field(data: bytes, rng: random.Random) -> bytes:
    places = [i for i in range(0, len(data) - 511, 512) if data[i + 257 : i + 262] == b"ustar"]
    if not places:
        return flip_behind_head(data, rng)
    out, at = bytearray(data), rng.choice(places)
    start, width = rng.choice((*_TAR_FIELDS, (124, 12), (156, 1), (345, 155)))
    if width == 1:
        value = rng.choice(b"01234567LKxgSVM\0DN").to_bytes(1, "little")
    elif width in (8, 12):
        octal = f"{rng.choice(NUMBERS):o}".encode()
        full, far = b"7" * (width - 1) + b"\0", b"\x80" + b"\0" * (width - 2) + b"\xff"
        value = rng.choice((full, far, b"-1", b"", b"9z", b"\xff" * width, octal))
    else:
        value = rng.choice(NAMES).encode("utf-8", "surrogateescape")
    out[at + start : at + start + width] = value[:width].ljust(width, b"\0")
    out[at + 148 : at + 156] = b" " * 8
    out[at + 148 : at + 156] = f"{sum(out[at : at + 512]):06o}\0 ".encode()
    return bytes(out)


def _tar_members(data: bytes, rng: random.Random) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = [
                (m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar.getmembers()
            ]
    except Exception:
        return flip_behind_head(data, rng)
    if not members:
        return flip_behind_head(data, rng)
    k, how = rng.randrange(len(members)), rng.randrange(6)
    info, content = members[k]
    if how == 0:
        info.name = rng.choice(NAMES)
    elif how == 1:
        members.insert(rng.randrange(len(members) + 1), (info, content[::-1]))
    elif how == 2:
        del members[k]
    elif how in (3, 4):
        kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
        info.type = rng.choice((*kinds, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE))
        info.linkname = rng.choice((*NAMES, members[0][0].name, info.name))
        members[k] = info, b""
    else:
        info.pax_headers = {
            rng.choice(("size", "path", "linkpath", "GNU.sparse.map", "mtime")): rng.choice(
                (*NAMES[:8], "-1", "99999999999", "nan")
            )
        }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, inside in members:
            member.size = len(inside)
            try:
                tar.addfile(member, io.BytesIO(inside))
            except Exception:
                continue
    return out.getvalue()


TAR = (tar_field, tar_field, tar_members, tar_members, tar_bytes, join_twice, *BYTES)

# ---------------------------------------------------------------- 7z


def seven_zip_header(data: bytes, rng: random.Random) -> bytes:
    """Returns a 7z with bytes of its list of members changed and both checksums made good."""
    if len(data) < 32 or data[:2] != b"7z":
        return flip_behind_head(data, rng)
    offset, size = struct.unpack_from("<QQ", data, 12)
    header = data[32 + offset : 32 + offset + size]
    if not header:
        return flip_behind_head(data, rng)
    change = rng.choice((_seven_zip_number, _seven_zip_number, flip_behind_head, repeat_piece))
    header = change(header, rng)
    out = bytearray(data[: 32 + offset] + header)
    struct.pack_into("<QQI", out, 12, offset, len(header), zlib.crc32(header))
    struct.pack_into("<I", out, 8, zlib.crc32(bytes(out[12:32])))
    return bytes(out)


def _seven_zip_number(header: bytes, rng: random.Random) -> bytes:
    out = bytearray(header)
    out[rng.randrange(len(out))] = rng.choice((0, 1, 2, 9, 0x19, 0x80, 0xC0, 0xFF, 0xFE, 7))
    return bytes(out)


def seven_zip_start(data: bytes, rng: random.Random) -> bytes:
    """Returns a 7z with another place or size of its list of members, the checksum made good."""
    if len(data) < 32:
        return flip_behind_head(data, rng)
    out = bytearray(data)
    struct.pack_into("<Q", out, rng.choice((12, 20)), rng.choice(NUMBERS))
    struct.pack_into("<I", out, 8, zlib.crc32(bytes(out[12:32])))
    return bytes(out)


SEVEN_ZIP = (*[seven_zip_header] * 6, seven_zip_start, flip_behind_head, cut)

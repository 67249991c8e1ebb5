"""Changes to pictures and videos that leave their outer form readable."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np

from fuzzing.mutators_archives import BYTES, NUMBERS, flip_behind_head, number_behind_head

# ---------------------------------------------------------------- JPEG


def jpeg_segment(data: bytes, rng: random.Random) -> bytes:
    """Returns a JPEG with a value in one of its header segments changed."""
    segments = _segments(data)
    if not segments:
        return flip_behind_head(data, rng)
    at, size = rng.choice(segments)
    out = bytearray(data)
    if rng.random() < 0.2:
        struct.pack_into(">H", out, at + 2, rng.choice((0, 1, 2, size + 1, size - 1, 65535)))
    elif size > 2:
        out[at + 4 + rng.randrange(size - 2)] = rng.choice((0, 1, 4, 17, 127, 255))
    return bytes(out)


def jpeg_size(data: bytes, rng: random.Random) -> bytes:
    """Returns a JPEG that claims another size, number of bits or of components."""
    out = bytearray(data)
    for at, _ in _segments(data):
        if data[at + 1] in (0xC0, 0xC1, 0xC2):
            choice = rng.random()
            if choice < 0.7:
                for place in rng.sample((at + 5, at + 7), rng.choice((1, 2))):
                    struct.pack_into(">H", out, place, rng.choice((0, 1, 7, 999, 32768, 65500)))
            elif choice < 0.85:
                out[at + 11 + 3 * rng.randrange(max(data[at + 9], 1))] = rng.randrange(256)
            else:
                out[rng.choice((at + 4, at + 9))] = rng.choice((0, 1, 2, 4, 5, 12, 255))
    return bytes(out)


def jpeg_order(data: bytes, rng: random.Random) -> bytes:
    """Returns a JPEG with a header segment removed, doubled or moved."""
    segments = _segments(data)
    if len(segments) < 2:
        return flip_behind_head(data, rng)
    pieces = [data[at : at + 2 + size] for at, size in segments]
    tail, k = data[segments[-1][0] + 2 + segments[-1][1] :], rng.randrange(len(pieces))
    how = rng.randrange(3)
    if how == 0:
        del pieces[k]
    elif how == 1:
        pieces.insert(rng.randrange(len(pieces)), pieces[k])
    else:
        rng.shuffle(pieces)
    return data[:2] + b"".join(pieces) + tail


def jpeg_scan(data: bytes, rng: random.Random) -> bytes:
    """Returns a JPEG with bytes of its pixels changed."""
    segments = _segments(data)
    return flip_behind_head(data, rng, sum(segments[-1]) + 2 if segments else 2)


def _segments(data: bytes) -> list[tuple[int, int]]:
    """Returns place and announced length of the segments up to the first scan's header."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 2 + size > len(data) or size < 2:
            break
        found.append((at, size))
        if data[at + 1] == 0xDA:
            break
        at += 2 + size
    return found


JPEG = (jpeg_segment, jpeg_segment, jpeg_size, jpeg_order, jpeg_scan, jpeg_scan, *BYTES)

# ---------------------------------------------------------------- PNG


def png_chunk(data: bytes, rng: random.Random) -> bytes:
    """Returns a PNG with a value in a chunk changed and the checksum made good."""
    chunks = _chunks(data)
    if not chunks:
        return flip_behind_head(data, rng)
    k = 0 if rng.random() < 0.5 else rng.randrange(len(chunks))
    name, body = chunks[k]
    if name == b"IHDR" and rng.random() < 0.7:
        body = bytearray(body)
        if rng.random() < 0.6:
            value = rng.choice((0, 1, 5, 999, 30000, 999_999, 2**31 - 1))
            struct.pack_into(">I", body, rng.choice((0, 4)), value)
        else:
            body[8 + rng.randrange(5)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    elif name == b"IDAT" and rng.random() < 0.7:
        try:
            body = zlib.compress(rng.choice(BYTES)(zlib.decompress(body), rng), 1)
        except zlib.error:
            body = flip_behind_head(body, rng)
    elif body:
        body = number_behind_head(bytes(body), rng, 0)
    chunks[k] = name, bytes(body)
    return _png(chunks)


def png_order(data: bytes, rng: random.Random) -> bytes:
    """Returns a PNG with a chunk removed, doubled, moved or renamed."""
    chunks = _chunks(data)
    if not chunks:
        return flip_behind_head(data, rng)
    k, how = rng.randrange(len(chunks)), rng.randrange(4)
    if how == 0:
        del chunks[k]
    elif how == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[k])
    elif how == 2:
        rng.shuffle(chunks)
    else:
        names = (b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"zTXt")
        chunks.insert(k, (rng.choice(names), rng.choice((b"", b"\0" * 30, chunks[k][1]))))
    return _png(chunks)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        checksum = zlib.crc32(name + body)
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
    return out


PNG = (png_chunk, png_chunk, png_chunk, png_order, *BYTES)


def palette_png(labels: np.ndarray) -> bytes:
    """Returns a PNG of labels uint8 ``[h, w]`` that are shown in colours."""
    height, width = labels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in labels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = bytes(i % 256 for i in range(768))
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return _png(chunks)


# ---------------------------------------------------------------- videos

_FOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex")


def mp4_box(data: bytes, rng: random.Random) -> bytes:
    """Returns an mp4 with a number in the tables of its header changed, or a box's length."""
    boxes = [b for b in _boxes(data, 0, len(data)) if b[2] not in (b"mdat", b"ftyp")]
    if not boxes:
        return number_behind_head(data, rng)
    at, size, _ = rng.choice(boxes)
    out = bytearray(data)
    if rng.random() < 0.15:
        struct.pack_into(
            ">I", out, at, rng.choice((0, 1, 7, 8, size + 1, size - 1, 2**31, 2**32 - 1))
        )
    elif rng.random() < 0.1:
        out[at + 4 : at + 8] = rng.choice((b"free", b"moov", b"stco", b"stsz", b"elst", b"avcC"))
    elif size > 12:
        place = at + 8 + 4 * rng.randrange((size - 8) // 4)
        old = int.from_bytes(out[place : place + 4], "big")
        value = rng.choice((*NUMBERS, old + 1, old - 1, old * 2)) % 2**32
        struct.pack_into(">I", out, place, value)
    return bytes(out)


def mp4_pictures(data: bytes, rng: random.Random) -> bytes:
    """Returns an mp4 with bytes of its compressed pictures changed."""
    for at, size, name in _boxes(data, 0, len(data)):
        if name == b"mdat" and size > 16:
            inside = rng.choice((flip_behind_head, number_behind_head))(
                data[at + 8 : at + size], rng, rng.choice((0, 4))
            )
            return data[: at + 8] + inside[: size - 8] + data[at + size :]
    return flip_behind_head(data, rng)


def _boxes(data: bytes, at: int, end: int) -> list[tuple[int, int, bytes]]:
    found = []
    while at + 8 <= end:
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size < 8 or at + size > end:
            break
        found.append((at, size, name))
        if name in _FOLDERS:
            found += _boxes(data, at + 8, at + size)
        at += size
    return found


VIDEO = (mp4_box, mp4_box, mp4_box, mp4_pictures, mp4_pictures, *BYTES)

"""Mutators of MAT files: of version 5 tag by tag, of version 7.3 by the means of HDF5."""

from __future__ import annotations

import io
import random
import struct
import zlib

import h5py
import numpy as np

from fuzzing.mutators import (
    GENERIC,
    INTEGERS,
    TEXTS,
    cut_off,
    flip_bits,
    nudge_integer,
    set_float,
    set_integer,
)

_TYPES = (*range(20), 255, 2**31)
_CLASSES = (*range(20), 255)


def change_v5(data: bytes, rng: random.Random) -> bytes:
    """Another type, length, class, dimension or value in one variable, compressed as before."""
    elements = _elements(data)
    if not elements:
        return set_integer(data, rng)
    start, end, kind = rng.choice(elements)
    body = data[start + 8 : end]
    if kind != 15:
        changed = _change_matrix(data[start:end], rng)
        return data[:start] + changed + data[end:]
    try:
        inner = zlib.decompress(body)
    except zlib.error:
        return set_integer(data, rng)
    packed = zlib.compress(_change_matrix(inner, rng))
    return data[:start] + struct.pack("<II", 15, len(packed)) + packed + data[end:]


def _change_matrix(matrix: bytes, rng: random.Random) -> bytes:
    tags = _tags(matrix)
    at, kind = rng.choice(tags), rng.randrange(9)
    if kind == 0:
        return _put(matrix, at, rng.choice(_TYPES))
    if kind == 1:
        return _put(matrix, at + 4, rng.choice(INTEGERS))
    if kind == 2:  # a small element: its length is in the upper half of the type
        return _put(matrix, at, rng.choice(_TYPES) % 256 | rng.choice((1, 4, 5, 255)) << 16)
    if kind == 3:
        return _put(matrix, at + 8, rng.choice(INTEGERS))
    if kind == 4 and len(matrix) > 20:  # array flags: class, and whether complex or logical
        flags = rng.choice(_CLASSES) | rng.choice((0, 2, 8, 4, 255)) << 8
        return _put(matrix, 16, flags)
    if kind == 5 and len(matrix) > 48:  # dimensions
        return _put(matrix, 32 + 4 * rng.randrange(3), rng.choice(INTEGERS))
    if kind == 6:
        return matrix[:at] + matrix[at + rng.choice((4, 8, 16)) :]
    if kind == 7:
        other = rng.choice(tags)
        return matrix[:at] + matrix[other : other + 64] + matrix[at:]
    return rng.choice((set_float, flip_bits, nudge_integer))(matrix, rng)


def _put(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + struct.pack("<I", number % 2**32) + data[at + 4 :]


def _elements(data: bytes) -> list[tuple[int, int, int]]:
    """Start, end and type of each variable."""
    found, at = [], 128
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        end = at + 8 + size + (0 if kind == 15 else -size % 8)
        if end > len(data):
            break
        found.append((at, end, kind))
        at = end
    return found


def _tags(matrix: bytes) -> list[int]:
    """Places of tags: what looks like one."""
    found = [0]
    for at in range(8, len(matrix) - 8, 8):
        kind, size = struct.unpack_from("<II", matrix, at)
        if 1 <= kind % 65536 <= 18 and (size <= len(matrix) or kind > 65535):
            found.append(at)
    return found


def repeat_v5(data: bytes, rng: random.Random) -> bytes:
    """A variable that is missing, or there twice."""
    elements = _elements(data)
    if not elements:
        return flip_bits(data, rng)
    start, end, _ = rng.choice(elements)
    return data[:start] + data[start:end] * rng.choice((0, 2)) + data[end:]


MAT5 = (change_v5,) * 8 + (repeat_v5, flip_bits, cut_off, set_integer)


# ---------------------------------------------------------------- HDF5


def change_v73(data: bytes, rng: random.Random) -> bytes:
    """HDF5 that is whole but says other things: classes, links, references, shapes, types."""
    file = io.BytesIO(data)
    try:
        with h5py.File(file, "r+") as f:
            for _ in range(rng.choice((1, 1, 2))):
                _change_hdf5(f, rng)
    except Exception:  # it was damaged before, or does not go
        return rng.choice(GENERIC)(data, rng)
    return file.getvalue()


def _change_hdf5(f: h5py.File, rng: random.Random) -> None:
    names: list[str] = []
    f.visit(names.append)
    name = rng.choice(names)
    node, kind = f[name], rng.randrange(12)
    others = [n for n in names if isinstance(f[n], h5py.Group)]
    if kind == 0:
        classes = (b"char", b"cell", b"struct", b"double", b"logical", b"x", "char", 7)
        node.attrs["MATLAB_class"] = rng.choice(classes)
    elif kind == 1:
        node.attrs["MATLAB_empty"] = rng.choice((0, 1, 2**63 - 1, -1, b"x", [1, 2]))
    elif kind == 2:
        del f[name]
    elif kind == 3:
        f.move(name, rng.choice(("other", f"{name}2", "#refs#/zz")))
    elif kind == 4:  # a loop, or a way out of the file
        link = rng.choice(
            (
                *(h5py.SoftLink(f"/{name}"), h5py.SoftLink("/none"), f["/"], node),
                *(h5py.ExternalLink("/etc/passwd", "/"), h5py.ExternalLink("short.mat", "/")),
            )
        )
        f[f"{rng.choice(others)}/loop" if others else "loop"] = link
    elif kind == 5:
        _replace(f, name, _other_dataset(rng))
    elif kind == 6:  # much that was never written
        del f[name]
        shape = rng.choice(((2**40,), (2**20, 2**15), (2**31, 2**31), (0, 2**40), (30000, 30000)))
        f.create_dataset(name, shape, "f8", chunks=True)
    elif kind == 7 and isinstance(node, h5py.Dataset) and node.dtype.kind == "O":
        value = node[()]
        target = rng.choice((node, f["/"], f[rng.choice(names)]))
        value.flat[rng.randrange(value.size)] = rng.choice((target.ref, h5py.Reference()))
        node[()] = value
    elif kind == 8:  # references to references to references
        refs = f.require_group("#refs#")
        before = node.ref
        for i in range(rng.choice((3, 30))):
            cells = refs.create_dataset(f"deep{rng.random()}{i}", (8,), h5py.ref_dtype)
            cells[()] = [before] * 8
            before = cells.ref
        _replace(f, name, np.array([before] * 2, dtype=h5py.ref_dtype))
    elif kind == 9 and isinstance(node, h5py.Dataset) and node.size and node.dtype.kind == "f":
        value = node[()]
        value.flat[rng.randrange(value.size)] = rng.choice((np.nan, np.inf, 1e308, -1, 2.0**63))
        node[()] = value
    elif kind == 10 and isinstance(node, h5py.Dataset) and node.dtype.kind in "fui":
        value = node[()]
        shapes = (value.T, value[..., None], np.ravel(value), value[:0], value.astype("f4"))
        attributes = dict(node.attrs)
        _replace(f, name, rng.choice(shapes))
        f[name].attrs.update(attributes)
    else:
        del f[name]
        outside = [("/etc/passwd", 0, 100)]
        f.create_dataset(name, (25,), "<f4", external=rng.choice((outside, [("x", 0, 100)])))


def _replace(f: h5py.File, name: str, value) -> None:
    del f[name]
    f[name] = value


def _other_dataset(rng: random.Random):
    pair = np.zeros(3, [("a", "f8"), ("b", "i4")])
    texts = np.array(["a", "b"], dtype=h5py.string_dtype())
    lists = np.empty(2, dtype=h5py.vlen_dtype(np.int32))
    lists[:] = [np.arange(3), np.arange(2)]
    return rng.choice(
        (
            *(pair, texts, lists, np.zeros(3, "f2"), np.zeros(2, "c16"), np.bool_(True), b"\xff"),
            *(
                rng.choice(TEXTS).replace("\0", "") or "x",
                np.array(b"abc", "S3"),
                h5py.Empty("f8"),
            ),
            *(np.array([2**31, 65, 0x110000], "u8"), np.array([0xD800], "u2"), np.zeros((0, 3))),
            *(np.array([], dtype=h5py.ref_dtype), np.zeros(3, "V5"), np.float64(np.nan)),
        )
    )


MAT73 = (change_v73,) * 8 + (flip_bits, set_integer, nudge_integer, cut_off)

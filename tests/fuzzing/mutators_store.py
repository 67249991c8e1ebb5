"""Changes to the files of a packed dataset that leave their outer form readable."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile

import crc32c

from fuzzing.mutators import FLOATS, INTEGERS, TEXTS
from fuzzing.mutators_archives import BYTES, NAMES, flip_behind_head, number_behind_head
from fuzzing.mutators_numpy import change_npy_header
from fuzzing.mutators_text import JSON


def index_value(data: bytes, rng: random.Random) -> bytes:
    """Returns an SQLite file with a value, a row or a table changed by SQL."""
    if data[:6] != b"SQLite":
        return within_shard(data, rng)
    handle, path = tempfile.mkstemp()
    os.close(handle)
    try:
        with open(path, "wb") as f:
            f.write(data)
        db = sqlite3.connect(path)
        try:
            _change_table(db, rng)
            db.commit()
        except (sqlite3.Error, UnicodeError, OverflowError):
            pass
        finally:
            db.close()
        with open(path, "rb") as f:
            return f.read()
    finally:
        os.unlink(path)


def _change_table(db: sqlite3.Connection, rng: random.Random) -> None:
    kinds = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (trigger,) in db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        db.execute(f'DROP TRIGGER "{trigger}"')
    table = rng.choice(sorted(name for (name,) in kinds if not name.startswith("sqlite")))
    table = "files" if rng.random() < 0.6 and ("files",) in kinds else table
    columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')]
    column = rng.choice(columns)
    rowids = [row[0] for row in db.execute(f'SELECT rowid FROM "{table}"')]
    if not rowids:
        return
    row, how = rng.choice(rowids), rng.random()
    if how < 0.7:
        if column == "path":
            value = rng.choice((*NAMES, "examples/flags.npy", "metadata.msgpack", "manifest.json"))
        else:
            value = rng.choice(
                (*(i for i in INTEGERS if abs(i) < 2**63), *FLOATS, *TEXTS, None, b"x")
            )
        db.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (value, row))
    elif how < 0.8:
        db.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row,))
    elif how < 0.9:
        other = rng.choice(rowids)
        ask = f'(SELECT "{column}" FROM "{table}" WHERE rowid = ?)'
        db.execute(f'UPDATE "{table}" SET "{column}" = {ask} WHERE rowid = ?', (other, row))
    elif how < 0.95:
        db.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "another"')
    else:
        db.execute(f'DROP TABLE "{table}"')


def within_shard(data: bytes, rng: random.Random) -> bytes:
    """Returns a shard with the head or a number of one of its arrays, or its metadata, changed."""
    at, places = data.find(b"\x93NUMPY"), []
    while at >= 0:
        places.append(at)
        at = data.find(b"\x93NUMPY", at + 1)
    if not places or rng.random() < 0.2:
        return rng.choice(BYTES[:2])(data, rng)
    start = rng.choice(places)
    end = min((p for p in places if p > start), default=len(data))
    array = data[start:end]
    if rng.random() < 0.4:  # of the same length, or everything behind it would be another fault
        changed = change_npy_header(array, rng)
        return data[:start] + changed[: len(array)].ljust(len(array), b"\0") + data[end:]
    size = 10 + int.from_bytes(array[8:10], "little")
    return data[:start] + rng.choice(BYTES[:2])(array, rng, size) + data[end:]


def digests_made_good(data: bytes, rng: random.Random) -> bytes:
    """Returns another list of digests where this is one, else a changed shard."""
    return rng.choice(JSON if data[:1] in b"{0123456789abcdef" else (index_value, within_shard))(
        data, rng
    )


ARCHIVE = (*[index_value] * 3, *[within_shard] * 3, digests_made_good, *BYTES)

# ---------------------------------------------------------------- parts


def part_header(data: bytes, rng: random.Random) -> bytes:
    """Returns a part with its header's JSON changed and all its checksums made good."""
    line, _, rest = data.partition(b"\n")
    words = line.split()
    if len(words) != 5 or words[:2] != [b"posepile", b"part"]:
        return flip_behind_head(data, rng)
    n = int(words[3])
    return _part(words[2], rng.choice(JSON)(rest[:n], rng), rest[n:])


def part_values(data: bytes, rng: random.Random) -> bytes:
    """Returns a part with its arrays changed, which its checksum tells."""
    n = data.find(b"\n", 40) + 1
    return data[:n] + rng.choice(BYTES[:2])(data[n:], rng, 0)


def _part(version: bytes, text: bytes, rest: bytes) -> bytes:
    import hashlib

    text = text if text.endswith(b"\n") else text + b"\n"
    head = b"posepile part %s %010d %08x\n" % (version, len(text), crc32c.crc32c(text)) + text
    body = head + rest[:-32]
    return body + hashlib.sha256(body).digest()


PART = (part_header, part_header, part_header, part_values, part_values, *BYTES)

# ---------------------------------------------------------------- networks


def onnx_field(data: bytes, rng: random.Random) -> bytes:
    """Returns an ONNX file with an attribute, shape, constant, name or type of a node changed."""
    import onnx

    try:
        model = onnx.load_from_string(data)
    except Exception:
        return flip_behind_head(data, rng)
    graph, how = model.graph, rng.randrange(8)
    number = rng.choice([i for i in INTEGERS if -(2**63) <= i < 2**63])
    with_values = [*graph.input, *graph.output]
    if how == 0 and graph.node:
        node = rng.choice(graph.node)
        node.op_type = rng.choice(("Resize", "Reshape", "Loop", "Conv", "Gather", "Nothing", "If"))
    elif how == 1 and graph.node:
        for attribute in rng.choice(graph.node).attribute:
            attribute.i = number
            attribute.ints[:] = [number] * len(attribute.ints)
    elif how in (2, 3) and graph.initializer:
        constant = rng.choice(graph.initializer)
        if how == 2:
            constant.raw_data = number_behind_head(constant.raw_data or b"\0" * 8, rng, 0)
        elif constant.dims:
            constant.dims[rng.randrange(len(constant.dims))] = number
        else:
            constant.data_type = rng.randrange(24)
    elif how in (4, 5):
        shape = rng.choice(with_values).type.tensor_type.shape
        if shape.dim:
            dim = rng.choice(shape.dim)
            dim.dim_value = number
    elif how == 6 and graph.node:
        node = rng.choice(graph.node)
        if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(
                ("", "nowhere", node.output[0])
            )
    else:
        rng.choice(with_values).type.tensor_type.elem_type = rng.randrange(20)
    return model.SerializeToString()


ONNX = (*[onnx_field] * 6, number_behind_head, flip_behind_head, *BYTES)

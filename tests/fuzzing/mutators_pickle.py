"""Mutators of pickles, opcode by opcode, as a forger would change them."""

from __future__ import annotations

import pickle
import pickletools
import random

from fuzzing.mutators import INTEGERS, TEXTS, cut_off, flip_bits, set_integer
from fuzzing.mutators_numpy import in_zip

_OPCODES = b"0123()[]{}.abdehjloqrstuRbB\x81\x82\x85\x86\x87\x88\x8f\x90\x91\x93\x94QPNKIJMGVX"
_NAMES = (
    *(("os", "system"), ("builtins", "eval"), ("builtins", "list"), ("builtins", "bytes")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")),
    *(("numpy.core.multiarray", "scalar"), ("numpy.core.numeric", "_frombuffer")),
    *(("numpy._core.multiarray", "_reconstruct"), ("collections", "OrderedDict")),
    *(("collections", "defaultdict"), ("builtins", "set"), ("builtins", "slice")),
    *(("scipy.sparse.csc", "csc_matrix"), ("pandas.core.frame", "DataFrame")),
    *(("pandas.core.internals.managers", "BlockManager"), ("chumpy.ch", "Ch")),
    *(("pandas.core.indexes.base", "_new_Index"), ("torch._utils", "_rebuild_tensor_v2")),
    *(("torch", "FloatStorage"), ("torch.storage", "_load_from_bytes"), ("a", "b"), ("", "")),
)
_MOST_BYTES = 1 << 24  # of an opcode that is repeated; arrays of models would fill the memory
_DTYPES = ("f8", "f4", "i8", "i4", "u1", "b1", "O", "O8", "S0", "S9", "U1", "U0", "V8", "M8", "x")


def _spans(data: bytes) -> list[tuple[str, object, bytes]]:
    """Name, argument and bytes of each opcode; without frames, whose lengths would be wrong."""
    found = []
    try:
        found = [(op.name, arg, at) for op, arg, at in pickletools.genops(data)]
    except Exception:  # it was damaged before
        return []
    ends = [at for *_, at in found[1:]] + [found[-1][2] + 1]
    rest = data[ends[-1] :]  # what is behind the pickle
    spans = [(name, arg, data[at:end]) for (name, arg, at), end in zip(found, ends, strict=True)]
    return [span for span in spans if span[0] != "FRAME"] + [("REST", None, rest)]


def change_opcodes(data: bytes, rng: random.Random) -> bytes:
    """Opcodes that are missing, there twice, exchanged, others, or of other arguments."""
    spans = _spans(data)
    if len(spans) < 4:
        return set_integer(data, rng)
    raw = [part for *_, part in spans]
    places = range(1, len(raw) - 2)
    constants = [i for i in places if spans[i][1] is not None]
    for _ in range(rng.choice((1, 1, 2))):
        i, j, kind = rng.choice(places), rng.choice(places), rng.randrange(9)
        if kind < 4 and constants:
            i = rng.choice(constants)
            raw[i] = _other(*spans[i], rng)
        elif kind == 4:
            raw[i] = b""
        elif kind == 5:
            raw[i] = raw[i] + raw[j]
        elif kind == 6:
            raw[i], raw[j] = raw[j], raw[i]
        elif kind == 7:
            raw[i] += bytes(rng.choices(_OPCODES, k=rng.randrange(1, 4)))
        else:
            times = rng.choice((2, 1000))
            raw[i] *= times if times * len(raw[i]) < _MOST_BYTES else 2
    return b"".join(raw)


def _other(name: str, argument: object, old: bytes, rng: random.Random) -> bytes:
    """The opcode with another argument, or another one that gives a value."""
    if name in ("GLOBAL", "INST"):
        module, attribute = rng.choice(_NAMES)
        return f"{old[:1].decode('latin1')}{module}\n{attribute}\n".encode()
    if "GET" in name or "PUT" in name:
        return old[:1] + bytes([rng.randrange(256)]) + old[2:]
    new = _value(argument, rng)
    return pickletools.optimize(pickle.dumps(new, 2))[2:-1]


def _value(argument: object, rng: random.Random) -> object:
    if isinstance(argument, str) and rng.random() < 0.7:
        return rng.choice((*TEXTS, *_DTYPES, *(part for n in _NAMES for part in n)))
    if isinstance(argument, bytes) and rng.random() < 0.7:
        return rng.choice((b"", argument[:-1], argument + b"\0", argument[1:], argument * 3))
    if isinstance(argument, int) and rng.random() < 0.3:
        return argument + rng.choice((1, -1))
    return rng.choice((*INTEGERS, None, True, 1.5, float("nan"), "", b"", (), [], {}))


PICKLE = (change_opcodes,) * 8 + (flip_bits, set_integer, cut_off)


def _behind_header(data: bytes, rng: random.Random) -> bytes:
    """The pickle in an npy file of objects."""
    start = 10 + int.from_bytes(data[8:10], "little")
    return data[:start] + change_opcodes(data[start:], rng)


OBJECT_NPY = (_behind_header,) * 6


def _by_content(data: bytes, rng: random.Random) -> bytes:
    return change_opcodes(data, rng) if data[:1] == b"\x80" else flip_bits(data, rng)


TORCH_ZIP = in_zip(_by_content, _by_content, cut_off)


def change_torch(data: bytes, rng: random.Random) -> bytes:
    """A file of torch.save of either form."""
    mutators = TORCH_ZIP if data.startswith(b"PK") else PICKLE
    return rng.choice(mutators)(data, rng)


TORCH = (change_torch,)

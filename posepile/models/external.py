"""Networks whose weights lie in files beside them (``net.onnx`` and ``net.onnx.data``)."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path

from posepile.acquire.places import measure
from posepile.errors import CorruptInput

_DEEPEST = 100  # messages within messages
# Of the messages of onnx.proto that lead to a tensor: what each of their fields is.
_FIELDS = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 10: "tensor", 6: "graph", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def files_beside(path: Path) -> list[Path]:
    """Returns the files that hold weights of an ONNX file, whether or not they exist.

    Of a file that is no network, as many as can be read.
    """
    with open(path, "rb") as f:
        try:
            content = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # empty
            return []
    with content:
        if content.find(b"location") < 0:
            return []
        names: dict[str, None] = {}
        try:
            for name in _locations(content, 0, len(content), "model"):
                names[name] = None
        except (IndexError, UnicodeDecodeError):
            pass  # ONNX Runtime will say that it is no network
    return [Path(path).parent / name for name in names if name and "\0" not in name]


def network_sha256(path: Path) -> str:
    """Returns the hex sha256 of a network: of its file, or of those of all its files.

    Raises:
        CorruptInput: A file beside it is missing.
    """
    digest = measure(path)["sha256"]
    beside = files_beside(path)
    if not beside:
        return digest
    for other in beside:
        if not other.is_file():
            raise CorruptInput(
                path, f"its weights {other.name} are missing", hint="put them beside it"
            )
    parts = [digest, *(measure(other)["sha256"] for other in beside)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _locations(buffer, start: int, stop: int, kind: str, depth: int = 0) -> Iterator[str]:
    """The places of weights in a message of protobuf."""
    if depth > _DEEPEST:
        return
    for field, low, high in _messages(buffer, start, stop):
        inner = _FIELDS[kind].get(field)
        if inner == "entry":
            entry = {n: buffer[a:b] for n, a, b in _messages(buffer, low, high)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode()
        elif inner is not None:
            yield from _locations(buffer, low, high, inner, depth + 1)


def _messages(buffer, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of the fields that have a length."""
    while at < stop:
        tag, at = _varint(buffer, at)
        wire = tag & 7
        if wire == 0:
            _, at = _varint(buffer, at)
        elif wire == 1:
            at += 8
        elif wire == 5:
            at += 4
        elif wire == 2:
            n, at = _varint(buffer, at)
            if at + n > stop:
                raise IndexError
            yield tag >> 3, at, at + n
            at += n
        else:
            raise IndexError


def _varint(buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError

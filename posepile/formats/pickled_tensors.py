"""Tensors of PyTorch made into NumPy arrays without PyTorch.

A tensor is a view of a storage. The storage's bytes are in a small file within the pickle (a
tensor pickled like any object), behind the pickle (``torch.save`` before 1.6) or in members
of a zip file beside the pickle (``torch.save`` since).
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.formats.pickle_machine import run
from posepile.formats.pickle_nodes import PERSISTENT, Call, Name
from posepile.formats.pickled_arrays import array_of, raw_bytes
from posepile.formats.pickled_values import Maker, check_plain

MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
# Element type by the name of the storage; bfloat16 is the upper half of a float32.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
}
_FUNCTIONS = {
    "torch._utils": ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"),
    "torch.tensor": ("_rebuild_tensor",),
    "torch._tensor": ("_rebuild_from_type_v2",),
    "torch.storage": ("_load_from_bytes",),
    "torch": ("Size", "Tensor", "device"),
}
# Reads the storage that a reference names: key, element type, number of elements.
ReadStorage = Callable[[str, np.dtype, int], bytes]


class Storage:
    """The elements of a storage, one dimension."""

    __slots__ = ("elements",)

    def __init__(self, elements: np.ndarray):
        self.elements = elements


def tensor_key(module: str, name: str) -> str | None:
    """Returns the key of a name of PyTorch."""
    if name in _FUNCTIONS.get(module, ()) or (module == "torch" and name in _STORAGES):
        return f"torch.{name}"
    return None


def _storage(maker: Maker, type_name: Any, n: Any, read: Callable[[np.dtype, int], bytes]):
    code = _STORAGES.get(type_name.key.removeprefix("torch.")) if type(type_name) is Name else None
    if code is None or type(n) is not int or n < 0:
        raise pickle.UnpicklingError("a tensor of an unknown type")
    dtype = np.dtype(code)
    elements = array_of(maker, (n,), dtype, read(dtype, n))
    if type_name.key == "torch.BFloat16Storage":
        maker.charge(4 * n)
        elements = (elements.astype(np.uint32) << 16).view(np.float32)
    return Storage(elements)


def reference_maker(read: ReadStorage) -> Callable[[Maker, Call], Storage]:
    """Returns the maker of references to storages beside the pickle."""
    made: dict[str, tuple[str, int, Storage]] = {}

    def make(maker: Maker, call: Call) -> Storage:
        (pid,) = call.args
        check_plain(call)
        if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage":
            raise pickle.UnpicklingError("an unknown reference to data outside of the pickle")
        _, kind, key, _location, n, *view = pid
        if type(key) is not str or view not in ([], [None]):
            raise pickle.UnpicklingError("an unknown reference to data outside of the pickle")
        if key not in made:
            storage = _storage(maker, kind, n, lambda dtype, n: read(key, dtype, n))
            made[key] = kind.key, n, storage
        if made[key][:2] != (getattr(kind, "key", None), n):
            raise pickle.UnpicklingError("two references to one storage that differ")
        return made[key][2]

    return make


def is_legacy(value: Any) -> bool:
    """Whether the first pickle of a file says that ``torch.save`` wrote it, before 1.6."""
    return type(value) is int and value == MAGIC


def read_legacy(
    data: bytes,
    start: int,
    canonical: Callable[[str, str], str | None],
    maker: Maker,
) -> Any:
    """Returns what ``torch.save`` before 1.6 wrote.

    Args:
        data: The file.
        start: Behind its first pickle.
        canonical: See :func:`posepile.formats.pickle_machine.run`.
        maker: Makes the values.
    """
    pos = start
    nodes = []
    for _ in range(4):
        node, pos = run(data, pos, canonical, maker.budget, persistent=True)
        nodes.append(node)
    version, machine, content, keys = nodes
    if version != _VERSION or _little_endian(machine) is not True:
        raise pickle.UnpicklingError("a PyTorch file of another version or byte order")
    if type(keys) is not list or not all(type(k) is str for k in keys):
        raise pickle.UnpicklingError("a PyTorch file without its list of storages")

    # Bytes that are left follow one another in the order of the keys; how long each is, the
    # references say.
    sizes = _storage_sizes(content)
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in sizes or key in places:
            raise pickle.UnpicklingError("a PyTorch file with a storage that is not used")
        if pos + 8 > len(data):
            raise EOFError("a PyTorch storage is cut off")
        (n,) = struct.unpack("<q", data[pos : pos + 8])
        size = n * sizes[key]
        if n < 0 or pos + 8 + size > len(data):
            raise EOFError("a PyTorch storage is cut off")
        places[key] = pos + 8, n
        pos += 8 + size

    def read(key: str, dtype: np.dtype, n: int) -> bytes:
        if key not in places or places[key][1] != n:
            raise pickle.UnpicklingError(f"a storage of {n} elements, found others")
        begin = places[key][0]
        return data[begin : begin + n * dtype.itemsize]

    return maker.within({PERSISTENT: reference_maker(read)}).make(content)


def _little_endian(machine: Any) -> Any:
    pairs = getattr(machine, "pairs", [])
    return next((v for k, v in pairs if type(k) is str and k == "little_endian"), True)


def _storage_sizes(content: Any) -> dict[str, int]:
    """Bytes per element of each storage that nodes refer to, by its key."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or type(node) in (str, bytes, int, float, bool, type(None)):
            continue
        seen.add(id(node))
        if type(node) is Call and node.key == PERSISTENT:
            pid = node.args[0]
            if type(pid) is tuple and len(pid) > 2 and type(pid[1]) is Name:
                code = _STORAGES.get(pid[1].key.removeprefix("torch."))
                if code and type(pid[2]) is str:
                    sizes[pid[2]] = np.dtype(code).itemsize
        elif type(node) is Call:
            waiting += [*node.args, node.state, *node.items]
            waiting += [x for pair in node.pairs for x in pair]
        elif type(node) in (list, tuple):
            waiting += node
        elif hasattr(node, "pairs"):
            waiting += [x for pair in node.pairs for x in pair]
        elif hasattr(node, "values"):
            waiting += node.values
    return sizes


def storage_reader(archive: zipfile.ZipFile, folder: str) -> ReadStorage:
    """Returns a function that reads a storage from a member of a zip file."""

    def read(key: str, dtype: np.dtype, n: int) -> bytes:
        info = archive.getinfo(f"{folder}/data/{key}")
        if info.file_size != n * dtype.itemsize:
            raise pickle.UnpicklingError(
                f"a storage of {n * dtype.itemsize} bytes whose member has {info.file_size}"
            )
        return archive.read(info)

    return read


# ---------------------------------------------------------------- makers


def storage_loader(
    canonical: Callable[[str, str], str | None],
) -> Callable[[Maker, Call], Storage]:
    """Returns the maker of storages whose file is a byte string in the pickle."""

    def make(maker: Maker, call: Call) -> Storage:
        check_plain(call)
        data = bytes(raw_bytes(maker, *call.args))
        first, pos = run(data, 0, canonical, maker.budget)
        if not is_legacy(first):
            raise pickle.UnpicklingError("a PyTorch storage of unknown format")
        found = read_legacy(data, pos, canonical, maker)
        if type(found) is not Storage:
            raise pickle.UnpicklingError("a PyTorch storage of unknown format")
        return found

    return make


def _rebuild_tensor(maker: Maker, call: Call) -> np.ndarray:
    check_plain(call)
    storage, offset, size, stride = [maker.make(a) for a in call.args[:4]]
    if type(storage) is not Storage:
        raise pickle.UnpicklingError("a tensor without a storage")
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor of unusual size")
    if len(size) > 32 or not all(
        type(n) is int and 0 <= n < 2**62 for n in (offset, *size, *stride)
    ):
        raise pickle.UnpicklingError("a tensor of unusual size")
    elements = storage.elements
    maker.charge(math.prod(size) * elements.itemsize)
    if 0 in size:
        return np.zeros(size, elements.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= elements.size:
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    strides = tuple(s * elements.itemsize for s in stride)
    view = np.lib.stride_tricks.as_strided(elements[offset:], size, strides, writeable=False)
    return view.copy()


def _rebuild_parameter(maker: Maker, call: Call) -> np.ndarray:
    check_plain(call)
    return _tensor(maker.make(call.args[0]))


def _rebuild_from_type(maker: Maker, call: Call) -> np.ndarray:
    check_plain(call)
    function, kind, args, _state = call.args
    if type(function) is not Name or getattr(kind, "key", None) != "torch.Tensor":
        raise pickle.UnpicklingError("a tensor of an unusual class")
    if not function.key.startswith("torch._rebuild_") or type(args) is not tuple:
        raise pickle.UnpicklingError("a tensor of an unusual class")
    return _tensor(maker.make(Call(function.key, args)))


def _tensor(value: Any) -> np.ndarray:
    if type(value) is not np.ndarray:
        raise pickle.UnpicklingError("a tensor made of something else")
    return value


def _size(maker: Maker, call: Call) -> tuple:
    check_plain(call)
    (size,) = [maker.make(a) for a in call.args]
    if type(size) not in (tuple, list):
        raise pickle.UnpicklingError("a size that is no tuple")
    return tuple(size)


def _device(maker: Maker, call: Call) -> str:
    check_plain(call)
    return ":".join(str(maker.make(a)) for a in call.args[:2])


def _not_alone(maker: Maker, call: Call) -> Any:
    raise pickle.UnpicklingError(f"a call of {call.key}")


TENSOR_MAKERS: dict[str, Callable[[Maker, Call], Any]] = {
    "torch._rebuild_tensor": _rebuild_tensor,
    "torch._rebuild_tensor_v2": _rebuild_tensor,
    "torch._rebuild_parameter": _rebuild_parameter,
    "torch._rebuild_from_type_v2": _rebuild_from_type,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.Tensor": _not_alone,
    **dict.fromkeys((f"torch.{name}" for name in _STORAGES), _not_alone),
}

"""Reading pickle files of others without running what is in them.

A pickle is a program: loading one from the internet in the ordinary way runs whatever its author
wished. The unpickler here knows a short list of harmless names (NumPy arrays, plain containers,
sparse matrices, PyTorch tensors, which become NumPy arrays without PyTorch) and refuses any
other name before anything is called.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from posepile.errors import CorruptInput

Path = str | os.PathLike

# What damaged or malicious pickles can raise on the way.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)


def load_pickle(
    path: Path, *, encoding: str = "latin1", extra: Mapping[str, Callable] | None = None
) -> Any:
    """Loads a pickle file.

    Args:
        path: The file.
        encoding: Of 8-bit strings in pickles written by Python 2; arrays in them need latin1.
        extra: Further permitted names, ``'module.name'`` to the callable that takes its place.

    Raises:
        CorruptInput: Truncated, or it asks for a name that is not permitted.
    """
    with open(path, "rb") as f:
        return unpickle(f, path, encoding, extra)


def loads(
    data: bytes,
    where: Path = "pickle",
    *,
    encoding: str = "latin1",
    extra: Mapping[str, Callable] | None = None,
) -> Any:
    """As :func:`load_pickle`, from memory; ``where`` names the data in messages."""
    return unpickle(io.BytesIO(data), where, encoding, extra)


def unpickle(f: BinaryIO, where: Path, encoding: str, extra: Mapping[str, Callable] | None) -> Any:
    """Reads one pickle from an open file; arguments as in :func:`load_pickle`."""
    try:
        return _Unpickler(f, where, encoding, extra).load()
    except CorruptInput:
        raise
    except UNPICKLING_ERRORS as e:
        reason = " ".join(str(e).split()) or type(e).__name__
        raise CorruptInput(
            where, f"damaged pickle ({reason:.200})", hint="fetch or extract it again"
        ) from None


class _Unpickler(pickle.Unpickler):
    """Looks names up in a table instead of importing them."""

    def __init__(
        self, f: BinaryIO, where: Path, encoding: str, extra: Mapping[str, Callable] | None
    ):
        super().__init__(f, encoding=encoding)
        self._where = where
        self._extra = extra or {}

    def find_class(self, module: str, name: str) -> Any:
        """The permitted stand-in for a name.

        Raises:
            CorruptInput: The name is not permitted.
        """
        full = f"{module}.{name}"
        if full in self._extra:
            return self._extra[full]
        found = _permitted(module, name)
        if found is None:
            raise CorruptInput(
                self._where,
                f"refused: the pickle wants to use {full}, which is not plain data",
                hint="nothing of it was run; do not load this file by other means unless you "
                "trust its author",
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Storages inside a serialised PyTorch tensor are referred to in this way."""
        raise pickle.UnpicklingError("reference to data outside of the file")


class _Function:
    """A function that a pickle may call but not alter (BUILD would set attributes of it)."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable):
        object.__setattr__(self, "_call", call)

    def __call__(self, *args):
        return self._call(*args)

    def __setattr__(self, name, value):
        raise pickle.UnpicklingError("attempt to alter a function")

    def __setstate__(self, state):
        raise pickle.UnpicklingError("attempt to alter a function")


def _permitted(module: str, name: str) -> Any:
    # Names moved: numpy.core became numpy._core, scipy.sparse.csc became scipy.sparse._csc, and
    # Python 2 called builtins __builtin__.
    if module in ("builtins", "__builtin__"):
        return _BUILTINS.get(name)
    if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        if name == "_reconstruct":
            return _Function(_reconstruct)
        return _Function(_scalar) if name == "scalar" else None
    if module in ("numpy.core.numeric", "numpy._core.numeric"):
        return _Function(_frombuffer) if name == "_frombuffer" else None
    if module == "numpy":
        return {"ndarray": np.ndarray, "dtype": np.dtype}.get(name) or _SCALARS.get(name)
    if module == "numpy.dtypes" and name.endswith("DType"):
        return getattr(np.dtypes, name, None) if hasattr(np, "dtypes") else None
    if module == "collections":
        import collections

        return {
            "OrderedDict": collections.OrderedDict,
            "defaultdict": collections.defaultdict,
        }.get(name)
    if module == "_codecs" and name == "encode":
        return _Function(_encode)
    if module in ("copyreg", "copy_reg") and name == "_reconstructor":
        return _Function(_new_instance)
    if module.startswith("scipy.sparse") and name in _SPARSE:
        return _sparse_class(name)
    if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
        return _Function(_rebuild_tensor)
    if module == "torch._utils" and name == "_rebuild_parameter":
        return _Function(_rebuild_parameter)
    if module == "torch.storage" and name == "_load_from_bytes":
        return _Function(_load_torch_storage)
    if module == "torch" and name in _TORCH_STORAGES:
        return _StorageType(name)
    if module == "torch" and name in _TORCH_DTYPES:
        return _StorageType(_TORCH_DTYPES[name])
    return None


_BUILTINS: dict[str, Any] = {
    t.__name__: t
    for t in (
        bool,
        bytearray,
        bytes,
        complex,
        dict,
        float,
        frozenset,
        int,
        list,
        object,
        range,
        set,
        slice,
        str,
        tuple,
    )
} | {"unicode": str, "long": int, "xrange": range}
_SCALARS = {
    t: getattr(np, t)
    for t in (
        "bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
        "float16 float32 float64 complex64 complex128 str_ bytes_ longlong ulonglong"
    ).split()
    if hasattr(np, t)
}


def _reconstruct(subtype, shape, code):
    if subtype is not np.ndarray:
        raise pickle.UnpicklingError(f"array of type {subtype!r}")
    return np.ndarray.__new__(np.ndarray, shape, code)


def _scalar(dtype, data=None):
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise pickle.UnpicklingError(f"scalar of type {dtype!r}")
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    return np.frombuffer(data, dtype, 1)[0]


def _frombuffer(buffer, dtype, shape, order):
    if dtype.hasobject:
        raise pickle.UnpicklingError("object array in a raw buffer")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order).copy(order=order)


def _encode(text, encoding="latin1"):
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise pickle.UnpicklingError(f"text encoding {encoding!r}")
    return text.encode(encoding)


def _new_instance(cls, base, state):
    if base is not object or state is not None or cls not in _sparse_classes():
        raise pickle.UnpicklingError(f"instance of {cls!r}")
    return cls.__new__(cls)


_SPARSE = tuple(f"{kind}_{what}" for kind in ("csc", "csr", "coo") for what in ("matrix", "array"))
_SPARSE_CLASSES: dict[str, type] = {}


def _sparse_classes() -> tuple[type, ...]:
    return tuple(_SPARSE_CLASSES.values())


def _sparse_class(name: str) -> type | None:
    import scipy.sparse

    real = getattr(scipy.sparse, name, None)
    if real is None:
        return None

    # The class that the pickle sees is made for it: had it the real one, it could alter it for
    # the whole process.
    class Standin:
        def __new__(cls, *args):
            if args:
                raise pickle.UnpicklingError(f"{name} with arguments")
            return object.__new__(real)

    _SPARSE_CLASSES[name] = Standin
    return Standin


_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "UntypedStorage": "u1",
}
_TORCH_DTYPES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class _StorageType:
    """Stands for ``torch.FloatStorage`` and the like: only a name."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        object.__setattr__(self, "name", name)

    def __setattr__(self, name, value):
        raise pickle.UnpicklingError("attempt to alter a type")

    def __setstate__(self, state):
        raise pickle.UnpicklingError("attempt to alter a type")


class _Storage:
    """Elements of a storage; filled in after the reference to it has been read."""

    __slots__ = ("elements", "n_elements", "type_name")

    def __init__(self, type_name: str, n_elements: int):
        self.type_name = type_name
        self.n_elements = n_elements
        self.elements: np.ndarray | None = None

    def __setstate__(self, state):
        raise pickle.UnpicklingError("attempt to alter a storage")


class _TorchUnpickler(_Unpickler):
    def __init__(self, f: BinaryIO, storages: dict[str, _Storage]):
        super().__init__(f, "tensor", "latin1", None)
        self._storages = storages

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key, _location, n_elements, *view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or any(view):
            raise pickle.UnpicklingError(f"reference of kind {kind!r}")
        return self._storages.setdefault(key, _Storage(storage_type.name, n_elements))


def _load_torch_storage(data: bytes) -> _Storage:
    f = io.BytesIO(data)
    storages: dict[str, _Storage] = {}
    if _TorchUnpickler(f, storages).load() != _TORCH_MAGIC:
        raise pickle.UnpicklingError("a PyTorch storage of unknown format")
    _version, machine = (_TorchUnpickler(f, storages).load() for _ in range(2))
    if not machine.get("little_endian", True):
        raise pickle.UnpicklingError("a PyTorch storage written on a big-endian machine")
    result = _TorchUnpickler(f, storages).load()
    keys = _TorchUnpickler(f, storages).load()
    if not isinstance(result, _Storage) or set(keys) != set(storages):
        raise pickle.UnpicklingError("a PyTorch storage of unknown format")
    for key in keys:
        storage = storages[key]
        (n,) = struct.unpack("<q", f.read(8))
        code = _TORCH_STORAGES[storage.type_name]
        dtype = np.dtype("<u2") if code == "bfloat16" else np.dtype(code)
        raw = f.read(max(n, 0) * dtype.itemsize)
        if n != storage.n_elements or len(raw) != n * dtype.itemsize:
            raise pickle.UnpicklingError(
                f"PyTorch storage of {storage.n_elements} elements, found {len(raw)} bytes"
            )
        elements = np.frombuffer(raw, dtype)
        if code == "bfloat16":  # the upper half of a float32
            elements = (elements.astype(np.uint32) << 16).view(np.float32)
        storage.elements = elements
    return result


def _rebuild_tensor(storage, offset, size, stride, *_gradient_and_hooks):
    if not isinstance(storage, _Storage) or storage.elements is None:
        raise pickle.UnpicklingError("tensor without a storage")
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise pickle.UnpicklingError(f"tensor of size {size}, stride {stride}, offset {offset}")
    if 0 in size:
        return np.zeros(size, storage.elements.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= storage.elements.size:
        raise pickle.UnpicklingError("tensor reaches beyond its storage")
    itemsize = storage.elements.itemsize
    view = np.lib.stride_tricks.as_strided(
        storage.elements[offset:], size, tuple(s * itemsize for s in stride), writeable=False
    )
    return view.copy()


def _rebuild_parameter(tensor, *_gradient_and_hooks):
    return tensor

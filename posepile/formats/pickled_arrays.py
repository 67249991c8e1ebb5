"""NumPy arrays, numbers and sparse matrices made of the nodes of a pickle.

NumPy's own ``__setstate__`` believes what it is given: the state of a forged dtype makes it take
numbers in the file for addresses of objects. Here a dtype is made of its code alone, out of a
short list, and an array of a shape, such a dtype and as many bytes as these two need.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.formats.budget import LARGEST, TooLarge
from posepile.formats.pickle_nodes import Call, Name, Pairs
from posepile.formats.pickled_values import Maker, check_plain

_CODE = re.compile(r"([<>=|]?)(b1|\?|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|[SUV]\d{1,9}|[Mm]8)")
_TIME_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
_OBJECT = np.dtype(object)
_MOST_FIELDS = 1000
_MOST_DIMENSIONS = 32
_SCALAR_NAMES = (
    "bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 "
    "complex64 complex128 longlong ulonglong"
).split()


# ---------------------------------------------------------------- dtypes


def dtype_of_code(code: Any, order: Any = None) -> np.dtype:
    """Returns the dtype of a code such as ``'f8'`` or ``'<U12'``; of objects it is never one.

    Args:
        code: As numpy writes it.
        order: One of ``<>=|``, what the state of a pickled dtype says of its byte order.

    Raises:
        pickle.UnpicklingError: The code is none of numbers, text, bytes or times.
    """
    match = _CODE.fullmatch(code) if type(code) is str else None
    if not match or order not in (None, "<", ">", "=", "|"):
        raise pickle.UnpicklingError("an unknown dtype")
    prefix = order or match[1]
    return np.dtype(("" if prefix == "|" else prefix) + match[2])


def _dtype(maker: Maker, call: Call) -> np.dtype:
    if not call.args or call.items or call.pairs:
        raise pickle.UnpicklingError("an unknown dtype")
    code = call.args[0]
    if type(code) is Name:
        return _named_dtype(code)
    state = call.state
    if state is not None and (type(state) is not tuple or not 8 <= len(state) <= 9):
        raise pickle.UnpicklingError("a dtype of unknown state")
    if code in ("O", "O8", "|O", "|O8", "O4"):
        if state is not None and (state[2] is not None or state[3] or state[4]):
            raise pickle.UnpicklingError("a dtype of objects with fields")
        return _OBJECT
    if state is None:
        return dtype_of_code(code)
    version, order, sub, names, fields, size = state[:6]
    if version not in (3, 4):
        raise pickle.UnpicklingError("a dtype of unknown state")
    if sub is not None:
        found = _subarray(maker, sub)
    elif names is not None or fields is not None:
        found = _record(maker, names, fields, size)
    else:
        found = dtype_of_code(code, order)
        if found.kind in "Mm":
            found = _time(maker, found, state[8] if len(state) == 9 else None)
        if type(size) is not int or size not in (-1, found.itemsize):
            raise pickle.UnpicklingError("a dtype whose size is not that of its code")
        return found
    if type(code) is not str or code.lstrip("|<>=") != f"V{found.itemsize}":
        raise pickle.UnpicklingError("a dtype whose size is not that of its code")
    return found


def _subarray(maker: Maker, sub: Any) -> np.dtype:
    base, shape = sub
    base, shape = maker.make(base), maker.make(shape)
    if type(shape) is int:
        shape = (shape,)
    return _checked_record(np.dtype((_plain_dtype(base), _shape(shape))))


def _record(maker: Maker, names: Any, fields: Any, size: Any) -> np.dtype:
    names, fields, size = maker.make(names), maker.make(fields), maker.make(size)
    if type(names) is not tuple or type(fields) is not dict or set(names) != set(fields):
        raise pickle.UnpicklingError("a dtype whose fields and names differ")
    if not all(type(n) is str for n in names) or len(names) > _MOST_FIELDS:
        raise pickle.UnpicklingError("a dtype with unusual names")
    formats, offsets = [], []
    for name in names:
        found, offset = fields[name][:2]
        found = _plain_dtype(found)
        if type(offset) is not int or not 0 <= offset <= size - found.itemsize:
            raise pickle.UnpicklingError("a field outside of its record")
        formats.append(found)
        offsets.append(offset)
    return _checked_record(
        np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})
    )


def _plain_dtype(dtype: Any) -> np.dtype:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise pickle.UnpicklingError("a record with fields that are no numbers or text")
    return dtype


def _checked_record(dtype: np.dtype) -> np.dtype:
    """The same dtype; its fields, those of fields included, are not many."""
    waiting, n = [dtype], 0
    while waiting:
        found = waiting.pop()
        n += 1
        if n > _MOST_FIELDS:
            raise pickle.UnpicklingError("a dtype of too many fields")
        if found.subdtype:
            waiting.append(found.subdtype[0])
        waiting.extend(field[0] for field in (found.fields or {}).values())
    return dtype


def _time(maker: Maker, dtype: np.dtype, metadata: Any) -> np.dtype:
    """Dates, which have their unit in the last part of the state."""
    _, (unit, count, denominator, events) = maker.make(metadata)
    unit = unit.decode("ascii") if isinstance(unit, bytes) else unit
    if unit == "generic":
        return dtype
    if unit not in _TIME_UNITS or type(count) is not int or not 0 < count < 2**31:
        raise pickle.UnpicklingError("dates of an unknown unit")
    if (denominator, events) != (1, 1):
        raise pickle.UnpicklingError("dates of an unknown unit")
    return np.dtype(f"{dtype.str}[{count}{unit}]")


def _named_dtype(name: Name) -> np.dtype:
    found = ARRAY_NAMES.get(name.key)
    if found is None:
        raise pickle.UnpicklingError("an unknown dtype")
    return found


ARRAY_NAMES: dict[str, Any] = {
    f"numpy.{n}": np.dtype(getattr(np, n)) for n in _SCALAR_NAMES if hasattr(np, n)
}


# ---------------------------------------------------------------- arrays


def array_of(
    maker: Maker, shape: Any, dtype: Any, data: bytes | memoryview, order: str = "C"
) -> np.ndarray:
    """Returns a new array of the given bytes.

    Args:
        maker: Bears the limit of memory.
        shape: Tuple of sizes.
        dtype: Any but that of objects.
        data: Exactly as many bytes as shape and dtype need.
        order: ``'C'`` or ``'F'``.

    Raises:
        pickle.UnpicklingError: Shape, dtype and number of bytes do not fit together.
        TooLarge: More than permitted.
    """
    dtype, shape = _plain_dtype(dtype), _shape(shape)
    count = math.prod(shape)
    # An array of empty things takes no memory, but for ever to look at.
    maker.charge(count * max(dtype.itemsize, 1))
    if len(data) != count * dtype.itemsize:
        raise pickle.UnpicklingError(
            f"an array of {count} times {dtype.itemsize} bytes with {len(data)} bytes"
        )
    if not dtype.itemsize:
        return np.zeros(shape, dtype)
    array = np.frombuffer(data, dtype, count).copy().reshape(shape, order=order)
    check_elements(array)
    return array


def check_elements(array: np.ndarray) -> None:
    """Checks that all bytes of an array are values of its dtype; makes truth values 0 or 1.

    Raises:
        pickle.UnpicklingError: It has characters that do not exist, or dates without a unit.
    """
    dtype = array.dtype
    if dtype.names:
        for name in dtype.names:
            check_elements(array[name])
    elif dtype.kind == "b":
        np.not_equal(array.view(np.uint8), 0, out=array)
    elif dtype.kind == "U" and array.size and dtype.itemsize:
        codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype(f"{dtype.str[0]}u4"))
        if codes.max() > 0x10FFFF:
            raise pickle.UnpicklingError("text with characters that do not exist")
    elif dtype.kind == "M" and np.datetime_data(dtype)[0] == "generic":
        if not np.isnat(array).all():
            raise pickle.UnpicklingError("dates without a unit")


def _shape(shape: Any) -> tuple[int, ...]:
    count = 1
    for n in shape if type(shape) is tuple else (None,):
        if type(n) is not int or n < 0:
            raise pickle.UnpicklingError("an array of unusual shape")
        count *= n or 1
    if len(shape) > _MOST_DIMENSIONS or count >= 2**62:
        raise pickle.UnpicklingError("an array of unusual shape")
    return shape


def _object_array(maker: Maker, shape: Any, nodes: Any) -> np.ndarray:
    shape = _shape(shape)
    if type(nodes) is not list or len(nodes) != math.prod(shape):
        raise pickle.UnpicklingError("an array of objects without its objects")
    maker.charge(8 * len(nodes))
    # By its iterator: setting one element by one would turn 0-dimensional arrays into numbers.
    array = np.fromiter((maker.make(node) for node in nodes), object, len(nodes))
    # They are listed row by row, also those of an array stored column by column.
    return array.reshape(shape)


def raw_bytes(maker: Maker, node: Any) -> bytes | memoryview:
    """Returns the bytes of a node without copying them where they are in the file as they are."""
    if type(node) is memoryview:
        return node
    data = maker.make(node)
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    if type(data) is not bytes:
        raise pickle.UnpicklingError(f"{type(data).__name__} where bytes belong")
    return data


def _reconstruct(maker: Maker, call: Call) -> np.ndarray:
    cls = call.args[0] if call.args else None
    if type(cls) is not Name or cls.key != "numpy.ndarray" or call.items or call.pairs:
        raise pickle.UnpicklingError("an array of an unusual class")
    state = call.state
    if type(state) is not tuple or len(state) < 4:
        raise pickle.UnpicklingError("an array without its state")
    shape, dtype, fortran_order, data = state[-4:] if len(state) == 4 else state[1:5]
    dtype = maker.make(dtype)
    order = "F" if fortran_order else "C"
    if dtype is _OBJECT:
        return _object_array(maker, maker.make(shape), data)
    return array_of(maker, maker.make(shape), dtype, raw_bytes(maker, data), order)


def _frombuffer(maker: Maker, call: Call) -> np.ndarray:
    check_plain(call)
    data, dtype, shape, order, *axes = call.args
    dtype, shape, axes = maker.make(dtype), maker.make(shape), maker.make(axes)
    if order not in ("C", "F", "K"):
        raise pickle.UnpicklingError("an array of unusual order")
    array = array_of(maker, shape, dtype, raw_bytes(maker, data), "F" if order == "F" else "C")
    if order != "K" or not axes or axes == [None]:
        return array
    if sorted(axes[0]) != list(range(array.ndim)):
        raise pickle.UnpicklingError("an array of unusual order")
    return array.transpose(axes[0])


def _scalar(maker: Maker, call: Call) -> Any:
    check_plain(call)
    dtype, *data = call.args
    dtype = _plain_dtype(maker.make(dtype))
    data = raw_bytes(maker, data[0]) if data else bytes(dtype.itemsize)
    return array_of(maker, (), dtype, data)[()]


def _scalar_of_type(maker: Maker, call: Call) -> Any:
    check_plain(call)
    (value,) = [maker.make(a) for a in call.args]
    if not isinstance(value, bool | int | float | complex):
        raise pickle.UnpicklingError("a number made of something else")
    return ARRAY_NAMES[call.key].type(value)


def _text_scalar(maker: Maker, call: Call) -> Any:
    check_plain(call)
    (value,) = [maker.make(a) for a in call.args]
    kind, numpy_kind = (str, np.str_) if call.key == "numpy.str_" else (bytes, np.bytes_)
    if type(value) is not kind:
        raise pickle.UnpicklingError("text made of something else")
    maker.charge(4 * len(value))
    return numpy_kind(value)


def _not_alone(maker: Maker, call: Call) -> Any:
    raise pickle.UnpicklingError(f"a call of {call.key}")


# ---------------------------------------------------------------- sparse matrices

_SPARSE = {f"{f}_{what}": f for f in ("csc", "csr", "coo") for what in ("matrix", "array")}


def sparse_key(module: str, name: str) -> str | None:
    """Returns the key of a sparse matrix class, whichever file of scipy it was in."""
    known = module.split(".")[:2] == ["scipy", "sparse"] and name in _SPARSE
    return f"scipy.sparse.{name}" if known else None


def _sparse(maker: Maker, call: Call) -> Any:
    import scipy.sparse

    if call.args or call.items or call.pairs or type(call.state) is not Pairs:
        raise pickle.UnpicklingError("a sparse matrix without its state")
    name = call.key.rpartition(".")[2]
    parts = {k.lstrip("_"): maker.make(v) for k, v in call.state.pairs if type(k) is str}
    shape = tuple(int(n) for n in parts["shape"])
    if len(shape) != 2 or not all(0 <= n < 2**31 for n in shape):
        raise pickle.UnpicklingError("a sparse matrix of unusual shape")
    data = _vector(parts["data"], "biufc")
    # Whoever reads a matrix makes it dense sooner or later; few bytes may stand for a large one.
    most = max(maker.budget.limit, LARGEST)
    if math.prod(shape) * data.itemsize > most:
        raise TooLarge(most)
    maker.charge(data.nbytes)
    cls = getattr(scipy.sparse, name)
    if _SPARSE[name] == "coo":
        row, column = parts["coords"] if "coords" in parts else (parts["row"], parts["col"])
        row, column = _vector(row, "iu"), _vector(column, "iu")
        for found, size in ((row, shape[0]), (column, shape[1])):
            if len(found) != len(data) or (
                len(found) and not 0 <= found.min() <= found.max() < size
            ):
                raise pickle.UnpicklingError("a sparse matrix with elements outside of it")
        return cls((data, (row, column)), shape)
    indices, starts = _vector(parts["indices"], "iu"), _vector(parts["indptr"], "iu")
    outer, inner = shape if _SPARSE[name] == "csr" else shape[::-1]
    if (
        len(starts) != outer + 1
        or starts[0] != 0
        or (starts[1:] < starts[:-1]).any()
        or not starts[-1] <= len(indices) == len(data)
        or (len(indices) and not 0 <= indices.min() <= indices.max() < inner)
    ):
        raise pickle.UnpicklingError("a sparse matrix with elements outside of it")
    return cls((data, indices, starts), shape)


def _vector(array: Any, kinds: str) -> np.ndarray:
    if type(array) is not np.ndarray or array.ndim != 1 or array.dtype.kind not in kinds:
        raise pickle.UnpicklingError("a sparse matrix of unusual parts")
    return array


ARRAY_MAKERS: dict[str, Callable[[Maker, Call], Any]] = {
    "numpy.dtype": _dtype,
    "numpy.ndarray": _not_alone,
    "numpy.str_": _text_scalar,
    "numpy.bytes_": _text_scalar,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _frombuffer,
    **dict.fromkeys(ARRAY_NAMES, _scalar_of_type),
    **{f"scipy.sparse.{name}": _sparse for name in _SPARSE},
}

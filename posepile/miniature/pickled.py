"""Pickles as other people's programs write them, without having those programs.

* :func:`frame` is a DataFrame as pandas 1.0.3 pickles it;
* :func:`tensor` is a torch tensor in a plain pickle, its storage in the form before torch 1.6.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np


def write_pickle(path: Path, content: Any, protocol: int = 4, python2: bool = False) -> None:
    """Writes a pickle; :func:`frame` and :func:`tensor` in it look like what they stand for.

    >>> write_pickle(folder / "fit.pkl", {"gender": "male"})
    >>> pickle.loads((folder / "fit.pkl").read_bytes())
    {'gender': 'male'}

    Args:
        path: The file.
        content: What to write.
        protocol: Of pickle.
        python2: As Python 2 writes it, protocol 2: texts and the numbers of arrays are 8-bit
            strings.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_pickle(content, 2, _Python2) if python2 else _pickle(content, protocol))


def write_object_npy(path: Path, content: Any) -> None:
    """Writes an object as ``numpy.save`` does: pickled, in a 0-dimensional array.

    >>> write_object_npy(folder / "facts.npy", {"gender": "male"})
    >>> np.load(folder / "facts.npy", allow_pickle=True).item()
    {'gender': 'male'}
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.empty((), object)
    array[()] = content
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with path.open("wb") as f:
        np.lib.format.write_array_header_1_0(f, header)
        f.write(_pickle(array, 4))


def frame(columns: Mapping[str, Sequence] | Sequence[Mapping[str, Any]]) -> Any:
    """Returns what pickles as a DataFrame of pandas 1.0.3.

    >>> from posepile.formats.tables import read_rows
    >>> write_pickle(folder / "t.pkl", frame({"file": ["a.png", "b.png"], "n": [1, 2]}))
    >>> list(read_rows(folder / "t.pkl", {"file": str, "n": int}))
    [{'file': 'a.png', 'n': 1}, {'file': 'b.png', 'n': 2}]

    Args:
        columns: Name to values, all of one length; numbers, texts, lists, arrays. As pandas does,
            columns of one type share a block. Or a list of rows, which have the same names.
    """
    if not isinstance(columns, Mapping):
        columns = {name: [row[name] for row in columns] for name in columns[0]}
    n = len(next(iter(columns.values())))
    names = list(columns)
    blocks: dict[str, list[int]] = {}
    arrays = [_column(columns[name]) for name in names]
    for i, array in enumerate(arrays):
        blocks.setdefault(array.dtype.name, []).append(i)
    axes, values, of_block, parts = [_index(names), _range_index(n)], [], [], []
    for places in blocks.values():
        block = np.array([arrays[i] for i in places], dtype=arrays[places[0]].dtype)
        if block.dtype == object:
            block = np.empty((len(places), n), object)
            for k, i in enumerate(places):
                block[k] = arrays[i]
        locations = np.array(places, np.int64)
        step = np.diff(places)
        if (step == 1).all():  # pandas keeps neighbouring columns as a slice
            locations = slice(places[0], places[-1] + 1, 1)
        values.append(block)
        of_block.append(_index([names[i] for i in places]))
        parts.append({"values": block, "mgr_locs": locations})
    more = {"0.14.1": {"axes": axes, "blocks": parts}}
    manager = _Made(
        ("pandas.core.internals.managers", "BlockManager"), (axes, values, of_block, more)
    )
    state = {"_data": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}}
    return _Made(("pandas.core.frame", "DataFrame"), state)


def tensor(array: np.ndarray) -> Any:
    """Returns what pickles as a torch tensor.

    >>> write_pickle(folder / "betas.pkl", {"betas": tensor(np.zeros((1, 10), np.float32))})
    """
    array = np.ascontiguousarray(array)
    kind = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage"}
    storage_type = _Named("torch", kind[array.dtype.name])
    saved = io.BytesIO()
    for part in (
        0x1950A86A20F9469CFC6C,
        1001,
        {
            "protocol_version": 1001,
            "little_endian": True,
            "type_sizes": {"short": 2, "int": 4, "long": 4},
        },
    ):
        saved.write(pickle.dumps(part, 2))
    key = "94000000000000"
    stored = _Persistent(("storage", storage_type, key, "cpu", array.size, None))
    saved.write(_pickle(stored, 2))
    saved.write(pickle.dumps([key], 2))
    saved.write(struct.pack("<q", array.size) + array.tobytes())
    storage = _Called(_Named("torch.storage", "_load_from_bytes"), (saved.getvalue(),))
    strides = tuple(s // array.itemsize for s in array.strides)
    arguments = (storage, 0, array.shape, strides, False, OrderedDict())
    return _Called(_Named("torch._utils", "_rebuild_tensor_v2"), arguments)


def _column(values: Sequence) -> np.ndarray:
    if all(isinstance(v, int | float | bool | np.number) for v in values):
        return np.array(values)
    return _objects(values)


def _objects(values: Sequence) -> np.ndarray:
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _index(labels: Sequence[str]) -> Any:
    state = {"data": _objects(labels), "name": None}
    return _Called(_NEW_INDEX, (_Named("pandas.core.indexes.base", "Index"), state))


def _range_index(n: int) -> Any:
    state = {"name": None, "start": 0, "stop": n, "step": 1}
    return _Called(_NEW_INDEX, (_Named("pandas.core.indexes.range", "RangeIndex"), state))


class _Named:
    """A class or function of a module that need not exist."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise TypeError(f"{self.module}.{self.name} is a name only")


class _Called:
    """What a call of a named function with arguments gives."""

    def __init__(self, function: _Named, arguments: tuple):
        self.function, self.arguments = function, arguments


class _Made:
    """An object of a named class with a state."""

    def __init__(self, of: tuple[str, str], state: Any):
        self.of, self.state = _Named(*of), state


class _Persistent:
    """An object that is stored elsewhere, under an id."""

    def __init__(self, persistent_id: tuple):
        self.persistent_id = persistent_id


_NEW_INDEX = _Named("pandas.core.indexes.base", "_new_Index")


class _Pickler(pickle._Pickler):
    """The pickler in Python, which can be told how to write our stand-ins."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.persistent_id if isinstance(obj, _Persistent) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(obj, _Named | _Called | _Made):
            super().save(obj, save_persistent_id)
            return
        seen = self.memo.get(id(obj))
        if seen is not None:
            self.write(self.get(seen[0]))
            return
        if isinstance(obj, _Named):
            if self.proto >= 4:
                self.save(obj.module)
                self.save(obj.name)
                self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, _Called):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            self.save(obj.of)
            self.save(())
            self.write(pickle.NEWOBJ)
        self.memoize(obj)
        if isinstance(obj, _Made):
            self.save(obj.state)
            self.write(pickle.BUILD)


class _Python2(_Pickler):
    """Writes 8-bit strings, which Python 3 only reads."""

    def _save_string(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode("latin1")
        short = len(data) < 256
        code, size = (pickle.SHORT_BINSTRING, "<B") if short else (pickle.BINSTRING, "<i")
        self.write(code + struct.pack(size, len(data)) + data)
        self.memoize(text)

    dispatch: ClassVar = pickle._Pickler.dispatch | {str: _save_string, bytes: _save_string}


def _pickle(content: Any, protocol: int, pickler: type[_Pickler] = _Pickler) -> bytes:
    file = io.BytesIO()
    pickler(file, protocol).dump(content)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")

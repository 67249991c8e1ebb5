"""Pickles that name classes of other programs, written piece by piece.

Python's own pickler needs the classes it names, and keeps all that it wrote. Here a class is its
name, and a list of millions of objects takes no memory. Only what is declared below is written, so
nothing of this process gets into the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from posepile.errors import WorkError

_RECONSTRUCT = ("numpy.core.multiarray", "_reconstruct")  # NumPy 1 and 2 have it under this name
_BYTE_ORDER = {"=": "<", "<": "<", "|": "|"}


class Instance:
    """An object to be written: its class by name, and what it is made of.

    Args:
        module: Module of the class.
        name: Its name there.
        attributes: Attributes it gets; None = none are set.
        items: Items of a subclass of dict.
    """

    __slots__ = ("attributes", "items", "module", "name")

    def __init__(
        self,
        module: str,
        name: str,
        attributes: dict[str, Any] | None = None,
        items: dict[str, Any] | None = None,
    ):
        self.module, self.name = module, name
        self.attributes, self.items = attributes, items


class PickleWriter:
    """Writes one value as a pickle of protocol 3, which Python 3 of any age reads.

    Values: None, booleans, whole numbers, floats, texts, bytes, lists, tuples, dicts, arrays of
    plain numbers and :class:`Instance`. Names of classes and keys of attributes are written once.

    Args:
        f: The file.
    """

    def __init__(self, f: BinaryIO):
        self._file = f
        self._memo: dict[Any, int] = {}
        f.write(b"\x80\x03")

    def close(self) -> None:
        """Ends the pickle."""
        self._file.write(b".")

    def begin(self, instance: Instance) -> None:
        """Writes an object whose attributes follow, up to :meth:`end`."""
        self._new(instance)
        self._file.write(b"}")

    def begin_attribute(self, name: str) -> None:
        """Writes the name of an attribute; its value is to follow, then :meth:`end_item`."""
        self._key(name)

    def begin_dict(self) -> None:
        """Begins a dict whose items follow."""
        self._file.write(b"}")

    def begin_list(self) -> None:
        """Begins a list whose elements follow."""
        self._file.write(b"]")

    def append(self, value: Any) -> None:
        """Writes the next element of a list."""
        self.write(value)
        self._file.write(b"a")

    def end_item(self) -> None:
        """Ends an attribute or an item of a dict, after its key and value."""
        self._file.write(b"s")

    def end(self) -> None:
        """Ends an object that :meth:`begin` began."""
        self._file.write(b"b")

    def write(self, value: Any) -> None:
        """Writes a whole value.

        Raises:
            WorkError: It is of a type that is not written.
        """
        put = self._file.write
        if value is None:
            put(b"N")
        elif isinstance(value, (bool, np.bool_)):
            put(b"\x88" if value else b"\x89")
        elif isinstance(value, (int, np.integer)):
            put(_whole_number(int(value)))
        elif isinstance(value, (float, np.floating)):
            put(b"G" + struct.pack(">d", float(value)))
        elif isinstance(value, str):
            put(_text(value))
        elif isinstance(value, (bytes, bytearray)):
            put(_bytes(value))
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, Instance):
            self._instance(value)
        elif isinstance(value, dict):
            put(b"}")
            self._items(value)
        elif isinstance(value, tuple):
            self._many(value, b"t")
        elif isinstance(value, list):
            put(b"]")
            self._many(value, b"e")
        else:
            raise WorkError(
                f"a value of type {type(value).__name__} is in no pickle of datasets; expected "
                "numbers, texts, arrays, lists and dicts"
            )

    def _many(self, values: Iterable[Any], end: bytes) -> None:
        self._file.write(b"(")
        for value in values:
            self.write(value)
        self._file.write(end)

    def _items(self, values: dict[Any, Any]) -> None:
        self._file.write(b"(")
        for key, value in values.items():
            self._key(key)
            self.write(value)
        self._file.write(b"u")

    def _key(self, key):
        if isinstance(key, str):
            self._once(key, _text(key))
        else:
            self.write(key)

    def _once(self, key, code):
        number = self._memo.get(key)
        if number is not None:
            self._file.write(b"j" + struct.pack("<I", number))
            return
        number = self._memo[key] = len(self._memo)
        self._file.write(code + b"r" + struct.pack("<I", number))

    def _global(self, module, name):
        self._once((module, name), f"c{module}\n{name}\n".encode())

    def _new(self, instance):
        self._global(instance.module, instance.name)
        self._file.write(b")\x81")

    def _instance(self, instance):
        self._new(instance)
        if instance.items is not None:
            self._items(instance.items)
        if instance.attributes is not None:
            self._file.write(b"}")
            self._items(instance.attributes)
            self._file.write(b"b")

    def _array(self, array):
        array = np.asarray(array)  # not of a subclass
        if array.dtype.kind not in "biuf":
            raise WorkError(f"array of {array.dtype}: expected plain numbers")
        array = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        self._global(*_RECONSTRUCT)
        self._file.write(b"(")
        self._global("numpy", "ndarray")
        self.write((0,))
        self.write(b"b")
        self._file.write(b"tR(")
        self.write(1)
        self.write(array.shape)
        self._dtype(array.dtype)
        self.write(False)
        self.write(array.tobytes())
        self._file.write(b"tb")

    def _dtype(self, dtype):
        code = f"{dtype.kind}{dtype.itemsize}"
        number = self._memo.get(("dtype", code))
        if number is not None:
            self._file.write(b"j" + struct.pack("<I", number))
            return
        self._global("numpy", "dtype")
        self.write((code, False, True))
        self._file.write(b"R")
        self.write((3, _BYTE_ORDER[dtype.byteorder], None, None, None, -1, -1, 0))
        number = self._memo["dtype", code] = len(self._memo)
        self._file.write(b"br" + struct.pack("<I", number))


def _whole_number(value):
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    n = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([n]) + value.to_bytes(n, "little", signed=True)


def _text(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _bytes(value):
    if len(value) < 256:
        return b"C" + bytes([len(value)]) + bytes(value)
    if len(value) >= 2**32:
        raise WorkError(f"{len(value)} bytes in one value of a pickle; expected less than 4 GiB")
    return b"B" + struct.pack("<I", len(value)) + bytes(value)

"""Writing ``.npz`` files whose arrays do not fit into memory: column by column, piece by piece."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_COPIED = 1 << 22

# Equal arrays give equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_LEVEL = 1  # the gain of more is small, the time is not


class NpzWriter:
    """Collects arrays piece by piece in temporary files, then writes them as one ``.npz``.

    Args:
        folder: Where the temporary files are, which have no name.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._columns: dict[str, _Column] = {}
        self._whole: dict[str, np.ndarray] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Appends to an array; the pieces have the same shape but for the first axis.

        The type is that of the first piece, or float64 once a piece is.
        """
        column = self._columns.get(name)
        if column is None:
            file = self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))
            column = self._columns[name] = _Column(file, values.dtype, values.shape[1:])
        column.add(values)

    def add_ragged(self, name: str, counts: np.ndarray, **values: np.ndarray) -> None:
        """Appends values of different length; ``<name>_ptr`` says where those of a row end.

        Args:
            name: What the pointers are called after.
            counts: Number of values of each row.
            **values: Arrays of all values, by their names.
        """
        if f"{name}_ptr" not in self._columns:
            self.add(f"{name}_ptr", np.zeros(1, np.int64))
        column = self._columns[f"{name}_ptr"]
        ends = column.last + np.cumsum(counts, dtype=np.int64)
        self.add(f"{name}_ptr", ends)
        if len(ends):
            column.last = int(ends[-1])
        for key, array in values.items():
            self.add(key, array)

    def add_texts(self, name: str, texts: list[str]) -> None:
        """Appends to an array of texts."""
        column = self._columns.get(name)
        if column is None:
            file = self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))
            column = self._columns[name] = _Column(file, np.dtype("U1"), ())
        column.add_texts(texts)

    def put(self, name: str, value: Any) -> None:
        """Sets a whole array."""
        self._whole[name] = np.asanyarray(value)

    def write(self, f: BinaryIO) -> None:
        """Writes the file; arrays come in the order in which they were begun."""
        with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name, column in self._columns.items():
                with self._member(archive, name) as out:
                    column.write(out)
            for name, array in self._whole.items():
                with self._member(archive, name) as out:
                    np.lib.format.write_array(out, array, allow_pickle=array.dtype == object)

    def _member(self, archive, name):
        info = zipfile.ZipInfo(f"{name}.npy", _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        return archive.open(info, "w", force_zip64=True)

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        self._stack.close()


class _Column:
    """An array in a file without header, or texts one after another with their lengths."""

    def __init__(self, file: Any, dtype: np.dtype, shape: tuple[int, ...]):
        self._file, self._dtype, self._shape = file, dtype, shape
        self._n = 0
        self._pieces: list[tuple[int, np.dtype]] = []
        self._texts: list[int] = []
        self._longest = 1
        self.last = 0

    def add(self, values: np.ndarray) -> None:
        if values.shape[1:] != self._shape:
            raise ValueError(f"found rows of {values.shape[1:]}, expected {self._shape}")
        if not len(values):
            return
        if values.dtype == np.float64 and self._dtype == np.float32:
            self._dtype = values.dtype
        own = self._dtype if values.dtype.kind != "f" else values.dtype
        values = np.ascontiguousarray(values, own)
        self._file.write(values.data)
        if self._pieces and self._pieces[-1][1] == own:
            self._pieces[-1] = (self._pieces[-1][0] + len(values), own)
        else:
            self._pieces.append((len(values), own))
        self._n += len(values)

    def add_texts(self, texts: list[str]) -> None:
        self._longest = max(self._longest, *map(len, texts)) if texts else self._longest
        data = "\0".join([*texts, ""]).encode("utf-8", "surrogatepass")
        self._file.write(data)
        self._texts.append(len(data))
        self._n += len(texts)

    def write(self, out: Any) -> None:
        is_text = self._dtype.kind == "U"
        dtype = np.dtype(f"<U{self._longest}") if is_text else self._dtype
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (self._n, *self._shape),
            },
        )
        out.write(header.getvalue())
        self._file.seek(0)
        if is_text:
            for size in self._texts:
                texts = self._file.read(size).decode("utf-8", "surrogatepass").split("\0")[:-1]
                out.write(np.array(texts, dtype).tobytes())
            return
        per_row = int(np.prod(self._shape, dtype=np.int64))
        for n, own in self._pieces:
            left = n * per_row * own.itemsize
            while left:
                data = self._file.read(min(left, _COPIED))
                left -= len(data)
                out.write(data if own == dtype else np.frombuffer(data, own).astype(dtype))

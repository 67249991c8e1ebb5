"""Reading pickle files of others without running what is in them.

A pickle is a program: loading one from the internet in the ordinary way runs whatever its author
wished. Here it is read as data: plain Python values, NumPy arrays and numbers, sparse matrices,
tables of pandas (as ``{column: list}``), tensors of PyTorch and chumpy's arrays (as NumPy arrays;
none of the three libraries is needed). Every other name is refused. Nothing that a file says
reaches NumPy or another library unchecked, and the memory that a file may take has a limit.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.budget import Budget, TooLarge, too_large
from posepile.formats.pickle_machine import run
from posepile.formats.pickle_nodes import (
    PERSISTENT,
    Call,
    NameRefused,
    Pairs,
    no_collection,
)
from posepile.formats.pickled_arrays import ARRAY_MAKERS, ARRAY_NAMES, sparse_key
from posepile.formats.pickled_frames import FRAME_MAKERS, frame_key
from posepile.formats.pickled_tensors import (
    TENSOR_MAKERS,
    is_legacy,
    read_legacy,
    reference_maker,
    storage_loader,
    storage_reader,
    tensor_key,
)
from posepile.formats.pickled_values import PLAIN_MAKERS, Maker, canonical_name

Path = str | os.PathLike

# What damaged or malicious pickles can raise on the way.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,  # places outside of a zip file
    RecursionError,
    RuntimeError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)
_MAPPED_FROM = 64 * 2**20


def read_pickle(path: Path, schema: Any = None, *, max_bytes: int | None = None) -> Any:
    """Returns what a pickle file holds, also one that ``torch.save`` wrote.

    >>> import pickle
    >>> _ = (folder / "a.pkl").write_bytes(pickle.dumps({"betas": np.zeros(10)}))
    >>> read_pickle(folder / "a.pkl", {"betas": Array("n")})["betas"].shape
    (10,)

    Bytearrays come back as bytes, defaultdicts as dictionaries.

    Args:
        path: The file.
        schema: What is expected of the content, see :mod:`posepile.formats.schema`; None if that
            is not checked.
        max_bytes: Limit of the memory that the content may take; None: as
            :class:`~posepile.formats.budget.Budget` says.

    Raises:
        CorruptInput: Missing, truncated or damaged, it asks for something that is not plain data,
            is larger than ``max_bytes``, or is not of the schema.
    """
    try:
        with open(path, "rb") as f:
            data = _content(f)
    except OSError as e:
        raise CorruptInput(path, e.strerror or str(e), hint="fetch or extract it again") from None
    value = loads(data, path, max_bytes=max_bytes)
    if schema is not None:
        from posepile.formats.schema import check

        return check(value, schema, path)
    return value


def loads(data: bytes | mmap.mmap, where: Path = "pickle", *, max_bytes: int | None = None) -> Any:
    """Returns what a pickle in memory holds, see :func:`read_pickle`.

    >>> import pickle
    >>> loads(pickle.dumps({"a": [1, 2]}))
    {'a': [1, 2]}

    Args:
        data: The pickle.
        where: Its name in messages.
        max_bytes: Limit of the memory that the content may take; None: as
            :class:`~posepile.formats.budget.Budget` says.

    Raises:
        CorruptInput: As there.
    """
    with refusals(where):
        return unpickle(data, 0, Budget(len(data), max_bytes))


@contextlib.contextmanager
def refusals(where: Path, what: str = "damaged pickle") -> Iterator[None]:
    """Turns whatever damaged and malicious data raise within into a CorruptInput of one line."""
    try:
        with no_collection():
            yield
    except NameRefused as e:
        raise CorruptInput(
            where,
            f"refused: the pickle wants to use {one_line(e)}, which is not plain data",
            hint="nothing of it was run; do not load this file by other means unless you "
            "trust its author",
        ) from None
    except TooLarge as e:
        raise CorruptInput(
            where,
            too_large(e),
            hint="if you trust its author, pass a larger max_bytes to the function that reads it",
        ) from None
    except MemoryError:
        reason = "it takes more memory than there is"
    except UNPICKLING_ERRORS as e:
        reason = one_line(e) or type(e).__name__
    else:
        return
    # Raised out here, where the memory that the attempt took is free again.
    raise CorruptInput(where, f"{what} ({reason})", hint="fetch or extract it again")


def _content(f: io.BufferedReader) -> bytes | mmap.mmap:
    """The whole file; a large one is mapped, so that its arrays are in memory only once."""
    if os.fstat(f.fileno()).st_size < _MAPPED_FROM:
        return f.read()
    return _Mapped(f.fileno(), 0, access=mmap.ACCESS_READ)


class _Mapped(mmap.mmap):
    """A mapped file that a zip file may be read from."""

    def seekable(self) -> bool:
        """Returns that it is."""
        return True


def unpickle(data: bytes | mmap.mmap, start: int, budget: Budget) -> Any:
    """Returns what the pickle that begins at a place in data holds, within :func:`refusals`."""
    maker = Maker(_MAKERS, budget, ARRAY_NAMES)
    if data[start : start + 4] == b"PK\x03\x04":
        return _read_torch_zip(data, maker)
    node, end = run(data, start, _canonical, budget)
    if is_legacy(node):
        return read_legacy(data, end, _canonical, maker)
    return maker.make(node)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> bytes:
    """Returns a member of a zip file; its announced size counts before it is unpacked.

    Raises:
        TooLarge: Larger than permitted.
        pickle.UnpicklingError: Compressed in an unusual way.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise pickle.UnpicklingError(f"{info.filename}: compressed in an unusual way")
    budget.take_bytes(info.file_size)
    return archive.read(info)


def _read_torch_zip(data: bytes | mmap.mmap, maker: Maker) -> Any:
    with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
        names = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(names) != 1:
            raise pickle.UnpicklingError("a zip file that torch.save did not write")
        folder = names[0].partition("/")[0]
        order = f"{folder}/byteorder"
        if order in archive.namelist() and archive.open(order).read(10) != b"little":
            raise pickle.UnpicklingError("a PyTorch file of another byte order")
        content = read_member(archive, archive.getinfo(names[0]), maker.budget)
        node, _ = run(content, 0, _canonical, maker.budget, persistent=True)
        read = storage_reader(archive, folder)
        return maker.within({PERSISTENT: reference_maker(read)}).make(node)


# ---------------------------------------------------------------- names


def _chumpy_array(maker: Maker, call: Call) -> np.ndarray:
    """An array that chumpy wraps, as in the model files of SMPL 1.0 and MANO."""
    state = _chumpy_state(call)
    return _array(maker.make(state["x"]))


def _chumpy_selection(maker: Maker, call: Call) -> np.ndarray:
    """Some elements of such an array."""
    state = _chumpy_state(call)
    array, places = _array(maker.make(state["a"])), _array(maker.make(state["idxs"]))
    shape = maker.make(state.get("preferred_shape"))
    maker.charge(places.size * array.itemsize)
    chosen = array.reshape(-1)[places.reshape(-1)]
    return chosen if shape is None else chosen.reshape(shape)


def _chumpy_state(call: Call) -> dict[str, Any]:
    if call.args or call.items or call.pairs or type(call.state) is not Pairs:
        raise pickle.UnpicklingError("an array of chumpy without its state")
    return {k: v for k, v in call.state.pairs if type(k) is str}


def _array(value: Any) -> np.ndarray:
    if type(value) is not np.ndarray:
        raise pickle.UnpicklingError("an array of chumpy that holds none")
    return value


_MAKERS = {
    **PLAIN_MAKERS,
    **ARRAY_MAKERS,
    **FRAME_MAKERS,
    **TENSOR_MAKERS,
    "chumpy.ch.Ch": _chumpy_array,
    "chumpy.reordering.Select": _chumpy_selection,
}


def _canonical(module: str, name: str) -> str | None:
    for find in (sparse_key, frame_key, tensor_key):
        if key := find(module, name):
            return key
    if module.startswith("trimesh.") and name == "TrackedArray":
        return "numpy.ndarray"
    key = canonical_name(module, name)
    return key if key in _MAKERS else None


_MAKERS["torch._load_from_bytes"] = storage_loader(_canonical)

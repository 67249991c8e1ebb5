"""MAT files of version 5 taken apart as far as it takes to know that their library survives them.

They are described in "MAT-File Format" by MathWorks, chapter "Level 5 MAT-File Format"; names in
comments are those of its tables. A file is a head of 128 bytes, then elements. An element is a tag
(type, number of bytes) and its data, filled up to 8 bytes; up to 4 bytes of data fit into the tag.
An element of the top is one variable, as it is or compressed.
"""

from __future__ import annotations

import itertools
import math
import os
import struct
import zlib
from collections.abc import Iterator

from posepile.errors import CorruptInput
from posepile.formats.budget import Budget, Damaged, walking

HEAD = 128  # descriptive text, place of subsystem data, version, mark of the order of bytes
# Bytes of a value of each type of data ("MAT-File Data Types"): miINT8, miUINT8, miINT16,
# miUINT16, miINT32, miUINT32, miSINGLE, miDOUBLE, miINT64, miUINT64, miUTF8, miUTF16, miUTF32.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_TEXT, _NAMES = (1, 2, 4, 16, 17, 18), (1, 16)
_MATRIX, _COMPRESSED = 14, 15  # miMATRIX, miCOMPRESSED
# "MATLAB Array Types (Classes)"; 6 to 15 are numbers. Functions and objects of newer classes are
# not in the document: 16 and 17 are mxFUNCTION_CLASS and mxOPAQUE_CLASS of the library (scipy).
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_COMPLEX = 0x800  # in "Array Flags", above the class in the lowest byte
# Limits of ours: the document has none.
_DEEPEST = 50  # the library calls itself at every level
_MOST_AXES = 32  # as many as the library has room for
_MOST_EMPTY = 1 << 20  # structures without fields, and blanks that are not stored


def whole_variables(
    data: bytes, variables: list[str] | None, path: str | os.PathLike, *, hint: str | None
) -> bytes:
    """Returns a file of version 5 with the wanted variables alone, none of them compressed.

    >>> from scipy.io import savemat
    >>> savemat(folder / "a.mat", {"x": np.eye(3), "y": 1})
    >>> len(whole_variables((folder / "a.mat").read_bytes(), ["y"], "a.mat", hint=None))
    192

    Args:
        data: The file's content.
        variables: Their names, None = all.
        path: For messages.
        hint: What the user can do if the file is damaged.

    Raises:
        CorruptInput: Not such a file, cut short, damaged, or too large when unpacked.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[HEAD - 2 : HEAD])
    if order is None:
        found = bytes(data[HEAD - 2 : HEAD])
        text = f"not a MAT file: byte {HEAD - 2}: found {found!r}; expected 'IM' or 'MI'"
        raise CorruptInput(path, text, hint=hint)
    budget, kept = Budget(len(data)), [data[:HEAD]]
    with walking(path, hint=hint):
        for at, kind, stored in _top(data, order):
            try:
                is_packed = kind == _COMPRESSED
                content = _inflated(stored, order, variables, budget) if is_packed else stored
                element = _Element(content, order)
                if element.is_wanted(variables):
                    element.check()
                    kept.append(content)
            except Damaged as e:  # its places are those in the element, unpacked
                raise Damaged(f"element at byte {at}: {e}") from None
    return b"".join(kept)


def _top(data: bytes, order: str) -> Iterator[tuple[int, int, bytes]]:
    """Yields place, type and bytes of every variable: with its tag, or what is compressed."""
    at = HEAD
    while at < len(data):
        if at + 8 > len(data):
            raise Damaged(f"byte {at}: found {len(data) - at} bytes; expected a tag of 8")
        kind, n = struct.unpack_from(f"{order}2I", data, at)
        if kind not in (_MATRIX, _COMPRESSED):
            expected = f"a matrix ({_MATRIX}) or one compressed ({_COMPRESSED})"
            raise Damaged(f"byte {at}: found type {kind}; expected {expected}")
        if at + 8 + n > len(data):
            most = len(data) - at - 8
            raise Damaged(f"byte {at}: found {n} bytes; expected at most {most}")
        yield at, kind, data[at + 8 if kind == _COMPRESSED else at : at + 8 + n]
        at += 8 + n


def _inflated(content: bytes, order: str, variables, budget: Budget) -> bytes:
    """An unpacked element; of one that nobody wants only the beginning, and never too much."""
    stream = zlib.decompressobj()
    try:
        head = stream.decompress(content, 1 << 12)
        if len(head) < 8:
            raise Damaged("found no tag in what is compressed; expected a matrix")
        kind, n = struct.unpack_from(f"{order}2I", head)
        if kind != _MATRIX:
            raise Damaged(f"found type {kind} in what is compressed; expected a matrix (14)")
        if not _Element(head, order).is_wanted(variables):
            return head
        budget.take_bytes(n)
        rest = stream.decompress(stream.unconsumed_tail, max(1, n + 9 - len(head)))
        rest += stream.decompress(stream.unconsumed_tail, 1)  # reads the checksum
    except zlib.error as e:
        raise Damaged(f"found {e}; expected what zlib has packed") from None
    if len(head) + len(rest) != n + 8 or not stream.eof:
        raise Damaged(f"found {len(head) + len(rest)} bytes unpacked; expected {n + 8}")
    return head + rest


class _Element:
    """One matrix and what is in it, walked through as its library would."""

    def __init__(self, data: bytes, order: str):
        self.data, self.order = data, order

    def is_wanted(self, variables: list[str] | None) -> bool:
        """Returns whether the matrix has one of some names; None = any."""
        if variables is None:
            return True
        if len(self.data) == 8:  # an empty one has no name
            return False
        flags, at = self.flags(8, len(self.data))
        if flags & 0xFF != _OPAQUE:
            _, at = self.part(at, len(self.data))  # the lengths of its axes
        (_, start, n), _ = self.part(at, len(self.data))
        return self.data[start : start + n].decode("latin1") in variables

    def check(self) -> None:
        """Refuses what the library would not survive."""
        self.matrix(0, len(self.data), 0)

    def part(self, at: int, end: int) -> tuple[tuple[int, int, int], int]:
        """Returns (type, place, number) of an element's bytes, and where the next one begins."""
        if at + 8 > end:
            raise Damaged(f"found its end at {end}; expected a tag at {at}")
        kind, n = struct.unpack_from(f"{self.order}2I", self.data, at)
        if kind >> 16:
            kind, n = kind & 0xFFFF, kind >> 16
            if n > 4:
                raise Damaged(f"tag at {at}: found {n} bytes in it; expected at most 4")
            return (kind, at + 4, n), at + 8
        if at + 8 + n > end:
            raise Damaged(f"tag at {at}: found {n} bytes; expected at most {end - at - 8}")
        return (kind, at + 8, n), at + 8 + n + -n % 8

    def values(self, at: int, end: int, kinds=tuple(_SIZES)) -> tuple[tuple[int, int, int], int]:
        """Returns (type, place, number) of the values at a tag, and where the next tag is."""
        (kind, start, n), behind = self.part(at, end)
        if kind not in kinds:
            raise Damaged(f"tag at {at}: found type {kind}; expected one of {list(kinds)}")
        if n % _SIZES[kind]:
            raise Damaged(f"tag at {at}: found {n} bytes of type {kind}; expected whole values")
        return (kind, start, n // _SIZES[kind]), behind

    def flags(self, at: int, end: int) -> tuple[int, int]:
        """Returns the "Array Flags" at a tag, which are two values, and where the next tag is."""
        (_, start, n), behind = self.values(at, end, (6,))
        if n != 2:
            raise Damaged(f"tag at {at}: found {n} flags; expected 2")
        (flags,) = struct.unpack_from(f"{self.order}I", self.data, start)
        return flags, behind

    def integers(self, at: int, end: int) -> tuple[list[int], int]:
        """Returns the 32-bit integers at a tag, and where the next tag is."""
        (_, start, n), behind = self.values(at, end, (5, 6))
        found = struct.unpack_from(f"{self.order}{n}i", self.data, start)
        return list(found), behind

    def matrix(self, at: int, end: int, depth: int) -> int:
        """Walks through a miMATRIX; returns where the next one is.

        In it are the array flags, the dimensions, the name, and what its class has.
        """
        (kind, at, n), behind = self.part(at, end)
        if kind != _MATRIX:
            raise Damaged(f"tag at {at}: found type {kind}; expected a matrix (14)")
        if depth > _DEEPEST:
            raise Damaged(f"found matrices in matrices; expected at most {_DEEPEST} levels")
        if not n:
            return behind
        end = at + n
        flags, at = self.flags(at, end)
        what, dims = flags & 0xFF, [1]
        if what != _OPAQUE:
            dims, at = self.integers(at, end)
            if not 1 <= len(dims) <= _MOST_AXES or min(dims) < 0:
                raise Damaged(f"found lengths {dims[:4]}; expected 1 to {_MOST_AXES} from 0 on")
        _, at = self.values(at, end, _NAMES)  # the name
        count = math.prod(dims)
        if what in (_CELL, _STRUCT, _OBJECT):
            at = self.inner(what, count, at, end, depth)
        elif what == _CHAR:
            found, at = self.values(at, end, _TEXT)
            if found[2] or count > _MOST_EMPTY:
                self.check_count("characters", found, dims)
        elif what == _SPARSE:
            at = self.sparse(flags, dims, at, end)
        elif what in (_FUNCTION, _OPAQUE):
            for _ in range(2 if what == _OPAQUE else 0):
                _, at = self.values(at, end, _NAMES)
            at = self.matrix(at, end, depth + 1)
        elif 6 <= what <= 15:
            for _ in range(2 if flags & _COMPLEX else 1):
                found, at = self.values(at, end)
                self.check_count("values", found, dims)
        else:
            raise Damaged(f"found class {what} of a matrix; expected 1 to 17")
        if depth and at != behind:  # the library goes on where what it has read ends
            raise Damaged(f"found a matrix in a matrix that ends at {at} and {behind}")
        return behind

    def check_count(self, what: str, found: tuple[int, int, int], dims: list[int]) -> None:
        """Refuses another number of values than the lengths of the axes say."""
        kind, _, n = found
        most = 4 if what == "characters" and kind == 16 else 1  # bytes of a character in UTF-8
        if not n // most <= math.prod(dims) <= n:
            raise Damaged(f"found {n} {what}; expected {' x '.join(map(str, dims))}")

    def inner(self, what: int, count: int, at: int, end: int, depth: int) -> int:
        """Walks through the matrices in cells, a structure or an object; returns their end.

        Of an object there is its class first; of both but cells the length of a field's name, in
        whose multiples the names follow.
        """
        if what == _OBJECT:
            _, at = self.values(at, end, _NAMES)
        n_names = 1
        if what != _CELL:
            length, at = self.integers(at, end)
            (_, _, n), at = self.values(at, end, _NAMES)
            if len(length) != 1 or length[0] < 1 or n % length[0]:
                raise Damaged(f"found {n} bytes of names of length {length}; expected whole ones")
            n_names = n // length[0]
        if count > _MOST_EMPTY if not n_names else count * n_names * 8 > end - at:
            raise Damaged(
                f"found {end - at} bytes; expected {count} times {n_names} matrices of at least 8"
            )
        for _ in range(count * n_names):
            at = self.matrix(at, end, depth + 1)
        return at

    def sparse(self, flags: int, dims: list[int], at: int, end: int) -> int:
        """Checks the places of a sparse matrix; returns where its values end.

        They are the row of each value (ir), then where each column begins (jc), of one more.
        """
        rows, at = self.integers(at, end)
        starts, at = self.integers(at, end)
        n = starts[-1] if starts else 0
        if (
            len(dims) != 2
            or len(starts) != dims[1] + 1
            or starts[0] != 0
            or any(b < a for a, b in itertools.pairwise(starts))
            or n > len(rows)
            or not all(0 <= row < dims[0] for row in rows[:n])
        ):
            raise Damaged(f"found places of sparse values outside of {dims}; expected inside")
        for _ in range(2 if flags & _COMPLEX else 1):
            (kind, _, size), at = self.part(at, end)
            # Truth values are bytes, whatever their tag says.
            if kind not in _SIZES or (size != n and size // _SIZES[kind] < n):
                raise Damaged(f"found {size} bytes of type {kind}; expected {n} sparse values")
        return at

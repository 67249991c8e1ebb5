"""The records of a CDF file, walked through before its library follows them.

They are described in the "CDF Internal Format Description" (NASA, Space Physics Data Facility),
chapter "dotCDF File"; names of records and their fields in comments are its own.

Numbers are big-endian. Places and lengths have 8 bytes in version 3 of the format and 4 before,
all other numbers 4. A record begins with its length and its kind; records refer to each other by
place.
"""

from __future__ import annotations

import math
import os
import zlib

from posepile.errors import CorruptInput
from posepile.formats.budget import Budget, Damaged, TooLarge, walking

# "Magic Numbers": the first tells the version (3, 2.6 and 2.7, before) and so the bytes of places,
# the second whether the file is compressed as a whole.
_WIDTHS = {b"\xcd\xf3\x00\x01": 8, b"\xcd\xf2\x60\x02": 4, b"\x00\x00\xff\xff": 4}
_PLAIN, _COMPRESSED = b"\x00\x00\xff\xff", b"\xcc\xcc\x00\x01"
_GZIP = 5  # cType of a CPR, the compressed parameters record
_INDEX, _Z_VARIABLE, _COMPRESSED_VALUES = 6, 8, 13  # RecordType of VXR, zVDR and CVVR
# Bytes of a value by type of data ("Data Types"): CDF_INT1 to _INT8, _UINT1 to _UINT4, _REAL4,
# _REAL8, _EPOCH, _EPOCH16, _TIME_TT2000; _BYTE, _FLOAT, _DOUBLE; _CHAR, _UCHAR.
_SIZES = {1: 1, 2: 2, 4: 4, 8: 8, 11: 1, 12: 2, 14: 4, 21: 4, 22: 8, 31: 8, 32: 16, 33: 8}
_SIZES |= {41: 1, 44: 4, 45: 8, 51: 1, 52: 1}
_NAME = {8: 256, 4: 64}  # bytes of a variable's name by those of places
_IS_COMPRESSED = 4  # bit of a variable's Flags
_LEAST = 32  # no VDR or ADR, a variable or attribute, has fewer bytes


def check_records(data: bytes, path: str | os.PathLike, *, hint: str | None) -> None:
    """Refuses a CDF file whose library would hang or take any amount of memory.

    >>> from posepile.miniature.writers import write_cdf
    >>> write_cdf(folder / "walk.cdf", {"Pose": np.zeros((1, 5, 96))})
    >>> check_records((folder / "walk.cdf").read_bytes(), "walk.cdf", hint=None)
    >>> check_records(b"walk", "walk.cdf", hint=None)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: walk.cdf: not a CDF file: found 77616c6b; expected magic numbers

    Args:
        data: The file's content.
        path: For messages.
        hint: What the user can do about it.

    Raises:
        CorruptInput: Cut short, damaged, or too large when unpacked.
    """
    width = _WIDTHS.get(bytes(data[:4]))
    if width is None or data[4:8] not in (_PLAIN, _COMPRESSED):
        found = bytes(data[:8]).hex() or "nothing"
        text = f"not a CDF file: found {found}; expected magic numbers"
        raise CorruptInput(path, text, hint=hint)
    budget = Budget(len(data))
    with walking(path, hint=hint):
        if data[4:8] == _COMPRESSED:
            data = bytes(data[:8]) + _Records(data, width, budget).whole_file()
        _Records(data, width, budget).check()


class _Records:
    def __init__(self, data: bytes, width: int, budget: Budget):
        self.data, self.width, self.budget = data, width, budget
        self.seen: set[int] = set()

    def number(self, at: int, size: int = 4) -> int:
        """Returns the number at a place."""
        if not 0 <= at <= len(self.data) - size:
            place = f"number at {at} of {size} bytes"
            raise Damaged(f"{place}: found the end at {len(self.data)}; expected it behind")
        return int.from_bytes(self.data[at : at + size], "big", signed=True)

    def record(self, at: int) -> tuple[int, int, int]:
        """Returns kind of a record, where its fields begin and where it ends."""
        size, least = self.number(at, self.width), self.width + 4
        if not least <= size <= len(self.data) - at:
            most = len(self.data) - at
            raise Damaged(f"record at {at}: found {size} bytes; expected {least} to {most}")
        return self.number(at + self.width), at + least, at + size

    def inflated(self, at: int, end: int) -> bytes:
        """Returns what gzip has packed, if it is not too much."""
        stream = zlib.decompressobj(wbits=47)
        limit = self.budget.limit
        try:
            found = stream.decompress(self.data[at:end], limit)
        except zlib.error as e:
            text = f"values at {at}: found {end - at} bytes, {e}; expected what gzip has packed"
            raise Damaged(text) from None
        if stream.unconsumed_tail:
            raise TooLarge(limit)
        self.budget.take_bytes(len(found))
        return found

    def whole_file(self) -> bytes:
        """Returns the content of a file that is compressed as a whole, without its head of 8."""
        w = self.width
        _, at, end = self.record(8)  # CCR, the compressed CDF record: CPRoffset, uSize, rfuA, data
        _, how, _ = self.record(self.number(at, w))  # CPR: cType, rfuA, pCount, cParms
        if self.number(how) != _GZIP:
            found = self.number(how)
            raise Damaged(f"byte {how}: found compression {found}; expected gzip ({_GZIP})")
        return self.inflated(at + 2 * w + 4, end)

    def check(self) -> None:
        """Walks through variables, their indices and their values."""
        w = self.width
        _, at, _ = self.record(8)  # CDR, the CDF descriptor record: GDRoffset and others
        # GDR, the global descriptor record: rVDRhead, zVDRhead, ADRhead, eof, then the numbers.
        _, at, end = self.record(self.number(at, w))
        heads = self.number(at, w), self.number(at + w, w)
        at += 4 * w
        # NrVars, NumAttr, rMaxRec, rNumDims, NzVars
        n_r, n_attributes, _, n_axes, n_z = (self.number(at + 4 * i) for i in range(5))
        most = len(self.data) // _LEAST
        for what, n in (("variables", max(n_r, n_z)), ("attributes", n_attributes)):
            if n > most:
                raise Damaged(f"byte {at}: found {n} {what}; expected at most {most}")
        at += 20 + w + 12  # behind these five, UIRhead and three that are reserved: rDimSizes
        axes = self.axes(n_axes, at, end)
        for head, n in zip(heads, (n_r, n_z), strict=True):
            at = head
            for _ in range(n):
                at = self.variable(at, axes)

    def axes(self, n: int, at: int, end: int) -> list[int]:
        """Returns the lengths of axes."""
        if not 0 <= n <= (end - at) // 4:
            raise Damaged(f"lengths at {at}: found {n} axes; expected 0 to {(end - at) // 4}")
        found = [self.number(at + 4 * i) for i in range(n)]
        if min(found, default=0) < 0:
            raise Damaged(f"lengths at {at}: found {found[:4]}; expected none below 0")
        return found

    def variable(self, at: int, axes: list[int]) -> int:
        """Checks one variable, an rVDR or a zVDR; returns where the next one is."""
        w = self.width
        place = at
        kind, at, end = self.record(at)
        # VDRnext, DataType, MaxRec, VXRhead, VXRtail
        following, type_, last = self.number(at, w), self.number(at + w), self.number(at + w + 4)
        index = self.number(at + w + 8, w)
        at += 3 * w + 8 + 8 + 12  # behind Flags, SRecords and three that are reserved: NumElems
        size = _SIZES.get(type_, 16) * self.number(at)
        if self.number(at - 20) & _IS_COMPRESSED:
            self.record(self.number(at + 8, w))  # the CPR, which the library reads whole
        at += 8 + w + 4 + _NAME[w]  # behind Num, CPRorSPRoffset, BlockingFactor, Name: zNumDims
        if kind == _Z_VARIABLE:
            axes = self.axes(self.number(at), at + 4, end)
        if size < 0 or last < -1:
            found = f"found {last + 1} records of {size} bytes"
            raise Damaged(f"variable at {place}: {found}; expected neither below 0")
        self.budget.take_bytes((last + 1) * size * math.prod(axes))
        if last >= 0:
            self.index(index)
        return following

    def index(self, at: int) -> None:
        """Checks where the values of a variable are."""
        w = self.width
        waiting = [(at, True)]
        while waiting:
            at, is_index = waiting.pop()
            if at in self.seen:
                raise Damaged(f"record at {at}: found it twice in the indices; expected once")
            self.seen.add(at)
            kind, start, end = self.record(at)
            if kind == _COMPRESSED_VALUES:
                self.inflated(start + 4 + w, end)  # behind rfuA and cSize
            if kind != _INDEX:
                if is_index:  # the library takes it for one without a look
                    raise Damaged(f"record at {at}: found kind {kind}; expected {_INDEX}")
                continue
            # VXRnext, Nentries, NusedEntries; then First, Last and Offset of all entries
            following, n = self.number(start, w), self.number(start + w)
            used, entries = self.number(start + w + 4), start + w + 8
            if not 0 <= used <= n <= (end - entries) // (8 + w):
                most = (end - entries) // (8 + w)
                text = f"found {used} of {n} entries used; expected at most {most}"
                raise Damaged(f"index at {at}: {text}")
            places = entries + 8 * n
            waiting += [(self.number(places + w * i, w), False) for i in range(used)]
            waiting += [(following, True)] if following else []

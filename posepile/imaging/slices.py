"""What H.264 and HEVC packets say of their picture before its compressed data begin.

Read are the few fields up to the picture order count (ITU-T H.264, 7.3 and 8.2.1; H.265, 7.3 and
8.3.1). FFmpeg reads them too but tells nobody, and its filter ``dts2pts``, which sorts by them,
numbers the first pictures after an instantaneous refresh wrongly.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

# What precedes the picture's own data in a packet is not longer than this, nor is what is read of
# a slice, in bytes
_HEAD, _SLICE = 1 << 16, 48
_RECOVERY_POINT = 6
# H.264 profiles whose parameters tell the colour format
_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


@dataclass(frozen=True)
class Picture:
    """What a packet says of its picture.

    Attributes:
        order: Grows in the order of output over a whole stream; None where it cannot be told.
        clean: Decoding may start here, and all later pictures come out exact.
        new_sets: The packet brings parameters that the file's header has not.
        layered: The picture is of a higher temporal layer.
        splice: Pictures that lead this one in time are not put out.
    """

    order: tuple[int, int] | None = None
    clean: bool = False
    new_sets: bool = False
    layered: bool = False
    splice: bool = False


class SliceReader:
    """Reads the packets of one stream in file order.

    Args:
        hevc: HEVC, otherwise H.264.
        extradata: The stream's header: parameter sets with lengths or start codes.
    """

    def __init__(self, hevc: bool, extradata: bytes):
        self._hevc, self._extradata = hevc, extradata
        self._sets: dict[tuple, tuple] = {}
        self._sequence, self._last_poc, self._last_span = 0, 0, 0
        at = 21 if hevc else 4
        boxed = extradata[:1] == b"\1" and len(extradata) > at
        self._length_size = (extradata[at] & 3) + 1 if boxed else 0
        for unit in _header_units(extradata, hevc) if boxed else _units(extradata, 0):
            self._take_set(bytes(unit))

    def read(self, packet: memoryview) -> Picture:
        """Returns what the next packet says."""
        clean, new_sets = False, False
        for unit in _units(packet[:_HEAD], self._length_size):
            kind = self._kind(unit)
            if self._take_set(unit):
                new_sets |= bytes(unit) not in self._extradata
            elif not self._hevc and kind == 6:
                clean |= _is_clean_recovery(bytes(unit[1:]))
            elif self._hevc and kind < 32:
                return Picture(
                    self._order_hevc(unit, kind),
                    16 <= kind <= 21,
                    new_sets,
                    unit[1] & 7 != 1,
                    16 <= kind <= 18,
                )
            elif not self._hevc and 1 <= kind <= 5:
                return Picture(self._order_h264(unit, kind), clean or kind == 5, new_sets)
        return Picture(new_sets=new_sets)

    def _kind(self, unit) -> int:
        return unit[0] >> 1 & 63 if self._hevc else unit[0] & 31

    def _take_set(self, unit) -> bool:
        """Keeps what is needed of a parameter set; returns whether the unit is one."""
        kind = self._kind(unit)
        which = {33: "sequence", 34: "picture"} if self._hevc else {7: "sequence", 8: "picture"}
        if kind not in which:
            return False
        bits = _Bits(unit[2 if self._hevc else 1 :])
        read = {
            (True, "sequence"): _hevc_sequence,
            (True, "picture"): _hevc_picture,
            (False, "sequence"): _h264_sequence,
            (False, "picture"): lambda b: (b.ue(), (b.ue(),)),
        }[self._hevc, which[kind]]
        try:
            number, values = read(bits)
        except IndexError:
            return True
        self._sets[which[kind], number] = values
        return True

    def _order_h264(self, unit, kind: int) -> tuple[int, int] | None:
        bits = _Bits(unit[1:_SLICE])
        try:
            bits.ue(), bits.ue()  # first macroblock, slice type
            (sequence,) = self._sets["picture", bits.ue()]
            separate, frame_num, poc_type, poc_lsb, frames_only = self._sets["sequence", sequence]
            bits.u(2 * separate + frame_num)
            if not frames_only and bits.u(1):
                return None  # a field: what makes one picture cannot be told here
            if kind == 5:
                bits.ue()
            if poc_type == 2:  # the order of decoding
                self._last_poc += 1
                return self._sequence, self._last_poc
            lsb = bits.u(poc_lsb) if poc_type == 0 else None
        except (KeyError, IndexError):
            return None
        return self._count(lsb, 1 << poc_lsb, kind == 5, bool(unit[0] & 0x60))

    def _order_hevc(self, unit, kind: int) -> tuple[int, int] | None:
        bits = _Bits(unit[2:_SLICE])
        try:
            if not bits.u(1):
                return None
            if 16 <= kind <= 23:
                bits.u(1)
            sequence, output_flag, extra = self._sets["picture", bits.ue()]
            separate, poc_lsb = self._sets["sequence", sequence]
            bits.u(extra)
            bits.ue()  # slice type
            if output_flag and not bits.u(1):
                return None
            bits.u(2 * separate)
            refreshed = kind in (19, 20)
            lsb = 0 if refreshed else bits.u(poc_lsb)
        except (KeyError, IndexError):
            return None
        anchor = unit[1] & 7 == 1 and not 6 <= kind <= 9 and not (kind < 16 and kind % 2 == 0)
        return self._count(lsb, 1 << poc_lsb, refreshed, anchor)

    def _count(self, lsb: int | None, span: int, refreshed: bool, anchor: bool):
        """Returns the full count of which a slice has the lowest bits."""
        if lsb is None:
            return None
        if refreshed:
            self._sequence, self._last_poc = self._sequence + 1, 0
        step = (lsb - self._last_poc + span // 2) % span - span // 2
        poc = self._last_poc + step
        if anchor:
            self._last_poc = poc
        return self._sequence, poc


class _Bits:
    """Reads numbers of a unit bit by bit; IndexError at its end."""

    def __init__(self, data):
        data = bytes(data).replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def u(self, n: int) -> int:
        """Returns the next number of n bits."""
        self._left -= n
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & ((1 << n) - 1)

    def ue(self) -> int:
        """Returns the next number in Exp-Golomb code."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)


def _h264_sequence(bits: _Bits) -> tuple[int, tuple]:
    profile = bits.u(8)
    bits.u(16)
    number, separate = bits.ue(), 0
    if profile in _WITH_CHROMA:
        if bits.ue() == 3:
            separate = bits.u(1)
        bits.ue(), bits.ue(), bits.u(1)
        if bits.u(1):
            raise IndexError  # scaling matrices: long, and nobody writes them here
    frame_num, poc_type, poc_lsb = bits.ue() + 4, bits.ue(), 0
    if poc_type == 0:
        poc_lsb = _count_bits(bits)
    elif poc_type == 1:
        raise IndexError  # counted by a cycle of offsets: of no encoder in use
    bits.ue(), bits.u(1), bits.ue(), bits.ue()  # references, gaps, width, height
    return number, (separate, frame_num, poc_type, poc_lsb, bits.u(1))


def _count_bits(bits: _Bits) -> int:
    """Returns how many of its lowest bits a slice has of its place; IndexError if none may."""
    n = bits.ue() + 4
    if n > 16:  # more is in no standard, and numbers of so many bits could fill the memory
        raise IndexError
    return n


def _hevc_sequence(bits: _Bits) -> tuple[int, tuple]:
    bits.u(4)
    layers = bits.u(3)
    bits.u(1 + 88 + 8)
    flags = [(bits.u(1), bits.u(1)) for _ in range(8 if layers else 0)]
    for has_profile, has_level in flags[:layers]:
        bits.u(88 * has_profile + 8 * has_level)
    number, separate = bits.ue(), 0
    if bits.ue() == 3:
        separate = bits.u(1)
    bits.ue(), bits.ue()  # width, height
    if bits.u(1):
        [bits.ue() for _ in range(4)]
    bits.ue(), bits.ue()  # bits per sample
    return number, (separate, _count_bits(bits))


def _hevc_picture(bits: _Bits) -> tuple[int, tuple]:
    number, sequence, _ = bits.ue(), bits.ue(), bits.u(1)
    return number, (sequence, bits.u(1), bits.u(3))


def _header_units(data: bytes, hevc: bool):
    """Yields the parameter sets of an MP4 or Matroska header."""
    at = 22 if hevc else 5
    groups = (data[at] if at < len(data) else 0) if hevc else 2
    at += hevc
    for group in range(groups):
        if hevc:
            n, at = int.from_bytes(data[at + 1 : at + 3], "big"), at + 3
        else:
            n, at = (data[at] & (31 if group == 0 else 255) if at < len(data) else 0), at + 1
        for _ in range(n):
            if at >= len(data):
                return
            size = int.from_bytes(data[at : at + 2], "big")
            if size > 2:
                yield data[at + 2 : at + 2 + size]
            at += 2 + size


def _units(data, length_size: int):
    """Yields the units of a packet without lengths and start codes."""
    at = 0
    if length_size:
        while at + length_size < len(data):
            start = at + length_size
            at = start + int.from_bytes(data[at:start], "big")
            if at > start + 1:
                yield data[start:at]
        return
    starts = [m.end() for m in re.finditer(b"\0\0\1", data)]
    for start, following in itertools.pairwise([*starts, len(data) + 3]):
        if following - 3 > start + 1:
            yield data[start : following - 3]


def _is_clean_recovery(sei: bytes) -> bool:
    """Whether an SEI unit announces exact pictures from this very one on."""
    sei, at = sei.replace(b"\0\0\3", b"\0\0"), 0
    while at + 2 < len(sei):
        numbers = []
        for _ in ("type", "size"):
            number = 0
            while at < len(sei) - 1 and sei[at] == 255:
                number, at = number + 255, at + 1
            numbers.append(number + sei[at])
            at += 1
        if numbers[0] == _RECOVERY_POINT and at < len(sei):
            return sei[at] >> 5 == 0b110  # after 0 frames, exact, no broken link
        at += numbers[1]
    return False

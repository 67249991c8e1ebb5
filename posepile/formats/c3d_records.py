"""Header and parameters of a c3d file, walked through before its library follows them.

They are described in "The C3D File Format: User Guide" (Motion Lab Systems), chapters "The Header
Section" and "The Parameter Section"; words of the header are numbered as there, from 1. Files
consist of blocks of 512 bytes, also numbered from 1.
"""

from __future__ import annotations

import math
import os
import struct

from posepile.formats.budget import Damaged, walking

_BLOCK = 512
_KEY = 0x50  # in the second byte of the file
_PROCESSORS = (84, 85, 86)  # Intel, DEC, MIPS
_TYPES = (-1, 1, 2, 4)  # text, two of integers, floats: the bytes of a value
_MOST_AXES = 7
# The group ROTATION is of Theia Markerless, not in the User Guide: a rotation is a matrix of
# 4 x 4 and how reliable it is, as floats.
_BYTES_PER_ROTATION = 17 * 4
# A limit of ours: what takes no bytes in the file takes time and memory all the same.
_MOST_WITHOUT_BYTES = 1_000_000


def checked_frame_count(data: bytes, path: str | os.PathLike, *, hint: str | None) -> int | None:
    """Returns the number of frames by the header, None where the header cannot say it.

    Of files that are cut short, or whose sections contradict each other, the library returns what
    is there, hangs, or takes the process with it: so what it goes by is looked at first.

    >>> from posepile.miniature.writers import write_c3d
    >>> write_c3d(folder / "clip.c3d", np.zeros((5, 2, 3)), ["head", "neck"], 50.0)
    >>> checked_frame_count((folder / "clip.c3d").read_bytes(), "clip.c3d", hint=None)
    5

    Args:
        data: The file's content.
        path: For messages.
        hint: What the user can do about it.

    Raises:
        CorruptInput: No such file, cut short, or one that its library would not survive.
    """
    with walking(path, hint=hint):
        return _frame_count(data)


def _frame_count(data: bytes) -> int | None:
    if len(data) < _BLOCK:
        raise Damaged(f"truncated: found {len(data)} bytes; expected a c3d header of {_BLOCK}")
    if data[1] != _KEY:
        raise Damaged(f"not a c3d file: byte 1: found 0x{data[1]:02x}; expected 0x{_KEY:02x}")
    start = _BLOCK * (data[0] - 1)  # word 1, its first byte: the block of the parameters
    if not _BLOCK <= start <= len(data) - 4:
        raise Damaged(
            f"byte 0: found parameters that begin at {start}; expected {_BLOCK} to "
            f"{len(data) - 4}, where the file ends"
        )
    processor = data[start + 3]  # the head of the parameters: two bytes, their blocks, this
    if processor not in _PROCESSORS:
        raise Damaged(f"byte {start + 3}: found processor {processor}; expected 84 to 86")
    order = ">" if processor == 86 else "<"
    # Words 2 to 5: points, analog values per frame, first and last frame.
    n_points, n_analog, first, last = struct.unpack_from(f"{order}4H", data, 2)
    (scale,) = struct.unpack_from(f"{order}f", data, 12)  # words 7 and 8; negative: of floats
    # Words 9 and 10: block of the points, analog samples per frame.
    block, per_frame = struct.unpack_from(f"{order}2H", data, 16)
    n_frames = (last - first + 1) % 65536
    end = _BLOCK * (block - 1)  # of the parameters, where they come first
    facts = _Parameters(data, start, end if end > start else len(data))
    size = 4 if scale < 0 and processor != 85 else 2  # DEC writes other floats
    # The library goes by its parameters, and where they say nothing by the header.
    rate = facts.number("POINT", "RATE", 0.0)
    per_frame = max(per_frame, facts.number("ANALOG", "RATE", 0.0) / rate if rate >= 1 else 0)
    channels = facts.number("ANALOG", "USED", 0)
    n_analog = max(n_analog, channels * per_frame)
    n_points = max(n_points, facts.number("POINT", "USED", 0))
    stated = facts.number("POINT", "FRAMES", 0)
    most = max(n_frames, stated if stated != 65535 else 0)
    needed = end + most * (4 * n_points + n_analog) * size
    if needed > len(data):
        raise Damaged(
            f"truncated: found {len(data)} bytes; expected at least {needed:g} of {most:g} frames "
            f"of {n_points:g} points"
        )
    _check_without_bytes(facts, len(data), most, per_frame, rate)
    # Not needed here, but the library reads each as a number: what is none is refused.
    facts.number("POINT", "SCALE", 0.0)
    facts.number("ANALOG", "GEN_SCALE", 0.0)
    for name in ("SCALE", "OFFSET") if channels and "SHADOW" not in facts.groups else ():
        found = facts.count("ANALOG", name)
        if found < channels:
            raise Damaged(f"ANALOG:{name}: found {found:g} values; expected {channels:g}")
    return n_frames if last < 65535 else None  # the header cannot say more


def _check_without_bytes(
    facts: _Parameters, size: int, n_frames: float, per_frame: float, rate: float
) -> None:
    """Refuses more of what the library makes although there are no bytes of it in the file.

    Args:
        facts: The parameters.
        size: Of the file in bytes.
        n_frames: As the header or the parameters say.
        per_frame: Analog samples.
        rate: Frames per second.
    """
    turns = facts.number("ROTATION", "RATE", 0.0) / rate if rate >= 1 else 0
    turns = max(1, turns, facts.number("ROTATION", "RATIO", 0))
    rotations = facts.number("ROTATION", "USED", 0)
    most = max(size, _MOST_WITHOUT_BYTES)
    for what, n in (
        ("", 1),
        (" of {:g} analog samples", per_frame),
        (" of {:g} samples of rotations", turns),
        (" of {:g} bytes of rotations", turns * rotations * _BYTES_PER_ROTATION),
    ):
        if n_frames * n > most:
            found = f"found {n_frames:g} frames{what.format(n)}"
            raise Damaged(f"header: {found} in {size} bytes; expected at most {most} of them")


class _Parameters:
    """The parameter section of a c3d file, record by record.

    A record: length of its name (negative: locked), group (negative: this is the group itself),
    name, two bytes with the way from there to the next record, 0 for none; of a parameter also its
    type (-1 text, 1 and 2 integers, 4 floats: the bytes of a value), number of axes and their
    lengths, the values; then the length of a description, and that.
    """

    def __init__(self, data: bytes, at: int, end: int):
        self.data = data
        self.end = min(end, len(data))
        self.processor = data[at + 3]
        order = ">" if self.processor == 86 else "<"
        self.groups: dict[str, set[int]] = {}
        self.values: dict[tuple[int, str], tuple[int, int, int]] = {}
        at += 4
        while at and (length := abs(struct.unpack("b", self.take(at, 1))[0])):
            (group,) = struct.unpack("b", self.take(at + 1, 1))
            name = self.take(at + 2, length).decode("latin1").upper()
            step = at + 2 + length
            (way,) = struct.unpack(f"{order}H", self.take(step, 2))
            here = step + 2
            if group < 0:
                self.groups.setdefault(name, set()).add(-group)
            else:
                here = self.parameter(group, name, here)
            (described,) = struct.unpack("b", self.take(here, 1))
            if described < 0:  # the library would reserve four gigabytes
                self.refuse(f"byte {here}: found a description of {described} characters", "0-127")
            here += 1 + described
            self.take(here, 0)
            if group == 0 or (way and step + way != here):
                self.refuse(
                    f"byte {at}: {name!r:.40}: found group {group}, a record that ends at {here} "
                    f"and {step + way if way else here} as its end",
                    "a group, and one end",
                )
            at = step + way if way else 0

    def parameter(self, group: int, name: str, at: int) -> int:
        """Notes where the values of a parameter are; returns where they end."""
        (kind,) = struct.unpack("b", self.take(at, 1))
        (n_axes,) = self.take(at + 1, 1)
        axes = self.take(at + 2, n_axes)
        if kind not in _TYPES or n_axes > _MOST_AXES or (kind == -1 and not n_axes):
            self.refuse(
                f"byte {at}: {name!r:.40}: found type {kind} with {n_axes} axes",
                f"type -1, 1, 2 or 4 with at most {_MOST_AXES} axes, text with at least one",
            )
        count = math.prod(axes)
        here = at + 2 + n_axes
        self.take(here, count * abs(kind))
        self.values[group, name] = (here, count, kind)
        return here + count * abs(kind)

    def take(self, at: int, length: int) -> bytes:
        """Returns bytes of the section."""
        if at + length > self.end:
            self.refuse(
                f"byte {at}: found something of {length} bytes", f"its end until {self.end}"
            )
        return self.data[at : at + length]

    def refuse(self, found: str, expected: str) -> None:
        """Raises Damaged."""
        raise Damaged(" ".join(f"parameters, {found}; expected {expected}".split()))

    def count(self, group: str, name: str) -> int:
        """Returns how many values there are, with those that go on in a parameter ``name2``..."""
        found = 0
        for number in self.groups.get(group, ()):
            more = 1
            while (number, key := f"{name}{more if more > 1 else ''}") in self.values:
                found, more = found + self.values[number, key][1], more + 1
        return found

    def number(self, group: str, name: str, default: float) -> float:
        """Returns the first value of a parameter, the default where there is no such parameter.

        It is the largest of several groups of that name, of which the library takes one.
        """
        found = [default]
        for number in self.groups.get(group, ()):
            at, count, kind = self.values.get((number, name), (0, 1, 0))
            if not at:
                continue
            if not count or kind == -1:
                self.refuse(f"{group}:{name}: found text or nothing", "a number")
            value = self._value(at, kind)
            if name == "FRAMES" and kind == 2:
                value %= 65536  # it has no sign
            if not (value >= 0 or "SCALE" in name) or math.isinf(value):
                self.refuse(f"{group}:{name}: found {value}", "a number from 0 on")
            found.append(value)
        return found[-1] if name == "FRAMES" else max(found)

    def _value(self, at: int, kind: int) -> float:
        raw = self.data[at : at + abs(kind)]
        order = ">" if self.processor == 86 else "<"
        if kind == 4 and self.processor == 85:  # words swapped, four times as large
            return struct.unpack("<f", raw[2:] + raw[:2])[0] / 4
        return struct.unpack(f"{order}{ {1: 'b', 2: 'h', 4: 'f'}[kind] }", raw)[0]

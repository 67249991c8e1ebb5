"""Raw files of motion capture: c3d and NASA's CDF."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.cdf_records import check_records
from posepile.formats.pickle_nodes import TooLarge, too_large
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import read_bytes


class C3d(NamedTuple):
    """Points of a c3d file.

    Attributes:
        points: ``[T, J, 3]`` float64, in the file's unit.
        rate: Frames per second.
        units: e.g. ``mm``.
        labels: Names of the points.
        parameters: All parameters, group -> name -> list.
    """

    points: np.ndarray
    rate: float
    units: str
    labels: list[str]
    parameters: dict[str, dict[str, list]]


def read_c3d(path: str | os.PathLike, *, hint: str | None = AGAIN) -> C3d:
    """Returns the points of a c3d file.

    >>> from posepile.miniature.writers import write_c3d
    >>> write_c3d(folder / "clip.c3d", np.zeros((5, 2, 3)), ["head", "neck"], 50.0)
    >>> clip = read_c3d(folder / "clip.c3d")
    >>> clip.points.shape, clip.rate, clip.labels
    ((5, 2, 3), 50.0, ['head', 'neck'])

    Raises:
        CorruptInput: Missing, damaged or cut short.
    """
    data = read_bytes(path, hint=hint)
    n_frames = _frames_of_c3d(path, data, hint)
    import ezc3d

    try:
        content = ezc3d.c3d(os.fspath(path))
        parameters = {
            group: {name: entry["value"] for name, entry in entries.items() if "value" in entry}
            for group, entries in content["parameters"].items()
        }
        point = parameters["POINT"]
        result = C3d(
            content["data"]["points"][:3].transpose(2, 1, 0),
            float(np.asarray(point["RATE"]).reshape(())),  # one number
            str.strip(point["UNITS"][0]),
            [str.strip(label) for label in point["LABELS"]],
            parameters,
        )
    except (RuntimeError, OSError, ValueError, KeyError, IndexError, TypeError) as e:
        text = f"not a readable c3d file ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(path, text, hint=hint) from None
    if n_frames is not None and len(result.points) != n_frames:
        raise CorruptInput(
            path, f"truncated: {len(result.points)} frames; its header says {n_frames}", hint=hint
        )
    return result


def _frames_of_c3d(path, data: bytes, hint) -> int | None:
    """Number of frames by the header; refuses a file that its library would not survive.

    Of files that are cut short, or whose sections contradict each other, the library returns what
    is there, hangs, or takes the process with it: so what it goes by is looked at first. Words of
    the header: 1 parameter block and key, 2 points, 3 analog per frame, 4-5 first and last frame,
    7-8 scale factor, 9 data block, 10 analog samples per frame. MIPS is big-endian.
    """
    if len(data) < 512:
        raise CorruptInput(
            path, f"{len(data)} bytes; expected a c3d file with a header of 512", hint=hint
        )
    if data[1] != 0x50:
        raise CorruptInput(path, "not a c3d file: its second byte is not 0x50", hint=hint)
    start = 512 * (data[0] - 1)  # of the parameters
    if not 512 <= start <= len(data) - 4:
        raise CorruptInput(
            path, f"truncated: {len(data)} bytes; its parameters begin at {start}", hint=hint
        )
    processor = data[start + 3]
    if processor not in _PROCESSORS:
        raise CorruptInput(
            path, f"byte {start + 3}: found processor {processor}; expected 84 to 86", hint=hint
        )
    order = ">" if processor == 86 else "<"
    n_points, n_analog, first, last = struct.unpack_from(f"{order}4H", data, 2)
    block, per_frame = struct.unpack_from(f"{order}2H", data, 16)
    (scale,) = struct.unpack_from(f"{order}f", data, 12)
    n_frames = (last - first + 1) % 65536
    end = 512 * (block - 1)  # of the parameters, where they come first
    facts = _Parameters(path, data, start, end if end > start else len(data), hint)
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
        raise CorruptInput(
            path,
            f"truncated: {len(data)} bytes, {most} frames of {n_points:g} points need {needed:g}",
            hint=hint,
        )
    # What takes no bytes takes time and memory all the same.
    turns = facts.number("ROTATION", "RATE", 0.0) / rate if rate >= 1 else 0
    turns = max(1, turns, facts.number("ROTATION", "RATIO", 0))
    turns *= max(1, facts.number("ROTATION", "USED", 0) * 17 * 4)
    for what, n in (("analog samples", per_frame), ("bytes of rotations", turns)):
        if most * n > max(len(data), 1_000_000):
            raise CorruptInput(
                path,
                f"found {most} frames of {n:g} {what} in {len(data)} bytes; expected fewer",
                hint=hint,
            )
    facts.number("POINT", "SCALE", 0.0)
    facts.number("ANALOG", "GEN_SCALE", 0.0)
    for name in ("SCALE", "OFFSET") if channels and "SHADOW" not in facts.groups else ():
        found = facts.count("ANALOG", name)
        if found < channels:
            raise CorruptInput(
                path, f"ANALOG:{name}: found {found:g} values; expected {channels:g}", hint=hint
            )
    return n_frames if last < 65535 else None  # the header cannot say more


_PROCESSORS = (84, 85, 86)  # Intel, DEC, MIPS


class _Parameters:
    """The parameter section of a c3d file, record by record.

    A record: length of its name (negative: locked), group (negative: this is the group itself),
    name, two bytes with the way from there to the next record, 0 for none; of a parameter also its
    type (-1 text, 1 and 2 integers, 4 floats: the bytes of a value), number of axes and their
    lengths, the values; then the length of a description, and that.
    """

    def __init__(self, path, data: bytes, at: int, end: int, hint):
        self.path, self.data, self.hint = path, data, hint
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
        if kind not in (-1, 1, 2, 4) or n_axes > 7 or (kind == -1 and not n_axes):
            self.refuse(
                f"byte {at}: {name!r:.40}: found type {kind} with {n_axes} axes",
                "type -1, 1, 2 or 4 with at most 7 axes, text with at least one",
            )
        count = math.prod(axes)
        here = at + 2 + n_axes
        self.take(here, count * abs(kind))
        self.values[group, name] = (here, count, kind)
        return here + count * abs(kind)

    def take(self, at: int, length: int) -> bytes:
        """Returns bytes of the section."""
        if at + length > self.end:
            self.refuse(f"byte {at}: found {length} bytes of parameters", f"an end at {self.end}")
        return self.data[at : at + length]

    def refuse(self, found: str, expected: str) -> None:
        """Raises."""
        text = " ".join(f"parameters, {found}; expected {expected}".split())
        raise CorruptInput(self.path, text, hint=self.hint)

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

        Args:
            group: Name of the group.
            name: Of the parameter.
            default: Float where floats are needed.
        """
        found = [default]
        for number in self.groups.get(group, ()):
            at, count, kind = self.values.get((number, name), (0, 1, 0))
            if not at:
                continue
            if not count or kind == -1:
                self.refuse(f"{group}:{name}: found no number", "one")
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


def read_cdf(path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN) -> Any:
    """Returns the checked variables of a CDF file, by name.

    >>> from posepile.miniature.writers import write_cdf
    >>> write_cdf(folder / "walk.cdf", {"Pose": np.zeros((1, 5, 96))})
    >>> read_cdf(folder / "walk.cdf", {"Pose": Array(1, "T", 96)})["Pose"].shape
    (1, 5, 96)

    Raises:
        CorruptInput: Missing, damaged or not as expected.
    """
    import cdflib

    data = read_bytes(path, hint=hint)
    try:
        check_records(data, path, hint=hint)
        with cdflib.CDF(Path(path)) as cdf:
            info = cdf.cdf_info()
            names = [*info.rVariables, *info.zVariables]
            content = {name: np.asarray(cdf.varget(name)) for name in names}
    except (CorruptInput, MemoryError):
        raise
    except TooLarge as e:
        raise CorruptInput(path, too_large(e), hint=hint) from None
    except Exception as e:  # the library raises whatever it meets on damaged files
        text = f"not a readable CDF file ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(path, text, hint=hint) from None
    return check(content, schema, path, hint=hint)

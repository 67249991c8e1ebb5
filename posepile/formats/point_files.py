"""Named 3D points over time, as programs for markers and key points write them."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.arrays import read_npy
from posepile.formats.mocap_files import read_c3d
from posepile.formats.schema import AGAIN, Array, shortened
from posepile.formats.text_files import read_text

POINT_FORMATS = (".c3d", ".trc", ".csv", ".npy")
# Of a table of one row per point: what the column of its name is called.
_NAME_COLUMNS = ("keypoint", "bodypart", "marker", "joint", "label", "name", "point", "landmark")
_FRAME_COLUMNS = ("frame", "fnum", "frame_number", "frames", "index")


class Points(NamedTuple):
    """Named points over time.

    Attributes:
        points: ``[T, J, 3]`` float64 in the file's unit and axes, NaN = missing.
        labels: Names of the points; of an npy file ``0``, ``1``, ….
        rate: Rows per second, None where the file does not say it.
        unit: ``mm``, ``cm`` or ``m``, None where the file does not say it.
        first: Number of the first row, each other has one more; None where they have none.
    """

    points: np.ndarray
    labels: list[str]
    rate: float | None
    unit: str | None
    first: int | None = None


def read_points(path: str | os.PathLike, *, hint: str | None = AGAIN) -> Points:
    """Returns the points of a c3d, trc, csv or npy file, whichever its name says.

    A point at 0, 0, 0 is a missing one, as programs write it.

    >>> np.save(folder / "walk.npy", np.zeros((5, 2, 3)))
    >>> read_points(folder / "walk.npy").labels
    ['0', '1']

    Raises:
        CorruptInput: Missing, damaged, none of these, or no points in it.
    """
    found = _read(path, hint)
    missing = (found.points == 0).all(axis=-1, keepdims=True)
    return found._replace(points=np.where(missing, np.nan, found.points))


def _read(path: str | os.PathLike, hint: str | None) -> Points:
    kind = Path(path).suffix.lower()
    if kind == ".trc":
        return _read_trc(path, hint=hint)
    if kind == ".csv":
        return _read_point_csv(path, hint=hint)
    if kind == ".npy":
        points = read_npy(path, Array("frames", "points", 3, finite=False), hint=hint)
        return Points(points, [str(j) for j in range(points.shape[1])], None, None)
    if kind != ".c3d":
        raise CorruptInput(path, f"found a {kind or 'nameless'} file; expected {_OR}", hint=hint)
    content = read_c3d(path, hint=hint)
    points = content.points
    if len(content.labels) < points.shape[1]:
        found = f"found {len(content.labels)} labels of {points.shape[1]} points"
        raise CorruptInput(path, f"{found}; expected as many", hint=hint)
    labels = _unlike(path, content.labels[: points.shape[1]], hint)
    rate = content.rate if content.rate > 0 and math.isfinite(content.rate) else None
    return Points(points, labels, rate, _unit(path, content.units, hint))


def _read_trc(path: str | os.PathLike, *, hint: str | None = AGAIN) -> Points:
    r"""Returns the points of a trc file: Motion Analysis, OpenSim, Pose2Sim.

    Five lines of head, then tab-separated rows of frame, time and three numbers per marker; the
    format is described at https://opensimconfluence.atlassian.net/wiki/spaces/OpenSim/pages/53089972.
    An empty cell is a missing number.

    >>> head = "PathFileType\t4\t(X/Y/Z)\ta.trc\nDataRate\tNumFrames\tNumMarkers\tUnits\n"
    >>> head += "60\t1\t1\tm\nFrame#\tTime\tHead\n\t\tX1\tY1\tZ1\n"
    >>> _ = (folder / "a.trc").write_text(head + "\n1\t0.0\t0.5\t1.5\t2\n")
    >>> read_points(folder / "a.trc")
    Points(points=array([[[0.5, 1.5, 2. ]]]), labels=['Head'], rate=60.0, unit='m', first=1)

    Raises:
        CorruptInput: Missing, not so, fewer or more rows and markers than its head says, or a gap
            between rows.
    """
    lines = read_text(path, hint=hint).splitlines()
    if len(lines) < 5 or not lines[0].startswith("PathFileType"):
        found = shortened(lines[0]) if lines else "nothing"
        text = f"line 1: found {found}; expected PathFileType and four more lines of head"
        raise CorruptInput(path, text, hint=hint)
    facts = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    lacking = [key for key in ("DataRate", "NumFrames", "NumMarkers", "Units") if key not in facts]
    if lacking:
        raise CorruptInput(path, f"line 2: found no {lacking[0]}; expected it there", hint=hint)
    rate, n_frames, n_markers = (
        _number(path, 3, facts[key], hint) for key in ("DataRate", "NumFrames", "NumMarkers")
    )
    labels = [cell.strip() for cell in lines[3].split("\t")[2:] if cell.strip()]
    if len(labels) != n_markers:
        text = f"line 4: found {len(labels)} markers; expected {n_markers:g}, as in line 3"
        raise CorruptInput(path, text, hint=hint)
    labels, rows, numbers = _unlike(path, labels, hint), [], []
    for line, text in enumerate(lines[5:], 6):
        if not text.strip():
            continue
        cells = text.rstrip("\r\n").split("\t")[2:]
        while len(cells) > 3 * len(labels) and not cells[-1].strip():
            cells.pop()
        cells += [""] * (3 * len(labels) - len(cells))  # missing ones at the end of a row
        if len(cells) != 3 * len(labels):
            found = f"line {line}: found {len(cells)} numbers; expected {3 * len(labels)}"
            raise CorruptInput(path, found, hint=hint)
        rows.append([_number(path, line, cell, hint) for cell in cells])
        numbers.append((line, text.split("\t")[0]))
    if len(rows) != n_frames:
        text = f"found {len(rows)} rows; expected {n_frames:g}, as in line 3"
        raise CorruptInput(path, text, hint=hint)
    points = np.array(rows, np.float64).reshape(len(rows), len(labels), 3)
    rate = rate if rate > 0 and math.isfinite(rate) else None
    first = _first(path, numbers, hint)
    return Points(points, labels, rate, _unit(path, facts["Units"], hint), first)


def _read_point_csv(path: str | os.PathLike, *, hint: str | None = AGAIN) -> Points:
    r"""Returns the points of a csv file whose header names them.

    Taken are three forms: a row per frame with columns ``<name>_x``, ``<name>_y``, ``<name>_z``
    (Anipose, FreeMoCap; other columns do not count); the same under three rows of head, scorer,
    bodyparts and coords (DeepLabCut); a row per frame and point with columns frame, name, x, y, z.
    They are described at https://anipose.readthedocs.io, https://freemocap.github.io and
    https://deeplabcut.github.io. An empty cell is a missing number.

    >>> _ = (folder / "a.csv").write_text("nose_x,nose_y,nose_z,fnum\n1,2,,0\n")
    >>> read_points(folder / "a.csv").points.tolist()
    [[[1.0, 2.0, nan]]]

    Raises:
        CorruptInput: Missing, no csv, none of these forms, or something else than numbers.
    """
    rows = list(_rows(path, hint))
    if not rows:
        raise CorruptInput(path, "found no row; expected a header", hint=hint)
    head = [cell.strip() for _, cells in rows[:1] for cell in cells]
    numbered = next((k for k, name in enumerate(head) if name.lower() in _FRAME_COLUMNS), None)
    if head[:1] == ["scorer"] and len(rows) >= 3:
        second, third = (["", *cells[1:]] for _, cells in rows[1:3])
        if rows[1][1][:1] != ["bodyparts"] or rows[2][1][:1] != ["coords"]:
            found = shortened([row[1][:1] for row in rows[1:3]])
            text = (
                f"lines 2 and 3 begin with {found}; expected bodyparts and coords, of one animal"
            )
            raise CorruptInput(path, text, hint=hint)
        pairs = zip(second, third, strict=False)
        head = [f"{name.strip()}_{axis.strip()}" for name, axis in pairs]
        rows = rows[2:]
        # Of labelled pictures it has their names instead.
        numbered = 0 if all(cells[0].strip().isdecimal() for _, cells in rows[1:]) else None
    lower = [name.lower() for name in head]
    by_point = next((lower.index(name) for name in _NAME_COLUMNS if name in lower), None)
    if by_point is not None and {"x", "y", "z"} <= set(lower):
        return _row_per_point(path, lower, by_point, rows[1:], hint)
    columns: dict[str, dict[str, int]] = {}
    for k, name in enumerate(head):
        if match := re.fullmatch(r"(.*[^ _.:-])[ _.:-]+([xyzXYZ])", name):
            axes = columns.setdefault(match[1], {})
            if match[2].lower() in axes:
                raise CorruptInput(path, f"found two columns {name}; expected one", hint=hint)
            axes[match[2].lower()] = k
    named = {name: axes for name, axes in columns.items() if len(axes) == 3}
    if not named:
        text = f"line 1: found the columns {shortened(head)}; expected <name>_x, _y and _z"
        raise CorruptInput(path, text, hint=hint)
    order = [named[name][axis] for name in named for axis in "xyz"]
    points = np.empty((len(rows) - 1, len(order)))
    for k, (line, cells) in enumerate(rows[1:]):
        if len(cells) <= max(order):
            text = f"line {line}: found {len(cells)} cells; expected {len(head)}, as in line 1"
            raise CorruptInput(path, text, hint=hint)
        points[k] = [_number(path, line, cells[column], hint) for column in order]
    first = None
    if numbered is not None:
        cells_of = [
            (line, cells[numbered] if numbered < len(cells) else "") for line, cells in rows
        ]
        first = _first(path, cells_of[1:], hint)
    return Points(points.reshape(-1, len(named), 3), list(named), None, None, first)


def _row_per_point(path, head: list[str], name_column: int, rows, hint) -> Points:
    """Points of a table with a row per frame and point."""
    frame_column = next((head.index(name) for name in _FRAME_COLUMNS if name in head), None)
    if frame_column is None:
        raise CorruptInput(path, "line 1: found no column frame; expected it there", hint=hint)
    found: dict[tuple[int, str], list[float]] = {}
    for line, cells in rows:
        if len(cells) < len(head):
            text = f"line {line}: found {len(cells)} cells; expected {len(head)}, as in line 1"
            raise CorruptInput(path, text, hint=hint)
        frame = _number(path, line, cells[frame_column], hint)
        if not (abs(frame) < 2**31 and frame == int(frame)):
            text = f"line {line}: found frame {shortened(cells[frame_column])}"
            raise CorruptInput(path, f"{text}; expected a whole number", hint=hint)
        key = int(frame), cells[name_column].strip()
        if key in found:
            text = f"line {line}: found {shortened(key[1])} of frame {key[0]} again"
            raise CorruptInput(path, f"{text}; expected it once", hint=hint)
        found[key] = [_number(path, line, cells[head.index(axis)], hint) for axis in "xyz"]
    frames = sorted({frame for frame, _ in found})
    labels = list(dict.fromkeys(name for _, name in found))
    if frames and len(frames) != frames[-1] - frames[0] + 1:
        text = f"found {len(frames)} frames numbered {frames[0]} to {frames[-1]}"
        raise CorruptInput(path, f"{text}; expected no gap", hint=hint)
    if len(found) != len(frames) * len(labels):
        text = f"found {len(found)} rows; expected {len(labels)} for each of {len(frames)} frames"
        raise CorruptInput(path, text, hint=hint)
    points = np.array([found[frame, name] for frame in frames for name in labels], np.float64)
    return Points(
        points.reshape(len(frames), len(labels), 3), labels, None, None, min(frames, default=None)
    )


def _first(path, numbers: list[tuple[int, str]], hint) -> int | None:
    """Number of the first row, of lines and what they call their rows; None of rows without.

    Raises:
        CorruptInput: They do not go up by one, so that rows are lacking or there twice.
    """
    if not any(text.strip() for _, text in numbers):
        return None
    found: list[int] = []
    for line, text in numbers:
        number, expected = _number(path, line, text, hint), f"{found[-1] + 1}" if found else ""
        if math.isnan(number):
            fault = f"line {line}: found no number of the row; expected {expected or 'one'}"
            raise CorruptInput(path, fault, hint=hint)
        if not (abs(number) < 2**31 and number == int(number)):
            fault = f"line {line}: found row {number:g}; expected a whole number"
            raise CorruptInput(path, fault, hint=hint)
        if found and number != found[-1] + 1:
            fault = f"line {line}: found row {number:g} after row {found[-1]}; expected {expected}"
            todo = "write a row of each frame, with empty cells where nothing is known"
            raise CorruptInput(path, fault, hint=todo)
        found.append(int(number))
    return found[0]


def _rows(path, hint) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row of a csv file that is not empty."""
    text = read_text(path, hint=hint)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise CorruptInput(path, f"line {line}: found a NUL byte; expected text", hint=hint)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield reader.line_num, cells
    except csv.Error as e:
        raise CorruptInput(path, f"not a CSV file: {e}", hint=hint) from None


def _number(path, line: int, text: str, hint) -> float:
    """A number; NaN of an empty cell and of infinity."""
    text = text.strip()
    if not text:
        return math.nan
    try:
        if not text.isascii() or "_" in text or len(text) > 60:
            raise ValueError
        value = float(text)
    except ValueError:
        found = f"line {line}: found {shortened(text)}; expected a number"
        raise CorruptInput(path, found, hint=hint) from None
    return value if math.isfinite(value) else math.nan


def _unlike(path, labels: list[str], hint) -> list[str]:
    twice = next((name for name in labels if labels.count(name) > 1), None)
    if twice is not None:
        text = f"found two points {shortened(twice)}; expected names that differ"
        raise CorruptInput(path, text, hint=hint)
    return labels


def _unit(path, text: str, hint) -> str | None:
    """The unit that a file says; None where it says none."""
    words = {"mm": "mm", "cm": "cm", "m": "m", "millimeters": "mm", "meters": "m", "": None}
    word = text.strip().lower()
    if word not in words:
        found = f"found the unit {shortened(text)}; expected mm, cm or m"
        raise CorruptInput(path, found, hint=hint)
    return words[word]


_OR = ", ".join(POINT_FORMATS)

"""What was captured in a round: points, and motions in it; with checks of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.formats.matlab_files import read_mat
from posepile.formats.schema import Array, check
from posepile.shapes.units import same_count

MOVE = {"markerLocation": Array("T", "m", 3, finite=False), "motions_list?": None}
MOVE |= {"virtualMarkerLocation": Array("T", "v", 3, finite=False)}
MOVE |= {"flags30?": Array("M", 2, squeezed=True), "flags120?": Array("M", 2, squeezed=True)}
AMASS = {"jointsLocation_amass": Array("T", 52, 3)}
# Columns of the rounds S: which of the 17 are used, and what they are among the 87.
USED = [k for k in range(17) if k not in (5, 11)]
AMONG = [5, 6, 12, 13, 20, 36, 37, 43, 44, 51, 67, 71, 77, 79, 85]
HEAD, ANKLES, AMASS_ANKLES = 67, [71, 79], [7, 8]  # left before right


@dataclass
class Take:
    """A round of a subject.

    Attributes:
        points: ``[T, 87, 3]`` millimetres at 120 Hz, NaN = not seen.
        motions: Name of each motion; may be empty.
        rows: First and last row of each ``[M, 2]``.
        frames: Likewise in the video of the machine-vision cameras.
    """

    points: np.ndarray
    motions: list[str]
    rows: np.ndarray
    frames: np.ndarray

    def activities(self, rows: np.ndarray) -> list[str]:
        """Returns the name of the motion to which each row belongs."""
        names = np.full(len(rows), "unknown", object)
        for name, (first, last) in zip(self.motions, self.rows, strict=True):
            names[(first <= rows) & (rows <= last)] = name
        return names.tolist()


def read_take(path: Path, n: str, name: str, limit: float) -> Take:
    """Returns round ``F``, ``S1`` or ``S2`` of a subject.

    The last columns are the virtual joints, listed once more: ``limit`` mm may be between.
    """
    moves = read_moves(path, f"Subject_{n}_{name[0]}", MOVE)
    full = name == "F"
    if len(moves) != (n_rounds := 1 if full else 2):
        raise CorruptInput(path, f"move: found {len(moves)} rounds; expected {n_rounds}")
    move = moves[int(name[1:] or 1) - 1]
    columns, virtual = move["markerLocation"], move["virtualMarkerLocation"]
    found, expected = (columns.shape[1], virtual.shape[1]), (87, 20) if full else (17, 5)
    if found != expected:
        text = f"{name}: found {found} markers and virtual joints; expected {expected}"
        raise CorruptInput(path, text)
    off = np.nan_to_num(np.abs(columns[:, -expected[1] :] - virtual)).max(initial=0)
    if off > limit:
        text = f"{name}: virtual joints are {off:.1f} mm from the last columns of the markers"
        raise CorruptInput(path, f"{text}; expected {limit:g} or less: another order?")
    points = np.full((len(columns), 87, 3), np.nan)
    points[:, np.arange(87) if full else AMONG] = columns if full else columns[:, USED]
    points[(points == 0).all(axis=-1)] = np.nan  # one coordinate may be 0, and many are negative
    flags = [np.reshape(move.get(key, ()), (-1, 2)) - 1 for key in ("flags120", "flags30")]
    motions = [str(motion) for motion in np.ravel(move.get("motions_list", []))]
    if len(flags[0]):
        same_count({"flags120": len(flags[0]), f"{path}: motions_list": len(motions)}, "motions")
        row, n = flags[0], len(points)
        if row.min() < 0 or row.max() >= n or (row[:, 0] > row[:, 1]).any():
            text = f"{name}: flags120 are rows {row.min() + 1:g} to {row.max() + 1:g}; "
            raise CorruptInput(path, f"{text}expected first and last of {n} at 120 Hz")
    return Take(points, motions if len(flags[0]) else [], *flags)


def read_moves(path: Path, name: str, schema: dict) -> list[dict]:
    """Returns the structures in field ``move``: one by itself, or several in a cell."""
    found = read_mat(path, {name: {"move": None}})[name]["move"]
    found = [found] if isinstance(found, dict) else np.ravel(np.asarray(found, object)).tolist()
    return [check(m, schema, path, f"{name}.move({k + 1})") for k, m in enumerate(found)]


def check_take(path: Path, take: Take, limit: float) -> dict[str, float]:
    """Returns how far marks of motions are apart in video and motion capture; z must be up."""
    some = take.points[::60]
    check_up(path, some[:, HEAD] - some[:, ANKLES].mean(axis=1), (0, 0, 1))
    if not len(take.frames):
        return {}
    same_count({"flags120": len(take.rows), f"{path}: flags30": len(take.frames)}, "motions")
    off = float(np.abs(take.rows - 4 * take.frames).max())
    if off > limit:
        text = f"flags30 and flags120 are {off:g} rows apart; expected {limit:g} or less: "
        raise CorruptInput(path, text + "every 4th row of motion capture belongs to a frame")
    return {"clock_rows": off}


def check_sides(path: Path, n: str, take: Take, limit: float) -> dict[str, float]:
    """Returns how far the ankles are from those that AMASS has for the same motions (median)."""
    moves = read_moves(path, f"Subject_{n}_F_amass", AMASS)
    same_count({"flags120": len(take.rows), path: len(moves)}, "motions")
    off = [np.empty((0, 2, 2))]
    for move, (first, last) in zip(moves, take.rows.astype(int), strict=True):
        fitted = move["jointsLocation_amass"][: last + 1 - first, AMASS_ANKLES]
        ankles = take.points[first:][: len(fitted), ANKLES]
        both = np.stack([ankles - fitted, ankles - fitted[:, ::-1]], axis=2)
        off.append(np.linalg.norm(both, axis=-1))
    off = np.concatenate(off).reshape(-1, 2)
    if not len(off := off[np.isfinite(off).all(axis=-1)]):
        raise CorruptInput(path, "no ankle is known in both this and the motion capture")
    own, other = np.median(off, axis=0).tolist()
    if own > limit or own > other:
        text = f"ankles lie {own:.0f} mm (median) from their own in AMASS, {other:.0f} from the "
        hint = "left and right exchanged, another subject, or dataset.max_ankle_mm"
        raise CorruptInput(path, f"{text}other; expected {limit:g} or less", hint=hint)
    return {"ankles_mm": own}

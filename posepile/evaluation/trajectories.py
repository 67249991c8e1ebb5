"""Predictions that are joint trajectories in files: c3d, JSON or CSV, by their suffix.

JSON holds ``rate``, ``skel`` (name of the joint set), ``points`` ``[n, J, 3]`` and optionally
``units``; CSV a column ``t`` in seconds and three per joint, ``<joint>_x``, ``_y``, ``_z``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.evaluation.benchmark import MILLIMETRES
from posepile.evaluation.predictions import read_pred_json
from posepile.formats.mocap_files import read_c3d
from posepile.formats.schema import Array, OneOf, check, lookup
from posepile.formats.text_files import read_csv


def read_trajectory(
    path: Path, joints: Sequence[str], skeleton: str, rate: float
) -> dict[str, Any]:
    r"""Returns ``joints``, float64 ``[n, J, 3]``, NaN = missing, and ``units`` if stated.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "clip.csv")
    >>> _ = path.write_text("t,nose_x,nose_y,nose_z\n0.00,1,2,3\n0.02,1,2,4\n")
    >>> read_trajectory(path, ["nose"], "one_joint", 25.0)
    {'joints': array([[[1., 2., 3.]]]), 'units': None}

    Args:
        path: The file.
        joints: Names, in order.
        skeleton: Name of the joint set that c3d and JSON must state.
        rate: Frames per second that are wanted; a file at a multiple of it is thinned out.

    Raises:
        CorruptInput: Unreadable, or another joint set, unit, shape or rate.
    """
    form = f"expected JSON, csv or c3d of {skeleton}"
    kind = path.suffix.lower()
    if kind == ".c3d":
        c3d = read_c3d(path, hint=form)
        named = lookup(c3d.parameters, "POINT.SKEL.0", path, hint=form)
        content = {
            "points": c3d.points,
            "rate": c3d.rate,
            "units": c3d.units,
            "skel": named.strip(),
        }
    elif kind == ".json":
        content = read_pred_json(path, hint=form)
    elif kind == ".csv":
        columns = ["t", *(f"{joint}_{axis}" for joint in joints for axis in "xyz")]
        rows = read_csv(path, dict.fromkeys(columns, float), hint=form)
        table = np.array([list(row.values()) for row in rows]).reshape(-1, len(columns))
        points = table[:, 1:].reshape(-1, len(joints), 3)
        content = {"points": points, "rate": _rate(table[:, 0]), "skel": skeleton}
    else:
        raise CorruptInput(path, f"is a {kind or 'nameless'} file", hint=form)
    points = Array("n", len(joints), 3, finite=False)
    schema = {
        "points": points,
        "rate": float,
        "skel": OneOf(skeleton),
        "units?": OneOf(*MILLIMETRES),
    }
    content = check(content, schema, path, hint=form)
    thinned = _resample(content["points"], content["rate"], rate, path)
    return {"joints": thinned, "units": content.get("units")}


def _resample(points: np.ndarray, rate: float, target: float, path: Path) -> np.ndarray:
    """Returns every n-th pose, so that they come at the target rate.

    >>> _resample(np.arange(10), 50.0, 10.0, Path("clip.csv"))
    array([0, 5])

    Args:
        points: ``[n, ...]``.
        rate: Frames per second of the points.
        target: Those wanted.
        path: Where the points come from, for the message.

    Raises:
        CorruptInput: The rate is no multiple of the target.
    """
    if not (rate >= target and rate % target == 0):
        raise CorruptInput(
            path,
            f"rate is {rate:g} Hz; expected an integer multiple of {target:g} Hz",
            hint="state the rate of the poses, or interpolate them",
        )
    return points[:: int(rate / target)]


def _rate(times: np.ndarray) -> float:
    """Frames per second of times that grow steadily; 0 if they do not grow."""
    seconds = times[-1] - times[0] if len(times) > 1 else 0.0
    rate = (len(times) - 1) / seconds if seconds > 0 else 0.0
    # Times are rounded in text, so the rate is an integer only nearly.
    return float(np.round(rate) if abs(rate - np.round(rate)) < 1e-3 else rate)

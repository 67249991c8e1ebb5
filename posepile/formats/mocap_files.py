"""Raw files of motion capture: c3d and NASA's CDF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.c3d_records import checked_frame_count
from posepile.formats.cdf_records import check_records
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
    n_frames = checked_frame_count(data, path, hint=hint)
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
        text = (
            f"truncated: found {len(result.points)} frames; expected the {n_frames} of its header"
        )
        raise CorruptInput(path, text, hint=hint)
    return result


def points_in_mm(mocap: C3d, path: str | os.PathLike) -> np.ndarray:
    """Returns the points of a c3d file in millimetres; missing ones, NaN or all zeros, are NaN.

    >>> mocap = C3d(np.array([[[1.0, 2, 3], [0, 0, 0]]]), 50.0, "m", ["a", "b"], {})
    >>> points_in_mm(mocap, "clip.c3d").tolist()
    [[[1000.0, 2000.0, 3000.0], [nan, nan, nan]]]

    Args:
        mocap: Its content.
        path: The file, for messages.

    Raises:
        CorruptInput: Its unit is none of mm, cm and m.
    """
    units = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
    if mocap.units not in units:
        raise CorruptInput(path, f"found unit {mocap.units!r}; expected {' or '.join(units)}")
    points = mocap.points * units[mocap.units]
    points[(points == 0).all(axis=-1)] = np.nan
    return points


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
    except Exception as e:  # the library raises whatever it meets on damaged files
        text = f"not a readable CDF file ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(path, text, hint=hint) from None
    return check(content, schema, path, hint=hint)

"""Raw files of motion capture: c3d and NASA's CDF."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import opened, read_bytes


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
            float(point["RATE"][0]),
            point["UNITS"][0].strip(),
            [label.strip() for label in point["LABELS"]],
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
    """Number of frames by the header, whose promise the file must be long enough for.

    Of a truncated file the library returns what is there, or hangs: so this is looked at first.
    Words of the header: 1 parameter block and key, 2 points, 3 analog per frame, 4-5 first and
    last frame, 7-8 scale factor, 9 data block, 10 analog samples per frame. MIPS is big-endian.
    """
    try:
        parameters = 512 * (data[0] - 1)
        if data[1] != 0x50:
            raise CorruptInput(path, "not a c3d file: its second byte is not 0x50", hint=hint)
        processor = data[parameters + 3]  # 84 Intel, 85 DEC, 86 MIPS
        order = ">" if processor == 86 else "<"
        n_points, n_analog, first, last = struct.unpack_from(f"{order}4H", data, 2)
        (block,) = struct.unpack_from(f"{order}H", data, 16)
        (scale,) = struct.unpack_from(f"{order}f", data, 12)
    except (struct.error, IndexError):
        raise CorruptInput(
            path, f"{len(data)} bytes; expected a c3d file with a header of 512", hint=hint
        ) from None
    n_frames = (last - first + 1) % 65536
    size = 4 if scale < 0 and processor != 85 else 2  # DEC writes other floats
    needed = 512 * (block - 1) + n_frames * (4 * n_points + n_analog) * size
    if parameters >= len(data) or needed > len(data):
        raise CorruptInput(
            path,
            f"truncated: {len(data)} bytes, {n_frames} frames of {n_points} points need {needed}",
            hint=hint,
        )
    return n_frames if last < 65535 else None  # the header cannot say more


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

    with opened(path, hint=hint):
        pass  # the library does not say what is wrong
    try:
        with cdflib.CDF(Path(path)) as cdf:
            info = cdf.cdf_info()
            names = [*info.rVariables, *info.zVariables]
            content = {name: np.asarray(cdf.varget(name)) for name in names}
    except Exception as e:  # the library raises whatever it meets on damaged files
        text = f"not a readable CDF file ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(path, text, hint=hint) from None
    return check(content, schema, path, hint=hint)

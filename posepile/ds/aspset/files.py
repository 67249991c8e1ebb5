"""Reading ASPset's file formats, down to files that are damaged."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in


def data_dir(root: Path) -> Path:
    """Returns the folder that holds splits.csv.

    The archives' members lie below ``ASPset-510/``, which the official toolkit strips; all three
    places are in use on people's disks.
    """
    for folder in (root / "data", root / "ASPset-510", root):
        if "splits.csv" in names_in(folder):
            return folder
    raise CorruptInput(
        root / "data" / "splits.csv", "file is missing", hint="it is in the common-splits archive"
    )


def read_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsic matrix ``[3, 3]`` and world-to-camera matrix ``[4, 4]``, float64, checked."""
    try:
        content = json.loads(path.read_text())
        intrinsic = np.array(content["intrinsic_matrix"], np.float64).reshape(3, 4)
        extrinsic = np.array(content["extrinsic_matrix"], np.float64).reshape(4, 4)
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}") from None
    except (ValueError, TypeError, KeyError) as e:
        raise CorruptInput(
            path,
            f"not a camera file ({type(e).__name__}: {e}); expected JSON with intrinsic_matrix "
            "(3x4) and extrinsic_matrix (4x4)",
        ) from None
    rotation = extrinsic[:3, :3]
    if not (
        np.isfinite(intrinsic).all()
        and intrinsic[0, 0] > 0
        and intrinsic[1, 1] > 0
        and np.allclose(intrinsic[[1, 2, 2], [0, 0, 1]], 0)
        and np.allclose(intrinsic[:, 3], 0)
        and np.isclose(intrinsic[2, 2], 1)
    ):
        raise CorruptInput(path, f"intrinsic_matrix {intrinsic.tolist()} is not a pinhole camera")
    if not (
        np.isfinite(extrinsic).all()
        and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
        and np.linalg.det(rotation) > 0
        and np.allclose(extrinsic[3], [0, 0, 0, 1])
    ):
        raise CorruptInput(path, f"extrinsic_matrix {extrinsic.tolist()} is not a rigid motion")
    return intrinsic[:, :3], extrinsic


def read_c3d(path: Path) -> C3d:
    """Reads a c3d file."""
    import ezc3d

    try:
        content = ezc3d.c3d(str(path))
        point = content["parameters"]["POINT"]
        points = content["data"]["points"][:3].transpose(2, 1, 0)
        result = C3d(
            points,
            float(point["RATE"]["value"][0]),
            point["UNITS"]["value"][0].strip(),
            [label.strip() for label in point["LABELS"]["value"]],
            point["SKEL"]["value"][0].strip(),
        )
        # Of a truncated file the library returns what is there and corrects the header: look
        # into the file itself. Byte 6: first and last frame; MIPS files are big-endian.
        with path.open("rb") as f:
            head = f.read(512 * 16)
        order = ">" if head[(head[0] - 1) * 512 + 3] == 86 else "<"
        first, last = struct.unpack_from(f"{order}HH", head, 6)
    except (RuntimeError, OSError, ValueError, KeyError, IndexError, struct.error) as e:
        reason = " ".join(str(e).split())
        raise CorruptInput(
            path, f"not a readable c3d file ({type(e).__name__}: {reason})"
        ) from None
    if last - first + 1 != len(points):
        raise CorruptInput(
            path, f"truncated: {len(points)} frames; its header says {last - first + 1}"
        )
    return result


def read_csv(path: Path) -> list[list[str]]:
    """Returns rows of a CSV file without trailing blank lines."""
    try:
        with path.open(newline="") as f:
            rows = list(csv.reader(f))
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as e:
        raise CorruptInput(path, f"not a CSV file: {e}") from None
    while rows and not rows[-1]:
        rows.pop()
    return rows


def is_box(row: list[str]) -> bool:
    """Returns whether a CSV row holds four numbers."""
    try:
        return len([float(value) for value in row]) == 4
    except ValueError:
        return False


class C3d(NamedTuple):
    """Content of a c3d file: positions ``[n, J, 3]`` float64, frames per second, and names."""

    points: np.ndarray
    rate: float
    units: str
    labels: list[str]
    skeleton: str

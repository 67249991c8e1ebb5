"""Calibration of Project Aria: of the glasses, and of static cameras that filmed with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.keys import by_key
from posepile.formats.schema import AGAIN, Array, OneOf, check
from posepile.formats.text_files import read_csv, read_json
from posepile.formats.vrs_files import read_vrs_tag

SENSOR_SIZE = (2880, 2880)  # of the RGB camera
RECORDED_SIZE = (1408, 1408)
SENSOR_CROP = 32  # the recorded image leaves out a border of 32 sensor pixels, then halves
LABEL = "camera-rgb"
N_PARAMS = 15  # f, cx, cy, k0..k5, p0, p1, s0..s3
_NUMBERS = (
    *(f"q{a}_world_cam" for a in "xyzw"),
    *(f"t{a}_world_cam" for a in "xyz"),
    *(f"intrinsics_{i}" for i in range(8)),
    *("image_width", "image_height"),
)
_COLUMNS = {"cam_uid": str, "quality": float, "intrinsics_type?": str}
_COLUMNS |= {f"{name}?": float for name in _NUMBERS}
_LOCALIZED = {"cam_uid": str, "intrinsics_type": OneOf("KANNALABRANDTK3")}
_LOCALIZED |= dict.fromkeys(_NUMBERS, float)


def read_aria_lens(path: str | os.PathLike, *, hint: str | None = AGAIN) -> np.ndarray:
    """Returns FISHEYE624 parameters of the RGB camera for its recorded image, float64 ``[15]``.

    Calibrations are published for the sensor of 2880 pixels and for the recorded image of 1408;
    the principal point, near the middle, tells which one it is.

    >>> from posepile.miniature.writers import write_aria_lens
    >>> write_aria_lens(folder / "glasses.vrs", [611.0, 703.0, 705.0, *[0.0] * 12])
    >>> read_aria_lens(folder / "glasses.vrs")[:3].tolist()
    [611.0, 703.0, 705.0]

    Args:
        path: A ``.vrs`` recording, with or without image streams, or its calibration as JSON.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: No calibration of that camera, of that form or of one of the two images.
    """
    path = Path(path)
    if path.suffix == ".vrs":
        content = read_vrs_tag(path, "calib_json", hint=hint)
    else:
        content = read_json(path, hint=hint)
    found = check(content, {"CameraCalibrations": [{"Label": str, "*": None}]}, path, hint=hint)
    cameras = enumerate(found["CameraCalibrations"])
    entries = ((c["Label"], f"CameraCalibrations[{i}]", c) for i, c in cameras)
    camera = by_key(entries, path, "camera", hint=hint).get(LABEL)
    if camera is None:
        raise CorruptInput(path, f"no calibration of {LABEL} in it", hint=hint)
    schema = {"Projection": {"Name": str, "Params": Array("n")}}
    lens = check(camera, schema, path, LABEL, hint=hint)["Projection"]
    model, params = lens["Name"], lens["Params"]
    if model.lower() not in ("fisheyeradtanthinprism", "fisheye624") or len(params) != N_PARAMS:
        raise CorruptInput(
            path, f"lens model {model} with {len(params)} parameters, expected FISHEYE624 with 15"
        )
    if _near_middle(params, SENSOR_SIZE):
        params[0] /= 2
        params[1:3] = (params[1:3] - 0.5 - SENSOR_CROP) / 2
    if not _near_middle(params, RECORDED_SIZE):
        raise CorruptInput(
            path,
            f"principal point ({params[1]:.0f}, {params[2]:.0f}) of {LABEL} is the middle of "
            "neither the sensor of 2880 nor the recorded image of 1408 pixels",
            hint=hint,
        )
    return params


def read_static_calibs(
    path: str | os.PathLike, *, hint: str | None = AGAIN
) -> dict[str, list[dict[str, Any]]]:
    """Returns the static cameras that Aria's location service has localized (quality 1), by name.

    >>> from posepile.miniature.rig import make_camera
    >>> from posepile.miniature.writers import write_static_calibs
    >>> camera = make_camera((640, 480), (0, -4000, 0), (0, 0, 0), 500, distortion=[0.1, 0, 0, 0])
    >>> write_static_calibs(folder / "calibs.csv", {"cam01": camera}, bad=[])
    >>> (calib,) = read_static_calibs(folder / "calibs.csv")["cam01"]
    >>> calib["size"], np.round(calib["center"], 6).tolist()
    ((640, 480), [0.0, -4.0, 0.0])

    Args:
        path: ``static_camera_calibs.csv`` or whatever a dataset calls it; values may have leading
            blanks, and rows that are not localized may be empty.
        hint: What the user can do if the file is not so.

    Returns:
        Name -> one or more of ``intrinsics`` ``[3, 3]``, ``distortion`` (k1..k4 of the
        Kannala-Brandt model), ``size`` (width, height), ``rotation`` (camera to world, quaternion
        x, y, z, w) and ``center`` (metres ``[3]``).

    Raises:
        CorruptInput: Missing columns, not a number, or another lens model.
    """
    result: dict[str, list[dict[str, Any]]] = {}
    for line, row in enumerate(read_csv(path, _COLUMNS, hint=hint), start=2):
        if row["quality"] != 1:
            continue
        row["intrinsics_type"] = (row["intrinsics_type"] or "").upper()
        found: dict[str, Any] = check(row, _LOCALIZED, path, f"line {line}", hint=hint)
        fx, fy, cx, cy, *distortion = (found[f"intrinsics_{i}"] for i in range(8))
        calib = {
            "intrinsics": np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
            "distortion": np.array(distortion),
            "size": (int(found["image_width"]), int(found["image_height"])),
            "rotation": np.array([found[f"q{a}_world_cam"] for a in "xyzw"]),
            "center": np.array([found[f"t{a}_world_cam"] for a in "xyz"]),
        }
        result.setdefault(found["cam_uid"], []).append(calib)
    return result


def _near_middle(params: np.ndarray, size: tuple[int, int]) -> bool:
    return bool(np.abs(params[1:3] - (np.array(size) - 1) / 2).max() <= size[0] / 14)

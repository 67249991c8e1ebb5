"""Calibration of Project Aria's glasses: their JSON, alone or within a VRS recording."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN, Array, check
from posepile.formats.text_files import read_json
from posepile.formats.vrs_files import read_vrs_tag

RECORDED_SIZE = (1408, 1408)  # of the RGB camera, from a sensor of 2880
SENSOR_CROP = 32  # the recorded image leaves out a border of 32 sensor pixels, then halves
N_PARAMS = 15  # f, cx, cy, k0..k5, p0, p1, s0..s3


def read_aria_lens(
    path: str | os.PathLike, label: str = "camera-rgb", *, hint: str | None = AGAIN
) -> np.ndarray:
    """Returns FISHEYE624 parameters of a camera for its sensor, float64 ``[15]``.

    >>> import json
    >>> params = [1220.0, 1462.0, 1450.0, *[0.0] * 12]
    >>> lens = {"Name": "FisheyeRadTanThinPrism", "Params": params}
    >>> content = {"CameraCalibrations": [{"Label": "camera-rgb", "Projection": lens}]}
    >>> _ = (folder / "calib.json").write_text(json.dumps(content))
    >>> read_aria_lens(folder / "calib.json")[:3]
    array([1220., 1462., 1450.])

    Args:
        path: A ``.vrs`` recording, with or without image streams, or its calibration as JSON.
        label: Of the camera.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: No calibration of that camera or of that form in the file.
    """
    path = Path(path)
    if path.suffix == ".vrs":
        content = read_vrs_tag(path, "calib_json", hint=hint)
    else:
        content = read_json(path, hint=hint)
    found = check(content, {"CameraCalibrations": [{"Label": str, "*": None}]}, path, hint=hint)
    camera = next((c for c in found["CameraCalibrations"] if c["Label"] == label), None)
    if camera is None:
        raise CorruptInput(path, f"no calibration of {label} in it", hint=hint)
    schema = {"Projection": {"Name": str, "Params": Array("n")}}
    lens = check(camera, schema, path, label, hint=hint)["Projection"]
    model, params = lens["Name"], lens["Params"]
    if model.lower() not in ("fisheyeradtanthinprism", "fisheye624") or len(params) != N_PARAMS:
        raise CorruptInput(
            path, f"lens model {model} with {len(params)} parameters, expected FISHEYE624 with 15"
        )
    return params


def recorded_lens(params: np.ndarray, where: str = "calibration") -> np.ndarray:
    """Returns parameters for the recorded 1408 image from those of the RGB camera's sensor.

    >>> recorded_lens(np.array([1220.0, 1440.5, 1440.5, *[0.0] * 12]))[:3]
    array([610., 704., 704.])
    """
    params = np.array(params, np.float64)
    params[0] /= 2
    params[1:3] = (params[1:3] - 0.5 - SENSOR_CROP) / 2
    if np.abs(params[1:3] - (RECORDED_SIZE[0] - 1) / 2).max() > 100:
        raise CorruptInput(
            where,
            f"principal point ({params[1]:.0f}, {params[2]:.0f}) is far from the centre of the "
            "1408 image: the calibration is not of the 2880 sensor",
        )
    return params

"""Files of robots with a ring of cameras: calibration in YAML, boxes of tracked people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import numbers_in, read_json
from posepile.formats.yaml_files import read_raw_yaml

_SENSORS = {"cameras": {"*": {"width": int, "height": int, **dict.fromkeys("DKRT", str)}}}
_BOXES = {"labels": {"*": [{"box": [float], "label_id": str}]}}


def read_sensors(
    path: str | os.PathLike, n: int, *, hint: str | None = AGAIN
) -> list[dict[str, Any]]:
    """Returns the first cameras of a ring, as :func:`posepile.geometry.cameras.make_camera` takes.

    >>> text = "cameras: {sensor_0: {width: 752, height: 480, D: -0.3 0.1 0 0 0, T: 0 0 -50,"
    >>> text += "K: 476 0 360 0 476 220 0 0 1, R: 1 0 0 0 1 0 0 0 1}}"
    >>> _ = (folder / "cameras.yaml").write_text(text)
    >>> read_sensors(folder / "cameras.yaml", 1)[0]["size"]
    (752, 480)

    Args:
        path: ``cameras`` -> ``sensor_<i>`` -> ``width``, ``height``; lens D (in OpenCV's order),
            K, rotation R from world to camera and T after it, as texts.
        n: How many; the file may have more.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, damaged or not as expected.
    """
    found, cameras = read_raw_yaml(path, _SENSORS, hint=hint)["cameras"], []
    for i in range(n):
        sensor = found.get(f"sensor_{i}")
        if sensor is None:
            text = f"found no sensor_{i}; expected sensor_0 to sensor_{n - 1}"
            raise CorruptInput(path, text, hint=hint)
        d, k, r, t = (np.array(numbers_in(sensor[key], path, 1, hint)) for key in "DKRT")
        if (len(d), len(k), len(r), len(t)) != (5, 9, 9, 3):
            sizes = f"{len(d)}, {len(k)}, {len(r)} and {len(t)}"
            text = f"sensor_{i}: found {sizes} numbers of D, K, R and T; expected 5, 9, 9 and 3"
            raise CorruptInput(path, text, hint=hint)
        lens = {"distortion": d, "intrinsics": k.reshape(3, 3)}
        pose = {"rotation": r.reshape(3, 3), "translation": t}
        cameras.append({"size": (sensor["width"], sensor["height"]), **lens, **pose})
    return cameras


def read_track_boxes(
    path: str | os.PathLike, *, hint: str | None = AGAIN
) -> dict[tuple[int, int], np.ndarray]:
    """Returns the boxes of tracked people, (track, number of the picture) -> x, y, width, height.

    A box's own ``file_id`` is the picture's number in another release and is not looked at.

    >>> text = '{"labels": {"000004.jpg": [{"box": [1, 2, 30, 40], "label_id": "pedestrian:7"}]}}'
    >>> _ = (folder / "walk.json").write_text(text)
    >>> read_track_boxes(folder / "walk.json")
    {(7, 4): array([ 1.,  2., 30., 40.])}

    Raises:
        CorruptInput: Missing, damaged or not as expected.
    """
    boxes = {}
    for name, people in read_json(path, _BOXES, hint=hint)["labels"].items():
        for person in people:
            track, frame = person["label_id"].rpartition(":")[2], Path(name).stem
            are_numbers = all(text.isdecimal() and len(text) < 10 for text in (track, frame))
            if are_numbers and len(person["box"]) == 4:
                boxes[int(track), int(frame)] = np.array(person["box"], np.float64)
    return boxes

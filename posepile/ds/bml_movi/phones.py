"""Calibrations of phones that somebody has made; none are published. README.md has the form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.arrays import at_rows
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import camera_pose, make_camera, moving_cameras
from posepile.geometry.pictures import project_frames

PHONE_SIZE, LENS, RATE = (1920, 1080), np.diag([1508.7021, 1508.7021, 1]), 120
LENS[:2, 2] = 960, 540
FORM = {"fps": float, "offset": float, "K?": Array(3, 3), "R": None, "t": None, "frames?": None}
FORM |= {"seen?": [{"frame": int, "joint": str, "x": float, "y": float}]}
STATIC = {"R": Array(3, 3), "t": Array(3)}
MOVING = {"R": Array("n", 3, 3), "t": Array("n", 3), "frames": Array("n", dtype=int)}


@dataclass
class Phone:
    """A phone's video.

    Attributes:
        camera: The camera, or frame -> camera.
        frames: Those during the motion capture that have a camera ``[n]``.
        rows: Place of each in the motion capture; no whole numbers.
        rolls: Degrees by which it is tilted sideways in each.
        n_lost: Frames during the motion capture that have none.
        marks: Joints that somebody has marked in pictures.
        clock: Frame -> row.
    """

    camera: Any
    frames: np.ndarray
    rows: np.ndarray
    rolls: np.ndarray
    n_lost: int
    marks: list[dict]
    clock: Any


def read_phone(path: Path, n_rows: int) -> Phone:
    """Returns a phone's calibration, made for so many rows of motion capture."""
    found = read_json(path, FORM)
    moving = found.get("frames") is not None
    pose = {key: found.get(key) for key in (MOVING if moving else STATIC)}
    pose = check(pose, MOVING if moving else STATIC, path)
    fps, offset, lens = found["fps"], found["offset"], found.get("K")
    if fps <= 0:
        raise CorruptInput(path, f"fps: found {fps:g}; expected more than 0")
    if moving and (np.diff(pose["frames"]) <= 0).any():
        raise CorruptInput(path, "frames: expected each once, in order")
    first, last = offset * fps, (offset + (n_rows - 1) / RATE) * fps
    every = np.arange(max(0, np.ceil(first)), max(0, np.floor(last) + 1), dtype=int)
    given = {"intrinsics": LENS if lens is None else lens, "size": PHONE_SIZE}
    given |= {"rotation": pose["R"], "translation": pose["t"], "unit": "mm"}
    turns, _ = camera_pose(path, rotation=pose["R"], translation=pose["t"])
    if moving:
        known = np.isin(pose["frames"], every)
        frames, turns = pose["frames"][known], turns[known]
        camera = moving_cameras(path, pose["frames"], **given)
    else:
        frames, camera = every, make_camera(path, **given)
        turns = np.broadcast_to(turns, (len(every), 3, 3))
    rolls = np.degrees(np.arctan2(turns[:, 0, 2], -turns[:, 1, 2]))
    clock = lambda frames: (np.asarray(frames) / fps - offset) * RATE  # noqa: E731
    rows, n_lost = np.clip(clock(frames), 0, n_rows - 1), len(every) - len(frames)
    return Phone(camera, frames, rows, rolls, n_lost, found.get("seen") or [], clock)


def check_marks(
    path: Path, phone: Phone, points: np.ndarray, names: list[str], limit: float
) -> dict[str, float]:
    """Returns how far marked joints are from the projected ones (median), if there are any."""
    off = []
    for k, mark in enumerate(phone.marks):
        row = phone.clock([mark["frame"]])
        if mark["joint"] not in names or not 0 <= row[0] <= len(points) - 1:
            text = f"seen[{k}]: found joint {mark['joint']!r}, frame {mark['frame']}; expected a "
            raise CorruptInput(path, f"{text}name of SPEC.joint_info, during the motion capture")
        joint = at_rows(points, row)[:, [names.index(mark["joint"])]]
        pixel = project_frames(phone.camera, [mark["frame"]], joint)[0, 0]
        off.append(float(np.hypot(*(pixel - (mark["x"], mark["y"])))))
    if not off:
        return {}
    median = float(np.nanmedian(off))
    if not median <= limit:
        text = f"seen: {len(off)} joints lie {median:.1f} px (median) from the projected ones; "
        raise CorruptInput(path, f"{text}expected {limit:g} or less (dataset.max_phone_px)")
    return {"phone_px": median}

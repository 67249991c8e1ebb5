"""A Kinect v2: cameras for colour and depth side by side, and the bodies it sees, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posepile.miniature import rig, writers

SIZE, FOCAL, APART_MM = (1920, 1080), 1060, 60  # of the colour camera; pixels, millimetres
DEPTH_SIZE, DEPTH_FOCAL = (512, 424), 365
ENDS = (3, 15, 19, 21, 22, 23, 24)  # joints that have no orientation


def make_kinect(
    position: Sequence[float], target: Sequence[float], up: str = "y"
) -> tuple[rig.RigCamera, rig.RigCamera]:
    """Returns the depth camera and, beside it, the colour camera.

    >>> depth, color = make_kinect((0, 1000, 3000), (0, 900, 0))
    >>> (color.translation - depth.translation).round(6).tolist()
    [60.0, 0.0, 0.0]

    Args:
        position: Of the depth camera, millimetres.
        target: What it looks at.
        up: Axis of the world that points up.
    """
    given = {"up": up, "shift": (0.5, 0.5)}
    depth = rig.make_camera(DEPTH_SIZE, position, target, DEPTH_FOCAL, **given)
    color = rig.make_camera(SIZE, position, target, FOCAL, **given)
    beside = color.translation + np.array([APART_MM, 0, 0])
    return depth, rig.RigCamera(SIZE, color.intrinsics, color.rotation, beside)


def write_kinect_bodies(
    path: Path, frames: Sequence[Sequence[tuple]], line_end: str = "\n"
) -> None:
    r"""Writes the bodies of each frame.

    >>> body = 72057594037931101, np.full((25, 3), 900.0), np.full(25, 2)
    >>> write_kinect_bodies(folder / "a.skeleton", [[], [body]])
    >>> (folder / "a.skeleton").read_text().splitlines()[:4]
    ['2', '0', '1', '72057594037931101 0 1 2 0 0 0 0.0516 -0.1204 2']

    Args:
        path: The file.
        frames: Of each body in each frame: its id; joints ``[25, 3]`` in the axes of the depth
            camera, millimetres, y down; states ``[25]``, 2 = tracked, 1 = inferred.
        line_end: ``\n`` or ``\r\n``.
    """
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for id, joints, states in bodies:
            lines += [f"{id} 0 1 2 0 0 0 0.0516 -0.1204 2", "25"]
            depth = DEPTH_FOCAL * joints[:, :2] / joints[:, 2:] + np.array(DEPTH_SIZE) / 2
            color = (joints[:, :2] + np.array([APART_MM, 0])) / joints[:, 2:]
            color = FOCAL * color + np.array(SIZE) / 2
            rows = np.hstack([joints * (1e-3, -1e-3, 1e-3), depth, color])
            for j, row in enumerate(rows):
                turn = (0, 0, 0, 0) if j in ENDS else (0.9, 0.1, -0.3, 0.3)
                lines.append(" ".join(f"{x:.7g}" for x in (*row, *turn, states[j])))
    writers.write_text(path, line_end.join([*lines, ""]).replace("nan", "NaN"))

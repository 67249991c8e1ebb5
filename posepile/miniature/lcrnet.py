"""People as LCR-Net finds them in the frames of a video, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posepile.miniature import rig, writers


def find_person(camera: rig.RigCamera, joints: np.ndarray, hips: Sequence[int]) -> dict:
    """Returns a person without error: x of all joints, then y; metres from the middle of the hips.

    >>> camera = rig.make_camera((640, 480), (0, -4000, 0), (0, 0, 0), focal=500)
    >>> found = find_person(camera, np.zeros((13, 3)), (4, 5))
    >>> found["pose2d"].shape, found["pose3d"].shape
    ((26,), (39,))

    Args:
        camera: Whose axes the pose is in.
        joints: ``[13, 3]`` millimetres, world.
        hips: Which of them are hips.
    """
    about = camera.from_world(joints) / 1000
    about -= about[list(hips)].mean(axis=0)
    return {"pose2d": camera.project(joints).T.ravel(), "pose3d": about.T.ravel()}


def in_older_axes(person: dict) -> dict:
    """Returns a person as older files tell: x to the left, y up, with a score.

    >>> in_older_axes({"pose2d": np.zeros(26), "pose3d": np.ones(39)})["pose3d"][[0, 13, 26]]
    array([-1., -1.,  1.])
    """
    turned = person["pose3d"].reshape(3, -1) * [[-1], [-1], [1]]
    return {"pose2d": person["pose2d"], "pose3d": turned.ravel(), "cumscore": 1.7}


def write_found_people(path: Path, frames: Sequence[Sequence[dict]]) -> None:
    """Writes the people of each frame.

    >>> write_found_people(folder / "a.json", [[]])
    >>> (folder / "a.json").read_text().strip()
    '{"K": 20, "njts": 13, "frames": [[]]}'
    """
    writers.write_json(path, {"K": 20, "njts": 13, "frames": frames})

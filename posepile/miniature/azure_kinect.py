"""Several Azure Kinects around a scene, and the files that tell of their lenses and places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posepile.miniature import rig, writers

SIZE, RATIONAL = (2048, 1536), "k1 k2 p1 p2 k3 k4 k5 k6".split()


def write_kinects(
    root: Path, places: str, target: Sequence[float], angles: Sequence[float], main: int
) -> list[rig.RigCamera]:
    """Writes lenses and places of Kinects; returns their colour cameras, y down.

    >>> cameras = write_kinects(folder, "room", (0, 100, 2600), (75, 0, -80), main=1)
    >>> cameras[1].translation.tolist(), (folder / "room/2").is_dir()
    ([0.0, 0.0, 0.0], True)

    Args:
        root: The lenses lie in ``intrinsics`` there.
        places: Folder of the places there.
        target: What they look at, millimetres.
        angles: Of each around it, degrees.
        main: Which one is the world; of this one the lens is always the same.
    """
    cameras = []
    for k, angle in enumerate(angles):
        lens = np.array([0.45, -2.4, 5e-4, -3e-4, 1.4, 0.33, -2.2, 1.3]) * (1 + 0.03 * k)
        place = rig.around(target, 2700, angle, 300 * (k != main), up="-y")
        camera = rig.make_camera(SIZE, place, target, 975 + k, up="-y", distortion=lens)
        n = k - main
        matrix = np.array([[979.784 - n, 0, 1018.952 + n], [0, 979.840 - n, 779.487], [0, 0, 1]])
        pose = camera.rotation, camera.translation
        pose = (np.eye(3), np.zeros(3)) if k == main else pose
        cameras.append(rig.RigCamera(SIZE, matrix, *pose, tuple(lens)))
        pose = {"rotation": pose[0].T.ravel(), "translation": cameras[k].center / 1000}
        writers.write_json(root / places / f"{k}/config.json", pose)
        told = dict(zip(RATIONAL, lens, strict=True)) | {"codx": 0, "cody": 0}
        told |= {"fx": matrix[0, 0], "fy": matrix[1, 1], "cx": matrix[0, 2], "cy": matrix[1, 2]}
        told |= {"width": SIZE[0], "height": SIZE[1], "metric_radius": 1.7}
        told["opencv"] = [told[key] for key in ("fx", "fy", "cx", "cy")] + lens.tolist()
        content = {"color": told, "depth": told | {"width": 640, "height": 576}}
        for way in ("color_to_depth", "depth_to_color"):
            content[way] = {"rotation": np.eye(3).ravel(), "translation": [0.032, 0, 0]}
        writers.write_json(root / f"intrinsics/{k}/calibration.json", content)
    return cameras

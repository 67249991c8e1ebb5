"""A rendered clip as layouts of :mod:`posepile.shapes.described` propose it for rendered sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import rig, shoot, video, writers
from posepile.miniature.skeleton import Figure

SIZE, ANGLES = (640, 480), (-40, -10, 15, 50)  # of the views; degrees round the person


def render_clip(
    folder: Path, clip: str, joints: np.ndarray, figure: Figure, seed: int = 0, start: int = 0
) -> dict[str, int]:
    """Writes a clip as four cameras see it: metres, z up, with masks, without boxes and depth.

    >>> from posepile.miniature import actor, skeleton
    >>> figure = skeleton.make_figure(["pelv", "neck", "head", "lsho", "lelb"])
    >>> joints = actor.pose_skeleton(actor.move(2, at=(0, 0, 950)), list(figure.names))
    >>> render_clip(folder, "walk", joints, figure, start=40)
    {'walk/v0': 40, 'walk/v1': 45, 'walk/v2': 50, 'walk/v3': 55}
    >>> (folder / "walk_mask_v3.mp4").exists(), (folder / "walk_cam.json").exists()
    (True, True)

    Args:
        folder: Where the clip lies.
        clip: Its name.
        joints: ``[n, J, 3]`` millimetres, n at most 5, about (0, 0, 950).
        figure: How the person is drawn.
        seed: Of the scene.
        start: Number drawn in the first picture of view 0.

    Returns:
        Name of each view as sequences are called -> number drawn in its first picture.
    """
    cameras, starts = {}, {}
    for view, angle in enumerate(ANGLES):
        position = rig.around((0, 0, 950), 2900, angle, 190)
        camera = cameras[str(view)] = rig.make_camera(SIZE, position, (0, 0, 930), 600)
        backdrop, dark = shoot.Backdrop(SIZE, seed + view), shoot.Backdrop(SIZE, color=(0, 0, 0))
        pictures = shoot.shoot_frames(backdrop, camera, joints, figure, start + 5 * view)
        masks = [picture.mask(dark, (255, 255, 255)) for picture in pictures]
        video.write_video(folder / f"{clip}_rgb_v{view}.mp4", pictures, 30, qp=10)
        video.write_video(folder / f"{clip}_mask_v{view}.mp4", masks, 30, qp=8)
        starts[f"{clip}/v{view}"] = start + 5 * view
    writers.write_npz(folder / f"{clip}_pose.npz", joints=joints / 1000)
    lenses = {view: camera.intrinsics for view, camera in cameras.items()}
    places = {view: camera.matrix(1000) for view, camera in cameras.items()}
    writers.write_json(folder / f"{clip}_cam.json", {"K": lenses, "extrinsics": places})
    return starts

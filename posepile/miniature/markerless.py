"""What markerless capture by the maker of several benchmarks tells of joints, and how."""

from __future__ import annotations

import numpy as np

from posepile.miniature.rig import RigCamera

TESTED = (  # the joints of the benchmarks, in their order
    "htop neck rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank pelv spin head"
).split()


def label_joints(
    camera: RigCamera, joints: np.ndarray, names: list[str], size: float
) -> dict[str, np.ndarray]:
    """Returns the three kinds of labels of joints, as their files name them.

    The pelvis is the middle of the hips in space and in the picture; hips and spine do not project
    exactly onto their pixels. The skeleton of universal size is somewhere else.

    >>> from posepile.miniature.rig import make_camera
    >>> camera = make_camera((64, 48), (0, -4000, 0), (0, 0, 0), focal=50)
    >>> told = label_joints(camera, np.zeros((4, 3)), ["lhip", "rhip", "pelv", "spin"], 0.9)
    >>> {key: value.shape for key, value in told.items()}
    {'annot2': (4, 2), 'annot3': (4, 3), 'univ_annot3': (4, 3)}

    Args:
        camera: Which sees them.
        joints: ``[..., J, 3]`` millimetres, world.
        names: Of the joints.
        size: Of the universal skeleton by that of the person.

    Returns:
        Pixels ``[..., J, 2]``; millimetres ``[..., J, 3]`` in the axes of the camera, of true and
        of universal size.
    """
    told, pixels = camera.from_world(joints), camera.project(joints)
    left, right, pelvis, spine = (names.index(name) for name in ("lhip", "rhip", "pelv", "spin"))
    half = (pixels[..., left, :] - pixels[..., right, :]) / 2 + (1.2, -0.6)
    pixels[..., left, :] = pixels[..., pelvis, :] + half
    pixels[..., right, :] = pixels[..., pelvis, :] - half
    pixels[..., spine, :] += (0.7, 0.5)
    root = told[..., pelvis : pelvis + 1, :]
    universal = (told - root) * size + root + (40, -25, 250)
    return {"annot2": pixels, "annot3": told, "univ_annot3": universal}

"""What markerless capture by the maker of several benchmarks tells of joints, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.rig import RigCamera

SIZE = (2048, 2048)  # of the studio's pictures
STUDIO = (  # the joints of studio recordings; spi4 and spi2 are not in the actor's skeleton
    "thor spi4 spi2 spin pelv neck head htop lcla lsho lelb lwri lhan rcla rsho relb rwri rhan "
    "lhip lkne lank lfoo ltoe rhip rkne rank rfoo rtoe"
).split()

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


def studio_joints(
    where: Sequence[int], rng: np.random.Generator, at: Sequence[float], turned: float
) -> np.ndarray:
    """Returns joints ``[n, 28, 3]``, mm, y up; the pelvis is in the middle of the hips.

    >>> studio_joints([0, 2], np.random.default_rng(0), (0, 950, 0), 20).shape
    (2, 28, 3)

    Args:
        where: How far along the motion the actor is in each frame.
        rng: Of its seed.
        at: As of :func:`posepile.miniature.actor.move`, as is ``turned``.
        turned: Degrees.
    """
    motion = actor.move(max(where) + 1, int(rng.integers(99)), up="y", at=at, turned=turned)
    joints = actor.pose_skeleton(motion, STUDIO)[list(where)]
    joints[:, 4] = joints[:, [18, 23]].mean(axis=1)
    joints[:, 1], joints[:, 2] = joints[:, [0, 5]].mean(axis=1), joints[:, 3] + (0, 1, 0)
    return joints


def studio_cameras(
    rng: np.random.Generator, distance: float, targets: Mapping[int, Sequence[float]] | None = None
) -> list[RigCamera]:
    """Returns the studio's 14 cameras, 0 with the real lens and place.

    >>> len(studio_cameras(np.random.default_rng(0), 3900))
    14

    Args:
        rng: Of principal points.
        distance: From the middle, millimetres.
        targets: What some look at; the others look at a person in the middle.
    """
    cameras, lens = [], np.array([[1497.693, 0, 1024.704], [0, 1497.103, 1051.394], [0, 0, 1]])
    for c in range(14):
        place = rig.around((0, 1000, 0), distance, 26 * c, 90 * (c % 5), up="y")
        target, shift = (targets or {}).get(c, (0, 950, 0)), rng.uniform(-20, 20, 2)
        cameras.append(rig.make_camera(SIZE, place, target, 1498, up="y", shift=shift))
    turn = actor.matrix([0.12, 0.01, 0.02]) @ np.diag([1.0, -1, -1])
    cameras[0] = RigCamera(SIZE, lens, turn, np.array([-562.8666, 1398.138, 3852.623]))
    return cameras


def write_take(
    folder: Path, cameras: Sequence[RigCamera], labels: Sequence[Mapping[str, np.ndarray]]
) -> None:
    """Writes labels and calibration of a take.

    >>> cameras = studio_cameras(np.random.default_rng(0), 3900)
    >>> told = [label_joints(c, np.zeros((5, 28, 3)), STUDIO, 0.9) for c in cameras]
    >>> write_take(folder, cameras, told)
    >>> (folder / "annot.mat").is_file(), (folder / "camera.calibration").is_file()
    (True, True)

    Args:
        folder: Of the take.
        cameras: All 14.
        labels: Of each, as :func:`label_joints` returns them.
    """
    n = len(labels[0]["annot3"])
    mat = {"cameras": np.arange(len(cameras)), "frames": np.arange(n)[:, None]}
    mat |= {key: np.empty((len(cameras), 1), object) for key in labels[0]}
    for c, told in enumerate(labels):
        for key, value in told.items():
            mat[key][c, 0] = value.reshape(n, -1)
    writers.write_mat(folder / "annot.mat", mat)
    writers.write_skeletool(folder / "camera.calibration", list(cameras))

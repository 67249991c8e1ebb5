"""Labels of one maker of benchmarks by markerless capture: joints in space and in the picture.

Studio recordings have 28, benchmarks 17 of them.

3D and 2D labels come from one fit, except that hips are re-centred in either: the pelvis is the
middle of the hips, and hips and spine need not project exactly onto their pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.formats.matlab_files import read_mat
from posepile.formats.schema import Array
from posepile.geometry.pictures import check_median_projection

if TYPE_CHECKING:
    import deltacamera

# The joints as they are published; ours have the pelvis last.
LABELLED = "htop,neck,rsho,relb,rwri,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank,pelv,spin,head"
PELVIS_LAST = (*range(14), 15, 16, 14)
NAMES = ",".join(LABELLED.split(",")[j] for j in PELVIS_LAST)
EDGES = "htop-head-neck-rsho-relb-rwri,neck-spin-pelv-rhip-rkne-rank"
PELVIS, PARENTS = 14, (1, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, 14, 14, 1)  # as published
# Where they are among the 28 of studio recordings.
OF_STUDIO = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
# All 28, ours: where they are, names and edges. The first is spi3 there.
ALL_OF_STUDIO = (0, 1, 2, 8, 12, 13, 17, 21, 22, 26, 27, *(OF_STUDIO[j] for j in PELVIS_LAST))
ALL_NAMES = f"thor,spi4,spi2,lcla,lhan,rcla,rhan,lfoo,ltoe,rfoo,rtoe,{NAMES}"
ALL_EDGES = (
    "htop-head-neck-rcla-rsho-relb-rwri-rhan,"
    "neck-spi4-thor-spi2-spin-pelv-rhip-rkne-rank-rfoo-rtoe"
)
AS_LABELLED = (*range(14), 16, 14, 15)  # back from ours
# Joints, as published, whose pixels are those of their places.
_PARTS = {"head_and_pelvis": [0, 1, 14, 16], "arms": [*range(2, 8)], "legs": [9, 10, 12, 13]}
_RIGID = [*range(9), 11, 14, 15, 16]
EXACT = sorted(joint for part in _PARTS.values() for joint in part)

_KINDS = {"annot3": 3, "univ_annot3": 3, "annot2": 2}
_VALID = {key: Array(d, 17, 1, "n", squeezed=True) for key, d in _KINDS.items()}
_VALID |= dict.fromkeys(("valid_frame", "activity_annotation"), Array(1, "n", dtype=int))
_VIEWS = {"cameras": Array("c", dtype=int), "frames": Array("n", dtype=int)}
_VIEWS |= {"annot2": [Array("n", 56)], "annot3": [Array("n", 84)]}


@lru_cache(maxsize=1)  # the views of a recording follow each other
def read_views(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the labels of a studio recording in each of its cameras, joints as stored.

    Pixels ``[n, 28, 2]`` and millimetres ``[n, 28, 3]`` in the axes of the camera, float32.

    >>> from posepile.miniature.writers import write_mat
    >>> views = {"cameras": [0, 1], "frames": np.arange(5)[:, None]}
    >>> for d in (2, 3):
    ...     views[f"annot{d}"] = np.empty((2, 1), object)
    ...     views[f"annot{d}"][:, 0] = [np.zeros((5, 28 * d))] * 2
    >>> write_mat(folder / "annot.mat", views)
    >>> [labels[1].shape for labels in read_views(folder / "annot.mat")]
    [(5, 28, 2), (5, 28, 3)]

    Raises:
        CorruptInput: Unreadable, or not as expected.
    """
    labels = read_studio(path)
    pixels, points = ([np.float32(v) for v in labels[key]] for key in ("annot2", "annot3"))
    return pixels, points


def read_studio(path: Path, *more: str) -> dict[str, list[np.ndarray]]:
    """Returns all that is labelled of a studio recording in each of its cameras, joints as stored.

    ``annot2`` ``[n, 28, 2]`` pixels and ``annot3`` ``[n, 28, 3]`` millimetres in the axes of the
    camera, by camera.

    >>> from posepile.miniature.writers import write_mat
    >>> views = {"cameras": [0, 1], "frames": np.arange(5)[:, None]}
    >>> for d in (2, 3):
    ...     views[f"annot{d}"] = np.empty((2, 1), object)
    ...     views[f"annot{d}"][:, 0] = [np.zeros((5, 28 * d))] * 2
    >>> write_mat(folder / "annot.mat", views)
    >>> read_studio(folder / "annot.mat")["annot3"][0].shape
    (5, 28, 3)

    Args:
        path: The file.
        *more: ``univ_annot3``, of universal size and somewhere else.

    Raises:
        CorruptInput: Unreadable, or not as expected.
    """
    labels = read_mat(path, _VIEWS | {key: _VIEWS["annot3"] for key in more})
    for key in ("annot2", "annot3", *more):
        if len(labels[key]) != len(labels["cameras"]):
            found = f"{key}: found {len(labels[key])} cells; expected {len(labels['cameras'])}"
            raise CorruptInput(path, f"{found}, one for each camera")
    for key in ("cameras", "frames"):
        if (labels[key] != np.arange(len(labels[key]))).any():
            raise CorruptInput(path, f"{key}: found other numbers; expected 0, 1, 2 and so on")
    kinds = {"annot2": 2, "annot3": 3} | dict.fromkeys(more, 3)
    return {key: [v.reshape(-1, 28, d) for v in labels[key]] for key, d in kinds.items()}


def read_valid(path: str | os.PathLike, limit: float) -> dict[str, np.ndarray]:
    """Returns the labels of a sequence of which some frames are valid, joints as published.

    ``annot2`` ``[n, 17, 2]`` pixels; ``annot3`` and ``univ_annot3`` ``[n, 17, 3]`` millimetres in
    the axes of the camera; ``valid`` ``[n]`` and ``activity`` ``[n]``, which counts from 1.

    >>> from posepile.miniature.writers import write_mat73
    >>> labels = {key: np.ones((d, 17, 1, 5)) for key, d in _KINDS.items()}
    >>> labels |= {"valid_frame": np.ones((1, 5)), "activity_annotation": np.full((1, 5), 7.0)}
    >>> write_mat73(folder / "annot_data.mat", labels)
    >>> read_valid(folder / "annot_data.mat", limit=1)["annot3"].shape
    (5, 17, 3)

    Args:
        path: The file.
        limit: As of :func:`check_universal`, of valid frames.

    Raises:
        CorruptInput: Unreadable, or not as expected.
    """
    labels = read_mat(path, _VALID)
    found = {key: np.transpose(labels[key][:, :, 0]) for key in _KINDS}
    found |= {"valid": labels["valid_frame"][0], "activity": labels["activity_annotation"][0]}
    for key, low, high in (("valid", 0, 1), ("activity", 1, 7)):
        if len(wrong := found[key][(found[key] < low) | (found[key] > high)]):
            raise CorruptInput(path, f"{key}: found {wrong[0]}; expected {low} to {high}")
    valid = found["valid"] > 0
    check_universal(path, found["annot3"][valid], found["univ_annot3"][valid], limit)
    return found


def check_labels(
    where: str | os.PathLike,
    camera: deltacamera.Camera,
    points: np.ndarray,
    pixels: np.ndarray,
    limit: float,
    *,
    hint: str | None = None,
) -> dict[str, float]:
    """Returns how far labels in the picture are from the projected ones, by part of the body.

    Medians in pixels, without hips and spine.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> points, pixels = np.full((3, 17, 3), 1000.0), np.full((3, 17, 2), 1300.0)
    >>> round(check_labels("a.mat", camera, points, pixels, 99)["arms_projection_px"])
    63

    Args:
        where: File of the labels, for the message.
        camera: Which sees them.
        points: ``[n, 17, 3]`` world millimetres, joints as published.
        pixels: ``[n, 17, 2]``.
        limit: Largest median allowed, pixels.
        hint: What the user can do if one is larger.

    Raises:
        CorruptInput: A median is larger.
    """
    frames = range(len(points))
    found = check_median_projection(
        where, camera, frames, points, pixels, limit, parts=_PARTS, hint=hint
    )
    return {f"{part}_projection_px": off for part, off in found.items()}


def check_universal(
    where: str | os.PathLike, points: np.ndarray, universal: np.ndarray, limit: float
) -> float:
    """Returns how far poses of universal size are from scaled ones around the pelvis, mm.

    Knees and ankles do not count: some were corrected in one of the two only.

    >>> points = np.arange(51.0).reshape(1, 17, 3)
    >>> check_universal("a.mat", points, 0.9 * points + 7, limit=1) < 1e-9
    True

    Args:
        where: File of the labels, for the message.
        points: ``[n, 17, 3]`` millimetres, joints as published.
        universal: Likewise, of universal size and somewhere else.
        limit: Largest distance allowed.

    Raises:
        CorruptInput: A joint is further off.
    """
    true, other = (v[:, _RIGID] - v[:, [PELVIS]] for v in (points, universal))
    size = (true * other).sum() / max((true**2).sum(), 1e-9)
    off = float(np.abs(other - size * true).max(initial=0))
    if not off <= limit:
        raise CorruptInput(
            where,
            f"poses of universal size are up to {off:.1f} mm from {size:.3f} times the true ones; "
            f"expected at most {limit:g} mm",
            hint="another order of joints or axes, or labels of two releases; fetch them again",
        )
    return off


def check_views(
    where: str | os.PathLike,
    camera: deltacamera.Camera,
    other: deltacamera.Camera,
    points: np.ndarray,
    others: np.ndarray,
    limit: float,
) -> float:
    """Returns how far joints are apart in the world that two cameras tell in their own axes, mm.

    Labels of one camera project onto its picture whatever its pose; this tells a wrong pose.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> check_views("camera.calibration", camera, camera, np.ones((2, 3)), np.ones((2, 3)), 1)
    0.0

    Args:
        where: File of the cameras, for the message.
        camera: One of them.
        other: Another one.
        points: ``[..., 3]`` millimetres in the axes of the one.
        others: The same joints in those of the other.
        limit: Largest distance allowed.

    Raises:
        CorruptInput: A joint is further apart.
    """
    both = camera.camera_to_world(np.float32(points)), other.camera_to_world(np.float32(others))
    apart = float(np.linalg.norm(both[0] - both[1], axis=-1).max(initial=0))
    if not apart <= limit:
        raise CorruptInput(
            where,
            f"two cameras have a joint {apart:.0f} mm apart; expected at most {limit:g} mm",
            hint="cameras and labels are not of one take, or rotations are transposed",
        )
    return apart


def check_rig(
    where: str | os.PathLike,
    cameras: Sequence[deltacamera.Camera],
    points: np.ndarray,
    limit: float,
) -> float:
    """Returns how far joints of a studio recording are apart between neighbouring cameras, mm.

    People must stand along the y axis of the world, if anything can be concluded.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> check_rig("camera.calibration", [camera] * 3, np.ones((3, 5, 28, 3)), limit=1)
    0.0

    Args:
        where: File of the cameras, for the message.
        cameras: In the order of the labels.
        points: ``[c, n, 28, 3]`` millimetres in the axes of each, joints as stored.
        limit: As of :func:`check_views`.

    Raises:
        CorruptInput: A joint is further apart, or people stand along another axis.
    """
    apart = [
        check_views(where, cameras[c], cameras[c + 1], points[c], points[c + 1], limit)
        for c in range(len(points) - 1)
    ]
    joints = cameras[0].camera_to_world(np.float32(points[0]))[:, OF_STUDIO]
    up = joints[:, 1] - joints[:, [10, 13]].mean(axis=1)
    check_up(where, up[np.linalg.norm(up, axis=-1) > 0], (0, 1, 0), least=10)
    return max(apart)


def check_other_views(
    where: str | os.PathLike,
    view: str,
    cameras: Mapping[str, deltacamera.Camera],
    poses: Mapping[str, Mapping[int, np.ndarray]],
    limit: float,
) -> dict[str, float]:
    """Returns how far joints of a view are apart from those of the others, if these have any.

    >>> from posepile.geometry.cameras import make_camera
    >>> cameras = {v: make_camera(v, focal=1000, size=(641, 481)) for v in "ab"}
    >>> poses = {"a": {7: np.ones((2, 3)), 8: np.ones((2, 3))}, "b": {7: np.ones((2, 3))}}
    >>> check_other_views("cameras", "a", cameras, poses, limit=1)
    {'views_mm': 0.0}

    Args:
        where: File of the cameras, for the message.
        view: The one.
        cameras: Camera of each view.
        poses: View -> frame -> ``[J, 3]`` millimetres in its own axes, NaN = missing.
        limit: Largest distance allowed.

    Raises:
        CorruptInput: A joint is further apart.
    """
    apart = []
    for other, theirs in poses.items():
        both = [(poses[view][k], theirs[k]) for k in poses[view] if k in theirs and other != view]
        points = np.reshape(both, (len(both), 2, -1, 3)).transpose(1, 0, 2, 3) if both else None
        if both and (known := np.isfinite(points).all(axis=(0, 3))).any():
            told = f"{where}, {view} and {other}"
            mine, others = points[:, known]
            apart.append(check_views(told, cameras[view], cameras[other], mine, others, limit))
    return {"views_mm": max(apart)} if apart else {}

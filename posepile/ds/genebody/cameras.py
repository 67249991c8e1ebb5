"""``annots.npy`` of a GeneBody subject, in both of the forms that were published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.arrays import read_npy
from posepile.formats.schema import Array, check
from posepile.geometry.cameras import camera_pose, make_camera

if TYPE_CHECKING:
    import deltacamera

# Before the release of 2022-09-01 lengths of the calibration were this many times smaller.
OLD_SCALE = 2.87
REFRESH = "download the annotations of the current release (2022-09-01 or later)"
CAMERA = {"K": Array(3, 3), "c2w": Array("3 or 4", 4), "D": Array(1, 5, squeezed=True)}


def read_cameras(path: Path, views: list[str]) -> tuple[dict[str, deltacamera.Camera], list[str]]:
    """Reads the cameras of the views that exist in the folder and in the file.

    Args:
        path: The subject's ``annots.npy``.
        views: Names of the subject's image folders, sorted.

    Returns:
        Camera per view, millimetres, with Brown-Conrady distortion; and notes on what was
        converted.

    Raises:
        CorruptInput: The content is of no known form, or cannot be converted without guessing.
    """
    annots = read_npy(path, {"cams": {"*": None}}, hint="extract the subject's archive again")
    cams, notes = by_view(annots["cams"], path, views)
    found = {view: check(cam, CAMERA, f"{path}, camera {view}") for view, cam in cams.items()}
    for view, cam in found.items():
        camera_pose(f"{path}, camera {view}", camera_to_world=cam["c2w"])  # for its checks
    scale = metres_per_unit(path, {view: cam["c2w"] for view, cam in found.items()})
    if scale != 1:
        notes.append(f"calibration in old units, multiplied by {scale}")
    cameras = {
        view: make_camera(
            f"{path}, camera {view}",
            rotation=cam["c2w"][:3, :3].T,
            center=cam["c2w"][:3, 3] * scale * 1000,
            intrinsics=cam["K"],
            distortion=cam["D"].ravel(),
            world_up=(0, -1, 0),
        )
        for view, cam in found.items()
        if view in views
    }
    return cameras, notes


def by_view(cams: dict, path: Path, views: list[str]) -> tuple[dict[str, dict], list[str]]:
    """Brings either form of ``cams`` to a dictionary by view, sorted.

    The current form is that already. The old one has lists (``K``, ``RT`` and maybe ``D``) over
    the views that exist, in order; ``RT`` is camera-to-world there, too.
    """
    if "K" in cams:
        pose, n = cams.get("RT", cams.get("c2w")), len(cams["K"])
        lens = cams.get("D", [np.zeros(5)] * n)
        if pose is None or len(pose) != n or len(lens) != n:
            raise CorruptInput(path, f"lists K, RT and D of different lengths (K has {n})")
        if n != len(views):
            raise CorruptInput(
                path,
                f"old list form with {n} cameras for {len(views)} image folders: entries go by "
                "position among the existing views, so which is which is unknown",
                hint=REFRESH,
            )
        columns = zip(views, cams["K"], pose, lens, strict=True)
        note = "old list form of annots.npy, taken by position among the views"
        return {v: {"K": k, "c2w": rt, "D": _row(d)} for v, k, rt, d in columns}, [note]
    if set(cams) != set(views) and set(cams) == {f"{i:02d}" for i in range(len(views))}:
        raise CorruptInput(
            path,
            f"cameras are numbered 00..{len(views) - 1:02d} by position, but the image folders "
            f"have gaps (no folder {min(set(cams) - set(views))}): view names do not fit",
            hint=REFRESH,
        )
    found = check(dict(sorted(cams.items())), {"*": {"*": None}}, path, "cams")
    return {view: {**cam, "D": _row(cam.get("D"))} for view, cam in found.items()}, []


def _row(coefficients: object) -> object:
    """Five coefficients are stored as (5,), (1, 5) or (5, 1)."""
    return np.reshape(coefficients, (1, -1)) if np.size(coefficients) == 5 else coefficients


def metres_per_unit(path: Path, c2w: dict[str, np.ndarray]) -> float:
    """1, or 2.87 for a calibration in the old unit: decided by the radius of the camera ring.

    The studio's cameras stand about 2.9 m from the point they look at. Also checks that images
    are upright in a world whose y axis points down.
    """
    centers = np.stack([m[:3, 3] for m in c2w.values()])
    axes = np.stack([m[:3, 2] for m in c2w.values()])
    down = np.mean([m[:3, 1] for m in c2w.values()], axis=0)
    if down[1] < 0.5:
        raise CorruptInput(
            path, f"images point down along {np.round(down, 2)}; expected the world's y axis"
        )
    # Least squares: the point nearest to all optical axes.
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    target = np.linalg.lstsq(
        across.reshape(-1, 3), (across @ centers[:, :, None]).reshape(-1), rcond=1e-6
    )[0]
    radius = float(np.median(np.linalg.norm(centers - target, axis=1)))
    if 1.7 <= radius <= 6:
        return 1.0
    if 1.7 / OLD_SCALE <= radius < 1.7:
        return OLD_SCALE
    raise CorruptInput(
        path,
        f"cameras stand {radius:.2f} units from the point they look at; expected about 2.9 "
        "(metres) or 1.0 (old unit)",
        hint=REFRESH,
    )

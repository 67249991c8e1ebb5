"""``annots.npy`` of a GeneBody performer, in both of the forms that were published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.arrays import read_npy
from posepile.formats.schema import check
from posepile.geometry.cameras import camera_pose, make_camera

if TYPE_CHECKING:
    import deltacamera

CAMERA = {"K": None, "c2w": None, "D": None}
# Before the release of 2022-09-01 lengths of the calibration were this many times smaller.
OLD_SCALE = 2.87
REFRESH = "download the annotations of the current release (2022-09-01 or later)"


def read_cameras(path: Path, views: list[str]) -> tuple[dict[str, deltacamera.Camera], list[str]]:
    """Returns the cameras of the views that have image folders, and notes on what was converted.

    Raises:
        CorruptInput: The content is of no known form, or cannot be converted without guessing.
    """
    annots = read_npy(path, {"cams": {"*": None}}, hint="extract the subject's archive again")
    cams, notes = by_view(annots["cams"], path, views)
    where = {view: f"{path}, camera {view}" for view in cams}
    cams = {view: check(cam, CAMERA, where[view]) for view, cam in sorted(cams.items())}
    poses = [camera_pose(where[v], camera_to_world=cam["c2w"], unit=1) for v, cam in cams.items()]
    scale = metres_per_unit(path, *map(np.stack, zip(*poses, strict=True)))
    if scale != 1:
        notes.append(f"calibration in old units, multiplied by {scale}")
    cameras = {
        view: make_camera(
            where[view],
            camera_to_world=cam["c2w"],
            unit=scale * 1000,
            intrinsics=cam["K"],
            distortion=cam["D"],
            distortion_order="k1 k2 p1 p2 k3",
            world_up=(0, -1, 0),
        )
        for view, cam in cams.items()
        if view in views
    }
    return cameras, notes


def by_view(cams: dict, path: Path, views: list[str]) -> tuple[dict[str, dict], list[str]]:
    """Returns either form of ``cams`` as a dictionary by view, and notes.

    The current form is that already. The old one has lists (``K``, ``RT`` and maybe ``D``) over
    the views that exist, in order; ``RT`` is camera-to-world there, too.
    """
    if "K" in cams:
        n = len(cams["K"])
        columns = cams["K"], cams.get("RT", cams.get("c2w")), cams.get("D", np.zeros((n, 5)))
        if any(column is None or len(column) != n for column in columns):
            raise CorruptInput(path, f"lists K, RT and D of different lengths (K has {n})")
        if n != len(views):
            raise CorruptInput(
                path,
                f"old list form with {n} cameras for {len(views)} image folders: entries go by "
                "position among the existing views, so which is which is unknown",
                hint=REFRESH,
            )
        cams = [dict(zip(CAMERA, row, strict=True)) for row in zip(*columns, strict=True)]
        note = "old list form of annots.npy, taken by position among the views"
        return dict(zip(views, cams, strict=True)), [note]
    if set(cams) != set(views) and set(cams) == {f"{i:02d}" for i in range(len(views))}:
        raise CorruptInput(
            path,
            f"cameras are numbered 00..{len(views) - 1:02d} by position, but the image folders "
            f"have gaps (no folder {min(set(cams) - set(views))}): view names do not fit",
            hint=REFRESH,
        )
    return cams, []


def metres_per_unit(path: Path, rotations: np.ndarray, centers: np.ndarray) -> float:
    """Returns 1, or 2.87 for a calibration in the old unit: decided by the camera ring's radius.

    The studio's cameras stand about 2.9 m from the point they look at. Also checks that images
    are upright in a world whose y axis points down.
    """
    down, axes = rotations[:, 1].mean(axis=0).round(2), rotations[:, 2]
    if down[1] < 0.5:
        raise CorruptInput(path, f"images point down along {down}; expected the world's y axis")
    # Least squares: the point nearest to all optical axes.
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    offsets = (across @ centers[:, :, None]).reshape(-1)
    target = np.linalg.lstsq(across.reshape(-1, 3), offsets, rcond=1e-6)[0]
    radius = float(np.median(np.linalg.norm(centers - target, axis=1)))
    for scale in (1.0, OLD_SCALE):
        if 1.7 <= radius * scale <= 6:
            return scale
    raise CorruptInput(
        path,
        f"cameras stand {radius:.2f} units from the point they look at; expected about 2.9 "
        "(metres) or 1.0 (old unit)",
        hint=REFRESH,
    )

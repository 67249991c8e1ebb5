"""``annots.npy`` of a GeneBody subject, in both of the forms that were published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.numpy_files import load_npy

if TYPE_CHECKING:
    import deltacamera

# Before the release of 2022-09-01 lengths of the calibration were this many times smaller.
OLD_SCALE = 2.87
REFRESH = "download the annotations of the current release (2022-09-01 or later)"


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
    import deltacamera

    if not path.is_file():
        raise CorruptInput(path, "file is missing", hint="extract the subject's archive again")
    matrices, notes = parse_annots(load_npy(path), path, views)
    scale = metres_per_unit(path, {v: c2w for v, (_, c2w, _) in matrices.items()})
    if scale != 1:
        notes.append(f"calibration in old units, multiplied by {scale}")
    cameras = {
        view: deltacamera.Camera(
            intrinsic_matrix=k,
            rot_world_to_cam=c2w[:3, :3].T,
            optical_center=c2w[:3, 3] * scale * 1000,
            distortion_model=deltacamera.BrownConradyEx(d),
            world_up=(0, -1, 0),
        )
        for view, (k, c2w, d) in matrices.items()
        if view in views
    }
    return cameras, notes


def parse_annots(
    annots: object, path: Path, views: list[str]
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], list[str]]:
    """Brings either form to ``{view: (K [3,3], camera-to-world [4,4], distortion [5])}``.

    The current form is a dictionary per view name. The old one has lists (``K``, ``RT`` and maybe
    ``D``) over the views that exist, in order; ``RT`` is camera-to-world there, too.
    """
    cams = annots.get("cams") if isinstance(annots, dict) else None
    if not isinstance(cams, dict) or not cams:
        found = sorted(map(str, annots)) if isinstance(annots, dict) else type(annots).__name__
        raise CorruptInput(path, f"expected a dictionary with the key 'cams', found {found}")
    notes = []
    if "K" in cams:
        pose = cams.get("RT", cams.get("c2w"))
        lens = cams.get("D")
        n = len(cams["K"])
        if pose is None or len(pose) != n or (lens is not None and len(lens) != n):
            raise CorruptInput(path, f"lists K, RT and D of different lengths (K has {n})")
        if n != len(views):
            raise CorruptInput(
                path,
                f"old list form with {n} cameras for {len(views)} image folders: entries go by "
                "position among the existing views, so which is which is unknown",
                hint=REFRESH,
            )
        lens = [np.zeros(5)] * n if lens is None else lens
        cams = {
            v: {"K": k, "c2w": rt, "D": d}
            for v, k, rt, d in zip(views, cams["K"], pose, lens, strict=True)
        }
        notes.append("old list form of annots.npy, taken by position among the views")
    elif set(cams) != set(views) and set(cams) == {f"{i:02d}" for i in range(len(views))}:
        raise CorruptInput(
            path,
            f"cameras are numbered 00..{len(views) - 1:02d} by position, but the image folders "
            f"have gaps (no folder {min(set(cams) - set(views))}): view names do not fit",
            hint=REFRESH,
        )
    return {view: parse_camera(cam, path, view) for view, cam in sorted(cams.items())}, notes


def parse_camera(cam: object, path: Path, view: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checks the matrices of one camera; ``D`` may have the shape (5,) or (1, 5)."""
    try:
        k, c2w, d = (np.asarray(cam[key], np.float64) for key in ("K", "c2w", "D"))
    except (KeyError, TypeError, ValueError) as e:
        raise CorruptInput(path, f"camera {view}: needs K, c2w and D as numbers ({e!r})") from None
    d = d.ravel()
    if k.shape != (3, 3) or c2w.shape not in ((4, 4), (3, 4)) or d.shape != (5,):
        raise CorruptInput(
            path,
            f"camera {view}: shapes K {k.shape}, c2w {c2w.shape}, D {d.shape}; "
            "expected (3, 3), (4, 4), (5,)",
        )
    if not all(np.isfinite(a).all() for a in (k, c2w, d)):
        raise CorruptInput(path, f"camera {view}: not all numbers are finite")
    rotation = c2w[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise CorruptInput(path, f"camera {view}: c2w is not a rotation and a translation")
    return k, c2w, d


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

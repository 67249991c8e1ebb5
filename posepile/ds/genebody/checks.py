"""Self-checks: GeneBody has no 2D annotations, so other things tell whether all fits together.

Recomputed against published meshes (gender, scale, hands), stored key points against the model,
and projected joints against the masks (calibration, numbering of views).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rlemasklib

from posepile.ds.genebody.bodies import Body, load_hands, mesh_error, read_body
from posepile.ds.genebody.cameras import read_cameras
from posepile.ds.genebody.options import Options
from posepile.ds.genebody.subjects import (
    find_model,
    gender_of,
    has_smplfitter,
    joint_source,
    models_root,
    subject_folders,
)
from posepile.ds.genebody.views import ViewFrames, list_frames, list_views, pose_frames
from posepile.errors import CorruptInput, PosePileError

if TYPE_CHECKING:
    import deltacamera

N_BODY = 22  # SMPL-X joints before jaw, eyes and fingers
JOINT_SOURCES = {
    "model": "SMPL-X forward pass",
    "keypoints": "keypoints3d of the parameter files",
    "none": "none, parameters only",
}


def first_mesh(folder: Path, frames: list[int]) -> Path | None:
    """Returns the published mesh of the first frame that has one."""
    meshes, _ = list_frames(folder / "smpl", "smpl")
    return next((meshes[f] for f in frames if f in meshes), None)


def can_compare(model: Path | None) -> bool:
    """Returns whether meshes can be recomputed."""
    return model is not None and has_smplfitter()


def mesh_residual(
    folder: Path, frames: list[int], bodies: list[Body], models: Path | None, limit_mm: float
) -> dict[str, float]:
    """Returns the largest vertex distance to the first published mesh; {} if there is none."""
    mesh = first_mesh(folder, frames)
    if mesh is None:
        return {}
    body = bodies[frames.index(int(mesh.stem))]
    return {"mesh_mm": mesh_error(mesh, body, models, limit_mm)}


def joints_outside_mask(
    files: ViewFrames, joints: np.ndarray, camera: deltacamera.Camera, limit: float
) -> float:
    """Share of body joints projecting outside the mask, over the first, middle and last frame.

    Args:
        files: The view's masks.
        joints: ``[n, 55, 3]`` mm.
        camera: The view's camera.
        limit: Largest tolerated share.

    Raises:
        CorruptInput: It is larger.
    """
    usable = [k for k, f in enumerate(files.frames) if f in files.images and f in files.masks]
    shares = []
    for k in sorted({*usable[:1], *usable[len(usable) // 2 :][:1], *usable[-1:]}):
        try:
            mask = rlemasklib.decode(files.mask(k))
        except CorruptInput:
            continue  # quarantined as a single frame, should it be selected
        if mask.any():
            points = camera.world_to_image(joints[k, :N_BODY])
            points = np.where(np.isfinite(points), np.round(points), -1).astype(int)
            inside = ((points >= 0) & (points < mask.shape[1::-1])).all(axis=1)
            inside[inside] = mask[points[inside, 1], points[inside, 0]] > 0
            shares.append(1 - inside.mean())
    share = float(np.mean(shares)) if shares else 0.0
    if share > limit:
        raise CorruptInput(
            files.masks[files.frames[usable[0]]],
            f"{share:.0%} of the body joints project outside the mask, allowed are {limit:.0%} "
            "(dataset.max_outside_mask): camera and poses do not belong together, as with another "
            "view's camera or with calibration and parameters of different releases",
            hint="download annots.npy and param of the same, current release",
        )
    return share


def describe_subject(root: Path, folder: Path, model: Path | None, options: Options) -> list[str]:
    """What is special about a subject, and how well parameters and published meshes agree.

    Problems become lines; the units concerned raise them when they are loaded.
    """
    lines = []
    try:
        views = list_views(folder)
        cameras, notes = read_cameras(folder / "annots.npy", views)
        lines += [f"{folder.name}: {note}" for note in notes]
        if set(cameras) < set(views):
            lines.append(f"{folder.name}: no camera for views {sorted(set(views) - set(cameras))}")
        frames, params, _ = pose_frames(folder, views)
        gender, models = gender_of(folder.name, options), models_root(root, options)
        if frames and joint_source(model, options) == "keypoints":
            body = read_body(params[frames[0]], gender, None)
            if isinstance(body, Body) and body.keypoints is None:
                lines.append(
                    f"{folder.name}: no body model at hand and no keypoints3d in the parameter "
                    "files: parameters only, which needs select.method=none"
                )
        meshes, _ = list_frames(folder / "smpl", "smpl")
        both = [f for f in frames if f in meshes]
        if not both or not can_compare(model):
            return lines
        errors = []
        for frame in sorted({both[0], both[len(both) // 2], both[-1]}):
            hands = load_hands(model)
            body = read_body(params[frame], gender, hands, options.hand_mean == "add")
            errors.append(mesh_error(meshes[frame], body, models, options.max_mesh_error_mm))
        lines.append(
            f"{folder.name}: SMPL-X ({gender}) agrees with {len(errors)} published meshes to "
            f"{max(errors):.3f} mm"
        )
    except PosePileError as e:
        lines.append(f"problem: {e}")
    return lines


def find_problems(root: Path, options: Options) -> list[str]:
    """What ``doctor`` reports beyond missing files, one line each."""
    try:
        folders = subject_folders(root, options)
    except PosePileError as e:
        return [str(e)]
    problems, no_model = [], set()
    for _, folder in folders:
        gender = gender_of(folder.name, options)
        model = find_model(root, gender, options)
        if model is None and joint_source(model, options) != "none":
            no_model.add(gender)
        views = list_views(folder)
        frames, params, _ = pose_frames(folder, views)
        if not params:
            problems.append(f"{folder / 'param'}: no parameter files, so nothing can be used")
        lines = describe_subject(root, folder, None, options)
        problems += [line for line in lines if line.startswith("problem:") or "no camera" in line]
        for view in views:
            images, odd = list_frames(folder / "image" / view, "image")
            masks, more = list_frames(folder / "mask" / view, "mask")
            problems += [f"{folder.name}/{view}: unexpected file {name}" for name in odd + more]
            for name, have in (("image", images), ("mask", masks)):
                if n := len([f for f in frames if f not in have]):
                    problems.append(
                        f"{folder / name / view}: {n} of {len(frames)} frames with parameters "
                        f"have no {name}; they are left out in this view"
                    )
    if no_model:
        problems.append(
            f"SMPL-X model files not found for: {', '.join(sorted(no_model))}; put SMPLX_*.npz "
            f"and kid_template.npy into {root / 'body_models' / 'smplx'} (or set "
            "dataset.body_models or SMPLFITTER_BODY_MODELS); without them joints come from "
            "keypoints3d and hand poses lack the mean hand"
        )
    return problems

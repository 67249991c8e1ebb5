"""SMPL-X fits of GeneBody: parameter files, hands, joints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from posepile.bodies.joints import SMPLX_JOINT_NAMES
from posepile.bodies.meshes import mesh_error
from posepile.bodies.models import body_joints
from posepile.bodies.parameters import load_hands, parameters_of_fit
from posepile.ds.genebody.subjects import Options, Performer
from posepile.errors import CorruptInput
from posepile.formats.arrays import read_npy
from posepile.formats.schema import Array, check

N_JOINTS = len(SMPLX_JOINT_NAMES)
CONTENT = {"smplx": {"*": None}, "smplx_scale": Array(), "keypoints3d?": None}
RELEASE = "download the parameters of the current release (2022-09-01 or later)"


@dataclass(frozen=True)
class Body:
    """One frame's fit.

    Attributes:
        parameters: As docs/FORMAT.md lists them, with the further key ``hands_mean_included``.
        keypoints: ``[55, 3]`` millimetres as stored in the file, None if it has none.
        left_out: Why the parameters cannot be completed; then there are none.
    """

    parameters: dict
    keypoints: np.ndarray | None
    left_out: str | None = None


def read_body(who: Performer, frame: int, options: Options) -> Body:
    """Returns what ``param/<frame>.npy`` holds.

    The fits were made with ``use_pca=False, flat_hand_mean=False``: the stored 45 numbers per hand
    lack the mean hand pose. It is added here, so that the result is the whole pose, as
    ``hands_mean_included`` says. Hands of 6 or 12 numbers are PCA coefficients about the mean.

    Raises:
        CorruptInput: The file is not of the current form.
    """
    path, add_mean = who.params[frame], options.hand_mean == "add"
    content = read_npy(path, CONTENT, hint=RELEASE)
    # All releases only say that key points are "in param".
    points = content.get("keypoints3d", content["smplx"].get("keypoints3d"))
    if points is not None:
        points = check(points, Array(..., "points", 3), path, "keypoints3d").reshape(-1, 3)
        if len(points) < N_JOINTS:
            raise CorruptInput(path, f"keypoints3d has {len(points)} points; expected {N_JOINTS}")
        points = points[:N_JOINTS] * 1000
    scale = float(content["smplx_scale"])
    if not 0.1 < scale < 10:
        raise CorruptInput(path, f"smplx_scale is {scale:g}; expected a number near 1")
    # Axes vary: (63,), (1, 63), (1, 21, 3). What is no array is refused by name further down.
    fit = {k: np.ravel(v) if np.ndim(v) else v for k, v in content["smplx"].items()}
    hands = None if who.model is None else load_hands(who.model)
    for key in ("left_hand_pose", "right_hand_pose"):
        n = 45 if fit.get(key) is None else np.size(fit[key])
        if n not in (6, 12, 45):
            raise CorruptInput(path, f"{key} has {n} numbers; expected 45 (or 6, 12: PCA)")
        if n < 45 and hands is None:
            return Body({}, points, f"hand pose of {n} PCA numbers needs the SMPL-X model file")
    further = {"scale": scale, "kid_factor": 0.0}
    further["hands_mean_included"] = hands is not None or not add_mean
    parameters = parameters_of_fit(
        path, fit, gender=who.gender, hands=hands, mean_missing=add_mean, **further
    )
    parameters.setdefault("expression", np.zeros(0, np.float32))
    return Body(parameters, points)


def read_bodies(who: Performer, options: Options) -> tuple[dict[int, Body], Counter]:
    """Returns the fits by frame, without those that cannot be completed, and counts of these."""
    bodies = {f: read_body(who, f, options) for f in who.frames}
    dropped = Counter(body.left_out for body in bodies.values() if body.left_out)
    bodies = {f: body for f, body in bodies.items() if not body.left_out}
    known = {f: body for f, body in bodies.items() if body.keypoints is not None}
    if who.joints == "keypoints" and known:  # if none has any, parameters are all there is
        dropped["no keypoints3d in the parameter file"] = len(bodies) - len(known)
        bodies = known
    return bodies, dropped


def world_joints(
    who: Performer, bodies: list[Body], limit: float
) -> tuple[np.ndarray | None, dict[str, float]]:
    """Returns the joints ``[n, 55, 3]`` in mm, float32, None if there are none; and residuals.

    These are the mean distance between model and stored key points, where both exist.

    Raises:
        CorruptInput: That is above the limit, or key points are no body.
    """
    where = who.folder / "param"
    known = [k for k, body in enumerate(bodies) if body.keypoints is not None]
    stored = np.array([bodies[k].keypoints for k in known])
    if who.joints == "none" or not bodies or (who.joints == "keypoints" and not known):
        return None, {}
    if who.joints == "keypoints":
        size = np.median(np.ptp(stored, axis=1).max(axis=-1)) / 1000
        if not 0.4 < size < 3:
            found = f"keypoints3d extend over {size:.3g} units"
            raise CorruptInput(where, f"{found}; expected a body in metres")
        return stored.astype(np.float32), {}
    keys = ("pose", "shape", "expression", "trans", "scale")
    try:
        moving = {k: np.stack([body.parameters[k] for body in bodies]) for k in keys}
    except ValueError as e:
        raise CorruptInput(where, f"frames differ in their number of components: {e}") from e
    joints = body_joints("smplx", who.gender, moving, models_root=who.models_root)
    joints = joints * np.float32(1000)
    if not known:
        return joints, {}
    off = float(np.linalg.norm(joints[known] - stored, axis=-1).mean())
    if off > limit:
        found = f"keypoints3d lie {off:.1f} mm (mean) from the model's joints"
        hint = "set dataset.gender to what fits, or raise dataset.max_keypoints_mm"
        raise CorruptInput(where, f"{found}; expected at most {limit:g}", hint=hint)
    return joints, {"keypoints_mm": off}


def mesh_residual(who: Performer, bodies: dict[int, Body], options: Options) -> dict[str, float]:
    """Returns ``mesh_mm``, the largest distance of a vertex from its place in a published mesh.

    All vertices are compared in the first of the frames, some in the others. Empty without meshes.
    """
    hint = "set dataset.gender or dataset.hand_mean to what fits, or raise "
    given = {"hands_added": options.hand_mean == "add", "models_root": who.models_root}
    given["hint"] = hint + "dataset.max_mesh_error_mm"
    found = []
    for file, body in ((file, bodies[f]) for f, file in who.meshes.items() if f in bodies):
        limit, every = options.max_mesh_error_mm, 16 if found else 1
        found.append(mesh_error(file, body.parameters, limit, every=every, **given))
    return {"mesh_mm": max(found)} if found else {}

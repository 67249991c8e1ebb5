"""SMPL-X fits of GeneBody: parameter files, joints, and the comparison with the meshes."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posepile.bodies.joints import SMPLX_JOINT_NAMES
from posepile.bodies.models import body_forward, find_body_model
from posepile.bodies.parameters import Hands, load_hands, parameters_of_fit
from posepile.errors import CorruptInput, WorkError
from posepile.formats.arrays import read_npy
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_text

N_JOINTS = len(SMPLX_JOINT_NAMES)
RELEASE = "download the parameters of the current release (2022-09-01 or later)"
POINTS = Array("batch", "points", 3)


@dataclass(frozen=True)
class Body:
    """One frame's fit.

    Attributes:
        parameters: As docs/FORMAT.md lists them, with the further key ``hands_mean_included``.
        keypoints: ``[55, 3]`` millimetres as stored in the file, None if it has none.
        mean_added: The mean hand was added on reading (to both hands).
    """

    parameters: dict
    keypoints: np.ndarray | None
    mean_added: bool = False


def read_body(path: Path, gender: str, hands: Hands | None, add_mean: bool = True) -> Body | str:
    """Reads ``param/<frame>.npy``.

    The fits were made with ``use_pca=False, flat_hand_mean=False``: the stored 45 numbers per hand
    lack the mean hand pose. It is added here, so that the result is the whole pose, as
    ``hands_mean_included`` says. Hands of 6 or 12 numbers are PCA coefficients.

    Args:
        path: The file.
        gender: Goes into the parameters.
        hands: From the body model; None if that is not on disk.
        add_mean: False: the 45 numbers are the whole pose already.

    Returns:
        The body, or the reason why this frame must be left out.

    Raises:
        CorruptInput: The file is not of the current form.
    """
    content = read_npy(path, {"smplx": {"*": None}, "smplx_scale": Array(), "*": None}, hint=RELEASE)
    fit = {key: _row(value) for key, value in content["smplx"].items()}
    scale = float(content["smplx_scale"])
    if not 0.1 < scale < 10:
        raise CorruptInput(path, f"smplx_scale is {scale:g}, expected a number near 1")
    for side in ("left", "right"):
        n = np.size(fit.get(f"{side}_hand_pose", ()))
        if n in (6, 12) and hands is None:
            return f"hand pose of {n} PCA numbers needs the SMPL-X model file"
        if n in (6, 12) and not add_mean:  # coefficients are always about the mean
            i = ("left", "right").index(side)
            coefficients = np.ravel(fit[f"{side}_hand_pose"])
            fit[f"{side}_hand_pose"] = coefficients @ hands.components[i, :n] + hands.mean[i]
        elif n not in (0, 6, 12, 45):
            raise CorruptInput(path, f"{side}_hand_pose has {n} numbers, expected 45 (or 6, 12: PCA)")
    added = hands is not None and add_mean
    parameters = parameters_of_fit(
        path,
        fit,
        gender=gender,
        hands=hands if added else None,
        scale=scale,
        kid_factor=0.0,
        hands_mean_included=bool(added or not add_mean),
    )
    parameters.setdefault("expression", np.zeros(0, np.float32))
    stored = content.get("keypoints3d")
    stored = content["smplx"].get("keypoints3d") if stored is None else stored
    if stored is not None:
        points = np.asarray(stored, np.float64)
        points = check(points[None] if points.ndim == 2 else points, POINTS, path, "keypoints3d")
        points = points.reshape(-1, 3)
        if len(points) < N_JOINTS:
            raise CorruptInput(path, f"keypoints3d has {len(points)} points, expected {N_JOINTS}")
        stored = points[:N_JOINTS] * 1000
    return Body(parameters, stored, added)


def read_bodies(
    paths: list[Path],
    gender: str,
    *,
    hands: Hands | None,
    add_mean: bool,
    need_keypoints: bool,
    dropped: Counter,
) -> list[Body | None]:
    """Returns fits of all frames, None (and counted) where one cannot be completed.

    Args:
        paths: Parameter files.
        gender: As in :func:`read_body`.
        hands: As there.
        add_mean: As there.
        need_keypoints: If some frames have stored key points, those without are left out.
        dropped: Counts by reason are added here.
    """
    results = [read_body(path, gender, hands, add_mean) for path in paths]
    some = any(isinstance(r, Body) and r.keypoints is not None for r in results)
    bodies: list[Body | None] = []
    for result in results:
        if isinstance(result, Body) and need_keypoints and some and result.keypoints is None:
            result = "no keypoints3d in the parameter file"
        if isinstance(result, str):
            dropped[result] += 1
        bodies.append(None if isinstance(result, str) else result)
    return bodies


def world_joints(
    source: str, gender: str, bodies: list[Body], models_root: Path | None, where: Path
) -> tuple[np.ndarray | None, dict[str, float]]:
    """Returns the 55 SMPL-X joints ``[n, 55, 3]`` in mm, float32.

    Args:
        source: ``model``, ``keypoints`` or ``none``.
        gender: Of the body model.
        bodies: One per frame; either all or none have key points if the source is those.
        models_root: Folder of the body models.
        where: For messages.

    Returns:
        The joints, None if there are none; and the mean distance between model and stored key
        points (``keypoints_mm``) where both exist.
    """
    known = [k for k, body in enumerate(bodies) if body.keypoints is not None]
    if source == "none" or not bodies or (source == "keypoints" and not known):
        return None, {}
    if source == "keypoints":
        joints = np.stack([body.keypoints for body in bodies]).astype(np.float32)
        size = float(np.median(np.ptp(joints, axis=1).max(axis=-1)))
        if not 400 < size < 3000:
            raise CorruptInput(
                where,
                f"keypoints3d extend over {size / 1000:.3g} units; expected a body in metres",
            )
        return joints, {}
    try:
        joints = forward("joints", gender, stack(bodies), models_root)
    except ValueError as e:
        raise CorruptInput(where, f"frames differ in their number of shape components: {e}") from e
    if not known:
        return joints, {}
    stored = np.stack([bodies[k].keypoints for k in known])
    return joints, {"keypoints_mm": float(np.linalg.norm(joints[known] - stored, axis=-1).mean())}


def stack(bodies: list[Body]) -> dict[str, np.ndarray]:
    """Returns parameters of several frames as arrays over frames, for the forward pass."""
    keys = ("pose", "shape", "expression", "trans", "scale")
    return {k: np.stack([b.parameters[k] for b in bodies]) for k in keys}


def forward(what: str, gender: str, params: dict, models_root: Path | None) -> np.ndarray:
    """Joints or vertices in mm: the model's, translation included, times ``smplx_scale``."""
    given = {k: v for k, v in params.items() if v.ndim == 1 or v.shape[1]}
    vertices = what == "vertices"
    result = body_forward("smplx", gender, given, vertices=vertices, models_root=models_root)
    return result[what] * np.float32(1000)


def can_forward(model: Path | None) -> bool:
    """Returns whether joints and meshes can be computed with a model file."""
    return model is not None and importlib.util.find_spec("smplfitter") is not None


def read_obj_vertices(path: Path) -> np.ndarray:
    """Returns vertices ``[V, 3]`` of a Wavefront file, in its unit."""
    try:
        rows = [line.split()[1:4] for line in read_text(path).splitlines() if line[:2] == "v "]
        return np.array(rows, np.float64).reshape(-1, 3)
    except ValueError as e:
        raise CorruptInput(path, f"not a mesh: {e}") from None


def mesh_error(path: Path, body: Body, models_root: Path | None, limit_mm: float) -> float:
    """Compares the recomputed mesh with the published ``smpl/<frame>.obj``.

    Returns:
        Largest vertex distance in mm.

    Raises:
        CorruptInput: It is above the limit; the message says which other assumption would fit.
    """
    mesh = read_obj_vertices(path) * 1000
    params, gender = stack([body]), body.parameters["gender"]

    def distance(gender: str, params: dict) -> tuple[float, float]:
        vertices = forward("vertices", gender, params, models_root)[0]
        if len(vertices) != len(mesh):
            raise CorruptInput(
                path,
                f"mesh of {len(mesh)} vertices, but the SMPL-X {gender} model has {len(vertices)}",
                hint="use the SMPL-X v1.1 model files",
            )
        off = np.linalg.norm(vertices - mesh, axis=1)
        return float(off.max()), float(off.mean())

    worst, mean = distance(gender, params)
    if worst <= limit_mm:
        return worst
    own_mean = _mean_hands(gender, models_root)
    suspects = {}
    for other in sorted({"male", "female", "neutral"} - {gender}):
        if find_body_model("smplx", other, models_root=models_root) is not None:
            change = _mean_hands(other, models_root) - own_mean if body.mean_added else 0
            suspects[f"the {other} model (dataset.gender)"] = other, _with_hands(params, change)
    unscaled = params | {"scale": np.ones_like(params["scale"])}
    suspects["smplx_scale not applied"] = gender, unscaled
    option, sign = ("none", -1) if body.mean_added else ("add", 1)
    suspects[f"dataset.hand_mean={option}"] = gender, _with_hands(params, sign * own_mean)
    fits = {label: distance(*args)[0] for label, args in suspects.items()}
    best = min(fits, key=fits.get)
    reason = (
        f"it agrees to {fits[best]:.2f} mm with: {best}"
        if fits[best] <= min(limit_mm, worst / 2)
        else "neither another gender, nor the scale, nor the mean hand pose explains it"
    )
    raise CorruptInput(
        path,
        f"the {gender} SMPL-X mesh of the parameters is {worst:.1f} mm off (mean {mean:.1f}), "
        f"allowed are {limit_mm:g}; {reason}",
        hint="set that option, or raise dataset.max_mesh_error_mm",
    )


def _row(value: object) -> object:
    """A part of a pose as ``[1, n]`` whatever its axes; what is no array stays what it is."""
    return np.reshape(value, (1, -1)) if isinstance(value, np.ndarray) else value


def _mean_hands(gender: str, models_root: Path | None) -> np.ndarray:
    path = find_body_model("smplx", gender, models_root=models_root)
    if path is None:
        raise WorkError(f"SMPL-X {gender} model file not found")
    return load_hands(path).mean.reshape(-1)


def _with_hands(params: dict, change: np.ndarray | float) -> dict:
    """Returns parameters with something added to the hand poses, the last 90 numbers."""
    pose = params["pose"].copy()
    pose[:, -90:] += np.float32(change)
    return params | {"pose": pose}

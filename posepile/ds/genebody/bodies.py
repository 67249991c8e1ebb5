"""SMPL-X fits of GeneBody: parameter files, hands, joints, and the comparison with the meshes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from posepile.bodies import models as body_models
from posepile.errors import CorruptInput, WorkError
from posepile.formats.numpy_files import load_npy

N_JOINTS = 55
SIZES = {"global_orient": 3, "body_pose": 63, "transl": 3}
OPTIONAL = {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}


@dataclass(frozen=True)
class Hands:
    """How to complete hand poses, from the SMPL-X model file.

    Attributes:
        mean: ``[2, 45]`` left and right.
        components: ``[2, 45, 45]``, rows are components.
    """

    mean: np.ndarray
    components: np.ndarray


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


@lru_cache(maxsize=4)
def load_hands(model_file: Path) -> Hands:
    """Reads mean and components of the hands from an SMPL-X model file."""
    try:
        with np.load(model_file, allow_pickle=False) as f:
            mean = np.stack([f[f"hands_mean{s}"] for s in "lr"])
            components = np.stack([f[f"hands_components{s}"] for s in "lr"])
    except (KeyError, ValueError, OSError) as e:
        raise CorruptInput(model_file, f"not an SMPL-X model file with hands: {e}") from None
    if mean.shape != (2, 45) or components.shape != (2, 45, 45):
        raise CorruptInput(model_file, f"hand mean {mean.shape[1:]}, expected (45,)")
    return Hands(mean, components)


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
    content = load_npy(path)
    if not isinstance(content, dict) or not isinstance(content.get("smplx"), dict):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise CorruptInput(
            path,
            f"has no 'smplx' dictionary but {found}: a file of the first upload, whose other "
            "body model cannot be converted",
            hint="download the parameters of the current release (2022-09-01 or later)",
        )
    smplx = content["smplx"]
    parts = {key: _vector(smplx, key, n, path) for key, n in SIZES.items()}
    parts |= {k: _vector(smplx, k, n, path, optional=True) for k, n in OPTIONAL.items()}
    scale = _vector(content, "smplx_scale", 1, path)
    if not 0.1 < scale[0] < 10:
        raise CorruptInput(path, f"smplx_scale is {scale[0]:g}, expected a number near 1")
    whole = []
    for i, key in enumerate(("left_hand_pose", "right_hand_pose")):
        hand = _vector(smplx, key, None, path, optional=True)
        if len(hand) == 0:
            hand = np.zeros(45)
        if len(hand) in (6, 12):
            if hands is None:
                return f"hand pose of {len(hand)} PCA numbers needs the SMPL-X model file"
            hand = hand @ hands.components[i, : len(hand)] + hands.mean[i]
        elif len(hand) != 45:
            raise CorruptInput(path, f"{key} has {len(hand)} numbers, expected 45 (or 6, 12: PCA)")
        elif hands is not None and add_mean:
            hand = hand + hands.mean[i]
        whole.append(hand)
    body = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose")
    parameters = {
        "type": "smplx",
        "gender": gender,
        "pose": np.concatenate([*(parts[k] for k in body), *whole]).astype(np.float32),
        "shape": _vector(smplx, "betas", None, path).astype(np.float32),
        "expression": _vector(smplx, "expression", None, path, optional=True).astype(np.float32),
        "trans": parts["transl"].astype(np.float32),
        "scale": float(scale[0]),
        "kid_factor": 0.0,
        "hands_mean_included": bool(hands is not None or not add_mean),
    }
    return Body(parameters, _keypoints(content, path), hands is not None and add_mean)


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
    good = [r for r in results if isinstance(r, Body)]
    need_keypoints &= any(body.keypoints is not None for body in good)
    bodies: list[Body | None] = []
    for result in results:
        if isinstance(result, str):
            dropped[result] += 1
            bodies.append(None)
        elif need_keypoints and result.keypoints is None:
            dropped["no keypoints3d in the parameter file"] += 1
            bodies.append(None)
        else:
            bodies.append(result)
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
    stored = [body.keypoints for body in bodies]
    known = [k for k, points in enumerate(stored) if points is not None]
    if source == "none" or not bodies or (source == "keypoints" and not known):
        return None, {}
    if source == "keypoints":
        joints = np.stack(stored).astype(np.float32)
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
    off = np.linalg.norm(joints[known] - np.stack([stored[k] for k in known]), axis=-1)
    return joints, {"keypoints_mm": float(off.mean())}


def _vector(
    source: dict, key: str, size: int | None, path: Path, optional: bool = False
) -> np.ndarray:
    """One entry as float64 vector, whatever its batch axis; zeros (or nothing) if optional."""
    if source.get(key) is None:
        if optional:
            return np.zeros(size or 0)
        raise CorruptInput(path, f"has no {key} (found {', '.join(sorted(map(str, source)))})")
    try:
        value = np.asarray(source[key], np.float64).reshape(-1)
    except (TypeError, ValueError) as e:
        raise CorruptInput(path, f"{key} does not consist of numbers: {e}") from None
    if size is not None and len(value) != size:
        shape = np.shape(source[key])
        raise CorruptInput(path, f"{key} has shape {shape}, expected {size} numbers")
    if not np.isfinite(value).all():
        raise CorruptInput(path, f"{key} is not finite")
    return value


def _keypoints(content: dict, path: Path) -> np.ndarray | None:
    """The stored 3D key points (of all releases only said to be "in param"): first 55, in mm."""
    for source in (content, content["smplx"]):
        if source.get("keypoints3d") is not None:
            points = np.asarray(source["keypoints3d"], np.float64)
            if points.ndim < 2 or points.shape[-1] != 3 or points.size < 3 * N_JOINTS:
                raise CorruptInput(
                    path, f"keypoints3d has shape {points.shape}, expected (55, 3) SMPL-X joints"
                )
            return points.reshape(-1, 3)[:N_JOINTS] * 1000
    return None


def stack(bodies: list[Body]) -> dict[str, np.ndarray]:
    """Returns parameters of several frames as arrays over frames, for the forward pass."""
    keys = ("pose", "shape", "expression", "trans", "scale")
    return {k: np.stack([b.parameters[k] for b in bodies]) for k in keys}


def forward(what: str, gender: str, params: dict, models_root: Path | None) -> np.ndarray:
    """Joints or vertices in mm: the model's, translation included, times ``smplx_scale``."""
    given = {k: v for k, v in params.items() if v.ndim == 1 or v.shape[1]}
    result = body_models.body_forward(
        "smplx", gender, given, vertices=what == "vertices", models_root=models_root
    )
    return result[what] * np.float32(1000)


def read_obj_vertices(path: Path) -> np.ndarray:
    """Returns vertices ``[V, 3]`` of a Wavefront file, in its unit."""
    try:
        rows = [line.split()[1:4] for line in path.read_text().splitlines() if line[:2] == "v "]
        return np.array(rows, np.float64).reshape(-1, 3)
    except (OSError, ValueError) as e:
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
        if body_models.find_body_model("smplx", other, models_root=models_root) is not None:
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


def _mean_hands(gender: str, models_root: Path | None) -> np.ndarray:
    path = body_models.find_body_model("smplx", gender, models_root=models_root)
    if path is None:
        raise WorkError(f"SMPL-X {gender} model file not found")
    return load_hands(path).mean.reshape(-1)


def _with_hands(params: dict, change: np.ndarray | float) -> dict:
    """Returns parameters with something added to the hand poses, the last 90 numbers."""
    pose = params["pose"].copy()
    pose[:, -90:] += np.float32(change)
    return params | {"pose": pose}

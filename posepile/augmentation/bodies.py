"""Parameters of body models, turned and mirrored with the picture."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from posepile.bodies.joints import JOINT_NAMES
from posepile.errors import UsageError
from posepile.joint_info import other_side_name

KINDS = ("smpl", "smplh", "smplx")
GENDERS = ("neutral", "male", "female")
N_EXPRESSION = 10
_LARGEST = 3 * len(JOINT_NAMES["smplx"])
_FLIP = np.array([-1.0, 1.0, 1.0])


def kind_of(parameters: Mapping[str, Any]) -> str:
    """Which model a pose is of, by its length: ``smpl``, ``smplh`` or ``smplx``.

    Raises:
        UsageError: Of none.
    """
    n = np.size(parameters["pose"])
    for kind in KINDS:
        if 3 * len(JOINT_NAMES[kind]) == n:
            return kind
    lengths = ", ".join(str(3 * len(JOINT_NAMES[kind])) for kind in KINDS)
    raise UsageError(f"pose of body parameters: found {n} numbers, expected {lengths}")


def mirrored_pose(pose: np.ndarray) -> np.ndarray:
    """Pose of a body whose left and right were exchanged: as in a mirror before the model's x.

    The mesh of the model is nearly its own mirror image, so that shape stays as it is.

    Args:
        pose: Rotation vectors ``[3 J]``, hands with their mean added.

    Returns:
        float64 ``[3 J]``; the first rotation is in the mirrored world.
    """
    kind = kind_of({"pose": pose})
    vectors = np.asarray(pose, np.float64).reshape(-1, 3)[_other_sides(kind)]
    return (vectors * [1, -1, -1]).reshape(-1)


def parameters_in_camera(
    parameters: Mapping[str, Any],
    rotation: np.ndarray,
    center: np.ndarray,
    models_root: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Parameters of the body as a camera sees it: in its coordinates, metres.

    The pose of a mirroring camera is that of the mirrored body. The model turns about its root
    joint, hence that joint's place at rest is needed, for which the model's file has to be there.

    Args:
        parameters: Of the body in the world, as docs/FORMAT.md lists them.
        rotation: World to camera ``[3, 3]``; its determinant is -1 where left and right change.
        center: Of the camera, ``[3]`` mm.
        models_root: Folder of body models, as of :func:`posepile.bodies.models.body_forward`.

    Returns:
        The same with other ``pose`` and ``trans``.

    Raises:
        UsageError: smplfitter is not installed, or a pose of no model.
        WorkError: The model's file is not there.
    """
    from scipy.spatial.transform import Rotation

    pose = np.asarray(parameters["pose"], np.float64).reshape(-1)
    scale = float(parameters.get("scale", 1.0))
    root = _root_at_rest(parameters, models_root)
    rotation = np.asarray(rotation, np.float64)
    first = rotation @ Rotation.from_rotvec(pose[:3]).as_matrix()
    if np.linalg.det(rotation) < 0:
        pose = mirrored_pose(pose)
        first = first * _FLIP
    pose = np.concatenate([Rotation.from_matrix(first).as_rotvec(), pose[3:]])
    trans = np.asarray(parameters.get("trans", np.zeros(3)), np.float64).reshape(3)
    place = rotation @ (root + trans - np.asarray(center, np.float64) / (1000 * scale))
    return {**parameters, "pose": pose, "trans": place - root}


def no_body(n_betas: int) -> dict[str, np.ndarray]:
    """The arrays of :func:`body_arrays` for an example without parameters."""
    return {
        "body_kind": np.array(-1),
        "body_gender": np.array(0),
        "body_pose": np.zeros(_LARGEST, np.float32),
        "body_shape": np.zeros(n_betas, np.float32),
        "body_expression": np.zeros(N_EXPRESSION, np.float32),
        "body_trans": np.full(3, np.nan, np.float32),
        "body_scale": np.array(1, np.float32),
        "body_kid_factor": np.array(0, np.float32),
    }


def body_arrays(parameters: Mapping[str, Any], n_betas: int) -> dict[str, np.ndarray]:
    """Parameters as arrays of fixed shapes, filled up with zeros.

    Args:
        parameters: As :func:`parameters_in_camera` returns them.
        n_betas: Components of shape; further ones are left out.
    """
    arrays = no_body(n_betas)
    arrays["body_kind"] = np.array(KINDS.index(kind_of(parameters)))
    gender = str(parameters.get("gender", "neutral"))[:1].lower()
    arrays["body_gender"] = np.array([g[0] for g in GENDERS].index(gender))
    for name in ("pose", "shape", "expression", "trans"):
        target, value = arrays[f"body_{name}"], parameters.get(name)
        if value is not None:
            value = np.asarray(value).reshape(-1)[: len(target)]
            target[: len(value)] = value
    for name in ("scale", "kid_factor"):
        if parameters.get(name) is not None:
            arrays[f"body_{name}"] = np.array(parameters[name], np.float32)
    return arrays


@functools.cache
def _other_sides(kind: str) -> np.ndarray:
    names = list(JOINT_NAMES[kind])
    return np.array([names.index(other_side_name(name)) for name in names])


def _root_at_rest(parameters: Mapping[str, Any], models_root) -> np.ndarray:
    shaping = tuple(
        (key, np.asarray(parameters[key], np.float64).reshape(-1).tobytes())
        for key in ("shape", "expression", "kid_factor")
        if parameters.get(key) is not None
    )
    kind = str(parameters.get("type") or kind_of(parameters))
    return _known_root(kind, str(parameters.get("gender", "neutral")), shaping, models_root)


@functools.lru_cache(maxsize=4096)
def _known_root(kind: str, gender: str, shaping: tuple, models_root) -> np.ndarray:
    from posepile.bodies.joints import N_JOINTS
    from posepile.bodies.models import body_joints

    body: dict[str, Any] = {key: np.frombuffer(data) for key, data in shaping}
    if "kid_factor" in body:
        body["kid_factor"] = float(body["kid_factor"][0])
    base = (
        kind if kind in N_JOINTS else next((k for k in reversed(KINDS) if kind[:5] == k), "smpl")
    )
    body["pose"] = np.zeros(3 * N_JOINTS[base])
    return body_joints(base, gender, body, models_root=models_root)[0, 0].astype(np.float64)

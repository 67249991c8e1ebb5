"""Predicted bodies as arguments of the smplx library: joints and vertices of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posepile.bodies.models import require_body_model
from posepile.bodies.parameters import load_hands, parameters_of_fit
from posepile.errors import CorruptInput
from posepile.evaluation.meshes import posed_bodies
from posepile.evaluation.predictions import WRITE_AGAIN
from posepile.formats.numpy_files import load_npz
from posepile.formats.schema import Array, check

# Arguments of the library that are rotations, and how many; those of SMPL-X that may be absent.
SMPL_ROTATIONS = {"global_orient": 1, "body_pose": 23}
SMPLX_ROTATIONS = {"global_orient": 1, "body_pose": 21}
SMPLX_OPTIONAL = {"jaw_pose": 1, "leye_pose": 1, "reye_pose": 1}
SMPLX_OPTIONAL |= {"left_hand_pose": 15, "right_hand_pose": 15}


def library_body(
    kind: str, params: Mapping[str, Any], where: Path, models_root: Path | None = None
) -> dict[str, np.ndarray]:
    """Returns joints and vertices of one body, mm; joints of SMPL-X with 51 points of the face.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> params = {"global_orient": np.zeros((1, 1, 3)), "body_pose": np.zeros((1, 23, 3))}
    >>> params |= {"betas": np.zeros((1, 10)), "transl": np.ones((1, 3))}
    >>> body = library_body("smpl", params, Path("a.pkl"), folder)
    >>> body["joints"].shape, body["vertices"].shape
    ((24, 3), (330, 3))

    Args:
        kind: ``smpl`` (neutral) or ``smplx``.
        params: ``betas``, ``transl``, ``global_orient``, ``body_pose`` and for SMPL-X perhaps
            hands, jaw, eyes, ``expression``, ``gender``, ``kid_flag``. Rotations are vectors or
            matrices, with or without a batch axis; hands as vectors lack the mean hand, as the
            library wants them, those as matrices do not.
        where: File, for messages.
        models_root: Folder of the model folders.

    Returns:
        ``joints`` ``[24, 3]`` (SMPL) or ``[106, 3]`` (SMPL-X: 55, then the face), ``vertices``.

    Raises:
        CorruptInput: A part is missing or of another size.
        WorkError: The model file is nowhere.
    """
    gender = params.get("gender", "neutral") if kind == "smplx" else "neutral"
    gender = np.asarray(gender).tolist()
    gender = gender[0] if isinstance(gender, list) and gender else gender
    needed = SMPL_ROTATIONS if kind == "smpl" else SMPLX_ROTATIONS
    pose = {part: _rotvecs(params.get(part), n, where, part) for part, n in needed.items()}
    plain = {"betas": Array(1, "n", squeezed=True), "transl": Array(1, 3, squeezed=True)}
    plain = check(dict(params), plain, where, hint=WRITE_AGAIN)
    if kind == "smpl":
        found = {"pose": np.concatenate([*pose.values()]), "shape": plain["betas"][0]}
        found["trans"] = plain["transl"][0]
    else:
        given = {part: n for part, n in SMPLX_OPTIONAL.items() if params.get(part) is not None}
        pose |= {part: _rotvecs(params[part], n, where, part) for part, n in given.items()}
        fit = {**pose, **plain}
        if params.get("expression") is not None:
            fit["expression"] = params["expression"]
        hands = load_hands(require_body_model("smplx", gender, models_root=models_root))
        whole = any(np.size(params.get(f"{side}_hand_pose")) == 135 for side in ("left", "right"))
        more = {"gender": gender, "kid": bool(np.any(params.get("kid_flag", False)))}
        found = parameters_of_fit(where, fit, hands=None if whole else hands, **more)
    bodies = posed_bodies(kind, gender, found, models_root=models_root)
    joints, vertices = bodies["joints"][0], bodies["vertices"][0]
    if kind == "smplx":
        joints = np.concatenate([joints, _face_points(gender, vertices, models_root)])
    return {"joints": joints, "vertices": vertices}


def _face_points(gender: str, vertices: np.ndarray, models_root: Path | None) -> np.ndarray:
    """The 51 points of the face that a SMPL-X model file places on triangles: ``[51, 3]``."""
    file = require_body_model("smplx", gender, models_root=models_root)
    schema = {"f": Array("faces", 3, dtype=int), "lmk_faces_idx": Array(51, dtype=int)}
    schema["lmk_bary_coords"] = Array(51, 3)
    model = check(load_npz(file, list(schema)), schema, file, hint="get the model file again")
    corners = vertices[model["f"][model["lmk_faces_idx"]]]
    return np.einsum("kc,kcd->kd", model["lmk_bary_coords"], corners)


def _rotvecs(value: Any, n: int, where: Path, part: str) -> np.ndarray:
    """Rotation vectors ``[3 n]`` of a part that holds vectors or matrices."""
    from scipy.spatial.transform import Rotation

    if value is None:
        raise CorruptInput(where, f"params: found no {part}", hint=WRITE_AGAIN)
    numbers = check(value, Array(...), where, f"params.{part}", hint=WRITE_AGAIN)
    if numbers.size == 3 * n:
        return numbers.ravel()
    if numbers.size != 9 * n:
        reason = f"params.{part}: found shape {numbers.shape}; expected {n} rotations"
        raise CorruptInput(where, reason, hint=WRITE_AGAIN)
    matrices = numbers.reshape(n, 3, 3)
    if (np.linalg.det(matrices) <= 0).any():
        reason = f"params.{part}: found a matrix that is no rotation"
        raise CorruptInput(where, reason, hint=WRITE_AGAIN)
    return Rotation.from_matrix(matrices).as_rotvec().ravel()

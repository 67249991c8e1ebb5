"""What is read off the surface of a body model, and what makes joints of a surface."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from posepile.bodies.joints import SMPLX_SURFACE_VERTICES
from posepile.bodies.models import body_forward, require_body_model
from posepile.errors import CorruptInput
from posepile.formats.numpy_files import load_npz
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, check

_N_SMPLX = 10475
_LANDMARKS = {
    "f": Array("F", 3, dtype=np.int64),
    "lmk_faces_idx": Array("K", dtype=np.int64),
    "lmk_bary_coords": Array("K", 3),
}


def joint_regressor(
    kind: str, gender: str, *, models_root: str | os.PathLike | None = None
) -> np.ndarray:
    """Returns the matrix that makes joints of the vertices of a model, float64 ``[J, V]``.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> joint_regressor("smpl", "neutral", models_root=folder).shape
    (24, 330)

    Args:
        kind: As of :func:`posepile.bodies.models.body_forward`.
        gender: As there.
        models_root: As there.

    Raises:
        WorkError: The model is not on disk.
        CorruptInput: It cannot be read.
    """
    return _regressor(require_body_model(kind, gender, models_root=models_root))


@lru_cache(maxsize=2)
def _regressor(path: Path) -> np.ndarray:
    matrix = check(_read(path, ("J_regressor",)), {"J_regressor": None}, path)["J_regressor"]
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return check(dense, Array("J", "V"), path, "J_regressor")


def smplx_output_joints(
    gender: str, params: Mapping, *, models_root: str | os.PathLike | None = None
) -> np.ndarray:
    """Returns the joints that the smplx library gives, ``[T, 127, 3]`` metres.

    Those of the model, points of its surface, landmarks of the face: named by
    :data:`posepile.bodies.joints.SMPLX_OUTPUT_NAMES` and ``SMPLX_LANDMARK_NAMES``.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smplx",), 10475)
    >>> smplx_output_joints("male", {"pose": np.zeros((1, 165))}, models_root=folder).shape
    (1, 127, 3)

    Args:
        gender: As of :func:`posepile.bodies.models.body_forward`.
        params: As there.
        models_root: As there.
    """
    path = require_body_model("smplx", gender, models_root=models_root)
    corners, weights = _landmarks(path)
    wanted = (*SMPLX_SURFACE_VERTICES, *corners.ravel().tolist())
    found = body_forward("smplx", gender, params, at=wanted, models_root=models_root)
    n = len(SMPLX_SURFACE_VERTICES)
    picked, triangles = found["vertices"][:, :n], found["vertices"][:, n:]
    triangles = triangles.reshape(len(picked), -1, 3, 3)
    face = np.einsum("kc,tkca->tka", weights.astype(np.float32), triangles)
    return np.concatenate([found["joints"], picked, face], axis=1)


@lru_cache(maxsize=4)
def _landmarks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns three vertices of each landmark and their weights, ``[K, 3]`` each."""
    model = check(_read(path, tuple(_LANDMARKS)), _LANDMARKS, path)
    n, faces, chosen = _regressor(path).shape[1], model["f"], model["lmk_faces_idx"]
    if n != _N_SMPLX:
        text = (
            f"found {n} vertices; expected {_N_SMPLX}: points of the surface go by their numbers"
        )
        raise CorruptInput(path, text, hint="take the published model")
    if not (0 <= chosen.min(initial=0) <= chosen.max(initial=0) < len(faces)):
        text = f"lmk_faces_idx: found others than from 0 to {len(faces) - 1}"
        raise CorruptInput(path, text, hint="download that body model again")
    return faces[chosen], model["lmk_bary_coords"]


def _read(path: Path, names: tuple[str, ...]) -> Mapping:
    return load_npz(path, list(names)) if path.suffix == ".npz" else read_pickle(path)

"""Truth and predictions that are body models: joints, vertices and rotations in millimetres.

Model files are found as :mod:`posepile.bodies.models` says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from posepile.bodies.fits import read_fits
from posepile.bodies.joints import GENDERS
from posepile.bodies.models import (
    body_forward,
    find_body_model,
    models_below,
    require_body_model,
)
from posepile.bodies.parameters import load_hands
from posepile.errors import CorruptInput, WorkError
from posepile.evaluation.benchmark import Predictions
from posepile.evaluation.forms import npz_arrays
from posepile.evaluation.predictions import WRITE_AGAIN
from posepile.formats.numpy_files import load_npy
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import AGAIN, Array, check
from posepile.metrics import pose_errors
from posepile.paths import data_root

# Rows of SPIN's J_regressor_h36m.npy -> LSP's 14 joints: right ankle, knee, hip, left hip, knee,
# ankle, right wrist, elbow, shoulder, left shoulder, elbow, wrist, neck, top of the head.
LSP14_OF_H36M = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)


def posed_bodies(
    kind: str,
    gender: str,
    params: Mapping[str, np.ndarray],
    *,
    vertices: bool = True,
    parts: Sequence[int] | None = None,
    world_to_camera: np.ndarray | None = None,
    models_root: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Returns posed bodies: joints and vertices in mm, and the rotation of each part.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> params = {"pose": np.zeros((2, 72)), "shape": np.zeros(10), "trans": np.ones((2, 3))}
    >>> bodies = posed_bodies("smpl", "male", params, models_root=folder)
    >>> {name: values.shape for name, values in bodies.items()}
    {'joints': (2, 24, 3), 'vertices': (2, 330, 3), 'orientations': (2, 24, 3, 3)}

    Args:
        kind: As of :func:`posepile.bodies.models.body_forward`.
        gender: As there.
        params: As there; metres and radians.
        vertices: Compute vertices, too (much slower).
        parts: Of which the rotations are wanted; None = all.
        world_to_camera: ``[n, 4, 4]`` or ``[4, 4]``, translation in metres; None = bodies stay in
            the world.
        models_root: As there.

    Returns:
        ``joints`` ``[n, J, 3]``, perhaps ``vertices`` ``[n, V, 3]``, ``orientations``
        ``[n, J, 3, 3]`` (or of some parts), float64.
    """
    wanted = {"vertices": vertices, "orientations": True, "models_root": models_root}
    found = body_forward(kind, gender, params, **wanted)
    bodies = {name: values.astype(np.float64) for name, values in found.items()}
    if parts is not None:
        bodies["orientations"] = bodies["orientations"][:, list(parts)]
    if world_to_camera is not None:
        pose = np.asarray(world_to_camera, np.float64)
        for name in bodies.keys() - {"orientations"}:
            bodies[name] = moved(bodies[name], pose)
        turn = pose[..., None, :3, :3] if pose.ndim == 3 else pose[:3, :3]
        bodies["orientations"] = turn @ bodies["orientations"]
    return {k: values * (1 if k == "orientations" else 1000) for k, values in bodies.items()}


def moved(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Returns points ``[n, K, 3]`` after ``x' = R x + t``, given as ``[n, 4, 4]`` or ``[4, 4]``.

    >>> moved(np.ones((1, 2, 3)), np.eye(4)).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """
    return points @ np.swapaxes(transform[..., :3, :3], -1, -2) + transform[..., None, :3, 3]


def part_errors(
    pred: np.ndarray,
    true: np.ndarray,
    parts: Sequence[Sequence[int]],
    roots: Sequence[int] | None = None,
    *,
    alignment: Literal["none", "rigid", "similarity"] = "none",
) -> np.ndarray:
    """Returns mean errors ``[n]`` of parts of a body, each with a root or alignment of its own.

    >>> body = np.random.default_rng(0).normal(size=(2, 9, 3))
    >>> part_errors(body + 1, body, [[3, 4], [5, 6]], [3, 5]).round(6).tolist()
    [0.0, 0.0]

    Args:
        pred: Joints or vertices, ``[n, V, 3]``.
        true: Likewise.
        parts: Points of each part; the means of parts are averaged.
        roots: Point of each that is subtracted on both sides; None: none is.
        alignment: As of :func:`posepile.metrics.pose_errors`, fitted on the points of the part.
    """
    means = []
    for i, ids in enumerate(parts):
        pair = [points[:, ids] for points in (pred, true)]
        if roots is not None:
            pair = [
                chosen - p[:, [roots[i]]] for chosen, p in zip(pair, (pred, true), strict=True)
            ]
        means.append(pose_errors(*pair, alignment=alignment).mean(axis=1))
    return np.mean(means, axis=0)


def body_arrays(path: Path, n_joints: int, **more: Any) -> Predictions:
    """Returns predictions in npz that are meshes, or bodies to be posed.

    >>> body = {"pose": np.zeros((1, 72)), "betas": np.zeros((1, 10)), "trans": np.zeros((1, 3))}
    >>> np.savez(folder / "pred.npz", image_path=["a.jpg"], **body)
    >>> body_arrays(folder / "pred.npz", 24).names
    ['a.jpg']

    Args:
        path: The file: ``vertices`` ``[n, V, 3]``, or ``pose`` ``[n, 3J]``, ``betas`` ``[n, k]``
            and ``trans`` ``[n, 3]``; metres, unless it states ``units``.
        n_joints: J.
        **more: As of :func:`posepile.evaluation.forms.npz_arrays`.
    """
    form = {"pose?": (3 * n_joints,), "betas?": ("k",), "trans?": (3,), "vertices?": ("V", 3)}
    return npz_arrays(path, form, unit="m", **more)


def posed_vertices(
    where: Path,
    kind: str,
    gender: str,
    pred: Mapping[str, np.ndarray],
    sizes: Sequence[int],
    *,
    models_root: str | os.PathLike | None = None,
) -> np.ndarray:
    """Returns vertices ``[n, V, 3]`` mm of predictions that are meshes, or bodies to be posed.

    >>> pred = {"vertices": np.zeros((2, 6890, 3))}
    >>> posed_vertices(Path("pred.npz"), "smpl", "neutral", pred, [6890]).shape
    (2, 6890, 3)

    Args:
        where: The predictions, for messages.
        kind: As of :func:`posed_bodies`.
        gender: As there.
        pred: ``vertices``, else ``pose``, ``betas`` and ``trans``; millimetres.
        sizes: How many vertices a mesh may have.
        models_root: As there.

    Raises:
        CorruptInput: None of these, or another number of vertices.
    """
    if "vertices" not in pred:
        if lacking := {"pose", "betas", "trans"} - pred.keys():
            reason = f"found neither vertices nor {min(lacking)}; expected vertices, or pose, "
            raise CorruptInput(where, f"{reason}betas and trans", hint=WRITE_AGAIN)
        params = {"pose": pred["pose"], "shape": pred["betas"], "trans": pred["trans"] / 1000}
        return posed_bodies(kind, gender, params, models_root=models_root)["vertices"]
    if (n := pred["vertices"].shape[1]) not in sizes:
        reason = f"vertices: found {n} of each; expected {' or '.join(map(str, sizes))}"
        raise CorruptInput(where, reason, hint=WRITE_AGAIN)
    return pred["vertices"]


def smpl_of_smplx(vertices: np.ndarray, root: Path | None = None) -> np.ndarray:
    """Returns meshes of SMPL for meshes of SMPL-X, ``[n, V, 3]``.

    >>> (folder / "body_models").mkdir()
    >>> from posepile.miniature.pickled import write_pickle
    >>> write_pickle(folder / "body_models/smplx2smpl.pkl", {"matrix": np.full((2, 5), 0.2)})
    >>> smpl_of_smplx(np.ones((4, 5, 3)), folder).shape
    (4, 2, 3)

    Args:
        vertices: Of SMPL-X.
        root: As of :func:`model_file`: ``smplx/smplx2smpl.pkl`` is looked for.

    Raises:
        WorkError: The file is nowhere.
        CorruptInput: It is for another number of vertices.
    """
    matrix = _smpl_of_smplx(root, vertices.shape[1])
    flat = vertices.transpose(1, 0, 2).reshape(vertices.shape[1], -1)
    return (matrix @ flat).reshape(matrix.shape[0], -1, 3).transpose(1, 0, 2)


def smpl_of_fits(
    files: Sequence[Path], who: Mapping[str, Any], root: Path | None = None
) -> np.ndarray:
    """Returns SMPL-X fits of one person as meshes of SMPL ``[n, V, 3]``, mm.

    Hands are the model's mean hands, jaw and eyes at rest, and there is no expression.

    >>> from posepile.miniature import bodies, pickled
    >>> models = folder / "body_models"
    >>> bodies.write_body_models(models, ("smplx",))
    >>> matrix = {"matrix": bodies.make_transfer(30, 330)}
    >>> pickled.write_pickle(models / "smplx/smplx2smpl.pkl", matrix)
    >>> fit = bodies.smplx_fit(np.zeros((55, 3)), np.zeros(10), np.zeros(3))
    >>> pickled.write_pickle(folder / "a.pkl", fit)
    >>> who = {"gender": "male", "models_root": models}
    >>> smpl_of_fits([folder / "a.pkl"], who, folder).shape
    (1, 30, 3)

    Args:
        files: As of :func:`posepile.bodies.fits.read_fits`.
        who: ``gender`` and ``models_root`` of the model.
        root: As of :func:`smpl_of_smplx`.
    """
    hands = load_hands(require_body_model("smplx", **who)).mean
    fit = read_fits(files, **who)
    # 22 joints of the body, then jaw and eyes, then 15 of each hand, three numbers each.
    fit["pose"][:, 66:75], fit["pose"][:, 75:] = 0.0, hands.ravel()
    fit.pop("expression", None)
    return smpl_of_smplx(posed_bodies("smplx", params=fit, **who)["vertices"], root)


@lru_cache(maxsize=2)
def _smpl_of_smplx(root: Path | None, n_vertices: int):
    from scipy.sparse import csr_matrix

    return csr_matrix(read_regressor("smplx/smplx2smpl.pkl", "vertices", n_vertices, root))


def model_file(name: str, root: Path | None = None) -> Path:
    """Returns a file that evaluations need besides body models: a regressor, indices of vertices.

    >>> (folder / "body_models").mkdir()
    >>> np.save(folder / "body_models/J_regressor_h36m.npy", np.eye(17))
    >>> model_file("smpl/J_regressor_h36m.npy", folder).name
    'J_regressor_h36m.npy'

    Args:
        name: File below the folder of body models, e.g. ``smpl/J_regressor_h36m.npy``; it may
            also lie directly in that folder.
        root: Raw folder of a dataset, whose ``body_models`` is looked into first.

    Raises:
        WorkError: It is nowhere.
    """
    first = None
    for folder in _model_folders(root):
        for place in (folder / name, folder / Path(name).name):
            if place.is_file():
                return place
            first = first or place
    raise WorkError(f"{first}: not there; the protocol needs this file, see README.md")


def _model_folders(root: Path | None) -> list[Path]:
    folders = [root / "body_models"] if root else []
    if named := os.environ.get("SMPLFITTER_BODY_MODELS"):
        return [*folders, Path(named)]
    if os.environ.get("DATA_ROOT") or not folders:
        folders.append(data_root() / "body_models")
    return folders


def smplx_parts(root: Path | None = None, n_vertices: int = 10475) -> dict[str, np.ndarray]:
    """Returns the vertices of SMPL-X that are hands, those of the face, and all others, sorted.

    >>> from posepile.miniature.pickled import write_pickle
    >>> (folder / "body_models").mkdir()
    >>> np.save(folder / "body_models/SMPL-X__FLAME_vertex_ids.npy", np.array([5, 6]))
    >>> hands = {"left_hand": np.array([0, 1]), "right_hand": np.array([2])}
    >>> write_pickle(folder / "body_models/MANO_SMPLX_vertex_ids.pkl", hands)
    >>> smplx_parts(folder, 8)["body"].tolist()
    [3, 4, 7]

    Args:
        root: As of :func:`model_file`: ``smplx/MANO_SMPLX_vertex_ids.pkl`` and
            ``smplx/SMPL-X__FLAME_vertex_ids.npy`` are looked for.
        n_vertices: Of the model.

    Returns:
        ``left_hand``, ``right_hand``, ``face``, ``body``.

    Raises:
        WorkError: A file is nowhere.
        CorruptInput: It names vertices that the model does not have.
    """
    hands = model_file("smplx/MANO_SMPLX_vertex_ids.pkl", root)
    face = model_file("smplx/SMPL-X__FLAME_vertex_ids.npy", root)
    left, right = (Array(f"n_{side}", dtype=int) for side in ("left", "right"))
    parts = read_pickle(hands, {"left_hand": left, "right_hand": right})
    parts["face"] = check(load_npy(face), Array("n", dtype=int), face, hint=AGAIN)
    for name, ids in parts.items():
        if not (len(ids) and 0 <= ids.min() <= ids.max() < n_vertices):
            reason = f"{name}: found other vertices than those from 0 to {n_vertices - 1}"
            raise CorruptInput(face if name == "face" else hands, reason, hint=AGAIN)
    others = np.setdiff1d(np.arange(n_vertices), np.concatenate(list(parts.values())))
    return parts | {"body": others}


def read_regressor(
    name: str, n_joints: int | str, n_vertices: int | str, root: Path | None = None
) -> np.ndarray:
    """Returns a matrix that makes joints of vertices, float64 ``[n_joints, n_vertices]``.

    >>> (folder / "body_models").mkdir()
    >>> np.save(folder / "body_models/J_regressor_h36m.npy", np.zeros((17, 330)))
    >>> read_regressor("smpl/J_regressor_h36m.npy", 17, "vertices", folder).shape
    (17, 330)

    Args:
        name: As of :func:`model_file`: npy, or a pickle of the matrix, dense or sparse, or with
            it under the key ``matrix``.
        n_joints: Rows, or any name.
        n_vertices: Columns, or any name.
        root: As there.

    Raises:
        WorkError: The file is nowhere.
        CorruptInput: It has another shape.
    """
    place = model_file(name, root)
    matrix = read_pickle(place) if place.suffix == ".pkl" else load_npy(place)
    if isinstance(matrix, Mapping):
        matrix = check(matrix, {"matrix": None}, place, hint=AGAIN)["matrix"]
    matrix = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return check(matrix, Array(n_joints, n_vertices), place, hint=AGAIN)


def read_h36m_regressor(n_vertices: int | str, root: Path | None = None) -> np.ndarray:
    """Returns SPIN's regressor of Human3.6M's 17 joints, float64 ``[17, n_vertices]``.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder / "body_models", ("smpl",))
    >>> read_h36m_regressor("V", folder).shape
    (17, 330)

    Args:
        n_vertices: As of :func:`read_regressor`, as is ``root``.
        root: See there.

    Raises:
        WorkError: As there.
        CorruptInput: As there, or the first leg is the right one: two such files go round. Left is
            +x in the SMPL models at rest, of which one must be there.
    """
    regressor = read_regressor("smpl/J_regressor_h36m.npy", 17, n_vertices, root)
    given = {"models_root": models_below(root) if root else None}
    gender = next((g for g in GENDERS if find_body_model("smpl", g, **given)), "neutral")
    rest = body_forward("smpl", gender, {"pose": np.zeros(72)}, **given)["vertices"][0]
    if len(rest) == regressor.shape[1] and (regressor[1] @ rest)[0] <= 0:
        reason = "row 1 is a joint of the right leg; expected SPIN's file, left leg first"
        place = model_file("smpl/J_regressor_h36m.npy", root)
        raise CorruptInput(place, reason, hint="fetch J_regressor_h36m.npy of SPIN's data")
    return regressor


def regressed(
    regressor: np.ndarray, vertices: np.ndarray, rows: Sequence[int] | None = None
) -> np.ndarray:
    """Returns joints of vertices ``[n, V, 3]``: ``[n, K, 3]``, of some rows if they are given.

    >>> regressed(np.full((2, 4), 0.25), np.arange(12.0).reshape(1, 4, 3), [1]).tolist()
    [[[4.5, 5.5, 6.5]]]
    """
    chosen = regressor if rows is None else regressor[list(rows)]
    return np.einsum("kv,nvc->nkc", chosen, vertices, optimize=True)

"""Parameters of SMPL, SMPL-H and SMPL-X made into each other's, with the error of the fit.

What is compared depends on what is at hand. Meshes of SMPL and SMPL-H have the same vertices, and
so have those of different genders and of the variants of SMPL-X: the new body is fitted to all of
them. Between these two meshes the official transfer files say where each vertex is on the other
one. Without these files the joints of the same names are fitted, and 21 vertices that are the same
points of the surface: these joints are similar, not the same (each model has a regressor of its
own), and little of how stout a body is shows in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from posepile.bodies.batches import Batch, alike_bodies, family_of
from posepile.bodies.fitting import fit_bodies
from posepile.bodies.joints import GENDERS, JOINT_NAMES, N_JOINTS, SMPLX_SURFACE_VERTICES
from posepile.bodies.models import body_forward, load_body_model, models_folder
from posepile.bodies.parameters import body_parameters
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import names_in
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import AGAIN, Array, check

# Vertices of SMPL and SMPL-H that the smplx library takes for points of the surface, in the order
# of SMPLX_SURFACE_VERTICES: nose, eyes, ears, toes and heels, then tips of fingers.
SMPL_SURFACE_VERTICES = (
    *(332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787),
    *(2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133),
)
_SURFACE = {"smpl": (6890, SMPL_SURFACE_VERTICES), "smplx": (10475, SMPLX_SURFACE_VERTICES)}
_TRANSFERS = {
    "smpl2smplx": ("smpl2smplx", "smplh2smplx"),
    "smplx2smpl": ("smplx2smpl", "smplx2smplh"),
}
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_KNUCKLES = ("index1", "middle1", "pinky1", "ring1")  # a hand turns as these do; a thumb does not
# Bodies at a time: of each shape component there is a mesh of each.
_CHUNK = 32
# As many vertices are fitted at least; bodies nearer than this, in metres, need no better fit.
_VERTICES, _NEAR = 2000, 1e-3
# Keeps components that the points hardly show near 0; metres squared per component squared.
_REGULARIZER = {"vertices": 1e-5, "points": 1e-4}

Points = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True, eq=False)
class Conversion:
    """Bodies of another model, and how near they come to those they were made of.

    Attributes:
        parameters: As docs/FORMAT.md lists them, with ``converted_from`` (model and gender),
            ``fit_mm`` (mean and largest error) and ``fit_of`` beside; None where there were none.
        mean_mm: Error of each body, mean over what is compared, ``[n]``; NaN without parameters.
        max_mm: The largest, ``[n]``.
        compared: Of each body, what the errors are of: ``as given`` (nothing was converted),
            ``vertices`` (all, each with itself), ``transferred vertices`` (all, by an official
            transfer file), ``joints and surface points`` or ``joints``; '' without parameters.
    """

    parameters: list[dict[str, Any] | None]
    mean_mm: np.ndarray
    max_mm: np.ndarray
    compared: list[str]


def convert_bodies(
    bodies: Sequence[Mapping[str, Any] | None],
    kind: str,
    *,
    gender: str | None = None,
    n_betas: int = 10,
    fit_to: Literal["best", "points"] = "best",
    n_valid_betas: Sequence[int | None] | int | None = None,
    where: Sequence[str | os.PathLike] | None = None,
    models_root: str | os.PathLike | None = None,
) -> Conversion:
    """Returns bodies as parameters of one kind of model, with the error of each.

    Rotations of joints that both models have are taken over, then all are fitted where meshes can
    be compared; shape and translation are fitted. A hand of SMPL, which is one rotation, turns
    the fingers of the others by it, and comes from their knuckles. Jaw, eyes and expression are
    lost in SMPL and SMPL-H. ``scale`` stays; ``kid_factor`` is fitted where there was one.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl", "smplx"))
    >>> body = {"type": "smpl", "gender": "male", "pose": np.zeros(72)}
    >>> body |= {"shape": np.zeros(10), "trans": np.array([0, 0, 3.0])}
    >>> found = convert_bodies([body, None], "smplx", models_root=folder)
    >>> found.parameters[0]["pose"].shape, found.compared, found.mean_mm.shape
    ((165,), ['joints', ''], (2,))

    Args:
        bodies: ``parameters`` of examples, of any models, see docs/FORMAT.md; None = none.
        kind: As of :func:`posepile.bodies.models.body_forward`.
        gender: Of the model they become; None: each keeps its own.
        n_betas: How many shape components are fitted; fewer if the model has fewer.
        fit_to: ``points``: joints and points of the surface, even where meshes can be compared.
        n_valid_betas: As of :func:`posepile.bodies.batches.alike_bodies`.
        where: As there.
        models_root: Folder of the model folders. Transfer files are looked for in it and in its
            ``smplx``: ``smpl2smplx_deftrafo_setup.pkl`` and ``smplx2smpl_deftrafo_setup.pkl``
            (also those of ``smplh``, and ``smplx2smpl.pkl``).

    Raises:
        UsageError: An unknown kind or gender, or smplfitter is not installed.
        WorkError: A model file is not on disk; says where it belongs.
        CorruptInput: Parameters or a transfer file that are damaged.
    """
    if kind not in N_JOINTS:
        raise UsageError(f"body model kind {kind!r} is unknown; known: {', '.join(N_JOINTS)}")
    if gender not in (None, *GENDERS):
        raise UsageError(f"gender {gender!r} is unknown; known: {', '.join(GENDERS)}")
    if fit_to not in ("best", "points"):
        raise UsageError(f"fit_to={fit_to!r} is unknown; known: best, points")
    n = len(bodies)
    parameters: list[dict[str, Any] | None] = [None] * n
    mean_mm, max_mm, compared = np.full(n, np.nan), np.full(n, np.nan), [""] * n
    given = {"n_valid_betas": n_valid_betas, "where": where, "models_root": models_root}
    for whole in alike_bodies(bodies, **given):
        for batch in _cut(whole):
            converter = _Converter(batch, kind, gender or batch.gender, models_root)
            found, errors, of = converter.convert(n_betas, fit_to)
            mean_mm[batch.positions] = errors.mean(axis=1) if errors.shape[1] else 0.0
            max_mm[batch.positions] = errors.max(axis=1, initial=0.0)
            for k, i in enumerate(batch.positions.tolist()):
                name = "body parameters" if where is None else where[i]
                own = {key: values[k] for key, values in found.items()}
                more = {
                    "converted_from": f"{batch.kind} {batch.gender}",
                    "fit_mm": [float(mean_mm[i]), float(max_mm[i])],
                    "fit_of": of,
                }
                parameters[i] = _as_stored(name, kind, gender or batch.gender, own) | more
                compared[i] = of
    return Conversion(parameters, mean_mm, max_mm, compared)


def copied_pose(pose: np.ndarray, family: str, other: str) -> np.ndarray:
    """Returns poses of another model with the rotations of joints that both have, ``[n, 3K]``.

    >>> pose = np.zeros((1, 72))
    >>> pose[0, 66:69] = 0.3  # the left hand
    >>> copied_pose(pose, "smpl", "smplh")[0, 66:72]
    array([0.3, 0.3, 0.3, 0. , 0. , 0. ])

    Args:
        pose: Rotation vectors ``[n, 3J]``.
        family: ``smpl``, ``smplh`` or ``smplx``, whose pose it is.
        other: Likewise, whose it becomes.
    """
    from scipy.spatial.transform import Rotation

    names, wanted = JOINT_NAMES[family], JOINT_NAMES[other]
    own = np.asarray(pose, np.float64).reshape(len(pose), len(names), 3)
    result = np.zeros((len(pose), len(wanted), 3))
    for k, name in enumerate(wanted):
        if name in names:
            result[:, k] = own[:, names.index(name)]
        elif name[1:-1] in _FINGERS and name.endswith("1") and f"{name[0]}han" in names:
            result[:, k] = own[:, names.index(f"{name[0]}han")]
        elif name in ("lhan", "rhan") and len(pose):
            knuckles = own[:, [names.index(name[0] + knuckle) for knuckle in _KNUCKLES]]
            result[:, k] = [Rotation.from_rotvec(some).mean().as_rotvec() for some in knuckles]
    return result.reshape(len(pose), -1)


def read_transfer(path: Path) -> Any:
    """Returns the matrix of a transfer file, sparse float32 ``[V_new, V_old]``.

    Files of the SMPL-X project hold it under ``mtx``, with as many columns again for normals,
    or under ``matrix``.

    >>> from posepile.miniature.pickled import write_pickle
    >>> write_pickle(folder / "a.pkl", {"matrix": np.eye(3)})
    >>> read_transfer(folder / "a.pkl").shape
    (3, 3)

    Args:
        path: The pickle.

    Raises:
        CorruptInput: It holds no matrix.
    """
    from scipy.sparse import csr_matrix

    content = read_pickle(path)
    keys = [k for k in ("mtx", "matrix") if isinstance(content, Mapping) and k in content]
    if not keys:
        raise CorruptInput(path, "found neither mtx nor matrix; expected one", hint=AGAIN)
    matrix = content[keys[0]]
    if hasattr(matrix, "tocsr"):  # large: it is never made dense
        matrix = csr_matrix(matrix, dtype=np.float32)
        check(matrix.data, Array(...), path, keys[0], hint=AGAIN)
    else:
        matrix = csr_matrix(check(matrix, Array("V_new", "V_old"), path, keys[0], hint=AGAIN))
    if keys == ["mtx"]:
        matrix = matrix[:, : matrix.shape[1] // 2]
    return matrix.astype(np.float32)


_read_once = lru_cache(maxsize=4)(read_transfer)


class _Converter:
    """Makes bodies of one model to those of another."""

    def __init__(self, batch: Batch, kind: str, gender: str, models_root):
        self.batch, self.kind, self.gender, self.root = batch, kind, gender, models_root
        self.scale = batch.params["scale"].astype(np.float64)[:, None, None]
        # The scale is applied last, to everything: without it here, it is the same afterwards.
        self.given = {k: v for k, v in batch.params.items() if k != "scale"}

    def convert(self, n_betas: int, fit_to: str) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
        """Returns parameters, errors ``[n, K]`` in mm, and what they are errors of."""
        batch = self.batch
        load = {"models_root": self.root}
        model = load_body_model(self.kind, self.gender, n_betas=n_betas, **load)
        n_betas = min(n_betas, model.num_betas)
        n_own = batch.params["shape"].shape[1]
        own = load_body_model(batch.kind, batch.gender, n_betas=n_own, **load)
        if own is model:
            return dict(batch.params), np.zeros((len(batch.positions), 0)), "as given"
        moved = None if fit_to == "points" else self._transfer(own, model)
        if moved is None:
            targets, points, of = self._common_points(own, model)
            found = self._with_pose(self._copied(), targets, points, n_betas, "points")
        else:
            transfer, of = moved
            targets, points = transfer(self._forward(True, self.given)["vertices"]), self._mesh
            found = self._fitted(targets, n_betas)
        errors = self._errors(found, targets, points)
        found["scale"] = batch.params["scale"]
        return found, errors * self.scale[..., 0] * 1000, of

    def _transfer(self, own, model):
        """Returns what makes vertices of the new mesh, and its name; None if nothing does."""
        meshes = _mesh(self.batch.kind), _mesh(self.kind)
        if meshes[0] == meshes[1] and own.num_vertices == model.num_vertices:
            return (lambda vertices: vertices), "vertices"
        path = _transfer_file(family_of(self.batch.kind), family_of(self.kind), self.root)
        if path is None:
            return None
        matrix = _read_once(path)
        if matrix.shape != (expected := (model.num_vertices, own.num_vertices)):
            raise CorruptInput(path, f"found a matrix {matrix.shape}; expected {expected}")

        def transfer(vertices: np.ndarray) -> np.ndarray:
            flat = vertices.transpose(1, 0, 2).reshape(vertices.shape[1], -1)
            return (matrix @ flat).reshape(matrix.shape[0], -1, 3).transpose(1, 0, 2)

        return transfer, "transferred vertices"

    def _common_points(self, own, model) -> tuple[np.ndarray, Points, str]:
        """Returns points that correspond, what gives those of the new body, and their name."""
        names = [JOINT_NAMES[family_of(kind)] for kind in (self.batch.kind, self.kind)]
        common = [name for name in names[0] if name in names[1]]
        ids = [[side.index(name) for name in common] for side in names]
        surfaces = [_SURFACE[_mesh(kind)] for kind in (self.batch.kind, self.kind)]
        with_surface = all(
            body.num_vertices == n for body, (n, _) in zip((own, model), surfaces, strict=True)
        )
        at = [list(s[1]) for s in surfaces]

        def pick(found: Mapping[str, np.ndarray], side: int) -> np.ndarray:
            joints = found["joints"][:, ids[side]]
            return np.concatenate([joints, found["vertices"]], axis=1) if with_surface else joints

        def points(params: Mapping[str, np.ndarray]) -> np.ndarray:
            return pick(self._new(with_surface, params, at=at[1] if with_surface else None), 1)

        own_at = at[0] if with_surface else None
        targets = pick(self._forward(with_surface, self.given, at=own_at), 0)
        return targets, points, "joints and surface points" if with_surface else "joints"

    def _forward(self, vertices: bool, params: Mapping, **more) -> dict[str, np.ndarray]:
        who = self.batch.kind, self.batch.gender, params
        return body_forward(*who, vertices=vertices, models_root=self.root, **more)

    def _new(self, vertices: bool, params: Mapping, **more) -> dict[str, np.ndarray]:
        who = self.kind, self.gender, params
        return body_forward(*who, vertices=vertices, models_root=self.root, **more)

    def _mesh(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._new(True, params)["vertices"]

    def _copied(self) -> np.ndarray:
        pair = family_of(self.batch.kind), family_of(self.kind)
        return copied_pose(self.given["pose"], *pair)

    @property
    def _kid(self) -> bool:
        return bool(self.given["kid_factor"].any())

    def _errors(self, params: Mapping, targets: np.ndarray, points: Points) -> np.ndarray:
        return np.linalg.norm(points(params).astype(np.float64) - targets, axis=-1)

    def _fitted(self, targets: np.ndarray, n_betas: int) -> dict[str, np.ndarray]:
        """Returns bodies with rotations taken over, or all fitted where that comes nearer.

        Some thousand vertices tell as much as all, and are much faster.
        """
        every = max(1, targets.shape[1] // _VERTICES)
        some = targets[:, ::every]

        def points(params: Mapping[str, np.ndarray]) -> np.ndarray:
            return self._new(True, params, every=every)["vertices"]

        result = self._with_pose(self._copied(), some, points, n_betas, "vertices")
        errors = self._errors(result, some, points).mean(axis=1)
        poor = np.flatnonzero(errors > _NEAR)
        if not len(poor):
            return result
        model = load_body_model(self.kind, self.gender, n_betas=n_betas, models_root=self.root)
        fitted = fit_bodies(
            self.kind,
            self.gender,
            some[poor],
            # The model's regressor sees joints in the mesh nearly where they are.
            model.J_regressor_post_lbs @ targets[poor],
            n_betas=n_betas,
            beta_regularizer=_REGULARIZER["vertices"],
            start=np.float32(result["pose"][poor]),
            kid=self._kid and model._has_kid_template,
            every=every,
            models_root=self.root,
        )
        names = [name for name in result if name in fitted]
        off = self._errors({k: fitted[k] for k in names}, some[poor], points).mean(axis=1)
        better = off < errors[poor]
        for name in result:
            new = fitted[name] if name in fitted else np.zeros(len(poor))
            result[name][poor[better]] = new[better]
        return result

    def _with_pose(
        self, pose: np.ndarray, targets: np.ndarray, points: Points, n_betas: int, what: str
    ) -> dict[str, np.ndarray]:
        """Returns bodies of a known pose: shape and translation by linear least squares.

        With a known pose every point is linear in the shape, so that as many forward passes as
        there are components tell all.
        """
        n = len(pose)
        rest = {"pose": pose, "shape": np.zeros((n, n_betas), np.float32)}
        base = points(rest).astype(np.float64)
        columns = []
        for k in range(n_betas):
            one = {**rest, "shape": np.tile(np.eye(n_betas, dtype=np.float32)[k], (n, 1))}
            columns.append(points(one) - base)
        if self._kid:
            columns.append(points({**rest, "kid_factor": np.ones(n, np.float32)}) - base)
        a, b = np.stack(columns, axis=-1), targets - base
        centred_a, centred_b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        flat = centred_a.reshape(n, -1, a.shape[-1])
        gram = np.swapaxes(flat, 1, 2) @ flat + _REGULARIZER[what] * np.eye(a.shape[-1])
        right = np.swapaxes(flat, 1, 2) @ centred_b.reshape(n, -1, 1)
        x = np.linalg.solve(gram, right)[..., 0]
        trans = b.mean(axis=1) - np.einsum("nck,nk->nc", a.mean(axis=1), x)
        found = {"pose": pose, "shape": x[:, :n_betas], "trans": trans}
        return found | ({"kid_factor": x[:, n_betas]} if self._kid else {})


def _cut(whole: Batch) -> Iterator[Batch]:
    for start in range(0, len(whole.positions), _CHUNK):
        some = slice(start, start + _CHUNK)
        params = {name: values[some] for name, values in whole.params.items()}
        yield Batch(whole.positions[some], whole.kind, whole.gender, params)


def _mesh(kind: str) -> str:
    """Returns whose mesh a kind has: SMPL-H has that of SMPL."""
    return "smplx" if family_of(kind) == "smplx" else "smpl"


def _transfer_file(family: str, other: str, models_root) -> Path | None:
    root = models_folder(models_root)
    plain = f"{_mesh(family)}2{_mesh(other)}"
    if plain not in _TRANSFERS:
        return None
    # SMPL and SMPL-H have the same vertices: files for one are right for the other.
    pairs = dict.fromkeys([f"{family}2{other}", *_TRANSFERS[plain]])
    for name in [*(f"{pair}_deftrafo_setup.pkl" for pair in pairs), f"{plain}.pkl"]:
        for folder in (root, root / "smplx"):
            if name in names_in(folder):
                return folder / name
    return None


def _as_stored(where, kind: str, gender: str, own: Mapping[str, Any]) -> dict[str, Any]:
    hands = "none" if family_of(kind) == "smpl" else "whole"
    kept = {name: value for name, value in own.items() if value is not None}
    for name, plain in (("scale", 1.0), ("kid_factor", 0.0)):
        if name in kept and float(kept[name]) == plain:
            kept.pop(name)
    try:
        return body_parameters(where, type=kind, gender=gender, hands=hands, **kept)
    except CorruptInput as e:
        raise WorkError(f"{e}; it was made by a fit that failed") from e

"""Published meshes of SMPL-X fits, against what their parameters give."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from posepile.bodies.joints import GENDERS
from posepile.bodies.models import body_forward, find_body_model
from posepile.bodies.parameters import load_hands
from posepile.errors import CorruptInput
from posepile.formats.mesh_files import read_obj_vertices, read_ply_vertices


def mesh_error(
    path: Path,
    parameters: Mapping,
    limit_mm: float,
    *,
    hands_added: bool = False,
    every: int = 1,
    models_root: str | os.PathLike | None = None,
    hint: str | None = None,
) -> float:
    r"""Returns how far any vertex of a published mesh is from that of the parameters, at most, mm.

    A mesh tells whether gender, scale and the convention of the hands are what a recipe takes them
    for: if it is off, all of these are tried, and the message names what fits.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smplx",))
    >>> body = {"gender": "male", "pose": np.zeros(165), "shape": np.zeros(10)}
    >>> mesh = body_forward("smplx", "male", body, models_root=folder)["vertices"][0]
    >>> text = "".join(f"v {x:.6f} {y:.6f} {z:.6f} \n" for x, y, z in mesh)
    >>> _ = (folder / "body.obj").write_text(text)
    >>> mesh_error(folder / "body.obj", body, limit_mm=1, models_root=folder) < 0.01
    True

    Args:
        path: Wavefront or binary PLY file, metres.
        parameters: Of that body, as :func:`posepile.bodies.parameters.body_parameters` makes them.
        limit_mm: Largest distance allowed.
        hands_added: The recipe has added the mean hand to the published pose.
        every: Compare only every n-th vertex, which is much faster.
        models_root: As for :func:`posepile.bodies.models.body_forward`.
        hint: What the user can do if it is off.

    Raises:
        CorruptInput: A vertex is further off, or the mesh is of another model.
        WorkError: The model file is not on disk.
    """
    read = read_ply_vertices if path.suffix == ".ply" else read_obj_vertices
    mesh = read(path)[::every] * 1000

    def distances(body: Mapping) -> np.ndarray:
        given = {"every": every, "models_root": models_root}
        forward = body_forward("smplx", body["gender"], body, **given)
        vertices = forward["vertices"][0] * np.float32(1000)
        if len(vertices) != len(mesh):
            raise CorruptInput(
                path,
                f"mesh of {len(mesh)} vertices, but the SMPL-X {body['gender']} model has "
                f"{len(vertices)}",
                hint="use the SMPL-X v1.1 model files",
            )
        return np.linalg.norm(vertices - mesh, axis=1)

    off = distances(parameters)
    worst = float(off.max())
    if worst <= limit_mm:
        return worst
    suspects = _suspects(parameters, hands_added, models_root)
    fits = {label: float(distances(body).max()) for label, body in suspects.items()}
    best = min(fits, key=fits.__getitem__)
    reason = (
        f"it agrees to {fits[best]:.2f} mm with {best}"
        if fits[best] <= min(limit_mm, worst / 2)
        else "neither another gender, nor the scale, nor the mean hand pose explains it"
    )
    raise CorruptInput(
        path,
        f"the {parameters['gender']} SMPL-X mesh of the parameters is {worst:.1f} mm off "
        f"(mean {off.mean():.1f}); expected at most {limit_mm:g}; {reason}",
        hint=hint,
    )


def _suspects(parameters: Mapping, hands_added: bool, models_root) -> dict[str, Mapping]:
    """What else the published numbers may mean, by description."""
    gender = parameters["gender"]
    files = {g: find_body_model("smplx", g, models_root=models_root) for g in GENDERS}
    means = {g: load_hands(file).mean.reshape(-1) for g, file in files.items() if file is not None}

    def with_hands(change: np.ndarray) -> dict:
        pose = np.array(parameters["pose"], np.float32)
        pose[-90:] += np.float32(change)
        return {**parameters, "pose": pose}

    suspects: dict[str, Mapping] = {}
    for other in sorted(means.keys() - {gender}):
        change = (means[other] - means[gender]) * hands_added
        suspects[f"the {other} model"] = {**with_hands(change), "gender": other}
    suspects["the scale not applied"] = {**parameters, "scale": 1.0}
    did, sign = ("not added", -1) if hands_added else ("added", 1)
    suspects[f"the mean hand {did}"] = with_hands(sign * means[gender])
    return suspects

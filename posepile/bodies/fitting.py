"""Body models fitted to points."""

from __future__ import annotations

import copy
import os

import numpy as np

from posepile.bodies.models import load_body_model
from posepile.errors import WorkError

# On machines with far more to do than processors, "SVD did not converge" is sometimes said of
# bodies that are fitted every other time: the library's sums over vertices hold NaN then, though
# what they sum is finite. The cause is not known; it was not seen in some hundred fits with
# memory full of NaN, nor with six such processes on two processors.
TRIES = 6


def fit_bodies(
    kind: str,
    gender: str,
    vertices: np.ndarray,
    joints: np.ndarray,
    *,
    vertex_weights: np.ndarray | None = None,
    joint_weights: np.ndarray | None = None,
    n_betas: int = 10,
    beta_regularizer: float = 1.0,
    n_iterations: int = 3,
    start: np.ndarray | None = None,
    kid: bool = False,
    every: int = 1,
    models_root: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Returns pose and shape of the bodies that come nearest to given vertices and joints.

    >>> from posepile.bodies.models import body_forward
    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> body = {"pose": np.zeros((1, 72)), "shape": np.ones(10)}
    >>> found = body_forward("smpl", "male", body, models_root=folder)
    >>> points = found["vertices"], found["joints"]
    >>> fitted = fit_bodies("smpl", "male", *points, beta_regularizer=0, models_root=folder)
    >>> fitted["shape"].round(1).tolist()[0][:3]
    [1.0, 1.0, 1.0]

    Args:
        kind: As of :func:`posepile.bodies.models.body_forward`.
        gender: As there.
        vertices: ``[n, V, 3]`` metres.
        joints: ``[n, J, 3]`` metres.
        vertex_weights: ``[n, V]``; None = all the same.
        joint_weights: ``[n, J]``.
        n_betas: How many shape components are fitted.
        beta_regularizer: How much they are held near 0.
        n_iterations: Of rotations and shape in turn.
        start: Poses to begin from, ``[n, 3J]``; None: at rest.
        kid: Whether the share of the kid template is fitted as well.
        every: Only every n-th vertex of the model is given.
        models_root: As there.

    Returns:
        ``pose`` ``[n, 3J]``, ``shape`` ``[n, n_betas]``, ``trans`` ``[n, 3]``, ``vertices`` and
        ``joints`` of the fitted bodies, metres; ``kid_factor`` ``[n]`` if it was asked for.

    Raises:
        WorkError: The fit fails, also when tried again and again.
    """
    from smplfitter.np import BodyFitter

    model = load_body_model(kind, gender, n_betas=n_betas, every=every, models_root=models_root)
    model = _with_betas(model, n_betas)
    names = {"pose": "pose_rotvecs", "shape": "shape_betas", "trans": "trans"}
    names |= {"vertices": "vertices", "joints": "joints"}
    names |= {"kid_factor": "kid_factor"} if kid else {}
    given = {
        "target_vertices": np.asarray(vertices, np.float64),
        "target_joints": np.asarray(joints, np.float64),
        "vertex_weights": vertex_weights,
        "joint_weights": joint_weights,
        "num_iter": n_iterations,
        "beta_regularizer": beta_regularizer,
        "initial_pose_rotvecs": start,
        "requested_keys": tuple(names.values()),
    }
    for tried in range(1, TRIES + 1):
        try:
            found = BodyFitter(model, enable_kid=kid).fit(**given)
            break
        except np.linalg.LinAlgError as e:
            if tried == TRIES:
                raise WorkError(
                    f"{len(vertices)} {kind} bodies cannot be fitted to their vertices and "
                    f"joints: {e}"
                ) from e
    fitted = {ours: np.asarray(found[theirs]) for ours, theirs in names.items()}
    return fitted


def _with_betas(model, n_betas: int):
    """Returns a model of fewer shape components: what is fitted with more cannot be cut."""
    if model.num_betas <= n_betas:
        return model
    fewer = copy.copy(model)
    fewer.shapedirs = model.shapedirs[..., :n_betas]
    fewer.J_shapedirs = model.J_shapedirs[..., :n_betas]
    fewer.num_betas = n_betas
    return fewer

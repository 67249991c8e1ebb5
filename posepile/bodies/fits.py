"""Body models that were fitted to scans or views, and stored one file per body."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.bodies.models import find_body_model, move_body
from posepile.bodies.parameters import body_parameters, load_hands, parameters_of_fit
from posepile.formats.pickles import read_pickle


def read_moved_fit(
    file: Path,
    transform: np.ndarray,
    *,
    gender: str,
    kid: bool = False,
    models_root: Path | None = None,
) -> dict | None:
    """Returns the ``parameters`` of a pickled SMPL-X fit after its world was turned and moved.

    Fits lack the mean hand, which is added; hands of fewer than 45 numbers are PCA coefficients.

    >>> from posepile.miniature.bodies import smplx_fit, write_body_models
    >>> from posepile.miniature.pickled import write_pickle
    >>> write_body_models(folder, ("smplx",))
    >>> write_pickle(folder / "a.pkl", smplx_fit(np.zeros((55, 3)), np.zeros(10), [0, 0, 2]))
    >>> up = np.eye(4)
    >>> up[2, 3] = 0.5
    >>> read_moved_fit(folder / "a.pkl", up, gender="male", models_root=folder)["trans"]
    array([0. , 0. , 2.5], dtype=float32)

    Args:
        file: The parts as :data:`posepile.bodies.parameters.SMPLX_FIT` names them.
        transform: ``[4, 4]``, from the world of the fit to ours, metres.
        gender: Of the body model.
        kid: As of :func:`posepile.bodies.parameters.parameters_of_fit`.
        models_root: As of :func:`posepile.bodies.models.find_body_model`.

    Returns:
        None where the body model is not on the disk: mean hand and pelvis are in it.
    """
    model = find_body_model("smplx", gender, models_root=models_root)
    if model is None:
        return None
    content, hands = read_pickle(file), load_hands(model)
    body = parameters_of_fit(file, content, gender=gender, hands=hands, kid=kid)
    moved = move_body("smplx", gender, body, transform, models_root=models_root)
    return body_parameters(file, hands="whole", **moved)

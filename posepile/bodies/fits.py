"""Body models that were fitted to scans or views, and stored one file per body."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posepile.bodies.models import (
    find_body_model,
    models_below,
    move_body,
    parameters_note,
    require_body_model,
)
from posepile.bodies.parameters import body_parameters, load_hands, parameters_of_fit
from posepile.files import names_in
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, check


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


def read_fits(
    files: Sequence[Path], *, gender: str, models_root: Path | None = None
) -> dict[str, np.ndarray]:
    """Returns pickled SMPL-X fits of one person, one file per frame, as arrays over frames.

    The mean hand is added, see :func:`read_moved_fit`.

    >>> from posepile.miniature.bodies import smplx_fit, write_body_models
    >>> from posepile.miniature.pickled import write_pickle
    >>> write_body_models(folder, ("smplx",))
    >>> write_pickle(folder / "a.pkl", smplx_fit(np.zeros((55, 3)), np.zeros(10), [0, 0, 2]))
    >>> read_fits([folder / "a.pkl"] * 4, gender="male", models_root=folder)["pose"].shape
    (4, 165)

    Args:
        files: In order; at least one.
        gender: Of the body model.
        models_root: As of :func:`posepile.bodies.models.find_body_model`.

    Returns:
        ``pose``, ``shape``, ``trans`` and, where there is one, ``expression``, ``[n, ...]``.

    Raises:
        WorkError: The body model is not on the disk.
        CorruptInput: A file holds no fit, or they have different numbers of components.
    """
    hands = load_hands(require_body_model("smplx", gender, models_root=models_root))
    read = (parameters_of_fit(f, read_pickle(f), gender=gender, hands=hands) for f in files)
    bodies = list(read)
    names = ["pose", "shape", "trans", *(["expression"] if "expression" in bodies[0] else [])]
    for file, body in zip(files, bodies, strict=True):
        check(body, {name: Array(len(bodies[0][name])) for name in names}, file)
    return {name: np.stack([body[name] for body in bodies]) for name in names}


def moved_fit(
    root: Path, name: str, transform: np.ndarray, *, gender: str, kid: bool = False
) -> dict[str, Any]:
    """Returns ``parameters``, a function that reads a fit, and a ``note`` where it cannot be read.

    The note says that the body model or all of the fits are not on the disk; then there are no
    parameters. A single fit that is missing is an error when it is read.

    >>> moved_fit(folder, "fits/a.pkl", np.eye(4), gender="male")["note"]
    'no body parameters, since the SMPL-X file was not found'

    Args:
        root: Raw folder; the body models may lie in it.
        name: File of the fit below the raw folder.
        transform: As of :func:`read_moved_fit`.
        gender: As there.
        kid: As there.
    """
    who = {"gender": gender, "models_root": models_below(root)}
    note = parameters_note("smplx", **who)
    if not note and (top := Path(name).parts[0]) not in names_in(root):
        note = f"no body parameters, since {top} was not found"
    read = partial(read_moved_fit, root / name, transform, kid=kid, **who)
    return {"parameters": None if note else read, "note": note}

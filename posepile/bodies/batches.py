"""Parameters of many bodies, of whatever models, as arrays of those that are alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.bodies.joints import N_JOINTS
from posepile.bodies.models import require_body_model
from posepile.bodies.parameters import body_parameters, load_hands
from posepile.errors import CorruptInput

_NEEDED = ("gender", "pose", "shape", "trans")
_OF_LENGTH = {3 * N_JOINTS[kind]: kind for kind in ("smpl", "smplh", "smplx")}
FAMILIES = ("smpl", "smplh", "smplx")


@dataclass(frozen=True)
class Batch:
    """Bodies of one model.

    Attributes:
        positions: Which of the bodies they are, int64 ``[n]``.
        kind: As of :func:`posepile.bodies.models.body_forward`.
        gender: As there.
        params: As there, each array ``[n, ...]``: ``pose``, ``shape``, ``trans``, ``scale``,
            ``kid_factor`` and perhaps ``expression``; hands are whole.
    """

    positions: np.ndarray
    kind: str
    gender: str
    params: dict[str, np.ndarray]


def kind_of_body(body: Mapping[str, Any], where: str | os.PathLike = "body parameters") -> str:
    """Returns which kind of model a body is of: its ``type``, without one by its pose's length.

    >>> kind_of_body({"pose": np.zeros(156)})
    'smplh'

    Args:
        body: The ``parameters`` of an example, see docs/FORMAT.md.
        where: Which body, for messages.

    Raises:
        CorruptInput: It is of no known kind.
    """
    kind = body.get("type")
    if kind in (None, ""):
        kind = _OF_LENGTH.get(np.size(body.get("pose", ())))
    if kind not in N_JOINTS:
        known = ", ".join(N_JOINTS)
        found = f"type {body.get('type')!r} and a pose of {np.size(body.get('pose', ()))} numbers"
        raise CorruptInput(where, f"body parameters: found {found}; expected one of {known}")
    return kind


def family_of(kind: str) -> str:
    """Returns ``smpl``, ``smplh`` or ``smplx``, whose joints a kind has.

    >>> family_of("smplh16"), family_of("smplxlh")
    ('smplh', 'smplx')
    """
    return next(family for family in reversed(FAMILIES) if kind.startswith(family))


def alike_bodies(
    bodies: Sequence[Mapping[str, Any] | None],
    *,
    n_valid_betas: Sequence[int | None] | int | None = None,
    where: Sequence[str | os.PathLike] | None = None,
    models_root: str | os.PathLike | None = None,
) -> Iterator[Batch]:
    """Iterates over bodies of one model each, checked and completed.

    Hands that lack the mean hand (``hands_mean_included`` is False) get it, for which the model
    file has to be there; shape components that hold no shape are left out.

    >>> body = {"type": "smpl", "gender": "male", "shape": np.ones(10), "trans": np.zeros(3)}
    >>> bodies = [body | {"pose": np.zeros(72)}, None, body | {"pose": np.ones(72)}]
    >>> [(b.positions.tolist(), b.params["pose"].shape) for b in alike_bodies(bodies)]
    [([0, 2], (2, 72))]

    Args:
        bodies: ``parameters`` of examples, see docs/FORMAT.md; None = there are none.
        n_valid_betas: How many shape components hold shape, of all or of each; None = all.
        where: Which body each is, for messages.
        models_root: As of :func:`posepile.bodies.models.body_forward`.

    Raises:
        CorruptInput: A body lacks a part, or has one of another size.
        WorkError: The model file that holds the mean hands is not on disk.
    """
    if n_valid_betas is None or isinstance(n_valid_betas, int):
        n_valid_betas = [n_valid_betas] * len(bodies)
    groups: dict[tuple, list[tuple[int, dict]]] = {}
    for i, (body, n_betas) in enumerate(zip(bodies, n_valid_betas, strict=True)):
        if body is None:
            continue
        whole = _checked("body parameters" if where is None else where[i], body, n_betas)
        expression = whole.get("expression")
        sizes = len(whole["shape"]), None if expression is None else len(expression)
        lacks_mean = body.get("hands_mean_included") is False
        groups.setdefault((whole["type"], whole["gender"], *sizes, lacks_mean), []).append(
            (i, whole)
        )
    for (kind, gender, _, n_expression, lacks_mean), found in groups.items():
        names = ["pose", "shape", "trans", *(["expression"] if n_expression else [])]
        params = {name: np.stack([body[name] for _, body in found]) for name in names}
        for name, default in (("scale", 1.0), ("kid_factor", 0.0)):
            params[name] = np.array([body.get(name, default) for _, body in found], np.float32)
        if lacks_mean and family_of(kind) != "smpl":
            file = require_body_model(kind, gender, models_root=models_root)
            params["pose"][:, -90:] += np.float32(load_hands(file).mean.reshape(-1))
        yield Batch(np.array([i for i, _ in found], np.int64), kind, gender, params)


def _checked(where, body: Mapping[str, Any], n_betas: int | None) -> dict[str, Any]:
    kind = kind_of_body(body, where)
    if lacking := [name for name in _NEEDED if body.get(name) is None]:
        raise CorruptInput(where, f"body parameters: found no {', '.join(lacking)}")
    names = ("gender", "pose", "shape", "trans", "expression", "scale", "kid_factor")
    given = {name: body[name] for name in names if body.get(name) is not None}
    if n_betas is not None:
        given["shape"] = np.ravel(np.asarray(given["shape"]))[:n_betas]
    hands = "none" if family_of(kind) == "smpl" else "whole"
    return body_parameters(where, type=kind, hands=hands, **given)

"""Body-model parameters of an example, as docs/FORMAT.md lists them, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from posepile.bodies.joints import GENDERS, N_JOINTS
from posepile.errors import CorruptInput
from posepile.formats.numpy_files import load_npz
from posepile.formats.schema import Array, check

MAX_SHAPE = {"smpl": 300, "smplh": 16, "smplx": 300}
_OF_HANDS = ("mean", "components")
HANDS = ("whole", "mean missing", "none")
# Order of the parts of a pose, with how many numbers each has.
_PARTS = {
    "smpl": {"root": 3, "body": 69},
    "smplh": {"root": 3, "body": 63, "left_hand": 45, "right_hand": 45},
    "smplx": {"root": 3, "body": 63, "jaw": 3, "leye": 3, "reye": 3}
    | {"left_hand": 45, "right_hand": 45},
}


_FIT_PARTS = {"root": "global_orient", "body": "body_pose"}
_FIT_PARTS |= {part: f"{part}_pose" for part in ("jaw", "leye", "reye", "left_hand", "right_hand")}
SMPLX_FIT = {
    "global_orient": Array(1, 3, squeezed=True),
    "body_pose": Array(1, 63, squeezed=True),
    "transl": Array(1, 3, squeezed=True),
    "betas": Array(1, "n_betas", squeezed=True),
    "expression?": Array(1, "n_expression", squeezed=True),
    **{f"{part}_pose?": Array(1, 3, squeezed=True) for part in ("jaw", "leye", "reye")},
    **{f"{side}_hand_pose?": Array(1, f"n_{side}", squeezed=True) for side in ("left", "right")},
}


def fit_parts(family: str) -> dict[str, int]:
    """Returns the parts of a pose in their order, and how many numbers each has.

    >>> fit_parts("smpl")
    {'global_orient': 3, 'body_pose': 69}

    Args:
        family: ``smpl``, ``smplh`` or ``smplx``.

    Returns:
        Size by the name that the smplx library and HumanData have for a part.
    """
    return {_FIT_PARTS[part]: size for part, size in _PARTS[family].items()}


def body_parameters(
    where: str | os.PathLike,
    *,
    type: str,
    gender: str,
    pose: np.ndarray,
    shape: np.ndarray,
    trans: np.ndarray,
    hands: str,
    expression: np.ndarray | None = None,
    scale: float | None = None,
    kid_factor: float | None = None,
    **further,
) -> dict:
    """Returns the ``parameters`` of one body, checked.

    >>> pose, shape, trans = np.zeros(72), np.zeros(10), [0, 0, 2]
    >>> given = {"gender": "male", "pose": pose, "shape": shape, "trans": trans, "hands": "none"}
    >>> list(body_parameters("a.mat, frame 3", type="smpl", **given))
    ['type', 'gender', 'pose', 'shape', 'trans']

    Args:
        where: File and place in it, for messages.
        type: ``smpl``, ``smplh``, ``smplx``, or a variant that
            :data:`posepile.bodies.joints.N_JOINTS` lists.
        gender: ``male``, ``female`` or ``neutral``.
        pose: Rotation vectors in radians, relative to the parent joint, 3 per joint.
        shape: Shape components (betas) of this one body.
        trans: Translation after posing, 3 numbers, metres.
        hands: ``whole`` if the hands in ``pose`` are whole rotations (what everybody expects),
            ``none`` if the model has no hands. What comes from a file of PCA coefficients, or
            lacks the mean hand, is completed first: see :func:`join_pose`. ``mean missing`` is for
            what cannot be completed without the model file; it is then written down.
        expression: Expression components (SMPL-X).
        scale: Factor on everything, translation included.
        kid_factor: Share of the kid template.
        **further: Entries of the dataset's own, taken as they are.

    Raises:
        CorruptInput: An unknown type or gender, a wrong size, a number that is not finite.
    """
    family = _family(where, type)
    if gender not in GENDERS:
        raise CorruptInput(where, f"gender is {gender!r}; expected {', '.join(GENDERS)}")
    if hands not in HANDS or (hands == "none") != (family == "smpl"):
        raise ValueError(f"hands={hands!r} does not go with {type}; known: {', '.join(HANDS)}")
    n = 3 * N_JOINTS[type]
    most = MAX_SHAPE[family]
    result = {
        "type": type,
        "gender": gender,
        "pose": _vector(where, f"{type} pose", pose, n, n, flatten=True),
        "shape": _vector(where, f"{type} shape", shape, 0, most),
    }
    if expression is not None:
        if family != "smplx":
            raise CorruptInput(where, f"expression for {type}; expected only with smplx")
        result["expression"] = _vector(where, "expression", expression, 0, 100)
    result["trans"] = _vector(where, "trans", trans, 3, 3)
    if scale is not None:
        result["scale"] = _number(where, "scale", scale)
        if not result["scale"] > 0:
            raise CorruptInput(where, f"scale is {scale}; expected a positive number")
    if kid_factor is not None:
        result["kid_factor"] = _number(where, "kid_factor", kid_factor)
    if hands == "mean missing":
        result["hands_mean_included"] = False
    return result | further


def parameters_by_frame(
    where: str | os.PathLike, n: int, *, shape: np.ndarray, **given
) -> Callable[[int], dict]:
    """Returns a function from position in ``range(n)`` to the ``parameters`` of that frame.

    >>> given = {"type": "smpl", "gender": "male", "hands": "none", "shape": np.zeros(10)}
    >>> given |= {"pose": np.zeros((5, 72)), "trans": np.zeros((5, 3))}
    >>> parameters_by_frame("a.npz", 5, **given)(4)["pose"].shape
    (72,)

    Args:
        where: File, for messages.
        n: Number of frames.
        shape: Shape components of the person ``[k]``, or of every frame ``[n, k]``.
        **given: As for :func:`body_parameters`; arrays have a leading axis of frames.

    Raises:
        CorruptInput: As there, or arrays of another number of frames.
    """
    arrays = {k: np.asarray(v) for k, v in given.items() if isinstance(v, (np.ndarray, list))}
    shape = np.asarray(shape)
    if shape.ndim == 2 and len(shape) != 1:
        arrays["shape"] = shape
    single = {k: v for k, v in given.items() if k not in arrays} | {"shape": shape}
    for name, value in arrays.items():
        if value.ndim == 0 or len(value) != n:
            found = f"shape {value.shape}"
            raise CorruptInput(where, f"{name} has {found}; expected {n} frames first")

    def of_frame(k: int) -> dict:
        now = single | {name: value[k] for name, value in arrays.items()}
        return body_parameters(f"{os.fspath(where)}, frame {k}", **now)

    if n:
        of_frame(0)  # what is wrong in every frame is said at once
    return of_frame


@dataclass(frozen=True)
class Hands:
    """What completes hand poses, from a SMPL-X or SMPL-H model file.

    Attributes:
        mean: ``[2, 45]`` left and right.
        components: ``[2, 45, 45]``, rows are components.
    """

    mean: np.ndarray
    components: np.ndarray


@lru_cache(maxsize=8)
def load_hands(model_file: Path) -> Hands:
    """Returns mean and components of the hands of a model file (npz).

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smplx",))
    >>> load_hands(folder / "smplx" / "SMPLX_MALE.npz").mean.shape
    (2, 45)
    """
    schema = {f"hands_mean{s}": Array(45) for s in "lr"}
    schema |= {f"hands_components{s}": Array(45, 45) for s in "lr"}
    found = load_npz(model_file, schema)
    check(found, schema, model_file, hint="it must be a model file with hands")
    return Hands(*(np.stack([found[f"hands_{k}{s}"] for s in "lr"]) for k in _OF_HANDS))


def join_pose(
    where: str | os.PathLike,
    type: str,
    hands: Hands | None = None,
    *,
    mean_missing: bool = True,
    **parts,
):
    """Returns a whole pose ``[..., 3J]`` from its parts, float64.

    >>> join_pose("a.npz", "smplx", root=np.zeros((9, 3)), body=np.zeros((9, 63))).shape
    (9, 165)

    Args:
        where: File and place in it, for messages.
        type: As for :func:`body_parameters`.
        hands: Given: the mean hand is missing from the file and is added; a hand of fewer than 45
            numbers is that many PCA coefficients. None: hands are whole rotations.
        mean_missing: False: the mean is missing only in PCA coefficients; 45 numbers are whole.
        **parts: ``root``, ``body``, and where the model has them ``jaw``, ``leye``, ``reye``,
            ``left_hand``, ``right_hand``; rotation vectors of any shape whose leading axes agree
            with those of ``root`` (``[..., 3]``). None = rest pose, before the mean is added.
    """
    sizes = _PARTS[_family(where, type)]
    unknown = set(parts) - set(sizes)
    if unknown:
        raise TypeError(f"a {type} pose has no {min(unknown)}; it has {', '.join(sizes)}")
    root = np.asarray(parts["root"], np.float64)
    leading = root.shape[:-1]
    whole = []
    for name, size in sizes.items():
        value = parts.get(name)
        if value is None:
            value = np.zeros((*leading, size))
        try:
            value = np.asarray(value, np.float64).reshape(*leading, -1)
        except (TypeError, ValueError):
            shape = np.shape(value)
            raise CorruptInput(
                where, f"{name} pose of shape {shape}; expected {size} numbers each of {leading}"
            ) from None
        side = {"left_hand": 0, "right_hand": 1}.get(name)
        if side is not None and hands is not None:
            n = value.shape[-1]
            if n < 45:
                value = value @ hands.components[side, :n]
            if n < 45 or (n == 45 and mean_missing):
                value = value + hands.mean[side]
        if value.shape[-1] != size:
            or_pca = " (or PCA coefficients with `hands`)" if side is not None else ""
            raise CorruptInput(
                where, f"{name} pose of {value.shape[-1]} numbers; expected {size}{or_pca}"
            )
        whole.append(value)
    return np.concatenate(whole, axis=-1)


def parameters_of_fit(
    where: str | os.PathLike,
    fit: Mapping,
    *,
    gender: str,
    hands: Hands | None,
    mean_missing: bool = True,
    kid: bool = False,
    **more,
) -> dict:
    """Returns the ``parameters`` of a SMPL-X fit as the smplx library names its parts.

    >>> fit = {"global_orient": np.zeros(3), "body_pose": np.zeros((1, 63)), "betas": np.zeros(10)}
    >>> fit["transl"] = np.zeros(3)
    >>> parameters_of_fit("a.pkl", fit, gender="male", hands=None)["pose"].shape
    (165,)

    Args:
        where: File and place in it, for messages.
        fit: ``global_orient`` [3], ``body_pose`` [63], ``betas``, ``transl`` [3], and where there
            are any ``jaw_pose``, ``leye_pose``, ``reye_pose`` [3], ``left_hand_pose``,
            ``right_hand_pose`` [45, or so many PCA coefficients], ``expression``; a batch axis of
            length 1 may come first.
        gender: Of the body model.
        hands: The mean hand is missing in the fit and added, see :func:`join_pose`; None = hands
            are whole.
        mean_missing: As of :func:`join_pose`.
        kid: The last of ``betas`` is the share of the kid template.
        **more: As for :func:`body_parameters`.

    Raises:
        CorruptInput: As there, or a part is missing.
    """
    found = check(fit, SMPLX_FIT, where)
    parts = {ours: found[theirs][0] for ours, theirs in _FIT_PARTS.items() if theirs in found}
    betas = found["betas"][0]
    if kid and not len(betas):
        raise CorruptInput(where, "betas: found none; expected the share of the kid template last")
    if kid:
        betas, more = betas[:-1], {"kid_factor": betas[-1], **more}
    if "expression" in found:
        more = {"expression": found["expression"][0], **more}
    pose = join_pose(where, "smplx", hands, mean_missing=mean_missing, **parts)
    body = {"pose": pose, "shape": betas, "trans": found["transl"][0], "hands": "whole"}
    return body_parameters(where, type="smplx", gender=gender, **body, **more)


def _family(where, type: str) -> str:
    if type not in N_JOINTS:
        raise CorruptInput(where, f"body model {type!r}; expected {', '.join(N_JOINTS)}")
    return next(f for f in ("smplx", "smplh", "smpl") if type.startswith(f))


def _vector(where, name: str, value, least: int, most: int, flatten: bool = False) -> np.ndarray:
    """Numbers as float32 ``[n]``; leading axes of length 1 are taken away."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        text = " ".join(repr(value).split())[:60]
        raise CorruptInput(where, f"{name} is {text}; expected numbers") from None
    found = array.shape
    while array.ndim > 1 and len(array) == 1:
        array = array[0]
    if flatten and array.ndim == 2 and array.shape[1] == 3:
        array = array.reshape(-1)
    if array.ndim != 1 or not least <= len(array) <= most:
        expected = f"{most}" if least == most else f"at most {most}"
        raise CorruptInput(where, f"{name} of shape {found}; expected {expected} numbers")
    if not np.isfinite(array).all():
        raise CorruptInput(where, f"{name} is not finite")
    return array.astype(np.float32)


def _number(where, name: str, value) -> float:
    try:
        number = float(np.asarray(value, np.float64).reshape(()))
    except (TypeError, ValueError):
        raise CorruptInput(where, f"{name} is {value!r}; expected one number") from None
    if not np.isfinite(number):
        raise CorruptInput(where, f"{name} is not finite")
    return number

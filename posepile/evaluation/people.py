"""Errors of people who were found in a picture, by the parts of their bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posepile.errors import CorruptInput
from posepile.evaluation.meshes import model_file, smplx_parts
from posepile.formats.numpy_files import load_npy
from posepile.formats.schema import AGAIN, Array, check
from posepile.metrics import detection_scores, joint_errors, match_greedily, normalized_error

# Names of what :func:`people_figures` returns: of the body alone, and of hands and face, too.
BODY_FIGURES = ("F1", "MPJPE_mm", "MVE_mm", "NMJE_mm", "NMVE_mm")
PART_FIGURES = (
    *(f"{name}-{k}_mm" for name in ("NMJE", "NMVE") for k in ("body", "full")),
    *(f"{name}-{k}_mm" for name in ("MPJPE", "MVE") for k in ("body", "full")),
    *(f"{name}-{k}_mm" for name in ("MPJPE", "MVE") for k in ("lhand", "rhand", "face")),
)


class Part(NamedTuple):
    """A part of a body that is compared by itself.

    Attributes:
        root: Joints whose mean is subtracted on both sides.
        joints: Which are compared.
        vertices: Which are compared.
    """

    root: Sequence[int]
    joints: Sequence[int]
    vertices: np.ndarray


@cache
def official_parts(kind: str, root: Path, n_vertices: int) -> dict[str, Part]:
    """Returns the parts that AGORA's package compares.

    Joints of SMPL-X are its 55 and the 51 points of the face. A hand and a face have their root
    among their joints.

    >>> (folder / "body_models").mkdir()
    >>> np.save(folder / "body_models" / "body_verts_smpl.npy", np.arange(4010))
    >>> parts = official_parts("smpl", folder, 6890)
    >>> parts["body"].root, len(parts["body"].vertices)
    ([1, 2], 4010)

    Args:
        kind: ``smpl``: the body alone, or ``smplx``: hands and face, too.
        root: As of :func:`posepile.evaluation.meshes.model_file`: the package's
            ``body_verts_smpl.npy`` or ``body_verts_smplx.npy`` is looked for, and for ``smplx``
            what :func:`posepile.evaluation.meshes.smplx_parts` wants.
        n_vertices: Of the model.

    Raises:
        WorkError: A file is nowhere.
        CorruptInput: It names vertices that the model does not have.
    """
    file = model_file(f"{kind}/body_verts_{kind}.npy", root)
    ids = check(load_npy(file), Array("n", dtype=int), file, hint=AGAIN)
    if not (len(ids) and 0 <= ids.min() <= ids.max() < n_vertices):
        raise CorruptInput(file, f"found other vertices than 0 to {n_vertices - 1}", hint=AGAIN)
    if kind == "smpl":
        return {"body": Part([1, 2], range(24), ids)}
    others = smplx_parts(root, n_vertices)
    return {
        "body": Part([1, 2], range(22), ids),
        "lhand": Part([20], [20, *range(25, 40)], others["left_hand"]),
        "rhand": Part([21], [21, *range(40, 55)], others["right_hand"]),
        "face": Part([12], [12, *range(55, 106)], others["face"]),
    }


def picture_figures(
    pred: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    parts: Mapping[str, Part],
    *,
    official: bool,
) -> dict[str, np.ndarray | list[int]]:
    """Returns numbers of people ``TP``, ``FP``, ``FN``, and errors of those who were found.

    ``MPJPE-<part>_mm`` and ``MVE-<part>_mm`` are of each person.

    >>> body = {"joints": np.zeros((2, 3, 3)), "vertices": np.zeros((2, 4, 3))}
    >>> body["points"] = np.array([[[10.0, 20], [90, 90]], [[510, 20], [590, 90]]])
    >>> true = body | {"valid": np.ones(2, bool), "vertices": np.full((2, 4, 3), [3.0, 4, 0])}
    >>> one = {name: values[:1] for name, values in body.items()}
    >>> figures = picture_figures(one, true, {"hand": Part([0], [0, 1], [3])}, official=True)
    >>> figures["TP"], figures["FN"], figures["MVE-hand_mm"].tolist()
    ([1], [1], [5.0, 0.0])

    Args:
        pred: ``points`` (2D) ``[k, J, 2]``, ``joints`` ``[k, J, 3]`` and ``vertices``
            ``[k, V, 3]``, mm; empty: there is nobody.
        true: The same of ``m`` people, and ``valid`` bool ``[m]``.
        parts: Name -> part.
        official: Matching ends early (:func:`posepile.metrics.match_greedily`), and of all parts
            but the ``body`` who was missed counts as no error.
    """
    n_pred, n_valid = len(pred.get("points", ())), int(true["valid"].sum())
    if not n_pred:
        return {"TP": [0], "FP": [0], "FN": [n_valid]}
    found = match_greedily(pred["points"], true["points"], true["valid"], ends_early=official)
    hits, which = np.flatnonzero(found >= 0), found[found >= 0]
    counts = {"TP": [len(hits)], "FP": [n_pred - len(hits)], "FN": [n_valid - len(hits)]}
    sides = ({name: x[i] for name, x in s.items()} for s, i in ((pred, which), (true, hits)))
    return counts | _part_errors(*sides, parts, counts["FN"][0] if official else 0)


def people_figures(means: Mapping[str, float], *, rounded: bool, whole: bool) -> dict[str, float]:
    """Returns F1, the errors of parts, and those of bodies divided by F1.

    >>> means = {"TP": 2, "FP": 1, "FN": 1, "MPJPE-body_mm": 90.06, "MVE-body_mm": 100.0}
    >>> people_figures(means, rounded=True, whole=False)["NMJE_mm"]
    134.5

    Args:
        means: Numbers ``TP``, ``FP``, ``FN`` and means of those of :func:`picture_figures`.
        rounded: F1 to 2 decimals, errors to 1 before they are divided and after.
        whole: Figures of hands, face and all parts together, too.
    """

    def digits(value: float, n: int) -> float:
        return round(float(value), n) if rounded and np.isfinite(value) else float(value)

    counts = (means[name] for name in ("TP", "FP", "FN"))
    f1 = digits(np.nan_to_num(detection_scores(*counts).f1), 2)
    result = {"F1": f1}
    for figure, normalized in (("MPJPE", "NMJE"), ("MVE", "NMVE")):
        body, *others = (
            digits(means.get(f"{figure}-{part}_mm", np.nan), 1)
            for part in ("body", "lhand", "rhand", "face")
        )
        errors = {"": body}
        if whole:
            full = digits(body + sum(others) / 3, 1)
            errors |= {"-body": body, "-full": full}
            for part, value in zip(("lhand", "rhand", "face"), others, strict=True):
                result[f"{figure}-{part}_mm"] = value
        for part, value in errors.items():
            result[f"{figure}{part}_mm"] = value
            divided = normalized_error(value, f1) if f1 else np.nan
            result[f"{normalized}{part}_mm"] = digits(divided, 1)
    return result


def _part_errors(
    pred: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    parts: Mapping[str, Part],
    n_missed: int,
) -> dict[str, np.ndarray]:
    """Errors of people ``[n + n_missed]``, zeros for those missed, but none of their bodies."""
    found = {}
    for name, part in parts.items():
        missed = np.zeros(0 if name == "body" else n_missed)
        given, known = (
            {
                kind: points - side["joints"][:, list(part.root)].mean(axis=1, keepdims=True)
                for kind, points in side.items()
                if kind in ("joints", "vertices")
            }
            for side in (pred, true)
        )
        for figure, kind, ids in (
            ("MPJPE", "joints", list(part.joints)),
            ("MVE", "vertices", part.vertices),
        ):
            errors = joint_errors(given[kind][:, ids], known[kind][:, ids]).mean(axis=1)
            found[f"{figure}-{name}_mm"] = np.concatenate([errors, missed])
    return found

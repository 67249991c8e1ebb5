"""Several predicted people in a picture: their files, who is who, bones of the right length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.evaluation.benchmark import Clip, Predictions, Taken
from posepile.evaluation.forms import check_pred, read_pred_npz, text_list
from posepile.evaluation.mat_forms import mat_variables
from posepile.evaluation.predictions import WRITE_AGAIN
from posepile.formats.schema import Array
from posepile.metrics import joint_errors, root_relative

Crowds = Mapping[str, Mapping[str, np.ndarray]]  # name of an array -> picture -> [people, ...]


def npz_crowds(
    path: Path,
    key: str,
    order: Sequence[int],
    key_of: Callable[[str], str],
    matrix_of: Callable[[Clip], np.ndarray],
) -> Predictions:
    """Returns the people of an npz file that has a row for each of them, and no row for nobody.

    Beside ``joints`` there are ``points``, their projections. A clip of whose pictures none is
    named has no predictions.

    >>> path, two = folder / "pred.npz", np.ones((2, 17, 3))
    >>> np.savez(path, image_path=["a/1.jpg", "a/1.jpg"], coords3d_pred_world=two)
    >>> opened = npz_crowds(path, "coords3d_pred_world", range(17), str, lambda clip: np.eye(3))
    >>> clip = Clip("a", ["a/0.jpg", "a/1.jpg"], {})
    >>> [points.shape for points in opened.take(clip).arrays["points"]]
    [(0, 17, 2), (2, 17, 2)]

    Args:
        path: The file, with ``image_path``.
        key: Name of the coordinates, ``[n, J, 3]``.
        order: Which of the joints are evaluated, in which order; a pose has as many.
        key_of: From an image path to that of the truth.
        matrix_of: Returns the intrinsics ``[3, 3]`` of a clip's camera, whose axes poses have.

    Raises:
        CorruptInput: Unreadable or not as expected.
    """
    form = Array("n", len(order), 3, finite=False)
    content = read_pred_npz(path, {"image_path": None, key: form})
    names = [key_of(name) for name in text_list(content["image_path"], path, "image_path")]
    if len(names) != len(content[key]):
        reason = f"{len(names)} image_path, but {key} has {len(content[key])} poses"
        raise CorruptInput(path, f"{reason}; expected one each", hint=WRITE_AGAIN)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    people = {name: content[key][chosen][:, list(order)] for name, chosen in rows.items()}
    none = np.zeros((0, len(order), 3))

    def take(clip: Clip) -> Taken:
        there = any(name in people for name in clip.keys)
        joints, matrix = [people.get(name, none) for name in clip.keys], matrix_of(clip)
        seen = [pose @ np.transpose(matrix) for pose in joints]
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {"joints": joints, "points": [at[..., :2] / at[..., 2:] for at in seen]}
        return Taken(found, np.full(len(clip.keys), there), path, content.get("units"))

    return Predictions(path, take, list(people))


def mat_crowds(
    folder: Path,
    files: Mapping[str, str],
    schemas: Mapping[str, Any],
    order: Sequence[int],
    key_of: Callable[[str], str],
) -> Predictions:
    """Returns the people of MAT files with a variable per picture, ``[n, J, ...]``; n may be 0.

    >>> from scipy.io import savemat
    >>> savemat(folder / "poses.mat", {"S1_0": np.zeros((2, 17, 3)), "S1_1": np.zeros((17, 3))})
    >>> schemas = {"joints": Array("n", 17, 3, squeezed=True)}
    >>> opened = mat_crowds(folder, {"joints": "poses.mat"}, schemas, range(17), str)
    >>> [len(people) for people in opened.take(Clip("S1", ["S1_0", "S1_1"], {})).arrays["joints"]]
    [2, 1]

    Args:
        folder: The folder of the files.
        files: Name of each array -> file.
        schemas: Name of each array -> what a variable must be.
        order: Which of the joints are evaluated, in which order.
        key_of: From the name of a variable to that of a picture.

    Raises:
        CorruptInput: A file is unreadable or not as expected, or the files do not agree about
            pictures or numbers of people.
    """
    crowds: dict[str, dict[str, np.ndarray]] = {}
    stated, first = None, ""
    for name, file in files.items():
        variables, unit = mat_variables(folder / file)
        stated, first = stated or unit, first or name
        crowds[name] = {
            variable: check_pred(value, schemas[name], folder / file, variable)[:, list(order)]
            for variable, value in variables.items()
        }
        for variable in sorted(crowds[name].keys() ^ crowds[first].keys()):
            there = files[first if variable in crowds[first] else name]
            reason = f"{variable}: found in {there} alone; expected in both files"
            raise CorruptInput(folder / file, reason, hint=WRITE_AGAIN)
        for variable, people in crowds[name].items():
            if len(people) != (wanted := len(crowds[first][variable])):
                reason = f"{variable}: found {len(people)} people; expected {wanted} as in "
                raise CorruptInput(folder / file, reason + files[first], hint=WRITE_AGAIN)
    crowds = {name: {key_of(v): people for v, people in of.items()} for name, of in crowds.items()}

    def take(clip: Clip) -> Taken:
        there = np.array([key in crowds[first] for key in clip.keys], bool)
        found = {
            name: [of.get(key, np.zeros((0, len(order), 1))) for key in clip.keys]
            for name, of in crowds.items()
        }
        of_arrays = {name: folder / file for name, file in files.items()}
        return Taken(found, there, of_arrays[first], stated, files=of_arrays)

    return Predictions(folder, take, list(crowds[first]))


def match_crowd(true: np.ndarray, pred: np.ndarray, near: float) -> np.ndarray:
    """Returns which predicted person each true one gets, in their order: int ``[P]``, -1 = nobody.

    It is the one not yet taken of whom the most joints are near in either direction, at least one;
    the first of several.

    >>> true = np.array([[[10.0, 10]], [[12.0, 10]]])
    >>> match_crowd(true, np.array([[[11.0, 10]], [[0.0, 0]]]), near=5).tolist()
    [0, -1]

    Args:
        true: ``[P, J, 2]`` pixels.
        pred: ``[Q, J, 2]``; a joint at exactly (0, 0) was not found.
        near: Fewer pixels than this, in x and in y.
    """
    off = np.abs(pred[None] - true[:, None])
    counts = ((off < near).all(axis=-1) & (pred != 0).any(axis=-1)).sum(axis=-1)
    taken = np.full(len(true), -1)
    for person, row in enumerate(counts):
        if len(row) and row.max() > 0:
            taken[person] = row.argmax()
            counts[:, taken[person]] = 0
    return taken


def crowd_errors(
    who: np.ndarray,
    true: np.ndarray,
    pred: np.ndarray,
    *,
    root: int | None = None,
    parents: Sequence[int] | None = None,
    matched_only: bool = False,
) -> np.ndarray:
    """Returns distances ``[n, J]`` of true people from whom they were matched with, else infinity.

    >>> crowd_errors(np.array([1, -1]), np.zeros((2, 1, 3)), np.ones((2, 1, 3))).round(2).tolist()
    [[1.73], [inf]]

    Args:
        who: As of :func:`match_crowd`.
        true: ``[P, J, 3]``.
        pred: ``[Q, J, 3]``.
        root: Joint that is subtracted from both; None = none.
        parents: Predicted bones get the lengths of true ones, see :func:`with_bones_of`; None:
            they keep theirs.
        matched_only: Leave out whom nobody was matched with.
    """
    found = who >= 0
    true, pred = true[found], pred[who[found]]
    if root is not None:
        true, pred = root_relative(true, root), root_relative(pred, root)
    if parents is not None:
        pred = with_bones_of(pred, true, parents)
    lost = np.full((0 if matched_only else (~found).sum(), true.shape[1]), np.inf)
    return np.concatenate([joint_errors(pred, true), lost])


def with_bones_of(pred: np.ndarray, true: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Returns poses whose bones point where they did, but are as long as the true ones.

    The root stays; a bone of no length has no direction, so that what hangs on it is NaN.

    >>> pred, true = np.array([[[0.0, 0, 0], [0, 0, 2]]]), np.array([[[0.0, 0, 0], [5, 0, 0]]])
    >>> with_bones_of(pred, true, [0, 0]).tolist()
    [[[0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]]

    Args:
        pred: ``[n, J, 3]``.
        true: ``[n, J, 3]``.
        parents: Parent of each joint; that of the root is itself.
    """
    placed, mapped = {j for j, p in enumerate(parents) if j == p}, pred.copy()
    while len(placed) < len(parents):
        for j in [j for j, p in enumerate(parents) if j not in placed and p in placed]:
            p = parents[j]
            bone, wanted = pred[:, j] - pred[:, p], np.linalg.norm(true[:, j] - true[:, p], axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                factor = wanted / np.linalg.norm(bone, axis=1)
                mapped[:, j] = mapped[:, p] + factor[:, None] * bone
            placed.add(j)
    return mapped

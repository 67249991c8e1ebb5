"""Prediction files: reading them, refusing what cannot be evaluated, finding what is asked for.

Every refusal is one line that names the file, what was found and how often. What is wrong with
predictions is for their author to repair: no message advises to fetch anything again.
"""

from __future__ import annotations

import collections
import glob
import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import CorruptInput, WorkError, one_line
from posepile.formats.arrays import read_npz
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_text

WRITE_AGAIN = "write the predictions again"


class Poses(NamedTuple):
    """Predicted poses, each of one image.

    Attributes:
        image_paths: As in the examples of our archives, none twice.
        coords: float64 ``[n, J, 3]``, all finite.
    """

    image_paths: list[str]
    coords: np.ndarray


def read_poses(
    path: str | os.PathLike, key: str, joints: Mapping[int, Sequence[int] | None]
) -> Poses:
    """Returns the poses of an npz file with ``image_path`` and coordinates, each image once.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "pred.npz")
    >>> np.savez(path, image_path=["a.jpg"], coords3d_pred_world=np.zeros((1, 25, 3)))
    >>> read_poses(path, "coords3d_pred_world", {2: None, 25: [24, 0]}).coords.shape
    (1, 2, 3)

    Args:
        path: The file.
        key: Name of the coordinates, ``[n, J, 3]``.
        joints: Number of joints that a prediction may have -> which of them are evaluated, in
            which order; None = all as they are.

    Raises:
        CorruptInput: Unreadable, an array is missing or of another shape, an image is there more
            than once, or a number that is evaluated is not finite.
    """
    schema = {"image_path": None, key: Array("n", "joints", 3, finite=False)}
    try:
        content = read_npz(path, schema, hint=None)
    except CorruptInput as e:  # the readers below advise to fetch raw files again
        raise CorruptInput(e.file, e.reason, hint=WRITE_AGAIN) from None
    coords = content[key]
    image_paths = np.asarray(content["image_path"]).tolist()
    if not isinstance(image_paths, list) or not all(isinstance(p, str) for p in image_paths):
        raise CorruptInput(path, "image_path is no list of text", hint=WRITE_AGAIN)
    if len(image_paths) != len(coords):
        raise CorruptInput(
            path,
            f"{len(image_paths)} image_path, but {key} has {len(coords)} poses; expected one each",
            hint=WRITE_AGAIN,
        )
    if coords.shape[1] not in joints:
        raise CorruptInput(
            path,
            f"{key} has {coords.shape[1]} joints; expected {' or '.join(map(str, joints))}",
            hint=WRITE_AGAIN,
        )
    _refuse_twice(image_paths, path, "image")
    chosen = joints[coords.shape[1]]
    coords = coords if chosen is None else coords[:, chosen]
    _refuse_not_finite(coords, image_paths, path)
    return Poses(image_paths, coords)


def read_pred_json(path: str | os.PathLike, schema: Any = None, *, hint: str = WRITE_AGAIN) -> Any:
    """Returns the checked content of predictions in JSON; no key may be there twice.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "pred.json")
    >>> _ = path.write_text('{"0": [[1, 2, 3]], "1": [[4, 5, 6]]}')
    >>> read_pred_json(path, {"*": Array("J", 3)})["1"]
    array([[4., 5., 6.]])

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, not JSON, a key twice, or not as expected.
    """
    twice: dict[str, int] = {}

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            counts = collections.Counter(key for key, _ in pairs)
            twice.update({key: n for key, n in counts.items() if n > 1})
        return result

    try:
        content = json.loads(read_text(path, hint=hint), object_pairs_hook=unique)
    except (ValueError, RecursionError) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None
    if twice:
        key = next(iter(twice))
        raise CorruptInput(
            path, f"key {key!r} is there {twice[key]} times ({len(twice)} such keys)", hint=hint
        )
    return check(content, schema, path, hint=hint)


def match(
    found: Sequence[Hashable],
    wanted: Sequence[Hashable],
    where: str | os.PathLike,
    what: str = "image",
) -> np.ndarray:
    """Returns which prediction belongs to each entry of the truth: rows, int ``[len(wanted)]``.

    >>> match(["b.jpg", "c.jpg", "a.jpg"], ["a.jpg", "b.jpg"], "pred.npz").tolist()
    [2, 0]
    >>> match(["b.jpg"], ["a.jpg", "b.jpg"], "pred.npz")
    Traceback (most recent call last):
    posepile.errors.WorkError: pred.npz: lacks image a.jpg, 1 of the 2 that are evaluated

    Args:
        found: What the predictions are of: image paths, frames.
        wanted: What is evaluated. Predictions of anything else are left aside.
        where: File and place, for the message.
        what: Word for one of them.

    Raises:
        WorkError: A prediction is missing, or there are two; with the first of them and counts.
    """
    _refuse_twice(found, where, what)
    row = {key: i for i, key in enumerate(found)}
    missing = [key for key in wanted if key not in row]
    if missing:
        some = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WorkError(
            f"{where}: lacks {what} {missing[0]}{some}, {len(missing)} of the {len(wanted)} that "
            "are evaluated"
        )
    return np.array([row[key] for key in wanted], np.int64)


def stack_poses(
    pred: Mapping[str, Any],
    wanted: Sequence[str],
    n_joints: int,
    where: str | os.PathLike,
    *,
    finite: bool = True,
) -> np.ndarray:
    """Returns the predictions of the entries wanted, float64 ``[len(wanted), J, 3]``.

    >>> stack_poses({"s1/0": [[1, 2, 3]], "s1/1": [[4, 5, 6]]}, ["s1/1"], 1, "pred.json")
    array([[[4., 5., 6.]]])

    Args:
        pred: Predictions by key, as :func:`flatten` gives them.
        wanted: Keys of what is evaluated.
        n_joints: Joints of a pose.
        where: The file, for the message.
        finite: Refuse NaN and infinity.

    Raises:
        WorkError: Nothing is wanted, or a prediction is missing, of another shape or not finite.
    """
    if not wanted:
        raise WorkError(f"{where}: no pose to evaluate")
    match(list(pred), wanted, where, "pose")
    form = Array(n_joints, 3, finite=False)
    poses = [check(pred[key], form, where, key, hint=WRITE_AGAIN) for key in wanted]
    coords = np.reshape(poses, (-1, n_joints, 3))
    if finite:
        _refuse_not_finite(coords, wanted, where)
    return coords


def flatten(content: Mapping, depth: int) -> dict[str, Any]:
    """Returns nested mappings as one, the keys joined to paths.

    >>> flatten({"take7": {"0": "a", "30": "b"}}, 2)
    {'take7/0': 'a', 'take7/30': 'b'}

    Args:
        content: Mappings of text, ``depth`` of them inside each other.
        depth: How many keys make a path.
    """
    if depth == 1:
        return dict(content)
    return {
        f"{key}/{rest}": value
        for key, inner in content.items()
        for rest, value in flatten(inner, depth - 1).items()
    }


def mean_by(
    poses: Poses, key_of: Callable[[str], Hashable | None], where: str | os.PathLike
) -> dict[Hashable, np.ndarray]:
    """Returns the mean pose of all images with the same key, such as the views of one instant.

    >>> poses = Poses(["c1/7.jpg", "c2/7.jpg"], np.array([[[0.0, 0, 0]], [[2.0, 0, 4]]]))
    >>> mean_by(poses, lambda path: int(path.split("/")[1][:-4]), "pred.npz")
    {7: array([[1., 0., 2.]])}

    Args:
        poses: Poses in the world, so that views can be averaged.
        key_of: From image path to key, None for images that the benchmark does not know.
        where: The file, for the message.

    Raises:
        CorruptInput: Unknown images; with the first of them and their number.
    """
    keys = [key_of(image_path) for image_path in poses.image_paths]
    unknown = [p for p, key in zip(poses.image_paths, keys, strict=True) if key is None]
    if unknown:
        raise CorruptInput(
            where,
            f"image {unknown[0]} is unknown ({len(unknown)} such of {len(keys)}); expected paths "
            "as in the packed dataset",
            hint=WRITE_AGAIN,
        )
    views = collections.defaultdict(list)
    for key, pose in zip(keys, poses.coords, strict=True):
        views[key].append(pose)
    return {key: np.mean(group, axis=0) for key, group in views.items()}


def find_file(folder: Path, *stems: str) -> Path:
    """Returns the one file below a folder with one of these names, whatever its suffix.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> Path(folder.name, "clip1-left.json").touch()
    >>> find_file(Path(folder.name), "clip1-left", "clip1").name
    'clip1-left.json'

    Args:
        folder: Folder of predictions, searched to any depth.
        *stems: Names without suffix.

    Raises:
        WorkError: There is none, or more than one.
    """
    files = (f for stem in stems for f in folder.rglob(f"{glob.escape(stem)}.*"))
    found = sorted({f for f in files if f.is_file()})
    wanted = " or ".join(f"{stem}.*" for stem in stems)
    if not found:
        raise WorkError(f"{folder}: no prediction {wanted}")
    if len(found) > 1:
        names = ", ".join(str(f.relative_to(folder)) for f in found)
        raise WorkError(f"{folder}: {len(found)} predictions {wanted}; expected one: {names}")
    return found[0]


def _refuse_twice(names: Sequence[Hashable], where: str | os.PathLike, what: str) -> None:
    if len(set(names)) < len(names):
        count = collections.Counter(names)
        twice = [name for name, n in count.items() if n > 1]
        raise CorruptInput(
            where,
            f"{what} {twice[0]} is there {count[twice[0]]} times ({len(twice)} such, "
            f"{len(names)} predictions); expected each once",
            hint=WRITE_AGAIN,
        )


def _refuse_not_finite(coords: np.ndarray, names: Sequence[str], where: str | os.PathLike) -> None:
    bad = ~np.isfinite(coords).all(axis=-1)
    if bad.any():
        pose, joint = (int(i[0]) for i in np.nonzero(bad))
        raise CorruptInput(
            where,
            f"{bad.any(axis=1).sum()} of {len(coords)} poses have a number that is not finite, "
            f"the first is {names[pose]}, joint {joint}",
            hint="predict every joint",
        )

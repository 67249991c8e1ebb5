"""Opening predictions, in whatever files they are: what each clip gets of them.

:func:`keyed` is for one file with an entry per row, :func:`per_clip` for a file per clip. Both
give :class:`Predictions`, of which the scaffold takes what belongs to a clip, in its order, and
checks it: units, missing entries, numbers that are not finite.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.evaluation.benchmark import MILLIMETRES, Clip, Predictions, Taken
from posepile.evaluation.predictions import (
    WRITE_AGAIN,
    advising_to_write_again,
    refuse_twice,
)
from posepile.files import files_below
from posepile.formats.arrays import read_npz
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, check


def keyed(
    path: Path,
    keys: Sequence[str],
    arrays: Mapping[str, np.ndarray],
    *,
    stated: str | None = None,
    what: str = "image",
    **more: Any,
) -> Predictions:
    """Returns predictions of which every row has a key; rows may be in any order.

    >>> pred = keyed(Path("a.npz"), ["b", "a"], {"joints": np.array([[[1.0]], [[2.0]]])})
    >>> pred.take(Clip("all", ["a", "c"], {})).arrays["joints"].ravel(), pred.names
    (array([ 2., nan]), ['b', 'a'])

    Args:
        path: The file.
        keys: Of the rows.
        arrays: ``[rows, ...]``.
        stated: Unit of lengths, where the file states it.
        what: Word for an entry.
        **more: Attributes of :class:`Predictions`.

    Raises:
        CorruptInput: A key is there twice.
    """
    refuse_twice(keys, path, what)
    row_of = {key: i for i, key in enumerate(keys)}

    def take(clip: Clip) -> Taken:
        rows = np.array([row_of.get(key, -1) for key in clip.keys], np.int64)
        there, found = rows >= 0, {}
        for name, array in arrays.items():
            found[name] = np.full((len(rows), *np.shape(array)[1:]), np.nan)
            found[name][there] = array[rows[there]]
        return Taken(found, there, path, stated)

    return Predictions(path, take, list(keys), what, **more)


def npz_poses(
    path: Path,
    key: str,
    joints: Mapping[int, Sequence[int] | None],
    *,
    names: str = "image_path",
    key_of: Callable[[str], str | None] | None = None,
    views: bool = False,
    **more: Any,
) -> Predictions:
    """Returns the poses of an npz file with the path of each image and its coordinates.

    ``units`` in the file ("mm", "cm" or "m") says what they are in.

    >>> path = folder / "pred.npz"
    >>> np.savez(path, image_path=["a.jpg"], coords3d_pred_world=np.zeros((1, 25, 3)))
    >>> opened = npz_poses(path, "coords3d_pred_world", {2: None, 25: [24, 0]})
    >>> opened.take(Clip("all", ["a.jpg"], {})).arrays["joints"].shape
    (1, 2, 3)

    Args:
        path: The file.
        key: Name of the coordinates, ``[n, J, 3]``.
        joints: Number of joints that a prediction may have -> which of them are evaluated, in
            which order; None = all as they are.
        names: Key of the names.
        key_of: As of :func:`read_npz_poses`.
        views: As there.
        **more: Attributes of :class:`Predictions`.

    Raises:
        CorruptInput: Unreadable, an array is missing or of another shape, an image is there more
            than once, or an unknown unit.
    """
    found = read_npz_poses(path, key, joints, names=names, key_of=key_of, views=views)
    return keyed(path, found.keys, {"joints": found.coords}, stated=found.units, **more)


class Poses(NamedTuple):
    """Poses of a file.

    Attributes:
        keys: Of the entries they are of, none twice.
        coords: float64 ``[n, J, 3]``.
        units: Of coordinates, where the file states them.
    """

    keys: list[str]
    coords: np.ndarray
    units: str | None


def read_npz_poses(
    path: Path,
    key: str,
    joints: Mapping[int, Sequence[int] | None],
    *,
    names: str = "image_path",
    key_of: Callable[[str], str | None] | None = None,
    views: bool = False,
) -> Poses:
    """Returns the poses of an npz file; see :func:`npz_poses`.

    >>> path = folder / "views.npz"
    >>> coords = np.array([[[0.0, 0, 0]], [[2.0, 0, 4]]])
    >>> np.savez(path, image_path=["c1/7.jpg", "c2/7.jpg"], coords3d_pred_world=coords)
    >>> more = {"key_of": lambda name: name[3:-4], "views": True}
    >>> read_npz_poses(path, "coords3d_pred_world", {1: None}, **more).coords
    array([[[1., 0., 2.]]])

    Args:
        path: The file.
        key: Name of the coordinates.
        joints: As of :func:`npz_poses`.
        names: Key of the names.
        key_of: From the name of an image to the key of an entry, None for those of no entry.
        views: Poses of the same entry are views of one instant, and averaged; False: an entry that
            is there under two names is refused.

    Raises:
        CorruptInput: As of :func:`npz_poses`.
    """
    content = read_pred_npz(path, {names: None, key: Array("n", "joints", 3, finite=False)})
    keys, coords = text_list(content[names], path, names), content[key]
    if len(keys) != len(coords):
        reason = f"{len(keys)} {names}, but {key} has {len(coords)} poses; expected one each"
        raise CorruptInput(path, reason, hint=WRITE_AGAIN)
    if coords.shape[1] not in joints:
        reason = f"{key} has {coords.shape[1]} joints; expected {' or '.join(map(str, joints))}"
        raise CorruptInput(path, reason, hint=WRITE_AGAIN)
    order = joints[coords.shape[1]]
    coords = coords if order is None else coords[:, list(order)]
    if key_of:
        refuse_twice(keys, path, "image")
        keys = [key_of(name) or name for name in keys]
        if views:
            keys, coords = _means_by_key(keys, coords)
    return Poses(keys, coords, content.get("units"))


def _means_by_key(keys: Sequence[str], values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Returns each key once, and the mean of its rows.

    >>> _means_by_key(["b", "a", "b"], np.array([1.0, 5, 3]))
    (['b', 'a'], array([2., 5.]))
    """
    rows = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    of_row = np.array([rows[key] for key in keys], np.int64)
    sums = np.zeros((len(rows), *values.shape[1:]))
    np.add.at(sums, of_row, values)
    counts = np.bincount(of_row, minlength=len(rows))
    return list(rows), sums / counts.reshape(-1, *(1,) * (values.ndim - 1))


def npz_arrays(
    path: Path,
    shapes: Mapping[str, Sequence[int | str]],
    *,
    names: str = "image_path",
    in_order: Sequence[str] | None = None,
    flat: Sequence[str] = (),
    **more: Any,
) -> Predictions:
    """Returns the arrays of an npz file that has a name, and a row of each array, per entry.

    >>> np.savez(folder / "pred.npz", image_path=["a.jpg"], vertices=np.zeros((1, 330, 3)))
    >>> opened = npz_arrays(folder / "pred.npz", {"vertices": ("V", 3)}, unit="m")
    >>> opened.take(Clip("all", ["a.jpg"], {})).arrays["vertices"].shape
    (1, 330, 3)

    Args:
        path: The file.
        shapes: Name of each array -> shape of a row; names ending in ``?`` may be absent.
        names: Key of the names.
        in_order: The names of the rows where the file has none.
        flat: Arrays whose rows may be ``[n, 3]``; they are flattened before they are checked.
        **more: Attributes of :class:`Predictions`.

    Raises:
        CorruptInput: As of :func:`npz_poses`.
    """
    key = names if in_order is None else f"{names}?"
    schema = {name: Array("n", *row, finite=False) for name, row in shapes.items()}
    content = read_pred_npz(path, {key: None, **schema, **dict.fromkeys(flat)})
    arrays = {k: content[k] for k in (name.removesuffix("?") for name in schema) if k in content}
    for name in flat:
        rows = np.asarray(arrays[name])
        if rows.ndim == 3 and rows.shape[2] == 3 and rows.size:
            rows = rows.reshape(len(rows), -1)
        arrays[name] = check_pred(rows, schema[name], path, name)
    keys = list(in_order or ())
    if names in content:
        keys = text_list(content[names], path, names)
    for name, array in arrays.items():
        if len(array) != len(keys):
            reason = f"{name} has {len(array)} rows; expected {len(keys)}, one for each of {names}"
            raise CorruptInput(path, reason, hint=WRITE_AGAIN)
    return keyed(path, keys, arrays, stated=content.get("units"), **more)


def read_pred_npz(path: Path, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the checked arrays of predictions in npz, and ``units`` where the file states them.

    >>> np.savez(folder / "pred.npz", joints=np.zeros((2, 24, 3)), units="m")
    >>> content = read_pred_npz(folder / "pred.npz", {"joints": Array("n", 24, 3)})
    >>> content["joints"].shape, content["units"]
    ((2, 24, 3), 'm')

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.

    Raises:
        CorruptInput: Unreadable or not as expected.
    """
    with advising_to_write_again():
        content = read_npz(path, {**schema, "units?": None})
    if content.get("units") is not None:
        content["units"] = unit_text(content["units"], path)
    return content


def read_pred_pickle(path: Path, schema: Any) -> Any:
    """Returns the checked content of predictions in a pickle, read as plain data.

    >>> import pickle
    >>> _ = (folder / "pred.pkl").write_bytes(pickle.dumps({"pose": np.zeros((2, 72))}))
    >>> read_pred_pickle(folder / "pred.pkl", {"pose": Array("n", 72)})["pose"].shape
    (2, 72)

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.

    Raises:
        CorruptInput: Unreadable or not as expected.
    """
    with advising_to_write_again():
        content = read_pickle(path)
    return check_pred(content, schema, path)


def per_clip(
    path: Path,
    find: Callable[[Clip], Path | None],
    read: Callable[[Path, Clip], Mapping[str, Any]],
    *,
    names: Sequence[str] = (),
    what: str = "clip",
    **more: Any,
) -> Predictions:
    """Returns predictions in a file per clip, whose rows are the entries of the clip.

    >>> def read(file, clip):
    ...     return {"joints": np.zeros((2, 17, 3)), "units": "m"}
    >>> opened = per_clip(folder, lambda clip: folder / f"{clip.name}.pkl", read)
    >>> taken = opened.take(Clip("walk", ["0", "1"], {}))
    >>> taken.arrays["joints"].shape, taken.unit
    ((2, 17, 3), 'm')

    Args:
        path: The folder.
        find: Returns the file of a clip, None if there is none; or an error that says why.
        read: Returns its checked arrays ``[n, ...]``, and ``units`` where it states them.
        names: Of the clips that there are predictions of.
        what: Word for a clip.
        **more: Attributes of :class:`Predictions`.
    """

    def take(clip: Clip) -> Taken:
        nothing = Taken({}, np.zeros(len(clip.keys), bool), path)
        if not len(clip.keys):
            return nothing
        try:
            file = find(clip)
            arrays = {} if file is None else dict(read(file, clip))
        except WorkError as e:
            return nothing._replace(error=e)
        if file is None:
            return nothing
        unit = arrays.pop("units", None)
        for name, array in arrays.items():
            if len(array) != len(clip.keys):
                reason = f"{name}: {len(array)} entries, but {clip.name} has {len(clip.keys)}"
                raise CorruptInput(file, reason, hint="predict every frame, and no other")
        return Taken(arrays, np.ones(len(clip.keys), bool), file, unit)

    return Predictions(path, take, list(names), what, **more)


def files_of_clips(
    folder: Path,
    names: Mapping[str, Sequence[str]],
    read: Callable[[Path], Mapping[str, Any]],
    **more: Any,
) -> Predictions:
    """Returns predictions in a folder, searched to any depth, with one file per clip.

    >>> np.savez(folder / "clip1.npz", joints=np.zeros((1, 17, 3)))
    >>> def read(file):
    ...     return read_pred_npz(file, {"joints": Array("n", 17, 3)})
    >>> opened = files_of_clips(folder, {"clip1-left": ["clip1-left", "clip1"]}, read)
    >>> opened.take(Clip("clip1-left", ["0"], {})).arrays["joints"].shape
    (1, 17, 3)

    Args:
        folder: The folder.
        names: Name of a clip -> how its file may be named, without suffix; what fits several
            clips is the name of none.
        read: Returns what a file holds, see :func:`per_clip`.
        **more: Attributes of :class:`Predictions`.

    Raises:
        UsageError: It is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--pred-path {folder}: is no folder; expected one with a file per clip")
    found = defaultdict(list)
    for file in (f for f in files_below(folder, "**/*") if f.is_file() and f.suffix):
        found[file.stem].append(file)
    # A name that fits several clips says nothing.
    counts = Counter(stem for stems in names.values() for stem in stems)
    names = {c: [stem for stem in stems if counts[stem] == 1] for c, stems in names.items()}
    clip_of = {stem: clip for clip, stems in names.items() for stem in stems}

    def find(clip: Clip) -> Path:
        files = [file for stem in names[clip.name] for file in found.get(stem, ())]
        wanted = " or ".join(f"{stem}.*" for stem in names[clip.name])
        if not files:
            raise WorkError(f"{folder}: no prediction {wanted}; see --allow-missing")
        if len(files) > 1:
            which = ", ".join(str(file.relative_to(folder)) for file in files)
            raise WorkError(f"{folder}: {len(files)} predictions {wanted}; expected one: {which}")
        return files[0]

    predicted = sorted({clip_of.get(stem, stem) for stem in found})
    return per_clip(folder, find, lambda file, _: read(file), names=predicted, **more)


def text_list(value: Any, path: Path, place: str) -> list[str]:
    """Returns a list of names out of an array.

    >>> text_list(np.array(["a.jpg", "b.jpg"]), Path("pred.npz"), "image_path")
    ['a.jpg', 'b.jpg']

    Raises:
        CorruptInput: It is no list of text.
    """
    names = np.asarray(value).tolist()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptInput(path, f"{place} is no list of text", hint=WRITE_AGAIN)
    return names


def unit_text(value: Any, path: Path, place: str = "units") -> str:
    """Returns the unit of lengths that a file states.

    >>> unit_text(np.array("m"), Path("pred.npz"))
    'm'

    Raises:
        CorruptInput: It is none of mm, cm, m.
    """
    text = np.asarray(value).tolist()
    if text not in tuple(MILLIMETRES):
        reason = f"{place}: found {text!r:.60}; expected {', '.join(MILLIMETRES)}"
        raise CorruptInput(path, reason, hint=WRITE_AGAIN)
    return text


def check_pred(value: Any, schema: Any, path: Path, place: str = "") -> Any:
    """Returns a checked value of predictions: as :func:`posepile.formats.schema.check`.

    >>> check_pred([[1, 2, 3]], Array("J", 3), Path("pred.json")).shape
    (1, 3)
    """
    return check(value, schema, path, place, hint=WRITE_AGAIN)
